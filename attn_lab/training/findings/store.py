"""The findings of a run: measured with its corpus, kept in findings.json, told again from there alone."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from attn_lab.corpora import Corpus
from attn_lab.files import write_text
from attn_lab.training.baselines import A_MOMENT, fit_kneser_ney, write_baselines
from attn_lab.training.findings import attention, by_frequency, by_position, by_word, samples
from attn_lab.training.findings.scores import score
from attn_lab.training.kneser_ney import KneserNey
from attn_lab.training.run_folder import RunFolder
from attn_lab.training.saved_run import SavedRun

FORMAT = "attn-lab findings 1"


def write_findings(run: RunFolder, saved: SavedRun, corpus: Corpus, console: Console | None = None) -> None:
    """Measure what the report looks into, and the baselines where they are not there; findings.json, baselines.json.

    Args:
        run: the run's folder, which has finished an epoch at least.
        saved: the run's best weights in their model.
        corpus: what it was trained on.
        console: where it says what it does.

    Raises:
        OSError: a file cannot be written.

    Cost: one evaluation of the validation text, and the n-gram counts of the training text: seconds.
    """
    console = console or Console(quiet=True)
    kneser_ney = fit_kneser_ney(corpus, console)
    write_baselines(run, corpus, kneser_ney=kneser_ney)
    if len(corpus.train) > A_MOMENT:
        console.print("findings: scoring the validation text, token by token", highlight=False)
    valid = run.metrics("valid")
    best = min(valid, key=lambda m: m["loss"])["epoch"] if valid else None
    found = {"format": FORMAT, "epoch": best} | measure_findings(saved, corpus, kneser_ney)
    write_text(_file(run), json.dumps(found, ensure_ascii=False) + "\n")


def measure_findings(saved: SavedRun, corpus: Corpus, kneser_ney: KneserNey) -> dict[str, Any]:
    """By section, numbers and words that JSON can hold."""
    scores = score(saved, corpus, kneser_ney)
    return {
        "by_position": by_position.measure(scores),
        "by_frequency": by_frequency.measure(scores, corpus),
        "by_word": by_word.measure(scores, corpus),
        "attention": attention.measure(saved, corpus),
        "samples": samples.measure(saved, corpus),
    }


def read_findings(run: RunFolder) -> dict[str, Any] | None:
    """What was measured; None where nothing was, or not by this version.

    Raises:
        ValueError: the file is damaged.
    """
    if not _file(run).is_file():
        return None
    try:
        found = json.loads(_file(run).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"expected JSON in {_file(run)}; {error}. Measure it again with: attn-lab report --measure {run.path}"
        ) from error
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def _file(run: RunFolder) -> Path:
    return run.path / "findings.json"
