"""What came of the variations, read from their folders: losses, the preflight, the curves."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attn_lab.ablations.variations import Variation
from attn_lab.files import write_text
from attn_lab.training import RunFolder
from attn_lab.training.baselines import read_baselines


@dataclass(frozen=True)
class Result:
    """One variation's run. Losses in nats per token; None where the run came to no end.

    Args:
        name, group, label, about: the variation's.
        parameters: of its model.
        failed: how many of the preflight's checks did not pass.
        checks: how many there were.
        curve: (step, training loss since the point before), while learning, with dropout.
        valid: (step, validation loss) after each epoch.
        train: the last epoch's training loss.
        test: the test loss, with the best epoch's weights.
        diverged: whether the loss became no number.
    """

    name: str
    group: str
    label: str
    about: str
    parameters: int
    failed: int
    checks: int
    curve: list[tuple[int, float]]
    valid: list[tuple[int, float]]
    train: float | None
    test: float | None
    diverged: bool

    @property
    def best(self) -> float | None:
        """The best validation loss."""
        return min((loss for _, loss in self.valid), default=None)


def results(folder: Path, chosen: Sequence[Variation]) -> list[Result]:
    """Of those that have begun."""
    runs = ((variation, RunFolder(folder / variation.name)) for variation in chosen)
    return [_result(variation, run) for variation, run in runs if run.config_file.is_file()]


def _result(variation: Variation, run: RunFolder) -> Result:
    config, valid, test = run.read_config(), run.metrics("valid"), run.metrics("test")
    return Result(
        variation.name,
        variation.group,
        variation.label,
        variation.about,
        config["parameters"],
        sum(not check["passed"] for check in config["preflight"]),
        len(config["preflight"]),
        [(m["step"], round(m["loss"], 4)) for m in run.metrics("train")],
        [(m["step"], m["loss"]) for m in valid],
        valid[-1]["train_loss"] if valid else None,
        test[-1]["loss"] if test else None,
        bool(run.metrics("diverged")),
    )


def baselines(folder: Path, chosen: Sequence[Variation]) -> dict[str, dict[str, float]]:
    """What models without a network make of the same text: by name and split, nats per token."""
    for variation in chosen:
        run = RunFolder(folder / variation.name)
        if run.config_file.is_file():
            return {"unigram": run.read_config()["protocol"]["unigram_loss"], **read_baselines(run)}
    return {}


def write_results(path: Path, about: dict[str, Any], found: Sequence[Result]) -> None:
    """As JSON, curves and all.

    Raises:
        OSError: the file cannot be written.
    """
    lines = ",\n".join(json.dumps(asdict(result), ensure_ascii=False) for result in found)
    write_text(path, f'{{"about": {json.dumps(about, ensure_ascii=False)},\n"results": [\n{lines}\n]}}\n')
