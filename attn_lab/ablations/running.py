"""Train all variations of a recipe, one run folder each; what is finished stays, what was stopped goes on."""

import os
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
        ValueError: under a launcher of several processes; or a folder holds a run of another recipe or corpus, or a
            damaged one; nothing is trained then.
        OSError: a folder holds something else, or a file could not be read or written.
        Interrupted: Ctrl-C or SIGTERM; the state was saved.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            "expected one process, got a launcher's several: each of these runs is short. To share them out, give the "
            "same command in several terminals, without torchrun or accelerate launch"
        )
    _check_folders(settings, folder, chosen)
    for k, variation in enumerate(chosen, start=1):
        run = RunFolder(folder / variation.name)
        state = "finished already" if is_finished(run) else variation.about
        console.print(f"[{k} of {len(chosen)}] {variation.label}: {state}", highlight=False, markup=False)
        if not is_finished(run):
            _train(replace(settings, recipe=variation.of(settings.recipe)), run, variation, console)


def _check_folders(settings: Settings, folder: Path, chosen: Sequence[Variation]) -> None:
    """Before hours of work: what stands there already, finished or not, must belong into the same table."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"expected a folder for all runs; {folder} is a file. Name another with --run")
    for variation in chosen:
        run = RunFolder(folder / variation.name)
        if not run.is_new():
            now = replace(settings, recipe=variation.of(settings.recipe))
            Settings.from_dict(run.read_config()).check_same_run(now, run.path)


def is_finished(run: RunFolder) -> bool:
    """Whether a run has come to its end, a test or no number any more."""
    return bool(run.metrics("test") or run.metrics("diverged"))


def _train(settings: Settings, run: RunFolder, variation: Variation, console: Console) -> None:
    settings = replace(settings, ignore_preflight=True, findings=False)
    try:
        train(settings, run, parts=variation.parts, resume=run.config_file.is_file(), console=console)
    except (BlockingIOError, FileExistsError):  # the second: it was begun between our look and our start
        console.print("  another process is at it: passed over", highlight=False)
    except Diverged as error:
        console.print(f"  {error}", highlight=False, markup=False, soft_wrap=True)
        steps = run.metrics("train")
        run.log("diverged", step=steps[-1]["step"] if steps else 0)
    except Interrupted as error:
        stopped = str(error).split(";")[0]
        raise Interrupted(f"{variation.label}: {stopped}; go on with the same attn-lab ablate command") from error
