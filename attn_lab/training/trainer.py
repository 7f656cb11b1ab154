"""One run, step by step and epoch by epoch; the loop itself is in loop.py."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor, nn

from attn_lab.checks import CheckResult, preflight
from attn_lab.corpora import Corpus
from attn_lab.parts import Parts
from attn_lab.training.averaging import averaged
from attn_lab.training.batches import Batches, n_windows
from attn_lab.training.checkpoints import Progress, load_state, load_weights, save_state, save_weights
from attn_lab.training.description import describe, replaced
from attn_lab.training.devices import accelerator_for
from attn_lab.training.evaluation import evaluate
from attn_lab.training.failures import check_finite, diverged, interrupted, standing
from attn_lab.training.interrupt import StopRequest
from attn_lab.training.loop import train_epoch
from attn_lab.training.losses import loss_of
from attn_lab.training.meter import LOG_EVERY, Meter
from attn_lab.training.progress import Display, perplexity
from attn_lab.training.proof import judge
from attn_lab.training.report import write_report
from attn_lab.training.run_folder import RunFolder
from attn_lab.training.settings import Settings
from attn_lab.training.texts import batch_sizes, check_lengths, epoch_windows


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
    ) -> None:
        self.settings, self.run, self.corpus, self.parts, self.batches = settings, run, corpus, parts, batches
        self.console, self.stop = console, stop
        self.recipe = settings.recipe
        self.accelerator = accelerator_for(settings.device, settings.precision)
        check_lengths(corpus, self.recipe)

    def prepare(self, resume: bool) -> None:
        """Prove the parts and the batches, build the model, and find where to begin."""
        checks = self._preflight()
        self.train_rows, self.valid_rows, self.test_rows = itertools.starmap(
            self._rows, batch_sizes(self.recipe).items()
        )
        self.steps_per_epoch = n_windows(self.train_rows, self.recipe.window)
        self._build()
        self.progress = Progress()
        if resume and self.run.resume_file.exists():
            self.progress = load_state(self.run.resume_file, self.bare_model, self.optimizer, self.average)
            self.console.print(
                f"resumed at step {self.progress.step:,}, in epoch {self.progress.epoch + 1}", highlight=False
            )
        parts = replaced(self.parts, self.batches)
        self.run.write_config(
            describe(self.settings, self.corpus, self.bare_model, parts, self.steps_per_epoch, checks)
        )
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
        judge(results, self.console, ignore=self.settings.ignore_preflight)
        return results

    def _rows(self, split: str, batch_size: int) -> Tensor:
        ids, batchify = self.corpus.split(split), self.batches.batchify
        return batchify(ids, batch_size).to(self.accelerator.device)

    def _build(self) -> None:
        torch.manual_seed(self.recipe.seed)
        self.bare_model = self.recipe.model(len(self.corpus.vocabulary), self.parts)
        self.average = averaged(self.bare_model, self.recipe)
        # On its device, in its precision.
        self.model = self.accelerator.prepare(self.bare_model)
        self.loss_of = self.accelerator.prepare(loss_of(self.bare_model, self.recipe.loss))
        if self.average is not None:
            self.average.module = self.accelerator.prepare_model(self.average.module, evaluation_mode=True)
        self.optimizer = self.recipe.optimizer_for(self.bare_model)

    def run_to_end(self) -> Outcome:
        """The epochs that are left, then the test with the best weights, then the report."""
        total = self.recipe.epochs * self.steps_per_epoch
        with Display(self.console, total, self.progress.step) as self.display:
            while self.progress.epoch < self.recipe.epochs:
                self._train_epoch()
                self._finish_epoch()
        return self._test()

    def _train_epoch(self) -> None:
        self.meter = Meter()
        for loss in train_epoch(
            self.model, self._batches(), self.optimizer, clip=self.recipe.clip, loss_of=self.loss_of
        ):
            self._after_step(loss)
        self._read_losses()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of the epoch's windows; the loop takes each just before its step, so the rate is set here."""
        windows = epoch_windows(self.train_rows, self.recipe, self.batches, self.progress.epoch)
        for window in itertools.islice(windows, self.progress.step_in_epoch, None):
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.learning_rate(self.progress.step, self.steps_per_epoch)
            yield window

    def _after_step(self, loss: Tensor) -> None:
        progress = self.progress
        if self.average is not None:
            self.average.update_parameters(self.bare_model)
        self.meter.add(loss)
        progress.step += 1
        progress.step_in_epoch += 1
        if progress.step % LOG_EVERY == 0:
            self._read_losses()
        if progress.step % self.settings.save_every == 0 or self.stop.received:
            self._save()
        if self.stop.received:
            raise interrupted(self.run, progress.step)

    def _read_losses(self) -> None:
        """Take stock of the steps since the last time: check, add up, show, log."""
        reading = self.meter.read()
        if reading is None:
            return
        progress, losses = self.progress, reading.losses
        for step, loss in enumerate(losses, start=progress.step - len(losses) + 1):
            check_finite(loss, "the loss", step, self._standing())
            progress.loss_sum += loss
        progress.seconds += reading.seconds
        speed = len(losses) * self.train_rows.shape[0] * self.recipe.window / reading.seconds
        self.display.step(progress.step, progress.epoch, progress.loss_sum / progress.step_in_epoch, speed)
        self.run.log(
            "train",
            step=progress.step,
            epoch=progress.epoch + 1,
            loss=math.fsum(losses) / len(losses),
            lr=self._last_learning_rate(),
            tokens_per_second=round(speed),
        )

    def _finish_epoch(self) -> None:
        progress, epochs = self.progress, self.recipe.epochs
        train_loss = progress.loss_sum / progress.step_in_epoch
        valid_loss = evaluate(self._evaluated(), self.valid_rows, self.recipe.window, self.batches)
        check_finite(valid_loss, "the validation loss", progress.step, self._standing())
        progress.epoch, progress.step_in_epoch, progress.loss_sum = progress.epoch + 1, 0, 0.0
        is_best = valid_loss < progress.best_loss
        if is_best:
            progress.best_loss, progress.best_epoch = valid_loss, progress.epoch
            save_weights(self._evaluated(), self.run.best_file)
        save_weights(self._evaluated(), self.run.last_file)
        self.run.log("valid", step=progress.step, epoch=progress.epoch, loss=valid_loss, train_loss=train_loss)
        self._save()
        self.display.line(
            f"epoch {progress.epoch:>2} of {epochs}: train {perplexity(train_loss):9,.2f}, validation perplexity "
            f"{perplexity(valid_loss):9,.2f}, loss {valid_loss:.3f} nats per token{', the best yet' if is_best else ''}"
        )
        if self.stop.received and progress.epoch < epochs:
            raise interrupted(self.run, progress.step)

    def _test(self) -> Outcome:
        progress = self.progress
        load_weights(self._evaluated(), self.run.best_file)
        test_loss = evaluate(self._evaluated(), self.test_rows, self.recipe.window, self.batches)
        self.run.log("test", step=progress.step, epoch=progress.best_epoch, loss=test_loss)
        write_report(self.run)
        self.console.print(
            f"test: loss {test_loss:.3f}, perplexity {perplexity(test_loss):,.2f} (weights of epoch "
            f"{progress.best_epoch})\nreport: {self.run.report_file}",
            highlight=False,
            soft_wrap=True,
        )
        return Outcome(progress.best_epoch, progress.best_loss, test_loss)

    def _evaluated(self) -> nn.Module:
        """The model whose losses are reported: the average of the weights where there is one."""
        return self.model if self.average is None else self.average.module

    def _save(self) -> None:
        """A checkpoint that is known to be good: every loss before it was read, every weight is a number."""
        if self.progress.step_in_epoch:
            self._read_losses()
        if not all(p.isfinite().all() for p in self.bare_model.parameters()):
            raise diverged("a weight became NaN or infinite", self.progress.step, self._standing())
        save_state(self.run.resume_file, self.bare_model, self.optimizer, self.progress, self.average)
        self.saved_step = self.progress.step

    def _last_learning_rate(self) -> float:
        return self.recipe.learning_rate(max(self.progress.step - 1, 0), self.steps_per_epoch)

    def _standing(self) -> str:
        return standing(self.run, self.progress, self._last_learning_rate(), self.saved_step)
