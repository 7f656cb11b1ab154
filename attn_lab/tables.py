"""Tables: the same cells for a terminal and for a page."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from attn_lab.files import write_text

Row = tuple[str, ...]


def markdown_table(header: Row, rows: Sequence[Row]) -> str:
    """A table in Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def rich_table(title: str, header: Row, rows: Sequence[Row]) -> Table:
    """A table in a terminal."""
    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def show_tables(console: Console, tables: Sequence[tuple[str, Row, list[Row]]], out: Path | None) -> None:
    """Print tables, and write them to `out` if it is given, as Markdown."""
    for table in tables:
        console.print(rich_table(*table))
    if out is not None:
        write_text(
            out, "\n\n".join(f"**{title}**\n\n{markdown_table(header, rows)}" for title, header, rows in tables) + "\n"
        )
        console.print(f"written: {out}", highlight=False)
