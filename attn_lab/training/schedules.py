"""Schedules: the factor of the learning rate over a run. A warm-up, where there is one, multiplies either."""

import math
from collections.abc import Callable


def staircase(step: int, steps_per_epoch: int, epochs: int, gamma: float) -> float:
    """`gamma` from one epoch to the next, as torch's StepLR with a step of one epoch."""
    return gamma ** (step // steps_per_epoch)


def cosine(step: int, steps_per_epoch: int, epochs: int, gamma: float) -> float:
    """Half a cosine from 1 to 0 over the whole run. Source: Loshchilov & Hutter 2017 (SGDR), without restarts."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / (epochs * steps_per_epoch))))


def warm_up(step: int, steps: int) -> float:
    """A line from nearly 0 to 1 over the first `steps` steps. Source: Vaswani et al. 2017, section 5.3."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


SCHEDULES: dict[str, Callable[[int, int, int, float], float]] = {"staircase": staircase, "cosine": cosine}
