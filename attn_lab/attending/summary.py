"""All heads of a model at once: a table, and a picture of what each looks at on average."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_lab.attending.heads import HeadSummary, head_summaries
from attn_lab.attending.weights import attention_weights
from attn_lab.tables import Row, markdown_table

HEADER: Row = (
    "layer.head",
    "entropy, nats",
    "of uniform",
    "mean distance, tokens",
    "on the previous token",
    "on itself",
    "on the first token",
    "positional",
    "kind",
)
# The same for a terminal of 80 columns, and what the words stand for.
SHORT: Row = ("head", "entropy", "even", "distance", "prev.", "self", "first", "place", "kind")
LEGEND = (
    "The heads: entropy in nats, and as a share of even weights' entropy; mean distance in tokens; weight on the "
    "previous token, the token itself, the first; the share that its place alone decides"
)


@dataclass(frozen=True)
class AttentionSummary:
    """What the heads of a model do over some windows of text.

    Args:
        heads: layer by layer.
        mean_maps: of each layer, the weights of each head averaged over the windows.
        n_windows: how many windows there were.
        window: their length, in tokens.
    """

    heads: list[HeadSummary]
    mean_maps: list[Float[Tensor, "h n n"]]
    n_windows: int
    window: int

    def markdown(self) -> str:
        """The table, in Markdown."""
        return markdown_table(HEADER, table_rows(self.heads))

    def draw(self, path: Path) -> None:
        """The mean maps as a PNG, a row for each layer."""
        from attn_lab.attending.maps import draw_overview  # matplotlib is heavy

        draw_overview(self.mean_maps, self.heads, path)


def attention_summary(
    model: nn.Module, rows: Int[Tensor, "batch length"], window: int, *, n_windows: int = 16
) -> AttentionSummary:
    """The heads of a model over windows of a text, spread evenly over it.

    Args:
        model: see `attention_weights`.
        rows: token ids, each row contiguous text, such as the validation text in batches.
        window: the length of a window, in tokens; a shorter text is one window.
        n_windows: how many windows, if the text has so many.

    Raises:
        NoWeights: the model has no place where its weights can be seen.
        ValueError: window or n_windows is below 1, or there is no text.

    Cost: one forward pass of n_windows texts, and O(nlayers n_windows nhead window²) memory.
    """
    texts = spread_windows(rows, window, n_windows)
    weights, _ = attention_weights(model, texts)
    means = [reduce(layer, "b h i j -> h i j", "mean") for layer in weights]
    return AttentionSummary(head_summaries([weights]), means, len(texts), texts.shape[1])


def spread_windows(rows: Int[Tensor, "batch length"], window: int, n_windows: int) -> Int[Tensor, "b n"]:
    """So many windows of a text, of those side by side in it, from its beginning to its end.

    Raises:
        ValueError: window or n_windows is below 1, or there is no text.
    """
    if window < 1 or n_windows < 1 or rows.numel() == 0:
        raise ValueError(
            f"expected a window and a number of windows of at least 1, and a text of at least one token; "
            f"got {window}, {n_windows} and rows of shape {tuple(rows.shape)}"
        )
    window = min(window, rows.shape[1])
    whole = rows.shape[1] // window * window
    cut = rearrange(rows[:, :whole], "batch (windows n) -> (batch windows) n", n=window)
    chosen = torch.linspace(0, len(cut) - 1, min(n_windows, len(cut)), dtype=torch.float64, device="cpu").round().long()
    return cut[chosen.to(cut.device)]


def table_rows(heads: Sequence[HeadSummary]) -> list[Row]:
    """The cells of a table of heads, under HEADER."""
    return [
        (
            f"{head.layer}.{head.head}",
            number(head.entropy),
            number(head.entropy / head.uniform) if head.uniform else number(head.uniform),
            number(head.distance, 1),
            number(head.previous),
            number(head.own),
            number(head.first),
            number(head.positional),
            head.kind,
        )
        for head in heads
    ]


def number(x: float, digits: int = 2) -> str:
    """A number as it is shown; a dash where there is none."""
    return "-" if x != x else f"{x:.{digits}f}"
