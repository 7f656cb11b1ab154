"""Plain text files: what is read, and what is refused."""

from pathlib import Path

import pytest

from attn_lab import corpora
from attn_lab.corpora import CorpusError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "mine"
    path.mkdir()
    (path / "train.txt").write_text("The cat sat.\nThe dog sat.\n", encoding="utf-8")
    (path / "valid.txt").write_text("The owl sat.\n", encoding="utf-8")
    (path / "test.txt").write_text("A dog\n", encoding="utf-8")
    return path


def test_load(folder: Path) -> None:
    """A vocabulary that has seen validation or test, lines in another order, or words counted as tokens."""
    corpus = corpora.load(folder)
    assert (corpus.name, corpus.tokenizer, corpus.entropy_floor) == ("mine", "basic_english", None)
    assert corpus.vocabulary.tokens == ["<unk>", ".", "sat", "the", "cat", "dog"]
    assert corpus.vocabulary.lookup_tokens(corpus.train) == ["the", "cat", "sat", ".", "the", "dog", "sat", "."]
    assert corpus.vocabulary.lookup_tokens(corpus.valid) == ["the", "<unk>", "sat", "."]
    assert corpus.vocabulary.lookup_tokens(corpus.test) == ["<unk>", "dog"]
    assert corpus.raw_words == {"train": 6, "valid": 3, "test": 2}
    assert corpus.split("valid") is corpus.valid


def test_tokenizer_is_used(folder: Path) -> None:
    """A tokenizer that is named in the corpus but not used on it."""
    named = corpora.load(str(folder), tokenizer="words_eos")
    assert named.vocabulary.lookup_tokens(named.train) == ["The", "cat", "sat.", "<eos>", "The", "dog", "sat.", "<eos>"]
    assert named.raw_words["train"] == 6
    own = corpora.load(folder, tokenizer=list)
    assert own.tokenizer == "list"
    assert own.vocabulary.lookup_tokens(own.test) == ["<unk>", " ", "d", "o", "g"]


def test_names_with_a_prefix(folder: Path) -> None:
    """A folder of ptb.train.txt and the like that is refused, or a guess between two files."""
    (folder / "train.txt").rename(folder / "my.train.txt")
    assert len(corpora.load(folder).train) == 8
    (folder / "other.train.txt").write_text("x", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"one file for train in .*, train\.txt; got my\.train\.txt and other\.train"):
        corpora.load(folder)
    (folder / "train.txt").write_text("three plain words", encoding="utf-8")
    assert len(corpora.load(folder).train) == 3


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(folder: Path, end: str) -> None:
    """A line end of another system, kept in a token or counted twice; a line separator that ends no line in a file."""
    (folder / "train.txt").write_bytes(f"\ufeffone two{end}{end}three\u2028four\x0cfive".encode())
    corpus = corpora.load(folder, tokenizer="words_eos")
    assert corpus.vocabulary.lookup_tokens(corpus.train) == [
        "one",
        "two",
        "<eos>",
        "<eos>",
        "three",
        "four",
        "five",
        "<eos>",
    ]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected text; .*{split}.txt' is empty"),
        (b" \n\t\n", "expected text; .*{split}.txt' is empty"),
        (b"text\x00more", "{split}.txt' is binary, or UTF-16: byte 4 is NUL. Save it as UTF-8"),
        ("text".encode("utf-16"), "{split}.txt' is binary, or UTF-16: byte 3 is NUL"),
        (b"good caf\xe9 x", r"expected UTF-8 text; .*{split}.txt' is encoded otherwise: byte 8 is 0xe9"),
        (b'"";', "the {split} text of the corpus 'mine' has no tokens"),
    ],
)
def test_unusable_files(folder: Path, split: str, content: bytes, message: str) -> None:
    """A file that is read as nonsense, or refused without its name, the byte and the way out."""
    (folder / f"{split}.txt").write_bytes(content)
    with pytest.raises(CorpusError, match=message.format(split=split)) as error:
        corpora.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_missing_file(folder: Path, split: str) -> None:
    """A missing file that is not named."""
    (folder / f"{split}.txt").unlink()
    with pytest.raises(FileNotFoundError, match=rf"expected {split}\.txt \(or one NAME\.{split}\.txt\) in '.*mine'"):
        corpora.load(folder)
    (folder / f"{split}.txt").mkdir()
    with pytest.raises(OSError, match=rf"{split}\.txt"):
        corpora.load(folder)


def test_unknown_names(folder: Path) -> None:
    """A misspelt corpus without the nearest name; a path that is missing or a file, taken for a misspelt name."""
    with pytest.raises(ValueError, match=r"unknown corpus 'pbt'; did you mean 'ptb'\? valid: ptb, pydoc, toy, a"):
        corpora.load("pbt")
    with pytest.raises(ValueError, match="unknown corpus ''"):
        corpora.load("")
    for missing in (folder / "ptb", str(folder / "ptb"), "./ptb", "~no_such_user"):
        with pytest.raises(FileNotFoundError, match=r"there is no folder '.*(ptb|no_such_user)'"):
            corpora.load(missing)
    with pytest.raises(NotADirectoryError, match=r"the corpus '.*train\.txt' is a file"):
        corpora.load(folder / "train.txt")


@pytest.mark.parametrize("name", ["toy", "pydoc", "."])
def test_root_is_for_ptb(folder: Path, name: str) -> None:
    """A data folder that is named and then not read."""
    with pytest.raises(ValueError, match=rf"is for the corpus 'ptb'; got '.*mine' with '{name}'"):
        corpora.load(name, root=folder)


@pytest.mark.usefixtures("no_shape_checker")
def test_a_tokenizer_that_makes_no_list(folder: Path) -> None:
    """str.lower as a tokenizer: a corpus of letters."""
    with pytest.raises(TypeError, match="a tokenizer that makes a list of strings of a line; got str"):
        corpora.load(folder, tokenizer=str.lower)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a split's name, 'train', 'valid', 'test'; got 'dev'"):
        corpora.load(folder).split("dev")
