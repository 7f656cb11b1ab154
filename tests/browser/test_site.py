"""The built site, page by page, in a browser without a network: as a reader meets it."""

import functools
import gzip
import os.path
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser.conftest import open_page
from tests.built_site import REPOSITORY, report

pytestmark = pytest.mark.timeout(900)  # the first test waits for the build

DOCS = REPOSITORY / "docs"
SOURCES = [
    file for ending in ("md", "html") for file in DOCS.rglob(f"*.{ending}") if DOCS / "_code" not in file.parents
]
PAGES = sorted(file.relative_to(DOCS).with_suffix(".html").as_posix() for file in SOURCES)
# In the dark: one page of each folder, and those that draw themselves. The others have the same parts in the same
# colours; the colours of code have a test of their own.
ONE_EACH = {os.path.dirname(path): path for path in PAGES}
DARK_TOO = {*ONE_EACH.values(), *(path for path in PAGES if path.startswith("play/"))}
HEAVIEST = 400_000  # bytes, compressed: the page and all that it loads

# No frames: the search's hidden one holds nothing. No preload: axe would fetch style sheets, which files may not.
LIGHT = {"resultTypes": ["violations"], "iframes": False, "preload": False}
DARK = LIGHT | {"runOnly": ["color-contrast", "link-in-text-block"]}  # in the dark only colours are other
# Thousands of elements of the same kind take axe minutes. The colours of code have a test of their own; what is inside
# a drawing is told by its label; and the rows of a long table are alike.
ALIKE = [".highlight code *", ".figure svg *", "tbody tr:nth-child(n + 12)"]


@pytest.fixture(scope="module")
def noted() -> list[str]:
    return []


@pytest.fixture(scope="module")
def tab(browser, noted: list[str]) -> Iterator[object]:
    """One page, and one context, for all visits."""
    with open_page(browser, noted) as opened:
        opened.set_default_timeout(60_000)  # a busy machine is no broken page
        opened.loaded = []
        opened.on("requestfinished", lambda request: opened.loaded.append(request.url))
        yield opened


def visit(tab, noted: list[str], address: str) -> None:
    noted.clear()
    tab.loaded.clear()
    tab.emulate_media(color_scheme="light", reduced_motion="reduce")
    tab.set_viewport_size({"width": 1280, "height": 800})
    tab.goto(address, wait_until="load")


def findings(tab, options: dict, within: str = "html", without: list[str] = ALIKE) -> list[str]:
    """What axe-core finds that is serious or critical, a line each."""
    context = {"include": [[within]], "exclude": [[alike] for alike in without]}
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    return [
        f"{found['id']}: {node['target']} {node['html'][:160]} {node['any'][0]['message'][:120] if node['any'] else ''}"
        for found in axe.run(tab, context=context, options=options).response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


@functools.cache
def compressed(file: Path) -> int:
    """Bytes, as a server would send it."""
    return len(gzip.compress(file.read_bytes(), 6))


def file_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


@pytest.mark.parametrize("path", PAGES)
def test_page(site: Path, tab, noted: list[str], path: str) -> None:
    """Catches a missing file, another host, a script that fails, a page too wide for a phone, too heavy, unreadable."""
    visit(tab, noted, (site / path).as_uri())
    assert tab.title()
    ready = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert findings(tab, LIGHT) == []
    if path in DARK_TOO:
        tab.emulate_media(color_scheme="dark")
        tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # drawn anew
        assert findings(tab, DARK) == []
    tab.set_viewport_size({"width": 375, "height": 700})
    wide = tab.evaluate(WIDE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375, f"wider than the phone: {wide}"
    # At the end, when what comes late is there too.
    weight = sum(compressed(file) for file in {file_of(url) for url in tab.loaded} if file.is_file())
    report(f"{weight / 1000:4.0f} kB {ready:5.0f} ms {path}")
    assert noted == []
    assert weight <= HEAVIEST, f"{weight:,} bytes, compressed: {sorted(map(str, tab.loaded))}"


WIDE = """[...document.querySelectorAll("body *")].filter((e) => {
  if (e.getBoundingClientRect().right <= document.documentElement.clientWidth + 1) return false;
  for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
    if (getComputedStyle(p).overflowX !== "visible") return false;
  return true;
}).slice(0, 5).map((e) => e.outerHTML.slice(0, 120))"""


def test_every_page_is_visited(site: Path) -> None:
    """Catches a page that is built and not looked at."""
    built = {file.relative_to(site).as_posix() for file in site.rglob("*.html")}
    assert built == {*PAGES, "404.html"}


class Links(HTMLParser):
    """Where a page points to, and the places in it that can be pointed to."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        self.places |= {named[name] for name in ("id", "name") if name in named}
        self.targets |= {named[name] for name in ("href", "src", "poster", "data") if name in named}


@functools.cache
def links(file: Path) -> Links:
    parser = Links()
    parser.feed(file.read_text(encoding="utf-8"))
    return parser


def broken(site: Path, file: Path) -> list[str]:
    wrong = []
    for target in sorted(links(file).targets):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        goal = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        goal = goal / "index.html" if goal.is_dir() else goal
        if not goal.is_relative_to(site) or not goal.is_file():
            wrong.append(f"{target}: no such file")
        elif parts.fragment and goal.suffix == ".html" and unquote(parts.fragment) not in links(goal).places:
            wrong.append(f"{target}: no such place")
    return wrong


def test_links(site: Path) -> None:
    """Catches a link, a picture or an anchor that leads nowhere, in Markdown and in raw HTML."""
    files = (site / path for path in PAGES)
    wrong = {file.relative_to(site).as_posix(): found for file in files if (found := broken(site, file))}
    assert wrong == {}


class Classes(HTMLParser):
    """The classes of spans: in code, what a token is."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "span":
            self.found |= {value or "" for name, value in attributes if name == "class"}


def test_code_can_be_read(site: Path, tab, noted: list[str]) -> None:
    """Catches a kind of token, anywhere on the site, whose colour is too pale; light and dark."""
    parser = Classes()
    for path in PAGES:
        parser.feed((site / path).read_text(encoding="utf-8"))
    kinds = sorted(kind for kind in parser.found if len(kind) <= 2)
    assert len(kinds) > 20
    visit(tab, noted, (site / "start" / "idea.html").as_uri())
    code = "".join(f'<span class="{kind}">{kind} token</span>\n' for kind in kinds)
    tab.evaluate("code => { document.querySelector('.highlight code').innerHTML = code; }", code)
    assert findings(tab, LIGHT, ".highlight", []) == []
    tab.emulate_media(color_scheme="dark")
    assert findings(tab, DARK, ".highlight", []) == []


def test_search_finds(site: Path, tab, noted: list[str]) -> None:
    """Catches a search that works on a server only, where a Worker may be started."""
    visit(tab, noted, (site / "start" / "install.html").as_uri())
    tab.keyboard.press("/")
    tab.keyboard.type("masked softmax")
    first = tab.locator(".md-search-result__link").first
    first.wait_for()
    assert "softmax" in first.inner_text().lower()
    with tab.expect_navigation():
        first.click()
    assert "softmax" in tab.url
    assert noted == []


def test_copying_and_folding_by_keyboard(site: Path, tab, noted: list[str]) -> None:
    """Catches hints that only a mouse opens, and a focus that nobody sees."""
    visit(tab, noted, (site / "course" / "ch1_attention" / "e01_heads.html").as_uri())
    hint = tab.locator("details.hint").first
    hint.locator("summary").focus()
    tab.keyboard.press("Enter")
    assert hint.get_attribute("open") is not None
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert noted == []
