"""Many runs in one folder: finished ones stay, stopped ones go on, and the table is of what is there."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from attn_lab import Parts, training
from attn_lab.ablations.results import Result, baselines, results
from attn_lab.ablations.running import ablate
from attn_lab.ablations.showing import show
from attn_lab.ablations.table import table
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
    for changed in ({"lr": 1e-3}, {"epochs": 2}):  # finished, so nothing would be trained: the title would lie
        with pytest.raises(ValueError, match=rf"seed-0 is of another recipe.*{next(iter(changed))} = "):
            ablate(replace(settings, recipe=replace(BASE, **changed)), tmp_path, [RELU, OWN], QUIET)
    (tmp_path / "seed-0" / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="another recipe"):
        ablate(replace(settings, recipe=replace(BASE, lr=1e-3)), tmp_path, [RELU, OWN], QUIET)
    assert not (tmp_path / "wide").exists()


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("something else", FileExistsError, "seed-0 exists and holds something else"),
        ("a damaged run", ValueError, r"expected JSON in .*config\.json"),
        ("a file", NotADirectoryError, "expected a folder for all runs; .* is a file. Name another with --run"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_at_once(
    settings: Settings, tmp_path: Path, content: str, error: type[Exception], message: str
) -> None:
    """Catches hours of training before the folder that cannot be used."""
    folder = tmp_path / "runs"
    if content == "a file":
        folder.write_text("")
    else:
        (folder / "seed-0").mkdir(parents=True)
        name = "config.json" if content == "a damaged run" else "notes.txt"
        (folder / "seed-0" / name).write_text("{", encoding="utf-8")
    with pytest.raises(error, match=message):
        ablate(settings, folder, [RELU, OWN], QUIET)
    assert not (folder / "wide").exists()


def test_a_run_that_another_process_begins_just_now(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a second process that ends with an error, because the first began between its look and its start."""
    begin = training.start._check_folder

    def other_first(run: RunFolder, *rest: Any) -> None:
        if run.path.name == "seed-0":
            run.path.mkdir()
            run.write_config({"recipe": {}})
        begin(run, *rest)

    shown = Console(record=True, width=200)
    monkeypatch.setattr("attn_lab.training.start._check_folder", other_first)
    ablate(settings, tmp_path, [OWN, RELU], shown)
    assert "another process is at it" in shown.export_text()
    assert RunFolder(tmp_path / "wide").metrics("test")


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


def test_a_run_is_read_by_hand(tmp_path: Path) -> None:
    """Catches checks that passed counted as failed, the last loss for the best, and the training loss of that epoch."""
    run = RunFolder(tmp_path / "wide")
    run.path.mkdir()
    checks = [{"passed": passed} for passed in (True, True, False)]
    run.write_config({"recipe": {}, "parameters": 7, "preflight": checks})
    run.log("train", step=5, loss=4.00004)
    for step, loss, train_loss in ((10, 1.0, 3.0), (20, 2.0, 2.5)):
        run.log("valid", step=step, loss=loss, train_loss=train_loss)
    run.log("test", step=20, loss=1.25)
    (read,) = results(tmp_path, [OWN, RELU])
    assert read == Result(
        "wide", CHOICE, "wider", "inside", 7, 1, 3, [(5, 4.0)], [(10, 1.0), (20, 2.0)], 2.5, 1.25, diverged=False
    )
    assert read.best == 1.0


def test_the_pictures_line_is_of_the_validation_text(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches the test's n-gram loss behind curves of the validation, and pictures under another group's name."""
    drawn: list[tuple[Any, ...]] = []
    run = Result("wide", CHOICE, "wider", "inside", 1, 0, 0, [(1, 2.0)], [(1, 2.0)], 2.0, 2.0, diverged=False)
    monkeypatch.setattr("attn_lab.ablations.showing.results", lambda *_: [run])
    losses = {"Kneser-Ney 5-gram": {"valid": 1.5, "test": 1.75}}
    monkeypatch.setattr("attn_lab.ablations.showing.baselines", lambda *_: losses)
    monkeypatch.setattr("attn_lab.ablations.showing.draw_gallery", lambda *given: drawn.append(given))
    show(settings, tmp_path, [RELU], QUIET)
    assert drawn == [(tmp_path / "choices.png", [run], [], 1.5)]


def test_only_whole_runs_are_compared() -> None:
    """Catches half a run, or one that diverged, in the recipe's mean; and half a run that looks worse than a whole."""

    def result(label: str, group: str, best: float, test: float | None, diverged: bool = False) -> Result:
        return Result(label, group, label, "", 1, 0, 0, [], [(1, best)], best, test, diverged)

    found = [
        result("whole", RECIPE, 2.0, 2.0),
        result("half", RECIPE, 5.0, None),
        result("lost", RECIPE, 7.0, None, True),
        result("other", CHOICE, 3.0, 3.0),
    ]
    assert [row[3:5] for row in table(found, {})] == [
        ("7.4", "7.4"),
        ("148.4", "148.4"),
        ("diverged", ""),
        ("20.1",) * 2,
    ]
    assert [row[-1] for row in table(found, {})] == ["+0.000", "", "", "+1.000"]


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


def test_a_launcher_is_refused(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches processes that each train everything, into the same folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="same command in several terminals"):
        ablate(settings, tmp_path, [OWN], QUIET)
    assert list(tmp_path.iterdir()) == []
