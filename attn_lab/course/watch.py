"""`attn-lab watch`: save an answer, see its verdict. One screen, and a few keys."""

import contextlib
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from attn_lab.course.catalogue import Exercise, exercises
from attn_lab.course.hints import hints, opened
from attn_lab.course.judging import CAN_FORK, Judge, Judgement
from attn_lab.course.keys import keys
from attn_lab.course.overview import overview
from attn_lab.course.progress import ProgressFile
from attn_lab.course.screen import fit, screen, task

SETTLE = 25  # milliseconds without another save before a save counts; it is looked for as often
LOOK = 0.25  # seconds without news after which it is said what is waited for
SIGNALS = (signal.SIGINT, signal.SIGTERM)
KEYS = "n next   h hint   l list   q quit"


class Stop(Exception):
    """Time to end."""


class Watch:
    """What is seen, and what it comes from: saves, keys and judgements, one after the other out of one queue."""

    def __init__(self, folder: Path, console: Console, *, fork: bool = CAN_FORK) -> None:
        self.folder, self.console = folder, console
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.judge = Judge(folder, self.inbox, fork=fork)
        self.progress = ProgressFile(folder)
        self.has_keys = False
        self.current = self.progress.next() or exercises()[-1]
        self.body: list[str] = []
        self.passed: list[Exercise] = []
        self.extra: list[str] | None = None  # hints or the list, in place of the verdict
        self.status = ""

    def run(self) -> None:
        """Until q, Ctrl-C or the end of the course's folder.

        Raises:
            OSError: the judging process does not start, or the folder is gone.
        """
        self.body = self._task()
        with _ended_by_signals():
            try:
                with keys(lambda key: self.inbox.put(("key", key))) as self.has_keys, self._saves():
                    self.judge.submit(self.current)
                    self._draw()
                    while True:
                        self._wait()
            except Stop:
                self.console.print("")
            finally:
                self.judge.close()

    def _wait(self) -> None:
        """One event; without one, a word about what is waited for."""
        try:
            first, second = self.inbox.get(timeout=LOOK)  # not for ever: on Windows Ctrl-C would wait too
        except queue.Empty:
            if self.judge.job is not None:
                self._say(f"judging {self.judge.job.label} …")
            elif self.judge.queued is not None:
                self._say("getting ready …")
            return
        if first == "key":
            self._key(second)
        elif first == "saved":
            self._saved(second)
        elif first == "gone":
            raise second
        else:
            judgement = self.judge.handle(first, second)
            if judgement is not None:
                self._judged(judgement)

    def _saved(self, saved: list[Exercise]) -> None:
        exercise = self.current if self.current in saved else saved[0]
        self.passed = []
        self._turn_to(exercise)

    def _turn_to(self, exercise: Exercise) -> None:
        self.current, self.extra = exercise, None
        if exercise.answer(self.folder).is_file():
            self.judge.submit(exercise)
        else:
            missing = f"{exercise.answer(self.folder)} is missing. To get it back: attn-lab reset {exercise.number}"
            self.body = [missing]
            self._draw()

    def _judged(self, judgement: Judgement) -> None:
        exercise = judgement.exercise
        self.progress.record(exercise, judgement.fingerprint if judgement.passed else None)
        self.body = list(judgement.body)
        if judgement.passed:
            self.passed.append(exercise)
            following = self._after(exercise)
            if following is None:
                self.body = []
            else:  # and what it says: the answer may be there already
                self.current = following
                self.body = self._task()
                self._turn_to(following)
        self._draw()

    def _after(self, exercise: Exercise) -> Exercise | None:
        """The next one that is not done; the first of all after the last. None: all are done."""
        left = [e for e in exercises() if not self.progress.is_done(e)]
        return next((e for e in left if e.name > exercise.name), left[0] if left else None)

    def _task(self) -> list[str]:
        return task(self.current, self.current.answer(self.folder), not_started=False)

    def _key(self, key: str) -> None:
        key = key.lower()
        if key in ("q", "\x03"):
            _stop()
        if key == "n":
            following = self._after(self.current)
            if following is not None:
                self.passed = []
                self.current = following
                self.body = self._task()
                self._turn_to(following)
        elif key == "h":
            self.extra = self._hint()
        elif key == "l":
            self.extra = overview(self.progress.done(), self.current)
        else:
            self.extra = None
        self._draw()

    def _hint(self) -> list[str]:
        try:
            n_open = self.progress.open_hint(self.current, len(hints(self.current)))
            return [self.current.label, "", *opened(self.current, n_open)]
        except OSError as error:
            return [f"{self.current.page} cannot be read: {error.strerror}"]

    def _draw(self) -> None:
        """The one screen."""
        lines = self.extra if self.extra is not None else screen(len(self.progress.done()), self.passed, self.body)
        footer = [*self.progress.troubles, KEYS if self.has_keys else "Ctrl-C: quit"]
        if self.console.is_terminal:  # a line is left for the cursor, and one for the status
            lines = fit(lines, max(5, self.console.height - len(footer) - 3))
        self.console.clear()
        self._print("\n".join([*lines, "", *footer]))
        self.status = ""

    def _say(self, status: str) -> None:
        """A line below the screen, once."""
        if status != self.status:
            self.status = status
            self._print(status)

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def _saves(self) -> Iterator[None]:
        """Put every save of an answer, or of its test, into the queue."""
        over = threading.Event()
        thread = threading.Thread(target=self._look_for_saves, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(1)

    def _look_for_saves(self, over: threading.Event) -> None:
        from watchfiles import watch

        files = {e.answer(self.folder): e for e in exercises()} | {e.test(self.folder): e for e in exercises()}
        wanted = {str(file): exercise for file, exercise in files.items()}
        try:
            for changes in watch(
                self.folder,
                watch_filter=lambda _, path: path in wanted,
                debounce=4 * SETTLE,
                step=SETTLE,
                stop_event=over,
                raise_interrupt=False,
            ):
                self.inbox.put(("saved", sorted({wanted[path] for _, path in changes}, key=lambda e: e.name)))
        except Exception as error:  # whatever the system says of a folder that it cannot watch
            self.inbox.put(("gone", OSError(f"{self.folder} cannot be watched: {error}")))


def _stop(*_: object) -> None:
    """End, and let no second Ctrl-C cut the tidying up short."""
    with contextlib.suppress(ValueError):  # not the main thread
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    raise Stop


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ctrl-C and `kill` end it as q does. Afterwards they do nothing: the process is about to end."""
    before = {}
    with contextlib.suppress(ValueError):
        before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        yield
    except BaseException:
        for number, handler in before.items():
            signal.signal(number, handler)
        raise
