"""From a recipe to a model: what a recipe adds is really there, and is what it says."""

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attn_lab import EncoderBlock, Parts, TransformerLanguageModel, attention
from attn_lab.training import Recipe, recipe
from attn_lab.training.models import left_out
from attn_lab.variants.rotary import NoPositions, RotaryAttention

SMALL = replace(
    recipe("modern"), d_model=8, nhead=2, d_hid=12, dropout=0.0, output_dropout=0.0, tie_weights=False, window=6
)
IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])


def same_weights(recipe: Recipe, parts: Parts, by_hand: nn.Module) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    model = recipe.model(11, parts).double().eval()
    by_hand.load_state_dict(model.state_dict())
    return model, by_hand.double().eval()


def test_rotary_positions_and_the_activation_by_hand() -> None:
    """Catches positions that are added as well, an activation that does not arrive, or one in the other's place."""
    by_hand = TransformerLanguageModel(
        11,
        8,
        2,
        12,
        2,
        dropout=0.0,
        norm_first=True,
        attention=RotaryAttention(attention),
        positions=NoPositions,
        block=partial(EncoderBlock, activation=lambda x: torch.clamp(x, min=0) * x),
    )
    model, by_hand = same_weights(SMALL, Parts(attention=attention), by_hand)
    torch.testing.assert_close(model(IDS), by_hand(IDS))


def test_no_positions_at_all() -> None:
    """Catches a recipe without positions that has some: behind the same words in another order it must say the same."""
    none = replace(SMALL, positions="none", nlayers=1)
    torch.manual_seed(0)
    model = none.model(11, Parts()).double().eval()
    torch.testing.assert_close(model(IDS)[:, -1], model(IDS[:, [2, 0, 1, 4, 3, 5]])[:, -1])
    rotary = replace(none, positions="rotary").model(11, Parts()).double().eval()
    assert not torch.allclose(rotary(IDS)[:, -1], rotary(IDS[:, [2, 0, 1, 4, 3, 5]])[:, -1])


def test_dropout_before_the_output_layer() -> None:
    """Catches a dropout that is somewhere else, that evaluation still has, or that the chunked loss goes around."""
    torch.manual_seed(0)
    model = replace(SMALL, output_dropout=0.5).model(11, Parts())
    assert isinstance(model, TransformerLanguageModel)
    hidden = model.train().hidden(IDS)
    plain = model.eval().hidden(IDS)
    kept = hidden != 0
    assert 0.2 < kept.float().mean() < 0.8
    torch.testing.assert_close(hidden[kept], 2 * plain[kept])


def test_a_model_of_ones_own_without_a_norm_is_told() -> None:
    """Catches an AttributeError about a module that its author has never heard of."""

    class Bare(nn.Module):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__()

    with pytest.raises(ValueError, match=r"output_dropout = 0.5 goes behind the model's last norm; .* Bare has none"):
        replace(SMALL, output_dropout=0.5).model(11, Parts(language_model=Bare))


def test_parts_of_ones_own_stay() -> None:
    """Catches a recipe that puts the reference's attention in the place of the learner's."""

    def mine(*args: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        calls.append(len(args))
        return F.scaled_dot_product_attention(*args[:3], is_causal=True)

    calls: list[int] = []
    SMALL.model(11, Parts(attention=mine))(IDS)
    assert len(calls) == SMALL.nlayers


def test_positions_of_ones_own_that_a_recipe_has_no_place_for() -> None:
    """Catches a learner's positions that are proven, named in the report, and silently not trained with."""
    own = Parts(positions=lambda *_: nn.Identity())
    assert left_out(recipe("modern"), own) == ["positions"]
    assert left_out(recipe("notebook"), own) == left_out(recipe("modern"), Parts(attention=attention)) == []
