"""Checkpoints: weights without pickle, and the full state that a run resumes from. Every write is atomic."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn
from torch.optim.swa_utils import AveragedModel

from attn_lab.files import atomic
from attn_lab.training.full_disk import first_line, writing


@dataclass
class Progress:
    """How far a run is, and what it must remember between two steps."""

    epoch: int = 0  # epochs finished
    step: int = 0  # optimizer steps in all
    step_in_epoch: int = 0
    loss_sum: float = 0.0  # of the steps of this epoch, nats per token each
    best_loss: float = float("inf")
    best_epoch: int = 0
    seconds: float = 0.0  # of training, over all its sittings


def save_weights(model: nn.Module, path: Path) -> None:
    """The weights alone, as safetensors; tied weights are stored once.

    Raises:
        OSError: the disk is full or not writable; the file of before is whole.
    """
    with writing(path), atomic(path) as temporary:
        save_model(model, str(temporary))


def load_weights(model: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote into a model of the same shape.

    Raises:
        ValueError: the file is missing, damaged, or of another model.
    """
    if not path.is_file():
        raise ValueError(f"expected weights in {path}; there is no such file. Has the run finished an epoch?")
    try:
        load_model(model, str(path))
    except (SafetensorError, RuntimeError) as error:
        reason = first_line(error)
        raise ValueError(
            f"expected weights of this model in {path}; {reason}. Damaged, or of another recipe?"
        ) from error


def save_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    average: AveragedModel | None = None,
    random: list[dict[str, Any]] | None = None,
) -> None:
    """Everything that the next step depends on: weights and their average, optimizer, random numbers, progress.

    `random` is the state of the generators of each process; of this one alone by default.

    Raises:
        OSError: the disk is full or not writable; the file of before is whole.
    """
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": random or [random_state()],
        "progress": asdict(progress),
        "average": None if average is None else average.state_dict(),
    }
    with writing(path), atomic(path) as temporary:
        torch.save(state, temporary)


def load_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None = None,
    process: int = 0,
) -> Progress:
    """Put back what `save_state` saved, and the generators of this process.

    A process that was not there when it was saved keeps its generators as they are. Which kernel the optimizer takes
    is this machine's choice, not the checkpoint's.

    Raises:
        ValueError: the file is missing, damaged, or of another model.
    """
    if not path.is_file():
        raise ValueError(
            f"expected a state to resume from in {path}; there is no such file. Start anew without --resume"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        for saved, own in zip(state["optimizer"]["param_groups"], optimizer.param_groups):
            saved.update({name: own[name] for name in ("fused", "foreach") if name in own})
        optimizer.load_state_dict(state["optimizer"])
        if average is not None:
            average.load_state_dict(state["average"])
        progress = Progress(**state["progress"])
        random = state["random"][process : process + 1]
    except OSError:
        raise
    except Exception as error:  # torch.load raises whatever its unpickler stumbles on
        reason = first_line(error)
        raise ValueError(
            f"expected a state to resume from in {path}; {reason}. Damaged, or of another recipe?"
        ) from error
    for own_state in random:
        restore_random_state(own_state)
    return progress


def random_state() -> dict[str, Any]:
    """The state of every generator that a model in this process may draw from."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Put the generators back; a device that is not here any more is passed over."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
