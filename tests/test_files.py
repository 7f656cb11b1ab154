"""Files that are written whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attn_lab.files import atomic, write_text


def test_a_reader_never_sees_half_of_a_file(tmp_path: Path) -> None:
    """A copy over the old file in place of a rename: whoever reads meanwhile gets a mixture."""
    path, old = tmp_path / "weights", "old " * 100_000  # more than a reader's buffer holds
    write_text(path, old)
    if os.name == "nt":  # there an open file cannot be replaced at all, so no reader can be in the middle of one
        write_text(path, "new")
        assert path.read_text(encoding="utf-8") == "new"
        return
    with path.open(encoding="utf-8") as reader:
        first = reader.read(4)
        write_text(path, "new")
        assert first + reader.read() == old
    assert path.read_text(encoding="utf-8") == "new"


def test_a_failed_write_leaves_the_file_of_before(tmp_path: Path) -> None:
    """A writer that clears the file first, or leaves its half behind."""
    path = tmp_path / "state"
    write_text(path, "old")

    def write_until_the_disk_is_full() -> None:
        with atomic(path) as temporary:
            temporary.write_text("ne", encoding="utf-8")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_until_the_disk_is_full()
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_process_that_dies_while_it_writes_leaves_the_file_of_before(tmp_path: Path) -> None:
    """A checkpoint that a kill in the wrong moment destroys."""
    path = tmp_path / "resume.pt"
    write_text(path, "old")
    script = (
        "import os, pathlib, sys\n"
        "from attn_lab.files import atomic\n"
        "with atomic(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == 9
    assert path.read_text(encoding="utf-8") == "old"


def test_a_new_file_has_the_users_own_permissions(tmp_path: Path) -> None:
    """A file that only its owner may read, as temporary files are made."""
    plain, written = tmp_path / "plain", tmp_path / "written"
    plain.touch()
    write_text(written, "text")
    assert written.stat().st_mode == plain.stat().st_mode
