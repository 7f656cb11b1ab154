"""An answer put to its tests, within limits and without shortcuts: what pytest, `check` and `watch` have in common."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import torch

from attn_lab.course.answers import NotLoaded, load
from attn_lab.course.catalogue import Exercise
from attn_lab.course.limits import TimeUp, limits
from attn_lab.course.mistakes import catalogue
from attn_lab.course.outcomes import Outcome, outcome, run, tests_of
from attn_lab.course.progress import fingerprint
from attn_lab.course.shortcuts import Shortcut, no_shortcuts, refuse_borrowed
from attn_lab.course.verdict import Verdict, judge

COURSE = hypothesis.settings(
    max_examples=25,
    derandomize=True,  # the same cases each time: what fails once fails again
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    verbosity=hypothesis.Verbosity.quiet,
    phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.register_profile("course", COURSE)


def get_ready() -> None:
    """Set this process up to judge."""
    hypothesis.settings.load_profile("course")
    torch.set_num_threads(1)  # the tests' tensors are tiny: a second thread costs more than it brings
    # PyTorch's million objects stay for good: to look through them for garbage, again and again, took a fifth of a run.
    gc.freeze()
    gc.set_threshold(20_000)


class Trial:
    """One answer on trial: its file is loaded and its tests are run under the same rules, whoever runs them.

    `answers` and `tests` are folders that mirror the course; `fingerprint` is of both files as they were at the start.
    """

    def __init__(self, exercise: Exercise, answers: Path, tests: Path) -> None:
        self.exercise = exercise
        self.file, self.specification = exercise.answer(answers), exercise.test(tests)
        self.fingerprint = fingerprint(self.file, self.specification)
        self.answer: Any = None
        self.outcomes: list[Outcome] = []
        self.seconds = 0.0

    def load(self) -> Any:
        """What the file defines.

        Raises:
            NotImplementedError: there is no such file: a folder of answers may hold a few of them.
            NotLoaded: it cannot be run.
            Shortcut: it is what it was to replace, or begins with it.
        """
        if not self.file.is_file():
            name, folder = self.file.name, self.file.parents[1]
            raise NotImplementedError(f"{self.exercise.label}: there is no {name} in {folder}")
        try:
            with self.watched():
                answer = load(self.file)
        except NotLoaded as error:
            if isinstance(error.__cause__, Shortcut):  # a forbidden import, for instance: that says it all
                raise error.__cause__ from None
            raise
        refuse_borrowed(answer, catalogue(self.exercise).not_allowed)
        self.answer = answer
        return self.answer

    @contextmanager
    def watched(self) -> Iterator[None]:
        """The answer's code runs inside: within what is left of the exercise's time, and without shortcuts."""
        known = catalogue(self.exercise)
        left = known.seconds - self.seconds
        if left <= 0:
            raise TimeUp
        start, gradients, dtype = time.monotonic(), torch.is_grad_enabled(), torch.get_default_dtype()
        try:
            with limits(left), no_shortcuts(known.not_allowed, self.file):
                yield
        finally:
            self.seconds += time.monotonic() - start
            torch.set_grad_enabled(gradients)  # what one answer switches is not the next one's affair
            torch.set_default_dtype(dtype)

    def note(self, test: Callable[..., Any], error: BaseException | None) -> None:
        """A test was run; what it raised, or None."""
        self.outcomes.append(outcome(self.exercise, test, error))

    def verdict(self) -> Verdict:
        """After the last test."""
        return judge(self.exercise, self.file, self.answer, self.outcomes)


def judged(exercise: Exercise, folder: Path) -> tuple[Verdict, str]:
    """The verdict that pytest would come to, without pytest; and the fingerprint of what was judged."""
    trial = Trial(exercise, folder, folder)
    unable: BaseException | None = None
    try:
        trial.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an answer may raise anything, TimeUp too
        unable = error
    for test in tests_of(load(trial.specification)).values():
        trial.note(test, unable or _run(trial, test))
    return trial.verdict(), trial.fingerprint


def _run(trial: Trial, test: Callable[..., Any]) -> BaseException | None:
    try:
        with trial.watched():
            return run(test, trial.answer)
    except TimeUp as error:  # raised by the clock between two lines, or because there was no time left
        return error
