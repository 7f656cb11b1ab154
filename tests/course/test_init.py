"""`attn-lab init`: a course of one's own, from a clone and from an installed package, and never over anybody's work."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from attn_lab.course.catalogue import exercises, find, source
from attn_lab.course.stubs import stub

Run = Callable[..., tuple[int, str, str]]
ANSWER = Path("exercises/ch1_attention/e02_attention.py")


def test_a_new_course_is_pristine_and_whole(attn_lab: Run) -> None:
    """Catches a course with somebody's answers in it, without its tests, or without what makes it one."""
    code, out, err = attn_lab("init")
    assert (code, err) == (0, "")
    assert "cd attn-lab-course" in out
    folder = Path("attn-lab-course/exercises")
    for exercise in exercises():
        assert exercise.answer(folder).read_text(encoding="utf-8") == stub(exercise)
        assert exercise.test(folder).read_bytes() == exercise.specification.read_bytes()
    for name in ("conftest.py", "pytest.ini", "README.md"):
        assert (folder / name).read_bytes() == (source() / "exercises" / name).read_bytes()
    assert not list(folder.rglob(".progress*"))


def test_nothing_that_git_knows_is_left_behind(attn_lab: Run) -> None:
    """Catches a file that the tests of an exercise need, and that a new course lacks."""
    listed = subprocess.run(
        ["git", "ls-files", "exercises"], cwd=source(), capture_output=True, text=True, check=False
    ).stdout.split()
    if not listed:
        pytest.skip("no clone")
    attn_lab("init", "mine")
    assert [name for name in listed if not Path("mine", name).is_file()] == []


@pytest.mark.parametrize("arguments", [("exercises",), ()], ids=["pytest exercises", "pytest"])
def test_pytest_finds_the_course(arguments: tuple[str, ...], course: Path) -> None:
    """Catches a course that only works from a clone, and a bare pytest above it that finds nothing."""
    command = [sys.executable, "-m", "pytest", *arguments]
    done = subprocess.run(command, cwd=course.parent, capture_output=True, text=True, check=False)
    first = exercises()[0]
    assert f"0 of {len(exercises())} exercises done" in done.stdout
    assert f"next: {first.label}, not started" in done.stdout
    assert f"write: {first.answer(Path('exercises'))}" in done.stdout
    assert "session starts" not in done.stdout
    assert done.returncode == 1


def test_a_learners_work_is_not_written_over(attn_lab: Run, course: Path) -> None:
    """Catches a second init that takes an answer away, or that writes half a course before it notices."""
    ANSWER.write_text("my work\n", encoding="utf-8")
    Path("exercises/README.md").unlink()
    code, _, err = attn_lab("init", ".")
    assert code == 2
    assert err.count("\n") == 1
    assert str(ANSWER) in err
    assert "nothing was written" in err
    assert ANSWER.read_text(encoding="utf-8") == "my work\n"
    assert not Path("exercises/README.md").exists()


def test_an_init_that_was_cut_short_can_be_repeated(attn_lab: Run, course: Path) -> None:
    """Catches a refusal to finish a course of which a part is there, and a second init that claims to have done it."""
    ANSWER.unlink()
    assert attn_lab("init", ".")[0] == 0
    assert ANSWER.read_text(encoding="utf-8") == stub(find("e02"))
    code, out, _ = attn_lab("init", ".")
    assert code == 0
    assert "all there already" in out


def test_a_file_in_the_place_of_the_folder(attn_lab: Run) -> None:
    """Catches a traceback where a folder cannot be made."""
    Path("mine").write_text("", encoding="utf-8")
    code, _, err = attn_lab("init", "mine")
    assert code == 2
    assert err.startswith("attn-lab: ")
    assert err.count("\n") == 1


def test_the_installed_package_carries_the_course(tmp_path: Path) -> None:
    """Catches a wheel without exercises, solutions or pages, and a command that only works in a clone.

    The package is laid out as pyproject.toml says that the wheel is; nothing has to be built for it.
    """
    if not (source() / "pyproject.toml").is_file():
        pytest.skip("no clone")
    wheel = tomllib.loads((source() / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"][
        "targets"
    ]
    for name in wheel["wheel"]["only-include"]:
        place = tmp_path / "site" / wheel["wheel"]["sources"].get(name, name)
        shutil.copytree(source() / name, place, ignore=shutil.ignore_patterns("__pycache__"))
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["attn_lab"]

    def run(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
        command = [sys.executable, "-P", "-m", "attn_lab", *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    assert run("init", "mine", folder=tmp_path).returncode == 0
    course = tmp_path / "mine"
    assert f"0 of {len(exercises())} exercises done" in run("list", folder=course).stdout
    assert "Hint 1" in run("hint", "e02", folder=course).stdout
    page = tmp_path / "site" / "attn_lab" / "course" / "material" / "docs" / "course"
    assert f"read:  {page}" in run("next", folder=course).stdout
    (course / ANSWER).write_text(run("solution", "e02", "--give-up", folder=course).stdout, encoding="utf-8")
    done = run("check", "e02", folder=course)
    assert (done.returncode, done.stderr) == (0, "")
    assert "installed package" in run("course", "build", folder=course).stderr
