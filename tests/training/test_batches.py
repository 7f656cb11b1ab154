"""Batches and windows: every token is predicted once, from its own past; and other ways to make them are proven."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from attn_lab.checks import Check, CheckFailed, preflight
from attn_lab.checks.laws_of_batches import BATCH_LAWS
from attn_lab.training import (
    Batches,
    PreflightFailed,
    RunFolder,
    Settings,
    batchify,
    evaluate,
    n_windows,
    train,
    windows,
)

texts = st.tuples(st.integers(1, 7), st.integers(2, 40), st.integers(0, 6), st.integers(1, 45))


@given(texts)
def test_rows_are_contiguous_text(sizes: tuple[int, int, int, int]) -> None:
    """Catches rows and columns mixed: `reshape(-1, batch)` puts neighbours of the text into different rows."""
    batch, length, rest, _ = sizes
    ids = torch.arange(batch * length + min(rest, batch - 1))
    batched = batchify(ids, batch)
    assert batched.tolist() == [list(range(row * length, (row + 1) * length)) for row in range(batch)]


@given(texts)
def test_each_target_is_the_successor_of_its_input(sizes: tuple[int, int, int, int]) -> None:
    """Catches targets that are not shifted, and windows that overlap or leave a gap."""
    batch, length, _, window = sizes
    batched = batchify(torch.arange(batch * length), batch)
    seen = []
    for inputs, targets in windows(batched, window):
        assert torch.equal(targets, inputs + 1)  # the text counts: a token's successor is its number plus one
        assert inputs.shape[1] <= window
        seen += targets.flatten().tolist()
    first_of_rows = {row * length for row in range(batch)}
    assert sorted(seen) == sorted(set(range(batch * length)) - first_of_rows)  # each once; the last, short window too


@given(texts)
def test_the_number_of_windows_is_known_beforehand(sizes: tuple[int, int, int, int]) -> None:
    """Catches a progress bar, and a resumed run, that miscount by the last short window."""
    batch, length, _, window = sizes
    batched = batchify(torch.arange(batch * length), batch)
    assert n_windows(batched, window) == sum(1 for _ in windows(batched, window))


@pytest.mark.parametrize(("tokens", "batch", "rows"), [(924_412, 20, 46_220), (73_339, 10, 7_333), (82_114, 10, 8_211)])
def test_the_notebooks_rows(tokens: int, batch: int, rows: int) -> None:
    """Catches a batchify that drops or pads differently from the notebook's."""
    assert batchify(torch.arange(tokens), batch).shape == (batch, rows)


def test_too_little_text_is_refused() -> None:
    """Catches rows too short to hold an input and its target."""
    with pytest.raises(ValueError, match=r"needs at least 20 tokens.*got 19"):
        batchify(torch.arange(19), 10)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        batchify(torch.arange(19), 0)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        next(windows(torch.zeros(2, 5, dtype=torch.long), 0))


ROWS, WINDOWS = BATCH_LAWS


def columns_for_rows(ids: Tensor, batch_size: int) -> Tensor:
    length = len(ids) // batch_size
    return ids[: batch_size * length].reshape(length, batch_size).T


def from_the_end(ids: Tensor, batch_size: int) -> Tensor:
    return batchify(ids[len(ids) % batch_size :], batch_size)


def a_column_lost(ids: Tensor, batch_size: int) -> Tensor:
    return batchify(ids, batch_size)[:, :-1]


def time_first(ids: Tensor, batch_size: int) -> Tensor:
    return batchify(ids, batch_size).T


def in_floats(ids: Tensor, batch_size: int) -> Tensor:
    return batchify(ids, batch_size).float()


def not_shifted(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    return ((inputs, inputs) for inputs, _ in windows(batched, window))


def shifted_within_the_window(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    return ((w[:, :-1], w[:, 1:]) for w in batched.split(window + 1, dim=1) if w.shape[1] > 1)


def short_one_lost(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    return ((i, t) for i, t in windows(batched, window) if i.shape[1] == min(window, batched.shape[1] - 1))


def overlapping(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, batched.shape[1] - 1, max(1, window - 1)):
        end = min(start + window, batched.shape[1] - 1)
        yield batched[:, start:end], batched[:, start + 1 : end + 1]


def first_token_predicted(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    return windows(torch.cat([batched[:, :1], batched], dim=1), window)


def back_to_front(batched: Tensor, window: int) -> list[tuple[Tensor, Tensor]]:
    return list(windows(batched, window))[::-1]


def numbered_on(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    return ((inputs, inputs + 1) for inputs, _ in windows(batched, window))


def for_ever(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from windows(batched, window)


def inputs_alone(batched: Tensor, window: int) -> Iterator[Tensor]:
    return (inputs for inputs, _ in windows(batched, window))


MISTAKES = [
    *((Batches(batchify=f), ROWS) for f in (columns_for_rows, from_the_end, a_column_lost, time_first, in_floats)),
    *(
        (Batches(windows=f), WINDOWS)
        for f in (
            not_shifted,
            shifted_within_the_window,
            short_one_lost,
            overlapping,
            first_token_predicted,
            back_to_front,
            numbered_on,
            for_ever,
            inputs_alone,
        )
    ),
]


def own_name(batches: Any) -> str:
    return next(f.__name__ for f in (batches.batchify, batches.windows) if f not in (batchify, windows))


@pytest.mark.usefixtures("no_shape_checker")
@pytest.mark.parametrize(("batches", "law"), [pytest.param(b, law, id=own_name(b)) for b, law in MISTAKES])
def test_wrong_batches_are_told_from_right_ones(batches: Batches, law: Check) -> None:
    """Catches a law that sees nothing, or that blames the windows for the rows."""
    with pytest.raises(CheckFailed):
        law.run(batches, max_examples=10)
    other = WINDOWS if law is ROWS else ROWS
    other.run(batches, max_examples=30)


def plain_slices(ids: Tensor, batch_size: int) -> Tensor:
    length = len(ids) // batch_size
    return torch.stack([ids[row * length : (row + 1) * length] for row in range(batch_size)])


def a_list_of_lists(batched: Tensor, window: int) -> list[list[Tensor]]:
    starts = range(0, batched.shape[1] - 1, window)
    return [[text[:, start : start + window] for text in (batched[:, :-1], batched[:, 1:])] for start in starts]


@pytest.mark.parametrize("batches", [Batches(), Batches(plain_slices, a_list_of_lists)], ids=["reference", "other"])
def test_right_batches_pass(batches: Batches) -> None:
    """Catches a law that asks for the reference's own way: a generator, views of one tensor."""
    results = [r for r in preflight(max_examples=5, batches=batches) if r.subject == "batches"]
    assert [(r.name, r.passed, r.message) for r in results] == [(law.name, True, "") for law in BATCH_LAWS]


def test_the_message_tells_what_is_wrong() -> None:
    """Catches a refusal that leaves the user to guess."""
    for law, batches, words in [
        (WINDOWS, Batches(windows=short_one_lost), r"expected \d windows, got \d: the last, short one is lost"),
        (WINDOWS, Batches(windows=for_ever), r"expected \d windows, got more"),
        (WINDOWS, Batches(windows=not_shifted), "the target of window 0, its input's successor, differs at batch = 0"),
        (ROWS, Batches(columns_for_rows), "batchify's answer differs at batch = "),
        (ROWS, Batches(in_floats), r"must be of torch\.int64, as the text is; got torch\.float32"),
    ]:
        with pytest.raises(CheckFailed, match=rf"{words}[^\n]*\n  smallest case: batch_size = "):
            law.run(batches, max_examples=30)


@pytest.mark.parametrize("batches", [Batches(columns_for_rows), Batches(windows=short_one_lost)], ids=own_name)
def test_a_run_with_wrong_batches_does_not_start(batches: Batches, tiny: Settings, tmp_path: Path) -> None:
    """Catches batches that are used before they are proven, or not at all proven."""
    run = RunFolder(tmp_path / "run")
    with pytest.raises(PreflightFailed) as refusal:
        train(tiny, run, batches=batches)
    lines = str(refusal.value).splitlines()[1:]
    assert len(lines) == 1
    assert lines[0].startswith("  batches: ")
    assert not run.config_file.exists()


def test_the_runs_own_batches_are_the_ones_that_train(tiny: Settings, tmp_path: Path, quick_preflight: None) -> None:
    """Catches batches that are proven and then left aside: by the training, the validation or the test."""
    calls: list[tuple[str, int]] = []

    def rows(ids: Tensor, batch_size: int) -> Tensor:
        calls.append(("rows", batch_size))
        return batchify(ids, batch_size)

    def cut(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
        calls.append(("windows", batched.shape[0]))
        yield from windows(batched, window)

    settings = replace(tiny, recipe=replace(tiny.recipe, epochs=1))
    own = train(settings, RunFolder(tmp_path / "own"), batches=Batches(rows, cut))
    assert calls[:6] == [("rows", 20), ("rows", 5), ("rows", 5), ("windows", 20), ("windows", 5), ("windows", 5)]
    assert set(calls[6:]) == {("rows", 5), ("windows", 5)}  # what the report looks into, on the validation text
    assert own == train(settings, RunFolder(tmp_path / "reference"))
    replaced = [
        json.loads((tmp_path / name / "config.json").read_text(encoding="utf-8"))["replaced_parts"]
        for name in ("own", "reference")
    ]
    assert replaced == [["batches"], []]


def test_other_batches_may_not_resume_a_run(tiny: Settings, tmp_path: Path, quick_preflight: None) -> None:
    """Catches a run that is finished with other parts than it was begun with."""
    settings, run = replace(tiny, recipe=replace(tiny.recipe, epochs=1)), RunFolder(tmp_path / "run")
    train(settings, run, batches=Batches(plain_slices))
    with pytest.raises(ValueError, match=r"is of other parts: those that were not the reference's are batches, not no"):
        train(settings, run, resume=True)
    train(settings, run, batches=Batches(plain_slices), resume=True)


def test_an_evaluation_cuts_its_windows_as_it_is_told() -> None:
    """Catches an evaluation of one's own model on somebody else's windows."""
    seen: list[int] = []

    def cut(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
        seen.append(window)
        yield from windows(batched, window)

    table = torch.nn.Embedding(9, 9)
    text = batchify(torch.randint(9, (50,)), 2)
    assert evaluate(table, text, 7, Batches(windows=cut)) == evaluate(table, text, 7)
    assert seen == [7]
