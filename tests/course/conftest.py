"""A learner's course in a temporary folder, pristine, and the command line as it is typed there."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attn_lab import cli
from attn_lab.course.catalogue import find
from attn_lab.course.new_course import write_course

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def attn_lab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in an empty folder; the exit status, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["attn-lab", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def course(attn_lab: Run, tmp_path: Path) -> Path:
    """The folder `exercises` of a new course, in the folder that we are in."""
    write_course(tmp_path)
    return tmp_path / "exercises"


@pytest.fixture
def right() -> str:
    """A right answer to e02."""
    return find("e02").solution.read_text(encoding="utf-8")


@pytest.fixture
def wrong(right: str) -> str:
    """A known mistake in it."""
    text = right.replace("softmax(scores, dim=-1)", "softmax(scores, dim=-2)")
    assert text != right
    return text
