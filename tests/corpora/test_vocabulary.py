"""The vocabulary: its order, what is unknown to it, and its file."""

import json
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.corpora import Vocabulary

token = st.sampled_from(["a", "b", "B", "é", "zz", "<unk>", "<eos>", "N", ""])
lines = st.lists(st.lists(token, max_size=8), max_size=8)


def test_order() -> None:
    """Ties in the order of first appearance, specials counted twice, or rare tokens kept: other ids than torchtext."""
    text = [["b", "c", "a", "c"], ["<unk>", "a", "<unk>", "<unk>", "B", "d"]]
    assert Vocabulary.build(text).tokens == ["<unk>", "a", "c", "B", "b", "d"]
    assert Vocabulary.build(text, min_freq=2).tokens == ["<unk>", "a", "c"]
    assert Vocabulary.build(text, specials=("<pad>", "c")).tokens == ["<pad>", "c", "<unk>", "a", "B", "b", "d"]


@given(lines=lines, min_freq=st.integers(0, 3), specials=st.sampled_from([["<unk>"], ["<pad>", "<unk>", "a"]]))
def test_order_is_torchtexts(torchtext: ModuleType, lines: list[list[str]], min_freq: int, specials: list[str]) -> None:
    """Any order but that of build_vocab_from_iterator."""
    theirs = torchtext.vocab.build_vocab_from_iterator(iter(lines), min_freq=min_freq, specials=specials)
    ours = Vocabulary.build(lines, specials=specials, min_freq=min_freq)
    assert ours.tokens == theirs.get_itos()
    theirs.set_default_index(theirs["<unk>"])
    text = [token for line in lines for token in line] + ["never seen"]
    assert ours(text) == theirs(text)


def test_unknown_tokens() -> None:
    """A default index that is not <unk>'s, or an unknown token that gets an id where there is no default."""
    vocabulary = Vocabulary.build([["a"]], specials=("<pad>", "<unk>"))
    assert vocabulary.default_index == 1
    assert vocabulary["z"] == 1
    assert vocabulary(["a", "z", "<pad>"]) == [2, 1, 0]
    assert "z" not in vocabulary
    assert "a" in vocabulary
    strict = Vocabulary(["a", "b"])
    assert strict["b"] == 1
    with pytest.raises(KeyError, match="z"):
        strict["z"]
    with pytest.raises(KeyError, match="z"):
        strict.encode(["a", "z"])


@given(tokens=st.lists(st.text(max_size=3), unique=True), data=st.data())
def test_round_trip(tokens: list[str], data: st.DataObject) -> None:
    """An id that is not the token's place in the list."""
    vocabulary = Vocabulary(tokens)
    text = data.draw(st.lists(st.sampled_from(tokens))) if tokens else []
    ids = vocabulary.encode(text)
    assert ids.dtype == torch.long
    assert ids.shape == (len(text),)
    assert vocabulary.lookup_tokens(ids) == text
    assert vocabulary.lookup_tokens(ids.tolist()) == text
    assert list(vocabulary) == tokens
    assert len(vocabulary) == len(tokens)


@pytest.mark.parametrize("outside", [-1, 2])
def test_lookup_refuses_ids_outside(outside: int) -> None:
    """A negative id, read from the list's end as if it were a token."""
    with pytest.raises(ValueError, match=rf"between 0 and 1, the vocabulary's; got {outside}"):
        Vocabulary(["a", "b"]).lookup_tokens([0, outside])


def test_constructor_refuses() -> None:
    """A token with two ids, or a default index of no token."""
    with pytest.raises(ValueError, match="each token once in a vocabulary; got 'a' more than once"):
        Vocabulary(["a", "b", "a"])
    for default_index in (-1, 2):
        with pytest.raises(ValueError, match=rf"one of the 2 tokens, from 0; got {default_index}"):
            Vocabulary(["a", "b"], default_index)


def test_equality() -> None:
    """Vocabularies that count as equal although an unknown token fares differently."""
    assert Vocabulary(["a", "b"], 0) == Vocabulary(["a", "b"], 0)
    assert Vocabulary(["a", "b"], 0) != Vocabulary(["a", "b"])
    assert Vocabulary(["a", "b"]) != Vocabulary(["b", "a"])
    assert Vocabulary(["a", "b"]) != ["a", "b"]


@given(tokens=st.lists(st.text(st.characters(exclude_categories=()), max_size=3), min_size=1, unique=True))
def test_json_round_trip(tmp_path_factory: pytest.TempPathFactory, tokens: list[str]) -> None:
    """A token, any Unicode at all, that does not come back, or a default index that is lost."""
    path = tmp_path_factory.getbasetemp() / "vocabulary.json"
    for default_index in (None, len(tokens) - 1):
        Vocabulary(tokens, default_index).to_json(path)
        assert Vocabulary.from_json(path) == Vocabulary(tokens, default_index)


def test_json_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary cut short by a full disk, in the place of the good one; a temporary file left behind."""
    path = tmp_path / "vocabulary.json"
    Vocabulary(["old"]).to_json(path)

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OSError, match="No space left"):
        Vocabulary(["new"]).to_json(path)
    assert Vocabulary.from_json(path).tokens == ["old"]
    assert list(tmp_path.iterdir()) == [path]


GOOD = {"format": "attn-lab vocabulary 1", "default_index": 0, "tokens": ["a", "b"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"\xff\xfe", "can't decode"),
        (b"[" * 100_000, ""),
        (json.dumps(["a", "b"]).encode(), "its format is not"),
        (json.dumps({**GOOD, "format": "another 1"}).encode(), "its format is not"),
        (json.dumps({**GOOD, "tokens": "ab"}).encode(), "not a list of strings"),
        (json.dumps({**GOOD, "tokens": ["a", 1]}).encode(), "not a list of strings"),
        (json.dumps({**GOOD, "tokens": ["a", "a"]}).encode(), "each token once"),
        (json.dumps({**GOOD, "default_index": 2}).encode(), "got 2"),
        (json.dumps({**GOOD, "default_index": True}).encode(), "its default_index is True"),
        (json.dumps({**GOOD, "default_index": "0"}).encode(), "its default_index is '0'"),
    ],
)
def test_from_json_refuses(tmp_path: Path, content: bytes, reason: str) -> None:
    """A file that is none, read as a vocabulary or answered with a traceback that does not name the file."""
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"expected .*vocabulary\.json' to be a vocabulary .*{reason}") as error:
        Vocabulary.from_json(path)
    assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        Vocabulary.from_json(path)
