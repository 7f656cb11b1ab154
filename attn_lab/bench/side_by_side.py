"""Timing that survives a noisy machine: the candidates take turns, and medians of ratios are compared, not seconds."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Milliseconds a call (median), and the median over rounds of this candidate's time to the first one's."""

    milliseconds: float
    ratio: float


def take_turns(candidates: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 2) -> dict[str, Timing]:
    """Call each candidate once a round, in turns, A B C A B C …; the first one is what the others are compared with.

    A ratio is taken within a round, so that whatever slows the machine for a while slows both its sides.
    """
    for _ in range(warm_up):
        for call in candidates.values():
            call()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            times[name].append(_milliseconds(call))
    first = next(iter(times.values()))
    return {
        name: Timing(statistics.median(own), statistics.median(a / b for a, b in zip(own, first)))
        for name, own in times.items()
    }


def _milliseconds(call: Callable[[], object]) -> float:
    _wait()
    start = time.perf_counter()
    call()
    _wait()
    return 1000 * (time.perf_counter() - start)


def _wait() -> None:
    """Until the device has done what it was given: a GPU works behind Python's back."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()
