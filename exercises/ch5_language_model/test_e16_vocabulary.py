"""What e16 vocabulary must do, from the simplest property to the strictest."""

import os
import re
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.checks.compare import agree, require
from attn_lab.corpora import CorpusError, ptb
from attn_lab.corpora.download import cache_folder, verify

# What lines are made of. Pieces stand side by side with no space unless one is drawn.
WORDS = ("the", "The", "US", "a", "well-known", "$", "1990", "É", "<unk>", "Straße")
SIGNS = ("'", ".", ",", "(", ")", "!", "?")
VANISHING = ('"', ";", ":", "<br />")
SPACES = (" ", "  ", "\t", " \n", "\u00a0")
# Each of these comes out otherwise if a rule is left out, taken too far, or applied before another.
TRAPS = ("<BR />", '<b"r />', "<br;/>", "<br/>", "a;b", '"', "-", "&", "...", "U.S.", "<unk>", "\u2019")

words = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
signed = st.lists(st.sampled_from(WORDS + SIGNS + SPACES), max_size=10).map("".join)

# Few different tokens, so that equal counts are common; the specials may occur in the text.
TOKENS = ("b", "a", "the", "c", "B", ".", "é", "<unk>", "<pad>")
texts = st.lists(st.lists(st.sampled_from(TOKENS), max_size=6), max_size=5)
some_specials = st.sampled_from((("<unk>",), ("<pad>", "<unk>"), ("<unk>", "<eos>"), ("<eos>", "<pad>", "<unk>")))
vocabularies = st.permutations(("<unk>", "the", "a", "b", "é")).map(list)

# torchtext's table for basic_english: a pattern, and what comes in its place, in this order, after lower().
TABLE = (
    (r"\'", " '  "), (r"\"", ""), (r"\.", " . "), (r"<br \/>", " "), (r",", " , "), (r"\(", " ( "), (r"\)", " ) "),
    (r"\!", " ! "), (r"\?", " ? "), (r"\;", " "), (r"\:", " "), (r"\s+", " "),
)  # fmt: skip


def torchtexts(line):
    """The tokens by that table."""
    line = line.lower()
    for pattern, replacement in TABLE:
        line = re.sub(pattern, replacement, line)
    return line.split()


def same(actual, expected, what):
    """Fails with what differs first, unless both lists are the same."""
    require(isinstance(actual, list), f"{what} must be a list; got {type(actual).__name__}")
    if len(expected) <= 12 and len(actual) <= 24:
        require(actual == expected, f"{what}: expected {expected}, got {actual}")
    for place, (wanted, got) in enumerate(zip(expected, actual)):
        require(got == wanted, f"{what}, at place {place}: expected {wanted!r}, got {got!r}")
    require(len(actual) == len(expected), f"{what}: expected {len(expected):,} of them, got {len(actual):,}")


def is_id_tensor(ids):
    """Fails unless these are ids as PyTorch's embedding wants them."""
    require(isinstance(ids, torch.Tensor), f"numericalize must return a tensor; got {type(ids).__name__}")
    require(ids.dtype == torch.int64, f"ids must be int64 (torch.long), also of an empty text; got {ids.dtype}")


@given(words)
def test_words_become_lower_case(answer, line):
    """Words between spaces are the tokens, in lower case."""
    same(answer.basic_english(line), line.lower().split(), f"the tokens of {line!r}")


@given(signed)
def test_signs_are_tokens_of_their_own(answer, line):
    """Each of ' . , ( ) ! ? is a token, also in the middle of a word or next to another sign."""
    same(answer.basic_english(line), torchtexts(line), f"the tokens of {line!r}")


@given(st.lists(st.sampled_from(WORDS), min_size=2, max_size=4))
def test_some_signs_vanish(answer, parts):
    """The sign `"` goes without a trace; `<br />`, `;` and `:` become spaces, and no tokens."""
    for sign in VANISHING:
        line = sign.join(parts)
        same(answer.basic_english(line), torchtexts(line), f"the tokens of {line!r}")


@given(st.sampled_from(WORDS), st.sampled_from(WORDS))
def test_the_rules_come_in_their_order(answer, before, after):
    """Lower case first, then the quotation marks, then <br />, then the other signs; what no rule names stays."""
    for trap in TRAPS:
        line = before + trap + after
        same(answer.basic_english(line), torchtexts(line), f"the tokens of {line!r}")


@given(texts, some_specials)
def test_the_specials_come_first(answer, lines, specials):
    """A vocabulary is a list of strings that begins with the specials, as they were given."""
    vocabulary = answer.build_vocabulary(lines, specials)
    require(isinstance(vocabulary, list), f"build_vocabulary must return a list; got {type(vocabulary).__name__}")
    same(vocabulary[: len(specials)], list(specials), "the beginning of the vocabulary")
    same(answer.build_vocabulary(lines)[:1], ["<unk>"], "the beginning of a vocabulary with the usual specials")


@given(texts, some_specials)
def test_each_token_has_one_place(answer, lines, specials):
    """The vocabulary holds every token of the text, and every special, once and nothing else."""
    vocabulary = answer.build_vocabulary(lines, specials)
    wanted = {token for line in lines for token in line} | set(specials)
    same(sorted(vocabulary), sorted(wanted), "the vocabulary, sorted for this comparison")


@given(texts, some_specials)
def test_frequent_words_come_first(answer, lines, specials):
    """After the specials, no token is more frequent than the one before it."""
    vocabulary = answer.build_vocabulary(lines, specials)
    counts = [sum(line.count(token) for line in lines) for token in vocabulary[len(specials) :]]
    require(counts == sorted(counts, reverse=True), f"the counts along the vocabulary {vocabulary} are {counts}")


@given(texts, some_specials)
def test_ties_are_alphabetical(answer, lines, specials):
    """Tokens of equal count stand in alphabetical order, wherever they occur first."""
    expected = list(specials)
    counts = Counter(token for line in lines for token in line if token not in specials)
    for count in sorted(set(counts.values()), reverse=True):
        expected += sorted(token for token in counts if counts[token] == count)
    same(answer.build_vocabulary(lines, specials), expected, "the vocabulary")


@given(vocabularies, st.lists(st.sampled_from(("<unk>", "the", "a", "b", "é")), min_size=1, max_size=6))
def test_an_id_is_a_place_in_the_vocabulary(answer, vocabulary, tokens):
    """The id of a known token is its place in the list; ids are a tensor (n) of int64."""
    ids = answer.numericalize(tokens, vocabulary)
    is_id_tensor(ids)
    agree(ids, torch.tensor([vocabulary.index(token) for token in tokens]), 0.0, "the ids", "n")


def test_an_empty_text_has_no_ids(answer):
    """No tokens: a tensor of int64 with no entries."""
    same(answer.basic_english(" \t"), [], "the tokens of an empty line")
    ids = answer.numericalize([], ["<unk>", "the"])
    is_id_tensor(ids)
    agree(ids, torch.empty(0, dtype=torch.int64), 0.0, "the ids", "n")


@given(vocabularies, st.lists(st.sampled_from(("the", "a", "dog", "The", "", "b")), min_size=1, max_size=6))
def test_unknown_words_become_unk(answer, vocabulary, tokens):
    """A token that the vocabulary does not hold gets the id of <unk>, wherever that stands."""
    ids = answer.numericalize(tokens, vocabulary)
    is_id_tensor(ids)
    expected = [vocabulary.index(token if token in vocabulary else "<unk>") for token in tokens]
    agree(ids, torch.tensor(expected), 0.0, f"the ids of {tokens} in the vocabulary {vocabulary}", "n")


@given(texts, vocabularies)
def test_the_arguments_are_left_as_they_are(answer, lines, vocabulary):
    """Neither the text nor the vocabulary is changed."""
    copy, known = [list(line) for line in lines], list(vocabulary)
    answer.build_vocabulary(lines, ("<pad>", "<unk>"))
    answer.numericalize(["the", "dog", "dog"], vocabulary)
    require(lines == copy, f"build_vocabulary changes its text: it was {copy}, and is {lines}")
    require(vocabulary == known, f"numericalize changes the vocabulary: it was {known}, and is {vocabulary}")


def test_a_real_text(answer):
    """Python's help texts; and where its files are there, the Penn Treebank: 924,412 tokens, 9,922 types."""
    lines = [line for name in sorted(topics) for line in topics[name].splitlines()][:3000]
    tokens = [answer.basic_english(line) for line in lines]
    expected = [torchtexts(line) for line in lines]
    for line, actual, wanted in zip(lines, tokens, expected):
        same(actual, wanted, f"the tokens of {line!r}")
    counts = Counter(token for line in expected for token in line)
    in_order = ["<unk>", *sorted(counts, key=lambda token: (-counts[token], token))]
    same(answer.build_vocabulary(tokens), in_order, "the vocabulary of Python's help")
    lines = penn_treebank()
    if lines:
        tokens = [answer.basic_english(line) for line in lines]
        got = (sum(map(len, tokens)), len(answer.build_vocabulary(tokens)))
        require(got == (924_412, 9_922), f"the Penn Treebank has 924,412 tokens of 9,922 types; got {got}")


def penn_treebank():
    """The lines of its training text, if the file is in ATTN_LAB_DATA or was downloaded before; else none."""
    file = ptb.FILES["train"]
    path = Path(os.environ.get("ATTN_LAB_DATA") or cache_folder("ptb")).expanduser() / file.name
    try:
        verify(path, file)
    except (OSError, CorpusError):
        return []
    return path.read_text(encoding="utf-8").splitlines()
