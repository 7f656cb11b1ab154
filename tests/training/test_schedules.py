"""Schedules: where they begin, where they end, and that they are a function of the step alone."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.training import recipe

COSINE = replace(recipe("modern"), lr=2.0, warmup=10, epochs=4)


def test_half_a_cosine() -> None:
    """Catches a cosine over an epoch, a whole wave, or one that ends above 0."""
    r = replace(COSINE, warmup=0)
    assert [r.learning_rate(step, 25) for step in (0, 25, 50, 75, 100)] == pytest.approx(
        [2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5), 0.0]
    )


@given(st.integers(0, 9))
def test_a_warm_up_is_a_line(step: int) -> None:
    """Catches a warm-up that begins at 0, where the first step would learn nothing, or that jumps at its end."""
    bare = replace(COSINE, warmup=0).learning_rate(step, 25)
    assert COSINE.learning_rate(step, 25) == pytest.approx(bare * (step + 1) / 10)


@given(st.integers(9, 99))
def test_after_the_warm_up_it_is_gone(step: int) -> None:
    """Catches a warm-up that goes on, or lifts the rate above the recipe's."""
    assert COSINE.learning_rate(step, 25) == replace(COSINE, warmup=0).learning_rate(step, 25) <= 2.0


def test_a_staircase_has_a_stair_an_epoch() -> None:
    """Catches a rate that falls within an epoch: the notebook's does not."""
    r = replace(recipe("notebook"), lr=1.0, gamma=0.5)
    assert [r.learning_rate(step, 3) for step in range(7)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
