"""From one long text to batches: rows that are read side by side, cut into windows, each with its targets.

To write: `batchify` and `windows`. Given: the signatures, and the errors for arguments that make no sense.
Not allowed: attn_lab's own `batchify` and `windows`.
"""

from collections.abc import Iterator

from torch import Tensor


def batchify(ids: Tensor, batch_size: int) -> Tensor:
    """The text in `batch_size` rows of equal length, each a contiguous piece of it.

    Row 0 is the beginning of the text, row 1 goes on where row 0 ends, and so on. The rows are as long as they can be;
    the few tokens at the end of the text that do not fill another column (fewer than batch_size) are left out.

    Args:
        ids: (n), the whole text.

    Returns:
        (batch length)

    Raises:
        ValueError: batch_size is below 1, or a row would have no two tokens: an input, and a target to predict.
    """
    if batch_size < 1 or len(ids) < 2 * batch_size:
        raise ValueError(
            f"expected batch_size >= 1 and two tokens for each row; got batch_size {batch_size}, {len(ids)} tokens"
        )
    # answer: rows of contiguous text, of equal length
    length = len(ids) // batch_size

    # Only what fills the rows. Then a reshape is enough: it reads the text from left to right, and writes the rows from
    # left to right, one below the other.
    kept = ids[: batch_size * length]
    return kept.reshape(batch_size, length)
    # end of answer


def windows(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of inputs and targets, from left to right through all rows at once; a target is its input's successor.

    Every token but the first of each row is a target once and only once. Each pair has `window` columns; the last may
    have fewer.

    Args:
        batched: (batch length)

    Yields:
        inputs (batch n) and targets (batch n), with 1 <= n <= window

    Raises:
        ValueError: window is below 1.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1; got {window}")
    # answer: pairs of inputs and their successors, the short last one too
    # The last token of a row has no successor, so it is no input; the first has no predecessor, so it is no target.
    last = batched.shape[1] - 1
    for start in range(0, last, window):
        # A slice may end beyond a tensor's end, but here it must not go beyond `last`: the inputs would be one column
        # longer than their targets.
        end = min(start + window, last)
        yield batched[:, start:end], batched[:, start + 1 : end + 1]
    # end of answer
