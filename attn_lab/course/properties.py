"""A learner's properties, put to every right implementation and every known wrong one: a test of tests.

An answer defines functions whose names begin with `property_`. Each takes one argument, named after its subject, and
raises AssertionError where what it is given is wrong. Each meets each implementation on its own: in a new disguise,
with chance reset, within a time limit; and then once more, in reverse order and with other random numbers, which must
not change anything.
"""

import inspect
import random
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any

import torch

from attn_lab.checks.compare import require
from attn_lab.course.behaviour import NOT_WRITTEN
from attn_lab.course.disguise import PEEKED, disguised
from attn_lab.course.limits import Ended, TimeUp, time_limit
from attn_lab.course.shortcuts import Shortcut
from attn_lab.course.subjects import SUBJECTS, Implementation

SECONDS = 3.0  # for one property and one implementation: ours take a thousandth
TOLD = 3  # mistakes that are named at a time
NOT_WRITTEN_YET = "not written yet"
Property = Callable[..., Any]


@dataclass(frozen=True)
class Result:
    """What came of one property and one implementation: what it raised, and what it returned."""

    error: BaseException | None
    returned: Any = None

    @property
    def accepts(self) -> bool:
        """Whether the property has nothing against the implementation."""
        return self.error is None

    @property
    def is_verdict(self) -> bool:
        """Whether the property came to an end by itself: a crash may be a verdict, too little time is none."""
        return not isinstance(self.error, TimeUp | Ended | Shortcut)


class Examination:
    """All properties of one subject, put to all its implementations.

    Every method that begins with `require` fails if the properties do not even run.
    """

    def __init__(self, answer: Any, subject: str) -> None:
        self.subject = subject
        self.properties = properties_of(answer, subject)
        self.implementations = SUBJECTS[subject].implementations()
        self.results: dict[tuple[str, Implementation], Result] = {}
        self.again: dict[tuple[str, Implementation], Result] = {}
        self.broken: BaseException | None = None  # what a property raised that is no verdict
        self.broken_at: TracebackType | None = None
        pairs = [(name, implementation) for implementation in self.implementations for name in self.properties]
        for seed, results, order in ((0, self.results, pairs), (1, self.again, pairs[::-1])):
            for name, implementation in order:
                if self.broken is None:
                    results[name, implementation] = self._meet(name, implementation, seed)

    def _meet(self, name: str, implementation: Implementation, seed: int) -> Result:
        result = meet(self.properties[name], self.subject, implementation, seed)
        is_first = implementation is self.implementations[0]
        # On the worked solution a property may be mistaken, but not crash.
        if not result.is_verdict or (is_first and not (result.accepts or is_refusal(result.error))):
            self.broken, self.broken_at = result.error, result.error.__traceback__ if result.error else None
        return result

    @property
    def right(self) -> list[Implementation]:
        """The right implementations."""
        return [implementation for implementation in self.implementations if implementation.is_right]

    @property
    def wrong(self) -> list[Implementation]:
        """The known wrong ones."""
        return [implementation for implementation in self.implementations if not implementation.is_right]

    def refused(self, name: str) -> list[Implementation]:
        """What a property refuses."""
        return [one for one in self.implementations if not self.results[name, one].accepts]

    def slipped_through(self, without: str = "") -> list[Implementation]:
        """The wrong ones that no property refuses; or would refuse, if there were not the one `without`."""
        others = [name for name in self.properties if name != without]
        return [wrong for wrong in self.wrong if all(self.results[name, wrong].accepts for name in others)]

    def require_it_runs(self) -> None:
        """There are properties, and none crashes, never ends, or looks at what is none of its business.

        Raises:
            BaseException: the very one that a property raised.
        """
        if self.broken is not None:
            raise self.broken.with_traceback(self.broken_at)  # without the frames of earlier tests
        wanted = f"a function whose name begins with property_ and whose one argument is {self.subject}"
        require(bool(self.properties), f"there is no property of {self.subject} yet: {wanted}")

    def require_right_ones_are_accepted(self) -> None:
        """No property refuses a right implementation."""
        self.require_it_runs()
        for name in self.properties:
            refused = self.refused(name)
            require(len(refused) < len(self.implementations), f"{name} refuses everything, right or wrong")
            wrongly = [one for one in refused if one.is_right]
            if wrongly:
                said = _said(self.results[name, wrongly[0]].error, self.properties[name])
                raise AssertionError(
                    f"{name} refuses {len(wrongly)} of {len(self.right)} right ones, such as: {wrongly[0].told}. {said}"
                )

    def require_wrong_ones_are_refused(self) -> None:
        """Of each wrong implementation there is a property that refuses it."""
        self.require_it_runs()
        slipped = self.slipped_through()
        if slipped:
            some = "; or ".join(wrong.told for wrong in slipped[:TOLD])
            raise AssertionError(
                f"{len(slipped)} of {len(self.wrong)} wrong ones slip through. Ask yourself: {slipped[0].question} "
                f"No property of {self.subject} refuses one that {some}"
            )

    def require_each_is_of_use(self) -> None:
        """Each property refuses something."""
        self.require_it_runs()
        for name in self.properties:
            ever = [one for one in self.implementations if not self.again[name, one].accepts] + self.refused(name)
            require(bool(ever), f"{name} refuses nothing that we know of: when would it fail?")

    def require_silence(self) -> None:
        """No property returns a value: nobody looks at it."""
        self.require_it_runs()
        for (name, _), result in self.results.items():
            kind = type(result.returned).__name__
            require(
                result.returned is None,
                f"{name} returns a value ({kind}), which nobody looks at: a property says no by raising, as assert",
            )

    def require_the_same_each_time(self) -> None:
        """Neither other random numbers nor another order change what is refused."""
        self.require_it_runs()
        for (name, implementation), result in self.results.items():
            now, before = ("refuses", "accepted") if result.accepts else ("accepts", "refused")
            require(
                result.accepts == self.again[name, implementation].accepts,
                f"{name} changes its mind: with other random numbers, and in another order, it {now} what it had "
                f"{before}. Draw from a torch.Generator with a seed of your own, and keep nothing from call to call",
            )


def require_one_argument(answer: Any, subjects: Sequence[str]) -> None:
    """Each property takes one argument, with the name of one of the subjects."""
    for name, function in _all_properties(answer):
        arguments = _arguments(function)
        wanted = " or ".join(subjects)
        require(
            len(arguments) == 1 and arguments[0] in subjects,
            f"{name} takes ({', '.join(arguments)}): a property takes one argument, with the name of what it tests: "
            f"{wanted}",
        )


_latest: list[tuple[Any, dict[str, Examination]]] = []


def examined(answer: Any, subject: str) -> Examination:
    """The examination of one answer's properties, done once for all tests that ask."""
    of_answer = next((kept for known, kept in _latest if known is answer), None)
    if of_answer is None:
        of_answer = {}
        _latest[:] = [*_latest[-1:], (answer, of_answer)]
    if subject not in of_answer:
        of_answer[subject] = Examination(answer, subject)
    return of_answer[subject]


def properties_of(answer: Any, subject: str) -> dict[str, Property]:
    """The answer's properties of a subject, by their names."""
    return {name: function for name, function in _all_properties(answer) if _arguments(function) == [subject]}


def meet(
    function: Property, subject: str, implementation: Implementation, seed: int = 0, seconds: float | None = SECONDS
) -> Result:
    """One property and one implementation, with nothing left from the one before. `seconds`: None for no limit."""
    files = {inspect.unwrap(function).__code__.co_filename}
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    given = {subject: disguised(implementation.code, subject, files)}
    PEEKED.clear()
    _reset_chance(seed)
    start = time.monotonic()
    try:
        with time_limit(seconds) if seconds else nullcontext():
            result = Result(None, function(**given))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a property may raise
        if isinstance(error, TimeUp) and (not seconds or time.monotonic() - start < seconds):
            raise  # the time of the whole exercise is over
        result = Result(Ended("a property may not end the process") if isinstance(error, SystemExit) else error)
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
    return Result(PEEKED[0]) if PEEKED else result


def observed(answer: Any, subject: str, probe: int, n_probes: int, *, again: bool = True) -> dict[str, Any]:
    """For a diagnosis: what the properties of a subject together do to some of the implementations.

    The last ones come first: what a weak test lets through is often among them. `again`: and what they do to them with
    other random numbers.
    """
    functions = list(properties_of(answer, subject).values())
    seen: dict[str, Any] = {}
    for implementation in SUBJECTS[subject].implementations()[::-1][probe::n_probes]:
        rounds = [
            [_seen(function, subject, implementation, seed) for function in functions]
            for seed in ((0, 1) if again else (0,))
        ]
        if any(complaint == NOT_WRITTEN_YET for complaint, _ in rounds[0]):
            return dict(NOT_WRITTEN)
        # Which of the properties is the first to complain is no matter.
        seen[implementation.told] = [sorted({c for c, _ in results} - {""})[:1] for results in rounds]
        seen[implementation.told] += [sorted({returned for results in rounds for _, returned in results})]
    return seen


@lru_cache(maxsize=20_000)  # known mistakes have most of their properties in common
def _seen(function: Property, subject: str, implementation: Implementation, seed: int) -> tuple[str, str]:
    """The type of what was raised, empty if nothing was; and of what was returned."""
    result = meet(function, subject, implementation, seed, seconds=None)
    if isinstance(result.error, NotImplementedError) and re.match(r"e\d\d ", str(result.error)):
        return NOT_WRITTEN_YET, ""  # the stub's own; PyTorch has exceptions of that type too
    return "" if result.accepts else type(result.error).__name__, type(result.returned).__name__


def is_refusal(error: BaseException | None) -> bool:
    """Whether this is how a test says no: a failed assertion, or pytest's own way."""
    pytest = sys.modules.get("pytest")
    return isinstance(error, AssertionError) or (pytest is not None and isinstance(error, pytest.fail.Exception))


def _all_properties(answer: Any) -> Iterator[tuple[str, Property]]:
    for name, value in vars(answer).items():
        if name.startswith("property_") and inspect.isfunction(value):
            yield name, value


def _arguments(function: Property) -> list[str]:
    """What must be given to it. (What Hypothesis draws is not among it.)"""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _reset_chance(seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)


def _said(error: BaseException | None, function: Property) -> str:
    """What a property said, and where."""
    file = inspect.unwrap(function).__code__.co_filename
    lines = [f for f in traceback.extract_tb(error.__traceback__ if error else None) if f.filename == file]
    where = f"Line {lines[-1].lineno}: " if lines else ""
    kind = "" if is_refusal(error) else f"{type(error).__name__}: "
    code = lines[-1].line if lines else ""
    return f"{where}{kind}{' '.join(str(error).split()) or code}"
