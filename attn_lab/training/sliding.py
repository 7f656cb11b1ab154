"""Windows that overlap: most tokens see more of the text before them, at the price of reading it several times.

In windows that stand end to end the first token of each is predicted from one token, the second from two: half of a
text is judged on less than half a window. Where windows go on by a stride, each token but the first window's sees more
than window - stride tokens before it.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

IGNORED = -100  # the target that F.cross_entropy does not count
TOKENS_AT_ONCE = 4096  # about as many as fill a processor, and their logits fit a small memory


def sliding_windows(
    batched: Int[Tensor, "batch length"], window: int, stride: int
) -> Iterator[tuple[Int[Tensor, "b n"], Int[Tensor, "b n"]]]:
    """Inputs and targets; a target that an earlier window has counted is `IGNORED`.

    Every token but the first of each row is counted exactly once. With stride = window these are the plain windows of
    `attn_lab.training.windows`, and with stride 1 every token sees a full window, at `window` times the work. Several
    windows at a time, so that a stride of 1 is no loop over tokens.

    Raises:
        ValueError: window is below 1, or the stride is not between 1 and the window.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1; got {window}")
    if not 1 <= stride <= window:
        raise ValueError(f"the stride must be between 1 and the window, {window}, or tokens go uncounted; got {stride}")
    inputs, targets = batched[:, :-1], batched[:, 1:]
    batch, n = inputs.shape
    starts = range(0, max(1, n - window + stride), stride)
    whole = starts[: sum(start + window <= n for start in starts)]
    at_once = max(1, TOKENS_AT_ONCE // (batch * window))
    groups = [whole[k : k + at_once] for k in range(0, len(whole), at_once)]
    for group in [*groups, *([start] for start in starts[len(whole) :])]:  # the last window may be shorter: by itself
        yield (
            torch.cat([inputs[:, start : start + window] for start in group]),
            torch.cat([_fresh(targets, start, window, stride) for start in group]),
        )


def _fresh(targets: Int[Tensor, "batch n"], start: int, window: int, stride: int) -> Int[Tensor, "batch m"]:
    """The targets of the window that begins at `start`, those of the one before it put out."""
    fresh = targets[:, start : start + window].clone()
    if start:
        fresh[:, : window - stride] = IGNORED
    return fresh
