"""What a learner sees: one screen, at most 25 lines."""

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

from attn_lab.checks.compare import Different
from attn_lab.course.catalogue import Exercise, exercises
from attn_lab.course.diagnosis import explain
from attn_lab.course.outcomes import Outcome, own_line, reason, smallest_case
from attn_lab.course.side_by_side import side_by_side
from attn_lab.course.verdict import Verdict

LINES = 25
BAR = 30


def screen(done: Sequence[Exercise], now: Sequence[Verdict]) -> list[str]:
    """The bar, what passed now, and the first exercise that did not: what is wrong, or what is asked."""
    head = [bar(len(done))]
    passed = [v.exercise.label for v in now if v.passed]
    if passed:
        head += _wrap(f"passed now: {', '.join(passed)}", most=2)
    verdict = next((v for v in now if not v.passed), None)
    if verdict is not None:
        body = task(verdict.exercise, verdict.answer) if verdict.is_not_started else failure(verdict)
    elif len(done) == len(exercises()):
        body = ["Every exercise is done. Train with your own parts: attn-lab train --parts exercises"]
    else:
        body = []
    return _fit([*head, "", *body])


def bar(n_done: int) -> str:
    """How far one is."""
    n = len(exercises())
    full = BAR * n_done // n
    return f"[{'#' * full}{'.' * (BAR - full)}] {n_done} of {n} exercises done"


def task(exercise: Exercise, answer: Path) -> list[str]:
    """An exercise that is not started: what is asked, and where."""
    title, asked = asked_for(exercise)
    return [
        f"next: {exercise.label}, not started",
        *_wrap(title),
        *_wrap(asked),
        "",
        *places(exercise, answer),
    ]


def asked_for(exercise: Exercise) -> tuple[str, str]:
    """What the exercise is about, and what is to be written: the two paragraphs of its file's docstring."""
    import ast

    docstring = ast.get_docstring(ast.parse(exercise.solution.read_text(encoding="utf-8"))) or exercise.label
    title, _, rest = docstring.partition("\n\n")
    return " ".join(title.split()), " ".join(rest.split())


def places(exercise: Exercise, answer: Path) -> list[str]:
    """Where to write, where to read, and how to get a hint."""
    return [
        f"write: {shown(answer)}:{first_region(answer)}",
        f"read:  {shown(exercise.page)}",
        f"hint:  attn-lab hint {exercise.number}",
    ]


def first_region(answer: Path) -> int:
    """The line of the first NotImplementedError that is left, or else 1."""
    lines = answer.read_text(encoding="utf-8", errors="replace").splitlines() if answer.is_file() else []
    return next((k for k, line in enumerate(lines, start=1) if "raise NotImplementedError(" in line), 1)


def failure(verdict: Verdict) -> list[str]:
    """An answer that is not right: the property, the counterexample, the diagnosis, the answer's own line."""
    first = verdict.first_failure
    if first is None or first.error is None:
        return []
    n_held = sum(o.passed for o in verdict.outcomes)
    lines = [f"{verdict.exercise.label}: {n_held} of {len(verdict.outcomes)} properties hold"]
    lines += _wrap(f"broken: {first.claim}", most=2)
    lines += _wrap(reason(first.error), most=4)
    case = smallest_case(first.error)
    if case:
        lines += _wrap(f"smallest case: {case}", most=2)
    if isinstance(first.error, Different):
        lines += side_by_side(first.error)
    lines += ["", *_diagnosis(verdict)]
    line = own_line(first.error, verdict.answer)
    if line and not isinstance(first.error, AssertionError):
        lines += _wrap(f"your line: {shown(Path(line.partition(':')[0]))}:{line.partition(':')[2]}", most=2)
    return [*lines, "", *places(verdict.exercise, verdict.answer)[1:]]


def _diagnosis(verdict: Verdict) -> list[str]:
    if verdict.explains_itself:
        return []
    if verdict.matches:
        return _wrap(explain(list(verdict.matches), next(iter(verdict.matches[0].mistake.parts))), most=5)
    held = _names([o for o in verdict.outcomes if o.passed])
    broken = _names([o for o in verdict.outcomes if not o.passed])
    text = "No known mistake behaves exactly like this."
    return [text, *_wrap(f"holds: {held}", most=2), *_wrap(f"does not hold: {broken}", most=2)]


def _names(outcomes: Sequence[Outcome]) -> str:
    return "; ".join(o.test.removeprefix("test_").replace("_", " ") for o in outcomes) or "nothing"


def shown(path: Path) -> str:
    """A path as one would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _width() -> int:
    return max(60, min(110, shutil.get_terminal_size().columns))


def _wrap(text: str, most: int = 6) -> list[str]:
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, _width())]
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][: _width() - 2]} …"]


def _fit(lines: list[str]) -> list[str]:
    """Blank lines go first, then the end: what stands first matters most."""
    while len(lines) > LINES and "" in lines:
        lines.remove("")
    return lines[:LINES]
