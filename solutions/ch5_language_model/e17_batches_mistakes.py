"""Wrong answers to e17 that have been seen, each with what it does and what a teacher would say; and right variants."""

from itertools import islice

import torch
import torch.nn.functional as F
from einops import rearrange

from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.training.batches.batchify", "attn_lab.training.batches.windows")


def check(ids, batch_size):
    if batch_size < 1 or len(ids) < 2 * batch_size:
        raise ValueError("too short")
    return len(ids) // batch_size


def every_bth_token(ids, batch_size):
    length = check(ids, batch_size)
    return rearrange(ids[: batch_size * length], "(length batch) -> batch length", batch=batch_size)


def time_first(ids, batch_size):
    length = check(ids, batch_size)
    return ids[: batch_size * length].view(batch_size, length).t().contiguous()


def rows_of_batch_size(ids, batch_size):
    length = check(ids, batch_size)
    return ids[: batch_size * length].view(length, batch_size)


def beginning_left_out(ids, batch_size):
    length = check(ids, batch_size)
    return ids[len(ids) - batch_size * length :].view(batch_size, length)


def rest_padded(ids, batch_size):
    check(ids, batch_size)
    length = -(-len(ids) // batch_size)
    return F.pad(ids, (0, batch_size * length - len(ids))).view(batch_size, length)


def one_column_short(ids, batch_size):
    check(ids, batch_size)
    length = (len(ids) - 1) // batch_size
    return ids[: batch_size * length].view(batch_size, length)


def rest_crashes(ids, batch_size):
    check(ids, batch_size)
    return ids.view(batch_size, -1)


def short_text_accepted(ids, batch_size):
    length = len(ids) // batch_size
    return ids[: batch_size * length].reshape(batch_size, length)


def text_resized(ids, batch_size):
    length = check(ids, batch_size)
    return ids.resize_(batch_size, length)


def starts(batched, window, last=None):
    if window < 1:
        raise ValueError("no window")
    return range(0, batched.shape[1] - 1 if last is None else last, window)


def not_shifted(batched, window):
    for i in starts(batched, window):
        inputs = batched[:, :-1][:, i : i + window]
        yield inputs, inputs


def shifted_backwards(batched, window):
    inputs, targets = batched[:, 1:], batched[:, :-1]
    for i in starts(batched, window):
        yield inputs[:, i : i + window], targets[:, i : i + window]


def rolled_in_the_window(batched, window):
    for i in starts(batched, window):
        inputs = batched[:, :-1][:, i : i + window]
        yield inputs, inputs.roll(-1, dims=1)


def last_window_lost(batched, window):
    last = batched.shape[1] - 1
    for i in starts(batched, window, last - last % max(window, 1)):
        yield batched[:, i : i + window], batched[:, i + 1 : i + 1 + window]


def last_input_without_target(batched, window):
    for i in starts(batched, window, batched.shape[1]):
        yield batched[:, i : i + window], batched[:, i + 1 : i + 1 + window]


def lone_token_at_the_end(batched, window):
    for i in starts(batched, window):
        yield batched[:, i : i + window], batched[:, i + 1 : i + 1 + window]


def targets_between_lost(batched, window):
    for i in starts(batched, window):
        piece = batched[:, i : i + window]
        if piece.shape[1] > 1:
            yield piece[:, :-1], piece[:, 1:]


def one_step_further_each(batched, window):
    starts(batched, window)
    last = batched.shape[1] - 1
    for i in range(max(1, last - window + 1)):
        end = min(i + window, last)
        yield batched[:, i:end], batched[:, i + 1 : end + 1]


def first_token_predicted(batched, window):
    inputs = F.pad(batched, (1, 0))[:, :-1]
    for i in starts(batched, window, batched.shape[1]):
        yield inputs[:, i : i + window], batched[:, i : i + window]


def along_the_batch(batched, window):
    for i in starts(batched, window, batched.shape[0] - 1):
        end = min(i + window, batched.shape[0] - 1)
        yield batched[i:end], batched[i + 1 : end + 1]


def two_ahead(batched, window):
    last = batched.shape[1] - 2
    for i in starts(batched, window, last):
        end = min(i + window, last)
        yield batched[:, i:end], batched[:, i + 2 : end + 2]


def only_the_next_token(batched, window):
    last = batched.shape[1] - 1
    for i in starts(batched, window):
        end = min(i + window, last)
        yield batched[:, i:end], batched[:, end : end + 1]


def no_window_accepted(batched, window):
    last = batched.shape[1] - 1
    for i in range(0, last, max(window, 1)):
        end = min(i + window, last)
        yield batched[:, i:end], batched[:, i + 1 : end + 1]


MISTAKES = (
    Mistake(
        "deals the tokens out to the rows in turn",
        "A row must be a piece of the text: fill row 0 to its end before row 1, as reshape(batch, length) does.",
        caught_by="test_a_row_is_contiguous_text",
        batchify=every_bth_token,
    ),
    Mistake(
        "returns rows and columns exchanged, the time first",
        "The batch comes first here: leave out the transpose that older code has, (batch length), not (length batch).",
        caught_by="test_a_row_is_contiguous_text",
        batchify=time_first,
    ),
    Mistake(
        "makes rows that are batch_size long",
        "batch_size is how many rows there are, not how long they are.",
        caught_by="test_a_row_is_contiguous_text",
        batchify=rows_of_batch_size,
    ),
    Mistake(
        "leaves out the beginning of the text in place of its end",
        "The rest that fills no column stands at the end: ids[: batch_size * length].",
        caught_by="test_a_row_is_contiguous_text",
        batchify=beginning_left_out,
    ),
    Mistake(
        "fills the last row up with zeros",
        "0 is a token like any other: leave out the few that do not fill a column, and make up none.",
        caught_by="test_rows_are_equally_long",
        batchify=rest_padded,
    ),
    Mistake(
        "leaves out a column too many where the text fills the rows",
        "The length is len(ids) // batch_size; the shift by one is the business of windows.",
        caught_by="test_rows_are_equally_long",
        batchify=one_column_short,
    ),
    Mistake(
        "crashes where the rows do not divide the text",
        "Cut off the rest before you reshape: ids[: batch_size * length].",
        caught_by="test_rows_are_equally_long",
        batchify=rest_crashes,
    ),
    Mistake(
        "makes the caller's text itself into rows",
        "The text is the caller's: reshape leaves it as it is and returns another tensor, resize_ changes it.",
        caught_by="test_the_text_is_left_as_it_is",
        batchify=text_resized,
    ),
    Mistake(
        "makes rows that are too short to predict anything",
        "Keep the check that was given: a row of one token has an input and no target.",
        caught_by="test_senseless_arguments_are_refused",
        batchify=short_text_accepted,
    ),
    Mistake(
        "takes the inputs as the targets",
        "The target is the next token: shift by one, or the model learns to copy what it sees.",
        caught_by="test_a_target_is_the_successor_of_its_input",
        windows=not_shifted,
    ),
    Mistake(
        "takes the token before as the target",
        "Inputs and targets are exchanged: the targets are the columns from 1 on.",
        caught_by="test_a_target_is_the_successor_of_its_input",
        windows=shifted_backwards,
    ),
    Mistake(
        "takes the window's first token as the target of its last",
        "roll() comes round to the beginning: the successor of the last input stands in the next window.",
        caught_by="test_a_target_is_the_successor_of_its_input",
        windows=rolled_in_the_window,
    ),
    Mistake(
        "takes the token after the next as the target",
        "Shift once: inputs that end before the last column, and targets that begin at the second.",
        caught_by="test_a_target_is_the_successor_of_its_input",
        windows=two_ahead,
    ),
    Mistake(
        "gives a window one target only, the token behind it",
        "Every position predicts its successor: a window of n inputs has n targets.",
        caught_by="test_windows_are_as_wide_as_they_can_be",
        windows=only_the_next_token,
    ),
    Mistake(
        "loses the short last window",
        "The last window may be shorter: those tokens are text too, and a perplexity without them is another's.",
        caught_by="test_every_token_but_the_first_is_a_target_once",
        windows=last_window_lost,
    ),
    Mistake(
        "takes the last token of a row as an input, and has no target for it",
        "Inputs end one column before the rows do: cut them from batched[:, :-1].",
        caught_by="test_windows_are_as_wide_as_they_can_be",
        windows=lone_token_at_the_end,
    ),
    Mistake(
        "yields a last window without targets where the last input stands alone",
        "Inputs end one column before the rows do: the loop over starts ends at length - 1, and so do the inputs.",
        caught_by="test_windows_are_as_wide_as_they_can_be",
        windows=last_input_without_target,
    ),
    Mistake(
        "loses a target between two windows",
        "Shift first, then cut: if each piece is shifted within itself, its last token is nobody's input.",
        caught_by="test_every_token_but_the_first_is_a_target_once",
        windows=targets_between_lost,
    ),
    Mistake(
        "moves on by one token at a time",
        "Windows stand side by side, start + window is the next start: else each token is a target many times.",
        caught_by="test_every_token_but_the_first_is_a_target_once",
        windows=one_step_further_each,
    ),
    Mistake(
        "predicts the first token of each row too, from a token that it made up",
        "Nothing stands before the first token of a row: it is an input only.",
        caught_by="test_every_token_but_the_first_is_a_target_once",
        windows=first_token_predicted,
    ),
    Mistake(
        "cuts the batch into windows, not the text",
        "Time runs along the second axis: cut columns, batched[:, start:end].",
        caught_by="test_every_token_but_the_first_is_a_target_once",
        windows=along_the_batch,
    ),
    Mistake(
        "accepts a window of no tokens",
        "Keep the check that was given: a window below 1 is a ValueError.",
        caught_by="test_senseless_arguments_are_refused",
        windows=no_window_accepted,
    ),
)


def by_einops(ids, batch_size):
    length = check(ids, batch_size)
    return rearrange(ids[: batch_size * length], "(batch length) -> batch length", batch=batch_size)


def by_chunks(ids, batch_size):
    length = check(ids, batch_size)
    return torch.stack([ids[k * length : (k + 1) * length] for k in range(batch_size)])


def by_narrow(ids, batch_size):
    length = check(ids, batch_size)
    return ids.narrow(0, 0, length * batch_size).view(batch_size, -1)


def by_split(batched, window):
    starts(batched, window)
    return zip(batched[:, :-1].split(window, dim=1), batched[:, 1:].split(window, dim=1))


def as_a_list(batched, window):
    starts(batched, window)
    inputs, targets = batched[:, :-1].clone(), batched[:, 1:].clone()
    return [(inputs[:, i : i + window], targets[:, i : i + window]) for i in starts(batched, window)]


VARIANTS = (
    Variant("einops for the rows", batchify=by_einops),
    Variant("slices that are stacked", batchify=by_chunks),
    Variant("narrow and view", batchify=by_narrow),
    Variant("split, on inputs and on targets", windows=by_split),
    Variant("a list of copies", windows=as_a_list),
)


def observe(answer, seed):
    """Texts that fill their rows or do not, windows that fit or do not, and arguments that make no sense."""
    batch, length, spare = ((3, 4, 2), (2, 5, 0), (4, 4, 1), (1, 7, 0), (5, 2, 3), (4, 3, 0))[seed % 6]
    n = 2 * batch - 1 if seed == 23 else batch * length + spare
    batch = 0 if seed == 22 else batch
    window = (2, 3, 1, 4, 100, 6, 0)[seed % 7]
    ids = torch.randint(50, (n,), generator=torch.Generator().manual_seed(seed))
    rows = torch.randint(50, (max(batch, 1), length), generator=torch.Generator().manual_seed(seed + 100))

    def cut(batched, width):
        return [list(pair) for pair in islice(answer.windows(batched, width), 100)]

    return {"batchify": behaviour(answer.batchify, ids, batch), "windows": behaviour(cut, rows, window)}
