"""Runs that are killed where it hurts most, or find the disk full, and go on as if nothing had been."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from attn_lab.training import RunFolder
from tests.training import killed_runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has imported torch")

AT_AN_EPOCHS_END = "19: a line behind a checkpoint at an epoch's end"
SPEED = "tokens_per_second"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs, killed and resumed, by the name of the point."""
    root = tmp_path_factory.mktemp("killed")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(killed_runs.__file__), str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (root / "stderr").write_text(done.stderr, encoding="utf-8")
    return root


def status(runs: Path, name: str) -> list[int]:
    return [int(code) for code in (runs / f"{name}.status").read_text(encoding="utf-8").split()]


def report_of(run: RunFolder) -> list[str]:
    """Its lines, but for the one that says how fast it was, and the folder's name."""
    lines = run.report_file.read_text(encoding="utf-8").replace(str(run.path), "RUN").splitlines()
    return [line for line in lines if "tokens per second" not in line]


@pytest.mark.parametrize("name", [*killed_runs.KILLS, *killed_runs.FULL, AT_AN_EPOCHS_END])
def test_a_stopped_run_ends_as_the_whole_one(runs: Path, name: str) -> None:
    """Catches a resumed run that ends elsewhere, a measurement that stands there twice, and one that is missing."""
    assert status(runs, name) == [1 if name in killed_runs.FULL else -9, 0]
    run = RunFolder(runs / name)
    whole = RunFolder(runs / ("whole-19" if name == AT_AN_EPOCHS_END else f"whole-{killed_runs.SAVE_EVERY}"))
    for own, expected in ((run.best_file, whole.best_file), (run.last_file, whole.last_file)):
        weights, right = load_file(own), load_file(expected)
        assert weights.keys() == right.keys()
        assert all(torch.equal(weights[key], right[key]) for key in right)
    for metrics in (own_metrics := run.metrics(), whole_metrics := whole.metrics()):
        for metric in metrics:
            metric.pop(SPEED, None)
    assert own_metrics == whole_metrics
    assert report_of(run) == report_of(whole)
    assert not list(run.path.glob(".*.tmp"))


@pytest.mark.parametrize("name", [*killed_runs.KILLS, *killed_runs.FULL])
def test_what_a_kill_leaves_can_be_read(runs: Path, name: str) -> None:
    """Catches half a file in the place of a whole one, and more lost than the steps since the last checkpoint."""
    left = RunFolder(runs / f"{name}.killed")
    steps_file = runs / f"{name}.steps"
    steps = int(steps_file.read_text(encoding="utf-8")) if steps_file.exists() else 0
    saved = 0
    if left.resume_file.exists():
        state = torch.load(left.resume_file, weights_only=True)
        assert all(weight.isfinite().all() for weight in state["model"].values())
        saved = state["progress"]["step"]
    assert 0 <= steps - saved <= killed_runs.SAVE_EVERY
    for file in (left.best_file, left.last_file):
        if file.exists():
            load_file(file)


def test_a_full_disk_says_what_to_do(runs: Path) -> None:
    """Catches a bare errno, or a library's own words, from some of the files."""
    said = (runs / "stderr").read_text(encoding="utf-8")
    for name, file in zip(killed_runs.FULL, ("resume.pt", "best.safetensors", "metrics.jsonl")):
        path = runs / name / file
        assert f"OSError: could not write {path}: " in said
        assert f"go on with: attn-lab train --resume --run {runs / name}" in said
    assert said.count("Is the disk full? What was saved before is whole") == len(killed_runs.FULL)
