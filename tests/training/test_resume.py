"""Runs that are stopped, by a kill, by Ctrl-C, by a full disk, and go on as if nothing had been."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from attn_lab.training import Interrupted, RunFolder, Settings
from attn_lab.training.loop import train_epoch
from tests.training.conftest import TINY

SCRIPT = """
import sys
from dataclasses import replace
from attn_lab.checks import CheckResult
from attn_lab.training import RunFolder, Settings, proof, train
from tests.training.conftest import TINY
proof.preflight = lambda *_, **__: [CheckResult("stood in for by a test", "attention", True, 0.0, "")]
train(Settings(TINY, corpus="toy", device="cpu", save_every=10), RunFolder(sys.argv[1]), resume="resume" in sys.argv)
"""


def start(run: Path, *arguments: str) -> subprocess.Popen[str]:
    """The tiny run in a process of its own, one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", SCRIPT, str(run), *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_step(run: RunFolder, step: int, process: subprocess.Popen[str]) -> None:
    """Until the run has measured this step."""
    while not any(m["step"] >= step for m in run.metrics("train")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that was never stopped."""
    run = RunFolder(tmp_path_factory.mktemp("whole") / "run")
    assert start(run.path).wait() == 0
    return run


def test_a_killed_run_goes_on_bit_for_bit(uninterrupted: RunFolder, tmp_path: Path) -> None:
    """Catches a state that misses something: dropout's random numbers, Adam's moments, the place in the text."""
    run = RunFolder(tmp_path / "run")
    process = start(run.path)
    wait_for_step(run, 20, process)  # in the middle of the first epoch
    process.kill()
    process.communicate()
    assert not run.report_file.exists()
    assert start(run.path, "resume").wait() == 0
    _assert_same(run, uninterrupted)


def test_a_run_killed_in_its_second_epoch(uninterrupted: RunFolder, tmp_path: Path) -> None:
    """Catches a best loss or an epoch's sum that is forgotten, and measurements that stand there twice."""
    run = RunFolder(tmp_path / "run")
    per_epoch = uninterrupted.read_config()["steps_per_epoch"]
    process = start(run.path)
    wait_for_step(run, per_epoch + 4, process)
    process.kill()
    process.communicate()
    assert start(run.path, "resume").wait() == 0
    _assert_same(run, uninterrupted)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process; Ctrl-C there is untested")
def test_ctrl_c_saves_and_says_how_to_go_on(uninterrupted: RunFolder, tmp_path: Path) -> None:
    """Catches a Ctrl-C that loses the steps since the last checkpoint, or stops within a step."""
    run = RunFolder(tmp_path / "run")
    process = start(run.path)
    wait_for_step(run, 20, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode != 0
    assert f"go on with: attn-lab train --resume --run {run.path}" in errors
    assert start(run.path, "resume").wait() == 0
    _assert_same(run, uninterrupted)


def test_stopping_at_any_step_changes_nothing(
    train_tiny: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an off-by-one at a special place: the first step, the last of an epoch, the first of the next."""
    whole, _ = train_tiny("whole")
    per_epoch = whole.read_config()["steps_per_epoch"]
    for stop_at in (1, 19, 20, per_epoch - 1, per_epoch, per_epoch + 1, 2 * per_epoch - 1):
        steps = 0

        def stopping(*arguments: object, stop_at: int = stop_at, **keywords: object) -> Iterator[torch.Tensor]:
            nonlocal steps
            for loss in train_epoch(*arguments, **keywords):
                steps += 1
                if steps == stop_at:
                    signal.raise_signal(signal.SIGINT)
                yield loss

        folder = f"stopped-{stop_at}"
        with monkeypatch.context() as patch:
            patch.setattr("attn_lab.training.trainer.train_epoch", stopping)
            with pytest.raises(Interrupted, match=f"stopped at step {stop_at} and saved"):
                train_tiny(folder)
        resumed, _ = train_tiny(folder, resume=True)
        _assert_same(resumed, whole)


def test_a_finished_run_may_be_resumed(train_tiny: Callable) -> None:
    """Catches a resume that trains on past the end, or fails for want of work."""
    run, first = train_tiny("run", recipe={"epochs": 1})
    _, again = train_tiny("run", recipe={"epochs": 1}, resume=True)
    assert again == first
    assert len(run.metrics("test")) == 1


def test_another_recipe_is_refused(train_tiny: Callable) -> None:
    """Catches a run that begins with one recipe and ends with another."""
    train_tiny("run", recipe={"epochs": 1})
    with pytest.raises(ValueError, match=r"of another recipe or corpus: it has d_model = 32, not 64"):
        train_tiny("run", recipe={"epochs": 1, "d_model": 64}, resume=True)
    with pytest.raises(ValueError, match=r"it has corpus = 'toy', not 'pydoc'"):
        train_tiny("run", recipe={"epochs": 1}, corpus="pydoc", resume=True)


def test_a_damaged_state_is_named(train_tiny: Callable) -> None:
    """Catches an unpickler's own words, which name neither the file nor the way out."""
    run, _ = train_tiny("run", recipe={"epochs": 1})
    whole = run.resume_file.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"no checkpoint at all"):
        run.resume_file.write_bytes(damage)
        with pytest.raises(ValueError, match=r"expected a state to resume from in .*resume\.pt"):
            train_tiny("run", recipe={"epochs": 1}, resume=True)


def test_nothing_to_resume(train_tiny: Callable) -> None:
    """Catches a resume that silently starts from nothing."""
    with pytest.raises(FileNotFoundError, match="expected the folder of a run to resume"):
        train_tiny("nowhere", resume=True)


def test_a_run_that_another_process_writes(tmp_path: Path, train_tiny: Callable) -> None:
    """Catches two processes that write one folder, and so each other's checkpoints."""
    run = RunFolder(tmp_path / "run")
    process = start(run.path)
    try:
        wait_for_step(run, 1, process)
        with pytest.raises(BlockingIOError, match="is being written by another process"):
            train_tiny("run", resume=True)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes to stand in for a full disk")
def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    """Catches a half-written checkpoint in the place of a whole one, and an error that does not say what to do."""
    run = RunFolder(tmp_path / "run")
    process = start(run.path)
    wait_for_step(run, 20, process)
    process.kill()
    process.communicate()
    before = run.resume_file.read_bytes()
    limit = len(before) // 2
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n" + SCRIPT
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", limited, str(run.path), "resume"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Is the disk full? What was saved before is whole" in done.stderr
    assert run.resume_file.read_bytes() == before
    assert not list(run.path.glob(".*.tmp"))


def _assert_same(run: RunFolder, whole: RunFolder) -> None:
    """The same weights to the last bit, and the same losses."""
    for file in ("best_file", "last_file"):
        own, expected = load_file(getattr(run, file)), load_file(getattr(whole, file))
        assert own.keys() == expected.keys()
        assert all(torch.equal(own[name], expected[name]) for name in own)
    for kind in ("valid", "test"):
        assert run.metrics(kind) == whole.metrics(kind)
    assert sorted({m["step"] for m in run.metrics("train")}) == sorted(m["step"] for m in run.metrics("train"))


def test_the_tiny_recipe_can_tell() -> None:
    """Catches a test bed without anything that remembers, or hangs on the step: resuming would be trivial."""
    assert TINY.dropout > 0
    assert TINY.optimizer == "adamw"
    assert TINY.random_offsets
    assert TINY.average > 0
    assert TINY.schedule == "cosine"
    assert replace(Settings(TINY), save_every=1) != Settings(TINY)
