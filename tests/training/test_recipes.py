"""Recipes: the notebook's numbers, and refusal of others that make no sense."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from attn_lab import Parts, attention
from attn_lab.training import RECIPES, Recipe, recipe
from attn_lab.training.recipe_table import TRAINED, flops_per_token, row


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
        ("schedule", "cosin"),
        ("positions", "rotating"),
        ("activation", "rulu"),
        ("output_dropout", 1.0),
        ("average", 1.0),
        ("warmup", -1),
        ("weight_decay", float("inf")),
    ],
)
def test_values_that_no_run_could_use(field: str, value: Any) -> None:
    """Catches a run that starts and fails, or learns nothing, an hour later."""
    with pytest.raises(ValueError, match=field):
        replace(recipe("quick"), **{field: value})


def test_the_budget_of_the_modern_recipe() -> None:
    """Catches a recipe that wins by being larger: the comparison is with models of at most 4.7 million parameters."""
    modern = recipe("modern")
    assert (modern.nlayers, modern.d_model, modern.tokenizer) == (2, 200, "words_eos")
    assert sum(p.numel() for p in modern.model(10_000, Parts()).parameters()) <= 4_700_000


def test_the_budget_of_the_strong_recipe() -> None:
    """Catches a recipe beyond the 24 million parameters of the models that it is compared with."""
    with torch.device("meta"):
        assert sum(p.numel() for p in recipe("strong").model(10_000, Parts()).parameters()) <= 24_000_000


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_line(name: str) -> None:
    """Catches a recipe that the table does not know, and a count of parameters that is not the model's."""
    trained = TRAINED[name]
    parameters = sum(p.numel() for p in recipe(name).model(trained.types, Parts()).parameters())
    assert row(recipe(name))[:4:3] == (name, f"{parameters / 1e6:.2f} M")


def test_the_work_is_that_of_the_products() -> None:
    """Catches a table of work that forgets the backward pass, the output layer or a layer."""
    r = replace(recipe("quick"), d_model=8, nhead=2, d_hid=16, nlayers=3, window=5)
    with torch.device("meta"):
        model = r.model(50, Parts(attention=attention))
    per_layer = 4 * 8 * 8 + 2 * 8 * 16 + 2 * 5 * 8  # projections, feed-forward, scores and sum over 5 keys
    assert flops_per_token(model, r) == pytest.approx(3 * 2 * (3 * per_layer + 50 * 8))
