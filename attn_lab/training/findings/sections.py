"""The findings as sections of a report."""

from attn_lab.training.findings import attention, by_frequency, by_position, by_word, samples
from attn_lab.training.findings.store import read_findings
from attn_lab.training.run_folder import RunFolder


def sections(run: RunFolder) -> list[str]:
    """In Markdown, their pictures drawn beside the report; or why there are none.

    Raises:
        ValueError: findings.json is damaged.
        OSError: a picture cannot be written.
    """
    found, valid = read_findings(run), run.metrics("valid")
    if not valid:
        return []
    if found is None:
        return [
            "## Findings\n\nNot measured yet: that is done at the end of a run, with the corpus at hand. To do it now: "
            f"`attn-lab report --measure {run.path}`"
        ]
    best = min(valid, key=lambda m: m["loss"])["epoch"]
    told = [
        by_position.section(found["by_position"], run.path / "by_position.png"),
        by_frequency.section(found["by_frequency"], run.path / "by_frequency.png"),
        by_word.section(found["by_word"]),
        attention.section(found["attention"], run.path / "attention.png"),
        samples.section(found["samples"]),
    ]
    if found["epoch"] != best:
        told.insert(0, f"The findings below are of epoch {found['epoch']}, measured before epoch {best} was the best.")
    return told
