"""A row in which nothing is allowed: its scores, what a plain softmax makes of it, and what should come of it."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from attn_lab.scaled_dot_product import masked_softmax
from figures.style import HIDDEN, as_matrix, draw_mask, draw_weights, to_html

WRONG = "#c2571a"


def plain_and_masked(scores: Tensor, mask: Tensor) -> str:
    """Three tables (i j): the scores under the mask, the softmax with -inf, and masked_softmax."""
    figure = Figure(figsize=(8.4, 3.1), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_mask(left, mask, "scores; hidden ones are grey")
    _numbers(left, scores, mask, "{:.1f}")
    plain = scores.masked_fill(~mask, -math.inf).softmax(-1)
    for axes, weights, title in (
        (middle, plain, "softmax, with -inf for hidden"),
        (right, masked_softmax(scores, mask), "masked_softmax"),
    ):
        draw_weights(axes, weights.nan_to_num(), mask, 1.0)
        as_matrix(axes, *weights.shape)
        axes.set_title(title)
        _numbers(axes, weights, mask, "{:.2f}")
    empty = ", ".join(str(i) for i, row in enumerate(mask.tolist()) if not any(row))
    description = f"Tables of scores and of weights. Row {empty} is hidden as a whole: NaN in one, zeros in the other."
    caption = f"Query {empty} may attend to nothing. Everything else is the same in both tables of weights."
    return to_html(figure, "empty rows", description, caption)


def _numbers(axes: Axes, table: Tensor, mask: Tensor, form: str) -> None:
    for i, row in enumerate(table.tolist()):
        for j, number in enumerate(row):
            wrong, dark = number != number, mask[i, j] and (form == "{:.1f}" or number > 0.45)
            if wrong:
                axes.add_patch(Rectangle((j + 0.02, i + 0.02), 0.96, 0.96, facecolor=WRONG, edgecolor=HIDDEN))
            colour = "white" if wrong or dark else "#1d2433"
            text = "NaN" if wrong else form.format(number)
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", color=colour, fontsize=8.5)
