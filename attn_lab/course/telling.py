"""A verdict in words: what is asked, or what is wrong, why, and where."""

from collections.abc import Sequence
from pathlib import Path

from attn_lab.checks.compare import Different
from attn_lab.course.answers import NotLoaded
from attn_lab.course.diagnosis import explain
from attn_lab.course.outcomes import Outcome, own_line, reason, smallest_case
from attn_lab.course.screen import places, shown, task, wrap
from attn_lab.course.shortcuts import Shortcut
from attn_lab.course.side_by_side import side_by_side
from attn_lab.course.verdict import Verdict


def tell(verdict: Verdict) -> list[str]:
    """The body of the screen; empty for an answer that passed."""
    if verdict.passed:
        return []
    return task(verdict.exercise, verdict.answer) if verdict.is_not_started else failure(verdict)


def failure(verdict: Verdict) -> list[str]:
    """An answer that is not right: the property, the counterexample, the diagnosis, the answer's own line."""
    first = verdict.first_failure
    if first is None or first.error is None:
        return []
    if isinstance(first.error, NotLoaded | Shortcut):  # no property was tried: the cause is all there is to say
        lines = wrap(f"{verdict.exercise.label}: {reason(first.error)}", most=4)
    else:
        n_held = sum(o.passed for o in verdict.outcomes)
        lines = [f"{verdict.exercise.label}: {n_held} of {len(verdict.outcomes)} properties hold"]
        lines += wrap(f"broken: {first.claim}", most=2)
        lines += wrap(reason(first.error), most=4)
    case = smallest_case(first.error)
    if case:
        lines += wrap(f"smallest case: {case}", most=2)
    if isinstance(first.error, Different):
        lines += side_by_side(first.error)
    lines += ["", *_diagnosis(verdict)]
    line = own_line(first.error, verdict.answer)
    if line and not isinstance(first.error, AssertionError):
        lines += wrap(f"your line: {shown(Path(line.partition(':')[0]))}:{line.partition(':')[2]}", most=2)
    return [*lines, "", *places(verdict.exercise, verdict.answer)[1:]]


def _diagnosis(verdict: Verdict) -> list[str]:
    if verdict.explains_itself:
        return []
    if verdict.matches:
        return wrap(explain(list(verdict.matches)), most=6)
    held = _names([o for o in verdict.outcomes if o.passed])
    broken = _names([o for o in verdict.outcomes if not o.passed])
    text = "No known mistake behaves exactly like this."
    return [text, *wrap(f"holds: {held}", most=2), *wrap(f"does not hold: {broken}", most=2)]


def _names(outcomes: Sequence[Outcome]) -> str:
    return "; ".join(o.test.removeprefix("test_").replace("_", " ") for o in outcomes) or "nothing"
