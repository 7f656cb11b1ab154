"""A check: one property, the cases it is tried on, and how to run it on any implementation."""

import linecache
import random
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, Verbosity, errors, given, settings
from hypothesis.strategies import SearchStrategy

from attn_lab.checks.setting import Setting

Body = Callable[[Any, Any, Setting], None]


class CheckFailed(AssertionError):
    """A check does not hold: `reason` says what went wrong, `case` is the smallest case that shows it."""

    def __init__(self, name: str, reason: str, case: object) -> None:
        super().__init__(f"{name}: {reason}\n  smallest case: {describe(case)}")
        self.name = name
        self.reason = reason
        self.case = case

    def __reduce__(self) -> tuple[type["CheckFailed"], tuple[str, str, object]]:
        """So that it can cross from one process to another."""
        return CheckFailed, (self.name, self.reason, self.case)


@dataclass(frozen=True)
class Check:
    """One property that an implementation of `subject` must have.

    Args:
        name: the property, in a line.
        subject: what it is a property of, a field of `attn_lab.Parts`.
        strategy: draws the cases.
        body: `body(implementation, case, setting)` fails when the property does not hold in that case.
        only: switches of the case (such as `causal`) without which the property is not expected.
        preflight: whether a training run depends on it.
    """

    name: str
    subject: str
    strategy: SearchStrategy[Any]
    body: Body
    only: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    preflight: bool = True

    def run(
        self,
        implementation: object,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
        autocast: torch.dtype | None = None,
        max_examples: int = 25,
    ) -> None:
        """Tries the property on `max_examples` cases, the same ones each time.

        The state of every random number generator is put back. What the implementation raises is a failure too.

        Raises:
            CheckFailed: the property does not hold; the message tells the smallest case that was found.
        """
        setting = Setting(device, dtype, autocast)
        failure: list[tuple[Any, BaseException]] = []

        @settings(
            max_examples=max_examples,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
        )
        @given(self.strategy)
        def attempt(case: Any) -> None:
            _seed(setting.device)  # a part that drops at random drops the same way each time
            try:
                with _nothing_around(setting.device):
                    self.body(implementation, case, setting)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                failure[:] = [(case, error)]
                raise AssertionError from None  # Hypothesis must not tell one way of failing from another

        with random_state_kept(setting.device):
            try:
                attempt()
            except (AssertionError, errors.Flaky):
                case, error = failure[0]
                raise CheckFailed(self.name, explain(error), case) from error

    def narrowed(self, **switches: object) -> "Check":
        """The same check on cases whose switches of these names are set so; other names are ignored."""

        def set_switches(case: Any) -> Any:
            names = {f.name for f in fields(case)}
            return replace(case, **{name: value for name, value in switches.items() if name in names})

        return replace(self, strategy=self.strategy.map(set_switches))


def describe(case: Any, without: Collection[str] = ()) -> str:
    """The case in a line, `b = 2, h = 1, ...`, without these fields and without what is left at its default."""
    told = [
        (f.name, getattr(case, f.name))
        for f in fields(case)
        if f.name not in without and getattr(case, f.name) != f.default
    ]
    return ", ".join(f"{name} = {value!r}" for name, value in told)


def explain(error: BaseException) -> str:
    """What went wrong: our own sentence, or the exception that a part raised with the part's own line."""
    if isinstance(error, AssertionError) and str(error):
        return str(error)
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}{_own_line(error)}"


def _own_line(error: BaseException) -> str:
    """The deepest line outside the libraries and outside the checks: the part's own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(name in f.filename.replace("\\", "/") for name in _NOT_A_PART)]
    if not own:
        return ""
    last = own[-1]
    line = (last.line or linecache.getline(last.filename, last.lineno or 0)).strip()
    return f" (at {last.filename}:{last.lineno}: {line})"


_NOT_A_PART = ("site-packages", "dist-packages", "attn_lab/checks/", "<@beartype")


@contextmanager
def _nothing_around(device: torch.device | str) -> Iterator[None]:
    """Whatever mode the caller is in: gradients are on, and autocast is off but where the setting puts it on."""
    with torch.inference_mode(False), torch.enable_grad(), Setting(device).running():
        yield


def _seed(device: torch.device | str) -> None:
    # Not torch.manual_seed: it also formats the call stack for devices that are not in use, a millisecond each time.
    torch.default_generator.manual_seed(0)
    accelerator = _accelerator(device)
    if accelerator:
        accelerator.manual_seed(0)


def _accelerator(device: torch.device | str) -> Any:
    """PyTorch's module for the device (torch.cuda, torch.mps ...); None for a CPU."""
    kind = torch.device(device).type
    return None if kind == "cpu" else getattr(torch, kind, None)


@contextmanager
def random_state_kept(device: torch.device | str) -> Iterator[None]:
    """Puts back the state of Python's, PyTorch's and the device's random numbers (Hypothesis puts back NumPy's)."""
    accelerator = _accelerator(device)
    python, cpu = random.getstate(), torch.get_rng_state()
    there = accelerator.get_rng_state() if accelerator else None
    try:
        yield
    finally:
        random.setstate(python)
        torch.set_rng_state(cpu)
        if accelerator:
            accelerator.set_rng_state(there)
