"""From one long text to batches: rows of contiguous text, cut into windows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Int
from torch import Tensor


def batchify(ids: Int[Tensor, " n"], batch_size: int) -> Int[Tensor, "batch length"]:
    """The text in `batch_size` rows of contiguous text; what does not fill a last column is left out (< batch_size).

    Raises:
        ValueError: batch_size is below 1, or the rows would be too short to predict anything.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    length = len(ids) // batch_size
    if length < 2:
        raise ValueError(
            f"a batch of {batch_size} rows needs at least {2 * batch_size} tokens, an input and a target for each; "
            f"got {len(ids)}. Take a smaller batch or a longer text"
        )
    return rearrange(ids[: batch_size * length], "(batch length) -> batch length", batch=batch_size)


def windows(
    batched: Int[Tensor, "batch length"], window: int
) -> Iterator[tuple[Int[Tensor, "batch n"], Int[Tensor, "batch n"]]]:
    """Inputs and targets, the target of a token being its successor; the last window may be shorter.

    Every token but the first of each row is a target exactly once.

    Raises:
        ValueError: window is below 1.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1; got {window}")
    inputs, targets = batched[:, :-1], batched[:, 1:]
    yield from zip(inputs.split(window, dim=1), targets.split(window, dim=1))


def n_windows(batched: Int[Tensor, "batch length"], window: int) -> int:
    """How many windows there are."""
    return -(-(batched.shape[1] - 1) // window)


@dataclass(frozen=True)
class Batches:
    """How a run's texts become batches: the reference's two functions by default, or yours in their place."""

    batchify: Callable[[Tensor, int], Tensor] = batchify
    windows: Callable[[Tensor, int], Iterable[tuple[Tensor, Tensor]]] = windows
