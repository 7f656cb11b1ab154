"""Stubs from solutions: what lies between the two marks becomes one NotImplementedError, the rest stays.

In a solution `# answer: what to write` opens such a region and `# end of answer` closes it.
"""

import re
from pathlib import Path

from attn_lab.course.catalogue import Exercise, exercises

OPEN = re.compile(r"^(?P<indent> *)# answer: (?P<task>.+)$")
LONGEST = 120  # characters of a line
CLOSE = re.compile(r"^ *# end of answer$")


def stub(exercise: Exercise) -> str:
    """The exercise's file as a learner gets it.

    Raises:
        ValueError: the solution's marks do not pair, or there are none.
    """
    lines: list[str] = []
    inside = False
    n_regions = 0
    for number, line in enumerate(exercise.solution.read_text(encoding="utf-8").splitlines(), start=1):
        opened, closed = OPEN.match(line), CLOSE.match(line)
        if (bool(opened) and inside) or (bool(closed) and not inside):
            raise ValueError(f"{exercise.solution}:{number}: marks must pair: '# answer: …' and '# end of answer'")
        if opened:
            task = opened["task"].replace('"', "'")
            lines.append(f'{opened["indent"]}raise NotImplementedError("{exercise.label}: {task}")')
            if len(lines[-1]) > LONGEST:
                raise ValueError(f"{exercise.solution}:{number}: expected fewer words: they make a line of the stub")
            inside, n_regions = True, n_regions + 1
        elif closed:
            inside = False
        elif not inside:
            lines.append(line)
    if inside or not n_regions:
        raise ValueError(f"{exercise.solution}: expected '# answer: …' and '# end of answer' around what is to write")
    return "\n".join(lines) + "\n"


def solution_text(exercise: Exercise) -> str:
    """The worked solution, without the marks."""
    lines = exercise.solution.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not OPEN.match(line) and not CLOSE.match(line)) + "\n"


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
