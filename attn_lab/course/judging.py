"""Verdicts from another process: this one stays light, and no answer can hang it or crash it."""

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_lab.course.catalogue import Exercise
from attn_lab.course.limits import STOPPED
from attn_lab.course.screen import places, width, wrap

CAN_FORK = sys.platform == "linux"  # elsewhere the system's own libraries do not survive a fork


@dataclass(frozen=True)
class Judgement:
    """What came of judging an answer: whether it passed, the fingerprint of what was judged, what to show."""

    exercise: Exercise
    passed: bool
    fingerprint: str
    body: tuple[str, ...]


class Spare:
    """A warm process (see attn_lab.course.spare). What it says is put on a queue, as a pair of itself and the message.

    The message None means that it has ended.
    """

    def __init__(self, inbox: "queue.Queue[Any]", fork: bool) -> None:
        # -P: no file of the learner's can stand in for a module of the same name.
        command = [sys.executable, "-P", "-m", "attn_lab.course.spare", *(["--fork"] if fork else [])]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the process that is seen
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
        )
        self.is_ready = False
        self.inbox, self.fork = inbox, fork
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # half a line of a process that was killed
                self.inbox.put((self, json.loads(line)))
        self.process.wait()
        self.inbox.put((self, None))

    def send(self, job: dict[str, Any]) -> None:
        """A job, to be done at once."""
        assert self.process.stdin
        with contextlib.suppress(OSError):  # it has died; that is told by its last message
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()

    def close(self) -> None:
        """End it, and all that it started."""
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self.fork and self.is_ready:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.5)  # it ends its child, and then itself
        self.process.kill()
        self.process.wait()


class Judge:
    """Judges the answers of a course, one at a time; a new job takes the place of the one at work.

    `inbox` is the caller's queue of events: what a spare process puts there is to be handed to `handle`. `once`: there
    will be one job, so that no second process is started ahead.
    """

    def __init__(self, folder: Path, inbox: "queue.Queue[Any]", *, fork: bool = CAN_FORK, once: bool = False) -> None:
        self.folder, self.inbox, self.fork, self.once = folder, inbox, fork, once
        self.number = 0
        self.queued: Exercise | None = None  # until a process is ready
        self.job: Exercise | None = None  # at work
        self.idle = Spare(inbox, fork)
        self.busy: Spare | None = None

    def submit(self, exercise: Exercise) -> None:
        """Judge the answer as it stands."""
        self.queued, self.job = exercise, None
        if self.busy and not self.fork:
            self.busy.close()
            self.busy = None
        self._start()

    def _start(self) -> None:
        if self.queued is None or not self.idle.is_ready:
            return
        self.job, self.queued = self.queued, None
        self.number += 1
        self.busy = self.idle
        job = {"id": self.number, "exercise": self.job.name, "folder": str(self.folder), "columns": width()}
        self.busy.send(job)
        if not self.fork and not self.once:
            self.idle = Spare(self.inbox, self.fork)

    def handle(self, spare: Spare, message: dict[str, Any] | None) -> Judgement | None:
        """What a spare process said; a judgement if that is what it was, and still wanted.

        Raises:
            ChildProcessError: it could not start.
        """
        if message is None:
            return self._ended(spare)
        if "ready" in message:
            spare.is_ready = True
            self._start()
            return None
        if "failed" in message:
            raise ChildProcessError(f"the process that judges answers does not start: {message['failed']}")
        if message["id"] != self.number or self.job is None:
            return None
        exercise, self.job = self.job, None
        if "trouble" in message:
            return self._trouble(exercise, message["trouble"])
        if "died" in message:
            return self._trouble(exercise, _how_it_died(message["died"]))
        return Judgement(exercise, message["passed"], message["fingerprint"], tuple(message["body"]))

    def _ended(self, spare: Spare) -> Judgement | None:
        if not spare.is_ready and spare in (self.idle, self.busy):
            status = spare.process.returncode
            raise ChildProcessError(f"the process that judges answers does not start: exit status {status}")
        if spare is self.idle:
            self.idle = Spare(self.inbox, self.fork)
        if spare is self.busy:
            self.busy = None
            if self.job is not None:
                exercise, self.job = self.job, None
                return self._trouble(exercise, _how_it_died(spare.process.returncode))
        return None

    def _trouble(self, exercise: Exercise, sentence: str) -> Judgement:
        places_of_it = places(exercise, exercise.answer(self.folder))
        return Judgement(exercise, False, "", (*wrap(f"{exercise.label}: {sentence}"), "", *places_of_it))

    def close(self) -> None:
        """End every process."""
        for spare in {self.idle, self.busy or self.idle}:
            spare.close()


def judge_once(exercise: Exercise, folder: Path) -> Judgement:
    """One verdict, from a process that is started for it."""
    inbox: queue.Queue[Any] = queue.Queue()
    judge = Judge(folder, inbox, once=True)
    try:
        judge.submit(exercise)
        while True:
            with contextlib.suppress(queue.Empty):
                judgement = judge.handle(*inbox.get(timeout=0.2))  # not for ever: on Windows Ctrl-C would wait too
                if judgement is not None:
                    return judgement
    finally:
        judge.close()


def _how_it_died(status: int) -> str:
    """In a sentence, from an exit status; a negative one is a signal's number."""
    if status == STOPPED:
        return "your answer did not end in time and could not be interrupted: is there a loop that never ends?"
    if status < 0:
        name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
        return f"your answer crashed the process that judged it ({name}). Nothing was lost; the next one starts afresh."
    return f"your answer ended the process that judged it (exit status {status}). Raise an exception, or return."
