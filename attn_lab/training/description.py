"""What config.json says of a run: its settings, and what they came to on this machine and this corpus."""

from dataclasses import asdict
from typing import Any

from torch import nn

from attn_lab.checks import CheckResult
from attn_lab.corpora import Corpus
from attn_lab.parts import Parts
from attn_lab.training.baselines import unigram_loss
from attn_lab.training.batches import Batches
from attn_lab.training.settings import Settings
from attn_lab.training.versions import versions

SPLITS = ("train", "valid", "test")


def describe(
    settings: Settings,
    corpus: Corpus,
    model: nn.Module,
    replaced_parts: list[str],
    steps_per_epoch: int,
    checks: list[CheckResult],
) -> dict[str, Any]:
    """The content of config.json."""
    return settings.to_dict() | {
        "protocol": protocol(corpus),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps_per_epoch": steps_per_epoch,
        "replaced_parts": replaced_parts,
        "preflight": [asdict(check) for check in checks],
        "versions": versions(),
    }


def protocol(corpus: Corpus) -> dict[str, Any]:
    """What a perplexity on this corpus is a perplexity of, and what it is measured against."""
    n_types = len(corpus.vocabulary)
    return {
        "corpus": corpus.name,
        "tokenizer": corpus.tokenizer,
        "types": n_types,
        "tokens": {split: len(corpus.split(split)) for split in SPLITS},
        "raw_words": corpus.raw_words,
        "entropy_floor": corpus.entropy_floor,
        "unigram_loss": {split: unigram_loss(corpus.train, corpus.split(split), n_types) for split in SPLITS[1:]},
    }


def replaced(parts: Parts, batches: Batches) -> list[str]:
    """The names of what is not the reference's."""
    return parts.replaced() + (["batches"] if batches != Batches() else [])
