"""Devices and precisions: what is asked for, or an error that says what there is."""

import pytest
import torch

from attn_lab.training.devices import accelerator_for, resolve_device


def test_auto_takes_the_best_device_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a GPU that stands idle, and a Mac's that is preferred to a CUDA device."""
    for cuda, mps, expected in [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert resolve_device("auto") == expected


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a run that falls back to the CPU in silence."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device 'cuda' was asked for, but torch .* sees only: cpu"):
        resolve_device("cuda")


def test_unknown_names() -> None:
    """Catches an error that leaves the user to guess."""
    with pytest.raises(ValueError, match=r"unknown device 'gpu'; .*valid: auto, cpu, cuda, mps"):
        resolve_device("gpu")
    with pytest.raises(ValueError, match=r"unknown precision 'bf61'; did you mean 'bf16'\?"):
        accelerator_for("cpu", "bf61")


def test_a_process_may_change_its_mind() -> None:
    """Catches accelerate's state of the first run leaking into the second."""
    for precision in ("bf16", "fp32", "bf16"):
        model = accelerator_for("cpu", precision).prepare(torch.nn.Linear(3, 3))
        assert model(torch.ones(3)).dtype == torch.float32  # accelerate hands back float32
        weight = torch.full((3, 3), 1.001)
        model.weight.data = weight  # not a bfloat16 number: its product tells the precision
        model.bias.data.zero_()
        assert (model(torch.ones(3))[0].item() == pytest.approx(3.003, abs=1e-5)) is (precision == "fp32")
