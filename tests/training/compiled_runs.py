"""Compiled steps beside the others, and a compiled run stopped and resumed: python compiled_runs.py FOLDER."""

import copy
import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attn_lab import TransformerLanguageModel
from attn_lab.checks import CheckResult
from attn_lab.training import Interrupted, RunFolder, Settings, proof, train, trainer
from attn_lab.training.devices import accelerator_for
from attn_lab.training.loop import train_epoch
from attn_lab.training.objective import training_loss
from tests.training.conftest import TINY

# Six steps, all windows of one length, few kernels: compiling takes its time.
SMALL = replace(
    TINY, d_model=8, nhead=2, d_hid=8, nlayers=1, batch_size=120, eval_batch_size=20, window=29, epochs=1, dropout=0.3
)


def windows_of(*lengths: int) -> list[tuple[Tensor, Tensor]]:
    """Random inputs and targets."""
    source = torch.Generator().manual_seed(0)
    return [tuple(torch.randint(13, (2, 3, n), generator=source)) for n in lengths]


def stopping_at(last: int) -> Callable[..., Iterator[Tensor]]:
    """train_epoch with a Ctrl-C behind that step."""

    def stopping(*arguments: Any, **keywords: Any) -> Iterator[Tensor]:
        for step, loss in enumerate(train_epoch(*arguments, **keywords), start=1):
            if step == last:
                signal.raise_signal(signal.SIGINT)
            yield loss

    return stopping


def n_graphs() -> int:
    """Compiled since the compiler was last reset."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def reset() -> None:
    """Compile anew: after some, torch gives up in silence."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def steps(precision: str) -> dict[str, Any]:
    """Three steps, compiled and not; in float32 the last window is shorter."""
    accelerator = accelerator_for("cpu", precision)
    torch.manual_seed(0)
    eager = TransformerLanguageModel(13, 8, 2, 8, 1, 0.0, tie_weights=True)
    twin, found = copy.deepcopy(eager), {}
    reset()
    for name, model in (("eager", eager), ("compiled", twin)):
        accelerator.prepare_model(model, evaluation_mode=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        loss_of = training_loss(model, "chunked", accelerator, name == "compiled")
        data = windows_of(6, 6, 4 if precision == "fp32" else 6)
        losses = list(train_epoch(model, data, optimizer, clip=1.0, loss_of=loss_of))
        found[name] = [loss.item() for loss in losses]
    apart = [(own - other).abs().max().item() for own, other in zip(eager.parameters(), twin.parameters())]
    return found | {"furthest weight": max(apart), "graphs": n_graphs() - 1}  # less the compiler's trial


def runs(folder: Path) -> dict[str, Any]:
    """A compiled run, whole; another one stopped and resumed."""
    proof.preflight = lambda *_, **__: [CheckResult("stood in for by a test", "attention", True, 0.0, "")]
    settings = Settings(SMALL, corpus="toy", device="cpu", compile=True)
    reset()
    train(settings, RunFolder(folder / "whole"))
    graphs = n_graphs() - 1
    reset()
    trainer.train_epoch = stopping_at(4)
    try:
        train(settings, RunFolder(folder / "run"))
        said = "not stopped"
    except Interrupted as stopped:
        said = str(stopped)
    trainer.train_epoch = train_epoch
    reset()
    train(settings, RunFolder(folder / "run"), resume=True)
    return {"stopped": said, "run graphs": graphs}


if __name__ == "__main__":
    print(json.dumps({precision: steps(precision) for precision in ("fp32", "bf16")} | runs(Path(sys.argv[1]))))
