"""The course's commands: what a learner may type, and everything that may be wrong when they do."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attn_lab.course import build
from attn_lab.course.catalogue import Exercise, exercises, find
from attn_lab.course.hints import Hint, hints
from attn_lab.course.progress import ProgressFile
from attn_lab.course.stubs import stub, write_stubs
from attn_lab.course.trial import Trial

Run = Callable[..., tuple[int, str, str]]
ANSWER = Path("exercises/ch1_attention/e02_attention.py")
TEST = ANSWER.with_name("test_e02_attention.py")
FIRST = exercises()[0]


@pytest.fixture
def progress(course: Path) -> Callable[[], ProgressFile]:
    """What is in the file now."""
    return lambda: ProgressFile(course)


def mark_done(course: Path, name: str) -> None:
    trial = Trial(find(name), course, course)
    ProgressFile(course).record(trial.exercise, trial.fingerprint)


# list, next


def test_list_shows_what_is_done_and_what_is_next(attn_lab: Run, course: Path) -> None:
    """Catches an exercise that is not listed, and a pass that does not show."""
    code, out, _ = attn_lab("list")
    assert code == 0
    assert f"0 of {len(exercises())} exercises done" in out
    assert all(exercise.label in out for exercise in exercises())
    assert f"> {FIRST.label}" in out
    mark_done(course, FIRST.name)
    _, out, _ = attn_lab("list")
    assert f"1 of {len(exercises())} exercises done" in out
    assert f"x {FIRST.label}" in out
    assert f"> {exercises()[1].label}" in out


def test_an_edit_takes_the_pass_away(attn_lab: Run, course: Path) -> None:
    """Catches progress that is believed although the answer is another one now."""
    mark_done(course, "e02")
    assert "x e02 attention" in attn_lab("list")[1]
    ANSWER.write_text("def attention(): ...\n", encoding="utf-8")
    assert "x e02 attention" not in attn_lab("list")[1]


def test_next_says_what_is_asked_and_where(attn_lab: Run, course: Path) -> None:
    """Catches a next that does not move on, and a screen that sends nowhere."""
    mark_done(course, FIRST.name)
    code, out, _ = attn_lab("next")
    second = exercises()[1]
    assert code == 0
    assert f"next: {second.label}" in out
    assert "To write: " in out
    assert f"write: {second.answer(Path('exercises'))}" in out
    assert f"hint:  attn-lab hint {second.number}" in out


def test_when_all_is_done(attn_lab: Run, course: Path) -> None:
    """Catches commands without a name that fall over when there is no next exercise."""
    for exercise in exercises():
        mark_done(course, exercise.name)
    for command in ("next", "hint", "check"):
        code, out, err = attn_lab(command)
        assert (code, err) == (0, "")
        assert "Every exercise is done" in out


@pytest.mark.parametrize("inside", [".", "exercises", "exercises/ch1_attention"])
def test_the_course_is_found_from_inside(
    inside: str, attn_lab: Run, course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches commands that work in one folder only."""
    monkeypatch.chdir(inside)
    code, out, _ = attn_lab("list")
    assert code == 0
    assert "0 of" in out


# hint


def test_hints_open_one_by_one(attn_lab: Run, course: Path) -> None:
    """Catches a command that gives all away at once, one that forgets, and one that counts beyond the last."""
    known = hints(find("e02"))
    assert len(known) >= 2
    for n_open in range(1, len(known) + 3):
        code, out, _ = attn_lab("hint", "e02")
        assert code == 0
        for k, hint in enumerate(known):
            assert (hint.title in out) == (k < n_open)
        assert ("--give-up" in out) == (n_open >= len(known))
    assert ProgressFile(course).hints(find("e02")) == len(known)


def test_a_hint_without_a_name_is_for_the_next_exercise(attn_lab: Run, course: Path) -> None:
    """Catches a hint for an exercise that is done."""
    mark_done(course, FIRST.name)
    assert attn_lab("hint")[1].startswith(exercises()[1].label)


def test_hints_are_read_whole(course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a hint that is cut off at its first blank line, or that runs on into the page."""
    page = tmp_path / "page.md"
    first = '??? hint "Hint 1: a"\n    One.\n\n    - `two`\n      three\n'
    page.write_text(f'Text.\n\n{first}\n??? hint "Hint 2: b"\n    Four.\n\nMore.\n', encoding="utf-8")
    monkeypatch.setattr(Exercise, "page", property(lambda self: page))
    assert hints(FIRST) == [Hint("Hint 1: a", "One.\n\n- `two`\n  three"), Hint("Hint 2: b", "Four.")]


def test_no_page_has_a_hint_that_is_not_found(course: Path) -> None:
    """Catches a page whose hints are written in another way than the command reads."""
    for exercise in exercises():
        text = exercise.page.read_text(encoding="utf-8")
        assert len(hints(exercise)) == text.count('hint "') >= 2, exercise.page


# check


def test_check_is_pytests_verdict(attn_lab: Run, course: Path, wrong: str, right: str) -> None:
    """Catches a command that judges by other rules than pytest, says another thing, or forgets a pass."""
    ANSWER.write_text(wrong, encoding="utf-8")
    code, out, _ = attn_lab("check", "e02")
    assert code == 1
    assert "softmax over the queries (24 of 24 probes)" in " ".join(out.split())
    by_pytest = subprocess.run(
        [sys.executable, "-m", "pytest", str(TEST)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=os.environ | {"COLUMNS": "100"},
    )
    assert by_pytest.returncode == 1
    assert by_pytest.stdout.strip() == out.strip()
    ANSWER.write_text(right, encoding="utf-8")
    code, out, _ = attn_lab("check", "attention")
    assert code == 0
    assert "passed now: e02 attention" in out
    assert f"next: {FIRST.label}" in out
    assert ProgressFile(course).is_done(find("e02"))
    code, out, _ = attn_lab("solution", "e02")
    assert code == 0
    assert "einsum(query, key" in out
    assert "# answer:" not in out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def attention(:\n", ["SyntaxError", "e02_attention.py:1: def attention(:"]),
        ("import numppy\n", ["No module named 'numppy'"]),
        ("\udcff", ["cannot be loaded"]),
        ("import ctypes\nctypes.string_at(0)\n", ["crashed the process", "SIGSEGV"]),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", ["crashed the process", "SIGKILL"]),
        ("import sys\nsys.exit()\n", ["SystemExit"]),
    ],
    ids=["syntax error", "bad import", "no UTF-8", "segmentation fault", "killed", "exit"],
)
def test_an_answer_that_cannot_even_run(
    text: str, says: list[str], attn_lab: Run, course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a traceback, or a command that goes down with the answer."""
    ANSWER.write_text(text, encoding="utf-8", errors="surrogateescape")
    code, out, err = attn_lab("check", "e02")
    assert (code, err) == (1, "")
    for words in says:
        if "SIG" not in words or sys.platform != "win32":
            assert words in out
    assert "Traceback" not in out


def test_what_an_answer_prints_does_not_disturb(attn_lab: Run, course: Path, right: str) -> None:
    """Catches an answer whose output is taken for the verdict, and a file of the learner's that stands for a module."""
    noise = 'import os, sys\nprint("{}")\nos.write(1, b"{}\\n")\nprint("[", file=sys.stderr)\n'
    ANSWER.write_text(right.replace("import math\n", f"import math\n{noise}"), encoding="utf-8")
    for name in ("tokenize", "random", "json", "hypothesis"):
        Path(f"{name}.py").write_text("raise RuntimeError('the wrong one')\n", encoding="utf-8")
    code, out, err = attn_lab("check", "e02")
    assert (code, err) == (0, "")
    assert "{}" not in out


def test_the_judge_does_not_start(attn_lab: Run, course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a command that waits for ever for a process that is dead."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "hypothesis.py").write_text("raise ImportError('broken installation')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(broken), prepend=os.pathsep)
    code, _, err = attn_lab("check", "e02")
    assert code == 2
    assert "does not start: ImportError: broken installation" in err


def test_check_without_the_test(attn_lab: Run, course: Path, right: str) -> None:
    """Catches a pass without any test, and a traceback."""
    ANSWER.write_text(right, encoding="utf-8")
    TEST.unlink()
    code, out, err = attn_lab("check", "e02")
    assert (code, err) == (1, "")
    assert "test_e02_attention.py" in out
    assert not ProgressFile(course).is_done(find("e02"))


# solution, reset


def test_the_solution_waits_for_a_pass(attn_lab: Run, course: Path) -> None:
    """Catches a solution that is shown by accident."""
    code, out, err = attn_lab("solution", "e02")
    assert (code, out) == (2, "")
    assert "attn-lab hint e02" in err
    assert "--give-up" in err
    code, out, _ = attn_lab("solution", "e02", "--give-up")
    assert code == 0
    assert "def attention(" in out
    assert ANSWER.read_text(encoding="utf-8") == stub(find("e02"))


def test_reset_keeps_every_answer(attn_lab: Run, course: Path) -> None:
    """Catches a backup that is written over by the next one, and one that pytest or git would take for an exercise."""
    for k in (1, 2):
        ANSWER.write_text(f"answer {k}\n", encoding="utf-8")
        code, out, _ = attn_lab("reset", "e02")
        assert code == 0
        assert f"e02_attention.py.bak{k}" in out
        assert ANSWER.read_text(encoding="utf-8") == stub(find("e02"))
    for k in (1, 2):
        assert ANSWER.with_name(f"e02_attention.py.bak{k}").read_text(encoding="utf-8") == f"answer {k}\n"
    assert "nothing to do" in attn_lab("reset", "e02")[1]
    assert not ANSWER.with_name("e02_attention.py.bak3").exists()


def test_a_missing_answer_comes_back(attn_lab: Run, course: Path) -> None:
    """Catches a traceback where a file is gone, and a word that does not say how to get it back."""
    ANSWER.unlink()
    code, _, err = attn_lab("check", "e02")
    assert code == 2
    assert "attn-lab reset e02" in err
    for exercise in exercises()[: exercises().index(find("e02"))]:
        mark_done(course, exercise.name)
    assert attn_lab("next")[0] == 0
    assert attn_lab("reset", "e02")[0] == 0
    assert ANSWER.read_text(encoding="utf-8") == stub(find("e02"))


# what may be wrong


@pytest.mark.parametrize("command", ["list", "next", "hint", "check", "solution e02", "reset e02", "watch"])
def test_without_a_course(command: str, attn_lab: Run) -> None:
    """Catches a command that makes files where there is no course, or that does not say what to do."""
    code, out, err = attn_lab(*command.split())
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "attn-lab init" in err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("command", ["hint", "check", "solution", "reset"])
def test_a_name_with_a_slip(command: str, attn_lab: Run, course: Path) -> None:
    """Catches an error that does not name the nearest exercise."""
    code, _, err = attn_lab(command, "atention")
    assert code == 2
    assert "did you mean 'e02_attention'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["e02", "E02", "2", "attention", "e02_attention", "e02 attention", str(ANSWER), str(TEST)]
)
def test_names_of_an_exercise(name: str) -> None:
    """Catches a name that everybody would try, and that is not understood."""
    assert find(name).name == "e02_attention"


@pytest.mark.parametrize("content", ["{", "[]", '{"passed": 3}', '{"hints": {"e02_attention": "many"}}', "\udcff"])
def test_a_damaged_progress_file(content: str, attn_lab: Run, course: Path) -> None:
    """Catches a course that cannot be gone on with because of a small file that nobody needs."""
    (course / ".progress.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    code, out, err = attn_lab("list")
    assert (code, err) == (0, "")
    assert "0 of" in out
    assert attn_lab("hint", "e02")[0] == 0
    assert ProgressFile(course).hints(find("e02")) == 1


def test_a_damaged_progress_file_is_put_aside(attn_lab: Run, course: Path) -> None:
    """Catches passes that vanish without a word."""
    (course / ".progress.json").write_text("{", encoding="utf-8")
    assert ".progress.broken.json" in attn_lab("list")[1]
    assert (course / ".progress.broken.json").read_text(encoding="utf-8") == "{"


def test_a_folder_that_cannot_be_written_to(attn_lab: Run, course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a traceback, or silence, where progress cannot be kept."""

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("attn_lab.course.progress.write_text", refuse)
    code, out, _ = attn_lab("hint", "e02")
    assert code == 0
    assert "Hint 1" in out
    assert "progress is not kept: Permission denied" in out
    monkeypatch.setattr("attn_lab.course.reset.write_text", refuse)
    ANSWER.write_text("mine\n", encoding="utf-8")
    code, _, err = attn_lab("reset", "e02")
    assert code == 2
    assert err.count("\n") == 1
    assert ANSWER.read_text(encoding="utf-8") == "mine\n"


def test_a_page_that_is_missing(attn_lab: Run, course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a hint that is counted and never shown."""
    monkeypatch.setattr(Exercise, "page", property(lambda self: Path("nowhere.md")))
    code, _, err = attn_lab("hint", "e02")
    assert code == 2
    assert "nowhere.md" in err
    assert ProgressFile(course).hints(find("e02")) == 0


def test_tests_of_the_learners_own(course: Path) -> None:
    """Catches a crash of pytest where a learner adds a test that is no exercise's."""
    (course / "ch1_attention" / "test_extra.py").write_text("def test_mine(): pass\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "exercises"], capture_output=True, encoding="utf-8", check=False
    )
    assert f"next: {FIRST.label}" in done.stdout
    assert "INTERNALERROR" not in done.stdout + done.stderr


# progress


def test_what_passed_is_what_was_judged(course: Path, right: str, wrong: str) -> None:
    """Catches a pass for an answer that was saved while the one before it was judged."""
    ANSWER.write_text(right, encoding="utf-8")
    trial = Trial(find("e02"), course, course)
    ANSWER.write_text(wrong, encoding="utf-8")
    progress = ProgressFile(course)
    progress.record(find("e02"), trial.fingerprint)
    assert not progress.is_done(find("e02"))
    ANSWER.write_text(right, encoding="utf-8")
    assert progress.is_done(find("e02"))


def test_two_terminals_at_once(course: Path) -> None:
    """Catches a watch that forgets, at its next verdict, what pytest has noted meanwhile."""
    watch, other = ProgressFile(course), ProgressFile(course)
    trial = Trial(find("e02"), course, course)
    other.record(find("e02"), trial.fingerprint)
    watch.record(FIRST, None)
    watch.open_hint(FIRST, 3)
    assert ProgressFile(course).is_done(find("e02")) == (find("e02") != FIRST)
    assert ProgressFile(course).hints(FIRST) == 1


# the author's side


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stubs as a clone has them, to be built."""
    folder = tmp_path / "exercises"
    write_stubs(folder)
    monkeypatch.setattr(build, "stubs_folder", lambda: folder)
    return folder


def test_build_writes_what_differs(attn_lab: Run, clone: Path) -> None:
    """Catches a build that does not write, and a check that does, or that sees nothing."""
    assert attn_lab("course", "build", "--check")[0] == 0
    stale, lost = find("e02").answer(clone), exercises()[-1].answer(clone)
    old = stub(find("e02")).replace("softmax(Q K", "softmax(K Q")
    stale.write_text(old, encoding="utf-8")
    lost.unlink()
    left_over = clone / "ch1_attention" / "e99_gone.py"
    left_over.write_text("", encoding="utf-8")
    code, out, _ = attn_lab("course", "build", "--check")
    assert code == 1
    for path in (stale, lost, left_over):
        assert str(path) in out
    assert stale.read_text(encoding="utf-8") == old
    assert not lost.exists()
    code, out, _ = attn_lab("course", "build")
    assert code == 1  # the file that is left over is the author's to delete
    left_over.unlink()
    assert attn_lab("course", "build", "--check")[0] == 0
    assert stale.read_text(encoding="utf-8") == stub(find("e02"))


def test_build_does_not_write_over_an_answer(attn_lab: Run, clone: Path, right: str) -> None:
    """Catches a learner in a clone who loses everything by a command that is not for them."""
    file = find("e02").answer(clone)
    file.write_text(right, encoding="utf-8")
    code, _, err = attn_lab("course", "build")
    assert code == 2
    assert "e02_attention.py" in err
    assert file.read_text(encoding="utf-8") == right
    assert attn_lab("course", "build", "--force")[0] == 0
    assert file.read_text(encoding="utf-8") == stub(find("e02"))


# all of them


@pytest.mark.parametrize("command", ["--help", "list", "next", "hint", "reset e02"])
def test_what_shows_or_copies_does_not_wait_for_pytorch(command: str, course: Path) -> None:
    """Catches an import that makes every small command take seconds."""
    program = (
        "import sys\n"
        "from attn_lab import cli\n"
        f"sys.argv = ['attn-lab', *{command.split()!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print('heavy:', sorted({'torch', 'pytest', 'hypothesis', 'numpy', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, encoding="utf-8", check=False)
    assert "heavy: []" in done.stdout, done.stderr
