"""A training step by two processes, which share the rows and the cores; under torchrun --nproc-per-node 2."""

import os
import sys

import torch
from torch import Tensor

from attn_lab.bench.side_by_side import take_turns
from attn_lab.bench.training import FUSED_OPTIMIZER, build, random_batch
from attn_lab.training.devices import accelerator_for
from attn_lab.training.fused import use_fused
from attn_lab.training.loop import train_epoch
from attn_lab.training.objective import training_loss
from attn_lab.training.processes import Processes
from attn_lab.training.recipes import recipe as find


def main(recipe_name: str, precision: str, device: str, rounds: str) -> None:
    """Print the milliseconds of a step by two."""
    accelerator = accelerator_for(device, precision)
    processes, recipe = Processes(accelerator), find(recipe_name)
    processes.check_share(recipe.batch_size)
    model = accelerator.prepare_model(build(recipe, FUSED_OPTIMIZER), evaluation_mode=True)
    loss_of = training_loss(model, "chunked", accelerator, False)
    optimizer = recipe.optimizer_for(model)
    use_fused(optimizer, accelerator.device)
    inputs, targets = (processes.share(rows) for rows in random_batch(recipe, str(accelerator.device)))
    torch.set_num_threads(max((os.cpu_count() or 1) // processes.count, 1))

    def together() -> Tensor:
        return next(train_epoch(model, [(inputs, targets)], optimizer, clip=recipe.clip, loss_of=loss_of))

    times = take_turns({"together": together}, int(rounds))
    if processes.is_first:
        print(times["together"].milliseconds)
    processes.leave(accelerator)


if __name__ == "__main__":
    main(*sys.argv[1:])
