"""Stubs from solutions: what lies between the two marks becomes one NotImplementedError, the rest stays.

In a solution `# answer: what to write` opens such a region and `# end of answer` closes it. In a bug hunt nothing is
left out: behind the right lines `# instead of:` begins the wrong ones, as comments, and the stub has those.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from attn_lab.course.catalogue import Exercise, exercises

OPEN = re.compile(r"^(?P<indent> *)# answer: (?P<task>.+)$")
INSTEAD = re.compile(r"^ *# instead of:$")
CLOSE = re.compile(r"^ *# end of answer$")
LONGEST = 120  # characters of a line


@dataclass
class Region:
    """What a learner is to write: where, in a few words, and the wrong lines that a bug hunt begins with."""

    number: int
    indent: str
    task: str
    wrong: list[str] = field(default_factory=list)
    has_wrong: bool = False


def stub(exercise: Exercise) -> str:
    """The exercise's file as a learner gets it.

    Raises:
        ValueError: the solution's marks do not pair, or there are none.
    """
    return _text(line for piece in _pieces(exercise) for line in _for_learner(exercise, piece))


def emptied(exercise: Exercise) -> str:
    """The same with every region left out, of a bug hunt too.

    Raises:
        ValueError: as `stub`.
    """
    return _text(line for piece in _pieces(exercise) for line in _left_out(exercise, piece))


def is_hunt(exercise: Exercise) -> bool:
    """Whether the stub is a whole program, with a bug."""
    return any(isinstance(piece, Region) and piece.has_wrong for piece in _pieces(exercise))


def solution_text(exercise: Exercise) -> str:
    """The worked solution, without the marks."""
    lines = exercise.solution.read_text(encoding="utf-8").splitlines()
    return _text(line for line in lines if not OPEN.match(line) and not CLOSE.match(line))


def write_stubs(folder: Path, *, keep: bool = False) -> list[Path]:
    """Every stub into a folder that mirrors the course; returns the files written. `keep`: leave what is there."""
    written = []
    for exercise in exercises():
        path = exercise.answer(folder)
        if keep and path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(stub(exercise), encoding="utf-8", newline="\n")
        written.append(path)
    return written


def _pieces(exercise: Exercise) -> Iterator[str | Region]:
    """The solution's lines, with a region in the place of what is to be written."""
    region: Region | None = None
    n_regions = 0
    for number, line in enumerate(exercise.solution.read_text(encoding="utf-8").splitlines(), start=1):
        opened, closed = OPEN.match(line), CLOSE.match(line)
        if (opened and region) or (closed and not region):
            raise ValueError(f"{exercise.solution}:{number}: marks must pair: '# answer: …' and '# end of answer'")
        if opened:
            region, n_regions = Region(number, opened["indent"], opened["task"].replace('"', "'")), n_regions + 1
        elif region is None:
            yield line
        elif closed:
            yield region
            region = None
        elif INSTEAD.match(line):
            region.has_wrong = True
        elif region.has_wrong:
            region.wrong.append(_uncommented(exercise, number, line, region.indent))
    if region or not n_regions:
        raise ValueError(f"{exercise.solution}: expected '# answer: …' and '# end of answer' around what is to write")


def _uncommented(exercise: Exercise, number: int, line: str, indent: str) -> str:
    if line != f"{indent}#" and not line.startswith(f"{indent}# "):
        raise ValueError(f"{exercise.solution}:{number}: expected a comment, as every line behind '# instead of:'")
    return (indent + line[len(indent) + 2 :]).rstrip()


def _for_learner(exercise: Exercise, piece: str | Region) -> list[str]:
    return piece.wrong if isinstance(piece, Region) and piece.has_wrong else _left_out(exercise, piece)


def _left_out(exercise: Exercise, piece: str | Region) -> list[str]:
    if isinstance(piece, str):
        return [piece]
    line = f'{piece.indent}raise NotImplementedError("{exercise.label}: {piece.task}")'
    if len(line) > LONGEST:
        raise ValueError(f"{exercise.solution}:{piece.number}: expected fewer words: they make a line of the stub")
    return [line]


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"
