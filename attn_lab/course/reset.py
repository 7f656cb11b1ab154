"""An exercise put back to its start; the answer that was there is kept beside it."""

import shutil
from itertools import count
from pathlib import Path

from attn_lab.course.catalogue import Exercise
from attn_lab.course.stubs import stub
from attn_lab.files import write_text


def reset(exercise: Exercise, folder: Path) -> tuple[bool, Path | None]:
    """Whether the stub was written (not if it is there already), and the backup (None if there was no answer).

    Raises:
        OSError: something cannot be read or written; the answer is then where it was.
    """
    path, text = exercise.answer(folder), stub(exercise)
    backup = None
    if path.exists():
        if path.read_bytes() == text.encode():
            return False, None
        backup = next(file for k in count(1) if not (file := path.with_name(f"{path.name}.bak{k}")).exists())
        shutil.copyfile(path, backup)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return True, backup
