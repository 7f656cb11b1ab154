"""The reference has every property, in every precision that it may be used in."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

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
from attn_lab.checks import ALL, Check, Setting

REFERENCE: dict[str, dict[str, Callable[..., Any]]] = {
    "attention": {"attention": attention, "fused_attention": fused_attention},
    "attention_module": {"MultiHeadSelfAttention": MultiHeadSelfAttention},
    "block": {"EncoderBlock": EncoderBlock},
    "encoder": {"TransformerEncoder": TransformerEncoder},
    "positions": {"PositionalEncoding": PositionalEncoding},
    "mask": {"causal": masks.causal},
    "padding": {"padding": masks.padding},
    "sliding_window": {"sliding_window": masks.sliding_window},
    "language_model": {"TransformerLanguageModel": TransformerLanguageModel, "Parts.model": Parts().model},
}
EXACT = Setting()
SETTINGS = (
    EXACT,
    Setting(dtype=torch.float32),
    Setting(dtype=torch.bfloat16),
    Setting(dtype=torch.float16),
    Setting(dtype=torch.float32, autocast=torch.bfloat16),
)
HOLD_NO_NUMBERS = ("mask", "padding", "sliding_window")


def everything() -> Iterator[Any]:
    for check in ALL:
        for name, part in REFERENCE[check.subject].items():
            for setting in SETTINGS:
                if setting == EXACT or check.subject not in HOLD_NO_NUMBERS:
                    yield pytest.param(check, part, setting, id=f"{name}: {check.name} ({setting})")


@pytest.mark.parametrize(("check", "part", "setting"), list(everything()))
def test_the_reference_passes(check: Check, part: Callable[..., Any], setting: Setting) -> None:
    """Catches a wrong reference, a check that is wrong, and a tolerance that a right answer does not keep."""
    examples = 10 if setting == EXACT else 4
    check.run(part, dtype=setting.dtype, autocast=setting.autocast, max_examples=examples)


def test_names_are_unique() -> None:
    """Catches two checks of one subject under one name: a report could not tell them apart."""
    assert len({(check.subject, check.name) for check in ALL}) == len(ALL)
