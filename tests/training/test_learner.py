"""What learns in a run, in one process of several."""

from unittest.mock import Mock

import torch
from accelerate import Accelerator

from attn_lab import Parts
from attn_lab.training import Settings
from attn_lab.training.learner import Learner
from tests.training.conftest import TINY


def learner(process: int) -> tuple[Learner, torch.Tensor]:
    """Of that process, and the first random numbers that its dropout would draw."""
    accelerator = Mock(spec=Accelerator, device=torch.device("cpu"), process_index=process)
    accelerator.prepare_model.side_effect = lambda model, **_: model
    made = Learner(Settings(TINY), 28, Parts(), accelerator)
    return made, torch.rand(8)


def test_processes_have_the_same_weights_and_dropout_of_their_own() -> None:
    """Catches masks of dropout that two of three processes share, and processes that do not begin alike."""
    made = [learner(process) for process in range(3)]
    first, second, third = (drawn for _, drawn in made)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert not torch.equal(first, third)
    for name, weight in made[0][0].bare_model.state_dict().items():
        for other, _ in made[1:]:
            torch.testing.assert_close(other.bare_model.state_dict()[name], weight, rtol=0, atol=0)
