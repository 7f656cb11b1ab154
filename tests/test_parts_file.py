"""Parts of one's own from a file: what it defines counts, what it only imports does not."""

from pathlib import Path

import pytest

from attn_lab import Parts
from attn_lab.parts_file import parts_from


def test_only_what_the_file_defines_counts(tmp_path: Path) -> None:
    """Catches the reference's part, imported as a helper, taken for the user's own."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from attn_lab import EncoderBlock, attention\ndef causal(n): ...\nclass MultiHeadSelfAttention: ...\n",
        encoding="utf-8",
    )
    parts = parts_from(file)
    assert parts.replaced() == ["attention_module", "mask"]
    assert parts.attention is Parts().attention
    assert parts.block is Parts().block


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "to define at least one of: attention, causal"),
        ("def attention(:", r"raised SyntaxError"),
        ("import nothing_of_that_name", r"raised ModuleNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    """Catches a learner's typing error that ends in a traceback through our own code."""
    file = tmp_path / "mine.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        parts_from(file)


def test_no_file(tmp_path: Path) -> None:
    """Catches a missing file, or one that is not Python, that fails within importlib."""
    with pytest.raises(FileNotFoundError, match=r"mine\.py does not exist"):
        parts_from(tmp_path / "mine.py")
    (tmp_path / "mine.txt").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"does not end in \.py"):
        parts_from(tmp_path / "mine.txt")
