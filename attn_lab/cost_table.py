"""What `attn-lab cost` shows: what each form of attention costs, and how long a text fits into a memory.

The columns: work of the forward pass, and of forward and backward; bytes of inputs and output, of what is kept for the
backward pass, of the largest single tensor, and of all that training holds at once at the worst moment.
"""

from pathlib import Path

from rich.console import Console

from attn_lab.efficient.cost import FORMS, Cost, Sizes, longest
from attn_lab.tables import Row, show_tables

COSTS = (
    "attention",
    "GFLOP, forward",
    "GFLOP, both",
    "in and out",
    "kept",
    "largest",
    "at once",
)
FITS = ("attention", "longest n", "in pages of 500 tokens")
TOKENS_OF_A_PAGE = 500


def cost_cells(sizes: Sizes) -> list[Row]:
    """A line a form."""
    return [_cells(name, form(sizes), sizes) for name, form in FORMS.items()]


def _cells(name: str, cost: Cost, sizes: Sizes) -> Row:
    return (
        name,
        f"{cost.forward_flops / 1e9:,.2f}",
        f"{(cost.forward_flops + cost.backward_flops) / 1e9:,.2f}",
        in_bytes(cost.io_bytes),
        in_bytes(cost.kept_bytes),
        in_bytes(cost.largest * sizes.width),
        in_bytes(cost.peak_bytes),
    )


def fit_cells(sizes: Sizes, memory_gib: int | float) -> list[Row]:
    """The longest text that each form trains on in this memory."""
    found = [(name, longest(form, sizes, int(memory_gib * 2**30))) for name, form in FORMS.items()]
    return [(name, f"{n:,}", f"{n / TOKENS_OF_A_PAGE:,.0f}") for name, n in found]


def in_bytes(size: int | float) -> str:
    """A number of bytes in the unit that a reader can take in."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.4g} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def show_cost(console: Console, sizes: Sizes, memory_gib: int | float, out: Path | None = None) -> None:
    """Print both tables, and write them to `out` if it is given.

    Raises:
        ValueError: the memory is not positive.
    """
    if not memory_gib > 0:
        raise ValueError(f"memory is in GiB and must be positive; got {memory_gib}")
    s = sizes
    about = f"b = {s.b}, h = {s.h}, d = {s.d}, window = {s.window}, block = {s.block}, {s.width} bytes a number"
    tables = [
        (f"One attention, n = {s.n:,}: {about}", COSTS, cost_cells(s)),
        (f"The longest text that one attention trains on in {memory_gib:g} GiB", FITS, fit_cells(s, memory_gib)),
    ]
    show_tables(console, tables, out)
