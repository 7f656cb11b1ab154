"""A browser for the tests of pages: no network, and no complaint goes unseen. And the built site, once for all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.built_site import built_site

FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


def chromium() -> str | None:
    """The browser's program: ATTN_LAB_CHROMIUM, else one that is installed; None: Playwright's own, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("ATTN_LAB_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def no_browser(reason: str) -> None:
    """Skips the test; where a browser is expected (CI), fails it."""
    message = f"a page is tested in a browser: {reason}"
    if os.environ.get("ATTN_LAB_EXPECT_BROWSER") == "1":
        pytest.fail(f"{message}; ATTN_LAB_EXPECT_BROWSER is 1, so one must be here")
    pytest.skip(f"{message}. Install chromium, or name it in ATTN_LAB_CHROMIUM")


@pytest.fixture(scope="module")  # not the session: while it lives, no other test could run an event loop
def browser() -> Iterator[object]:
    """Chromium, headless."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        no_browser(f"the package playwright is missing ({error})")
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        except Error as error:
            no_browser(f"it does not start ({str(error).splitlines()[0]})")
        yield started
        started.close()


@pytest.fixture
def complaints() -> list[str]:
    """What went wrong in the page: errors, failed and refused requests. A test that expects some clears it."""
    return []


@contextmanager
def open_page(browser, complaints: list[str]) -> Iterator[object]:
    """A page of a width of 1280 in a context of its own; only files can be reached, and what goes wrong is noted."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)

    def left(request) -> bool:
        """Not answered any more, since the reader went on to another page."""
        return request.failure == "net::ERR_ABORTED"

    def only_files(route) -> None:
        if route.request.url.startswith("file://"):
            route.continue_()
        else:
            complaints.append(f"asked the network for {route.request.url}")
            route.abort()

    context.route("**/*", only_files)
    opened = context.new_page()
    opened.on("console", lambda m: complaints.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    opened.on("requestfailed", lambda request: None if left(request) else complaints.append(f"failed: {request.url}"))
    opened.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield opened
    context.close()


@pytest.fixture
def page(browser, complaints: list[str]) -> Iterator[object]:
    """A page of a width of 1280; only files can be reached. At the end there must be no complaint.

    Others: `page.set_viewport_size({"width": 375, "height": 700})`, `page.emulate_media(color_scheme="dark")`.
    """
    with open_page(browser, complaints) as opened:
        yield opened
    assert complaints == []


@pytest.fixture
def serious(page):
    """Runs axe-core in the page: the serious and critical findings, a line each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def run() -> list[str]:
        found = axe.run(page).response["violations"]
        return [
            f"{v['id']}: {node['html'][:120]}"
            for v in found
            if v["impact"] in ("serious", "critical")
            for node in v["nodes"]
        ]

    return run


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site's folder."""
    return built_site(tmp_path_factory)
