"""`attn-lab bench feedback`: how long a learner waits for a verdict."""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from rich.console import Console

from attn_lab.course.catalogue import Exercise, exercises, find, source
from attn_lab.course.new_course import write_course
from attn_lab.tables import Row, show_tables

SUBJECT = "e02"
BARE = (sys.executable, "-c", "import torch, pytest, hypothesis")
WITHOUT_TRAINING = "e37"  # whose test is a short training run
CORES = 2
PATIENCE = 120.0  # seconds


@dataclass(frozen=True)
class Wait:
    """Seconds by the clock, and of the processors where the system tells."""

    seconds: float
    processor: float


def show_feedback(console: Console, rounds: int, out: Path | None) -> None:
    """Measure, print, and write to `out` if it is given."""
    with tempfile.TemporaryDirectory() as folder, console.status("measuring …"):
        course = Path(folder).resolve() / "course"
        write_course(course)
        waits = measure(course, rounds)
        each = each_solution(course)
        whole = all_solutions(course)
    load = psutil.getloadavg()[0] / (os.cpu_count() or 1)
    title = f"How long a learner waits (median of {rounds}, in turns; load {load:.1f} a core)"
    header = ("what", "seconds", "processor seconds", "goal", "reached")
    show_tables(console, [(title, header, cells(waits, each, whole))], out)


def measure(course: Path, rounds: int) -> dict[str, list[Wait]]:
    """One of each a round, in turns: whatever slows the machine for a while slows them all."""
    exercise = find(SUBJECT)
    answer = exercise.answer(course / "exercises")
    right = exercise.solution.read_text(encoding="utf-8")
    wrong = right.replace("softmax(scores, dim=-1)", "softmax(scores, dim=-2)")
    if wrong == right:
        raise ValueError(f"{exercise.solution} has no softmax(scores, dim=-1) to make a mistake of")
    pytest = (sys.executable, "-m", "pytest", str(exercise.test(Path("exercises"))))
    waits: dict[str, list[Wait]] = {name: [] for name in ("bare", "pytest", "right", "wrong")}
    with _watching(course) as watch:
        for k in range(rounds + 1):
            watch.wait("passed now: e02", after=partial(_save, answer, right))
            time.sleep(1)  # it has looked at the next exercise too by then
            one = {
                "bare": _run(BARE, course),
                "pytest": _run(pytest, course),
                "wrong": watch.wait("behaves exactly like", after=partial(_save, answer, f"{wrong}# {k}\n")),
                "right": watch.wait("passed now: e02", after=partial(_save, answer, f"{right}# {k}\n")),
            }
            for name, wait in one.items():
                if k:  # the first round fills the caches
                    waits[name].append(wait)
    return waits


def each_solution(course: Path) -> dict[str, Wait]:
    """Watch's verdict on every solution but the one that trains, saved one after the other."""
    waits = {}
    with _watching(course) as watch:
        time.sleep(3)  # it warms up further while nothing is asked of it
        for exercise in _chosen():
            text = exercise.solution.read_text(encoding="utf-8")
            answer = exercise.answer(course / "exercises")
            waits[exercise.number] = watch.wait(f"passed now: {exercise.label}", partial(_save, answer, f"{text}#\n"))
            time.sleep(1)
    return waits


def all_solutions(course: Path) -> Wait:
    """All solutions but the one that trains through all tests, on two cores."""
    chosen = _chosen()
    start, before = time.perf_counter(), _of_children()
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "--all", "--impl", str(source() / "solutions")),
                *(str(exercise.test(Path("exercises"))) for exercise in chosen[k::CORES]),
            ],
            cwd=course,
            env=_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for k in range(CORES)
    ]
    for process in running:
        said, _ = process.communicate()
        if process.returncode:
            raise ValueError(f"a solution does not pass:\n{said}")
    return Wait(time.perf_counter() - start, _of_children() - before)


def _chosen() -> list[Exercise]:
    return [exercise for exercise in exercises() if exercise.number != WITHOUT_TRAINING]


def cells(waits: dict[str, list[Wait]], each: dict[str, Wait], whole: Wait) -> list[Row]:
    """A line a measurement."""
    ratio = statistics.median(p.seconds / b.seconds for p, b in zip(waits["pytest"], waits["bare"]))
    names = {
        "bare": "import torch, pytest, hypothesis",
        "pytest": f"pytest on {SUBJECT}",
        "right": "watch, right answer saved",
        "wrong": "watch, wrong answer saved",
    }
    medians = {name: statistics.median(wait.seconds for wait in own) for name, own in waits.items()}
    goals = {
        "bare": ("", ""),
        "pytest": ("1.5 times the import", f"{ratio:.2f} times"),
        "right": ("under 0.5 s", _yes(medians["right"] < 0.5)),
        "wrong": ("under 0.5 s", _yes(medians["wrong"] < 0.5)),
    }
    rows = [
        (what, f"{medians[name]:.2f}", _seconds([wait.processor for wait in waits[name]]), *goals[name])
        for name, what in names.items()
    ]
    median = statistics.median(wait.seconds for wait in each.values())
    slowest = max(each, key=lambda number: each[number].seconds)
    return [
        *rows,
        (
            f"watch, each of {len(each)} right answers saved",
            f"{median:.2f}",
            _seconds([wait.processor for wait in each.values()]),
            "under 0.5 s",
            f"{_yes(median < 0.5)} (slowest: {slowest}, {each[slowest].seconds:.2f} s)",
        ),
        (
            f"{len(each)} solutions, all tests, {CORES} processes",
            f"{whole.seconds:.1f}",
            _seconds([whole.processor]),
            "under 60 s",
            _yes(whole.seconds < 60),
        ),
    ]


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _seconds(numbers: list[float]) -> str:
    median = statistics.median(numbers)
    return f"{median:.2f}" if median else "unknown"


def _run(command: tuple[str, ...], folder: Path) -> Wait:
    start, before = time.perf_counter(), _of_children()
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return Wait(time.perf_counter() - start, _of_children() - before)


def _of_children() -> float:
    """Processor seconds of the processes that have ended; 0 where the system does not tell."""
    times = os.times()
    return times.children_user + times.children_system


def _environment() -> dict[str, str]:
    """As on a learner's machine: with Python's cache of compiled files, and no options from outside."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "CI")}


def _save(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


class _Watch:
    """`attn-lab watch` at work, without a terminal: what it shows comes line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self.came = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self.came:
                self.lines.append(line)
                self.came.notify()

    def wait(self, words: str, after: Callable[[], object]) -> Wait:
        """Until it shows these words after something was done."""
        with self.came:
            self.lines.clear()
        start, before = time.perf_counter(), self._of_verdicts()
        after()
        with self.came:
            if not self.came.wait_for(lambda: any(words in line for line in self.lines), PATIENCE):
                raise TimeoutError(f"attn-lab watch did not say {words!r} within {PATIENCE:g} s")
        return Wait(time.perf_counter() - start, self._of_verdicts() - before)

    def _of_verdicts(self) -> float:
        """Processor seconds of the forks that have judged; 0 where there are none."""
        times = [child.cpu_times() for child in psutil.Process(self.process.pid).children()]
        return float(sum(getattr(t, "children_user", 0) + getattr(t, "children_system", 0) for t in times))


@contextmanager
def _watching(course: Path) -> Iterator[_Watch]:
    process = subprocess.Popen(
        [sys.executable, "-m", "attn_lab", "watch"],
        cwd=course,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        watch = _Watch(process)
        watch.wait("not started", after=lambda: None)
        yield watch
    finally:
        process.terminate()
        process.wait()
