"""Two processes that train one model, against the process that trains it alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from attn_lab.training import RunFolder
from attn_lab.training.devices import accelerator_for
from attn_lab.training.processes import Processes
from tests.training import scaled_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun on Windows has not been tried")


def start(n: int, run: Path, *options: str) -> subprocess.Popen[str]:
    """The run of scaled_run.py in n processes of one thread each."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={n}", "--standalone"] if n > 1 else []
    command = [sys.executable, *launcher, str(scaled_run.__file__), str(run), *options]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out, errors


def losses(run: RunFolder) -> list[float]:
    return [metric["loss"] for metric in run.metrics()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run of one process."""
    run = RunFolder(tmp_path_factory.mktemp("alone") / "run")
    finish(start(1, run.path))
    return run


def test_two_processes_make_the_steps_of_one(alone: RunFolder, tmp_path: Path) -> None:
    """Catches gradients that are summed, or each process's own; a tied weight whose second gradient is left out;
    rows that both read; an evaluation of one process's rows; and lines that are printed or logged twice."""
    run = RunFolder(tmp_path / "run")
    out, _ = finish(start(2, run.path))
    assert losses(run) == pytest.approx(losses(alone), abs=1e-9)
    assert [m["step"] for m in run.metrics()] == [m["step"] for m in alone.metrics()]
    for file in ("best_file", "last_file"):
        own, expected = load_file(getattr(run, file)), load_file(getattr(alone, file))
        assert own.keys() == expected.keys()
        for name in own:
            torch.testing.assert_close(own[name], expected[name], rtol=0, atol=1e-9)
    assert out.count("epoch  1 of 2") == out.count("preflight: 1 of 1") == out.count("report:") == 1


def test_a_stopped_run_of_two_goes_on_as_two(tmp_path: Path) -> None:
    """Catches a process that does not hear of the stop, a state saved by both, and the second process's dropout,
    which no one saved."""
    whole, run = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    finish(start(2, whole.path, "dropout=0.3"))
    process = start(2, run.path, "dropout=0.3", "slow")
    while not run.metrics("train"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children()
    (second,) = (worker for worker in workers if worker.environ()["RANK"] == "1")
    second.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.count("saved; go on with: attn-lab train --resume") == 1
    assert not run.report_file.exists()
    state = torch.load(run.resume_file, weights_only=True)
    own, others = state["random"]
    assert not torch.equal(own["cpu"], others["cpu"])  # each draws its own dropout
    step = state["progress"]["step"]
    assert step in (20, 37, 40, 60)  # where they look at the losses, and at an epoch's end
    assert step == run.metrics("train")[-1]["step"]
    finish(start(2, run.path, "dropout=0.3", "resume"))
    assert losses(run) == losses(whole)
    for own, expected in zip(load_file(run.last_file).values(), load_file(whole.last_file).values()):
        assert torch.equal(own, expected)


@pytest.mark.parametrize(("rows", "sizes"), [(6, [2, 2, 2]), (5, [2, 2, 1]), (2, [1, 1, 0])])
def test_every_row_is_one_process_s(rows: int, sizes: list[int]) -> None:
    """Catches rows that two processes read, which no loss betrays, and rows that none reads."""
    whole = torch.arange(7 * rows).reshape(rows, 7)
    shares = []
    for index in range(3):
        processes = Processes(accelerator_for("cpu", "fp32"))
        processes.index, processes.count = index, 3
        shares.append(processes.share(whole))
    assert [len(share) for share in shares] == sizes
    assert torch.equal(torch.cat(shares), whole)


def test_a_batch_that_does_not_divide(tmp_path: Path) -> None:
    """Catches a mean of unequal shares, which is not the batch's own, and an error that all processes print."""
    process = start(2, tmp_path / "run", "batch=15")
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    expected = (
        "a batch of 15 rows cannot be shared out evenly over 2 processes. Start as many as divide it: 1, 3, 5, 15"
    )
    assert errors.count(expected) == 1
