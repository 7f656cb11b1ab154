"""A part that is wrong keeps a run from starting, whichever part it is."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attn_lab import EncoderBlock, MultiHeadSelfAttention, Parts, PositionalEncoding, fused_attention
from attn_lab.training import PreflightFailed, RunFolder, Settings, train


def without_scale(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
    return fused_attention(query * math.sqrt(query.shape[-1]), key, value, mask, dropout)


def sees_the_next_token(n: int) -> Tensor:
    return torch.ones(n, n, dtype=torch.bool).tril(diagonal=1)


class OneProjection(MultiHeadSelfAttention):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Any = None) -> Tensor:
        self.linear_value = self.linear_key
        return super().forward(query, key, value, mask)


class AlongTheBatch(PositionalEncoding):
    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(x + self.pe[: x.shape[0], None])


class WithoutResidual(EncoderBlock):
    def forward(self, x: Tensor, mask: Any = None) -> Tensor:
        return self.norm2(self._feed_forward(self.norm1(self._attend(x, mask))))


BUGS = [
    Parts(attention=without_scale),
    Parts(mask=sees_the_next_token),
    Parts(attention_module=OneProjection),
    Parts(positions=AlongTheBatch),
    Parts(block=WithoutResidual),
]


@pytest.mark.parametrize("parts", BUGS, ids=lambda parts: parts.replaced()[0])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_planted_bug_keeps_the_run_from_starting(
    parts: Parts, precision: str, tiny: Settings, tmp_path: Path
) -> None:
    """Catches a preflight that is not run, runs on the reference's parts, or blames another part."""
    run = RunFolder(tmp_path / "run")
    with pytest.raises(PreflightFailed) as refusal:
        train(replace(tiny, precision=precision), run, parts=parts)
    assert "the run was not started" in str(refusal.value)
    (name,) = parts.replaced()
    blamed = {line.split(":")[0].strip() for line in str(refusal.value).splitlines()[1:] if line.startswith("  ")}
    assert name in blamed
    assert blamed <= {name, "language_model"}  # the whole is wrong too; the other parts are not
    assert not run.config_file.exists()
    assert not run.resume_file.exists()


def test_the_flag_overrides_and_is_recorded(tiny: Settings, tmp_path: Path) -> None:
    """Catches an override that leaves no trace: its figures would pass for proven ones."""
    run = RunFolder(tmp_path / "run")
    settings = replace(tiny, ignore_preflight=True, recipe=replace(tiny.recipe, epochs=1))
    train(settings, run, parts=Parts(mask=sees_the_next_token))
    report = run.report_file.read_text(encoding="utf-8")
    assert "The preflight failed and was overridden" in report
    assert "Parts that are not the reference's: mask" in report
    assert run.read_config()["ignore_preflight"] is True


def test_the_users_parts_are_the_ones_that_train(
    tiny: Settings, tmp_path: Path, quick_preflight: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches parts that are checked and then left out of the model."""
    monkeypatch.setattr("attn_lab.training.trainer.write_findings", lambda *_: None)  # asks attention for its weights
    calls = dict.fromkeys(("attention", "mask", "module", "block", "positions"), 0)

    def counting(name: str, part: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            calls[name] += 1
            return part(*arguments, **keywords)

        return call

    parts = Parts(
        attention=counting("attention", Parts().attention),
        mask=counting("mask", Parts().mask),
        attention_module=counting("module", Parts().attention_module),
        block=counting("block", Parts().block),
        positions=counting("positions", Parts().positions),
    )
    train(replace(tiny, recipe=replace(tiny.recipe, epochs=1)), RunFolder(tmp_path / "run"), parts=parts)
    assert calls["module"] == calls["block"] == calls["positions"] == 1
    assert calls["mask"] > 10
    assert calls["attention"] == 2 * calls["mask"]  # two blocks
