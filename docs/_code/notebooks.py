"""The walkthrough and each chapter of the course as notebooks, made from the same pages.

The text stays the page's, with its equations; code that the page shows becomes a cell; a figure becomes a picture. In a
chapter each exercise gets its stub as a cell that saves the answer, and a cell that asks the course for the verdict.
"""

import base64
import contextlib
import io
import re
from collections.abc import Iterator
from html import unescape
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from typing import Any
from unittest import mock

import nbformat
from figures import style
from matplotlib.figure import Figure
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from attn_lab.course.catalogue import Exercise, exercises
from attn_lab.course.stubs import is_hunt, stub

DOCS = Path(__file__).parents[1]
COURSE = "attn-lab-notebooks"  # the folder that the answers are saved in
BLOCK = re.compile(r"^```python (?P<options>exec=.*)\n(?P<code>(?s:.*?))^```$", re.MULTILINE)
INSTEAD = re.compile(r"^<!-- notebook:\n(?P<code>(?s:.*?))^-->\n+", re.MULTILINE)  # stands before a figure's block
FOLDED = re.compile(r'^\?\?\? \w+ "(?P<title>.*)"\n(?P<text>(?:(?: {4}.*)?\n)+)', re.MULTILINE)
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?!https?:)[^)]*\)")

INSTALL = """\
# Where attn_lab is missing (Colab, a new environment), say where it is to be had, and run this cell.
REPOSITORY = "%s"  # what pip understands: "git+https://…", or a folder that holds attn-lab

import importlib.util
import sys

if importlib.util.find_spec("attn_lab") is None:
    if not REPOSITORY:
        raise ModuleNotFoundError("attn_lab is not installed: name its repository above, and run this cell again")
    %%pip install -q {REPOSITORY}
"""
BEGIN = f"""\
# Your answers are saved in a folder, and judged there. All chapters share it.
from pathlib import Path

if not Path("{COURSE}").exists():
    !"{{sys.executable}}" -m attn_lab init {COURSE}
"""
HOW_TO = f"""\
Each exercise has a cell that begins with `%%writefile`: write your answer there and run it, which saves it. The cell
below it asks for the verdict. `%run {COURSE}/exercises/…` brings what you wrote into this notebook, to try it out.
"""


def walkthrough(repository: str = "") -> NotebookNode:
    """The notebook, put right: a text becomes a language model."""
    page = (DOCS / "walkthrough.md").read_text(encoding="utf-8")
    title, _, rest = page.partition("\n\n")
    return _notebook([_text(title), _code(INSTALL % repository), *_cells(rest)])


def chapter(name: str, repository: str = "") -> NotebookNode:
    """All exercises of a chapter, such as "ch1_attention": page, stub, verdict."""
    number, _, title = name.removeprefix("ch").partition("_")
    heading = f"# Chapter {number}. {title.replace('_', ' ').capitalize()}\n\n{HOW_TO}"
    cells = [_text(heading), _code(INSTALL % repository), _code(BEGIN)]
    for exercise in exercises():
        if exercise.chapter == name:
            cells += _exercise(exercise)
    return _notebook(cells)


def chapters() -> list[str]:
    """Their names, in order."""
    return [name for name, _ in groupby(exercises(), key=lambda exercise: exercise.chapter)]


def all_notebooks(repository: str = "") -> dict[str, str]:
    """Each notebook's text by its file's name."""
    made = {"walkthrough": walkthrough(repository)} | {name: chapter(name, repository) for name in chapters()}
    return {f"{name}.ipynb": nbformat.writes(notebook) for name, notebook in made.items()}


def _exercise(exercise: Exercise) -> list[NotebookNode]:
    page = exercise.page.read_text(encoding="utf-8")
    file = exercise.answer(Path(COURSE) / "exercises")
    if is_hunt(exercise):  # the page's example calls the program, under this name
        program = f'sys.path.insert(0, "{file.parent.as_posix()}")\nimport {exercise.name} as hunt'
        page = page.replace(
            "## An example\n", f'## An example\n\n```python exec="true" source="above"\n{program}\n```\n'
        )
    before, hints = page.split("## Hints\n")
    answer = f"%%writefile {file.as_posix()}\n{stub(exercise)}"
    verdict = f'!cd {COURSE} && "{{sys.executable}}" -m attn_lab check {exercise.number}'
    judged = [_code(answer, exercise.number, "answer"), _code(verdict, exercise.number, "verdict")]
    return [*_cells(before), *judged, *_cells(f"## Hints\n{hints}")]


def _cells(markdown: str) -> Iterator[NotebookNode]:
    """Text and code in turn; hidden code is run here, for its picture."""
    at, session = 0, dict[str, Any]()
    for block in BLOCK.finditer(markdown):
        text = markdown[at : block.start()]
        instead = INSTEAD.search(text)
        yield from _texts(INSTEAD.sub("", text))
        at = block.end()
        options, code = block["options"], block["code"]
        if 'source="above"' in options:
            yield _code(code)
        elif instead:
            yield _code(instead["code"])
        elif 'html="true"' in options:
            yield from _texts(_picture(code, session))
    yield from _texts(markdown[at:])


def _picture(code: str, session: dict[str, Any]) -> str:
    """The figure that a hidden block draws, as Markdown that holds it; notebooks show PNG everywhere, SVG not."""
    drawn: list[str] = []

    def to_png(figure: Figure, _: str) -> str:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=90, bbox_inches="tight", facecolor="white")
        drawn.append(base64.b64encode(buffer.getvalue()).decode("ascii"))
        return "<svg ></svg>"

    printed = io.StringIO()
    with mock.patch.object(style, "to_svg", to_png), contextlib.redirect_stdout(printed):
        exec(compile(code, "<a figure of the page>", "exec"), session)
    html = printed.getvalue()
    described = [unescape(text) for text in re.findall(r'aria-label="([^"]*)"', html)]
    captions = [unescape(text) for text in re.findall(r"<figcaption>(.*?)</figcaption>", html)]
    alt = [re.sub(r"[\[\]\n]", " ", text) for text in described]
    images = [f"![{text}](data:image/png;base64,{png})" for text, png in zip(alt, drawn, strict=True)]
    return "\n\n".join([*images, *captions])


def _texts(markdown: str) -> list[NotebookNode]:
    markdown = FOLDED.sub(_folded, markdown + "\n")
    markdown = LINK.sub(lambda link: link["text"], markdown).strip("\n")  # the site's other pages are not at hand here
    return [_text(markdown)] if markdown else []


def _folded(block: re.Match[str]) -> str:
    title = re.sub(r"`([^`]*)`", r"<code>\1</code>", block["title"])
    return f"<details><summary>{title}</summary>\n\n{dedent(block['text']).strip()}\n\n</details>\n\n"


def _text(markdown: str) -> NotebookNode:
    return new_markdown_cell(markdown.strip("\n"))


def _code(source: str, exercise: str = "", role: str = "") -> NotebookNode:
    labels = {"attn_lab": {"exercise": exercise, "role": role}} if exercise else {}
    return new_code_cell(source.rstrip("\n"), metadata=labels)


def _notebook(cells: list[NotebookNode]) -> NotebookNode:
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:03}"  # the same at each build
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    return notebook
