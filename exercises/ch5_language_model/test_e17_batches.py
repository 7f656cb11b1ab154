"""What e17 batches must do, from the simplest property to the strictest."""

from itertools import islice

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.checks.cases import generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.strategies import FEW, LENGTHS

BATCHES = st.sampled_from((3, 2, 4, 1, 5))
WINDOWS = st.sampled_from((3, 2, 5, 1, 100))
SPARE = st.integers(0, 4)


def text(n):
    """A text in which every token is another, in no order that could stand in for their places."""
    return 100 + torch.randperm(n, generator=generator(n))


def rows(batch, length):
    """Rows of different tokens, as if cut from a text by somebody else."""
    return text(batch * length).view(batch, length)


def pairs(answer, batched, window):
    """The windows as a list, each known to be a pair of tensors of ids."""
    found = list(islice(answer.windows(batched, window), 100))  # no more: a wrong answer may go on for ever
    for pair in found:
        require(
            isinstance(pair, tuple | list) and len(pair) == 2, f"windows must yield (inputs, targets); got {pair!r}"
        )
        for name, part in zip(("inputs", "targets"), pair):
            require(isinstance(part, torch.Tensor), f"the {name} must be a tensor; got {type(part).__name__}")
            require(part.dtype == batched.dtype, f"the {name} must be {batched.dtype} as the rows; got {part.dtype}")
    return found


@given(BATCHES, st.sampled_from((4, 3, 2, 7)), SPARE)
def test_rows_are_equally_long(answer, batch, length, spare):
    """`batchify` returns (batch length), each row as long as the text allows."""
    spare %= batch
    batched = answer.batchify(text(batch * length + spare), batch)
    require(isinstance(batched, torch.Tensor), f"batchify must return a tensor; got {type(batched).__name__}")
    require(batched.dtype == torch.int64, f"ids of int64 must stay int64; got {batched.dtype}")
    agree(torch.empty(batched.shape), torch.empty(batch, length), torch.inf, "the batch", "batch length")


@given(BATCHES, st.sampled_from((4, 3, 2, 7)), SPARE)
def test_a_row_is_contiguous_text(answer, batch, length, spare):
    """Row r holds the tokens r * length to (r + 1) * length - 1 of the text; only its end is left out."""
    spare %= batch
    ids = text(batch * length + spare)
    expected = torch.stack([ids[r * length : (r + 1) * length] for r in range(batch)])
    agree(answer.batchify(ids, batch), expected, 0.0, "the batch", "batch length")


@given(FEW, LENGTHS.filter(lambda n: n > 1), WINDOWS)
def test_windows_are_as_wide_as_they_can_be(answer, batch, length, window):
    """Inputs and targets of a window have one shape, (batch n): n = window, but for the last, and never 0."""
    found = pairs(answer, rows(batch, length), window)
    wanted, full = -(-(length - 1) // window), (length - 1) // window
    require(len(found) == wanted, f"rows of {length} have {wanted} windows of {window} or less; got {len(found)}")
    for k, (inputs, targets) in enumerate(found):
        n = window if k < full else (length - 1) % window
        agree(torch.empty(inputs.shape), torch.empty(batch, n), torch.inf, f"the inputs of window {k}", "batch n")
        agree(torch.empty(targets.shape), torch.empty(batch, n), torch.inf, f"the targets of window {k}", "batch n")


@given(FEW, LENGTHS.filter(lambda n: n > 1), WINDOWS)
def test_a_target_is_the_successor_of_its_input(answer, batch, length, window):
    """In the text, the target comes right after the input that stands in its place."""
    batched = rows(batch, length)
    after = dict(zip(batched[:, :-1].flatten().tolist(), batched[:, 1:].flatten().tolist()))
    for k, (inputs, targets) in enumerate(pairs(answer, batched, window)):
        expected = [[after.get(token, -1) for token in row] for row in inputs.tolist()]
        agree(targets, torch.tensor(expected).view(inputs.shape), 0.0, f"the targets of window {k}", "batch n")


@given(FEW, LENGTHS.filter(lambda n: n > 1), WINDOWS)
def test_every_token_but_the_first_is_a_target_once(answer, batch, length, window):
    """All targets side by side are the rows without their first column; all inputs, without their last."""
    batched = rows(batch, length)
    found = pairs(answer, batched, window)
    require(len(found) > 0, f"there are no windows in rows of {length}")
    inputs, targets = (torch.cat(parts, dim=1) for parts in zip(*found))
    agree(targets, batched[:, 1:], 0.0, "all targets, side by side,", "batch length")
    agree(inputs, batched[:, :-1], 0.0, "all inputs, side by side,", "batch length")


@given(BATCHES, st.sampled_from((4, 3, 2, 7)), SPARE, WINDOWS)
def test_the_text_is_left_as_it_is(answer, batch, length, spare, window):
    """Neither the text nor the rows are changed."""
    ids, batched = text(batch * length + spare), rows(batch, length)
    copy, before = ids.clone(), batched.clone()
    answer.batchify(ids, batch)
    pairs(answer, batched, window)
    agree(ids, copy, 0.0, "the text, after batchify,", "n")
    agree(batched, before, 0.0, "the rows, after windows,", "batch length")


@given(BATCHES, st.integers(-1, 0))
def test_senseless_arguments_are_refused(answer, batch, too_small):
    """Rows of fewer than two tokens, a batch size below 1 and a window below 1 raise a ValueError; more is accepted."""
    answer.batchify(text(2 * batch), batch)
    pairs(answer, rows(batch, 2), 1)
    calls = {
        f"batchify of {2 * batch - 1} tokens into {batch} rows": lambda: answer.batchify(text(2 * batch - 1), batch),
        f"batchify with batch_size {too_small}": lambda: answer.batchify(text(9), too_small),
        f"windows with window {too_small}": lambda: pairs(answer, rows(batch, 4), too_small),
    }
    for name, call in calls.items():
        try:
            call()
        except ValueError:
            continue
        raise AssertionError(f"{name} must raise a ValueError")
