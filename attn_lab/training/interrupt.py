"""Ctrl-C between two steps, not within one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """The user stopped the run; its state was saved."""


class StopRequest:
    """Whether someone has asked the run to stop."""

    def __init__(self, insistent: bool = True) -> None:
        self.received = False
        self.insistent = insistent

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: the first one asks, the second one insists."""
        if self.received and self.insistent:
            raise KeyboardInterrupt
        self.received = True


@contextmanager
def stop_requests(insistent: bool = True) -> Iterator[StopRequest]:
    """While this is open, Ctrl-C and a polite kill are remembered instead of raised: the step under way is finished.

    `insistent`: a second one is raised. Not so under a launcher, which may pass on the signal that the terminal has
    sent already, and which kills after half a minute by itself.
    """
    request = StopRequest(insistent)
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
