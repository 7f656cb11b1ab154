"""Several processes that train one model: each has its share of the rows, the first one prints and writes."""

import os
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

T = TypeVar("T")


class Processes:
    """This process among those that a launcher (torchrun, accelerate launch) has started; alone without one."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.index, self.count = accelerator.process_index, accelerator.num_processes
        self.device = accelerator.device
        self.is_first = self.index == 0

    def first(self, work: Callable[[], T]) -> T:
        """What the first process makes of this work, in all of them; they wait for it.

        Raises:
            SystemExit: in the others, where it failed; the first one raises the error itself, so that it is told once.
        """
        if self.count == 1:
            return work()
        error, result = None, None
        if self.is_first:
            try:
                result = work()
            except BaseException as raised:
                error = raised
        said = [error is not None, result]
        broadcast_object_list(said)
        if error is not None:
            raise error
        if said[0]:
            raise SystemExit(2)
        return said[1]  # type: ignore[return-value]  # the first one's, through pickle

    def first_then_all(self, work: Callable[[], T]) -> T:
        """Done by the first process, then by the others: what the one has downloaded the others find."""
        if self.count == 1:
            return work()
        done: list[T] = []
        self.first(lambda: done.append(work()))
        return done[0] if self.is_first else work()

    def leave(self, accelerator: Accelerator) -> None:
        """The end: trackers are closed, and a GPU's group of processes too. That of CPUs ends with its processes.

        (In torch 2.3 taking gloo's down by hand waits for ever now and then, in a destructor.)
        """
        if self.device.type == "cuda":
            accelerator.end_training()
        else:
            for tracker in accelerator.trackers:
                tracker.finish()

    def check_share(self, batch_size: int) -> None:
        """Refuse a batch that cannot be shared out evenly: the mean of the processes' gradients would not be its own.

        Raises:
            ValueError: with both numbers, and numbers of processes that would do.
        """
        if batch_size % self.count:
            fit = ", ".join(str(n) for n in range(1, batch_size + 1) if batch_size % n == 0)
            raise ValueError(
                f"a batch of {batch_size} rows cannot be shared out evenly over {self.count} processes. "
                f"Start as many as divide it: {fit}"
            )

    def share(self, rows: Tensor) -> Tensor:
        """This process's rows; where they do not divide, the first processes have one more."""
        return rows.tensor_split(self.count)[self.index]

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes; in place."""
        if self.count > 1:
            torch.distributed.all_reduce(values)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes; in place."""
        return self.total(values).div_(self.count) if self.count > 1 else values

    def any(self, flag: bool) -> bool:
        """Whether it is so in any of them."""
        return bool(self.total(torch.tensor(float(flag), device=self.device))) if self.count > 1 else flag

    def each(self, value: T) -> list[T]:
        """Every process's value, in their order."""
        return gather_object([value]) if self.count > 1 else [value]


def mean_over_rows(loss_of: Callable[[Tensor], float], rows: Tensor, processes: Processes) -> float:
    """The mean loss of all processes' rows, each equally long, from each one's mean over its own; none has no say."""
    if processes.count == 1:
        return loss_of(rows)
    own = loss_of(rows) if len(rows) else 0.0
    summed, n = processes.total(torch.tensor([own * len(rows), len(rows)], dtype=torch.float64, device=rows.device))
    return float(summed / n)


def is_first() -> bool:
    """Whether this process is the one that prints; from what the launcher says, before anything is set up."""
    return int(os.environ.get("RANK", "0")) == 0


def agreed(work: Callable[[], T], device: str) -> T:
    """`Processes.first` before there is an accelerator: the first process's answer, in all of them."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return work()
    PartialState(cpu=device == "cpu")
    said = [work() if is_first() else None]
    broadcast_object_list(said)
    return said[0]  # type: ignore[return-value]
