"""Recipes: the notebook's numbers, and refusal of others that make no sense."""

from dataclasses import replace
from typing import Any

import pytest

from attn_lab import Parts
from attn_lab.training import RECIPES, Recipe, recipe


def test_the_notebooks_numbers() -> None:
    """Catches a recipe that drifts: these are the notebook's, as the issue of this project states them."""
    notebook = recipe("notebook")
    shape = (notebook.batch_size, notebook.window, notebook.d_model, notebook.d_hid, notebook.nlayers, notebook.nhead)
    assert shape == (20, 35, 200, 200, 2, 2)
    assert (notebook.dropout, notebook.optimizer, notebook.lr, notebook.clip) == (0.1, "sgd", 5.0, 0.5)
    assert (notebook.epochs, notebook.eval_batch_size, notebook.scale_embedding) == (10, 10, True)
    assert [notebook.learning_rate(step, 10) for step in (0, 9, 10, 20)] == pytest.approx([5.0, 5.0, 4.75, 4.5125])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_config_file(name: str) -> None:
    """Catches a field that is written and not read back: a resumed run would differ."""
    assert Recipe(**recipe(name).to_dict()) == recipe(name)


def test_the_models_options_arrive() -> None:
    """Catches a switch of the recipe that never reaches the model."""
    small = replace(recipe("quick"), d_model=8, nhead=2, d_hid=8)
    tied = replace(small, tie_weights=True, norm_first=True, scale_embedding=False, dropout=0.25).model(11, Parts())
    assert tied.decoder.weight is tied.embedding.weight
    assert tied.scale == 1.0
    assert tied.encoder.blocks[0].norm_first
    assert tied.positions.dropout.p == 0.25


def test_an_unknown_recipe_names_the_nearest() -> None:
    """Catches an error that leaves the user to guess."""
    with pytest.raises(ValueError, match=r"unknown recipe 'notebok'; did you mean 'notebook'\?"):
        recipe("notebok")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("window", 0),
        ("dropout", 1.0),
        ("lr", float("nan")),
        ("lr", -1.0),
        ("clip", 0.0),
        ("optimizer", "sdg"),
    ],
)
def test_values_that_no_run_could_use(field: str, value: Any) -> None:
    """Catches a run that starts and fails, or learns nothing, an hour later."""
    with pytest.raises(ValueError, match=field):
        replace(recipe("quick"), **{field: value})
