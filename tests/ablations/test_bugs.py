"""The planted bugs are what they say, and the preflight would have caught each."""

import math
from dataclasses import replace

import pytest
import torch

from attn_lab import Parts, PositionalEncoding
from attn_lab.ablations.bugs import NoResidual, PositionsOnBatch, leaky_mask, unscaled_attention
from attn_lab.checks import preflight
from attn_lab.training import recipe


def test_unscaled_attention_by_hand() -> None:
    """Catches a factor that is left in, or taken twice."""
    q, k, v = (torch.randn(2, 3, 4, 5, dtype=torch.float64) for _ in range(3))
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    weights = (q @ k.mT).masked_fill(~mask, -math.inf).softmax(-1)
    torch.testing.assert_close(unscaled_attention(q, k, v, mask), weights @ v)


def test_the_leaky_mask_shows_one_token_too_many() -> None:
    """Catches a leak that is none, or a mask that hides nothing."""
    assert leaky_mask(4).int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_positions_on_the_batch_axis() -> None:
    """Catches a pattern that still varies along the text."""
    table = PositionalEncoding(6, dropout=0.0)(torch.zeros(1, 4, 6))[0]
    added = PositionsOnBatch(6, dropout=0.0)(torch.zeros(4, 5, 6))
    for row in range(4):
        torch.testing.assert_close(added[row], table[row].expand(5, 6))


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_block_without_residuals_forgets(norm_first: bool) -> None:
    """Catches an `x +` that is left: a layer whose weights are zero must forget what came in."""

    class Zero(torch.nn.Module):
        def forward(self, query: torch.Tensor, *_: object) -> torch.Tensor:
            return torch.zeros_like(query)

    block = NoResidual(Zero(), 6, 8, dropout=0.0, norm_first=norm_first)
    first, second = (block(torch.randn(2, 3, 6)) for _ in range(2))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("subject", "parts", "positions"),
    [
        ("attention", Parts(attention=unscaled_attention), "rotary"),
        ("mask", Parts(mask=leaky_mask), "rotary"),
        ("positions", Parts(positions=PositionsOnBatch), "sinusoids"),
        ("block", Parts(block=NoResidual), "rotary"),
    ],
)
def test_the_preflight_blames_it(subject: str, parts: Parts, positions: str) -> None:
    """Catches a column of the table that says `passes` of a bug."""
    options = replace(recipe("modern"), positions=positions).switches()
    failed = {result.subject for result in preflight(parts, max_examples=3, model_options=options) if not result.passed}
    assert subject in failed
    assert failed <= {subject, "language_model"}
