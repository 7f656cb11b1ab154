"""What a learner sees: one screen, at most 25 lines. Nothing here needs PyTorch: what it shows is text already."""

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

from attn_lab.course.catalogue import Exercise, exercises

LINES = 25
BAR = 30


def screen(n_done: int, passed: Sequence[Exercise], body: Sequence[str]) -> list[str]:
    """The bar, what passed now, and the body: of the first exercise that did not, what is wrong or what is asked."""
    head = [bar(n_done)]
    if passed:
        head += wrap(f"passed now: {', '.join(exercise.label for exercise in passed)}", most=2)
    if not body and n_done == len(exercises()):
        body = ["Every exercise is done. Train with your own parts: attn-lab train --parts exercises"]
    return fit([*head, "", *body])


def bar(n_done: int) -> str:
    """How far one is."""
    n = len(exercises())
    full = BAR * n_done // n
    return f"[{'#' * full}{'.' * (BAR - full)}] {n_done} of {n} exercises done"


def task(exercise: Exercise, answer: Path, not_started: bool = True) -> list[str]:
    """What an exercise asks, and where."""
    title, asked = asked_for(exercise)
    return [
        f"next: {exercise.label}{', not started' if not_started else ''}",
        *wrap(title),
        *wrap(asked),
        "",
        *places(exercise, answer),
    ]


def asked_for(exercise: Exercise) -> tuple[str, str]:
    """What the exercise is about, and what is to be written: the two paragraphs of its file's docstring."""
    import ast

    docstring = ast.get_docstring(ast.parse(exercise.solution.read_text(encoding="utf-8"))) or exercise.label
    title, _, rest = docstring.partition("\n\n")
    return " ".join(title.split()), " ".join(rest.split())


def places(exercise: Exercise, answer: Path) -> list[str]:
    """Where to write, where to read, and how to get a hint."""
    place = f"{shown(answer)}:{first_region(answer)}"
    missing = f"{shown(answer)}, which is missing: attn-lab reset {exercise.number} puts the stub there"
    return [
        f"write: {place if answer.exists() else missing}",
        f"read:  {shown(exercise.page)}",
        f"hint:  attn-lab hint {exercise.number}",
    ]


def first_region(answer: Path) -> int:
    """The line of the first NotImplementedError that is left, or else 1."""
    try:
        lines = answer.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # it is missing, or may not be read
        lines = []
    return next((k for k, line in enumerate(lines, start=1) if "raise NotImplementedError(" in line), 1)


def shown(path: Path) -> str:
    """A path as one would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def width() -> int:
    """Of the terminal, within reason."""
    return max(60, min(110, shutil.get_terminal_size().columns))


def wrap(text: str, most: int = 6) -> list[str]:
    """In lines of the terminal's width, and no more than `most`."""
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, width())]
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][: width() - 2]} …"]


def fit(lines: Sequence[str], most: int = LINES) -> list[str]:
    """Blank lines go first, then the end: what stands first matters most."""
    lines = list(lines)
    while len(lines) > most and "" in lines:
        lines.remove("")
    return lines[:most]
