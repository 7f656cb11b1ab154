"""The losses of the steps since the last look at them: left on the device, since a look waits for it."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_lab.training.processes import Processes

LOG_EVERY = 20  # steps between two looks


@dataclass(frozen=True)
class Reading:
    """The losses of some steps, nats per token each, and the seconds that they took."""

    losses: list[float]
    seconds: float


class Meter:
    """Collects losses, and the time since it was last read."""

    def __init__(self) -> None:
        self.unread: list[Tensor] = []
        self.clock = time.perf_counter()

    def add(self, loss: Tensor) -> None:
        """A step's loss, a scalar on any device."""
        self.unread.append(loss)

    def read(self, processes: Processes) -> Reading | None:
        """What has come since the last time, the mean over the processes; None where nothing has."""
        if not self.unread:
            return None
        losses = processes.mean(torch.stack(self.unread)).tolist()
        self.unread = []
        now = time.perf_counter()
        seconds, self.clock = now - self.clock, now
        return Reading(losses, seconds)
