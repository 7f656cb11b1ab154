"""The kill matrix: which test fails which mistake, as a page. `python -m attn_lab.course.kill_matrix` writes it."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attn_lab.course.answers import load
from attn_lab.course.catalogue import Exercise, exercises, source
from attn_lab.course.mistakes import catalogue
from attn_lab.course.outcomes import tests_of
from attn_lab.files import write_text
from attn_lab.tables import Row, markdown_table

HEAD = """# The kill matrix

Each exercise has a catalogue of known mistakes, and each mistake is run through the exercise's tests. A row
is a mistake, a column is a test: `x` where the test fails it, **X** where the test is the one that is meant
for it. No row is empty, so no known mistake passes; no column is empty, so no test is idle. Beyond that, each
mistake is diagnosed as itself and as nothing else, and every right answer by another way passes: the
project's own tests see to it.

This page is written by `python -m attn_lab.course.kill_matrix`.
"""


def page() -> Path:
    """Where it lies."""
    return source() / "docs" / "course" / "kill_matrix.md"


def section(exercise: Exercise, kills: dict[str, list[str]]) -> str:
    """One exercise's part of the page."""
    tests = list(tests_of(load(exercise.specification)))
    meant = {mistake.behaviour: mistake.caught_by for mistake in catalogue(exercise).mistakes}
    legend = [f"{number}. {name.removeprefix('test_').replace('_', ' ')}" for number, name in enumerate(tests, start=1)]
    rows: list[Row] = [
        (behaviour, *("**X**" if name == meant[behaviour] else "x" if name in failed else "" for name in tests))
        for behaviour, failed in kills.items()
    ]
    header = ("an answer that …", *map(str, range(1, len(tests) + 1)))
    return f"## {exercise.label}\n\n{markdown_table(header, rows)}\n\n" + "\n".join(legend) + "\n"


def kills(exercise: Exercise) -> dict[str, list[str]]:
    """By the gates, in a process of their own.

    Raises:
        ValueError: a gate does not hold.
    """
    command = [sys.executable, "-m", "attn_lab.course.gates", exercise.name]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    findings = json.loads(done.stdout)
    if findings["problems"]:
        raise ValueError("\n".join(findings["problems"]))
    return dict(findings["kills"])


def write() -> None:
    """The whole page."""
    with ThreadPoolExecutor(2) as pool:
        sections = [section(e, found) for e, found in zip(exercises(), pool.map(kills, exercises()))]
    write_text(page(), "\n".join([HEAD, *sections]))


if __name__ == "__main__":
    write()
