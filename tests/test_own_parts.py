"""What --parts names: a Python file, the course's folder, or nothing. The folder has its tests in tests/course."""

from pathlib import Path

import pytest

from attn_lab import Parts
from attn_lab.own_parts import OwnParts, own_parts
from attn_lab.training import Batches

TWO = "def causal(n): ...\ndef attention(*arguments): ...\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that defines two parts."""
    path = tmp_path / "mine.py"
    path.write_text(TWO, encoding="utf-8")
    return path


def test_nothing_named_is_the_reference() -> None:
    """Catches a default that is somebody's own, or is checked less strictly."""
    assert own_parts(None) == own_parts(None, trained_with=[]) == OwnParts(Parts(), Batches(), "all", ())


def test_a_file_is_held_to_everything(file: Path) -> None:
    """Catches parts of a file that are checked as the course's are, on the masks of a training run alone."""
    own = own_parts(file)
    assert own.parts.replaced() == ["attention", "mask"]
    assert own.batches == Batches()
    assert own.masks == "all"


def test_a_run_gets_the_parts_that_it_was_trained_with(file: Path) -> None:
    """Catches a run that is read back with a part that was written later, or without one that is gone."""
    assert own_parts(file, trained_with=["mask"]).parts.replaced() == ["mask"]
    with pytest.raises(ValueError, match=r"parts from .*mine\.py, which does not define its block, batches any more"):
        own_parts(file, trained_with=["mask", "block", "batches"])
    with pytest.raises(ValueError, match="trained with the reference's parts alone; leave --parts out"):
        own_parts(file, trained_with=[])


def test_no_such_path(tmp_path: Path) -> None:
    """Catches a typing error that ends in a traceback."""
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        own_parts(tmp_path / "nowhere")
