"""What an answer may not do to the process that judges it: run for ever, take all memory, or end it."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

GIBIBYTES = 4  # more than the process holds already; the solutions take a few MiB
STOPPED = 124  # the exit status of a process that had to be ended because its answer could not be interrupted
REALLY_EXIT = os._exit  # what an answer gets in its place refuses


class TimeUp(BaseException):
    """Raised in the answer's own line. Not an Exception: nobody on the way shall try the same thing again."""


class Ended(Exception):
    """The answer tried to end the process."""


@contextmanager
def limits(seconds: float, gibibytes: float = GIBIBYTES) -> Iterator[None]:
    """All limits at once.

    Raises:
        TimeUp: the time was over.
    """
    with ExitStack() as stack:
        stack.enter_context(memory_limit(gibibytes))
        for name in ("_exit", "abort"):
            stack.enter_context(mock.patch.object(os, name, _refuse_to_end))
        stack.enter_context(time_limit(seconds))
        yield


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeUp in this thread once the time is over; end the process if the answer does not let itself be stopped.

    By Python's own means, not by a signal: it works on every system, between any two lines of Python.
    """
    thread = threading.get_ident()
    over = threading.Event()

    def watch() -> None:
        if over.wait(seconds):
            return
        for _ in range(5):
            _raise_in(thread)
            if over.wait(2):
                return
        print(f"\nstopped: the answer did not end within {seconds:g} s, and could not be interrupted", flush=True)
        REALLY_EXIT(STOPPED)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()


def _raise_in(thread: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TimeUp))


@contextmanager
def memory_limit(gibibytes: float) -> Iterator[None]:
    """Refuse memory beyond this, so that the answer gets an error and not the whole system. On Linux alone."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * os.sysconf("SC_PAGE_SIZE") + int(gibibytes * 2**30)
    hard = before[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _refuse_to_end(*args: object) -> None:
    raise Ended("an answer may not end the process; raise an exception, or return")
