"""The average of the weights: the formula, and that it is what is evaluated and kept."""

from collections.abc import Callable
from dataclasses import replace

import torch
from safetensors.torch import load_file
from torch import nn

from attn_lab import Parts
from attn_lab.training import recipe
from attn_lab.training.averaging import averaged


def test_no_average_by_default() -> None:
    """Catches a recipe that pays for a copy of its model without having asked."""
    assert averaged(nn.Linear(2, 2), recipe("notebook")) is None


def test_the_formula_by_hand() -> None:
    """Catches the factor on the wrong side, a start that remembers the random weights, and a step too many."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    average = averaged(model, replace(recipe("modern"), average=0.6))
    assert average is not None
    expected: dict[str, torch.Tensor] = {}
    for t in range(20):
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(torch.randn_like(weight))
        average.update_parameters(model)
        a = min(0.6, (1 + t) / (10 + t))
        for name, weight in model.named_parameters():
            before = expected.get(name)
            expected[name] = weight.clone() if before is None else a * before + (1 - a) * weight
    for name, weight in average.module.named_parameters():
        torch.testing.assert_close(weight, expected[name])


def test_tied_weights_stay_tied() -> None:
    """Catches an average that counts the shared weight twice, or cuts it in two."""
    small = replace(recipe("modern"), d_model=8, nhead=2, d_hid=8)
    average = averaged(small.model(11, Parts()), small)
    assert average is not None
    assert average.module.decoder.weight is average.module.embedding.weight


def test_a_run_evaluates_and_keeps_the_average(train_tiny: Callable) -> None:  # type: ignore[type-arg]
    """Catches a run that reports the losses of one set of weights and saves another."""
    run, outcome = train_tiny(recipe={"average": 0.9})
    _, plain_outcome = train_tiny("plain", recipe={"average": 0.0})
    assert outcome.test_loss != plain_outcome.test_loss
    state = torch.load(run.resume_file, weights_only=True)
    kept, trained = load_file(run.last_file), state["model"]
    shared = [name for name in kept if name in trained]
    assert any(not torch.equal(kept[name], trained[name]) for name in shared)
    for name in shared:
        torch.testing.assert_close(kept[name], state["average"][f"module.{name}"])
