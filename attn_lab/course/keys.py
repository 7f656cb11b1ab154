"""Single keys, read without Enter while something else goes on."""

import contextlib
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_AGAIN = 0.1  # seconds between two looks whether it is time to stop


@contextmanager
def keys(press: Callable[[str], None]) -> Iterator[bool]:
    """Call `press` with every key, from another thread; whether there is a keyboard to listen to.

    The terminal is put back as it was at the end.
    """
    if not sys.stdin or sys.stdin.closed or not sys.stdin.isatty():
        yield False
        return
    over = threading.Event()
    if sys.platform == "win32":
        thread = threading.Thread(target=_listen_on_windows, args=(press, over), daemon=True)
        thread.start()
        try:
            yield True
        finally:
            over.set()
            thread.join(1)
        return
    with _key_by_key(sys.stdin.fileno()) as works:
        if works:
            thread = threading.Thread(target=_listen, args=(sys.stdin.fileno(), press, over), daemon=True)
            thread.start()
        try:
            yield works
        finally:
            over.set()
            if works:
                thread.join(1)


def _listen(terminal: int, press: Callable[[str], None], over: threading.Event) -> None:
    while not over.is_set():
        readable, _, _ = select.select([terminal], [], [], LOOK_AGAIN)
        if readable:
            try:
                typed = os.read(terminal, 64)
            except OSError:
                return
            if not typed:
                return
            # An arrow is several bytes, and one key: its first byte (escape) stands for it.
            text = typed.decode(errors="replace")
            for key in text[:1] if text.startswith("\x1b") else text:
                press(key)


@contextmanager
def _key_by_key(terminal: int) -> Iterator[bool]:
    """No Enter, no echo. Ctrl-C and Ctrl-Z work as ever; after Ctrl-Z and fg it is set again."""
    import signal
    import termios
    import tty

    try:
        if os.getpgrp() != os.tcgetpgrp(terminal):
            yield False  # started with &: the keyboard is somebody else's
            return
        before = termios.tcgetattr(terminal)
    except (OSError, termios.error):
        yield False
        return

    def set_again(*_: object) -> None:
        with contextlib.suppress(OSError, termios.error):
            tty.setcbreak(terminal, termios.TCSANOW)

    set_again()
    previous = signal.signal(signal.SIGCONT, set_again)
    try:
        yield True
    finally:
        signal.signal(signal.SIGCONT, previous)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(terminal, termios.TCSANOW, before)


def _listen_on_windows(press: Callable[[str], None], over: threading.Event) -> None:
    if sys.platform == "win32":  # said again for the type checker
        import msvcrt

        while not over.is_set():
            if msvcrt.kbhit():
                press(msvcrt.getwch())
            else:
                time.sleep(LOOK_AGAIN)
