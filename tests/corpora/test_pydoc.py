"""English that ships with Python."""

import sys
from pydoc_data.topics import topics

import pytest
import torch

from attn_lab import corpora
from attn_lab.corpora import CorpusError, pydoc


@pytest.fixture(scope="module")
def corpus() -> corpora.Corpus:
    return corpora.load("pydoc")


def words(text: str) -> str:
    return " ".join(text.split())


def test_no_text_is_in_two_splits() -> None:
    """A paragraph that was trained on and is scored: topics repeat one another, so splitting by topic is not enough."""
    texts = pydoc._texts()
    seen = [line for split in corpora.SPLITS for line in texts[split]]
    assert len(seen) == len(set(seen))


def test_splits_share_no_topic_and_lose_no_text() -> None:
    """A topic with paragraphs in two splits, or a paragraph that is in none."""
    texts = pydoc._texts()
    for place, topic in enumerate(sorted(topics)):
        split = {3: "valid", 8: "test"}.get(place % 10, "train")
        others = {line for other in corpora.SPLITS if other != split for line in texts[other]}
        paragraphs = [words(part) for part in topics[topic].split("\n\n") if part.strip()]
        first_here = [line for line in paragraphs if line in set(texts[split])]
        if split == "train":
            assert first_here == paragraphs
            assert not set(paragraphs) & others
        else:
            assert set(paragraphs) - set(texts[split]) <= set(texts["train"]) | others


def test_enough_to_train_on(corpus: corpora.Corpus) -> None:
    """A split too small for batches, or words unknown in validation that training has never met as unknown."""
    for split, least in (("train", 20_000), ("valid", 3_000), ("test", 3_000)):
        assert len(corpus.split(split)) > least
        assert corpus.raw_words[split] > least
        unknown = (corpus.split(split) == 0).float().mean().item()
        assert 0.01 < unknown < 0.25
    assert 1_000 < len(corpus.vocabulary) < 5_000
    assert (corpus.name, corpus.tokenizer, corpus.entropy_floor) == ("pydoc", "basic_english", None)


def test_same_every_time(corpus: corpora.Corpus) -> None:
    """A split that follows the order of a set or of a dict."""
    again = corpora.load("pydoc")
    assert all(torch.equal(corpus.split(split), again.split(split)) for split in corpora.SPLITS)
    assert corpus.vocabulary == again.vocabulary
    assert corpora.load("pydoc", tokenizer="words_eos").vocabulary["<eos>"] > 0


def test_a_python_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback, on a Python built without its help topics, from the corpus that is the default."""
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(CorpusError, match=r"needs the module pydoc_data.*'toy', 'ptb' or a folder"):
        corpora.load("pydoc")
