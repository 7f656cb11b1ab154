"""English that ships with Python: the language reference behind `help("topics")`. Real text, small, and offline."""

import re

from attn_lab.corpora.corpus import SPLITS, Corpus, CorpusError, build
from attn_lab.corpora.tokenizers import Tokenizer

_VALID, _TEST = 3, 8  # of every ten topics, in alphabetical order


def load(tokenizer: str | Tokenizer | None = None) -> Corpus:
    """The pydoc corpus: of every ten topics eight are for training, one for validation, one for test.

    A line is a paragraph. Some topics repeat others, so a paragraph counts once, and for training if it can: no text
    is scored that was trained on. Words seen once in training are left out of the vocabulary, so that "<unk>" is
    learned and not met for the first time in validation. The text differs with Python's version: about 55,000 words
    in 3.11.

    Raises:
        CorpusError: this Python was built without its help topics.
        ValueError, TypeError: the tokenizer is none (see attn_lab.corpora.load).
    """
    return build("pydoc", _texts(), tokenizer, min_freq=2)


def _texts() -> dict[str, list[str]]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise CorpusError(
            "the corpus 'pydoc' needs the module pydoc_data, which this Python was built without; "
            "expected another corpus, 'toy', 'ptb' or a folder, or a full build of Python"
        ) from None
    texts: dict[str, list[str]] = {split: [] for split in SPLITS}
    seen = set()
    for split in SPLITS:
        for place, topic in enumerate(sorted(topics)):
            if _split_of(place) == split:
                for paragraph in re.split(r"\n\s*\n", topics[topic]):
                    line = " ".join(paragraph.split())
                    if line and line not in seen:
                        seen.add(line)
                        texts[split].append(line)
    return texts


def _split_of(place: int) -> str:
    return {_VALID: "valid", _TEST: "test"}.get(place % 10, "train")
