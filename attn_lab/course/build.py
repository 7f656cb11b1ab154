"""`attn-lab course build`, the author's side: the stubs in `exercises/` are what the solutions say."""

from pathlib import Path

from attn_lab.course.catalogue import Exercise, exercises, source
from attn_lab.course.stubs import is_hunt, stub
from attn_lab.files import write_text


def stubs_folder() -> Path:
    """Where the clone has its stubs.

    Raises:
        ValueError: this is no clone.
    """
    folder = source() / "exercises"
    if not (source() / "pyproject.toml").is_file():
        raise ValueError(f"the stubs are built in a clone of the project; {source()} is an installed package")
    return folder


def differences(folder: Path) -> list[str]:
    """What in the folder is not as the solutions say, in a sentence each."""
    found = []
    for exercise in exercises():
        path = exercise.answer(folder)
        if not path.is_file():
            found.append(f"{path} is missing")
        elif _text(path) != stub(exercise):
            found.append(f"{path} is not the stub that {exercise.solution.name} makes")
    known = {exercise.answer(folder) for exercise in exercises()}
    left_over = sorted(path for path in folder.glob("ch[0-9]*_*/e[0-9][0-9]_*.py") if path not in known)
    return found + [f"{path} has no solution: it is left over" for path in left_over]


def build(folder: Path, force: bool = False) -> list[Path]:
    """Write every stub that differs; returns the files written.

    Raises:
        ValueError: a file holds no stub but somebody's answer, and it is not to be written over by `force`; nothing was
            written.
    """
    changed = [exercise for exercise in exercises() if _text(exercise.answer(folder)) != stub(exercise)]
    answers = [exercise.answer(folder) for exercise in changed if _is_answer(exercise, folder)]
    if answers and not force:
        names = ", ".join(map(str, answers))
        raise ValueError(
            f"somebody's answer and no stub: {names}. Nothing was written. `attn-lab reset NAME` keeps a backup, "
            "--force does not"
        )
    for exercise in changed:
        path = exercise.answer(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, stub(exercise))
    return [exercise.answer(folder) for exercise in changed]


def _is_answer(exercise: Exercise, folder: Path) -> bool:
    """Whether nothing is left to write there: no stub, however old, is like that. A bug hunt's may be a repair."""
    text = _text(exercise.answer(folder))
    if text is None or is_hunt(exercise):
        return text is not None
    return f'raise NotImplementedError("{exercise.label}:' not in text


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
