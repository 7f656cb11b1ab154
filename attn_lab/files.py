"""Writing files so that no reader ever sees half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: what is written there takes the place of `path` whole, or not at all.

    Raises:
        OSError: it could not be written (no space, no permission). What stood at `path` before still stands there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # the user's own default; some writers make their files private
        yield temporary
        temporary.chmod(mode)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`path.write_text`, atomic and in UTF-8 with the same line ends everywhere."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
