"""Writing token by token: how fast the next one comes, with and without a key/value cache, against the text so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from attn_lab.bench.side_by_side import take_turns
from attn_lab.bench.training import PTB_TYPES
from attn_lab.efficient.decoding import Decoder
from attn_lab.efficient.local import LocalAttention, no_mask
from attn_lab.language_model import TransformerLanguageModel
from attn_lab.scaled_dot_product import fused_attention

WAYS = ("the whole text again", "key/value cache", "key/value cache, window")


@dataclass(frozen=True)
class Speed:
    """How fast one way writes behind a text of n tokens."""

    way: str
    n: int
    milliseconds: float  # a token

    @property
    def tokens_per_second(self) -> float:
        """Of one text."""
        return 1000 / self.milliseconds


def measure_decoding(lengths: Sequence[int], window: int, rounds: int, device: str = "cpu") -> list[Speed]:
    """One token more behind each length, a text at a time; the model has the notebook's shape."""
    plain = _model(max(lengths) + rounds + 2, fused_attention).to(device)
    local = _model(max(lengths) + rounds + 2, LocalAttention(window), mask=no_mask).to(device)
    ids = torch.randint(PTB_TYPES, (1, max(lengths) + rounds + 2), generator=torch.Generator().manual_seed(0))
    found = []
    for n in lengths:
        whole = torch.no_grad()(lambda n=n: plain(ids[:, : n + 1].to(device)))
        calls = (whole, _one_more(plain, ids.to(device), n), _one_more(local, ids.to(device), n))
        times = take_turns(dict(zip(WAYS, calls)), rounds, warm_up=1)
        found += [Speed(way, n, times[way].milliseconds) for way in WAYS]
    return found


def _one_more(model: nn.Module, ids: torch.Tensor, n: int) -> Callable[[], object]:
    """A call that reads one more token each time, n of them read already."""
    decoder, read = Decoder(model), n
    decoder(ids[:, :n])

    def one_more() -> None:
        nonlocal read
        read += 1
        decoder(ids[:, :read])

    return one_more


def _model(max_len: int, attention: Callable[..., torch.Tensor], **parts: Any) -> nn.Module:
    torch.manual_seed(0)
    return TransformerLanguageModel(
        PTB_TYPES, 200, 2, 200, 2, 0.0, max_len=max_len, attention=attention, **parts
    ).eval()
