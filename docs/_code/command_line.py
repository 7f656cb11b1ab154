"""The command line as a page: typer's own help of every command, in Markdown."""

import typer
from typer.cli import get_docs_for_click

from attn_lab.cli import app


def reference() -> str:
    """Every command with its arguments and options, as `--help` has them; the page has a heading already."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="attn-lab")
    return text.partition("\n")[2]
