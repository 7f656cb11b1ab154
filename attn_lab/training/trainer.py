"""One run, step by step and epoch by epoch; the loop itself is in loop.py."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from attn_lab.checks import CheckResult
from attn_lab.corpora import Corpus
from attn_lab.parts import Parts
from attn_lab.training.baselines import write_baselines
from attn_lab.training.batches import Batches
from attn_lab.training.checkpoints import Progress, load_weights, random_state, save_weights
from attn_lab.training.description import describe, replaced
from attn_lab.training.evaluation import evaluate
from attn_lab.training.failures import check_finite, diverged, interrupted, standing
from attn_lab.training.findings import write_findings
from attn_lab.training.interrupt import StopRequest
from attn_lab.training.learner import Learner
from attn_lab.training.loop import train_epoch
from attn_lab.training.meter import LOG_EVERY, Meter
from attn_lab.training.processes import Processes, mean_over_rows
from attn_lab.training.progress import Display, perplexity
from attn_lab.training.proof import prove
from attn_lab.training.report import write_report
from attn_lab.training.run_folder import RunFolder
from attn_lab.training.saved_run import SavedRun
from attn_lab.training.settings import Settings
from attn_lab.training.texts import batch_sizes, check_lengths, epoch_windows, steps_per_epoch
from attn_lab.training.tracking import start_tracker, track


@dataclass(frozen=True)
class Outcome:
    """What a finished run ends with; losses in nats per token."""

    best_epoch: int
    valid_loss: float
    test_loss: float


class Trainer:
    """One run in this process."""

    def __init__(
        self,
        settings: Settings,
        run: RunFolder,
        corpus: Corpus,
        parts: Parts,
        batches: Batches,
        console: Console,
        stop: StopRequest,
        accelerator: Accelerator,
    ) -> None:
        self.settings, self.run, self.corpus, self.parts, self.batches = settings, run, corpus, parts, batches
        self.console, self.stop = console, stop
        self.recipe = settings.recipe
        self.accelerator, self.processes = accelerator, Processes(accelerator)
        self.processes.first(self._check_sizes)

    def prepare(self, resume: bool) -> None:
        """Prove the parts and the batches, build the model, and find where to begin."""
        checks = self.processes.first(
            lambda: prove(self.parts, self.batches, self.settings, self.accelerator.device, self.console)
        )
        self.train_rows, self.valid_rows, self.test_rows = (
            self.processes.share(self._rows(split, rows)) for split, rows in batch_sizes(self.recipe).items()
        )
        self.steps_per_epoch = steps_per_epoch(self.train_rows, self.recipe)
        self.learner = Learner(self.settings, len(self.corpus.vocabulary), self.parts, self.accelerator)
        self.progress = Progress()
        if resume and self.run.resume_file.exists():
            self.progress = self.learner.load(self.run.resume_file, self.processes.index)
            self.console.print(
                f"resumed at step {self.progress.step:,}, in epoch {self.progress.epoch + 1}", highlight=False
            )
        self.saved_step = self.progress.step
        self.processes.first(lambda: self._open_folder(checks))

    def _check_sizes(self) -> None:
        self.processes.check_share(self.recipe.batch_size)
        check_lengths(self.corpus, self.recipe)

    def _open_folder(self, checks: list[CheckResult]) -> None:
        """Say what this run is, and forget what was measured after the checkpoint."""
        parts = replaced(self.parts, self.batches)
        self.run.write_config(
            describe(self.settings, self.corpus, self.learner.bare_model, parts, self.steps_per_epoch, checks)
        )
        self.corpus.vocabulary.to_json(self.run.vocabulary_file)
        write_baselines(self.run, self.corpus, self.console)
        self.run.forget_after(self.progress.step, self.progress.epoch)
        start_tracker(self.accelerator, self.settings.tracker, self.progress.step)

    def _rows(self, split: str, batch_size: int) -> Tensor:
        ids, batchify = self.corpus.split(split), self.batches.batchify
        return batchify(ids, batch_size).to(self.accelerator.device)

    def run_to_end(self) -> Outcome:
        """The epochs that are left, then the test with the best weights, then the report."""
        total = self.recipe.epochs * self.steps_per_epoch
        with Display(self.console, total, self.progress.step) as self.display:
            while self.progress.epoch < self.recipe.epochs:
                self._train_epoch()
                self._finish_epoch()
        return self._test()

    def _train_epoch(self) -> None:
        self.meter, learner = Meter(), self.learner
        for loss in train_epoch(
            learner.model, self._batches(), learner.optimizer, clip=self.recipe.clip, loss_of=learner.loss_of
        ):
            self._after_step(loss)
        self._read_losses()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of the epoch's windows; the loop takes each just before its step, so the rate is set here."""
        windows = epoch_windows(self.train_rows, self.recipe, self.batches, self.progress.epoch)
        for window in itertools.islice(windows, self.progress.step_in_epoch, None):
            self.learner.set_learning_rate(self.recipe.learning_rate(self.progress.step, self.steps_per_epoch))
            yield window

    def _after_step(self, loss: Tensor) -> None:
        progress = self.progress
        self.learner.after_step()
        self.meter.add(loss)
        progress.step += 1
        progress.step_in_epoch += 1
        if progress.step % LOG_EVERY == 0:
            self._read_losses()
        stop = self._asked_to_stop()
        if progress.step % self.settings.save_every == 0 or stop:
            self._save()
        if stop:
            raise interrupted(self.run, progress.step)

    def _asked_to_stop(self) -> bool:
        """Whether to stop behind this step. Several processes agree on it where they wait for each other anyway."""
        if self.processes.count == 1:
            return self.stop.received
        return self.progress.step % LOG_EVERY == 0 and self.processes.any(self.stop.received)

    def _read_losses(self) -> None:
        """Take stock of the steps since the last time: check, add up, show, log."""
        reading = self.meter.read(self.processes)
        if reading is None:
            return
        progress, losses = self.progress, reading.losses
        for step, loss in enumerate(losses, start=progress.step - len(losses) + 1):
            check_finite(loss, "the loss", step, self._standing())
            progress.loss_sum += loss
        progress.seconds += reading.seconds
        speed = len(losses) * self.recipe.batch_size * self.recipe.window / reading.seconds
        self.display.step(progress.step, progress.epoch, progress.loss_sum / progress.step_in_epoch, speed)
        mean, lr = math.fsum(losses) / len(losses), self._last_learning_rate()
        self._log("train", epoch=progress.epoch + 1, loss=mean, lr=lr, tokens_per_second=round(speed))

    def _log(self, kind: str, **values: float | int) -> None:
        self.processes.first(lambda: self.run.log(kind, step=self.progress.step, **values))
        track(self.accelerator, kind, self.progress.step, **values)

    def _finish_epoch(self) -> None:
        progress, epochs = self.progress, self.recipe.epochs
        train_loss = progress.loss_sum / progress.step_in_epoch
        valid_loss = self._evaluate(self.valid_rows)
        check_finite(valid_loss, "the validation loss", progress.step, self._standing())
        progress.epoch, progress.step_in_epoch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        is_best = valid_loss < progress.best_loss
        if is_best:
            progress.best_loss, progress.best_epoch = valid_loss, progress.epoch
            self.processes.first(lambda: save_weights(self.learner.evaluated, self.run.best_file))
        self.processes.first(lambda: save_weights(self.learner.evaluated, self.run.last_file))
        self._log("valid", epoch=progress.epoch, loss=valid_loss, train_loss=train_loss)
        self._save()
        self.display.line(
            f"epoch {progress.epoch:>2} of {epochs}: train {perplexity(train_loss):9,.2f}, validation perplexity "
            f"{perplexity(valid_loss):9,.2f}, loss {valid_loss:.3f} nats per token{', the best yet' if is_best else ''}"
        )
        if self.processes.any(self.stop.received) and progress.epoch < epochs:
            raise interrupted(self.run, progress.step)

    def _test(self) -> Outcome:
        progress = self.progress
        load_weights(self.learner.evaluated, self.run.best_file)
        test_loss = self._evaluate(self.test_rows)
        self._log("test", epoch=progress.best_epoch, loss=test_loss)
        self.processes.first(self._report)
        self.console.print(
            f"test: loss {test_loss:.3f}, perplexity {perplexity(test_loss):,.2f} (weights of epoch "
            f"{progress.best_epoch})\nreport: {self.run.report_file}",
            highlight=False,
            soft_wrap=True,
        )
        return Outcome(progress.best_epoch, progress.best_loss, test_loss)

    def _report(self) -> None:
        """What the best weights do and do not know, and the report."""
        vocabulary, device = self.corpus.vocabulary, self.accelerator.device
        best = SavedRun(self.settings, vocabulary, self.learner.evaluated, device, self.batches)
        if self.settings.findings:
            write_findings(self.run, best, self.corpus, self.console)
        write_report(self.run)

    def _evaluate(self, rows: Tensor) -> float:
        """Nats per token of all processes' rows, of which these are this one's."""
        model = self.learner.evaluated
        return mean_over_rows(lambda own: evaluate(model, own, self.recipe.window, self.batches), rows, self.processes)

    def _save(self) -> None:
        """A checkpoint that is known to be good: every loss before it was read, every weight is a number."""
        if self.progress.step_in_epoch:
            self._read_losses()
        if not self.learner.is_finite():
            raise diverged("a weight became NaN or infinite", self.progress.step, self._standing())
        random = self.processes.each(random_state())
        self.processes.first(lambda: self.learner.save(self.run.resume_file, self.progress, random))
        self.saved_step = self.progress.step

    def _last_learning_rate(self) -> float:
        return self.recipe.learning_rate(max(self.progress.step - 1, 0), self.steps_per_epoch)

    def _standing(self) -> str:
        return standing(self.run, self.progress, self._last_learning_rate(), self.saved_step)
