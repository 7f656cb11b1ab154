"""A few pages of the site, built alone within seconds: for tests of a page that need nothing of the others."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
HOOK = """
import sys
def on_config(config):
    sys.path.append({code!r})
    from mathml import MathML
    config.markdown_extensions.append(MathML())
"""


@functools.cache
def built_pages(*pages: str) -> Path:
    """A site that has these pages, such as "play/masks"; or the whole one, if ATTN_LAB_SITE names it.

    It is built strictly, and needs no corpus.
    """
    if named := os.environ.get("ATTN_LAB_SITE"):
        return Path(named).resolve()
    for package in ("material", "markdown_exec"):
        pytest.importorskip(package, reason="pages are built with mkdocs-material: pip install 'attn-lab[docs]'")
    folder = Path(_kept().name, "-".join(pages).replace("/", "."))
    folder.mkdir()
    (folder / "hook.py").write_text(HOOK.format(code=str(DOCS / "_code")), encoding="utf-8")
    config = {
        "INHERIT": str(REPOSITORY / "mkdocs.yml"),
        "docs_dir": str(DOCS),
        "hooks": [str(folder / "hook.py")],
        "plugins": ["search", "offline", "markdown-exec"],
        "nav": [f"{page}.md" for page in pages],
        "exclude_docs": "\n".join(["*.md", *(f"!/{page}.md" for page in pages), "/_code/"]),
    }
    (folder / "mkdocs.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    command += ["--config-file", str(folder / "mkdocs.yml"), "--site-dir", str(folder / "site")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@functools.cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """Lives as long as the tests do."""
    return tempfile.TemporaryDirectory()
