"""Train all variations of a recipe, one run folder each; what is finished stays, what was stopped goes on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from attn_lab.ablations.variations import Variation
from attn_lab.training import Diverged, Interrupted, RunFolder, Settings, train


def ablate(settings: Settings, folder: Path, chosen: Sequence[Variation], console: Console) -> None:
    """Train each variation of the settings' recipe in a folder of its own under `folder`.

    A run that another process is at is passed over, so several processes with the same folder share the work. A run
    that diverges is one of the results.

    Args:
        settings: corpus, recipe, device and precision of all; the preflight is run, and does not stop a bug.
        folder: of all runs.
        chosen: the variations.
        console: where progress is shown.

    Raises:
        ValueError: a folder holds a run of another recipe or corpus.
        OSError: a file could not be read or written.
        Interrupted: Ctrl-C or SIGTERM; the state was saved.
    """
    for k, variation in enumerate(chosen, start=1):
        run = RunFolder(folder / variation.name)
        state = "finished already" if is_finished(run) else variation.about
        console.print(f"[{k} of {len(chosen)}] {variation.label}: {state}", highlight=False, markup=False)
        if not is_finished(run):
            _train(replace(settings, recipe=variation.of(settings.recipe)), run, variation, console)


def is_finished(run: RunFolder) -> bool:
    """Whether a run has come to its end, a test or no number any more."""
    return bool(run.metrics("test") or run.metrics("diverged"))


def _train(settings: Settings, run: RunFolder, variation: Variation, console: Console) -> None:
    settings = replace(settings, ignore_preflight=True, findings=False)
    try:
        train(settings, run, parts=variation.parts, resume=run.config_file.is_file(), console=console)
    except BlockingIOError:
        console.print("  another process is at it: passed over", highlight=False)
    except Diverged as error:
        console.print(f"  {error}", highlight=False, markup=False, soft_wrap=True)
        steps = run.metrics("train")
        run.log("diverged", step=steps[-1]["step"] if steps else 0)
    except Interrupted as error:
        stopped = str(error).split(";")[0]
        raise Interrupted(f"{variation.label}: {stopped}; go on with the same attn-lab ablate command") from error
