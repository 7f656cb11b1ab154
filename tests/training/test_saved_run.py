"""A run read back: what it writes, with a key/value cache or without."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import attn_lab
from attn_lab import corpora
from attn_lab.course.answers import load
from attn_lab.course.catalogue import find
from attn_lab.efficient.decoding import Decoder
from attn_lab.training import Settings, recipe
from attn_lab.training.batches import Batches
from attn_lab.training.saved_run import SavedRun

WORDS = ["<unk>", *"abcdefgh"]


def run_of(make: Callable[..., nn.Module]) -> SavedRun:
    torch.manual_seed(0)
    model = make(len(WORDS), 8, 2, 16, 2)
    return SavedRun(
        Settings(recipe("quick"), "toy", None),
        corpora.Vocabulary(WORDS, 0),
        model,
        torch.device("cpu"),
        Batches(),
    )


def own_model(*sizes: int) -> nn.Module:
    """The exercise's, and without `generate`, which is not asked for there."""

    class Model(load(find("e18").solution).TransformerLanguageModel):
        generate = None

    return Model(*sizes)


def out_of_order(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: object) -> Tensor:
    """An attention that looks at how long the text is: no cache can stand in for it."""
    return attn_lab.attention(query, key, value, mask) * query.shape[2]


@pytest.mark.parametrize("make", [attn_lab.TransformerLanguageModel, own_model])
def test_a_run_writes_on(make: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a run with a language model of one's own that cannot write, and a cache that changes what is written."""
    run = run_of(make)
    options = {"temperature": 0.8, "top_k": 3, "seed": 5}
    calls: list[int] = []
    ask = Decoder.__call__
    monkeypatch.setattr(Decoder, "__call__", lambda self, ids: calls.append(ids.shape[1]) or ask(self, ids))
    written = run.generate("a b", 60, **options)
    assert len(written.split()) == 62
    assert len(calls) >= 60  # beside those with which the decoder tries the model
    monkeypatch.setattr("attn_lab.training.saved_run.Decoder", refuse)
    assert run.generate("a b", 60, **options) == written


def refuse(model: nn.Module) -> Decoder:
    raise ValueError("no cache")


def test_a_part_that_no_cache_fits_writes_without_one() -> None:
    """Catches a part of one's own that trains well and stops `attn-lab generate`."""
    run = run_of(lambda *sizes: attn_lab.TransformerLanguageModel(*sizes, attention=out_of_order))
    with pytest.raises(ValueError, match="token by token"):
        Decoder(run.model)
    assert len(run.generate("a b", 5, temperature=1.0, top_k=None, seed=0).split()) == 7
