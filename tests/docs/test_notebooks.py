"""The notebooks that the site offers, executed in a kernel as a reader would."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from attn_lab.course.catalogue import exercises, find
from attn_lab.course.stubs import solution_text
from tests.built_site import built_site

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.timeout(900)  # it may wait for the site's build
CHAPTERS = sorted({exercise.chapter for exercise in exercises()})


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_site(tmp_path_factory) / "notebooks"


@contextmanager
def kernel(notebook: Any, folder: Path) -> Iterator[Any]:
    """A client whose kernel runs in that folder; `run(cell)` gives what the cell shows."""
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})

    def run(cell: Any) -> str:
        client.execute_cell(cell, notebook.cells.index(cell))
        return "".join(output.get("text", "") for output in cell.outputs)

    with client.setup_kernel():
        yield run


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def labels(cell: Any) -> tuple[str, str]:
    found = cell.metadata.get("attn_lab", {})
    return found.get("exercise", ""), found.get("role", "")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_judges_its_answers(notebooks: Path, tmp_path: Path, chapter: str) -> None:
    """Catches an example that does not run, a stub that ends in a traceback, a right answer that does not pass."""
    notebook = nbformat.read(notebooks / f"{chapter}.ipynb", as_version=4)
    passed = []
    with kernel(notebook, tmp_path) as run:
        for cell in code_of(notebook):
            number, role = labels(cell)
            if role == "answer":
                if not passed:  # once as it is handed out
                    run(cell)
                    untouched = run(verdict_of(notebook, number))
                    assert f"next: {find(number).label}, not started" in untouched
                    assert "Traceback" not in untouched
                magic, _, _ = cell.source.partition("\n")
                cell.source = f"{magic}\n{solution_text(find(number))}"
            said = run(cell)
            if role == "verdict":
                assert f"passed now: {find(number).label}" in said
                passed.append(number)
    assert passed == [exercise.number for exercise in exercises() if exercise.chapter == chapter]


def verdict_of(notebook: Any, number: str) -> Any:
    return next(cell for cell in notebook.cells if labels(cell) == (number, "verdict"))


def test_the_walkthrough_runs(notebooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a notebook that needs more than the page says, and one that cannot say where attn_lab comes from."""
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a notebook shows its pictures
    notebook = nbformat.read(notebooks / "walkthrough.ipynb", as_version=4)
    install, *steps = code_of(notebook)
    with kernel(notebook, tmp_path) as run:
        said = [run(cell) for cell in (install, *steps)]
        assert "train  924,412 tokens" in said[1]
        losses = [float(line.split(":")[1].split()[0]) for line in said[-2].splitlines()[1:]]
        assert losses[-1] < losses[0] - 1
        assert any("image/png" in output.get("data", {}) for output in steps[-1].outputs)

        run(in_place(steps[0], "importlib.util.find_spec = lambda name: None"))
        with pytest.raises(nbclient.exceptions.CellExecutionError, match="name its repository above"):
            run(install)
        pip = "get_ipython().register_magic_function(lambda line: print('pip', line), 'line', 'pip')"
        run(in_place(steps[0], pip))
        named = install.source.replace('REPOSITORY = ""', 'REPOSITORY = "git+https://host.invalid/name.git"')
        assert run(in_place(install, named)) == "pip install -q git+https://host.invalid/name.git\n"


def in_place(cell: Any, source: str) -> Any:
    cell.source = source
    return cell


@pytest.mark.parametrize("name", ["walkthrough", *CHAPTERS])
def test_text_and_pictures_are_in_it(notebooks: Path, name: str) -> None:
    """Catches the site's own Markdown in a notebook, which Jupyter shows as it is written, and links to nowhere."""
    notebook = nbformat.read(notebooks / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for leftover in ("??? ", "!!! ", 'exec="true"', "<svg", "](../", ".md)", ".md#", "<!--"):
        assert leftover not in text
    for page in (notebooks.parent / "course" / name).glob("*.html"):
        for caption in re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text(encoding="utf-8")):
            assert unescape(caption) in text
    if name != "walkthrough":
        assert "data:image/png;base64," in text
        assert text.count("<details>") == text.count("</details>") >= 3
    assert "$$" in text or name == "walkthrough"
    assert {cell.cell_type for cell in notebook.cells} == {"markdown", "code"}
    assert all(cell.outputs == [] for cell in code_of(notebook))
