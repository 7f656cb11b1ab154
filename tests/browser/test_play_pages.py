"""The pages to play with, as pages: they open without a network, fit, can be read, and their links lead somewhere."""

import gzip
import re
from pathlib import Path

import pytest

from tests.built_pages import built_pages

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ("masks", "one_query", "online_softmax")
MINUS = "\u2212"


def built(name: str) -> Path:
    """The page's file, in a site of the pages to play with."""
    return built_pages(*(f"play/{page}" for page in PAGES)) / "play" / f"{name}.html"


def opened(page, name: str):
    """The page, open and drawn."""
    page.set_default_timeout(60_000)  # the machine may be busy
    page.goto(built(name).as_uri())
    page.wait_for_selector("#play:not([hidden])")
    return page


def number(text: str) -> float:
    """A number as a page shows it."""
    return float(text.replace(MINUS, "-").replace("∞", "inf").replace(",", ""))


def shown_right(cells: list[list[str]], digits: int = 3) -> bool:
    """Whether each cell, its exact value and its text, shows the value rounded."""
    return all(abs(number(text) - float(value)) <= 0.5000001 * 10**-digits for value, text in cells)


def serious_in_article(page) -> list[str]:
    """Axe's serious findings in what these pages add; the theme around them is the same on every page of the site."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options = {"preload": False}  # it would ask for the style sheets, which a page opened from a folder is refused
    found = axe.run(page, context="article", options=options).response["violations"]
    worst = [v for v in found if v["impact"] in ("serious", "critical")]
    return [f"{v['id']}: {node['html'][:200]}" for v in worst for node in v["nodes"]]


@pytest.mark.parametrize("name", PAGES)
def test_it_fits_and_can_be_read(page, name: str) -> None:
    """Catches a page that scrolls sideways on a phone, text without contrast, a control without a name."""
    page.emulate_media(reduced_motion="reduce")
    opened(page, name)
    for width in (1280, 375, 320):
        page.set_viewport_size({"width": width, "height": 800})
        if name == "masks":
            for box in ("windowed", "prefixed", "padded"):
                page.check(f"#{box}")
        else:
            page.evaluate("document.getElementById('vectors').open = true")
            page.locator("#walk").press("End" if width == 375 else "ArrowRight")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width == 320:
            continue
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(300)  # the theme fades from one to the other
            assert serious_in_article(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_dark_is_dark(page, name: str) -> None:
    """Catches colours that stay those of the light page."""
    drawn = "#matrix .kept" if name == "masks" else "#step"
    property_ = "fill" if name == "masks" else "borderLeftColor"
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        opened(page, name)
        element = page.locator(drawn).first
        colours.append(element.evaluate(f"e => getComputedStyle(e).{property_}"))
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colours[0] != colours[1]
    assert max(map(int, re.findall(r"\d+", background)[:3])) < 60


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_every_control_and_is_seen(page, name: str) -> None:
    """Catches a control that Tab passes by, and a focus without an outline."""
    opened(page, name)
    wanted = page.locator("#play :is(input, select, button):visible:enabled").count() + (name == "masks")
    page.evaluate("document.querySelector('#play').previousElementSibling.tabIndex = -1")
    page.evaluate("document.querySelector('#play').previousElementSibling.focus()")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        here = page.evaluate(
            """() => {
              const e = document.activeElement, style = getComputedStyle(e);
              const control = e.matches("input, select, button, #matrix") && e.closest("#play");
              const all = [...document.querySelectorAll("#play *")];
              return control ? [all.indexOf(e), style.outlineStyle, parseFloat(style.outlineWidth)] : null;
            }"""
        )
        if here:
            assert here[1:] == ["solid", 3]
            reached.add(here[0])
    assert len(reached) == wanted


@pytest.mark.parametrize("name", ["one_query", "online_softmax"])
def test_a_seed_that_cannot_be_read_is_marked_and_draws_nothing(page, name: str) -> None:
    """Catches a page full of NaN, which a number too large brings, and a seed that is another one than it says."""
    seed = opened(page, name).locator("#seed")
    seed.fill("41")
    inputs = "[...document.querySelectorAll('#inputs input')].map((e) => e.value)"
    drawn = page.evaluate(inputs)
    for text in ("1e308", "-1e308", "-5", "1.5", "100000", ""):
        seed.fill(text)
        assert seed.get_attribute("aria-invalid") == "true"
        assert page.evaluate(inputs) == drawn
    page.click("#draw")
    assert (seed.input_value(), seed.get_attribute("aria-invalid")) == ("42", None)
    assert page.evaluate(inputs) != drawn
    seed.fill("99999")
    page.click("#draw")
    assert seed.input_value() == "0"


@pytest.mark.parametrize("name", PAGES)
def test_the_page_says_what_to_do_without_javascript(browser, name: str) -> None:
    """Catches an empty box where scripts are off."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(built(name).as_uri())
    assert "JavaScript" in page.locator("article noscript").text_content()
    assert not page.locator("#play").is_visible()
    assert page.locator("button[data-try]:visible").count() == 0
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_links_in_raw_html_lead_to_pages(name: str) -> None:
    """Catches a link that MkDocs does not check, since it stands in HTML."""
    text = (DOCS / "play" / f"{name}.md").read_text(encoding="utf-8")
    links = re.findall(r'(?:href|src)="([^"#]+)"', text)
    assert links
    for link in links:
        target = DOCS / "play" / link
        assert (target.with_suffix(".md") if target.suffix == ".html" else target).exists(), link


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_adds_is_small(name: str) -> None:
    """Catches a page that grows heavy: its own script, style and text, compressed."""
    own = [built(name), *(DOCS / "assets/play" / f for f in ("common.js", "play.css", f"{name}.js"))]
    assert sum(len(gzip.compress(file.read_bytes())) for file in own) < 40_000


def test_the_softmax_and_the_random_numbers(page) -> None:
    """Catches a softmax that overflows or divides 0 by 0, and draws that are not from a normal distribution."""
    opened(page, "masks")
    assert page.evaluate("Play.softmax([1000, 1001], [true, true])")[1] == pytest.approx(0.7310585786300049, abs=1e-15)
    assert page.evaluate("Play.softmax([1, 1000, 1], [true, false, true])") == [0.5, 0, 0.5]
    assert page.evaluate("Play.softmax([1, 2], [false, false])") == [0, 0]
    assert page.evaluate("Play.softmax([-Infinity, -Infinity])") == [0, 0]
    drawn = page.evaluate("(() => { const next = Play.normals(5); return Array.from({length: 20000}, next); })()")
    mean = sum(drawn) / len(drawn)
    assert abs(mean) < 0.03
    assert abs(sum(x * x for x in drawn) / len(drawn) - 1) < 0.05
    assert sum(abs(x) < 1 for x in drawn) / len(drawn) == pytest.approx(0.6827, abs=0.02)
    first = [page.evaluate(f"Play.normals({seed})()") for seed in range(20)]
    assert len(set(first)) == 20
    assert 0.5 < sum(x * x for x in first) / 20 < 2  # neighbouring seeds are not neighbours
    assert page.evaluate("[Play.fixed(-0.0001), Play.fixed(-1.5, 1), Play.fixed(-Infinity), Play.fixed(NaN)]") == [
        "0.000",
        f"{MINUS}1.5",
        f"{MINUS}∞",
        "NaN",
    ]
