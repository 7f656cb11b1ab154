"""A finished or running run, read back: its model, its vocabulary, its text."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from attn_lab import corpora
from attn_lab.efficient.decoding import Decoder
from attn_lab.language_model import TransformerLanguageModel
from attn_lab.own_parts import own_parts
from attn_lab.training.batches import Batches
from attn_lab.training.checkpoints import load_weights
from attn_lab.training.devices import accelerator_for
from attn_lab.training.evaluation import evaluate
from attn_lab.training.run_folder import RunFolder
from attn_lab.training.settings import Settings


@dataclass(frozen=True)
class SavedRun:
    """The best weights of a run in a model, on a device."""

    settings: Settings
    vocabulary: corpora.Vocabulary
    model: nn.Module
    device: torch.device
    batches: Batches

    def evaluate(self, split: str, data_dir: str | None = None) -> tuple[float, float]:
        """Loss of a split in nats per token, and in nats per word of the raw text."""
        settings = self.settings
        corpus = corpora.load(settings.corpus, tokenizer=settings.tokenizer, root=data_dir or settings.data_dir)
        if corpus.vocabulary.tokens != self.vocabulary.tokens:
            raise ValueError(
                f"expected the corpus that the run was trained on; {settings.corpus} now has another vocabulary "
                f"({len(corpus.vocabulary):,} types, the run's {len(self.vocabulary):,}). Name it with --data-dir"
            )
        ids = corpus.split(split)
        rows = self.batches.batchify(ids, settings.recipe.eval_batch_size).to(self.device)
        loss = evaluate(self.model, rows, settings.recipe.window, self.batches)
        return loss, loss * len(ids) / corpus.raw_words[split]

    def generate(self, prompt: str, n_new: int, *, temperature: float, top_k: int | None, seed: int | None) -> str:
        """The prompt and what the model writes behind it; each token sees as many before it as in training."""
        tokens = corpora.TOKENIZERS[self.settings.tokenizer or "basic_english"](prompt)
        if not tokens:
            raise ValueError(f"the prompt must have at least one token; got {prompt!r}")
        generator = None if seed is None else torch.Generator(self.device).manual_seed(seed)
        model = cast(TransformerLanguageModel, self.model)
        ids = TransformerLanguageModel.generate(  # the reference's: a model of one's own need not have it
            model,
            torch.tensor([self.vocabulary(tokens)], device=self.device),
            n_new,
            temperature=temperature,
            top_k=top_k,
            context=self.settings.recipe.window,
            generator=generator,
            logits_of=_decoder(model),
        )
        return " ".join(self.vocabulary.lookup_tokens(ids[0].tolist()))


def _decoder(model: nn.Module) -> Decoder | None:
    """The model with a key/value cache; None where a part of one's own does not go token by token."""
    try:
        return Decoder(model)
    except ValueError:
        return None


def load_run(path: Path, device: str = "auto", precision: str = "fp32") -> SavedRun:
    """The best weights of a run so far.

    Raises:
        FileNotFoundError: the folder is not a run's.
        ValueError: a file in it is damaged, or the device is not to be had.
    """
    run = RunFolder.existing(path)
    config = run.read_config()
    settings = replace(Settings.from_dict(config), device=device, precision=precision)
    accelerator = accelerator_for(device, precision)
    vocabulary = corpora.Vocabulary.from_json(run.vocabulary_file)
    trained_with = config.get("replaced_parts")
    own = own_parts(settings.parts_file, norm_first=settings.recipe.norm_first, trained_with=trained_with)
    model = settings.recipe.model(len(vocabulary), own.parts)
    load_weights(model, run.best_file)
    return SavedRun(settings, vocabulary, accelerator.prepare(model), accelerator.device, own.batches)
