"""The curves of all variations, small and side by side, so that one learns to know a bug by its curve."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attn_lab.ablations.results import Result
from attn_lab.ablations.variations import RECIPE
from attn_lab.training.pictures import KNESER_NEY, MODEL, picture
from attn_lab.training.progress import perplexity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
POINTS = 40  # of a curve, at most: longer ones are averaged


def draw_gallery(path: Path, shown: Sequence[Result], recipe: Sequence[Result], kneser_ney: float | None) -> None:
    """A small picture for each: its training loss, its validation loss, and grey behind them the recipe's.

    Args:
        path: the PNG.
        shown: the variations.
        recipe: the recipe's own runs.
        kneser_ney: the n-gram model's validation loss, nats per token: a line across.
    """
    columns = min(COLUMNS, len(shown))
    n_rows = -(-len(shown) // columns)
    with picture(path, height=2.1 * n_rows + 0.6) as figure:
        grid = figure.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(shown) :]:
            axes.remove()
        for result, axes in zip(shown, grid.flat):
            _draw(axes, result, recipe, kneser_ney)
        for k, axes in enumerate(grid.flat[: len(shown)]):
            if k + columns >= len(shown):  # nothing below it
                axes.tick_params(labelbottom=True)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=8)
        figure.supxlabel("share of the training", fontsize=9)
        figure.supylabel("loss, nats per token", fontsize=9)


def _draw(axes: "Axes", result: Result, recipe: Sequence[Result], kneser_ney: float | None) -> None:
    for k, own in enumerate(recipe):
        axes.plot(*_smooth(own), color="0.75", lw=1, label="the recipe, training" if k == 0 else None)
    axes.plot(*_smooth(result), color=MODEL, lw=1.2, label="training")
    if result.valid:
        last = result.curve[-1][0]
        steps, losses = zip(*result.valid)
        axes.plot(
            [s / last for s in steps],
            losses,
            "o",
            color=MODEL,
            ms=4,
            label="validation, and its perplexity",
            clip_on=False,
        )
    if kneser_ney is not None:
        axes.axhline(kneser_ney, color=KNESER_NEY, ls="--", lw=1, label="Kneser-Ney 5-gram, validation")
    figure = "diverged" if result.diverged else "" if result.best is None else f"{perplexity(result.best):,.1f}"
    axes.set_title(result.label, fontsize=8, loc="left")
    axes.text(0.97, 0.93, figure, transform=axes.transAxes, ha="right", va="top", fontsize=9, color=MODEL)
    axes.set(xlim=(0, 1), xticks=(0, 0.5, 1))
    axes.tick_params(labelsize=7)


def _smooth(result: Result) -> tuple[list[float], list[float]]:
    """Means of a few points each, against the share of the steps."""
    last = result.curve[-1][0]
    size = -(-len(result.curve) // POINTS)
    pieces = [result.curve[k : k + size] for k in range(0, len(result.curve), size)]
    return [p[-1][0] / last for p in pieces], [math.fsum(loss for _, loss in p) / len(p) for p in pieces]


def groups(found: Sequence[Result]) -> tuple[list[Result], dict[str, list[Result]]]:
    """The recipe's own runs, and the others by group."""
    others: dict[str, list[Result]] = {}
    for result in found:
        if result.group != RECIPE and result.curve:
            others.setdefault(result.group, []).append(result)
    return [r for r in found if r.group == RECIPE and r.curve], others
