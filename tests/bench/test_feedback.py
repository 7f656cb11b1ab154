"""The measuring of a learner's wait: what is compared with what, and that a failure is no measurement."""

import sys
from pathlib import Path

import pytest

from attn_lab.bench import feedback
from attn_lab.bench.feedback import Wait
from attn_lab.course.new_course import write_course


def test_ratios_are_taken_within_a_round() -> None:
    """Catches a ratio of medians, which one slow minute distorts, and a goal that is said to be reached and is not."""
    waits = {
        "bare": [Wait(1.0, 0.5), Wait(9.0, 0.5), Wait(2.0, 0.5)],
        "pytest": [Wait(1.2, 0.0), Wait(11.7, 0.0), Wait(3.0, 0.0)],
        "right": [Wait(0.4, 0.3)] * 3,
        "wrong": [Wait(0.6, 0.5)] * 3,
    }
    each = {"e01": Wait(0.2, 0.1), "e02": Wait(2.0, 1.9), "e03": Wait(0.3, 0.2)}
    rows = {row[0]: row[1:] for row in feedback.cells(waits, each, Wait(61.0, 100.0))}
    assert rows["import torch, pytest, hypothesis"] == ("2.00", "0.50", "", "")
    assert rows["pytest on e02"] == ("3.00", "unknown", "1.5 times the import", "1.30 times")
    assert rows["watch, right answer saved"][-1] == "yes"
    assert rows["watch, wrong answer saved"][-1] == "no"
    assert rows["watch, each of 3 right answers saved"] == (
        "0.30",
        "0.20",
        "under 0.5 s",
        "yes (slowest: e02, 2.00 s)",
    )
    assert rows["3 solutions, all tests, 2 processes"] == ("61.0", "100.00", "under 60 s", "no")


def test_a_run_that_fails_is_no_measurement(tmp_path: Path) -> None:
    """Catches a quick failure that is taken for a quick verdict."""
    with pytest.raises(ValueError, match="no such thing"):
        feedback._run((sys.executable, "-c", "raise SystemExit('no such thing')"), tmp_path)


@pytest.mark.timeout(600)
def test_one_round(tmp_path: Path) -> None:
    """Catches words on the screen that the measuring waits for, and that the screen does not say any more."""
    write_course(tmp_path)
    waits = feedback.measure(tmp_path, rounds=1)
    assert set(waits) == {"bare", "pytest", "right", "wrong"}
    assert all(len(own) == 1 for own in waits.values())
