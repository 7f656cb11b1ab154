"""The hints of an exercise, out of its page: they open one by one."""

import re
import textwrap
from dataclasses import dataclass

from attn_lab.course.catalogue import Exercise

HINT = re.compile(r'^\?\?\?\+? hint "(?P<title>.*)"\n(?P<text>(?:(?: {4}.*)?\n)*)', re.MULTILINE)


@dataclass(frozen=True)
class Hint:
    """A title such as "Hint 1: the shapes", and a few lines of Markdown."""

    title: str
    text: str


def hints(exercise: Exercise) -> list[Hint]:
    """All of them, from the gentlest to the plainest.

    Raises:
        OSError: the page is missing or cannot be read.
    """
    page = exercise.page.read_text(encoding="utf-8") + "\n"
    return [Hint(found["title"], textwrap.dedent(found["text"]).strip()) for found in HINT.finditer(page)]


def opened(exercise: Exercise, n_open: int) -> list[str]:
    """The first hints as lines to print, and what there is after them."""
    known = hints(exercise)
    lines: list[str] = []
    for hint in known[:n_open]:
        lines += [hint.title, *textwrap.indent(hint.text, "  ").splitlines(), ""]
    left = len(known) - n_open
    if not known:
        return [f"{exercise.label} has no hints."]
    if left > 0:
        return [*lines, f"{left} more: ask again."]
    return [*lines, f"That was the last one. The solution: attn-lab solution {exercise.number} --give-up"]
