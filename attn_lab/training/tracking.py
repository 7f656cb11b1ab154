"""Trackers: the run's losses in a tool of their own, beside metrics.jsonl. By accelerate."""

import importlib.util

from accelerate import Accelerator

from attn_lab.choices import check_choice

TRACKERS = ("tensorboard",)


def check_tracker(name: str | None) -> None:
    """Refuse a tracker before a run begins.

    Raises:
        ValueError: it is unknown.
        ImportError: it is not installed.
    """
    if name is None:
        return
    check_choice("tracker", name, TRACKERS)
    if importlib.util.find_spec(name) is None:
        raise ImportError(
            f'the tracker {name} is not installed; pip install "attn-lab[{name}]", or leave --tracker out'
        )


def start_tracker(accelerator: Accelerator, name: str | None, step: int) -> None:
    """Begin a record in the run's folder, under the tracker's name; what stands there after `step` is dropped."""
    if name is not None:
        accelerator.init_trackers(name, init_kwargs={name: {"purge_step": step + 1}})


def track(accelerator: Accelerator, kind: str, step: int, **values: float | int) -> None:
    """Pass measurements on, as "train/loss" and so on; without a tracker to nobody."""
    accelerator.log({f"{kind}/{name}": value for name, value in values.items()}, step=step)
