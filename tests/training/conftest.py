"""Runs small enough to be trained again and again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attn_lab.checks import CheckResult
from attn_lab.training import Outcome, RunFolder, Settings, recipe, train

TINY = replace(  # with everything that a resumed run must take up again
    recipe("quick"),
    d_model=32,
    d_hid=64,
    window=28,
    batch_size=20,
    eval_batch_size=5,
    epochs=2,
    lr=5e-3,
    dropout=0.1,
    random_offsets=True,
    average=0.9,
    schedule="cosine",
    warmup=3,
)


@pytest.fixture
def tiny() -> Settings:
    """A model that learns the toy language in seconds, on the CPU."""
    return Settings(TINY, corpus="toy", device="cpu", save_every=10)


@pytest.fixture
def quick_preflight(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what comes after the preflight; the preflight's own tests do without it."""
    passed = [CheckResult("stood in for by a test", "attention", True, 0.0, "")]
    monkeypatch.setattr("attn_lab.training.proof.preflight", lambda *_, **__: passed)


@pytest.fixture
def train_tiny(tiny: Settings, tmp_path: Path, quick_preflight: None) -> Callable[..., tuple[RunFolder, Outcome]]:
    """Train with changes to the settings or the recipe; the folder and what came of it."""

    def run(folder: str = "run", *, parts: Any = None, resume: bool = False, recipe: Any = (), **changes: Any):
        settings = replace(tiny, recipe=replace(tiny.recipe, **dict(recipe)), **changes)
        path = RunFolder(tmp_path / folder)
        return path, train(settings, path, parts=parts, resume=resume)

    return run
