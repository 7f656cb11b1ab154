"""`pytest exercises` as a learner types it: what marks an exercise done, and answers that want to end or flood it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attn_lab.course.catalogue import exercises, find
from attn_lab.course.progress import ProgressFile

FIRST = exercises()[0]
RIGHT = FIRST.solution.read_text(encoding="utf-8")


def run_pytest(*arguments: str) -> tuple[int, list[str]]:
    """The exit status, and the lines of the screen."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"CI": "", "COLUMNS": "80", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, env=environment, stdin=subprocess.DEVNULL
    )
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()


def answer(course: Path, text: str) -> None:
    FIRST.answer(course).write_text(text, encoding="utf-8")


def wrong_merge(then: str) -> str:
    """The solution with another merge_heads."""
    head = RIGHT[: RIGHT.index("def merge_heads")]
    return f"{head}def merge_heads(x):\n    {then}\n"


def test_a_part_of_the_tests_is_not_a_pass(course: Path) -> None:
    """Catches an exercise that counts as done since one of its tests was picked, in an editor for instance."""
    answer(course, wrong_merge("return x.flatten(2)"))
    test = FIRST.test(Path("exercises"))
    picked = "test_split_gives_each_head_its_positions"
    for arguments in ([f"{test}::{picked}"], ["exercises", "-k", picked]):
        code, lines = run_pytest(*arguments)
        assert code == 0
        assert any("1 property was picked" in line for line in lines), lines
        assert not any("passed now" in line for line in lines)
        assert ProgressFile(course).done() == []


def test_what_is_asked_for_by_name_is_run_again(course: Path) -> None:
    """Catches `-k e01` that runs nothing, and says nothing, because e01 is done; and a name that fits nothing."""
    answer(course, RIGHT)
    for _ in range(2):
        code, lines = run_pytest("exercises", "-k", FIRST.name)
        assert code == 0
        assert any(f"passed now: {FIRST.label}" in line for line in lines), lines
    assert run_pytest("exercises", "-k", "no_such_exercise")[0] == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("ends", ["exit()", "raise SystemExit('done')", "import os; os._exit(0)"])
def test_an_answer_that_ends_the_program_gets_a_verdict(course: Path, ends: str) -> None:
    """Catches an exit inside the answer that ends the diagnosis, and pytest with it."""
    answer(course, wrong_merge(ends))
    code, lines = run_pytest("exercises")
    assert code == 1
    assert len(lines) <= 25
    assert not any("INTERNALERROR" in line for line in lines)
    assert any(f"{FIRST.label}:" in line and "properties hold" in line for line in lines), lines


def test_an_answer_that_prints_and_asks_leaves_the_screen_alone(course: Path) -> None:
    """Catches what the diagnosis prints in the learner's name, and a question that nobody answers."""
    answer(course, wrong_merge("print('mine:', x.shape)\n    return x.flatten(2)"))
    code, lines = run_pytest("exercises")
    assert code == 1
    assert not any("mine:" in line for line in lines)
    answer(course, wrong_merge("return x.flatten(int(input('axis? ')))"))
    code, lines = run_pytest("exercises")
    assert code == 1
    assert len(lines) <= 25


def test_a_renamed_function_is_missed_by_its_name(course: Path) -> None:
    """Catches a message about a module that no learner has ever heard of."""
    answer(course, RIGHT.replace("def merge_heads", "def merge"))
    _, lines = run_pytest("exercises")
    assert any(f"{FIRST.name}.py has no merge_heads" in line for line in lines), lines


def test_a_missing_return_is_asked_for(course: Path) -> None:
    """Catches 'got NoneType', which helps nobody who forgot a return."""
    answer(course, wrong_merge("x.flatten(2)"))
    _, lines = run_pytest("exercises")
    assert any("is there a `return`?" in line for line in lines), lines


def test_every_line_fits_the_terminal(course: Path) -> None:
    """Catches a table of numbers wider than the screen, whose rows a terminal folds."""
    e02 = find("e02")
    answer(course, RIGHT)
    text = e02.solution.read_text(encoding="utf-8").replace("softmax(scores, dim=-1)", "softmax(scores, dim=-2)")
    e02.answer(course).write_text(text, encoding="utf-8")
    code, lines = run_pytest("exercises/ch1_attention")
    assert code == 1
    assert any("yours" in line for line in lines)
    assert max(map(len, lines)) <= 80
