"""How the parts are put together for a check: the part on trial, and the reference's around it."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab.checks import oracles
from attn_lab.checks.cases import EncoderCase
from attn_lab.checks.setting import Setting
from attn_lab.encoder import EncoderBlock, TransformerEncoder
from attn_lab.multihead import MultiHeadSelfAttention
from attn_lab.scaled_dot_product import attention

Part = Callable[..., Any]


def layer_of(case: EncoderCase, dropout: float, module: Part = MultiHeadSelfAttention) -> nn.Module:
    """An attention module around the reference's attention."""
    return module(case.d_model, case.h, dropout, attention=attention)


def block_of(case: EncoderCase, dropout: float, block: Part = EncoderBlock) -> nn.Module:
    """A block around the reference's attention module; the activation is named only where it is not the paper's."""
    attn = MultiHeadSelfAttention(case.d_model, case.h)
    options = {} if case.activation == "relu" else {"activation": getattr(F, case.activation)}
    return block(attn, case.d_model, case.d_hid, case.layer_norm_eps, dropout, norm_first=case.norm_first, **options)


def stack_of(case: EncoderCase, dropout: float, encoder: Part = TransformerEncoder) -> nn.Module:
    """A stack of the reference's blocks."""
    return encoder(block_of(case, dropout), case.n_blocks)


BUILDERS: dict[str, Part] = {"attention_module": layer_of, "block": block_of, "encoder": stack_of}


def built(subject: str, part: Part, case: EncoderCase, setting: Setting, dropout: float = 0.0) -> nn.Module:
    """The attention module, block or stack on trial, with random weights."""
    module = setting.build(lambda: BUILDERS[subject](case, dropout, part))
    oracles.randomise(module, case.seed, setting.dtype)
    return module


def output(subject: str, module: nn.Module, x: Tensor, mask: Tensor | None, setting: Setting) -> Tensor:
    """What it makes of x; an attention module attends from x to x."""
    with setting.running():
        return module(x, x, x, mask) if subject == "attention_module" else module(x, mask)
