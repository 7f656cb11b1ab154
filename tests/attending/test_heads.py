"""Heads in numbers, on weights of which the answer is known."""

import math

import pytest
import torch
from torch import Tensor

from attn_lab.attending.heads import HeadSummary, by_distance, distance_profile, head_summaries

N = 9


def causal(scores: Tensor) -> Tensor:
    """Softmax over the past, (… n n)."""
    n = scores.shape[-1]
    return scores.masked_fill(~torch.ones(n, n, dtype=torch.bool).tril(), -math.inf).softmax(-1)


def distances(n: int) -> Tensor:
    return (torch.arange(n)[:, None] - torch.arange(n)).double()


def summary_of(*weights: Tensor) -> HeadSummary:
    (head,) = head_summaries([[w[None, None]] for w in weights])
    return head


def test_a_row_by_hand() -> None:
    """Catches a logarithm of another base, a distance with a sign, a mean that counts queries without a choice.

    Of the three queries the first sees itself alone and is left out.
    """
    weights = torch.tensor([[1.0, 0, 0], [0.25, 0.75, 0], [0.5, 0.2, 0.3]], dtype=torch.float64)
    head = summary_of(weights)
    assert head.entropy == pytest.approx(
        -(
            0.25 * math.log(0.25)
            + 0.75 * math.log(0.75)
            + 0.5 * math.log(0.5)
            + 0.2 * math.log(0.2)
            + 0.3 * math.log(0.3)
        )
        / 2
    )
    assert head.uniform == pytest.approx((math.log(2) + math.log(3)) / 2)
    assert head.distance == pytest.approx((0.25 + 2 * 0.5 + 0.2) / 2)
    assert head.previous == pytest.approx((0.25 + 0.2) / 2)
    assert head.own == pytest.approx((0.75 + 0.3) / 2)
    assert head.first == pytest.approx((0.25 + 0.5) / 2)


def test_texts_of_other_lengths_count_by_their_queries() -> None:
    """Catches a mean of means, and distances that are shifted where a text is shorter."""
    long, short = torch.zeros(5, 5), torch.zeros(2, 2)
    long[:, 0] = 1
    long[1:, 0], long[1:, 1] = 0.999, 0.001
    short[0, 0], short[1, 1] = 1, 1 - 1e-9
    short[1, 0] = 1e-9
    head = summary_of(long.double(), short.double())
    assert head.distance == pytest.approx((0.999 * (1 + 2 + 3 + 4) + 0.001 * (0 + 1 + 2 + 3) + 1e-9) / 5)
    assert head.first == pytest.approx((4 * 0.999) / 5)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 2.0])
def test_distance_alone_is_wholly_positional(rate: float) -> None:
    """Catches a profile that is a plain mean, which the early queries, seeing little, bend: even weights would fail."""
    head = summary_of(causal(-rate * distances(40)))
    assert head.positional == pytest.approx(1, abs=5e-3)


def test_both_directions_have_their_own_profile() -> None:
    """Catches past and future of the same distance thrown together."""
    scores = torch.where(distances(20) < 0, -3.0, 0.0)
    assert summary_of(scores.softmax(-1).double()).positional == pytest.approx(1, abs=5e-3)
    even = torch.full((3, 3), 1 / 3).double()
    assert summary_of(even).distance == pytest.approx((3 + 2 + 3) / 9)


def test_words_that_draw_the_weight_are_not_positional() -> None:
    """Catches a share that is high whatever the head does."""
    scores = 12 * torch.randn(6, N * 4, generator=torch.Generator().manual_seed(0)).double()
    texts = [causal(row.expand(N * 4, N * 4)) for row in scores]
    head = summary_of(*texts)
    assert head.positional < 0.35
    assert head.kind == "mixed"


def test_one_text_of_few_words_says_little() -> None:
    """Catches nothing but a wrong sentence on the page: a single short text looks more positional than it is."""
    scores = 12 * torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double()
    texts = [causal(row.expand(6, 6)) for row in scores]
    alone = sum(summary_of(text).positional for text in texts) / 6
    assert alone > summary_of(*texts).positional + 0.05


def test_the_profile_is_the_likeliest() -> None:
    """Catches rounds that stop short: no other profile near by makes the rows likelier."""
    weights = causal(torch.randn(N, N, generator=torch.Generator().manual_seed(2)).double())
    rows, seen = by_distance(weights[None, None], N), by_distance(torch.ones(N, N).tril().bool()[None, None], N)[0]
    profile = distance_profile(rows, seen)[0]

    def likelihood(w: Tensor) -> float:
        expected = w * seen
        expected = expected / expected.sum(-1, keepdim=True)
        return torch.special.xlogy(rows[0], expected.clamp(min=1e-300)).sum().item()

    best = likelihood(profile)
    for r in range(N - 1, 2 * N - 1):
        for factor in (0.9, 1.1):
            other = profile.clone()
            other[r] *= factor
            assert likelihood(other) < best + 1e-9


def one_place(offset: int) -> Tensor:
    weights = torch.zeros(N, N, dtype=torch.float64)
    for i in range(N):
        weights[i, max(0, i - offset)] = 0.98
        weights[i, : i + 1] += 0.02 / (i + 1)
    return weights


def test_kinds() -> None:
    """Catches kinds under each other's names."""
    assert summary_of(one_place(1)).kind == "previous token"
    assert summary_of(one_place(0)).kind == "own token"
    assert summary_of(one_place(N)).kind == "first token"
    assert summary_of(causal(torch.zeros(N, N).double())).kind == "broad"
    assert summary_of(causal(-0.6 * distances(30))).kind == "positional"


def test_layers_and_heads_keep_their_order() -> None:
    """Catches layers or heads exchanged, and numbers that count from 0."""
    layers = [torch.stack([one_place(1), one_place(0)])[None], torch.stack([one_place(N), one_place(1)])[None]]
    heads = head_summaries([layers, layers])
    assert [(h.layer, h.head, h.kind) for h in heads] == [
        (1, 1, "previous token"),
        (1, 2, "own token"),
        (2, 1, "first token"),
        (2, 2, "previous token"),
    ]


def test_one_token_has_no_summary() -> None:
    """Catches an error, or a number from nowhere, for a text of one token."""
    head = summary_of(torch.ones(1, 1))
    assert all(math.isnan(x) for x in (head.entropy, head.uniform, head.distance, head.previous, head.positional))
    assert head.kind == "mixed"
