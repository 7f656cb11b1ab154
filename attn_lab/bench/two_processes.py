"""A training step by one process and by two, taking turns; under torchrun --nproc-per-node 2.

Two processes share the rows and the cores; the one that works alone has all of both, while the other waits.
"""

import os
import sys

import torch
import torch.distributed
from torch import Tensor

from attn_lab.bench.side_by_side import take_turns
from attn_lab.bench.training import FUSED_OPTIMIZER, build, random_batch, training_step
from attn_lab.training.devices import accelerator_for
from attn_lab.training.fused import use_fused
from attn_lab.training.loop import train_epoch
from attn_lab.training.objective import training_loss
from attn_lab.training.processes import Processes
from attn_lab.training.recipes import recipe as find


def main(recipe_name: str, precision: str, device: str, rounds: str) -> None:
    """Print the milliseconds of a step by two, and its time to that of one."""
    accelerator = accelerator_for(device, precision)
    processes, recipe = Processes(accelerator), find(recipe_name)
    processes.check_share(recipe.batch_size)
    threads = os.cpu_count() or 1
    model = accelerator.prepare_model(build(recipe, FUSED_OPTIMIZER), evaluation_mode=True)
    loss_of = training_loss(model, "chunked", accelerator, False)
    optimizer = recipe.optimizer_for(model)
    use_fused(optimizer, accelerator.device)
    inputs, targets = (processes.share(rows) for rows in random_batch(recipe, str(accelerator.device)))
    step_alone = training_step(recipe, FUSED_OPTIMIZER, precision, str(accelerator.device))

    def alone() -> None:
        torch.distributed.barrier()
        torch.set_num_threads(threads)
        if processes.is_first:
            step_alone()
        torch.distributed.barrier()

    def together() -> Tensor:
        torch.set_num_threads(max(threads // processes.count, 1))
        return next(train_epoch(model, [(inputs, targets)], optimizer, clip=recipe.clip, loss_of=loss_of))

    times = take_turns({"alone": alone, "together": together}, int(rounds))
    if processes.is_first:
        print(times["together"].milliseconds, times["together"].ratio)
    processes.leave(accelerator)


if __name__ == "__main__":
    main(*sys.argv[1:])
