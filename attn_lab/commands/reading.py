"""What a finished run says: its loss on a text, its own text, its report."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attn_lab.commands.options import DataDir, Device, Precision, RunArgument

console = Console()
PANEL = "A run"


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (evaluate, generate, attend, report):
        app.command(rich_help_panel=PANEL)(command)


def evaluate(
    run: RunArgument,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    device: Device = "auto",
    precision: Precision = "fp32",
    data_dir: DataDir = None,
    window: Annotated[
        int | None, typer.Option(help="Tokens that are read at once; the recipe's by default.", min=1)
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            help="Tokens that a window goes on by. Below the window's length windows overlap, and each token sees more "
            "than window - stride tokens before it; 1: all that a window holds, and the slowest.",
            min=1,
        ),
    ] = None,
) -> None:
    """Loss and perplexity of a run's best weights on a text of its corpus.

    The text is read in windows, as in training: end to end, each without
    the one before it. With --stride they overlap, and a token sees more.
    Quote a figure with its protocol: the second line says it.
    """
    from attn_lab.choices import check_choice
    from attn_lab.training.progress import perplexity
    from attn_lab.training.saved_run import load_run

    check_choice("split", split, ("train", "valid", "test"))
    saved = load_run(run, device, precision)
    folder = str(data_dir) if data_dir else None
    loss, per_word = saved.evaluate(split, folder, window=window, stride=stride)
    console.print(
        f"{split}: {loss:.4f} nats per token, perplexity {perplexity(loss):,.2f}, {per_word:.4f} nats per raw word\n"
        f"{saved.protocol(window, stride)}",
        highlight=False,
        soft_wrap=True,
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


def attend(
    run: RunArgument,
    text: Annotated[str, typer.Option(help="The text to look at.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to; attend in the run's by default.")] = None,
    maps: Annotated[bool, typer.Option(help="A PNG for each head beside the page.")] = True,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """What the heads of a run's best weights look at in a text: maps, and a page to explore them.

    Writes index.html, one file that needs no network: choose a layer and a
    head, point at a token, and see its weights on the others. Beside it a
    PNG for each head. The heads in numbers stand on the page and here.
    """
    from attn_lab.attending.output import write_reading
    from attn_lab.attending.page import about, summaries_from
    from attn_lab.attending.reading import read, tokens_of
    from attn_lab.attending.summary import LEGEND, SHORT, table_rows
    from attn_lab.tables import rich_table
    from attn_lab.training.saved_run import load_run

    saved = load_run(run, device)
    recipe, corpus = saved.settings.recipe, saved.settings.corpus
    tokens = tokens_of(text, saved.settings.tokenizer or "basic_english")
    others, source = None, f"the validation text of {Path(corpus).name}"
    try:
        others = saved.corpus(str(data_dir) if data_dir else None).valid
    except (OSError, ValueError) as error:
        if data_dir is not None:  # asked for
            raise
        source = f"{source} is not at hand: {error}"
    reading = read(saved.model, saved.vocabulary, tokens, recipe.window, others)
    title = f"Run {run.resolve().name}, corpus {Path(corpus).name}, recipe {recipe.name}"
    page = write_reading(out or run / "attend", reading, title=title, source=source, maps=maps)
    for line in (about(reading), summaries_from(reading, source)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(rich_table(LEGEND, SHORT, table_rows(reading.heads)))
    console.print(f"page: {page}", highlight=False, markup=False, soft_wrap=True)


def report(
    run: RunArgument,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Measure anew what it looks into: the loss by position, frequency and word, against an n-gram model. "
            "Done at the end of a training; needs the corpus, and takes as long as an evaluation.",
        ),
    ] = False,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Write a run's report and pictures again, of as much of it as there is."""
    from attn_lab.training.findings import write_findings
    from attn_lab.training.report import write_report
    from attn_lab.training.run_folder import RunFolder
    from attn_lab.training.saved_run import load_run

    folder = RunFolder.existing(run)
    if measure:
        saved = load_run(run, device)
        write_findings(folder, saved, saved.corpus(str(data_dir) if data_dir else None), console)
    write_report(folder)
    console.print(f"report: {folder.report_file}", highlight=False, soft_wrap=True)
