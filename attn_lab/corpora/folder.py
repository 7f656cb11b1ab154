"""Plain text files: a folder that holds train.txt, valid.txt and test.txt, in UTF-8."""

import io
import os
from pathlib import Path

from attn_lab.corpora.corpus import SPLITS, Corpus, CorpusError, build
from attn_lab.corpora.tokenizers import Tokenizer


def load(path: str | os.PathLike[str], tokenizer: str | Tokenizer | None = None) -> Corpus:
    """The corpus in a folder: train.txt, valid.txt and test.txt, or of each kind one file such as ptb.train.txt.

    Raises:
        FileNotFoundError: a file is missing.
        CorpusError: a file is empty, binary or not in UTF-8, or there are several for one split.
        OSError: a file cannot be read.
        ValueError, TypeError: the tokenizer is none (see attn_lab.corpora.load).
    """
    path = Path(os.path.expanduser(path)).resolve()
    texts = {split: read_lines(_find(path, split)) for split in SPLITS}
    return build(path.name, texts, tokenizer)


def _find(folder: Path, split: str) -> Path:
    plain = folder / f"{split}.txt"
    if plain.exists():
        return plain
    found = sorted(folder.glob(f"*.{split}.txt"))
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise CorpusError(f"expected one file for {split} in {str(folder)!r}, {plain.name}; got {names}. Remove one")
    if not found:
        raise FileNotFoundError(f"expected {plain.name} (or one NAME.{split}.txt) in {str(folder)!r}; there is none")
    return found[0]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without their ends (any of the three kinds).

    Raises:
        OSError: the file cannot be read.
        CorpusError: it is empty, binary (has a NUL byte) or not in UTF-8.
    """
    data = path.read_bytes()
    if b"\0" in data:
        raise CorpusError(
            f"expected UTF-8 text; {str(path)!r} is binary, or UTF-16: byte {data.index(0)} is NUL. Save it as UTF-8"
        )
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"expected UTF-8 text; {str(path)!r} is encoded otherwise: byte {error.start} is "
            f"0x{data[error.start]:02x} ({error.reason}). Save it as UTF-8"
        ) from None
    if not text.strip():
        raise CorpusError(f"expected text; {str(path)!r} is empty")
    return [line.rstrip("\n") for line in io.StringIO(text, newline=None)]
