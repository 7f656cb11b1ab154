"""What attention, a training step and a learner's wait cost: formulas, and measurements side by side."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from attn_lab.commands.options import Device

console = Console()
PANEL = "Measurements"
bench = typer.Typer(help="Measure, side by side in one run.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(rich_help_panel=PANEL)(cost)
    for name, command in (("attention", bench_attention), ("train", bench_train), ("feedback", bench_feedback)):
        bench.command(name)(command)
    app.add_typer(bench, name="bench", rich_help_panel=PANEL)


def cost(
    n: Annotated[int, typer.Option("--n", help="Tokens of the text.", min=1)] = 4096,
    batch: Annotated[int, typer.Option(help="Examples.", min=1)] = 1,
    heads: Annotated[int, typer.Option(help="Heads.", min=1)] = 8,
    width: Annotated[int, typer.Option(help="Width of a head.", min=1)] = 64,
    window: Annotated[int, typer.Option(help="Keys that a windowed query sees.", min=1)] = 128,
    block: Annotated[int, typer.Option(help="Keys at a time, of the online softmax.", min=1)] = 128,
    number: Annotated[int, typer.Option(help="Bytes of a number: 4 for float32, 2 for bfloat16.")] = 4,
    memory: Annotated[float, typer.Option(help="GiB to fit into.")] = 8.0,
    out: Annotated[Path | None, typer.Option(help="Also write the tables to this file, as Markdown.")] = None,
) -> None:
    """What one attention costs: FLOPs, bytes and the largest tensor of each form, and the longest text that fits.

    Formulas, not measurements; for those: attn-lab bench attention
    """
    from attn_lab.cost_table import show_cost
    from attn_lab.efficient.cost import Sizes

    show_cost(console, Sizes(batch, heads, n, width, window, block, number), memory, out)


def bench_attention(
    lengths: Annotated[str, typer.Option(help="Lengths of the text, tokens, with commas.")] = (
        "256,512,1024,2048,4096,8192,16384"
    ),
    window: Annotated[int, typer.Option(help="Keys that a windowed query sees, its own counted.", min=2)] = 128,
    batch: Annotated[int, typer.Option(help="Examples.", min=1)] = 1,
    heads: Annotated[int, typer.Option(help="Heads.", min=1)] = 8,
    width: Annotated[int, typer.Option(help="Width of a head.", min=1)] = 64,
    rounds: Annotated[int, typer.Option(help="How often each takes its turn.", min=1)] = 5,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    out: Annotated[Path | None, typer.Option(help="Folder for the tables, the numbers and the pictures.")] = None,
) -> None:
    """Time and memory against length: ours, PyTorch's and two packages' attention, causal and windowed.

    Each answer is compared with the others' first. The packages are the extra: pip install "attn-lab[bench]"
    """
    from attn_lab.bench.attention_report import show_attention
    from attn_lab.bench.contenders import Shape
    from attn_lab.choices import check_choice
    from attn_lab.training.devices import resolve_device

    check_choice("dtype", dtype, ("float32", "bfloat16", "float16"))
    ns = [int(n) for n in lengths.split(",")]
    show_attention(console, Shape(batch, heads, max(ns), width, window), ns, rounds, resolve_device(device), dtype, out)


def bench_train(
    recipe: Annotated[str, typer.Option(help="Whose shapes; the vocabulary is Penn Treebank's.")] = "notebook",
    device: Device = "auto",
    rounds: Annotated[int, typer.Option(help="How often each model takes its turn.", min=1)] = 15,
    out: Annotated[Path | None, typer.Option(help="Also write the tables to this file, as Markdown.")] = None,
) -> None:
    """A training step, float32 and bf16: ours in all its forms against nn.TransformerEncoder, taking turns.

    Einsum and fused attention, chunked loss, fused optimizer, compiled, two processes; and how near each comes to what
    this machine does in one large matrix product.
    """
    from attn_lab.bench.report import show_training
    from attn_lab.training.devices import resolve_device
    from attn_lab.training.recipes import recipe as find

    show_training(console, find(recipe), resolve_device(device), rounds, out)


def bench_feedback(
    rounds: Annotated[int, typer.Option(help="How often each is measured, in turns.", min=1)] = 7,
    out: Annotated[Path | None, typer.Option(help="Also write the table to this file, as Markdown.")] = None,
) -> None:
    """How long a learner waits: pytest on one exercise, watch after a save, all solutions through all tests."""
    from attn_lab.bench.feedback import show_feedback

    show_feedback(console, rounds, out)
