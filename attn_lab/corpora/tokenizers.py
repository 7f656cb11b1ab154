"""Tokenizers: a line of text in, its tokens out."""

from collections.abc import Callable

from attn_lab.choices import check_choice

Tokenizer = Callable[[str], list[str]]

_SPACED = {sign: f" {sign} " for sign in "'.,()!?"}  # signs that are tokens of their own
_DROPPED = dict.fromkeys(";:", " ")
_SIGNS = str.maketrans(_SPACED | _DROPPED)


def basic_english(line: str) -> list[str]:
    """Lower case, `' . , ( ) ! ?` as tokens of their own, `; :` and `<br />` as spaces, `"` gone; torchtext's, exactly.

    The order matters: a quotation mark goes before `<br />` is looked for (`<b"r />` is one), `;` and `:` after it
    (`<br;/>` is none). Equal to `torchtext.data.get_tokenizer("basic_english")` on any text.
    """
    return line.lower().replace('"', "").replace("<br />", " ").translate(_SIGNS).split()


def words_eos(line: str) -> list[str]:
    """The words between spaces and then "<eos>": the protocol of the published Penn Treebank perplexities."""
    return [*line.split(), "<eos>"]


TOKENIZERS: dict[str, Tokenizer] = {"basic_english": basic_english, "words_eos": words_eos}


def find(tokenizer: str | Tokenizer | None) -> tuple[str, Tokenizer]:
    """The name and the function of a tokenizer; None is basic_english.

    Raises:
        ValueError: the name is unknown.
        TypeError: neither a name nor a function.
    """
    if tokenizer is None:
        tokenizer = "basic_english"
    if isinstance(tokenizer, str):
        return tokenizer, TOKENIZERS[check_choice("tokenizer", tokenizer, TOKENIZERS)]
    if not callable(tokenizer):
        raise TypeError(f"expected a tokenizer's name or a function from a line to its tokens; got {tokenizer!r}")
    return getattr(tokenizer, "__name__", type(tokenizer).__name__), tokenizer
