"""The compiled step, and the fused optimizer: the same numbers as without."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from attn_lab import TransformerLanguageModel
from attn_lab.training import Interrupted, RunFolder, recipe
from attn_lab.training.devices import accelerator_for
from attn_lab.training.fused import HAS_CPU_KERNELS, use_fused
from attn_lab.training.loop import train_epoch
from attn_lab.training.objective import training_loss
from tests.training import compiled_runs
from tests.training.compiled_runs import windows_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What compiled_runs.py found, in a process of its own: a compiler cannot read what checks the shapes here."""
    folder = tmp_path_factory.mktemp("compiled")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment |= {"TORCHINDUCTOR_FX_GRAPH_CACHE": "1"}  # the resumed run finds what the first has compiled
    command = [sys.executable, str(compiled_runs.__file__), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"folder": folder}


@pytest.mark.timeout(900)  # some tens of seconds of compiling, on a machine that does nothing else
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_steps_are_the_same(compiled: dict[str, Any], precision: str) -> None:
    """Catches a compiled loss that is another one, whose gradient is, that was not compiled, or that runs in float32
    where bf16 was asked for; and losses kept in memory that the next step writes to."""
    found = compiled[precision]
    assert found["graphs"] >= (2 if precision == "fp32" else 1)  # of whole windows, and of the shorter one
    tolerance = 1e-5 if precision == "fp32" else 5e-3
    assert found["compiled"] == pytest.approx(found["eager"], abs=tolerance)
    assert found["furthest weight"] < tolerance
    assert len(set(found["compiled"])) == len(found["compiled"])
    if precision == "bf16":
        assert found["compiled"] != pytest.approx(compiled["fp32"]["compiled"], abs=1e-6)


def test_a_stopped_compiled_run_goes_on_bit_for_bit(compiled: dict[str, Any]) -> None:
    """Catches dropout whose random numbers a compiled step keeps elsewhere, and a run that is not compiled."""
    assert compiled["stopped"].startswith("stopped at step 4 and saved")
    assert compiled["run graphs"] >= 1
    run, whole = (RunFolder(compiled["folder"] / name) for name in ("run", "whole"))
    weights, expected = load_file(run.last_file), load_file(whole.last_file)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert run.metrics("valid") + run.metrics("test") == whole.metrics("valid") + whole.metrics("test")
    assert run.read_config()["compile"] is True


def test_a_stopped_run_in_bf16_goes_on_bit_for_bit(train_tiny: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a resume in another precision."""
    how = {"precision": "bf16", "recipe": {"batch_size": 100}}
    whole, outcome = train_tiny("whole", **how)
    with monkeypatch.context() as patch:
        patch.setattr("attn_lab.training.trainer.train_epoch", compiled_runs.stopping_at(4))
        with pytest.raises(Interrupted, match="stopped at step 4"):
            train_tiny("run", **how)
    run, resumed = train_tiny("run", resume=True, **how)
    assert resumed == outcome
    weights, expected = load_file(run.last_file), load_file(whole.last_file)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows finds its compiler by other ways than PATH")
def test_a_machine_without_a_compiler(tmp_path: Path) -> None:
    """Catches a first step that fails in a hundred lines, and a run that goes on uncompiled in silence."""
    code = (
        "import torch; from attn_lab.training.compiled import check_compiles\n"
        "try: check_compiles(torch.device('cpu'))\n"
        "except ValueError as error: print(error)"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("CXX", "CC")}
    environment |= {"PATH": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("torch.compile does not work here on cpu: "), done.stderr
    assert done.stdout.rstrip().endswith("It needs a C++ compiler (g++ or clang++): install it, or leave --compile out")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.skipif(not HAS_CPU_KERNELS, reason="this torch has fused optimizers on CUDA only")
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_fused_optimizer_makes_the_same_step(name: str) -> None:
    """Catches a fused kernel that is not taken, and one that decays or steps otherwise."""
    torch.manual_seed(0)
    models = [nn.Linear(5, 7)]
    models.append(copy.deepcopy(models[0]))
    small = recipe("quick" if name == "adamw" else "notebook")
    optimizers = [small.optimizer_for(model) for model in models]
    use_fused(optimizers[1], CPU)
    assert [optimizer.param_groups[0]["fused"] for optimizer in optimizers] == [None, True]
    for _ in range(3):
        gradient = torch.randn(7, 5)
        for model, optimizer in zip(models, optimizers):
            model.weight.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(models[1].weight, models[0].weight, rtol=0, atol=1e-6)
    assert not torch.equal(models[1].weight, torch.zeros(7, 5))


def test_no_step_waits_for_the_device() -> None:
    """Catches a step that reads a value: each would be a wait. "meta" stands in for a GPU here, as it has none."""
    for kind in ("plain", "chunked"):
        accelerator = accelerator_for("cpu", "fp32")
        model = TransformerLanguageModel(13, 8, 2, 8, 2, 0.1).to("meta")
        accelerator.device_placement = False
        loss_of = training_loss(model, kind, accelerator, False)
        data = [(inputs.to("meta"), targets.to("meta")) for inputs, targets in windows_of(6, 6, 4)]
        for optimizer in (torch.optim.AdamW(model.parameters()), torch.optim.SGD(model.parameters(), lr=1.0)):
            assert len(list(train_epoch(model, data, optimizer, clip=1.0, loss_of=loss_of))) == 3
    with pytest.raises(RuntimeError):
        data[0][0].max().item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("compile_it", [False, True])
def test_no_step_waits_for_cuda(compile_it: bool) -> None:
    """Catches the same on the device itself, in the optimizer's fused kernel, the clipping and the CUDA graph."""
    accelerator = accelerator_for("cuda", "bf16")
    model = accelerator.prepare_model(TransformerLanguageModel(13, 8, 2, 8, 2, 0.1), evaluation_mode=True)
    loss_of = training_loss(model, "chunked", accelerator, compile_it)
    optimizer = torch.optim.AdamW(model.parameters())
    use_fused(optimizer, accelerator.device)
    data = [(inputs.cuda(), targets.cuda()) for inputs, targets in windows_of(6, 6, 6, 6, 6)]
    steps = train_epoch(model, data * 2, optimizer, clip=1.0, loss_of=loss_of)
    for _ in range(5):  # compiles, records, allocates
        next(steps)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert len(list(steps)) == 5
    finally:
        torch.cuda.set_sync_debug_mode("default")
