"""The Penn Treebank: the published counts on the real files, and both routes to it."""

import shutil
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
import torch

from attn_lab import corpora
from attn_lab.corpora import CorpusError, ptb

WORDS = {"train": 887_521, "valid": 70_390, "test": 78_669}


@pytest.mark.parametrize(
    ("tokenizer", "lengths", "types"),
    [("basic_english", (924_412, 73_339, 82_114), 9_922), ("words_eos", (929_589, 73_760, 82_430), 10_000)],
)
def test_counts(ptb_folder: Path, tokenizer: str, lengths: tuple[int, int, int], types: int) -> None:
    """A token more or less: perplexities that no longer compare with the notebook's or the published ones."""
    corpus = corpora.load("ptb", tokenizer=tokenizer, root=ptb_folder)
    assert tuple(len(corpus.split(split)) for split in corpora.SPLITS) == lengths
    assert len(corpus.vocabulary) == types
    assert corpus.vocabulary["<unk>"] == 0
    assert corpus.raw_words == WORDS
    assert (corpus.name, corpus.tokenizer, corpus.entropy_floor) == ("ptb", tokenizer, None)
    assert int(corpus.train.max()) == types - 1
    # The order, from the ids alone: after <unk> the counts fall, and tokens of one count are in alphabetical order.
    counts = Counter(corpus.train.tolist())
    ranks = [(-counts[i], corpus.vocabulary.tokens[i]) for i in range(1, types)]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("tokenizer", ["basic_english", "words_eos"])
def test_torchtext_route(torchtext: ModuleType, ptb_folder: Path, tokenizer: str, no_network: None) -> None:
    """An id that differs from torchtext's in any split, or files that are downloaded although they are there."""
    from attn_lab.corpora import torchtext as route

    ours, theirs = (load(tokenizer=tokenizer, root=ptb_folder) for load in (ptb.load, route.load))
    for split in corpora.SPLITS:
        assert torch.equal(ours.split(split), theirs.split(split))
    assert ours.vocabulary == theirs.vocabulary
    assert ours.raw_words == theirs.raw_words
    assert (ours.name, ours.tokenizer) == (theirs.name, theirs.tokenizer)


def test_torchtext_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchtext's own error, of a library that could not be loaded, in place of the versions that work."""
    import sys

    from attn_lab.corpora import torchtext as route

    monkeypatch.setitem(sys.modules, "torchtext", None)
    with pytest.raises(ImportError, match=r"expected torch 2\.3\.1, .*got torch .*attn-lab\[torchtext\]") as error:
        route.load()
    assert "\n" not in str(error.value)


def test_a_differing_file_is_refused(ptb_folder: Path, tmp_path: Path) -> None:
    """A corpus that is nearly the Penn Treebank, reported as if it were."""
    for file in ptb.FILES.values():
        shutil.copyfile(ptb_folder / file.name, tmp_path / file.name)
    with open(tmp_path / "ptb.test.txt", "ab") as file:
        file.write(b"\n")
    expected = ptb.FILES["test"].md5
    with pytest.raises(CorpusError, match=rf"ptb\.test\.txt'.*expected md5 {expected}, got .*folder's path") as error:
        corpora.load("ptb", root=tmp_path)
    assert "\n" not in str(error.value)
    assert len(corpora.load(tmp_path).test) == 82_114  # the way out that the message names


def test_a_folder_without_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None) -> None:
    """A named folder that lacks the files and is answered with a silent download."""
    (tmp_path / "ptb.valid.txt").write_text("some text", encoding="utf-8")
    message = r"expected ptb\.train\.txt, ptb\.test\.txt in the data folder '.*'"
    with pytest.raises(FileNotFoundError, match=message):
        corpora.load("ptb", root=tmp_path)
    monkeypatch.setenv("ATTN_LAB_DATA", str(tmp_path))
    for unnamed in (None, ""):
        with pytest.raises(FileNotFoundError, match=message):
            corpora.load("ptb", root=unnamed)


def test_both_checksums_count(tmp_path: Path) -> None:
    """A checksum that is written down and never compared."""
    import hashlib
    from dataclasses import replace

    from attn_lab.corpora.download import RemoteFile, verify

    path = tmp_path / "x"
    path.write_bytes(b"text")
    good = RemoteFile("x", md5=hashlib.md5(b"text").hexdigest(), sha256=hashlib.sha256(b"text").hexdigest())
    verify(path, good)
    with pytest.raises(CorpusError, match=f"expected md5 0000, got {good.md5}"):
        verify(path, replace(good, md5="0000"))
    with pytest.raises(CorpusError, match=f"expected sha256 0000, got {good.sha256}"):
        verify(path, replace(good, sha256="0000"))
