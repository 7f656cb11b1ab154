"""Laws of batches: they agree with plain slices of the text. A training run asks for them; no model is involved."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from hypothesis import strategies as st
from jaxtyping import Int
from torch import Tensor

from attn_lab.checks.cases import generator
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, require
from attn_lab.checks.setting import EXACT, Setting


@dataclass(frozen=True)
class BatchesCase:
    """Rows of a text, their length, how many tokens more the text has, and the longest window."""

    batch_size: int
    length: int
    rest: int
    window: int
    seed: int

    def text(self) -> Int[Tensor, " n"]:
        """Token ids, each another, in no order that could stand in for their place."""
        n = self.batch_size * self.length + min(self.rest, self.batch_size - 1)
        return torch.randperm(n, generator=generator(self.seed), device="cpu")

    def rows(self) -> Int[Tensor, "batch length"]:
        """The text's rows, by plain slices."""
        text, length = self.text(), self.length
        return torch.stack([text[row * length : (row + 1) * length] for row in range(self.batch_size)])


cases = st.builds(
    BatchesCase,
    batch_size=st.sampled_from((3, 2, 5, 1)),
    length=st.sampled_from((7, 8, 5, 3, 2)),
    rest=st.sampled_from((0, 1, 4)),
    window=st.sampled_from((3, 2, 4, 1, 9)),
    seed=st.integers(0, 9999),
)


def _rows_are_slices(batches: Any, case: BatchesCase, setting: Setting = EXACT) -> None:
    _same_ids(batches.batchify(case.text(), case.batch_size), case.rows(), "batchify's answer", "batch length")


def _windows_are_slices(batches: Any, case: BatchesCase, setting: Setting = EXACT) -> None:
    rows, window = case.rows(), case.window
    begins = range(0, case.length - 1, window)
    # One more than there should be, and no further: an answer may go on for ever.
    found = list(islice(batches.windows(setting.put(rows), window), len(begins) + 1))
    for k, (begin, (inputs, targets)) in enumerate(zip(begins, found)):
        end = min(begin + window, case.length - 1)
        _same_ids(inputs, rows[:, begin:end], f"the input of window {k}", "batch n")
        _same_ids(targets, rows[:, begin + 1 : end + 1], f"the target of window {k}, its input's successor,", "batch n")
    lost = "the last, short one is lost" if len(found) == len(begins) - 1 else "some are lost"
    require(len(found) >= len(begins), f"expected {len(begins)} windows, got {len(found)}: {lost}")
    require(len(found) == len(begins), f"expected {len(begins)} windows, got more: nothing is left to predict")


def _same_ids(actual: Any, expected: Tensor, what: str, axes: str) -> None:
    agree(actual, expected, 0.0, what, axes)
    require(actual.dtype == expected.dtype, f"{what} must be of {expected.dtype}, as the text is; got {actual.dtype}")


BATCH_LAWS = (
    Check("each row of a batch is contiguous text", "batches", cases, _rows_are_slices),
    Check(
        "each target is its input's successor, and every token but the first of each row is a target once",
        "batches",
        cases,
        _windows_are_slices,
    ),
)
