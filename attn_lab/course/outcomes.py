"""What came of a test, and what of it is worth telling: the property, the reason, the smallest case, the line."""

import ast
import traceback
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from attn_lab.checks.check import describe
from attn_lab.course.answers import NotLoaded, is_not_started
from attn_lab.course.catalogue import Exercise
from attn_lab.course.limits import Ended, TimeUp
from attn_lab.course.shortcuts import Shortcut

INNER = ("seed", "density", "empty_rows", "weights_from_pytorch")  # of a case: how its numbers are drawn


@dataclass(frozen=True)
class Outcome:
    """One test, run once: its name, the property in words, and what it raised (None: it holds)."""

    test: str
    claim: str
    error: BaseException | None
    is_not_started: bool

    @property
    def passed(self) -> bool:
        """Whether the property holds."""
        return self.error is None


def outcome(exercise: Exercise, test: Callable[..., Any], error: BaseException | None) -> Outcome:
    """Put together from a test's function and what it raised."""
    docstring = (test.__doc__ or test.__name__.replace("_", " ")).strip().split("\n")[0]
    return Outcome(test.__name__, docstring, error, is_not_started(exercise, error))


def tests_of(specification: ModuleType) -> dict[str, Callable[..., Any]]:
    """The tests of a specification, in the order in which they stand."""
    return {name: value for name, value in vars(specification).items() if name.startswith("test_")}


def n_tests(specification: Path) -> int:
    """How many there are, whichever of them are run."""
    functions = ast.parse(specification.read_text(encoding="utf-8")).body
    return sum(isinstance(f, ast.FunctionDef) and f.name.startswith("test_") for f in functions)


def reset_chance() -> None:
    """The same chance each time: a verdict that changes by itself teaches nothing."""
    torch.default_generator.manual_seed(0)


def run(test: Callable[..., Any], answer: Any) -> BaseException | None:
    """Run one test on an answer, outside pytest; what it raised."""
    reset_chance()
    try:
        test(answer=answer)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # pytest's own outcomes are no Exceptions
        return error
    return None


def reason(error: BaseException) -> str:
    """What went wrong, in a sentence or two."""
    if isinstance(error, NotLoaded | Shortcut | Ended):
        return str(error)
    if isinstance(error, TimeUp):
        return "it did not end in time: is there a loop that never ends?"
    if isinstance(error, AssertionError) and str(error):
        return str(error).strip().replace("got NoneType", "got None: is there a `return`?")
    return f"{type(error).__name__}: {str(error).strip() or 'without a message'}".split("\n\n")[0]


def smallest_case(error: BaseException) -> str:
    """What Hypothesis had drawn when the test failed, read from the test's own frame; empty where it drew nothing.

    Without what only the generator needs to know.
    """
    if isinstance(error, NotLoaded | Shortcut | Ended | TimeUp):
        return ""
    drawn: dict[str, Any] = {}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name.startswith("test_") and "answer" in frame.f_locals:
            names = frame.f_code.co_varnames[: frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount]
            drawn = {name: frame.f_locals[name] for name in names if name != "answer" and name in frame.f_locals}
    told = (
        describe(value, without=INNER) if is_dataclass(value) else f"{name} = {value!r}"
        for name, value in drawn.items()
        if not callable(value)
    )
    return ", ".join(filter(None, told))


def own_line(error: BaseException, answer: Path) -> str:
    """The deepest line of the answer on the way to an exception, as "file:line: text"; empty where there is none."""
    if isinstance(error, NotLoaded) and error.__cause__ is not None:
        cause = error.__cause__
        if isinstance(cause, SyntaxError) and cause.lineno:
            return f"{answer}:{cause.lineno}: {(cause.text or '').strip()}"
        return own_line(cause, answer)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(answer)]
    return f"{answer}:{frames[-1].lineno}: {(frames[-1].line or '').strip()}" if frames else ""
