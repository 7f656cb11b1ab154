"""Every exercise, before a learner sees it: stub, solution, mistakes, variants, page; each in a process of its own."""

import json
import os
import re
import subprocess
import sys

import pytest

from attn_lab.course.catalogue import Exercise, exercises, source
from attn_lab.course.kill_matrix import page, section
from attn_lab.course.stubs import stub

EACH = pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.name)


@pytest.mark.timeout(600)
@EACH
def test_the_gates_hold(exercise: Exercise) -> None:
    """A stub that fails for another reason, a solution that fails, a mistake that passes or is taken for another one.

    In a process of its own, without the run-time shape checker: it would fail mistakes before the tests do.
    """
    command = [sys.executable, "-m", "attn_lab.course.gates", exercise.name]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, env=os.environ | {"CI": ""})
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)
    assert findings["problems"] == []
    assert len(findings["kills"]) >= 4
    # The page of the site has these mistakes and these tests; python -m attn_lab.course.kill_matrix writes it. Which
    # tests besides the one that is meant fail a mistake may differ with the version of PyTorch.
    assert _without_others(section(exercise, findings["kills"])) in _without_others(page().read_text(encoding="utf-8"))


def _without_others(text: str) -> str:
    return text.replace(" x |", "  |").replace(" x |", "  |")


@EACH
def test_the_files_carry_one_name(exercise: Exercise) -> None:
    """An exercise without its page, its specification or its mistakes."""
    for file in (exercise.solution, exercise.mistakes, exercise.specification, exercise.page):
        assert file.is_file(), file


@EACH
def test_the_page_has_what_a_page_has(exercise: Exercise) -> None:
    """A page without a picture, a task, an example, pitfalls, hints or what is given."""
    text = exercise.page.read_text(encoding="utf-8")
    assert text.startswith(f"# {exercise.label}\n")
    for part in (
        "## Your task",
        "## An example",
        "## Pitfalls",
        "## Hints",
        "## Further reading",
        "| given |",
        "html=",
    ):
        assert part in text, part
    assert 2 <= len(re.findall(r'^\?\?\? hint "', text, re.MULTILINE)) <= 3
    assert f"exercises/{exercise.chapter}/{exercise.name}.py" in text


@EACH
def test_the_stub_says_what_is_asked(exercise: Exercise) -> None:
    """A stub that gives the answer away, or a docstring that does not say what is to be written."""
    text = stub(exercise)
    assert "# answer:" not in text
    assert "# end of answer" not in text
    assert "To write:" in text
    assert "Given:" in text


def test_there_is_an_exercise_of_every_number() -> None:
    """An exercise that was lost, or a name that is used twice."""
    assert [exercise.number for exercise in exercises()] == [f"e{k:02}" for k in range(1, 38)]


def test_the_chapters_are_folders_of_the_site_too() -> None:
    """A chapter whose pages are kept under another name."""
    for exercise in exercises():
        assert (source() / "docs" / "course" / exercise.chapter).is_dir()
