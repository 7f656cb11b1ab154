"""A run from start to report, on the toy language, whose entropy is known."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attn_lab import corpora
from attn_lab.training import Diverged, RunFolder, Settings, batchify, evaluate, train
from attn_lab.training.checkpoints import load_weights
from attn_lab.training.report import write_report


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """One run, trained for real with its preflight, that many tests look at."""
    from tests.training.conftest import TINY

    run = RunFolder(tmp_path_factory.mktemp("finished") / "run")
    train(Settings(replace(TINY, epochs=6), corpus="toy", device="cpu"), run)
    return run


def test_the_model_learns_and_does_not_leak(finished: RunFolder) -> None:
    """Catches a loop that does not learn (unigram), and one in which the target is visible (below the entropy)."""
    config, losses = finished.read_config(), [m["loss"] for m in finished.metrics("valid")]
    protocol = config["protocol"]
    assert losses[-1] < min(losses[0], protocol["unigram_loss"]["valid"])
    assert finished.metrics("test")[-1]["loss"] >= protocol["entropy_floor"]
    assert finished.metrics("test")[-1]["loss"] < protocol["unigram_loss"]["test"] - 0.5


def test_the_test_is_taken_with_the_best_weights(finished: RunFolder) -> None:
    """Catches a test with the last epoch's weights, or with another epoch's than the report says."""
    settings = Settings.from_dict(finished.read_config())
    corpus = corpora.load("toy")
    from attn_lab import Parts

    model = settings.recipe.model(len(corpus.vocabulary), Parts())
    load_weights(model, finished.best_file)
    rows = {s: batchify(corpus.split(s), settings.recipe.eval_batch_size) for s in ("valid", "test")}
    best = min(finished.metrics("valid"), key=lambda m: m["loss"])
    assert evaluate(model, rows["valid"], settings.recipe.window) == pytest.approx(best["loss"], abs=1e-6)
    assert evaluate(model, rows["test"], settings.recipe.window) == pytest.approx(
        finished.metrics("test")[0]["loss"], abs=1e-6
    )


def test_the_folder_holds_what_it_says(finished: RunFolder) -> None:
    """Catches a file that is missing, and temporary files left behind."""
    names = {p.name for p in finished.path.iterdir()} - {".lock"}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "vocabulary.json",
        "best.safetensors",
        "last.safetensors",
        "resume.pt",
        "curves.png",
        "report.md",
        "baselines.json",
        "findings.json",
        "by_position.png",
        "by_frequency.png",
        "attention.png",
    }
    assert finished.curves_file.read_bytes().startswith(b"\x89PNG")


def test_the_report_says_what_was_done(finished: RunFolder) -> None:
    """Catches a report without its protocol, device, versions, preflight, or with a figure that is not the run's."""
    report, config = finished.report_file.read_text(encoding="utf-8"), finished.read_config()
    loss = finished.metrics("test")[0]["loss"]
    per_word = loss * config["protocol"]["tokens"]["test"] / config["protocol"]["raw_words"]["test"]
    checks = config["preflight"]
    for expected in (
        f"| **{loss:.4f}** | **{math.exp(loss):.2f}** | **{per_word:.4f}** |",
        "corpus `toy`",
        f"{len(checks)} of {len(checks)} checks passed",
        f"| torch | {torch.__version__} |",
        "| device | cpu |",
        "| precision | fp32 |",
        "the language itself",
    ):
        assert expected in report
    assert len(checks) > 10


def test_a_leak_is_called_one(finished: RunFolder, tmp_path: Path) -> None:
    """Catches a report that celebrates a loss below the language's own entropy."""
    run = _copy(finished, tmp_path)
    run.log("valid", step=10_000, epoch=7, loss=0.1, train_loss=0.1)
    write_report(run)
    assert "Too good to be true" in run.report_file.read_text(encoding="utf-8")
    assert "Too good to be true" not in finished.report_file.read_text(encoding="utf-8")


def test_the_report_of_an_unfinished_run(finished: RunFolder, tmp_path: Path) -> None:
    """Catches a report that cannot be written before the end, or that claims a test that was not taken."""
    run = _copy(finished, tmp_path)
    run.metrics_file.write_text("", encoding="utf-8")
    write_report(run)
    assert "not finished an epoch" in run.report_file.read_text(encoding="utf-8")
    run.log("train", step=20, epoch=1, loss=3.0, lr=0.1, tokens_per_second=10)
    run.log("valid", step=20, epoch=1, loss=2.5, train_loss=3.0)
    write_report(run)
    report = run.report_file.read_text(encoding="utf-8")
    assert "The run is not finished" in report
    assert "**test**" not in report


@pytest.mark.parametrize(
    ("change", "place"),
    [({"lr": 1e30, "optimizer": "sgd", "clip": 1e30}, "step"), ({"lr": 1e38, "optimizer": "sgd"}, "step")],
)
def test_a_loss_that_is_no_number_stops_the_run(change: dict, place: str, train_tiny: Callable, tmp_path: Path) -> None:
    """Catches a run that goes on with NaN weights, or that saves them over the last good checkpoint."""
    with pytest.raises(Diverged, match=rf"at {place} \d+ \(epoch 1, learning rate 1e\+3\d\).*last good checkpoint"):
        train_tiny(recipe={"warmup": 0, "schedule": "staircase", **change})
    resume = tmp_path / "run" / "resume.pt"
    if resume.exists():
        state = torch.load(resume, weights_only=True)
        assert all(weight.isfinite().all() for weight in state["model"].values())


def test_too_little_text_for_the_recipe(train_tiny: Callable) -> None:
    """Catches a run over no windows at all: a division by zero an epoch later."""
    with pytest.raises(
        ValueError, match=r"the train text of toy must have at least batch x \(window \+ 1\) = 2000 x 29"
    ):
        train_tiny(recipe={"batch_size": 2000})


def test_bf16_trains_to_nearly_the_same_loss(train_tiny: Callable) -> None:
    """Catches a precision that is accepted and not used, and one that breaks the training."""
    full, half = (train_tiny(folder, precision=folder)[1].valid_loss for folder in ("fp32", "bf16"))
    assert full != half
    assert half == pytest.approx(full, rel=0.1)


def test_two_runs_of_a_seed_are_the_same_and_of_two_seeds_are_not(train_tiny: Callable) -> None:
    """Catches a seed that does not reach the weights or the dropout, and a preflight that moves it."""
    first, again = (train_tiny(folder)[1] for folder in ("a", "b"))
    other = train_tiny("c", recipe={"seed": 1})[1]
    assert first == again
    assert first.test_loss != other.test_loss


def test_the_run_that_is_there_is_not_overwritten(train_tiny: Callable, tmp_path: Path) -> None:
    """Catches a second `train` that silently destroys the first one's weights, or someone's documents."""
    train_tiny("run", recipe={"epochs": 1})
    with pytest.raises(FileExistsError, match="holds a run already; go on with --resume"):
        train_tiny("run", recipe={"epochs": 1})
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="holds something else"):
        train_tiny("documents")


def test_settings_of_another_version_are_refused(finished: RunFolder) -> None:
    """Catches a TypeError about an unexpected keyword, which names neither the file nor the way out."""
    config = finished.read_config()
    config["recipe"]["momentum"] = 0.9
    with pytest.raises(ValueError, match=r"momentum.*Made by attn-lab"):
        Settings.from_dict(config)


def _copy(run: RunFolder, to: Path) -> RunFolder:
    copy = RunFolder(to)
    for file in (run.config_file, run.metrics_file):
        (to / file.name).write_bytes(file.read_bytes())
    assert json.loads(copy.config_file.read_text(encoding="utf-8"))
    return copy
