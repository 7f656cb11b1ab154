"""What the preflight of a run is asked for: the run's own precision, model and masks."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from rich.console import Console

from attn_lab import Parts
from attn_lab.checks import CheckResult
from attn_lab.training import Settings, recipe
from attn_lab.training.batches import Batches
from attn_lab.training.proof import prove


def test_the_preflight_is_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches bf16 that is proven in fp32 alone, another model than the run's, and masks that it never has."""
    asked: dict[str, Any] = {}

    def preflight(parts: Parts, **options: Any) -> list[CheckResult]:
        asked.update(options, parts=parts)
        return []

    monkeypatch.setattr("attn_lab.training.proof.preflight", preflight)
    settings = replace(Settings(recipe("modern")), precision="bf16", preflight_masks="training")
    parts, batches, device = Parts(mask=lambda n: torch.ones(n, n).tril() > 0), Batches(), torch.device("cpu")
    prove(parts, batches, settings, device, Console(quiet=True))
    assert asked == {
        "parts": parts,
        "device": device,
        "precision": "bf16",
        "model_options": recipe("modern").switches(),
        "masks": "training",
        "batches": batches,
    }
