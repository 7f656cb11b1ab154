"""Corpora: text in, token ids out.

`load("ptb")` is the Penn Treebank, `load("pydoc")` is English that ships with Python, `load("toy")` is a synthetic
language whose entropy is known, and `load("some/folder")` is your own text.
"""

import os
from pathlib import Path

from attn_lab.choices import check_choice
from attn_lab.corpora import folder, ptb, pydoc, toy
from attn_lab.corpora.corpus import SPLITS, Corpus, CorpusError
from attn_lab.corpora.tokenizers import TOKENIZERS, Tokenizer, basic_english, words_eos
from attn_lab.corpora.vocabulary import Vocabulary

__all__ = [
    "NAMES",
    "SPLITS",
    "TOKENIZERS",
    "Corpus",
    "CorpusError",
    "Vocabulary",
    "basic_english",
    "load",
    "words_eos",
]

NAMES = ("ptb", "pydoc", "toy")


def load(
    name: str | os.PathLike[str],
    *,
    tokenizer: str | Tokenizer | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Corpus:
    """The corpus of that name, as token ids.

    Args:
        name: "ptb", "pydoc", "toy", or the path of a folder that holds train.txt, valid.txt and test.txt. A folder
            that has the name of a corpus is reached by a longer path, "./ptb".
        tokenizer: a name from TOKENIZERS, or a function from a line to its tokens; None is "basic_english".
        root: for "ptb" only, the folder that holds its three files. None: the environment variable ATTN_LAB_DATA, else
            a download to the cache.

    Raises:
        ValueError: an unknown corpus or tokenizer, a root for a corpus that needs none, or (CorpusError) a file that is
            empty, binary, wrongly encoded or not the one expected.
        TypeError: the tokenizer is no function from a line to a list of strings.
        OSError: a file or folder that is missing or cannot be read, no network (ConnectionError), no room in the cache,
            or another process that downloads for too long (TimeoutError).

    Cost: the Penn Treebank takes one to two seconds on one core, the others a fraction of one.
    """
    if root is not None and name != "ptb":
        raise ValueError(f"a data folder (root, --data-dir) is for the corpus 'ptb'; got {str(root)!r} with {name!r}")
    if name == "ptb":
        return ptb.load(tokenizer, root)
    if name == "pydoc":
        return pydoc.load(tokenizer)
    if name == "toy":
        return toy.load(tokenizer)
    _check_folder(name)
    return folder.load(name, tokenizer)


def _check_folder(name: str | os.PathLike[str]) -> None:
    expected = "a folder that holds train.txt, valid.txt and test.txt"
    path, text = Path(os.path.expanduser(name)), str(name)
    if text and path.is_dir():
        return
    if path.is_file():
        raise NotADirectoryError(f"expected {expected}; the corpus {text!r} is a file. Name the folder that it is in")
    if not isinstance(name, str) or text.startswith((".", "~")) or "/" in text or "\\" in text:
        raise FileNotFoundError(f"expected {expected}, or one of {', '.join(NAMES)}; there is no folder {text!r}")
    check_choice("corpus", text, [*NAMES, expected])
