"""The diagnosis of answers that the catalogue does not hold as they are: two mistakes at once, and half an answer."""

from collections.abc import Iterator
from itertools import combinations

import pytest

from attn_lab.course.answers import variant
from attn_lab.course.catalogue import exercises, find
from attn_lab.course.diagnosis import diagnose, explain
from attn_lab.course.mistakes import Mistake, catalogue


def pairs(number: str) -> Iterator[tuple[Mistake, Mistake]]:
    """Of an exercise with several functions, the first mistakes of each, two by two."""
    mistakes = [m for m in catalogue(find(number)).mistakes if len(m.parts) == 1]
    first = {
        name: [m for m in mistakes if name in m.parts][:2]
        for name in dict.fromkeys(n for m in mistakes for n in m.parts)
    }
    for one, other in combinations(first, 2):
        yield from ((m, o) for m in first[one] for o in first[other])


SEVERAL = [e.number for e in exercises() if next(pairs(e.number), None)]


@pytest.mark.parametrize("number", SEVERAL)
def test_two_mistakes_at_once_are_both_named(number: str) -> None:
    """Catches an answer of two functions, both wrong in a known way, about which nothing is said."""
    known = catalogue(find(number))
    for one, other in pairs(number):
        found = [m.mistake for m in diagnose(known, variant(known.solution, one.parts | other.parts))]
        # One mistake that is known to be made in both functions at once says it better than two.
        assert set(found) == {one, other} or [set(m.parts) for m in found] == [one.parts.keys() | other.parts.keys()]


def test_both_are_told_each_of_its_own_function() -> None:
    """Catches a sentence that lays one function's mistake at the other's door."""
    known = catalogue(find("e17"))
    one, other = next(pairs("e17"))
    text = explain(diagnose(known, variant(known.solution, one.parts | other.parts)))
    for mistake in (one, other):
        assert f"Your {next(iter(mistake.parts))} behaves exactly like one that {mistake.behaviour} (" in text
        assert mistake.advice in text


def test_an_unknown_mistake_beside_a_known_one_is_not_guessed_at() -> None:
    """Catches a diagnosis of a function that was never compared."""
    known = catalogue(find("e17"))
    one, _ = next(pairs("e17"))

    def windows(batched: object, window: int) -> Iterator[str]:
        yield "nothing that anybody would write"

    assert "windows" not in one.parts
    assert [m.mistake for m in diagnose(known, variant(known.solution, one.parts | {"windows": windows}))] == [one]
