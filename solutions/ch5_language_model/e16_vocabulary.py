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
    # answer: the six rules, in their order
    line = line.lower()
    line = line.replace('"', "")
    line = line.replace("<br />", " ")

    # A space on either side is enough to make a sign a token of its own: rule 6 cuts there.
    for sign in "'.,()!?":
        line = line.replace(sign, f" {sign} ")
    for sign in ";:":
        line = line.replace(sign, " ")

    # Without an argument, split() cuts at any run of white space and returns no empty words.
    return line.split()
    # end of answer


def build_vocabulary(lines: list[list[str]], specials: tuple[str, ...] = ("<unk>",)) -> list[str]:
    """All tokens of a text, each once; the place of a token in the list is its id.

    The specials come first, in the order in which they are given. Then the others by falling count; tokens of equal
    count are in alphabetical order (Python's, for strings). A special that occurs in the text stays at its first place.

    Args:
        lines: the text, each line a list of tokens.
        specials: tokens that are in the vocabulary whether or not the text has them.
    """
    # answer: count, leave out the specials, sort
    counts: dict[str, int] = {}
    for line in lines:
        for token in line:
            counts[token] = counts.get(token, 0) + 1

    # The Penn Treebank writes "<unk>" itself, 45,020 times: it is counted as any word, and must not get a second id.
    words = [token for token in counts if token not in specials]

    # Sorting by pairs: first the larger count, hence the minus; where the counts are equal, the word decides.
    words.sort(key=lambda token: (-counts[token], token))
    return [*specials, *words]
    # end of answer


def numericalize(tokens: list[str], vocabulary: list[str]) -> Tensor:
    """The id of each token: a tensor (n) of int64, its place in the vocabulary.

    A token that is not in the vocabulary gets the id of "<unk>", which every vocabulary here holds, at any place.
    """
    # answer: look up each token, or else <unk>
    # A dictionary finds a token at once; vocabulary.index(token) would read the list from its start each time.
    id_of = {token: place for place, token in enumerate(vocabulary)}
    unknown = id_of["<unk>"]

    # The dtype is said, since a tensor of no tokens at all would be one of floats otherwise.
    return torch.tensor([id_of.get(token, unknown) for token in tokens], dtype=torch.int64)
    # end of answer
