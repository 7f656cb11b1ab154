"""Tokenizers against torchtext's on any text, and against examples worked by hand where torchtext is absent."""

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attn_lab.corpora import TOKENIZERS, basic_english, words_eos
from attn_lab.corpora.tokenizers import find

# Texts in which the replacements meet: pieces of "<br />", quotation marks inside it, signs, odd spaces, odd cases.
PIECES = ["<br />", "<BR />", "<br", " />", "/>", "<", "b", "r", '"', "'", ".", ",", "(", ")", "!", "?", ";", ":"]
SPACES = [" ", "\n", "\t", "\r", "\x0b", "\x1c", "\x1f", "\x85", "\xa0", "\u2028", "\u3000", "\u200b", "\ufeff"]
LETTERS = ["a", "Z", "İ", "ß", "ẞ", "Σ", "ΑΣ", "K", "ﬁ", "é", "\u0301", "中", "🙂", "\x00", "\\", "\ud800"]
special_text = st.lists(st.sampled_from(PIECES + SPACES + LETTERS), max_size=30).map("".join)
any_text = st.text(st.characters(exclude_categories=()), max_size=50)


@given(line=any_text | special_text)
@settings(max_examples=2000)
def test_basic_english_is_torchtexts(torchtext: ModuleType, line: str) -> None:
    """A sign, a space or a letter that torchtext treats otherwise: the ids would shift silently."""
    assert basic_english(line) == torchtext.data.get_tokenizer("basic_english")(line)


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        ("Hello, World!", ["hello", ",", "world", "!"]),
        ("it's (not) N.Y.?", ["it", "'", "s", "(", "not", ")", "n", ".", "y", ".", "?"]),
        ("a'b.c,d(e)f!g?h", ["a", "'", "b", ".", "c", ",", "d", "(", "e", ")", "f", "!", "g", "?", "h"]),
        ("Straße", ["straße"]),  # small letters, not case folding
        ("a;b:c", ["a", "b", "c"]),  # spaces, not tokens
        ('say "so"ever', ["say", "soever"]),  # gone, not a space
        ("one<br />two<BR />three", ["one", "two", "three"]),
        ("<br/> <br >", ["<br/>", "<br", ">"]),  # only the one spelling
        ('<b"r />x', ["x"]),  # the quotation mark goes first
        ("<br;/>", ["<br", "/>"]),  # the semicolon goes later
        ("<br <br />/>", ["<br", "/>"]),  # one pass
        ("<unk> N $ #", ["<unk>", "n", "$", "#"]),
        ("a\u00a0b\u2028c\x1cd\u200be", ["a", "b", "c", "d\u200be"]),
        ("İ", ["i\u0307"]),
        (" \t ", []),
        ("", []),
    ],
)
def test_basic_english_by_hand(line: str, tokens: list[str]) -> None:
    """A replacement missing or out of order, seen also where torchtext cannot be installed."""
    assert basic_english(line) == tokens


def test_words_eos() -> None:
    """An end of sentence that is missing, also on an empty line, or letters made small: other counts than published."""
    assert words_eos(" No it 's  <unk> N \n") == ["No", "it", "'s", "<unk>", "N", "<eos>"]
    assert words_eos("") == ["<eos>"]


def test_find() -> None:
    """A default or a function's name that is wrong in the report."""
    assert find(None) == ("basic_english", basic_english)
    assert find("words_eos") == ("words_eos", words_eos)
    assert find(str.split) == ("split", str.split)
    assert set(TOKENIZERS) == {"basic_english", "words_eos"}


@pytest.mark.usefixtures("no_shape_checker")
def test_find_refuses() -> None:
    """A misspelt tokenizer that is answered without the nearest name, or with a traceback from within."""
    with pytest.raises(ValueError, match=r"unknown tokenizer 'basic_englsh'; did you mean 'basic_english'\?"):
        find("basic_englsh")
    with pytest.raises(TypeError, match="a tokenizer's name or a function from a line to its tokens; got 3"):
        find(3)  # type: ignore[arg-type]
