"""The Penn Treebank by way of torchtext: its PennTreebank, get_tokenizer and build_vocab_from_iterator.

The same corpus as `attn_lab.corpora.load("ptb")`, id for id; here to show that it is. torchtext 0.18.0 is the last one
and loads with torch 2.3 only, so it lives in an environment of its own: pip install "attn-lab[torchtext]".
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch

from attn_lab.corpora import ptb
from attn_lab.corpora.corpus import SPLITS, Corpus, count_words
from attn_lab.corpora.tokenizers import Tokenizer, basic_english, find
from attn_lab.corpora.vocabulary import Vocabulary


def load(tokenizer: str | Tokenizer | None = None, root: str | os.PathLike[str] | None = None) -> Corpus:
    """The Penn Treebank, read, tokenised and numbered by torchtext.

    Args:
        tokenizer, root: as in attn_lab.corpora.load.

    Raises:
        ImportError: torchtext is missing, or does not fit the torch that is installed.
        ValueError, TypeError, OSError: as in attn_lab.corpora.load.
    """
    torchtext = _import_torchtext()
    name, function = find(tokenizer)
    # torchtext's own basic_english; it takes any other tokenizer as the function that it is.
    tokenize = torchtext.data.get_tokenizer("basic_english" if function is basic_english else function)
    with _seeded(ptb.files(root)) as folder:
        texts = {split: list(torchtext.datasets.PennTreebank(root=str(folder), split=split)) for split in SPLITS}
    vocab = torchtext.vocab.build_vocab_from_iterator(map(tokenize, texts["train"]), specials=["<unk>"])
    vocab.set_default_index(vocab["<unk>"])
    ids = {
        split: torch.tensor([i for line in texts[split] for i in vocab(tokenize(line))], dtype=torch.long)
        for split in SPLITS
    }
    return Corpus(
        name="ptb",
        tokenizer=name,
        train=ids["train"],
        valid=ids["valid"],
        test=ids["test"],
        vocabulary=Vocabulary(vocab.get_itos(), vocab.get_default_index()),
        raw_words=count_words(texts),
    )


def _import_torchtext() -> ModuleType:
    try:
        import torchtext

        torchtext.disable_torchtext_deprecation_warning()
        import torchtext.data
        import torchtext.datasets
        import torchtext.vocab
        from torchdata.datapipes.iter import HttpReader  # noqa: F401  # gone from torchdata 0.10
    except (ImportError, OSError, RuntimeError, AttributeError) as error:  # OSError: a library of another torch's
        reason = " ".join(str(error).split())
        raise ImportError(
            "expected torch 2.3.1, torchtext 0.18.0, torchdata 0.7.1 and numpy < 2, on Python 3.11 or 3.12; got torch "
            f"{torch.__version__} and {type(error).__name__} ({reason}). In an environment of its own: "
            'pip install "attn-lab[torchtext]"'
        ) from error
    return torchtext


@contextmanager
def _seeded(files: dict[str, Path]) -> Iterator[Path]:
    """A folder laid out as torchtext's cache and holding the verified files, so that torchtext downloads nothing."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps files that are still open
        place = Path(folder, "datasets", "PennTreebank")
        place.mkdir(parents=True)
        for file in files.values():
            shutil.copyfile(file, place / file.name)
        yield Path(folder)
