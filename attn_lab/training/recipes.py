"""The recipes, by name."""

from dataclasses import replace

from attn_lab.choices import check_choice
from attn_lab.training.recipe import Recipe

MODERN = Recipe(
    name="modern",
    about="the notebook's two layers and width, trained well: what its recipe leaves on the table",
    tokenizer="words_eos",
    nhead=4,
    d_hid=1000,
    dropout=0.2,
    output_dropout=0.3,
    positions="rotary",
    activation="squared_relu",
    tie_weights=True,
    norm_first=True,
    window=140,
    batch_size=10,
    random_offsets=True,
    average=0.999,
    optimizer="adamw",
    lr=2.5e-3,
    weight_decay=0.05,
    warmup=300,
    schedule="cosine",
    clip=1.0,
    epochs=12,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="notebook",
            about="the recipe of the notebook that this project grew from, with the paper's √d on the embedding",
        ),
        Recipe(
            name="quick",
            about="a small model that learns the embedded corpus in about a minute on two cores",
            d_model=128,
            d_hid=256,
            dropout=0.35,
            tie_weights=True,
            window=32,
            batch_size=16,
            optimizer="adamw",
            lr=2e-3,
            weight_decay=0.01,
            gamma=0.85,
            clip=1.0,
            epochs=14,
        ),
        MODERN,
        replace(
            MODERN,
            name="lstm",
            about="what attention took the place of: nn.LSTM with as many parameters as modern, at a rate of its own",
            architecture="lstm",
            d_model=228,
            lr=1e-2,
        ),
        Recipe(
            name="strong",
            about="ten layers for a GPU, a first sketch: it runs, and nobody has trained it to the end yet",
            tokenizer="words_eos",
            d_model=384,
            nhead=8,
            d_hid=1536,
            nlayers=10,
            dropout=0.35,
            output_dropout=0.5,
            positions="rotary",
            activation="squared_relu",
            tie_weights=True,
            norm_first=True,
            window=140,
            batch_size=20,
            random_offsets=True,
            average=0.999,
            optimizer="adamw",
            lr=1e-3,
            weight_decay=0.1,
            warmup=1000,
            schedule="cosine",
            clip=1.0,
            epochs=60,
        ),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    return RECIPES[check_choice("recipe", name, RECIPES)]
