"""A training run from start to report: corpus, preflight, epochs, checkpoints, test. The loop itself is in loop.py."""

import itertools
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from rich.console import Console

from attn_lab import corpora
from attn_lab.checks import CheckResult, preflight
from attn_lab.parts import Parts
from attn_lab.training.baselines import unigram_loss
from attn_lab.training.batches import Batches, n_windows
from attn_lab.training.checkpoints import Progress, load_state, load_weights, save_state, save_weights
from attn_lab.training.devices import accelerator_for, resolve_device
from attn_lab.training.evaluation import evaluate
from attn_lab.training.interrupt import Interrupted, StopRequest, stop_requests
from attn_lab.training.loop import train_epoch
from attn_lab.training.losses import loss_of
from attn_lab.training.progress import Display, perplexity
from attn_lab.training.report import write_report
from attn_lab.training.run_folder import RunFolder
from attn_lab.training.settings import Settings
from attn_lab.training.versions import versions

LOG_EVERY = 20  # steps between two looks at the loss: on a GPU each look waits for the device


class PreflightFailed(ValueError):
    """A part is not what it should be, so the run did not start."""


class Diverged(ValueError):
    """The loss is no number any more."""


@dataclass(frozen=True)
class Outcome:
    """What a finished run ends with; losses in nats per token."""

    best_epoch: int
    valid_loss: float
    test_loss: float


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
        Interrupted: Ctrl-C; the state was saved.
        ValueError: the settings fit neither the corpus, this machine, nor the run to be resumed; or that has other
            parts.
        OSError: a file could not be read or written, or another process writes this run.
    """
    console = console or Console(quiet=True)
    is_new = run.is_new()
    if not is_new and not resume:
        raise FileExistsError(
            f"the run folder {run.path} holds a run already; go on with --resume, or name another with --run"
        )
    if is_new and resume:
        raise FileNotFoundError(f"expected the folder of a run to resume; {run.path} has no {run.config_file.name}")
    parts, batches = parts or Parts(), batches or Batches()
    if resume:
        config = run.read_config()
        Settings.from_dict(config).check_same_run(settings, run.path)
        _check_same_parts(config, replaced(parts, batches), run)
    settings = replace(settings, device=resolve_device(settings.device))
    corpus = corpora.load(settings.corpus, tokenizer=settings.tokenizer, root=settings.data_dir)
    with run.locked(), stop_requests() as stop:
        trainer = Trainer(settings, run, corpus, parts, batches, console, stop)
        trainer.prepare(resume)
        return trainer.run_to_end()


def replaced(parts: Parts, batches: Batches) -> list[str]:
    """The names of what is not the reference's."""
    return parts.replaced() + (["batches"] if batches != Batches() else [])


def _check_same_parts(config: dict[str, Any], now: list[str], run: RunFolder) -> None:
    before = config.get("replaced_parts", [])
    if before != now:
        had, has = (", ".join(names) or "none" for names in (before, now))
        raise ValueError(
            f"the run in {run.path} is of other parts: those that were not the reference's are {had}, not {has}. "
            "Resume it with the same, or name another folder with --run"
        )


class Trainer:
    """One run in this process."""

    def __init__(
        self,
        settings: Settings,
        run: RunFolder,
        corpus: corpora.Corpus,
        parts: Parts,
        batches: Batches,
        console: Console,
        stop: StopRequest,
    ) -> None:
        self.settings, self.run, self.corpus, self.parts, self.batches = settings, run, corpus, parts, batches
        self.console, self.stop = console, stop
        self.recipe = settings.recipe
        self.accelerator = accelerator_for(settings.device, settings.precision)
        self.batch_sizes = {
            "train": self.recipe.batch_size,
            "valid": self.recipe.eval_batch_size,
            "test": self.recipe.eval_batch_size,
        }
        for split, batch_size in self.batch_sizes.items():
            self._check_length(split, batch_size)

    def _check_length(self, split: str, batch_size: int) -> None:
        n, window = len(self.corpus.split(split)), self.recipe.window
        if n < batch_size * (window + 1):
            raise ValueError(
                f"the {split} text of {self.corpus.name} must have at least batch x (window + 1) = {batch_size} x "
                f"{window + 1} = {batch_size * (window + 1):,} tokens; got {n:,}. Take a longer text"
            )

    def _rows(self, split: str, batch_size: int) -> torch.Tensor:
        ids, batchify = self.corpus.split(split), self.batches.batchify
        return batchify(ids, batch_size).to(self.accelerator.device)

    def prepare(self, resume: bool) -> None:
        """Prove the parts and the batches, build the model, and find where to begin."""
        checks = self._preflight()
        rows = {split: self._rows(split, batch_size) for split, batch_size in self.batch_sizes.items()}
        self.train_rows, self.valid_rows, self.test_rows = rows["train"], rows["valid"], rows["test"]
        self.steps_per_epoch = n_windows(self.train_rows, self.recipe.window)
        torch.manual_seed(self.recipe.seed)
        self.bare_model = self.recipe.model(len(self.corpus.vocabulary), self.parts)
        self.model = self.accelerator.prepare(self.bare_model)  # on its device, in its precision
        self.loss_of = self.accelerator.prepare(loss_of(self.bare_model, self.recipe.loss))
        self.optimizer = self.recipe.optimizer_for(self.model.parameters())
        self.progress = Progress()
        if resume and self.run.resume_file.exists():
            self.progress = load_state(self.run.resume_file, self.bare_model, self.optimizer)
            self.console.print(
                f"resumed at step {self.progress.step:,}, in epoch {self.progress.epoch + 1}", highlight=False
            )
        self.run.write_config(self._config(checks))
        self.corpus.vocabulary.to_json(self.run.vocabulary_file)
        self.run.forget_after(self.progress.step)
        self.saved_step = self.progress.step

    def _preflight(self) -> list[CheckResult]:
        self.console.print("preflight: proving the parts equal to PyTorch's on this device", highlight=False)
        results = preflight(
            self.parts,
            device=self.accelerator.device,
            precision=self.settings.precision,
            model_options=self.recipe.switches(),
            masks=self.settings.preflight_masks,
            batches=self.batches,
        )
        failed = [r for r in results if not r.passed]
        summary = f"preflight: {len(results) - len(failed)} of {len(results)} checks passed"
        self.console.print(f"{summary} in {sum(r.seconds for r in results):.1f} s", highlight=False)
        if failed and not self.settings.ignore_preflight:
            lines = [
                f"{summary}; the run was not started (--ignore-preflight overrides this, and the report will say so)"
            ]
            raise PreflightFailed("\n".join(lines + [f"  {r.subject}: {r.name}: {r.message}" for r in failed]))
        return results

    def _config(self, checks: list[CheckResult]) -> dict[str, Any]:
        splits = ("train", "valid", "test")
        loss = {
            s: unigram_loss(self.corpus.train, self.corpus.split(s), len(self.corpus.vocabulary)) for s in splits[1:]
        }
        return self.settings.to_dict() | {
            "protocol": {
                "corpus": self.corpus.name,
                "tokenizer": self.corpus.tokenizer,
                "types": len(self.corpus.vocabulary),
                "tokens": {s: len(self.corpus.split(s)) for s in splits},
                "raw_words": self.corpus.raw_words,
                "entropy_floor": self.corpus.entropy_floor,
                "unigram_loss": loss,
            },
            "parameters": sum(p.numel() for p in self.bare_model.parameters()),
            "steps_per_epoch": self.steps_per_epoch,
            "replaced_parts": replaced(self.parts, self.batches),
            "preflight": [asdict(r) for r in checks],
            "versions": versions(),
        }

    def run_to_end(self) -> Outcome:
        """The epochs that are left, then the test with the best weights, then the report."""
        total = self.recipe.epochs * self.steps_per_epoch
        with Display(self.console, total, self.progress.step) as self.display:
            while self.progress.epoch < self.recipe.epochs:
                self._train_epoch()
                self._finish_epoch()
        load_weights(self.bare_model, self.run.best_file)
        test_loss = evaluate(self.model, self.test_rows, self.recipe.window, self.batches)
        self.run.log("test", step=self.progress.step, epoch=self.progress.best_epoch, loss=test_loss)
        write_report(self.run)
        self.console.print(
            f"test: loss {test_loss:.3f}, perplexity {perplexity(test_loss):,.2f} (weights of epoch "
            f"{self.progress.best_epoch})\nreport: {self.run.report_file}",
            highlight=False,
            soft_wrap=True,
        )
        return Outcome(self.progress.best_epoch, self.progress.best_loss, test_loss)

    def _train_epoch(self) -> None:
        progress = self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(progress.epoch)
        windows = self.batches.windows(self.train_rows, self.recipe.window)
        batches = itertools.islice(windows, progress.step_in_epoch, None)
        self.unread: list[torch.Tensor] = []
        self.clock = time.perf_counter()
        steps = train_epoch(self.model, batches, self.optimizer, clip=self.recipe.clip, loss_of=self.loss_of)
        for loss in steps:
            self.unread.append(loss)
            progress.step += 1
            progress.step_in_epoch += 1
            if progress.step % LOG_EVERY == 0:
                self._read_losses()
            if progress.step % self.settings.save_every == 0 or self.stop.received:
                self._save()
            if self.stop.received:
                raise self._interrupted()
        self._read_losses()

    def _read_losses(self) -> None:
        """Take stock of the steps since the last time: check, add up, show, log."""
        if not self.unread:
            return
        progress, losses = self.progress, torch.stack(self.unread).tolist()
        self.unread = []
        for step, loss in enumerate(losses, start=progress.step - len(losses) + 1):
            if not math.isfinite(loss):
                raise self._diverged(f"the loss became {loss}", step)
            progress.loss_sum += loss
        seconds = time.perf_counter() - self.clock
        self.clock += seconds
        progress.seconds += seconds
        speed = len(losses) * self.train_rows.shape[0] * self.recipe.window / seconds
        self.display.step(progress.step, progress.epoch, progress.loss_sum / progress.step_in_epoch, speed)
        mean = math.fsum(losses) / len(losses)
        lr = self.recipe.learning_rate(progress.epoch)
        self.run.log(
            "train", step=progress.step, epoch=progress.epoch + 1, loss=mean, lr=lr, tokens_per_second=round(speed)
        )

    def _finish_epoch(self) -> None:
        progress, epochs = self.progress, self.recipe.epochs
        train_loss = progress.loss_sum / self.steps_per_epoch
        valid_loss = evaluate(self.model, self.valid_rows, self.recipe.window, self.batches)
        if not math.isfinite(valid_loss):
            raise self._diverged(f"the validation loss became {valid_loss}", progress.step)
        progress.epoch, progress.step_in_epoch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        is_best = valid_loss < progress.best_loss
        if is_best:
            progress.best_loss, progress.best_epoch = valid_loss, progress.epoch
            save_weights(self.bare_model, self.run.best_file)
        save_weights(self.bare_model, self.run.last_file)
        self.run.log("valid", step=progress.step, epoch=progress.epoch, loss=valid_loss, train_loss=train_loss)
        self._save()
        self.display.line(
            f"epoch {progress.epoch:>2} of {epochs}: train {perplexity(train_loss):9,.2f}, validation perplexity "
            f"{perplexity(valid_loss):9,.2f}, loss {valid_loss:.3f} nats per token{', the best yet' if is_best else ''}"
        )
        if self.stop.received and progress.epoch < epochs:
            raise self._interrupted()

    def _save(self) -> None:
        """A checkpoint that is known to be good: every loss before it was read, every weight is a number."""
        if self.progress.step_in_epoch:
            self._read_losses()
        if not all(p.isfinite().all() for p in self.bare_model.parameters()):
            raise self._diverged("a weight became NaN or infinite", self.progress.step)
        save_state(self.run.resume_file, self.bare_model, self.optimizer, self.progress)
        self.saved_step = self.progress.step

    def _interrupted(self) -> Interrupted:
        return Interrupted(
            f"stopped at step {self.progress.step:,} and saved; "
            f"go on with: attn-lab train --resume --run {self.run.path}"
        )

    def _diverged(self, what: str, step: int) -> Diverged:
        good = f"step {self.saved_step:,} in {self.run.resume_file}" if self.saved_step else "none yet"
        return Diverged(
            f"{what} at step {step:,} (epoch {self.progress.epoch + 1}, learning rate "
            f"{self.recipe.learning_rate(self.progress.epoch):g}); the last good checkpoint: {good}. "
            "A lower learning rate or a smaller clip usually helps"
        )
