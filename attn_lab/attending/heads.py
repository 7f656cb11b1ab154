"""A head in a few numbers: how widely it looks, how far, and how much of that is decided by distance alone."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor

ROUNDS = 300  # of the fit in `distance_profile`


@dataclass(frozen=True)
class HeadSummary:
    r"""One head, over all queries of some texts that see at least two keys; NaN where there is none.

    Args:
        layer: from 1.
        head: from 1.
        entropy: nats; $-\sum_j a_{ij} \ln a_{ij}$, the mean over the queries.
        uniform: nats; the entropy if each query looked at all that it sees alike.
        distance: tokens; $\sum_j a_{ij} |i - j|$, the mean over the queries.
        previous: the weight on the token before, $a_{i,i-1}$, the mean over the queries.
        own: the weight on the query's own token.
        first: the weight on the first token of the text.
        positional: the share of the weight that lies where distance alone would put it; see `positional_share`.

    Source: entropy and shares after Clark et al. 2019, "What Does BERT Look At?", section 3; positional heads after
        Voita et al. 2019, "Analyzing Multi-Head Self-Attention", section 5.1, which counts how often the largest weight
        lies at one distance. Here all weights count, and a fit decides.
    """

    layer: int
    head: int
    entropy: float
    uniform: float
    distance: float
    previous: float
    own: float
    first: float
    positional: float

    @property
    def kind(self) -> str:
        """The head in a word or two; the limits are conventions."""
        for name, share in (("previous token", self.previous), ("own token", self.own), ("first token", self.first)):
            if share >= 0.5:
                return name
        if self.entropy >= 0.9 * self.uniform:
            return "broad"
        return "positional" if self.positional >= 0.9 else "mixed"


def head_summaries(batches: Iterable[Sequence[Float[Tensor, "_ _ _ _"]]]) -> list[HeadSummary]:
    """The summary of each head, layer by layer.

    Args:
        batches: for each batch of texts of one length, the weights of each layer, (b h n n), as `attention_weights`
            gives them. The lengths may differ from batch to batch.
    """
    return [
        summary
        for layer, weights in enumerate(zip(*batches, strict=True), start=1)
        for summary in _layer_summaries(layer, weights)
    ]


def _layer_summaries(layer: int, texts: Sequence[Tensor]) -> list[HeadSummary]:
    reach = max(weights.shape[-1] for weights in texts)
    rows = torch.cat([by_distance(weights.double(), reach) for weights in texts], dim=1)
    seen = torch.cat([by_distance(_seen_by_each(weights), reach)[0] for weights in texts])
    first = torch.cat([rearrange(weights[..., 0].double(), "b h i -> h (b i)") for weights in texts], dim=1)
    choosing = seen.sum(dim=-1) > 1  # a query that sees one key has no choice, and one that sees none no weights
    rows, seen, first = rows[:, choosing], seen[choosing], first[:, choosing]
    distance = (torch.arange(2 * reach - 1) - (reach - 1)).double()
    numbers = {
        "entropy": entropy(rows).mean(dim=-1),
        "distance": einsum(rows, distance.abs(), "h q r, r -> h q").mean(dim=-1),
        "previous": rows[..., reach].mean(dim=-1) if reach > 1 else rows.new_full((len(rows),), math.nan),
        "own": rows[..., reach - 1].mean(dim=-1),
        "first": first.mean(dim=-1),
        "positional": positional_share(rows, seen),
    }
    uniform = seen.sum(dim=-1).double().log().mean().item()
    return [
        HeadSummary(layer, h + 1, uniform=uniform, **{name: values[h].item() for name, values in numbers.items()})
        for h in range(len(rows))
    ]


def entropy(weights: Float[Tensor, "*lead j"]) -> Float[Tensor, "*lead"]:
    """Nats; nothing is added for a weight of 0."""
    return -torch.special.xlogy(weights, weights).sum(dim=-1)


def seen_keys(weights: Float[Tensor, "b h n n"]) -> Bool[Tensor, "n n"]:
    """Which keys each query sees: those that any head of the layer gives a weight in any of the texts."""
    return (weights > 0).any(dim=1).any(dim=0)


def _seen_by_each(weights: Float[Tensor, "b h n n"]) -> Bool[Tensor, "b one n n"]:
    return seen_keys(weights).expand(weights.shape[0], 1, -1, -1)


def by_distance(x: Float[Tensor, "b h n n"] | Bool[Tensor, "b h n n"], reach: int) -> Tensor:
    """Each query's row with its keys at their distance i - j, from -(reach - 1) to reach - 1: (h q r), q = b n."""
    n = x.shape[-1]
    place = torch.arange(n)
    where = place[:, None] - place + reach - 1
    shifted = x.new_zeros(*x.shape[:-1], 2 * reach - 1).scatter(-1, where.expand(x.shape), x)
    return rearrange(shifted, "b h i r -> h (b i) r")


def positional_share(rows: Float[Tensor, "h q r"], seen: Bool[Tensor, "q r"]) -> Float[Tensor, " h"]:
    r"""How much of each head's weight lies where distance alone would put it, between 0 and 1.

    $$\frac{1}{n} \sum_i \sum_j \min(a_{ij}, p_{ij}), \qquad
    p_{ij} = \frac{w_{i-j}}{\sum_{j' \text{ seen}} w_{i-j'}}$$

    where w is the `distance_profile`. 1: the words change nothing. A head that looks at one place that the words choose
    comes near 0.
    """
    profile = distance_profile(rows, seen)
    expected = profile[:, None] * seen
    expected = expected / expected.sum(dim=-1, keepdim=True)
    return torch.minimum(rows, expected).sum(dim=-1).mean(dim=-1)


def distance_profile(rows: Float[Tensor, "h q r"], seen: Bool[Tensor, "q r"]) -> Float[Tensor, "h r"]:
    r"""The weight w of each distance, with which a head that knows distances alone comes nearest to these rows.

    Nearest: $w_{i-j} / \sum_{j'} w_{i-j'}$ gives the rows the greatest likelihood, $\sum_{ij} a_{ij} \ln p_{ij}$. A
    plain mean over the queries is something else, since the early ones see few keys: of weights that are all alike it
    would not find that they are.

    Source: the rounds are those of Hunter 2004, "MM algorithms for generalized Bradley-Terry models".
    """
    allowed = seen.to(rows.dtype)
    mass = rows.sum(dim=1)
    profile = torch.ones_like(mass)
    for _ in range(ROUNDS):
        totals = einsum(profile, allowed, "h r, q r -> h q")
        profile = mass / einsum(1 / totals, allowed, "h q, q r -> h r").clamp(min=torch.finfo(rows.dtype).tiny)
        profile = profile / profile.sum(dim=-1, keepdim=True)
    return profile
