"""Why a run stops before its end, in words that say what to do."""

import math

from attn_lab.training.checkpoints import Progress
from attn_lab.training.interrupt import Interrupted
from attn_lab.training.run_folder import RunFolder


class Diverged(ValueError):
    """The loss is no number any more."""


def check_finite(loss: float, what: str, step: int, where: str) -> None:
    """Refuse a loss that is no number.

    Raises:
        Diverged: it is NaN or infinite; `where` says where the run stands.
    """
    if not math.isfinite(loss):
        raise diverged(f"{what} became {loss}", step, where)


def diverged(what: str, step: int, where: str) -> Diverged:
    """The error: what became no number, at which step, and where the run stands."""
    return Diverged(f"{what} at step {step:,} {where}. A lower learning rate or a smaller clip usually helps")


def standing(run: RunFolder, progress: Progress, learning_rate: float, saved_step: int) -> str:
    """Where a run stands: its epoch, its learning rate, and what there is to go back to."""
    good = f"step {saved_step:,} in {run.resume_file}" if saved_step else "none yet"
    return f"(epoch {progress.epoch + 1}, learning rate {learning_rate:g}); the last good checkpoint: {good}"


def interrupted(run: RunFolder, step: int) -> Interrupted:
    """The error of a run that was asked to stop, and did."""
    return Interrupted(f"stopped at step {step:,} and saved; go on with: attn-lab train --resume --run {run.path}")
