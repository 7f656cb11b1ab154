"""Which known mistakes an answer makes, from evidence: it must do alike on every probe, or nothing is said."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from attn_lab.course.answers import variant
from attn_lab.course.behaviour import Observation, alike
from attn_lab.course.limits import TimeUp
from attn_lab.course.mistakes import Catalogue, Mistake


@dataclass(frozen=True)
class Match:
    """A mistake that the answer differs from on none of the probes; on `evidence` of them the mistake shows."""

    mistake: Mistake
    evidence: int
    n_probes: int


def diagnose(known: Catalogue, answer: Any) -> list[Match]:
    """The mistakes that the answer agrees with on all probes: in output, gradient, exception and in-place change."""
    return _matches(known, answer) or _one_part_at_a_time(known, answer)


def explain(matches: list[Match]) -> str:
    """The diagnosis in words, part by part of the answer. Empty where nothing is known."""
    of_part: dict[str, list[Match]] = {}
    for match in matches:
        of_part.setdefault(match.mistake.called, []).append(match)
    return " ".join(_sentences(part, alike_ones) for part, alike_ones in of_part.items())


def _sentences(part: str, matches: list[Match]) -> str:
    likes = " or one that ".join(m.mistake.behaviour for m in matches)
    advice = " ".join(dict.fromkeys(m.mistake.advice for m in matches))
    n = matches[0].n_probes
    return f"Your {part} behaves exactly like one that {likes} ({n} of {n} probes). {advice}"


def _matches(known: Catalogue, answer: Any) -> list[Match]:
    theirs = _observer(known, answer)
    matches = [
        Match(mistake, evidence, known.n_probes)
        for mistake in known.mistakes
        if (evidence := _evidence(known, theirs, known.answer(mistake)))
    ]
    # Two mistakes that differ only in a function that is not written yet: the one that says nothing of it is meant.
    return [m for m in matches if not any(o.mistake.parts.keys() < m.mistake.parts.keys() for o in matches)]


def _one_part_at_a_time(known: Catalogue, answer: Any) -> list[Match]:
    """Of an exercise with several functions, two of which may be wrong at once: each beside the solution's others."""
    parts = dict.fromkeys(name for mistake in known.mistakes for name in mistake.parts)
    if len(parts) == 1:
        return []
    return [
        match
        for part in parts
        if hasattr(answer, part)
        for match in _matches(known, variant(known.solution, {part: getattr(answer, part)}))
        if set(match.mistake.parts) == {part}
    ]


def _observer(known: Catalogue, answer: Any) -> Callable[[int], Observation]:
    @cache
    def observation(seed: int) -> Observation:
        try:
            return known.observe(answer, seed)
        except (KeyboardInterrupt, TimeUp):
            raise
        except BaseException as error:  # SystemExit too: what the answer does is evidence, and must not end the verdict
            return {"raises": type(error).__name__}

    return observation


def _evidence(known: Catalogue, theirs: Callable[[int], Observation], mistaken: Any) -> int:
    """On how many probes the mistake shows, if the answer does what the mistake does on all of them; else 0."""
    mistake = _observer(known, mistaken)
    # What a mistake shares with the right answer, a hundred other answers do too: those probes are no evidence, but
    # one of them that differs refutes.
    if not all(alike(theirs(seed), mistake(seed)) for seed in range(known.n_probes)):
        return 0
    right = _observer(known, known.solution)
    return sum(not alike(theirs(seed), right(seed)) for seed in range(known.n_probes))
