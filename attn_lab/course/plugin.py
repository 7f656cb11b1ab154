"""The course's pytest plugin: exercises in order, one at a time, and one screen that says what to do next.

It is registered by the conftest.py of the course's folder and touches only the tests below that folder.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from attn_lab.course.answers import load
from attn_lab.course.catalogue import Exercise, find, source
from attn_lab.course.limits import TimeUp, limits
from attn_lab.course.mistakes import catalogue
from attn_lab.course.outcomes import Outcome, outcome
from attn_lab.course.progress import ProgressFile
from attn_lab.course.screen import screen
from attn_lab.course.shortcuts import NoShortcuts
from attn_lab.course.verdict import Verdict, judge

NAME = "attn_lab_course"

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


def add_options(parser: pytest.Parser) -> None:
    """What `pytest exercises` understands besides pytest's own."""
    group = parser.getgroup("course", "attn-lab's course")
    group.addoption("--all", action="store_true", help="judge every exercise, those that are done too")
    group.addoption(
        "--impl", metavar="DIR", help="judge the answers in another folder that mirrors the course, such as solutions"
    )


class CoursePlugin:
    """One run over the course below `folder`."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self.folder = folder
        self.everything = bool(config.getoption("--all", False))
        impl = config.getoption("--impl", None)
        self.answers = folder if impl is None else _folder_of_answers(impl)
        self.is_learners = impl is None
        self.progress = ProgressFile(folder)
        self.named = any("::" in arg or arg.endswith(".py") for arg in config.args)
        self.loaded: dict[Exercise, Any] = {}
        self.seconds: dict[Exercise, float] = {}
        self.outcomes: dict[Exercise, list[Outcome]] = {}
        self.planned: dict[Exercise, int] = {}
        self.complete: dict[Exercise, int] = {}
        self.verdicts: list[Verdict] = []
        self.broken: list[str] = []
        is_alone = getattr(config.option, "dist", "no") == "no"  # pytest-xdist's processes have no screen to share
        self.is_quiet = is_alone and config.option.verbose <= 0 and not config.option.collectonly
        if self.is_quiet:  # neither a header nor dots nor tracebacks: the screen is enough
            config.option.verbose, config.option.tbstyle, config.option.no_summary = -2, "no", True
        hypothesis.settings.load_profile("course")
        torch.set_num_threads(1)  # the tests' tensors are tiny: a second thread costs more than it brings

    def exercise_of(self, item: pytest.Item) -> Exercise | None:
        """The exercise that a test belongs to; None for a test that is not the course's."""
        if not item.path.is_relative_to(self.folder) or not item.path.stem.startswith("test_e"):
            return None
        return find(item.path.stem)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """The course in its order; what is done is left out, unless it was named or all was asked for."""
        mine = [item for item in items if self.exercise_of(item)]
        for item in mine:
            exercise = self.exercise_of(item)
            if exercise:
                self.complete[exercise] = self.complete.get(exercise, 0) + 1
        done = [] if self.everything or self.named or not self.is_learners else self.progress.done()
        kept = sorted((i for i in mine if self.exercise_of(i) not in done), key=lambda i: i.path.stem)
        others = [item for item in items if not self.exercise_of(item)]
        if len(kept) < len(mine):
            config.hook.pytest_deselected(items=[i for i in mine if self.exercise_of(i) in done])
        items[:] = [*others, *kept]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """How many tests of each exercise will run."""
        for item in session.items:
            exercise = self.exercise_of(item)
            if exercise:
                self.planned[exercise] = self.planned.get(exercise, 0) + 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """After the first exercise that is not done, the rest waits."""
        exercise = self.exercise_of(item)
        stop = not (self.everything or self.named) and self.is_learners
        if exercise and stop and any(not v.passed for v in self.verdicts):
            return True
        return None

    @pytest.fixture(scope="module")
    def answer(self, request: pytest.FixtureRequest) -> Any:
        """The answer that is judged: what its file defines."""
        exercise = find(request.path.stem)
        file = exercise.answer(self.answers)
        if not file.is_file():  # a folder of answers may hold a few of them
            raise NotImplementedError(f"{exercise.label}: there is no {file.name} in {self.answers}")
        with self._watched(exercise):
            self.loaded[exercise] = load(file)
        return self.loaded[exercise]

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """The answer runs within limits, and without shortcuts."""
        exercise = self.exercise_of(pyfuncitem)
        if exercise is None:
            return (yield)
        with self._watched(exercise):
            return (yield)

    @contextmanager
    def _watched(self, exercise: Exercise) -> Iterator[None]:
        """Within what is left of the exercise's time, and without shortcuts."""
        known = catalogue(exercise)
        left = known.seconds - self.seconds.get(exercise, 0.0)
        if left <= 0:
            raise TimeUp
        start = time.monotonic()
        try:
            with limits(left), NoShortcuts(known.not_allowed, exercise.answer(self.answers)):
                yield
        finally:
            self.seconds[exercise] = self.seconds.get(exercise, 0.0) + time.monotonic() - start

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep what the test raised, and say it in our words."""
        report = yield
        exercise = self.exercise_of(item)
        failed_early = call.when == "setup" and call.excinfo is not None
        if exercise and (call.when == "call" or failed_early):
            error = call.excinfo.value if call.excinfo else None
            own = self.outcomes.setdefault(exercise, [])
            own.append(outcome(exercise, getattr(item, "obj", lambda: None), error))
            if len(own) == self.planned[exercise]:
                self._judge(exercise)
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be read is no answer's fault, and must not go unseen."""
        if report.failed:
            self.broken += [f"{report.nodeid} cannot be collected:", *str(report.longrepr).splitlines()[-3:]]

    def _judge(self, exercise: Exercise) -> None:
        file = exercise.answer(self.answers)
        verdict = judge(exercise, file, self.loaded.get(exercise), self.outcomes[exercise])
        self.verdicts.append(verdict)
        is_whole = len(self.outcomes[exercise]) == self.complete[exercise]
        if self.is_learners and (is_whole or not verdict.passed):
            self.progress.record(exercise, verdict.passed)

    def pytest_report_teststatus(self, report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
        """No dots: the screen says it."""
        if self.is_quiet and Path(config.rootpath, report.nodeid.partition("::")[0]).is_relative_to(self.folder):
            return report.outcome, "", ""
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """All of it done before: that is no failure."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.complete and not self.planned:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The screen."""
        for line in self.broken:
            terminalreporter.write_line(line)
        if not self.complete or terminalreporter.config.option.collectonly:
            return
        for exercise in self.outcomes.keys() - {v.exercise for v in self.verdicts}:  # cut short, by -x or Ctrl-C
            self._judge(exercise)
        if self.is_learners:
            done = self.progress.done()
        else:
            done = [v.exercise for v in self.verdicts if v.passed]
        for line in screen(done, self.verdicts):
            terminalreporter.write_line(line)


def register(config: pytest.Config, folder: Path) -> None:
    """Called by the conftest.py of the course's folder."""
    if not config.pluginmanager.has_plugin(NAME):
        config.pluginmanager.register(CoursePlugin(config, folder), NAME)


def _folder_of_answers(name: str) -> Path:
    path = Path(name)
    if not path.is_dir() and name == "solutions":
        path = source() / "solutions"
    if not path.is_dir():
        raise pytest.UsageError(f"--impl expects a folder with answers; {path.resolve()} is none")
    return path.resolve()
