"""The variations of a recipe that are trained side by side: each changes one thing, and says which."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from attn_lab.ablations.bugs import NoResidual, PositionsOnBatch, leaky_mask, unscaled_attention
from attn_lab.choices import check_choice
from attn_lab.parts import Parts
from attn_lab.training.recipe import Recipe

RECIPE, CHOICE, BUG = "the recipe", "choices", "bugs"
REFERENCE = Parts()
SGD: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 5.0,
    "schedule": "staircase",
    "weight_decay": 0.0,
    "warmup": 0,
    "clip": 0.5,
}
TRANSFORMERS = {"architecture", "nhead", "d_hid", "positions", "activation", "norm_first"}  # an LSTM has none of these


@dataclass(frozen=True)
class Variation:
    """A recipe with one thing changed.

    Args:
        name: of its folder.
        group: whether it is the recipe itself, a choice that one may make, or a bug.
        label: what a reader calls it.
        about: what is changed, in words.
        changes: of the recipe.
        parts: those of the model.
    """

    name: str
    group: str
    label: str
    about: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    parts: Parts = field(default_factory=Parts)

    def of(self, base: Recipe) -> Recipe:
        """The recipe that is trained."""
        return replace(base, **self.changes)


def variations(base: Recipe, seeds: int = 3) -> list[Variation]:
    """All that differ from the recipe, behind the recipe itself with as many seeds: how much chance alone does.

    Of an LSTM's recipe, those that it has a place for.
    """
    own = [
        Variation(f"seed-{seed}", RECIPE, f"{base.name}, seed {seed}", "nothing but chance", {"seed": seed})
        for seed in range(base.seed, base.seed + seeds)
    ]
    different: list[Variation] = []
    seen = [(base, REFERENCE)]
    for variation in (*_choices(base), *_bugs()):
        if _has_place(base, variation) and (what := (variation.of(base), variation.parts)) not in seen:
            different.append(variation)
            seen.append(what)
    return own + different


def _has_place(base: Recipe, variation: Variation) -> bool:
    if base.architecture == "transformer":
        return True
    return not variation.parts.replaced() and TRANSFORMERS.isdisjoint(variation.changes)


def shortened(base: Recipe, epochs: int) -> Recipe:
    """The recipe for fewer epochs, or more; its warm-up stays the same share of the steps, as its schedule does."""
    return replace(base, epochs=epochs, warmup=base.warmup * epochs // base.epochs)


def choose(found: list[Variation], names: str | None) -> list[Variation]:
    """Those with these names, with commas between, each once; None: all.

    Raises:
        ValueError: a name is none of theirs; the message names the nearest.
    """
    if names is None:
        return found
    known = {variation.name: variation for variation in found}
    wanted = dict.fromkeys(name.strip() for name in names.split(","))
    return [known[check_choice("variation", name, known)] for name in wanted]


def _choices(base: Recipe) -> list[Variation]:
    """Both sides of each choice: the recipe's own falls out."""
    return [
        _choice("no-attention-scale", "no 1/√d in attention", "scores as they are", parts=Parts(unscaled_attention)),
        _choice("no-embedding-scale", "no √d on the embedding", "embeddings as they are", scale_embedding=False),
        _choice("rotary", "rotary positions", "attention sees distances", positions="rotary"),
        _choice("sinusoids", "sinusoids", "the paper's positions, added", positions="sinusoids"),
        _choice("sinusoids-no-scale", "sinusoids, no √d", "both", positions="sinusoids", scale_embedding=False),
        _choice("no-positions", "no positions", "the causal mask alone tells order", positions="none"),
        _choice("pre-norm", "pre-norm", "what goes into a layer is normalised", norm_first=True),
        _choice("post-norm", "post-norm", "each sum is normalised, as in the paper", norm_first=False),
        _choice("no-warm-up", "no warm-up", "the full rate from the first step on", warmup=0),
        _choice("post-norm-no-warm-up", "post-norm, no warm-up", "both", norm_first=False, warmup=0),
        _choice("no-dropout", "no dropout", "nowhere", dropout=0.0, output_dropout=0.0),
        _choice("tied", "tied", "the output layer has the embedding's weights", tie_weights=True),
        _choice("untied", "untied", "the output layer has weights of its own", tie_weights=False),
        *(_window(base, n) for n in (base.window // 4, base.window // 2)),
        *(_choice(f"heads-{h}", f"heads: {h}", f"of width {base.d_model // h}", nhead=h) for h in (1, 4)),
        _choice("relu", "ReLU", "in place of its square", activation="relu"),
        _choice("no-average", "no average", "the last step's weights are evaluated", average=0.0),
        _choice("sgd", "SGD", "5.0 and a staircase, clipped at 0.5: the notebook's", **SGD),
        _choice("lstm", "nn.LSTM", "as many layers, a little wider; AdamW's rate four times as high", **_lstm(base)),
    ]


def _choice(name: str, label: str, about: str, *, parts: Parts = REFERENCE, **changes: Any) -> Variation:
    return Variation(name, CHOICE, label, about, changes, parts)


def _window(base: Recipe, n: int) -> Variation:
    rows = max(1, base.window * base.batch_size // n)
    return _choice(f"window-{n}", f"windows of {n}", f"{rows} rows, as many tokens a step", window=n, batch_size=rows)


def _lstm(base: Recipe) -> dict[str, Any]:
    """A layer of an LSTM has 8 d_model² weights, a block 4 d_model² + 2 d_model d_hid: so wide, modern has as many."""
    rate = 4 * base.lr if base.optimizer == "adamw" else base.lr
    return {"architecture": "lstm", "d_model": base.d_model + base.d_model // 7, "lr": rate}


def _bugs() -> list[Variation]:
    return [
        Variation("leaky-mask", BUG, "leaky mask", "each token sees its target", parts=Parts(mask=leaky_mask)),
        Variation(
            "positions-on-batch",
            BUG,
            "positions on the batch axis",
            "the pattern of the row, not of the token",
            {"positions": "sinusoids"},
            Parts(positions=PositionsOnBatch),
        ),
        Variation("no-residual", BUG, "no residual", "layers replace what comes in", parts=Parts(block=NoResidual)),
    ]
