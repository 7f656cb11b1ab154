"""Tables: the same cells for a terminal and for a page."""

from collections.abc import Sequence

from rich.table import Table

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
