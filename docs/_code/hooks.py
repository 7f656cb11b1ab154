"""What the site's build does beside its plugins: equations as MathML, and one clear line where data are missing."""

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort

HERE = str(Path(__file__).parent)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Before any page is read."""
    if HERE not in sys.path:  # here, not above: MkDocs puts the path back after it has loaded this file
        sys.path.append(HERE)  # the pages' code draws with `figures`, which lies beside this file
    from mathml import MathML

    _require_penn_treebank()
    config.markdown_extensions.append(MathML())
    return config


def _require_penn_treebank() -> None:
    """Stops the build where the walkthrough's text is not to be had; each of its blocks would fail otherwise."""
    from attn_lab.corpora import CorpusError, ptb

    try:
        ptb.files()
    except (OSError, CorpusError) as error:
        raise Abort(
            f"the walkthrough runs on the Penn Treebank, which is not to be had: {error}. "
            "Set ATTN_LAB_DATA to a folder that holds its three files, or build with a network"
        ) from None
