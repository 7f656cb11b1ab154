"""What the report looks into, beside sums taken a token at a time."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import attn_lab
from attn_lab import corpora
from attn_lab.corpora import Corpus, Vocabulary
from attn_lab.training import Settings, evaluate, recipe
from attn_lab.training.baselines import unigram_loss, unigram_losses
from attn_lab.training.batches import Batches, batchify, windows
from attn_lab.training.findings import attention, by_frequency, by_position, by_word, measure_findings, samples
from attn_lab.training.findings.scores import Scores, score
from attn_lab.training.kneser_ney import KneserNey
from attn_lab.training.saved_run import SavedRun
from tests.training.test_sliding import Rolling

WORDS = ["<unk>", *"abcdef"]


def corpus_of(train: list[int], valid: list[int]) -> Corpus:
    ids = [torch.tensor(text) for text in (train, valid, valid)]
    return Corpus("small", "words_eos", *ids, Vocabulary(WORDS, 0), dict.fromkeys(corpora.SPLITS, 1))


def saved_of(model: nn.Module, window: int, rows: int, batches: Batches | None = None) -> SavedRun:
    shape = replace(recipe("quick"), window=window, eval_batch_size=rows)
    return SavedRun(Settings(shape, "toy"), Vocabulary(WORDS, 0), model, torch.device("cpu"), batches or Batches())


@given(st.integers(1, 3), st.integers(8, 60), st.integers(1, 9), st.integers(0, 2**31))
def test_the_scores_are_of_the_tokens_that_evaluation_counts(rows: int, n: int, window: int, seed: int) -> None:
    """Catches baselines asked for the inputs instead of the targets, a context that is off by one, a dropped row."""
    torch.manual_seed(seed)
    train, valid = torch.randint(7, (80,)).tolist(), torch.randint(7, (n,)).tolist()
    corpus, model = corpus_of(train, valid), Rolling()
    kneser_ney = KneserNey(corpus.train, 7)
    found = score(saved_of(model, window, rows), corpus, kneser_ney)

    all_kneser_ney, counts, expected = kneser_ney.losses(corpus.valid), Counter(train), []
    length = n // rows
    for row in range(rows):
        for t in range(1, length):
            place, start = row * length + t, (t - 1) // window * window
            seen = torch.tensor([valid[row * length + start : place]])
            loss = -model(seen)[0, -1].log_softmax(-1)[valid[place]].item()
            unigram = -math.log((counts[valid[place]] + 1) / (len(train) + 7))
            expected.append((valid[place], t - start, loss, all_kneser_ney[place], unigram))
    columns = (found.tokens, found.context, found.model, found.kneser_ney, found.unigram)
    assert np.array(sorted(zip(*columns))) == pytest.approx(np.array(sorted(expected)), rel=1e-5)
    assert found.model.mean() == pytest.approx(evaluate(model, batchify(corpus.valid, rows), window), rel=1e-5)


def test_windows_of_ones_own_are_scored_as_they_are_evaluated() -> None:
    """Catches findings of other tokens than those whose loss the report states."""
    torch.manual_seed(0)
    corpus, model = corpus_of([1, 2, 3] * 9, torch.randint(7, (40,)).tolist()), Rolling()
    skipping = Batches(windows=lambda rows, window: list(windows(rows, window))[1:])
    found = score(saved_of(model, 4, 2, skipping), corpus, KneserNey(corpus.train, 7))
    assert len(found.tokens) == 2 * (19 - 4)
    assert found.kneser_ney.mean() != pytest.approx(KneserNey(corpus.train, 7).losses(corpus.valid).mean())


def test_the_mode_of_the_model_is_put_back() -> None:
    """Catches findings that leave the model in eval mode, or score it with dropout on."""
    model = nn.Sequential(nn.Embedding(7, 7), nn.Dropout(0.9)).train()
    corpus = corpus_of([1, 2, 3] * 9, [1, 2, 3, 4] * 9)
    first, again = (score(saved_of(model, 4, 2), corpus, KneserNey(corpus.train, 7)).model for _ in range(2))
    assert (first == again).all()
    assert model.training


def some_scores(seed: int, n: int, longest: int) -> Scores:
    source = np.random.default_rng(seed)
    losses = source.gamma(2.0, 2.0, size=(3, n))
    context = np.concatenate([[longest], source.integers(1, longest + 1, n - 1)])
    return Scores(source.integers(0, 7, n), context, *losses)


@given(st.integers(0, 2**31), st.integers(1, 200), st.integers(1, 600))
def test_the_groups_of_positions_hold_every_token_once(seed: int, n: int, longest: int) -> None:
    """Catches a context between two groups, a mean of means, a group without a token (0 / 0)."""
    scores = some_scores(seed, n, longest)
    bins = by_position.measure(scores)
    for group in bins:
        here = [i for i in range(n) if group["from"] <= scores.context[i] <= group["to"]]
        assert group["tokens"] == len(here) > 0
        for name in ("model", "kneser_ney", "unigram"):
            assert group[name] == pytest.approx(sum(getattr(scores, name)[i] for i in here) / len(here))
        told = [scores.unigram[i] - scores.model[i] for i in here]
        spread = sum((x - sum(told) / len(told)) ** 2 for x in told) / len(told)
        assert group["error"] == pytest.approx(math.sqrt(spread / len(here)), abs=1e-9)
    assert sum(group["tokens"] for group in bins) == n
    assert [group["from"] for group in bins[:3]] == sorted({group["from"] for group in bins[:3]})
    assert len(by_position.measure(some_scores(seed, 3000, longest))) <= 30


def test_the_correction_takes_out_hard_words_and_keeps_the_mean() -> None:
    """Catches a correction with the wrong sign, which would double the text's ups and downs."""
    hard = np.array([5.0, 9.0, 5.0, 9.0])
    scores = Scores(np.zeros(4, dtype=np.int64), np.array([1, 2, 3, 2]), hard - 2, hard - 1, hard)
    bins = by_position.measure(scores)
    assert by_position.corrected(bins, "model").tolist() == pytest.approx([5.0] * 3)
    assert by_position.corrected(bins, "kneser_ney").tolist() == pytest.approx([6.0] * 3)


def test_the_groups_of_frequency() -> None:
    """Catches a count taken from the text that is scored, and a limit that is off by one."""
    train = [1] * 9 + [2] * 10 + [3] * 99 + [4] * 100 + [5]
    tokens = np.array([0, 6, 1, 5, 2, 3, 4, 4])
    scores = Scores(tokens, np.ones(8, dtype=np.int64), np.arange(8.0), np.arange(8.0) + 1, np.arange(8.0) * 2)
    bins = by_frequency.measure(scores, corpus_of(train, [1]))
    assert [(g["from"], g["to"], g["tokens"]) for g in bins] == [(0, 0, 2), (1, 9, 2), (10, 99, 2), (100, 999, 2)]
    assert [g["model"] for g in bins] == [0.5, 2.5, 4.5, 6.5]
    assert [g["kneser_ney"] for g in bins] == [1.5, 3.5, 5.5, 7.5]
    assert [g["unigram"] for g in bins] == [1.0, 5.0, 9.0, 13.0]


def test_the_bars_add_up_to_the_difference(tmp_path: Path) -> None:
    """Catches a gain that is a mean within its column and does not say what the column brings to the whole."""
    scores = some_scores(3, 500, 9)
    corpus = corpus_of([1] * 9 + [2] * 10 + [3] * 99 + [4] * 100 + [5], [1])
    text = by_frequency.section(by_frequency.measure(scores, corpus), tmp_path / "x.png")
    assert f"{scores.kneser_ney.mean() - scores.model.mean():+.3f} nats per token" in text


@given(st.integers(0, 2**31), st.integers(1, 60))
def test_the_words_are_ranked_by_their_whole_gain(seed: int, n: int) -> None:
    """Catches a ranking by the mean, a sign turned round, a word in the wrong table, a type that does not occur."""
    scores = some_scores(seed, n, 5)
    found = by_word.measure(scores, corpus_of([1, 1, 2], [1]))
    gains: Counter[str] = Counter()
    for token, model, kneser_ney in zip(scores.tokens, scores.model, scores.kneser_ney):
        gains[WORDS[token]] += kneser_ney - model
    improved = sorted((word for word in gains if gains[word] > 0), key=lambda word: -gains[word])
    worsened = sorted((word for word in gains if gains[word] < 0), key=lambda word: gains[word])
    assert [row["word"] for row in found["improved"]] == improved
    assert [row["word"] for row in found["worsened"]] == worsened
    for row in found["improved"] + found["worsened"]:
        here = scores.tokens == WORDS.index(row["word"])
        assert row["tokens"] == here.sum()
        assert row["trained"] == {"a": 2, "b": 1}.get(row["word"], 0)
        assert row["model"] == pytest.approx(scores.model[here].mean())
        assert row["kneser_ney"] == pytest.approx(scores.kneser_ney[here].mean())
        assert row["gain"] == pytest.approx(gains[row["word"]])


@pytest.mark.parametrize(
    ("word", "shown"), [("the", "`the`"), ("`", "`` ` ``"), ("``x", "``` ``x ```"), ("a`b", "``a`b``")]
)
def test_a_word_is_shown_as_it_is(word: str, shown: str) -> None:
    """Catches a word with a backtick (pydoc has some), which would end its own code span."""
    assert by_word.code(word) == shown


def language_model(**parts: object) -> nn.Module:
    torch.manual_seed(1)
    return attn_lab.TransformerLanguageModel(len(WORDS), 8, 2, 16, 2, **parts)


def test_the_samples_begin_with_frequent_words_and_can_be_written_again() -> None:
    """Catches a sample without a seed, one that begins with <unk>, and the same text three times."""
    corpus = corpus_of([0] * 50 + [4] * 30 + [2] * 20 + [1] * 10 + [5], [1] * 40)
    saved = saved_of(language_model(), 4, 2)
    first, again = (samples.measure(saved, corpus) for _ in range(2))  # the global generator has moved on in between
    assert first == again
    assert [text[0] for text in first["texts"]] == ["d", "b", "a"]
    assert [len(text) for text in first["texts"]] == [31] * 3
    assert len({tuple(text[1:]) for text in first["texts"]}) == 3
    assert {word for text in first["texts"] for word in text} <= set(WORDS)
    few = samples.measure(saved_of(language_model(), 4, 2), corpus_of([0, 3], [3] * 40))
    assert [text[0] for text in few["texts"]] == ["c"]


def hidden_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: object) -> Tensor:
    return attn_lab.attention(query, key, value, mask)


class NoHeads(nn.Module):
    """A language model of one's own that has no attention at all."""

    max_len = 100

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 7)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.table(ids)


@pytest.mark.parametrize("make", [language_model, lambda: language_model(attention=hidden_attention), NoHeads])
def test_findings_are_measured_of_any_model(make: Callable[[], nn.Module]) -> None:
    """Catches a model of one's own parts that ends its training with an error instead of a report."""
    torch.manual_seed(0)
    corpus = corpus_of(torch.randint(7, (99,)).tolist(), torch.randint(7, (80,)).tolist())
    found = measure_findings(saved_of(make(), 9, 2), corpus, KneserNey(corpus.train, 7))
    again = json.loads(json.dumps(found))
    assert set(again) == {"by_position", "by_frequency", "by_word", "attention", "samples"}
    assert (again["attention"] is None) == (make is NoHeads)


def test_long_windows_leave_short_maps() -> None:
    """Catches a findings.json of many megabytes: a map of 512 x 512 for each head."""
    corpus = corpus_of([1, 2], torch.randint(7, (2000,)).tolist())
    found = attention.measure(saved_of(language_model(), 512, 2), corpus)
    assert found is not None
    assert found["window"] == attention.LONGEST == len(found["mean_maps"][0][0])


@given(st.integers(0, 2**31), st.integers(1, 50), st.integers(1, 50))
def test_the_unigram_losses(seed: int, n: int, m: int) -> None:
    """Catches counts without the one added, and probabilities that do not add up to 1."""
    torch.manual_seed(seed)
    train, text = torch.randint(5, (n,)), torch.randint(7, (m,))
    counts = Counter(train.tolist())
    expected = [-math.log((counts[i] + 1) / (n + 7)) for i in text.tolist()]
    assert unigram_losses(train, text, 7).tolist() == pytest.approx(expected, rel=1e-12)
    assert unigram_loss(train, text, 7) == pytest.approx(sum(expected) / m, rel=1e-12)
