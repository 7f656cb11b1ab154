"""The vocabulary: which token has which id."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import torch
from jaxtyping import Int, Int64
from torch import Tensor

from attn_lab.files import write_text

_FORMAT = "attn-lab vocabulary 1"


class Vocabulary:
    """Tokens and their ids, the ids being the places in a list.

    Args:
        tokens: all tokens, each once.
        default_index: the id of a token that is not among them; None: such a token is an error.

    Raises:
        ValueError: a token occurs twice, or default_index is outside the list.
    """

    def __init__(self, tokens: Iterable[str], default_index: int | None = None) -> None:
        self.tokens = list(tokens)
        self.default_index = default_index
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            twice = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise ValueError(f"expected each token once in a vocabulary; got {twice!r} more than once")
        if default_index is not None and not 0 <= default_index < len(self.tokens):
            raise ValueError(
                f"the default index must be that of one of the {len(self.tokens)} tokens, from 0; got {default_index}"
            )

    @classmethod
    def build(
        cls, lines: Iterable[Sequence[str]], specials: Sequence[str] = ("<unk>",), min_freq: int = 1
    ) -> "Vocabulary":
        """The vocabulary of tokenised lines: the specials, then by falling count, ties alphabetical.

        torchtext's order (`build_vocab_from_iterator`, special_first=True). Tokens seen fewer than `min_freq` times are
        left out. Where "<unk>" is among the specials it stands for every unknown token.
        """
        counts = Counter(chain.from_iterable(lines))
        kept = [token for token, count in counts.items() if count >= min_freq and token not in specials]
        kept.sort(key=lambda token: (-counts[token], token))
        default_index = specials.index("<unk>") if "<unk>" in specials else None
        return cls([*specials, *kept], default_index)

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.tokens == other.tokens and self.default_index == other.default_index

    __hash__ = None  # type: ignore[assignment]  # a vocabulary is compared by its content, which is large

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, default_index={self.default_index})"

    def __getitem__(self, token: str) -> int:
        """The id of a token.

        Raises:
            KeyError: the token is unknown and there is no default index.
        """
        return self([token])[0]

    def __call__(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens.

        Raises:
            KeyError: a token is unknown and there is no default index.
        """
        if self.default_index is None:
            return [self._ids[token] for token in tokens]
        ids, default = self._ids, self.default_index
        return [ids.get(token, default) for token in tokens]

    def encode(self, tokens: Iterable[str]) -> Int64[Tensor, " n"]:
        """The ids of tokens, as a tensor.

        Raises:
            KeyError: a token is unknown and there is no default index.
        """
        return torch.tensor(self(tokens), dtype=torch.long)

    def lookup_tokens(self, ids: Int[Tensor, " n"] | Iterable[int]) -> list[str]:
        """The tokens of ids.

        Raises:
            ValueError: an id is outside the vocabulary.
        """
        places: list[int] = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        outside = [i for i in places if not 0 <= i < len(self)]
        if outside:
            raise ValueError(f"token ids must lie between 0 and {len(self) - 1}, the vocabulary's; got {outside[0]}")
        return [self.tokens[i] for i in places]

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """The vocabulary as a file, for `from_json`. `path` is the old file or the new one, never a part of it.

        Raises:
            OSError: the folder is missing or cannot be written to.
        """
        content = {"format": _FORMAT, "default_index": self.default_index, "tokens": self.tokens}
        write_text(Path(path), json.dumps(content))

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> "Vocabulary":
        """The vocabulary that `to_json` wrote.

        Raises:
            OSError: the file is missing or cannot be read.
            ValueError: the file is not a vocabulary.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(*_checked(content))
        except (ValueError, RecursionError) as error:  # RecursionError: thousands of brackets
            raise ValueError(
                f"expected {str(path)!r} to be a vocabulary written by Vocabulary.to_json; {error}"
            ) from None


def _checked(content: object) -> tuple[list[str], int | None]:
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"its format is not {_FORMAT!r}")
    tokens, default_index = content.get("tokens"), content.get("default_index")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError("its tokens are not a list of strings")
    if default_index is not None and type(default_index) is not int:  # True is an int, and no index
        raise ValueError(f"its default_index is {default_index!r}, not a number or null")
    return tokens, default_index
