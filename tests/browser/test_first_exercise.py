"""A newcomer's way, click by click: from the site's start page to the first exercise that has passed.

Nothing is done here that the pages do not say: commands, code and outputs are read off them in the browser.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.built_site import REPOSITORY

pytestmark = pytest.mark.timeout(900)  # it may wait for the site's build

WIDTH = "90"  # of the terminal whose output the page shows
BLOCKS = """[...document.querySelectorAll("article div.highlight")].map((block) => ({
  language: block.className.match(/language-(\\w+)/)?.[1] ?? "",
  file: block.querySelector(".filename")?.innerText ?? "",
  text: block.querySelector("code").innerText.replace(/\\n+$/, ""),
  about: block.closest("article").querySelector("h1").innerText,
}))"""


class Newcomer:
    """Somebody in a terminal, with an editor and this site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said, self.status = "", 0

    def run(self, command: str) -> None:
        program, *arguments = shlex.split(command)
        if program == "cd":
            self.folder /= arguments[0]
            return
        assert program == "attn-lab"
        environment = os.environ | {"COLUMNS": WIDTH, "TERM": "dumb", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            [sys.executable, "-m", "attn_lab", *arguments],
            cwd=self.folder,
            env=environment,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self.said, self.status = done.stdout, done.returncode

    def replace(self, file: str, what: str, by: str) -> None:
        """Put a line in the place of the first that holds `what`, as deeply indented."""
        path = self.folder / file
        lines = path.read_text(encoding="utf-8").splitlines()
        at = next(number for number, line in enumerate(lines) if what in line)
        lines[at] = re.match(" *", lines[at])[0] + by
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def plain(text: str) -> str:
    """What two machines agree on: no numbers, no place on the disk, no spaces that depend on them."""
    text = re.sub(r"\S*(/docs/course/)", r"…\1", text.replace("\\", "/"))
    return " ".join(re.sub(r"[-+]?\d[\d.,]*", "#", text).split())


def test_from_the_start_page_to_the_first_exercise_passed(site: Path, page, tmp_path: Path) -> None:
    """Catches a dead end on the way: a link, a command, an output or a hint that is not what the page says."""
    newcomer = Newcomer(tmp_path)

    # 1. The start page sends those who know some Python on, to the installation.
    page.goto((site / "index.html").as_uri())
    page.get_by_role("link", name="Install it").click()
    assert page.locator("h1").inner_text().startswith("Install")
    commands = [block["text"] for block in page.evaluate(BLOCKS) if block["language"] == "sh"]
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert commands[0] in readme  # CI runs the README's commands, letter by letter
    assert "source .venv/bin/activate" in commands

    # 2. The idea, and on to the exercise. Each page ends with the next step.
    page.get_by_role("article").get_by_role("link", name="the idea of attention").click()
    page.get_by_role("heading", name="How to read a shape").wait_for()
    page.get_by_role("article").get_by_role("link", name="your first exercise").click()
    steps = page.evaluate(BLOCKS)
    first_exercise = page.url

    # 3. The exercise's own page: the idea, the task, the file. Then back.
    page.get_by_role("link", name="e01 heads", exact=True).first.click()
    page.get_by_role("heading", name="Your task").wait_for()
    page.get_by_text("The file as you get it").click()
    stub = next(block["text"] for block in page.evaluate(BLOCKS) if "NotImplementedError" in block["text"])
    assert [block["text"] for block in page.evaluate(BLOCKS) if block["language"] == "sh"] == ["attn-lab check e01"]
    page.go_back()
    assert page.url == first_exercise

    # 4. What the page says, in its order, to its end.
    verdicts = []
    for step in steps:
        if step["text"] == "attn-lab watch":  # it stays open; the way ends here
            break
        if step["language"] == "python" and not step["file"]:
            file = newcomer.folder / "exercises" / "ch1_attention" / "e01_heads.py"
            assert step["text"] == stub == file.read_text(encoding="utf-8").rstrip("\n")
        elif step["language"] == "python":
            newcomer.replace(step["file"], "raise NotImplementedError", step["text"])
        elif step["language"] == "text":
            assert plain(step["text"]) == plain(newcomer.said)
        else:
            if len(verdicts) == 2 and "check" in step["text"]:
                right = the_last_hint(page)
                newcomer.replace("exercises/ch1_attention/e01_heads.py", "return x.reshape(", f"return {right}")
            newcomer.run(step["text"])
            if "check" in step["text"]:
                verdicts.append(newcomer.said)
                assert (newcomer.status == 0) == (len(verdicts) == 3)
    not_started, wrong, passed = verdicts
    assert "e01 heads, not started" in not_started
    assert "behaves exactly like one that splits by a reshape alone" in wrong
    assert "passed now: e01 heads" in passed


def the_last_hint(page) -> str:
    """The code in the last of the hints, which the page links to and a click opens."""
    page.get_by_role("link", name="the exercise's page").click()
    hints = page.locator("details.hint")
    for number in range(hints.count()):
        hints.nth(number).locator("summary").click()
    code = hints.last.locator("code").first
    code.wait_for(state="visible")
    return code.inner_text()
