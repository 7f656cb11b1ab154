"""Modified Kneser-Ney beside the definition, looked up in lists, an n-gram at a time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from attn_lab import corpora
from attn_lab.training.kneser_ney import KneserNey, discounts
from tests.corpora.conftest import ptb_folder  # noqa: F401  # a fixture


def oracle(train: list[int], n_types: int, order: int, text: list[int]) -> list[float]:
    """-log p of each token, with every count taken anew from the text: slow, and close to the paper's formulas."""
    top = min(order, len(train))

    def count(gram: tuple[int, ...]) -> int:
        n = len(gram)
        places = [i for i in range(len(train) - n + 1) if tuple(train[i : i + n]) == gram]
        return len(places) if n == top else len({train[i - 1] for i in places if i > 0})

    def discount(c: int, n: int) -> float:
        grams = {tuple(train[i : i + n]) for i in range(len(train) - n + 1)}
        tally = [sum(count(gram) == k for gram in grams) for k in range(5)]
        k = min(c, 3)
        if k == 0:
            return 0.0
        if tally[1] and tally[k]:
            y = tally[1] / (tally[1] + 2 * tally[2])
            d = k - (k + 1) * y * tally[k + 1] / tally[k]
            if 0 < d < k:
                return d
        return k / 2

    def p(word: int, context: tuple[int, ...]) -> float:
        below = p(word, context[1:]) if context else 1 / n_types
        n = len(context) + 1
        counts = [count((*context, v)) for v in range(n_types)]
        if not sum(counts):
            return below
        taken = [discount(c, n) for c in counts]
        return max(counts[word] - taken[word], 0) / sum(counts) + sum(taken) / sum(counts) * below

    return [-math.log(p(word, tuple(text[max(0, t - top + 1) : t]))) for t, word in enumerate(text)]


@st.composite
def texts(draw: st.DrawFn) -> tuple[list[int], int, int, list[int]]:
    """A training text, a vocabulary with tokens that it lacks, an order, a text."""
    n_types = draw(st.integers(1, 4))
    words = st.integers(0, n_types - 1)
    train = draw(st.lists(words, min_size=1, max_size=25))
    return train, n_types + draw(st.integers(0, 2)), draw(st.integers(1, 5)), draw(st.lists(words, max_size=8))


@given(texts())
@example(([0, 1, 0], 2, 2, [0, 1, 1]))
@example(([2, 0, 1, 0, 1], 4, 3, [2, 0, 3, 0, 1]))
def test_the_losses_are_those_of_the_definition(case: tuple[list[int], int, int, list[int]]) -> None:
    """Catches raw counts below the highest order, one discount for all, a context of the wrong end, a lost mass."""
    train, n_types, order, text = case
    model = KneserNey(torch.tensor(train), n_types, order)
    found = model.losses(torch.tensor(text, dtype=torch.long))
    assert found.dtype == np.float64
    assert found.tolist() == pytest.approx(oracle(train, n_types, order, text), rel=1e-12)


@given(texts())
def test_the_probabilities_add_up_to_one(case: tuple[list[int], int, int, list[int]]) -> None:
    """Catches mass that is lost or doubled between two orders, whatever the context, known or not."""
    train, n_types, order, context = case
    model = KneserNey(torch.tensor(train), n_types, order)
    last = [model.losses(torch.tensor([*context, word]))[-1] for word in range(n_types)]
    assert np.exp(-np.array(last)).sum() == pytest.approx(1, rel=1e-12)


def test_the_probabilities_of_a_real_text_add_up_to_one() -> None:
    """Catches what a toy does not reach: discounts by the formula, thousands of contexts."""
    corpus = corpora.load("pydoc")
    model = KneserNey(corpus.train, len(corpus.vocabulary))
    context = corpus.valid[100:104]
    words = torch.arange(len(corpus.vocabulary))
    # Each word behind the same context, one text after another; only the contexts within each are looked at.
    rows = torch.cat([context.expand(len(words), 4), words[:, None]], dim=1)
    last = model.losses(rows.flatten()).reshape(len(words), 5)[:, -1]
    assert np.exp(-last).sum() == pytest.approx(1, rel=1e-9)


def test_the_discounts_of_a_worked_example() -> None:
    """Catches a formula that is off by one, and a discount that is more than the count, nothing or less."""
    counts = [1] * 40 + [2] * 20 + [3] * 12 + [4] * 6 + [9] * 5
    y = 40 / 80
    expected = [0, 1 - 2 * y * 20 / 40, 2 - 3 * y * 12 / 20, 3 - 4 * y * 6 / 12]
    assert discounts(np.array(counts)).tolist() == pytest.approx(expected)
    assert discounts(np.array([5, 6])).tolist() == [0, 0.5, 1, 1.5]
    assert discounts(np.array([1] * 4 + [2] + [3] * 9)).tolist() == [0, 1 - 2 * (4 / 6) / 4, 1, 1.5]


@pytest.mark.parametrize(
    ("train", "text", "order", "message"),
    [
        ([], [0], 2, "expected a text to count; got one without tokens"),
        ([0, 1], [0], 0, "order must be at least 1; got 0"),
        ([0, 7], [0], 2, "between 0 and 2, the vocabulary's; got 7"),
        ([0, 1], [0, -1], 2, "between 0 and 2, the vocabulary's; got -1"),
    ],
)
@pytest.mark.usefixtures("no_shape_checker")
def test_what_cannot_be_counted_is_refused(train: list[int], text: list[int], order: int, message: str) -> None:
    """Catches an id outside the vocabulary that is taken for another n-gram's key, and so given a probability."""
    with pytest.raises(ValueError, match=message):
        KneserNey(_ids(train), 3, order).losses(_ids(text))


def _ids(words: list[int]) -> Tensor:
    return torch.tensor(words, dtype=torch.long)


@pytest.mark.parametrize(("tokenizer", "perplexity"), [("words_eos", 141.1), ("basic_english", 132.5)])
def test_the_penn_treebank(ptb_folder: Path, tokenizer: str, perplexity: float) -> None:  # noqa: F811
    """Catches a model that is consistent and worse than the published one (141.2, Mikolov et al. 2011, words_eos)."""
    corpus = corpora.load("ptb", tokenizer=tokenizer, root=ptb_folder)
    losses = KneserNey(corpus.train, len(corpus.vocabulary)).losses(corpus.test)
    assert math.exp(losses.mean()) == pytest.approx(perplexity, abs=0.05)
