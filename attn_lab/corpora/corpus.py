"""A corpus: three texts as token ids, and what it takes to read them."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor

from attn_lab.corpora.tokenizers import Tokenizer, find
from attn_lab.corpora.vocabulary import Vocabulary

SPLITS = ("train", "valid", "test")


class CorpusError(ValueError):
    """A corpus file that is there and cannot be used."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Three texts as token ids.

    Attributes:
        name: "ptb", "pydoc", "toy", or the folder's name.
        tokenizer: the tokenizer's name.
        train, valid, test: the ids, one line of text after another.
        vocabulary: made from train alone; what it does not know is "<unk>".
        raw_words: the words between spaces of each split, no end of sentence counted. A summed loss divided by this
            is nats per raw word, which compares models whatever their tokenizer.
        entropy_floor: nats per token that no model without a leak goes below; known for "toy" only.
    """

    name: str
    tokenizer: str
    train: Int64[Tensor, " train"]
    valid: Int64[Tensor, " valid"]
    test: Int64[Tensor, " test"]
    vocabulary: Vocabulary
    raw_words: dict[str, int]
    entropy_floor: float | None = None

    def split(self, name: str) -> Int64[Tensor, " n"]:
        """The ids of "train", "valid" or "test".

        Raises:
            ValueError: another name.
        """
        if name not in SPLITS:
            raise ValueError(f"expected a split's name, {', '.join(map(repr, SPLITS))}; got {name!r}")
        return getattr(self, name)


def build(
    name: str,
    texts: dict[str, list[str]],
    tokenizer: str | Tokenizer | None,
    *,
    min_freq: int = 1,
    entropy_floor: float | None = None,
) -> Corpus:
    """The corpus of three texts, each a list of lines.

    Raises:
        CorpusError: a text has no tokens.
        ValueError: the tokenizer's name is unknown.
        TypeError: the tokenizer is no function from a line to a list of strings.
    """
    tokenizer_name, tokenize = find(tokenizer)
    tokens = {split: [_tokens(tokenize, line) for line in texts[split]] for split in SPLITS}
    for split in SPLITS:
        if not any(tokens[split]):
            raise CorpusError(f"the {split} text of the corpus {name!r} has no tokens; expected at least one")
    vocabulary = Vocabulary.build(tokens["train"], min_freq=min_freq)
    ids = {split: vocabulary.encode(token for line in tokens[split] for token in line) for split in SPLITS}
    return Corpus(
        name=name,
        tokenizer=tokenizer_name,
        train=ids["train"],
        valid=ids["valid"],
        test=ids["test"],
        vocabulary=vocabulary,
        raw_words=count_words(texts),
        entropy_floor=entropy_floor,
    )


def count_words(texts: dict[str, list[str]]) -> dict[str, int]:
    """The words between spaces of each text."""
    return {split: sum(len(line.split()) for line in texts[split]) for split in SPLITS}


def _tokens(tokenize: Tokenizer, line: str) -> Sequence[str]:
    tokens = tokenize(line)
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise TypeError(f"expected a tokenizer that makes a list of strings of a line; got {type(tokens).__name__}")
    return tokens
