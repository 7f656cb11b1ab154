"""The newcomer's transcript in the docs, played again."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from attn_lab.course.catalogue import source


def _engine() -> ModuleType:
    path = source() / "docs" / "_code" / "transcript.py"
    spec = importlib.util.spec_from_file_location("transcript", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform == "win32", reason="the transcript's commands are for a POSIX shell")
@pytest.mark.timeout(600)
def test_the_transcript_can_be_played_again(tmp_path: Path) -> None:
    """A command of the docs that does not exist any more, or prints something else."""
    transcript = _engine()
    written = transcript.PAGE.read_text(encoding="utf-8")
    played = transcript.replay(written, tmp_path)
    assert transcript.without_numbers(played) == transcript.without_numbers(written)


def test_what_the_newcomer_writes_takes_the_stubs_place(tmp_path: Path) -> None:
    """A transcript whose answer is never put into the file, so that each run shows the stub."""
    (tmp_path / "a.py").write_text('def f():\n    raise NotImplementedError("e: f")\n', encoding="utf-8")
    page = '```python title="a.py"\nreturn {}\n```\n\n```console\n$ cat a.py\nold\n```\n'
    once = _engine().replay(page.format(1) + page.format(2), tmp_path)
    assert "    return 1\n" in once
    assert "    return 2\n" in once
    assert "old" not in once
