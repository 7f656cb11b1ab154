"""The folder of a reading: the page, and a picture for each head."""

from pathlib import Path

from attn_lab.attending.maps import draw_head, draw_overview
from attn_lab.attending.page import write_page
from attn_lab.attending.reading import Reading


def write_reading(folder: Path, reading: Reading, *, title: str, source: str, maps: bool = True) -> Path:
    """index.html; and with `maps` all-heads.png and layer1-head1.png, layer1-head2.png, …; the page's path.

    Args:
        folder: made where it is missing; files of these names are replaced.
        reading: the text and its weights.
        title, source: see `attn_lab.attending.page.write_page`.
        maps: False leaves the pictures out.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    write_page(page, reading, title=title, source=source)
    if maps:
        draw_overview(reading.weights, reading.heads, folder / "all-heads.png")
        for head in reading.heads:
            weights = reading.weights[head.layer - 1][head.head - 1]
            about = f"layer {head.layer}, head {head.head}: {head.kind}"
            draw_head(weights, reading.tokens, about, folder / f"layer{head.layer}-head{head.head}.png")
    return page
