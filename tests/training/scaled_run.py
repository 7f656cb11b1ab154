"""A small run in a process of its own, for tests: python scaled_run.py FOLDER [resume] [dropout=0.1] [compile] …"""

import sys
from dataclasses import replace

import torch
from rich.console import Console

from attn_lab.checks import CheckResult
from attn_lab.training import Interrupted, RunFolder, Settings, proof, train, trainer
from tests.training.conftest import TINY


def main(folder: str, *options: str) -> None:
    """Two epochs in float64; "slow" waits between the steps, so that a test can stop the run."""
    torch.set_default_dtype(torch.float64)
    proof.preflight = lambda *_, **__: [CheckResult("stood in for by a test", "attention", True, 0.0, "")]
    values = dict(option.split("=") for option in options if "=" in option)
    recipe = replace(
        TINY,
        dropout=float(values.get("dropout", 0)),
        tie_weights="untied" not in options,
        batch_size=int(values.get("batch", 20)),
    )
    settings = Settings(recipe, corpus="toy", device="cpu", save_every=20)
    if "slow" in options:
        import time

        taught = trainer.train_epoch

        def slow(*arguments: object, **keywords: object) -> object:
            for loss in taught(*arguments, **keywords):
                time.sleep(0.1)
                yield loss

        trainer.train_epoch = slow
    try:
        train(settings, RunFolder(folder), resume="resume" in options, console=Console())
    except (Interrupted, ValueError) as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(130 if isinstance(stopped, Interrupted) else 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
