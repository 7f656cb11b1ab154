"""The toy language: its floor by other ways of counting, and what goes below it."""

import hashlib
import math
from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from attn_lab import TransformerLanguageModel, corpora
from attn_lab.corpora import toy


@pytest.fixture(scope="module")
def corpus() -> corpora.Corpus:
    return corpora.load("toy")


def conditional_entropy(words: list[str], order: int) -> float:
    """Nats per token of a text under its own n-gram frequencies; it knows where a sentence starts."""
    contexts: Counter[tuple[str, ...]] = Counter()
    grams: Counter[tuple[str, ...]] = Counter()
    sentence: list[str] = []
    for word in words:
        context = tuple(sentence[max(0, len(sentence) - order + 1) :])
        contexts[context] += 1
        grams[*context, word] += 1
        sentence = [] if word == "." else [*sentence, word]
    return -sum(count * math.log(count / contexts[gram[:-1]]) for gram, count in grams.items()) / len(words)


def test_floor_in_closed_form(corpus: corpora.Corpus) -> None:
    """A floor that was typed in: it must be that of two phrase orders, 8 animals, 7 others and 2 verbs, in 7 tokens."""
    assert corpus.entropy_floor == pytest.approx((math.log(2) + math.log(8) + math.log(7) + math.log(2)) / 7, abs=1e-12)
    assert len(set(toy.SENTENCES)) == len(toy.SENTENCES) == 224


def test_floor_by_counting(corpus: corpora.Corpus) -> None:
    """A text that is not drawn from the language that the floor is computed for."""
    every = " ".join(toy.SENTENCES).split()  # each sentence once: the true probabilities
    assert conditional_entropy(every, 7) == pytest.approx(corpus.entropy_floor, abs=1e-12)
    drawn = corpus.vocabulary.lookup_tokens(corpus.train)
    # Frequencies in 3,000 sentences are overfitted by about (224 - 1) / (2 * 3000) nats a sentence, 0.005 a token.
    assert conditional_entropy(drawn, 7) == pytest.approx(corpus.entropy_floor - 0.005, abs=0.005)


def test_short_memory_stays_above(corpus: corpora.Corpus) -> None:
    """A language that a bigram model already knows: its loss would show no attention."""
    every = " ".join(toy.SENTENCES).split()
    by_order = [conditional_entropy(every, order) for order in range(1, 8)]
    assert by_order == sorted(by_order, reverse=True)
    assert by_order[1] > corpus.entropy_floor + 0.25  # bigram
    assert by_order[3] > corpus.entropy_floor + 0.15  # the subject is four words back, one too far
    assert by_order[4] == pytest.approx(corpus.entropy_floor, abs=1e-12)


def test_every_sentence_costs_the_same(corpus: corpora.Corpus) -> None:
    """A split that is cut in mid-sentence or of another language: the floor would hold in expectation only."""
    for split, sentences in (("train", 3000), ("valid", 300), ("test", 300)):
        text = " ".join(corpus.vocabulary.lookup_tokens(corpus.split(split)))
        lines = [f"{line} ." for line in text.removesuffix(" .").split(" . ")]
        assert set(lines) <= set(toy.SENTENCES)
        assert len(lines) == sentences
        assert corpus.raw_words[split] == 7 * sentences == len(corpus.split(split))
        assert 0 not in corpus.split(split)  # <unk>


def test_same_text_everywhere(corpus: corpora.Corpus) -> None:
    """A draw that depends on Python's or torch's version: losses that no longer compare."""
    text = " ".join(corpus.vocabulary.lookup_tokens(torch.cat([corpus.train, corpus.valid, corpus.test])))
    assert hashlib.md5(text.encode()).hexdigest() == "bdfd9fb2cd8fa8c54d58ff12fd7901e8"
    assert len({corpora.load("toy").train.sum().item() for _ in range(2)}) == 1


def test_splits_are_different_draws(corpus: corpora.Corpus) -> None:
    """One seed for every split: validation would be the beginning of training."""
    assert not torch.equal(corpus.valid, corpus.test)
    assert not torch.equal(corpus.valid, corpus.train[: len(corpus.valid)])


def test_tokenizer_of_its_own() -> None:
    """Another tokenizer, for which the floor is another, taken without a word."""
    assert corpora.load("toy", tokenizer="basic_english").tokenizer == "basic_english"
    with pytest.raises(ValueError, match="'toy' has a tokenizer of its own, 'basic_english'; got 'words_eos'"):
        corpora.load("toy", tokenizer="words_eos")


def loss(model: TransformerLanguageModel, ids: Tensor) -> Tensor:
    rows = ids.view(-1, 42)  # six sentences a row
    return cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())


@pytest.mark.parametrize("causal", [True, False])
def test_floor_tells_a_leak(corpus: corpora.Corpus, causal: bool) -> None:
    """A floor that an honest model breaks, that it cannot come near to in seconds, or that a leak does not break."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TransformerLanguageModel(len(corpus.vocabulary), 32, 2, 64, 2, dropout=0.0, causal=causal)
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(10):
            for batch in corpus.train.split(20 * 42):
                optimiser.zero_grad()
                loss(model, batch).backward()
                optimiser.step()
        with torch.no_grad():
            reached = loss(model.eval(), corpus.test).item()
    assert corpus.entropy_floor is not None
    if causal:
        assert corpus.entropy_floor - 0.005 < reached < corpus.entropy_floor + 0.1
    else:
        assert reached < corpus.entropy_floor - 0.1
