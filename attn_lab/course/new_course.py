"""`attn-lab init`: a course of one's own, out of the installed package or a clone."""

from pathlib import Path

from attn_lab.course.catalogue import exercises, source
from attn_lab.course.stubs import stub
from attn_lab.files import write_text

COMMON = ("README.md", "conftest.py", "pytest.ini")


def contents() -> dict[Path, str]:
    """Every file of a new course, by its path in the new folder: no learner's answer is among them."""
    original, inside = source() / "exercises", Path("exercises")
    texts = {inside / name: (original / name).read_text(encoding="utf-8") for name in COMMON}
    for exercise in exercises():
        texts[exercise.answer(inside)] = stub(exercise)
        texts[exercise.test(inside)] = exercise.specification.read_text(encoding="utf-8")
    # A second one above, so that a bare `pytest` there, or an editor's test explorer, finds the course too.
    texts[Path("pytest.ini")] = texts[inside / "pytest.ini"].rstrip() + "\ntestpaths = exercises\n"
    return texts


def write_course(folder: Path) -> list[Path]:
    """Write what is missing; returns the files written, none if the course is there already.

    Raises:
        ValueError: a file is there that says something else; nothing was written.
        OSError: the folder cannot be written to.
    """
    texts = {folder / path: text for path, text in contents().items()}
    missing = [path for path in texts if not path.exists()]
    others = [path for path, text in texts.items() if path.exists() and not _holds(path, text)]
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise ValueError(
            f"{others[0]}{more} exists and is not what a new course has: nothing was written, so that no work is lost. "
            "Name another folder, or put a single exercise back with `attn-lab reset NAME`"
        )
    for path in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, texts[path])
    return missing


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False
