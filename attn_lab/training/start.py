"""A training run from start to report: the folder, the corpus, and what a resumed run must have in common with it."""

from contextlib import ExitStack
from dataclasses import replace

from rich.console import Console

from attn_lab import corpora
from attn_lab.parts import Parts
from attn_lab.training.batches import Batches
from attn_lab.training.description import replaced
from attn_lab.training.devices import accelerator_for, resolve_device
from attn_lab.training.failures import Diverged
from attn_lab.training.interrupt import Interrupted, stop_requests
from attn_lab.training.processes import Processes, is_first
from attn_lab.training.run_folder import RunFolder
from attn_lab.training.settings import Settings
from attn_lab.training.tracking import check_tracker
from attn_lab.training.trainer import Outcome, Trainer


def train(
    settings: Settings,
    run: RunFolder,
    *,
    parts: Parts | None = None,
    batches: Batches | None = None,
    resume: bool = False,
    console: Console | None = None,
) -> Outcome:
    """Train, validate after each epoch, keep the best weights, test them, and write the report.

    Under a launcher (torchrun, accelerate launch), call it in each process; together they train one model.

    Args:
        settings: corpus, recipe, device and precision.
        run: the folder to write to; new, or with `resume` that of a run that was stopped.
        parts: the parts of the model, the reference's by default.
        batches: how the texts become batches, the reference's way by default.
        resume: go on from the last checkpoint; on a CPU bit for bit as if the run had never stopped.
        console: where progress is shown.

    Raises:
        PreflightFailed: a part is wrong (unless settings.ignore_preflight, which the report then says).
        Diverged: the loss became NaN or infinite.
        Interrupted: Ctrl-C or SIGTERM; the state was saved.
        ValueError: the settings fit neither the corpus, this machine, nor the run to be resumed; or that has other
            parts; or the processes do not divide the batch.
        ImportError: the tracker is not installed.
        OSError: a file could not be read or written, or another process writes this run.
        SystemExit: in all processes but the first, which raises the error.
    """
    console = console if console and is_first() else Console(quiet=True)
    parts, batches = parts or Parts(), batches or Batches()
    own = replaced(parts, batches)
    settings = replace(settings, device=resolve_device(settings.device))
    check_tracker(settings.tracker)
    accelerator = accelerator_for(
        settings.device, settings.precision, own_parts=bool(own), log_with=settings.tracker, project_dir=run.path
    )
    processes = Processes(accelerator)
    processes.first(lambda: _check_folder(run, settings, own, resume))
    with ExitStack() as held:
        processes.first(lambda: held.enter_context(run.locked()))
        stop = held.enter_context(stop_requests(insistent=processes.count == 1))
        corpus = processes.first_then_all(
            lambda: corpora.load(settings.corpus, tokenizer=settings.tokenizer, root=settings.data_dir)
        )
        trainer = Trainer(settings, run, corpus, parts, batches, console, stop, accelerator)
        try:
            trainer.prepare(resume)
            return trainer.run_to_end()
        except (Diverged, Interrupted) as error:  # in all processes at once
            if processes.is_first:
                raise
            raise SystemExit(1) from error
        finally:
            processes.leave(accelerator)


def _check_folder(run: RunFolder, settings: Settings, parts_now: list[str], resume: bool) -> None:
    is_new = run.is_new()
    if not is_new and not resume:
        raise FileExistsError(
            f"the run folder {run.path} holds a run already; go on with --resume, or name another with --run"
        )
    if is_new and resume:
        raise FileNotFoundError(f"expected the folder of a run to resume; {run.path} has no {run.config_file.name}")
    if resume:
        _check_same_run(run, settings, parts_now)


def _check_same_run(run: RunFolder, settings: Settings, parts_now: list[str]) -> None:
    config = run.read_config()
    Settings.from_dict(config).check_same_run(settings, run.path)
    parts_before = config.get("replaced_parts", [])
    if parts_before != parts_now:
        had, has = (", ".join(names) or "none" for names in (parts_before, parts_now))
        raise ValueError(
            f"the run in {run.path} is of other parts: those that were not the reference's are {had}, not {has}. "
            "Resume it with the same, or name another folder with --run"
        )
