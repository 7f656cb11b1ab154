"""Known wrong answers and unusual right ones, as the catalogues beside the solutions declare them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from attn_lab.course.answers import load, variant
from attn_lab.course.behaviour import Observation
from attn_lab.course.catalogue import Exercise


class Mistake:
    """A wrong answer that has been seen.

    Args:
        behaviour: completes "Your answer behaves exactly like one that …".
        advice: the one sentence that a good teacher would say.
        caught_by: the test that is meant for it.
        parts: the names of the answer that it defines, wrongly.
        called: what the diagnosis calls it, "Your … behaves"; the first of the parts, unless something else is said.
    """

    def __init__(self, behaviour: str, advice: str, *, caught_by: str, called: str = "", **parts: object) -> None:
        self.behaviour, self.advice, self.caught_by, self.parts = behaviour, advice, caught_by, parts
        self.called = called or next(iter(parts), "answer")

    def __repr__(self) -> str:
        return f"Mistake({self.behaviour!r})"


class Variant:
    """A right answer by another way, which must pass; `parts` as in `Mistake`."""

    def __init__(self, way: str, **parts: object) -> None:
        self.way, self.parts = way, parts

    def __repr__(self) -> str:
        return f"Variant({self.way!r})"


@dataclass(frozen=True)
class Catalogue:
    """What is known about the answers to one exercise.

    `observe(answer, seed)` puts an answer to one test and returns what it did; seeds 0 to n_probes - 1 together must
    tell every mistake from the solution and from every other mistake. `not_allowed`: dotted names of what an answer may
    not call. `seconds`: for all tests of an answer together, generously. `breaks`: of a bug hunt, the test that its
    program fails.
    """

    solution: ModuleType
    mistakes: tuple[Mistake, ...]
    variants: tuple[Variant, ...]
    observe: Callable[[Any, int], Observation]
    n_probes: int
    not_allowed: tuple[str, ...]
    seconds: float
    breaks: str

    def answer(self, entry: Mistake | Variant) -> Any:
        """The entry as an answer: the solution with the entry's parts in place."""
        return variant(self.solution, entry.parts)


@cache
def catalogue(exercise: Exercise) -> Catalogue:
    """Read from the file of mistakes; NOT_ALLOWED, N_PROBES, SECONDS and BREAKS may be left out there."""
    module = load(exercise.mistakes)
    return Catalogue(
        solution=load(exercise.solution),
        mistakes=tuple(module.MISTAKES),
        variants=tuple(module.VARIANTS),
        observe=module.observe,
        n_probes=getattr(module, "N_PROBES", 24),
        not_allowed=getattr(module, "NOT_ALLOWED", ()),
        seconds=getattr(module, "SECONDS", 60.0),
        breaks=getattr(module, "BREAKS", ""),
    )
