"""What a finished run says: its loss on a text, its own text, its report."""

from typing import Annotated

import typer
from rich.console import Console

from attn_lab.commands.options import DataDir, Device, Precision, RunArgument

console = Console()
PANEL = "A run"


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (evaluate, generate, report):
        app.command(rich_help_panel=PANEL)(command)


def evaluate(
    run: RunArgument,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    device: Device = "auto",
    precision: Precision = "fp32",
    data_dir: DataDir = None,
) -> None:
    """Loss and perplexity of a run's best weights on a text of its corpus."""
    from attn_lab.choices import check_choice
    from attn_lab.training.progress import perplexity
    from attn_lab.training.saved_run import load_run

    check_choice("split", split, ("train", "valid", "test"))
    loss, per_word = load_run(run, device, precision).evaluate(split, str(data_dir) if data_dir else None)
    console.print(
        f"{split}: {loss:.4f} nats per token, perplexity {perplexity(loss):,.2f}, {per_word:.4f} nats per raw word",
        highlight=False,
    )


def generate(
    run: RunArgument,
    prompt: Annotated[str, typer.Option(help="The beginning of the text.")],
    tokens: Annotated[int, typer.Option(help="How many tokens to write.", min=0)] = 50,
    temperature: Annotated[
        float, typer.Option(help="Below 1: safer words; above: wilder; 0: always the likeliest.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Choose among this many likeliest tokens only.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed writes the same text.")] = None,
    device: Device = "auto",
) -> None:
    """Let a run's best weights write on from a prompt."""
    from attn_lab.training.saved_run import load_run

    text = load_run(run, device).generate(prompt, tokens, temperature=temperature, top_k=top_k, seed=seed)
    console.print(text, highlight=False, markup=False)


def report(run: RunArgument) -> None:
    """Write a run's report and curves again, of as much of it as there is."""
    from attn_lab.training.report import write_report
    from attn_lab.training.run_folder import RunFolder

    folder = RunFolder.existing(run)
    write_report(folder)
    console.print(f"report: {folder.report_file}", highlight=False, soft_wrap=True)
