"""Parts put together: each where it belongs; and `import attn_lab` brings in no more than it needs."""

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attn_lab
from attn_lab import (
    EncoderBlock,
    MultiHeadSelfAttention,
    Parts,
    PositionalEncoding,
    TransformerEncoder,
    TransformerLanguageModel,
    attention,
    fused_attention,
    masks,
)

ROOT = Path(__file__).parents[1]
NAMES = ["attention", "attention_module", "block", "encoder", "positions", "mask", "language_model"]


class Everything(nn.Module):
    """Stands in for any module: keeps what it was made with."""

    def __init__(self, *sizes: Any, **options: Any) -> None:
        super().__init__()
        self.sizes, self.options = sizes, options


def some_part(*_: Any) -> Tensor:
    raise NotImplementedError


def test_the_reference_is_the_default() -> None:
    """Catches a default that is not the paper's part, or the definition where the fused call is meant."""
    reference = (
        fused_attention,
        MultiHeadSelfAttention,
        EncoderBlock,
        TransformerEncoder,
        PositionalEncoding,
        masks.causal,
        TransformerLanguageModel,
    )
    assert [f.name for f in dataclasses.fields(Parts)] == NAMES
    assert all(getattr(Parts(), name) is part for name, part in zip(NAMES, reference))


@pytest.mark.parametrize("name", NAMES)
def test_a_replaced_part_is_named(name: str) -> None:
    """Catches a report that does not say whose part a run was made with."""
    part = nn.Identity if name not in ("attention", "mask") else some_part
    parts = Parts(**{name: part})
    assert parts.replaced() == [name]
    assert getattr(parts, name) is part


def test_what_counts_as_replaced() -> None:
    """Catches the reference, named outright, taken for the user's own; the definition is not the default, though."""
    assert Parts().replaced() == []
    assert Parts(attention=fused_attention, block=EncoderBlock).replaced() == []
    assert Parts(attention=attention).replaced() == ["attention"]
    assert Parts(mask=some_part, attention=some_part, encoder=Everything).replaced() == ["attention", "encoder", "mask"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Parts().attention = attention


def test_the_model_gets_every_part_and_option() -> None:
    """Catches parts crossed on their way to the model, one left out, and options or sizes that are lost."""
    own = {name: type(name, (Everything,), {}) for name in NAMES}
    model = Parts(**own).model(11, 6, 2, 8, 3, dropout=0.2, causal=False, max_len=9)
    assert type(model) is own["language_model"]
    assert model.sizes == (11, 6, 2, 8, 3)
    parts = {name: part for name, part in own.items() if name != "language_model"}
    assert model.options == {**parts, "dropout": 0.2, "causal": False, "max_len": 9}


def test_the_model_of_the_reference_is_the_reference() -> None:
    """Catches a model put together otherwise than by its constructor: a seed must give the same weights and logits."""
    src = torch.tensor([[1, 4, 2, 9]])
    logits = []
    for make in (Parts(attention=attention).model, TransformerLanguageModel):
        torch.manual_seed(0)
        logits.append(make(11, 6, 2, 8, 3, dropout=0.0, tie_weights=True)(src))
    assert torch.equal(*logits)
    fused = Parts().model(11, 6, 2, 8, 3)
    assert all(block.attn.attention is fused_attention for block in fused.encoder.blocks)


def test_the_attention_layer_is_made_of_its_two_parts() -> None:
    """Catches an attention layer around the reference's function, or without its dropout."""
    layer = Parts(attention=some_part, attention_module=Everything).attention_layer(6, 2, 0.3)
    assert layer.sizes == (6, 2, 0.3)
    assert layer.options == {"attention": some_part}
    default = Parts().attention_layer(6, 2)
    assert type(default) is MultiHeadSelfAttention
    assert default.attention is fused_attention
    assert default.dropout is None


def test_names_of_the_package() -> None:
    """Catches a module that hides the function of its name, and a public name that cannot be imported."""
    assert isinstance(attn_lab.attention, FunctionType)
    assert isinstance(attn_lab.fused_attention, FunctionType)
    assert isinstance(attn_lab.masks, ModuleType)
    assert all(getattr(attn_lab, name) is not None for name in attn_lab.__all__)
    for name in ("checks", "corpora", "training", "bench"):
        assert getattr(attn_lab, name) is importlib.import_module(f"attn_lab.{name}")
    with pytest.raises(AttributeError, match="module 'attn_lab' has no attribute 'attentoin'"):
        _ = attn_lab.attentoin


def test_importing_the_package_is_cheap() -> None:
    """Catches a paper file that imports what stands above it, and with it the tools of training or testing."""
    script = """import sys, attn_lab
print(*sys.modules)
for name in attn_lab.__all__: getattr(attn_lab, name)
print(*sys.modules)"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    at_once, with_every_name = (set(line.split()) for line in done.stdout.splitlines())
    heavy = {"hypothesis", "pytest", "accelerate", "matplotlib", "typer", "rich", "pooch", "watchfiles", "requests"}
    above = ["efficient", "variants", "checks", "corpora", "training", "course", "bench", "cli", "doctor", "own_parts"]
    for loaded in (at_once, with_every_name):
        assert not loaded & heavy
        assert not loaded & {f"attn_lab.{name}" for name in above}
    assert "attn_lab.encoder" in with_every_name  # the script looked at the right place
