"""What `attn-lab bench` shows: the measurements as tables, in the terminal and as Markdown."""

from pathlib import Path

from rich.console import Console

from attn_lab.bench.training import Bounds, StepTime, bounds, compare
from attn_lab.tables import Row, show_tables
from attn_lab.training.recipe import Recipe

HEADER = (
    "model",
    "precision",
    "ms a step",
    "to nn.TransformerEncoder",
    "to float32",
    "of one product's speed",
    "peak memory, MiB",
)


def step_cells(rows: list[StepTime]) -> list[Row]:
    """A line a model."""
    return [
        (
            row.model,
            row.precision,
            f"{row.milliseconds:.1f}",
            f"{row.to_twin:.2f}",
            f"{row.to_float32:.2f}",
            f"{row.of_peak:.0%}",
            "unknown" if row.peak_mib is None else f"{row.peak_mib:.0f}",
        )
        for row in rows
    ]


def bound_cells(bounds: Bounds) -> list[Row]:
    """A line a finding."""
    return [
        ("work of a step", f"{bounds.step_gflop:.2f} GFLOP"),
        ("output product's share of the work", f"{bounds.output_share_of_flops:.0%}"),
        ("output product and loss: share of the time", f"{bounds.output_share_of_time:.0%}"),
        ("this machine's float32 product, 2048 x 2048", f"{bounds.matmul_gflops:.0f} GFLOP/s"),
        ("fraction of it that a step reaches", f"{bounds.fraction_of_peak:.0%}"),
    ]


def show_training(console: Console, recipe: Recipe, device: str, rounds: int, out: Path | None) -> None:
    """Measure, print, and write to `out` if it is given."""
    tables = [
        (f"A training step, recipe {recipe.name}, on {device}", HEADER, step_cells(compare(recipe, device, rounds))),
        ("What bounds it (float32, fused)", ("finding", "value"), bound_cells(bounds(recipe, device, rounds))),
    ]
    show_tables(console, tables, out)
