"""What is varied: one thing each, and the thing that its name says."""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from attn_lab import Parts
from attn_lab.ablations.bugs import NoResidual, PositionsOnBatch, leaky_mask, unscaled_attention
from attn_lab.ablations.variations import Variation, choose, shortened, variations
from attn_lab.training import RECIPES, Recipe, recipe

MODERN = recipe("modern")

# Of `modern`: the recipe's fields and the parts that differ, as one reads them off the names.
EXPECTED: dict[str, dict[str, Any]] = {
    "seed-0": {},
    "seed-1": {"seed": 1},
    "seed-2": {"seed": 2},
    "no-attention-scale": {"attention": unscaled_attention},
    "no-embedding-scale": {"scale_embedding": False},
    "sinusoids": {"positions": "sinusoids"},
    "sinusoids-no-scale": {"positions": "sinusoids", "scale_embedding": False},
    "no-positions": {"positions": "none"},
    "post-norm": {"norm_first": False},
    "no-warm-up": {"warmup": 0},
    "post-norm-no-warm-up": {"norm_first": False, "warmup": 0},
    "no-dropout": {"dropout": 0.0, "output_dropout": 0.0},
    "untied": {"tie_weights": False},
    "window-35": {"window": 35, "batch_size": 40},
    "window-70": {"window": 70, "batch_size": 20},
    "heads-1": {"nhead": 1},
    "relu": {"activation": "relu"},
    "no-average": {"average": 0.0},
    "sgd": {"optimizer": "sgd", "lr": 5.0, "schedule": "staircase", "weight_decay": 0.0, "warmup": 0, "clip": 0.5},
    "lstm": {"architecture": "lstm", "d_model": 228, "lr": 1e-2},
    "leaky-mask": {"mask": leaky_mask},
    "positions-on-batch": {"positions": "sinusoids", "part positions": PositionsOnBatch},
    "no-residual": {"block": NoResidual},
}


def difference(variation: Variation, base: Recipe) -> dict[str, Any]:
    new, own = variation.of(base), Parts()
    of_recipe = {f.name: getattr(new, f.name) for f in fields(Recipe) if getattr(new, f.name) != getattr(base, f.name)}
    of_parts = {
        f"part {f.name}" if f.name in of_recipe else f.name: getattr(variation.parts, f.name)
        for f in fields(Parts)
        if getattr(variation.parts, f.name) is not getattr(own, f.name)
    }
    return of_recipe | of_parts


def test_each_changes_what_its_name_says_and_nothing_else() -> None:
    """Catches a variation that changes a second thing, or nothing: its line in the table would lie."""
    assert {v.name: difference(v, MODERN) for v in variations(MODERN)} == EXPECTED


@pytest.mark.parametrize("name", RECIPES)
def test_no_two_are_the_same(name: str) -> None:
    """Catches an experiment that is run twice under two names, and the recipe itself among its variations."""
    base = recipe(name)
    found = variations(base)
    assert len({v.name for v in found}) == len({v.label for v in found}) == len(found)
    seen = [(v.of(base), v.parts) for v in found]
    assert all(seen.count(pair) == 1 for pair in seen)


@pytest.mark.parametrize("name", RECIPES)
def test_each_builds_a_model(name: str) -> None:
    """Catches a variation that fails after an hour of others: heads that do not divide, parts without a place."""
    for variation in variations(recipe(name)):
        with torch.device("meta"):
            model = variation.of(recipe(name)).model(50, variation.parts)
        ids = torch.zeros(2, 5, dtype=torch.long, device="meta")
        assert model(ids).shape == (2, 5, 50)


def test_windows_have_as_many_tokens_in_a_step() -> None:
    """Catches a shorter window that also means a smaller step: two things at once."""
    for variation in choose(variations(MODERN), "window-35,window-70"):
        new = variation.of(MODERN)
        assert new.window * new.batch_size == MODERN.window * MODERN.batch_size


def test_the_recipes_seeds_go_on_from_its_own() -> None:
    """Catches a seed that is counted twice."""
    base = replace(MODERN, seed=7)
    found = variations(base, seeds=3)
    assert [(v.name, v.of(base).seed) for v in found[:3]] == [("seed-7", 7), ("seed-8", 8), ("seed-9", 9)]
    assert {v.of(base).seed for v in found[3:]} == {7}


def test_the_lstm_is_the_recipe_of_that_name() -> None:
    """Catches two LSTMs, of which the one in the table is not the one that can be trained."""
    (lstm,) = choose(variations(MODERN), "lstm")
    assert replace(lstm.of(MODERN), name="lstm", about=recipe("lstm").about) == recipe("lstm")


def test_names_are_chosen() -> None:
    """Catches an order that is not the reader's, and a wrong name that is passed over."""
    found = variations(MODERN)
    assert choose(found, None) == found
    assert [v.name for v in choose(found, "relu, seed-0")] == ["relu", "seed-0"]
    assert [v.name for v in choose(found, "relu,seed-0,relu")] == ["relu", "seed-0"]  # twice would weigh twice
    with pytest.raises(ValueError, match=r"unknown variation 'rellu'; did you mean 'relu'\?"):
        choose(found, "rellu")


def test_a_shortened_recipe_keeps_the_shape_of_its_schedule() -> None:
    """Catches a warm-up that is half of a short run."""
    short = shortened(MODERN, 1)
    assert (short.epochs, short.warmup) == (1, 25)
    assert shortened(MODERN, 12) == MODERN
    assert short.learning_rate(24, 100) == pytest.approx(MODERN.lr, rel=0.2)
