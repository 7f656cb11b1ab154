"""The walkthrough's list of mistakes: what it quotes stands in the library, and what it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "walkthrough.md"

QUOTE = re.compile(r'^```python title="(?P<file>[^"]+)"\n(?P<lines>.*?)^```$', re.MULTILINE | re.DOTALL)
GUARDS = re.compile(r"^\*\*Guarded by:\*\* (.+)$", re.MULTILINE)
NODE = re.compile(r"`([^`]+)`")


def mistakes() -> dict[str, str]:
    """The sections under "What was wrong", by their headings."""
    _, _, wrong = PAGE.read_text(encoding="utf-8").partition("\n## What was wrong\n")
    _, *sections = re.split(r"^### ", wrong.partition("\n## ")[0], flags=re.MULTILINE)
    return {heading: text for heading, _, text in (section.partition("\n") for section in sections)}


@cache
def names_of_tests(file: Path) -> set[str]:
    """The tests that pytest would find in the file: top-level functions whose name begins with test."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test")}


each = pytest.mark.parametrize("mistake", mistakes())


def test_the_list_is_read_whole() -> None:
    """Catches a page whose layout has changed, so that the tests below would look at nothing."""
    assert [int(heading.partition(".")[0]) for heading in mistakes()] == list(range(1, len(mistakes()) + 1))
    assert len(mistakes()) >= 15
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("**Guarded by:**") == page.count('```python title="') == len(mistakes())


@each
def test_a_mistake_is_told_in_full(mistake: str) -> None:
    """Catches a mistake without its symptom, its reason, the line that puts it right, or the test that guards it."""
    text = mistakes()[mistake]
    places = [
        text.find(part) for part in ("**Seen:** ", "**Why it is wrong:** ", "```python title=", "**Guarded by:** ")
    ]
    assert -1 < places[0] < places[1] < places[2] < places[3]


@each
def test_the_quoted_lines_stand_in_the_file(mistake: str) -> None:
    """Catches a quotation that the library has moved on from, one of another file, and one that is empty."""
    (quote,) = QUOTE.finditer(mistakes()[mistake])
    file = ROOT / quote["file"]
    assert file.is_file(), f"{quote['file']} does not exist"
    lines = file.read_text(encoding="utf-8").splitlines()
    source = {line.strip() for line in lines} | {line.partition("  # ")[0].strip() for line in lines}
    quoted = [line.strip() for line in quote["lines"].splitlines() if line.strip()]
    assert quoted, f"the quotation from {quote['file']} is empty"
    assert not [line for line in quoted if line not in source]


@each
def test_the_guards_exist(mistake: str) -> None:
    """Catches a test that is named on the page and was renamed, moved or never written."""
    (guards,) = GUARDS.findall(mistakes()[mistake])
    nodes = NODE.findall(guards)
    assert nodes
    assert guards == ", ".join(f"`{node}`" for node in nodes)
    for node in nodes:
        file, _, name = node.partition("::")
        assert (ROOT / file).is_file(), f"{file} does not exist"
        assert name in names_of_tests(ROOT / file), f"{file} has no test {name}"
