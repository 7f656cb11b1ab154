"""A disk that is full, or not writable: every library's way of saying so becomes one error that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what writes a file of a run's folder.

    Raises:
        OSError: it could not be written; what was saved before is whole.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        raise OSError(
            f"could not write {path}: {first_line(error)}. Is the disk full? What was saved before is whole: "
            f"make room, then go on with: attn-lab train --resume --run {path.parent}"
        ) from error


def first_line(error: Exception) -> str:
    """What it says, without the lines for its authors."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
