"""A tracker shows what metrics.jsonl holds."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is an extra")
def test_tensorboard_shows_what_was_measured(train_tiny: Callable) -> None:
    """Catches a tracker that is accepted and told nothing, another step's losses, or a folder outside the run's."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, _ = train_tiny("run", tracker="tensorboard")
    shown = EventAccumulator(str(run.path / "tensorboard"))
    shown.Reload()
    for kind in ("train", "valid", "test"):
        events = [(event.step, event.value) for event in shown.Scalars(f"{kind}/loss")]
        metrics = [(metric["step"], pytest.approx(metric["loss"], rel=1e-6)) for metric in run.metrics(kind)]
        assert events == metrics


def test_a_tracker_that_is_not_installed(train_tiny: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a run that trains for hours and shows nothing."""
    monkeypatch.setattr("attn_lab.training.tracking.importlib.util.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r'tensorboard is not installed; pip install "attn-lab\[tensorboard\]"'):
        train_tiny("run", tracker="tensorboard")
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_names_the_nearest(train_tiny: Callable) -> None:
    """Catches a misspelt tracker that is passed over."""
    with pytest.raises(ValueError, match="unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        train_tiny("run", tracker="tensorbord")
