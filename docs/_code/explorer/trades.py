"""What the heads of the explorer's model do, over the whole toy language, and what they are called for it."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import torch
from einops import rearrange
from torch import Tensor, nn

from attn_lab import corpora
from attn_lab.attending import HeadSummary, attention_summary, attention_weights
from attn_lab.corpora.toy import SENTENCES, VERBS
from attn_lab.training.batches import batchify
from explorer.model import RECIPE, load


@dataclass(frozen=True)
class Phrases:
    """All phrases of the language that are of one order, cut before the verb: what they are, and where the subject is.

    Args:
        ids: (b n), n = 5: `the SUBJECT near the BYSTANDER`, or `near the BYSTANDER the SUBJECT`.
        subject: the subject's place, from 0.
        verbs: the ids of the two verbs that fit, (b 2).
    """

    ids: Tensor
    subject: int
    verbs: Tensor


def phrases(start: str) -> Phrases:
    """The phrases whose first word is "the" (the subject comes first) or "near" (it comes last)."""
    vocabulary, subject = load()[1], 1 if start == "the" else 4
    chosen = sorted({tuple(s.split()[:5]) for s in SENTENCES if s.startswith(f"{start} ")})
    return Phrases(
        torch.stack([vocabulary.encode(phrase) for phrase in chosen]),
        subject,
        torch.stack([vocabulary.encode(VERBS[phrase[subject]]) for phrase in chosen]),
    )


@cache
def summaries() -> list[HeadSummary]:
    """The heads over windows of the validation text."""
    rows = batchify(corpora.load("toy").valid, RECIPE.eval_batch_size)
    return attention_summary(load()[0], rows, RECIPE.window).heads


def on_word(start: str, place: int, model: nn.Module | None = None) -> Tensor:
    """The weight of each head from the last word of a phrase, the one before the verb, on a place: (b layer h)."""
    weights, _ = attention_weights(model or load()[0], phrases(start).ids)
    return torch.stack([layer[:, :, -1, place] for layer in weights], dim=1)


def finders() -> list[tuple[int, int]]:
    """The heads, (layer, head) from 1, that put half their weight or more on the subject, wherever it is."""
    both = torch.stack([on_word(start, phrases(start).subject).mean(dim=0) for start in ("the", "near")])
    return [(layer + 1, head + 1) for layer, head in (both.amin(dim=0) >= 0.5).nonzero().tolist()]


def best() -> tuple[int, int]:
    """The head that looks most for the subject, (layer, head) from 1."""
    far, near = (on_word(start, phrases(start).subject).mean(dim=0) for start in ("the", "near"))
    layer, head = divmod(int(torch.minimum(far, near).argmax()), RECIPE.nhead)
    return layer + 1, head + 1


def names() -> list[list[str]]:
    """Layer by layer what each head is called: by what it does for the verb, else the kind in its summary."""
    called = [[""] * RECIPE.nhead for _ in range(RECIPE.nlayers)]
    for head in summaries():
        called[head.layer - 1][head.head - 1] = head.kind
    for layer, head in finders():
        called[layer - 1][head - 1] = "subject"
    return called


def right_verb(start: str, cut: Sequence[tuple[int, int]] = ()) -> float:
    """The probability that the model gives to the two verbs that fit, the mean over all phrases of an order.

    Args:
        start: see `phrases`.
        cut: heads, (layer, head) from 1, whose findings are set to zero before they are passed on.
    """
    given = phrases(start)
    with torch.no_grad():
        probabilities = _without(cut)(given.ids)[:, -1].softmax(dim=-1)
    return probabilities.gather(-1, given.verbs).sum(dim=-1).mean().item()


def _without(cut: Sequence[tuple[int, int]]) -> nn.Module:
    model = deepcopy(load()[0])
    for layer, head in cut:
        weight = model.encoder.blocks[layer - 1].attn.linear_cat_attn.weight.detach()
        rearrange(weight, "out (h e) -> out h e", h=RECIPE.nhead)[:, head - 1] = 0
    return model
