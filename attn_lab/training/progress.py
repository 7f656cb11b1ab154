"""What one sees while a run is under way: a bar in a terminal, a line now and then in a log file."""

import math
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Display:
    """A bar with loss, perplexity, tokens/s and time left; where there is no terminal, a line every `every` seconds."""

    def __init__(self, console: Console, n_steps: int, done: int, every: float = 30.0) -> None:
        self.console = console
        self.every = every
        self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[status]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=n_steps, completed=done, status="")

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, step: int, epoch: int, loss: float, tokens_per_second: float) -> None:
        """`loss` is a running mean, in nats per token."""
        status = f"loss {loss:.3f}  perplexity {perplexity(loss):,.1f}  {tokens_per_second:,.0f} tokens/s"
        self._bar.update(self._task, completed=step, description=f"epoch {epoch + 1}", status=status)
        if not self.console.is_terminal and time.monotonic() - self._last_line > self.every:
            total = self._bar.tasks[self._task].total
            self.line(f"  step {step:,} of {total:,.0f}  {status}")

    def line(self, text: str) -> None:
        """A line that stays."""
        self._last_line = time.monotonic()
        self.console.print(text, highlight=False, soft_wrap=True)


def perplexity(loss: float) -> float:
    """exp(nats per token), infinite where that would overflow."""
    return math.exp(loss) if loss < 700 else math.inf
