"""From a text to numbers: its tokens, the vocabulary that they make, and the id of each token.

To write: `basic_english`, `build_vocabulary` and `numericalize`. Given: the signatures, and the rules in the
docstrings. Not allowed: attn_lab's and torchtext's tokenizers and vocabularies.
"""

import torch
from torch import Tensor


def basic_english(line: str) -> list[str]:
    """The tokens of a line, by torchtext's rules of that name, one after the other:

    1. lower case;
    2. the quotation mark `"` goes and leaves no trace, so that `a"b` is one word;
    3. `<br />` becomes a space;
    4. each of `' . , ( ) ! ?` becomes a token of its own, wherever it stands;
    5. `;` and `:` become spaces;
    6. what stands between white space is a token. Everything else stays: `-`, `$`, digits, `<unk>`, é.
    """
    raise NotImplementedError("e16 vocabulary: the six rules, in their order")


def build_vocabulary(lines: list[list[str]], specials: tuple[str, ...] = ("<unk>",)) -> list[str]:
    """All tokens of a text, each once; the place of a token in the list is its id.

    The specials come first, in the order in which they are given. Then the others by falling count; tokens of equal
    count are in alphabetical order (Python's, for strings). A special that occurs in the text stays at its first place.

    Args:
        lines: the text, each line a list of tokens.
        specials: tokens that are in the vocabulary whether or not the text has them.
    """
    raise NotImplementedError("e16 vocabulary: count, leave out the specials, sort")


def numericalize(tokens: list[str], vocabulary: list[str]) -> Tensor:
    """The id of each token: a tensor (n) of int64, its place in the vocabulary.

    A token that is not in the vocabulary gets the id of "<unk>", which every vocabulary here holds, at any place.
    """
    raise NotImplementedError("e16 vocabulary: look up each token, or else <unk>")
