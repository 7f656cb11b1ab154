"""All exercises at a glance: by chapter, with what is done and what is next."""

from collections.abc import Collection
from itertools import groupby

from attn_lab.course.catalogue import Exercise, exercises
from attn_lab.course.screen import bar, width

DONE, NEXT, OPEN = "x", ">", "."


def overview(done: Collection[Exercise], next_one: Exercise | None) -> list[str]:
    """The bar, a legend, and two or three lines a chapter."""
    lines = [bar(len(done)), f"{DONE} done   {NEXT} next   {OPEN} open"]
    for chapter, members in groupby(exercises(), key=lambda exercise: exercise.chapter):
        number, _, title = chapter.removeprefix("ch").partition("_")
        lines.append(f"{number} {title.replace('_', ' ')}")
        cells = [f"{_mark(exercise, done, next_one)} {exercise.label}" for exercise in members]
        lines += _in_lines(cells)
    return lines


def _mark(exercise: Exercise, done: Collection[Exercise], next_one: Exercise | None) -> str:
    return DONE if exercise in done else NEXT if exercise == next_one else OPEN


def _in_lines(cells: list[str]) -> list[str]:
    column = max(len(f"{OPEN} {exercise.label}") for exercise in exercises()) + 2
    each = max(1, (width() - 2) // column)
    rows = [cells[k : k + each] for k in range(0, len(cells), each)]
    return ["  " + "".join(cell.ljust(column) for cell in row).rstrip() for row in rows]
