"""A program in a pseudo-terminal, as somebody at a keyboard sees it."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = float(os.environ.get("ATTN_PATIENCE", "120"))
CLEAR = "\x1b[2J\x1b[H"


class Terminal:
    """Starts a command in a terminal of its own; `screen` is what has come since the screen was last cleared."""

    def __init__(self, *command: str, folder: Path, rows: int = 40, columns: int = 100) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.theirs)
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "CI", "NO_COLOR")}

        def take_the_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env=environment | {"TERM": "xterm"},
            preexec_fn=take_the_terminal,
        )
        self.said = ""

    @property
    def screen(self) -> str:
        """What is to be seen now."""
        return self.said.rpartition(CLEAR)[2].replace("\r\n", "\n")

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self.ours, keys.encode())

    def wait_for(self, *words: str) -> str:
        """Wait until the screen has all of these; returns it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if all(word in self.screen for word in words):
                return self.screen
            if not self._read() and self.process.poll() is not None:
                break
        raise AssertionError(f"waited for {words}; the screen says:\n{self.screen}")

    def wait_for_end(self) -> int:
        """Wait for the program's end; its exit status."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            self._read()
        self._read()
        return self.process.wait(1)

    def is_as_before(self) -> bool:
        """Whether the terminal echoes, and waits for Enter, as it did before the program."""
        import termios

        return termios.tcgetattr(self.theirs) == self.before

    def close(self) -> None:
        """End the program, however it stands."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def _read(self) -> bool:
        readable, _, _ = select.select([self.ours], [], [], 0.05)
        if readable:
            with contextlib.suppress(OSError):
                self.said += os.read(self.ours, 65536).decode(errors="replace")
        return bool(readable)


def attn_lab(*arguments: str) -> tuple[str, ...]:
    """The command line of this very environment."""
    return (sys.executable, "-m", "attn_lab", *arguments)
