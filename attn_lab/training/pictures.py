"""One look for a report's pictures: a colour for each model, and the way from matplotlib into a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attn_lab.files import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Far apart in lightness, too: no reader needs to tell hues apart.
MODEL, KNESER_NEY, UNIGRAM, FLOOR = "#3b6fd4", "#c2571a", "#8a909c", "#2f7d4f"


@contextmanager
def picture(path: Path, height: float = 4.5) -> Iterator["Figure"]:
    """An empty figure, saved as a PNG at the end: to be read at half its size."""
    from matplotlib.figure import Figure  # heavy; and without pyplot, so no window and no global state

    figure = Figure(figsize=(8, height), dpi=120, layout="constrained", facecolor="white")
    yield figure
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.spines[["top"]].set_visible(False)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")
