"""Many runs in one folder: finished ones stay, stopped ones go on, and the table is of what is there."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from attn_lab import Parts
from attn_lab.ablations.results import baselines, results, table
from attn_lab.ablations.running import ablate
from attn_lab.ablations.showing import show
from attn_lab.ablations.variations import BUG, CHOICE, RECIPE, Variation
from attn_lab.checks import CheckResult
from attn_lab.training import Interrupted, RunFolder, Settings, recipe
from attn_lab.training.interrupt import StopRequest

BASE = replace(
    recipe("quick"), d_model=16, d_hid=16, window=28, batch_size=20, eval_batch_size=5, epochs=1, lr=5e-3, dropout=0.0
)
OWN = Variation("seed-0", RECIPE, "quick, seed 0", "nothing but chance", {"seed": 0})
OTHER = Variation("seed-1", RECIPE, "quick, seed 1", "nothing but chance", {"seed": 1})
RELU = Variation("wide", CHOICE, "wider", "inside", {"d_hid": 24})
QUIET = Console(quiet=True)


def exploding(*arguments: torch.Tensor | None) -> torch.Tensor:
    """Attention that answers with no number."""
    return torch.full_like(arguments[2], math.nan)


NAN = Variation("nan", BUG, "no number", "NaN", parts=Parts(attention=exploding))


@pytest.fixture(autouse=True)
def quick_preflight(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [CheckResult("passes", "attention", True, 0.0, ""), CheckResult("fails", "mask", False, 0.0, "wrong")]
    monkeypatch.setattr("attn_lab.training.proof.preflight", lambda *_, **__: results)


@pytest.fixture
def settings() -> Settings:
    return Settings(BASE, corpus="toy", device="cpu", save_every=5)


def test_what_is_finished_stays(settings: Settings, tmp_path: Path) -> None:
    """Catches runs that are trained again, and a second variation that is never reached."""
    ablate(settings, tmp_path, [OWN], QUIET)
    before = (tmp_path / "seed-0" / "metrics.jsonl").read_bytes()
    ablate(settings, tmp_path, [OWN, RELU], QUIET)
    assert (tmp_path / "seed-0" / "metrics.jsonl").read_bytes() == before
    assert RunFolder(tmp_path / "wide").read_config()["recipe"]["d_hid"] == 24
    assert RunFolder(tmp_path / "wide").metrics("test")
    assert not (tmp_path / "wide" / "findings.json").exists()


def test_what_was_stopped_goes_on(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a stopped run that is begun anew, or refused; and a message that names the wrong command."""
    with monkeypatch.context() as stopped:
        stopped.setattr(StopRequest, "received", True, raising=False)
        stopped.setattr(StopRequest, "__init__", lambda self, insistent=True: None)
        with pytest.raises(
            Interrupted, match=r"quick, seed 0: stopped at step 1 and saved; .* attn-lab ablate command"
        ):
            ablate(settings, tmp_path, [OWN], QUIET)
    shown = Console(record=True, width=200)
    ablate(settings, tmp_path, [OWN], shown)
    assert "resumed at step 1" in shown.export_text()
    assert RunFolder(tmp_path / "seed-0").metrics("test")


def test_another_process_at_it_is_passed_over(settings: Settings, tmp_path: Path) -> None:
    """Catches two processes in one folder, and a share of the work that ends with an error."""
    shown = Console(record=True, width=200)
    run = RunFolder(tmp_path / "seed-0")
    with run.locked():
        ablate(settings, tmp_path, [OWN, RELU], shown)
    assert "another process is at it" in shown.export_text()
    assert not run.metrics()
    assert RunFolder(tmp_path / "wide").metrics("test")


def test_another_recipe_in_the_folder_is_refused(settings: Settings, tmp_path: Path) -> None:
    """Catches a table of runs that do not belong together."""
    ablate(settings, tmp_path, [OWN], QUIET)
    (tmp_path / "seed-0" / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="another recipe"):
        ablate(replace(settings, recipe=replace(BASE, lr=1e-3)), tmp_path, [OWN], QUIET)


def test_a_run_that_diverges_is_a_result(settings: Settings, tmp_path: Path) -> None:
    """Catches a NaN that ends the whole table, and one that is tried again for ever."""
    ablate(settings, tmp_path, [NAN, OWN], QUIET)
    before = (tmp_path / "nan" / "metrics.jsonl").read_bytes()
    ablate(settings, tmp_path, [NAN, OWN], QUIET)
    assert (tmp_path / "nan" / "metrics.jsonl").read_bytes() == before
    line = table(results(tmp_path, [NAN]), {})[0]
    assert line[0] == "no number"
    assert line[2:] == ("1 of 2 fail", "diverged", "", "", "")


def test_the_table_by_hand(settings: Settings, tmp_path: Path) -> None:
    """Catches perplexities of another split, and differences from another line than the recipe's mean."""
    chosen = [OWN, OTHER, RELU]
    ablate(settings, tmp_path, chosen, QUIET)
    best = {v.name: RunFolder(tmp_path / v.name).metrics("valid")[-1]["loss"] for v in chosen}
    test = {v.name: RunFolder(tmp_path / v.name).metrics("test")[-1]["loss"] for v in chosen}
    trained = {v.name: RunFolder(tmp_path / v.name).metrics("valid")[-1]["train_loss"] for v in chosen}
    middle = (best["seed-0"] + best["seed-1"]) / 2
    rows = table(results(tmp_path, chosen), baselines(tmp_path, chosen))
    for variation, row in zip(chosen, rows):
        name = variation.name
        losses = (trained[name], best[name], test[name])
        assert row[3:] == (*(f"{math.exp(loss):,.1f}" for loss in losses), f"{best[name] - middle:+.3f}")
    assert [row[0] for row in rows[3:]] == ["unigram", "Kneser-Ney 5-gram"]
    unigram = RunFolder(tmp_path / "seed-0").read_config()["protocol"]["unigram_loss"]
    assert rows[3][4:] == (
        f"{math.exp(unigram['valid']):.1f}",
        f"{math.exp(unigram['test']):.1f}",
        f"{unigram['valid'] - middle:+.3f}",
    )


def test_files_are_written(settings: Settings, tmp_path: Path) -> None:
    """Catches a table without its numbers, and a picture that is missing."""
    chosen = [OWN, RELU, NAN]
    ablate(settings, tmp_path, chosen, QUIET)
    show(settings, tmp_path, chosen, QUIET)
    numbers = json.loads((tmp_path / "ablations.json").read_text(encoding="utf-8"))
    assert [r["name"] for r in numbers["results"]] == ["seed-0", "wide", "nan"]
    assert numbers["about"]["recipe"]["d_hid"] == 16
    assert re.search(r"\| wider \| [\d,]+ \| 1 of 2 fail \|", (tmp_path / "ablations.md").read_text(encoding="utf-8"))
    assert (tmp_path / "choices.png").read_bytes()[:4] == b"\x89PNG"
