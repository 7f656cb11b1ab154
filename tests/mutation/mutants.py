"""Mutants: a program with one small change each."""

import ast
import difflib
import random
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from tests.mutation.operators import operators

OPEN, CLOSE = re.compile(r" *# answer: "), re.compile(r" *# (end of answer|instead of:)$")


@dataclass(frozen=True)
class Mutant:
    """One change. `change` says it in words, "before -> after", and is unique among the mutants of a program."""

    operator: str
    line: int
    change: str
    text: str


def mutants(source: str, lines: Collection[int] | None = None) -> list[Mutant]:
    """All mutants of a program that compile, each once, in the order of its lines; `lines`: of these lines alone.

    Annotations, docstrings and comments are left as they are: they do nothing when the program runs.
    """
    found: dict[str, tuple[str, int]] = {}
    original = ast.dump(ast.parse(source))
    nodes = list(ast_nodes(get_ast(source)))
    for name, operator in operators().items():
        for occurrence, line in _places(operator, nodes):
            if lines is not None and line not in lines:
                continue
            text = mutate_code(source, operator, occurrence)
            if text is not None and text not in found and _is_another_program(text, original):
                found[text] = name, line
    times: Counter[str] = Counter()
    result = []
    for text, (name, line) in sorted(found.items(), key=lambda item: item[1][1]):
        change = _change(source, text)
        times[change] += 1
        ordinal = f" (place {times[change]})" if times[change] > 1 else ""
        result.append(Mutant(name, line, change + ordinal, text))
    return result


def answer_lines(source: str) -> set[int]:
    """The lines between a solution's marks: what a learner writes."""
    lines, inside = set(), False
    for number, line in enumerate(source.split("\n"), start=1):
        if OPEN.match(line) or CLOSE.match(line):
            inside = bool(OPEN.match(line))
        elif inside:
            lines.add(number)
    return lines


def drawn(those: Sequence[Mutant], share: float, seed: int) -> list[Mutant]:
    """A share of them, at least one, drawn by a seed, in their order."""
    n = min(len(those), max(1, round(share * len(those))))
    return [those[k] for k in sorted(random.Random(seed).sample(range(len(those)), n))]


def _places(operator: Any, nodes: list[Any]) -> Iterator[tuple[int, int]]:
    """Where an operator finds something to change: the number of the place, as cosmic-ray counts, and its line."""
    occurrence = 0
    for node in nodes:
        for start, _ in operator.mutation_positions(node):
            if not _is_annotation(node) and not _is_bare_star(node):
                yield occurrence, start[0]
            occurrence += 1


def _is_annotation(node: Any) -> bool:
    while (parent := node.parent) is not None:
        if parent.type in ("tfpdef", "annassign") and _behind_colon(parent) is node:
            return True
        if parent.type == "funcdef" and parent.annotation is node:
            return True
        node = parent
    return False


def _is_bare_star(node: Any) -> bool:
    """The star of `def f(a, *, b)`, which cosmic-ray takes for a product."""
    return node.parent is not None and node.parent.type == "parameters"


def _behind_colon(node: Any) -> Any:
    places = [k for k, child in enumerate(node.children) if getattr(child, "value", "") == ":"]
    return node.children[places[0] + 1] if places else None


def _is_another_program(text: str, original: str) -> bool:
    try:
        compile(text, "mutant", "exec")
        return ast.dump(ast.parse(text)) != original
    except SyntaxError:
        return False


def _change(source: str, text: str) -> str:
    before, after = source.split("\n"), text.split("\n")
    blocks = [b for b in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes() if b[0] != "equal"]
    start, end = blocks[0][1], blocks[-1][2]
    cut = len(after) - len(before) + end
    return f"{_one_line(before[start:end])} -> {_one_line(after[start:cut]) or 'nothing'}"


def _one_line(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
