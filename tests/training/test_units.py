"""One total loss in several units."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.training.units import converted, per_raw_word


@given(st.floats(0.01, 12), st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_conversion_keeps_the_total(loss: float, tokens: int, other: int) -> None:
    """Catches a ratio the wrong way up, and a perplexity that is scaled instead of its logarithm."""
    there = converted(math.exp(loss), tokens, other) if loss * tokens / other < 700 else math.inf
    if math.isfinite(there):
        assert math.log(there) * other == pytest.approx(loss * tokens)
        assert converted(there, other, tokens) == pytest.approx(math.exp(loss))
    assert per_raw_word(loss, tokens, other) * other == pytest.approx(loss * tokens)
    assert per_raw_word(loss, 1000, 900) > loss  # fewer words than tokens: more nats for each
