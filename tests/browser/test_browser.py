"""The fixtures themselves: a browser that let the network through, or hid an error, would prove nothing."""

from pathlib import Path

import pytest


@pytest.fixture
def open_html(page, tmp_path: Path):
    def run(body: str):
        file = tmp_path / "page.html"
        file.write_text(f"<!doctype html><title>t</title><link rel=icon href='data:,'>{body}", encoding="utf-8")
        page.goto(file.as_uri())
        return page

    return run


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script src='http://example.invalid/a.js'></script>", "asked the network for http://example.invalid/a.js"),
        ("<script>fetch('https://example.invalid/b')</script>", "asked the network for https://example.invalid/b"),
        ("<script>console.error('oh')</script>", "console: oh"),
        ("<script>throw new Error('ah')</script>", "uncaught: ah"),
        ("<img src='missing.png'>", "missing.png"),
        ("<script>alert('hm')</script>", "dialog: hm"),
    ],
)
def test_what_goes_wrong_is_noticed(open_html, complaints: list[str], body: str, complaint: str) -> None:
    """Catches a fixture that lets a page reach the network, or fail in silence."""
    open_html(body).wait_for_timeout(100)
    assert any(complaint in line for line in complaints), complaints
    complaints.clear()


def test_axe_finds_something(open_html, serious) -> None:
    """Catches an accessibility check that is not run."""
    open_html("<html lang=en><main><h1>t</h1><button></button></main>")
    assert any(line.startswith("button-name") for line in serious())
