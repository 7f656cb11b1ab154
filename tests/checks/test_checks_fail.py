"""Every known mistake is caught by the check that is meant for it, and nothing that is right is."""

import inspect

import pytest
import torch

from attn_lab.checks import ALL, Check, CheckFailed, for_subject
from tests.checks import mistakes
from tests.checks.mistakes import MISTAKES, RIGHT, Tried

# As many cases as the preflight tries, in the most exact setting of a machine with float64 and of one without.
IN_PREFLIGHT = 10
EXACT = (torch.float64, torch.float32)


def check_named(subject: str, name: str) -> Check:
    (check,) = (check for check in for_subject(subject) if check.name == name)
    return check


@pytest.mark.parametrize("dtype", EXACT, ids=str)
@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_caught(mistake: Tried, dtype: torch.dtype) -> None:
    """Catches a check that does not see what it is there for, or only by luck or with more cases than are tried."""
    check = check_named(mistake.subject, mistake.meant)
    with pytest.raises(CheckFailed) as failure:
        check.run(mistake.part, dtype=dtype, max_examples=IN_PREFLIGHT)
    assert failure.value.reason
    assert f"{check.name}: {failure.value.reason}\n  smallest case: " in str(failure.value)


@pytest.mark.parametrize("dtype", EXACT, ids=str)
@pytest.mark.parametrize("right", RIGHT, ids=str)
def test_what_is_right_passes(right: Tried, dtype: torch.dtype) -> None:
    """Catches a check that asks for the reference's own way of doing it."""
    for check in for_subject(right.subject):
        check.run(right.part, dtype=dtype, max_examples=IN_PREFLIGHT)


def test_every_check_is_meant_for_a_mistake() -> None:
    """Catches a check that nothing is known to fail: it may be unable to."""
    meant = {(mistake.subject, mistake.meant) for mistake in MISTAKES}
    assert {(check.subject, check.name) for check in ALL} == meant


def test_every_implementation_is_tried() -> None:
    """Catches a mistake that was written down and left out of the tables."""
    helpers = {"four_axes", "scores_of", "finish", "spoiled", "Tried"}
    tried = {x.spoiled or x.part.__name__ for x in (*MISTAKES, *RIGHT)}
    here = [x for x in vars(mistakes).values() if getattr(x, "__module__", None) == mistakes.__name__]
    written = {x.__name__ for x in here if inspect.isclass(x) or inspect.isfunction(x)}
    assert {name for name in written - helpers if not name.startswith("of_")} == tried
