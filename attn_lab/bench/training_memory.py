"""Peak memory of a few training steps; a process of its own: python -m attn_lab.bench.training_memory RECIPE …"""

import sys

from attn_lab.bench.memory import peak_above
from attn_lab.bench.training import training_step
from attn_lab.training.recipes import recipe


def main(recipe_name: str, model: str, precision: str, device: str) -> None:
    """Print MiB above what the process held before; nothing where the system does not tell."""

    def three_steps() -> None:
        step = training_step(recipe(recipe_name), model, precision, device)
        for _ in range(3):
            step()

    peak = peak_above(three_steps, device)
    print("" if peak is None else peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
