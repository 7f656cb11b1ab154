"""The verdict on an answer: done, not started, or what is wrong with it and which known mistake it is."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attn_lab.course.answers import NotLoaded
from attn_lab.course.catalogue import Exercise
from attn_lab.course.diagnosis import Match, diagnose
from attn_lab.course.limits import Ended, TimeUp, limits
from attn_lab.course.mistakes import catalogue
from attn_lab.course.outcomes import Outcome
from attn_lab.course.shortcuts import Shortcut
from attn_lab.course.stubs import is_hunt, stub


@dataclass(frozen=True)
class Verdict:
    """What came of all tests of one exercise, in their order."""

    exercise: Exercise
    answer: Path
    outcomes: tuple[Outcome, ...]
    matches: tuple[Match, ...] = field(default=())
    is_untouched: bool = False

    @property
    def passed(self) -> bool:
        """Whether every property holds."""
        return bool(self.outcomes) and all(o.passed for o in self.outcomes)

    @property
    def is_not_started(self) -> bool:
        """Whether every test met the stub's own exception, or the stub of a bug hunt is as it was."""
        return self.is_untouched or (bool(self.outcomes) and all(o.is_not_started for o in self.outcomes))

    @property
    def first_failure(self) -> Outcome | None:
        """What to look at first: what was written and is wrong, before what is not written yet."""
        failures = [o for o in self.outcomes if not o.passed]
        return next((o for o in failures if not o.is_not_started), failures[0] if failures else None)

    @property
    def explains_itself(self) -> bool:
        """Whether the failure says all there is to say: nothing to diagnose."""
        first = self.first_failure
        return first is None or first.is_not_started or isinstance(first.error, NotLoaded | Shortcut | TimeUp | Ended)


def judge(exercise: Exercise, file: Path, answer: Any, outcomes: list[Outcome]) -> Verdict:
    """The verdict, with the diagnosis where something is to be diagnosed."""
    verdict = Verdict(exercise, file, tuple(outcomes), is_untouched=_is_untouched_hunt(exercise, file))
    if verdict.is_not_started or verdict.explains_itself or answer is None:
        return verdict
    try:
        with limits(seconds=20), _silence():
            return replace(verdict, matches=tuple(diagnose(catalogue(exercise), answer)))
    except TimeUp:
        return verdict


@contextmanager
def _silence() -> Iterator[None]:
    """What the answer prints belongs to the tests, where pytest keeps it; there is nobody to answer its questions."""
    said, before = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            yield
    finally:
        sys.stdin = before


def _is_untouched_hunt(exercise: Exercise, file: Path) -> bool:
    """A program with a bug runs and fails tests as any wrong answer does: only its text says that nobody began."""
    return is_hunt(exercise) and file.is_file() and file.read_text(encoding="utf-8", errors="replace") == stub(exercise)
