"""The built site, made once for all workers of a test run."""

import os
import subprocess
import sys
import time
from pathlib import Path

import portalocker
import pytest

REPOSITORY = Path(__file__).parents[1]


def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ATTN_LAB_SITE names; else the site is built here, by the first worker that needs it.

    It is built as `mkdocs build --strict` does: a warning fails every test that needs the site.
    """
    if named := os.environ.get("ATTN_LAB_SITE"):
        return Path(named).resolve()
    for package in ("mkdocs", "material", "nbformat"):
        pytest.importorskip(package)  # the torchtext environment has none of it
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, log = shared / "site", shared / "site.log"
    with portalocker.Lock(shared / "site.lock", timeout=900):
        if not log.exists():
            log.write_text(_build(folder), encoding="utf-8")
    complaint = log.read_text(encoding="utf-8")
    if "Penn Treebank, which is not to be had" in complaint and os.environ.get("ATTN_LAB_EXPECT_BROWSER") != "1":
        pytest.skip(complaint)
    assert complaint == "", f"mkdocs build --strict fails:\n{complaint}"
    return folder.resolve()


def _build(folder: Path) -> str:
    """What the build complains of: nothing, if it went well."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"}  # more wait for others' cores
    started = time.monotonic()
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    report(f"built in {time.monotonic() - started:.0f} s")
    return (done.stdout + done.stderr) or f"exit status {done.returncode}" if done.returncode else ""


def report(line: str) -> None:
    """A measurement: printed (see it with -rP), and kept where ATTN_LAB_SITE_REPORT names a file."""
    print(line)
    if file := os.environ.get("ATTN_LAB_SITE_REPORT"):
        with open(file, "a", encoding="utf-8") as kept:
            kept.write(line + "\n")
