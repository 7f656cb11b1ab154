"""The benchmark of a training step: each form is the form that its row names."""

from dataclasses import replace

import pytest
import torch

from attn_lab.bench import training
from attn_lab.bench.report import HEADER, step_cells
from attn_lab.bench.side_by_side import Timing
from attn_lab.training import recipe
from attn_lab.training.fused import HAS_CPU_KERNELS

SMALL = replace(recipe("notebook"), d_model=8, d_hid=8, batch_size=2, window=5)


def test_the_product_s_work_is_counted_right() -> None:
    """Catches a peak that is half or twice what the machine does: of two squares, two operations for each term."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        training.large_product("fp32", "cpu")()
    assert counter.get_total_flops() == training.PRODUCT_FLOP


def test_a_row_s_fraction_of_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a fraction upside down, or against the product of another precision: a step of 4 units of time with the
    work of one product, which takes 1 in float32 and 0.5 in bf16, reaches a quarter and an eighth."""
    monkeypatch.setattr(training, "can_compile", lambda _: False)
    monkeypatch.setattr(training, "in_two_processes", lambda *_: 2.0)
    monkeypatch.setattr(training, "peak_memory", lambda *_: 3.0)
    monkeypatch.setattr(training, "step_flop", lambda *_: training.PRODUCT_FLOP)
    monkeypatch.setattr(
        training,
        "take_turns",
        lambda named, _: {
            name: Timing(4.0, {"one large product fp32": 1.0, "one large product bf16": 0.5}.get(name, 4.0))
            for name in named
        },
    )
    rows = {(row.model, row.precision): row for row in training.compare(SMALL, "cpu", 1)}
    assert training.COMPILED not in {model for model, _ in rows}
    assert rows[training.CHUNKED, "fp32"].of_peak == 0.25
    assert rows[training.CHUNKED, "bf16"].of_peak == 0.125
    pair = rows[training.TWO_PROCESSES, "fp32"]
    assert (pair.to_twin, pair.of_peak, pair.milliseconds) == (0.5, 0.5, 2.0)
    assert all(len(cells) == len(HEADER) for cells in step_cells(list(rows.values())))


@pytest.mark.skipif(not HAS_CPU_KERNELS, reason="this torch has fused optimizers on CUDA only")
def test_the_fused_row_takes_the_fused_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a row that measures what another one does."""
    taken: list[bool | None] = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, "step", lambda self, *a: taken.append(self.param_groups[0]["fused"]) or step(self, *a)
    )
    for model in (training.CHUNKED, training.FUSED_OPTIMIZER):
        training.training_step(SMALL, model, "fp32", "cpu")()
    assert taken == [None, True]
