"""The author's gates: what must hold of every exercise before a learner sees it.

`python -m attn_lab.course.gates e02` says what does not hold, and which test fails which mistake.
"""

import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import torch

from attn_lab.course.answers import is_not_started, load
from attn_lab.course.catalogue import Exercise, find
from attn_lab.course.diagnosis import diagnose
from attn_lab.course.limits import limits
from attn_lab.course.mistakes import Catalogue, catalogue
from attn_lab.course.outcomes import run, tests_of
from attn_lab.course.shortcuts import no_shortcuts
from attn_lab.course.stubs import emptied, is_hunt, stub
from attn_lab.course.trial import COURSE

SENTINEL = "a sentinel that was planted in the answer"


@dataclass
class Findings:
    """What the gates found: problems in words, and of each mistake the tests that fail it."""

    problems: list[str] = field(default_factory=list)
    kills: dict[str, list[str]] = field(default_factory=dict)


def examine(exercise: Exercise) -> Findings:
    """All gates of one exercise. Smallest cases are not looked for: it is enough that a test fails."""
    hypothesis.settings.register_profile("gates", COURSE, phases=(hypothesis.Phase.generate,))
    hypothesis.settings.load_profile("gates")
    torch.set_num_threads(1)
    known, tests, findings = catalogue(exercise), tests_of(load(exercise.specification)), Findings()
    findings.problems += _solution(exercise, known, tests)
    findings.problems += _variants(known, tests)
    findings.problems += _stub(exercise, tests)
    findings.problems += _hunt(exercise, known, tests)
    twice = [text for text, n in Counter(m.behaviour for m in known.mistakes).items() if n > 1]
    findings.problems += [f"two mistakes are described alike: {text}" for text in twice]
    for mistake in known.mistakes:
        answer = known.answer(mistake)
        failed = [name for name, test in tests.items() if _run(test, answer) is not None]
        findings.kills[mistake.behaviour] = failed
        if mistake.caught_by not in failed:
            findings.problems.append(f"{mistake}: {mistake.caught_by} does not fail it; failed: {failed or 'none'}")
        matches = [match.mistake for match in diagnose(known, answer)]
        if matches != [mistake]:
            findings.problems.append(f"{mistake}: diagnosed as {matches}")
    idle = [name for name in tests if not any(name in failed for failed in findings.kills.values())]
    findings.problems += [f"{name} fails no mistake" for name in idle]
    return findings


def _run(test: Any, answer: Any) -> BaseException | None:
    with limits(seconds=120):
        return run(test, answer)


def _solution(exercise: Exercise, known: Catalogue, tests: dict[str, Any]) -> list[str]:
    """The solution passes, takes no shortcut, and looks like no mistake."""
    problems = []
    for name, test in tests.items():
        with no_shortcuts(known.not_allowed, exercise.solution):
            error = _run(test, known.solution)
        if error is not None:
            problems.append(f"the solution fails {name}: {error!r}")
    return problems + [f"the solution is diagnosed as {m.mistake}" for m in diagnose(known, known.solution)]


def _variants(known: Catalogue, tests: dict[str, Any]) -> list[str]:
    problems = []
    for variant in known.variants:
        answer = known.answer(variant)
        failed = {name: error for name, test in tests.items() if (error := _run(test, answer)) is not None}
        problems += [f"{variant} is right, and fails {name}: {error!r}" for name, error in failed.items()]
        problems += [f"{variant} is right, and is diagnosed as {m.mistake}" for m in diagnose(known, answer)]
    return problems


def _hunt(exercise: Exercise, known: Catalogue, tests: dict[str, Any]) -> list[str]:
    """The program of a bug hunt fails on the property that it breaks, on nothing else, and no diagnosis tells why."""
    if not is_hunt(exercise):
        return []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{exercise.name}_hunt.py"
        file.write_text(stub(exercise), encoding="utf-8")
        program = load(file)
        failed = [name for name, test in tests.items() if _run(test, program) is not None]
        problems = [f"the program is diagnosed as {m.mistake}" for m in diagnose(known, program)]
    if failed != [known.breaks]:
        problems.append(f"the program must fail BREAKS = {known.breaks!r} and nothing else; failed: {failed}")
    return problems


def _stub(exercise: Exercise, tests: dict[str, Any]) -> list[str]:
    """The stub fails every test as not started; with an exception of ours in its place, that is what comes out."""
    text = emptied(exercise)
    planted = text.replace(f'NotImplementedError("{exercise.label}:', f'RuntimeError("{SENTINEL}:')
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("stub", text), ("sentinel", planted)):
            file = Path(folder) / f"{exercise.name}_{name}.py"
            file.write_text(content, encoding="utf-8")
            answer = load(file)
            for test_name, test in tests.items():
                error = _run(test, answer)
                fine = is_not_started(exercise, error) if name == "stub" else SENTINEL in str(error)
                if not fine:
                    problems.append(f"the {name} does not surface in {test_name}: {error!r}")
    return problems


def main(name: str) -> None:
    """Print the findings as JSON."""
    findings = examine(find(name))
    print(json.dumps({"problems": findings.problems, "kills": findings.kills}, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
