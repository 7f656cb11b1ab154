"""A finished or running run, read back: its model, its vocabulary, its text."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from attn_lab import corpora
from attn_lab.efficient.decoding import Decoder
from attn_lab.language_model import TransformerLanguageModel
from attn_lab.training.batches import Batches
from attn_lab.training.checkpoints import load_weights
from attn_lab.training.devices import accelerator_for
from attn_lab.training.evaluation import evaluate
from attn_lab.training.run_folder import RunFolder
from attn_lab.training.settings import Settings
from attn_lab.training.units import per_raw_word


@dataclass(frozen=True)
class SavedRun:
    """The best weights of a run in a model, on a device."""

    settings: Settings
    vocabulary: corpora.Vocabulary
    model: nn.Module
    device: torch.device
    batches: Batches

    def corpus(self, data_dir: str | None = None) -> corpora.Corpus:
        """What the run was trained on, loaded again.

        Raises:
            ValueError: it has another vocabulary now.
            OSError: it is not at hand.
        """
        settings = self.settings
        corpus = corpora.load(settings.corpus, tokenizer=settings.tokenizer, root=data_dir or settings.data_dir)
        if corpus.vocabulary.tokens != self.vocabulary.tokens:
            raise ValueError(
                f"expected the corpus that the run was trained on; {settings.corpus} now has another vocabulary "
                f"({len(corpus.vocabulary):,} types, the run's {len(self.vocabulary):,}). Name it with --data-dir"
            )
        return corpus

    def evaluate(
        self, split: str, data_dir: str | None = None, *, window: int | None = None, stride: int | None = None
    ) -> tuple[float, float]:
        """Loss of a split in nats per token, and in nats per word of the raw text.

        Args:
            split: "train", "valid" or "test".
            data_dir: the folder of the corpus, where it is not the run's.
            window: tokens that are read at once; the recipe's by default.
            stride: how far each window is from the one before; a window by default. See `attn_lab.training.sliding`.

        Raises:
            ValueError: the corpus is another now, the model does not read so long a window, or the stride is longer
                than it.
            OSError: the corpus is not at hand.
        """
        corpus, recipe = self.corpus(data_dir), self.settings.recipe
        window = window or recipe.window
        longest = getattr(self.model, "max_len", window)
        if window > longest:
            raise ValueError(f"the window must have at most {longest:,} tokens, the model's max_len; got {window:,}")
        rows = self.batches.batchify(corpus.split(split), recipe.eval_batch_size).to(self.device)
        loss = evaluate(self.model, rows, window, self.batches, stride=stride)
        return loss, per_raw_word(loss, len(corpus.split(split)), corpus.raw_words[split])

    def protocol(self, window: int | None = None, stride: int | None = None) -> str:
        """What `evaluate` does with these arguments, in words."""
        recipe, tokenizer = self.settings.recipe, self.settings.tokenizer or "basic_english"
        window = window or recipe.window
        windows = f"windows of {window} tokens" + (f" (trained on {recipe.window})" if window != recipe.window else "")
        if stride in (None, window):
            how = "end to end, each read without the one before it"
        else:
            sees = f"the {window}" if stride == 1 else f"{window - stride + 1} to {window}"
            how = f"each {stride} further than the last: from the second window on a token sees {sees} before it"
        return f"protocol: tokenizer {tokenizer}, {len(self.vocabulary):,} types; {windows}, {how}"

    def generate(self, prompt: str, n_new: int, *, temperature: float, top_k: int | None, seed: int | None) -> str:
        """The prompt and what the model writes behind it; each token sees as many before it as in training.

        Raises:
            ValueError: the prompt has no tokens, or an argument is out of its range.
        """
        tokens = corpora.TOKENIZERS[self.settings.tokenizer or "basic_english"](prompt)
        if not tokens:
            raise ValueError(f"the prompt must have at least one token; got {prompt!r}")
        return " ".join(self.write_on(tokens, n_new, temperature=temperature, top_k=top_k, seed=seed))

    def write_on(
        self, tokens: list[str], n_new: int, *, temperature: float, top_k: int | None = None, seed: int | None = None
    ) -> list[str]:
        """As `generate`, of a prompt that is tokens already."""
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
        return self.vocabulary.lookup_tokens(ids[0].tolist())


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
    from attn_lab.own_parts import own_parts  # it stands above the training, which uses what is here

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
