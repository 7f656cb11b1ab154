"""The course's pytest plugin: exercises in order, one at a time, and one screen that says what to do next.

It is registered by the conftest.py of the course's folder and touches only the tests below that folder.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from attn_lab.course.catalogue import Exercise, exercises, source
from attn_lab.course.outcomes import n_tests, reset_chance
from attn_lab.course.progress import ProgressFile
from attn_lab.course.screen import screen
from attn_lab.course.telling import tell
from attn_lab.course.trial import Trial, get_ready
from attn_lab.course.verdict import Verdict

NAME = "attn_lab_course"


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
        is_named = any("::" in arg or arg.endswith(".py") for arg in config.args)
        self.named = is_named or bool(config.getoption("keyword", ""))  # what is asked for by name is run, done or not
        self.by_test = {exercise.test(folder): exercise for exercise in exercises()}
        self.trials: dict[Exercise, Trial] = {}
        self.planned: dict[Exercise, int] = {}
        self.collected: set[Exercise] = set()
        self.all_done = False
        self.verdicts: list[Verdict] = []
        self.broken: list[str] = []
        is_alone = getattr(config.option, "dist", "no") == "no"  # pytest-xdist's processes have no screen to share
        self.is_quiet = is_alone and config.option.verbose <= 0 and not config.option.collectonly
        if self.is_quiet:  # neither a header nor dots nor tracebacks: the screen is enough
            config.option.verbose, config.option.tbstyle, config.option.no_summary = -2, "no", True
        get_ready()

    def exercise_of(self, item: pytest.Item) -> Exercise | None:
        """The exercise that a test belongs to; None for a test that is not the course's."""
        return self.by_test.get(item.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """The course in its order; what is done is left out, unless it was named or all was asked for."""
        mine = [item for item in items if self.exercise_of(item)]
        for item in mine:
            exercise = self.exercise_of(item)
            if exercise:
                self.collected.add(exercise)
        done = [] if self.everything or self.named or not self.is_learners else self.progress.done()
        kept = sorted((i for i in mine if self.exercise_of(i) not in done), key=lambda i: i.path.stem)
        others = [item for item in items if not self.exercise_of(item)]
        if len(kept) < len(mine):
            config.hook.pytest_deselected(items=[i for i in mine if self.exercise_of(i) in done])
        items[:] = [*others, *kept]
        self.all_done = bool(mine) and not kept

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

    def trial(self, exercise: Exercise) -> Trial:
        """The exercise's answer on trial."""
        if exercise not in self.trials:
            self.trials[exercise] = Trial(exercise, self.answers, self.folder)
        return self.trials[exercise]

    @pytest.fixture(scope="module")
    def answer(self, request: pytest.FixtureRequest) -> Any:
        """The answer that is judged: what its file defines."""
        return self.trial(self.by_test[request.path]).load()

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """The answer runs within limits, and without shortcuts."""
        exercise = self.exercise_of(pyfuncitem)
        if exercise is None:
            return (yield)
        with self.trial(exercise).watched():
            reset_chance()
            return (yield)

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
            trial = self.trial(exercise)
            trial.note(getattr(item, "obj", lambda: None), error)
            if len(trial.outcomes) == self.planned[exercise]:
                self._judge(trial)
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be read is no answer's fault, and must not go unseen."""
        if report.failed:
            self.broken += [f"{report.nodeid} cannot be collected:", *str(report.longrepr).splitlines()[-3:]]

    def _judge(self, trial: Trial) -> None:
        verdict, exercise = trial.verdict(), trial.exercise
        self.verdicts.append(verdict)
        if self.is_learners and (self._is_whole(verdict) or not verdict.passed):
            self.progress.record(exercise, trial.fingerprint if verdict.passed else None)

    def _is_whole(self, verdict: Verdict) -> bool:
        """Whether every test of the exercise was run, and not some that were picked by name."""
        return len(verdict.outcomes) == n_tests(verdict.exercise.test(self.folder))

    def pytest_report_teststatus(self, report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
        """No dots: the screen says it."""
        if self.is_quiet and Path(config.rootpath, report.nodeid.partition("::")[0]).is_relative_to(self.folder):
            return report.outcome, "", ""
        return None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """All of it done before: that is no failure."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.all_done:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The screen."""
        for line in self.broken:
            terminalreporter.write_line(line)
        if not self.collected or terminalreporter.config.option.collectonly:
            return
        judged = [v.exercise for v in self.verdicts]
        for exercise, trial in self.trials.items():
            if trial.outcomes and exercise not in judged:  # cut short, by -x or Ctrl-C
                self._judge(trial)
        if self.is_learners:
            done = self.progress.done()
        else:
            done = [v.exercise for v in self.verdicts if v.passed]
        failed = next((v for v in self.verdicts if not v.passed), None)
        passed = [v.exercise for v in self.verdicts if v.passed and self._is_whole(v)]
        body = [_in_part(v) for v in self.verdicts if v.passed and not self._is_whole(v)]
        lines = screen(len(done), passed, body + (tell(failed) if failed else []))
        for line in [*lines, *self.progress.troubles]:
            terminalreporter.write_line(line)


def register(config: pytest.Config, folder: Path) -> None:
    """Called by the conftest.py of the course's folder."""
    if not config.pluginmanager.has_plugin(NAME):
        config.pluginmanager.register(CoursePlugin(config, folder), NAME)


def _in_part(verdict: Verdict) -> str:
    n = len(verdict.outcomes)
    return f"{verdict.exercise.label}: {n} {'property was' if n == 1 else 'properties were'} picked, and hold; not all"


def _folder_of_answers(name: str) -> Path:
    path = Path(name)
    if not path.is_dir() and name == "solutions":
        path = source() / "solutions"
    if not path.is_dir():
        raise pytest.UsageError(f"--impl expects a folder with answers; {path.resolve()} is none")
    return path.resolve()
