"""Who judges a mutant: an exercise's own tests, or the project's tests of a paper file. Each in a child process."""

import hashlib
import importlib
import importlib.machinery
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CAN_FORK = sys.platform == "linux"  # elsewhere the system's own libraries do not survive a fork
GIBIBYTES = 4.0  # more than the process holds already
PAPER = ("scaled_dot_product", "masks", "multihead", "positions", "encoder", "language_model")
# Behind a paper file's own tests, for what survives them: what stands on it. That takes a minute or two a mutant.
FURTHER = (
    "tests/checks/test_checks_hold.py",
    *(f"tests/test_{name}.py" for name in ("multihead", "encoder", "scaled_dot_product", "masks")),
)


@dataclass(frozen=True)
class Verdict:
    """What caught a mutant, empty if it survived, and how many seconds that took."""

    caught_by: str
    seconds: float


def in_child(judge: Callable[..., str], *args: Any, seconds: float) -> Verdict:
    """Run a judge in a process of its own. Not to come to an end, or to end the process, is to be caught.

    Raises:
        RuntimeError: the judge itself failed, which says nothing of the mutant.
    """
    context: Any = multiprocessing.get_context("fork" if CAN_FORK else "spawn")
    receiving, sending = context.Pipe(duplex=False)
    start = time.monotonic()
    process = context.Process(target=_child, args=(sending, judge, args), daemon=True)
    process.start()
    sending.close()
    try:
        message = receiving.recv() if receiving.poll(seconds) else f"did not end within {seconds:.0f} s"
    except EOFError:
        message = "ended the process"
    finally:
        process.kill()
        process.join()
    caught_by, trouble = message if isinstance(message, tuple) else (message, "")
    if trouble:
        raise RuntimeError(f"{judge.__name__} failed:\n{trouble}")
    return Verdict(caught_by, time.monotonic() - start)


def _child(sending: Connection, judge: Callable[..., str], args: tuple[Any, ...]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    try:
        sending.send((judge(*args), ""))
    except Exception:
        sending.send(("", traceback.format_exc()))


@dataclass(frozen=True)
class Solution:
    """A worked solution, judged by its exercise's tests."""

    name: str  # such as e02_attention
    file: Path
    specification: Path

    @property
    def tests(self) -> tuple[Path, ...]:
        """The files that judge."""
        return (self.specification,)

    def warm_up(self) -> None:
        """All that is imported once, in the parent. No tensor operation: forked children would hang after one."""
        from attn_lab.course import spare

        spare.warm_up()

    def judge(self, text: str, folder: Path, seconds: float, *, further: bool = False) -> Verdict:
        """What the tests say of this program in the solution's place; there are no `further` ones.

        `folder` is for temporary files.
        """
        answer = folder / self.file.parent.name / self.file.name
        answer.parent.mkdir(parents=True, exist_ok=True)
        answer.write_text(text, encoding="utf-8")
        return in_child(judge_answer, answer, self.specification, seconds=seconds)


def judge_answer(answer: Path, specification: Path) -> str:
    """The first test that the answer fails. It is enough that one fails: no smallest case is looked for."""
    import hypothesis

    from attn_lab.course.answers import load
    from attn_lab.course.limits import limits
    from attn_lab.course.outcomes import run, tests_of
    from attn_lab.course.trial import COURSE

    hypothesis.settings.register_profile("mutation", COURSE, phases=(hypothesis.Phase.generate,))
    hypothesis.settings.load_profile("mutation")
    with limits(seconds=3600.0, gibibytes=GIBIBYTES):  # the parent looks after the time
        try:
            module = load(answer)
        except Exception as error:
            return f"does not load: {error}"
        for name, test in tests_of(load(specification)).items():
            error = run(test, module)
            if error is not None:
                return f"{name}: {type(error).__name__}"
    return ""


@dataclass(frozen=True)
class PaperFile:
    """A paper file, judged by the project's tests."""

    name: str  # such as masks

    @property
    def file(self) -> Path:
        """Where it lies."""
        return ROOT / "attn_lab" / f"{self.name}.py"

    @property
    def tests(self) -> tuple[Path, ...]:
        """The file that judges."""
        return (ROOT / "tests" / f"test_{self.name}.py",)

    def warm_up(self) -> None:
        """What the tests import besides attn_lab, which each child must import for itself."""
        for name in ("torch", "torch.fx", "pytest", "hypothesis.strategies", "beartype", "jaxtyping", "einops", "rich"):
            importlib.import_module(name)

    def judge(self, text: str, folder: Path, seconds: float, *, further: bool = False) -> Verdict:
        """What the tests say of this program in the file's place: its own ones, and if it survives, `further` ones."""
        own = in_child(judge_module, self.file, text, self.tests, seconds=seconds)
        if own.caught_by or not further:
            return own
        others = tuple(ROOT / file for file in FURTHER if ROOT / file not in self.tests)
        verdict = in_child(judge_module, self.file, text, others, seconds=600.0)
        return Verdict(verdict.caught_by, own.seconds + verdict.seconds)


def judge_module(file: Path, text: str, tests: tuple[Path, ...]) -> str:
    """The first test that fails while Python's own loader reads this text where it would read the file.

    attn_lab must not be imported before.
    """
    import pytest

    os.chdir(ROOT)
    os.environ["CI"] = "true"  # the same cases each time
    _limit_memory()
    if text != file.read_text(encoding="utf-8"):
        _serve(file, text)
    first = _First()
    # Python's cache of compiled tests is of use, pytest's of what failed last is not.
    status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *map(str, tests)], plugins=[first])
    return first.failed or ("" if status == 0 else f"pytest ended with {status!r}")


class _First:
    """Notes what failed first: a test, or the import of a file of tests."""

    failed = ""

    def pytest_configure(self) -> None:
        """pytest's hook, behind the project's conftest: no smallest case is looked for."""
        import hypothesis

        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutation", hypothesis.settings(), phases=phases)
        hypothesis.settings.load_profile("mutation")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """pytest's hook."""
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        """pytest's hook."""
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} is not collected"


def _serve(file: Path, text: str) -> None:
    """Also jaxtyping's loader, which puts in the shape checks, reads by this one. No cache knows these bytes."""
    loader = importlib.machinery.SourceFileLoader
    get_data, path_stats = loader.get_data, loader.path_stats

    def served_data(self: Any, path: str) -> bytes:
        return text.encode() if path == str(file) else get_data(self, path)

    def served_stats(self: Any, path: str) -> Any:
        if path == str(file):
            raise OSError("to be compiled anew")
        return path_stats(self, path)

    loader.get_data, loader.path_stats = served_data, served_stats  # type: ignore[method-assign]
    sys.dont_write_bytecode = True


def _limit_memory() -> None:
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + int(GIBIBYTES * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def fingerprint(files: tuple[Path, ...]) -> str:
    """Of the tests as they stand: a verdict of other tests is none of these."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
