"""The report of a run, made from its folder alone, so that it can be written again at any time."""

from pathlib import Path
from typing import Any

from attn_lab.files import write_text
from attn_lab.tables import markdown_table
from attn_lab.training.comparison import comparison, per_word
from attn_lab.training.curves import plot_curves
from attn_lab.training.findings.sections import sections
from attn_lab.training.progress import perplexity
from attn_lab.training.run_folder import RunFolder


def write_report(run: RunFolder) -> None:
    """report.md and its pictures, of as much of the run as there is.

    Raises:
        ValueError: a file of the run is damaged.
        OSError: a file cannot be written.
    """
    plot_curves(run)
    run_itself = [_title(run), _result(run), _curve(run), _epochs(run), comparison(run)]
    told = [*run_itself, *sections(run), _preflight(run), _settings(run)]
    write_text(run.report_file, "\n\n".join(filter(None, told)) + "\n")


def _title(run: RunFolder) -> str:
    config = run.read_config()
    protocol = config["protocol"]
    return f"# {protocol['corpus']}, recipe {config['recipe']['name']}"


def _result(run: RunFolder) -> str:
    config, tests, valid = run.read_config(), run.metrics("test"), run.metrics("valid")
    if not valid:
        return "The run has not finished an epoch yet."
    best = min(valid, key=lambda m: m["loss"])
    rows = [
        (
            "validation",
            f"{best['loss']:.4f}",
            f"{perplexity(best['loss']):.2f}",
            per_word(config, "valid", best["loss"]),
        )
    ]
    if tests:
        loss = tests[-1]["loss"]
        rows.append(
            ("**test**", f"**{loss:.4f}**", f"**{perplexity(loss):.2f}**", f"**{per_word(config, 'test', loss)}**")
        )
    table = markdown_table(("split", "nats per token", "perplexity", "nats per raw word"), rows)
    state = f"Weights of epoch {best['epoch']}, the best on the validation text."
    if not tests:
        state += " The run is not finished: the test text has not been read."
    return "\n\n".join(filter(None, [state, table, _warnings(config, best["loss"])]))


def _warnings(config: dict[str, Any], valid_loss: float) -> str:
    warnings = []
    floor = config["protocol"]["entropy_floor"]
    if floor is not None and valid_loss < floor:
        warnings.append(
            f"**Too good to be true**: the loss is below the language's own entropy, {floor:.4f} nats per token. "
            "Some target is visible to the model."
        )
    failed = [c["name"] for c in config["preflight"] if not c["passed"]]
    if failed:
        warnings.append(
            f"**The preflight failed and was overridden**: {'; '.join(failed)}. These figures prove nothing."
        )
    return "\n\n".join(warnings)


def _curve(run: RunFolder) -> str:
    return f"![Loss and perplexity over the run]({run.curves_file.name})" if run.curves_file.exists() else ""


def _epochs(run: RunFolder) -> str:
    rows = [
        (str(m["epoch"]), f"{perplexity(m['train_loss']):.2f}", f"{perplexity(m['loss']):.2f}", f"{m['loss']:.4f}")
        for m in run.metrics("valid")
    ]
    header = (
        "epoch",
        "training perplexity (while learning, with dropout)",
        "validation perplexity",
        "validation nats per token",
    )
    return "## Epochs\n\n" + markdown_table(header, rows) if rows else ""


def _preflight(run: RunFolder) -> str:
    config = run.read_config()
    checks = config["preflight"]
    if not checks:
        return "## Preflight\n\nThere was nothing to prove: the model is made of PyTorch's own layers."
    passed = sum(c["passed"] for c in checks)
    seconds = sum(c["seconds"] for c in checks)
    text = f"{passed} of {len(checks)} checks passed on this device, in {seconds:.1f} s, before the first step."
    own = config["replaced_parts"]
    if own:
        source = f", from {Path(config['parts_file']).name}" if config.get("parts_file") else ""
        text += f" Parts that are not the reference's{source}: {', '.join(own)}."
    if config.get("preflight_masks", "all") == "training":
        text += (
            " Masks were tried as this run has them, (i j) with a key for every query; masks of other shapes, and "
            "queries that may attend to nothing, were not."
        )
    parts = dict.fromkeys(c["subject"] for c in checks)
    by_part = [(part, [c for c in checks if c["subject"] == part]) for part in parts]
    rows = [
        (part, "own" if part in own else "the reference's", f"{sum(c['passed'] for c in mine)} of {len(mine)}")
        for part, mine in by_part
    ]
    failed = [f"- **failed**: {c['subject']}: {c['name']}: {c['message']}" for c in checks if not c["passed"]]
    table = markdown_table(("part", "whose", "properties that hold"), rows)
    return "\n\n".join(filter(None, [f"## Preflight\n\n{text}", table, "\n".join(failed)]))


def _settings(run: RunFolder) -> str:
    config, trained = run.read_config(), run.metrics("train")
    rows = [(name, str(value)) for name, value in config["recipe"].items() if name != "about"]
    rows += [(name, str(config[name])) for name in ("device", "precision")]
    rows += [("parameters", f"{config['parameters']:,}"), ("steps per epoch", f"{config['steps_per_epoch']:,}")]
    if trained:
        speeds = sorted(m["tokens_per_second"] for m in trained)
        rows.append(("tokens per second (median)", f"{speeds[len(speeds) // 2]:,}"))
    rows += list(config["versions"].items())
    return "## Settings and versions\n\n" + markdown_table(("setting", "value"), rows)
