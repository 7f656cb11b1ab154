"""`attn-lab watch`, driven through a pseudo-terminal: saves, keys, verdicts, and an end that leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from attn_lab.course.catalogue import exercises, find
from attn_lab.course.judging import _how_it_died
from attn_lab.course.limits import STOPPED
from attn_lab.course.progress import ProgressFile
from tests.course.terminal import PATIENCE, Terminal, attn_lab

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals"),
    pytest.mark.timeout(600),
]

ANSWER = Path("ch1_attention/e02_attention.py")
FIRST = exercises()[0]
FOLLOWING = exercises()[exercises().index(find("e02")) + 1]
WAYS = pytest.mark.parametrize(
    "options",
    [
        pytest.param((), marks=pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only"), id="fork"),
        pytest.param(("--no-fork",), id="spare"),
    ],
)
Watch = Callable[..., Terminal]


@pytest.fixture
def watch(course: Path) -> Iterator[Watch]:
    """Start watching the course, and wait until the first verdict is there."""
    started: list[Terminal] = []

    def start(*options: str, rows: int = 40) -> Terminal:
        started.append(Terminal(*attn_lab("watch", *options), folder=course.parent, rows=rows))
        started[-1].wait_for(f"next: {FIRST.label}, not started")
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()


def descendants(terminal: Terminal) -> list[psutil.Process]:
    return psutil.Process(terminal.process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


@WAYS
def test_from_a_wrong_answer_to_the_next_exercise(
    options: tuple[str, ...], watch: Watch, course: Path, wrong: str, right: str
) -> None:
    """Catches a save that is not seen, a verdict for another exercise, a pass that is not kept or not gone on from."""
    terminal = watch(*options)
    (course / ANSWER).write_text(wrong, encoding="utf-8")
    terminal.wait_for("e02 attention: 2 of 9 properties hold", "softmax over the queries")
    (course / ANSWER).write_text(right, encoding="utf-8")
    screen = terminal.wait_for("passed now: e02 attention", f"next: {FOLLOWING.label}, not started")
    assert f"1 of {len(exercises())} exercises done" in screen
    assert "properties hold" not in screen  # one screen: the one before is gone
    assert ProgressFile(course).is_done(find("e02"))
    (course / ANSWER).write_text(wrong, encoding="utf-8")
    terminal.wait_for("softmax over the queries")
    assert not ProgressFile(course).is_done(find("e02"))


def test_keys(watch: Watch, course: Path) -> None:
    """Catches a key that needs Enter, does another thing than it says, or that leads to a screen with no way back."""
    terminal = watch()
    terminal.wait_for("n next   h hint   l list   q quit")
    terminal.press("h")
    terminal.wait_for(FIRST.label, "Hint 1", "more: ask again")
    assert "Hint 2" not in terminal.screen
    terminal.press("h")
    terminal.wait_for("Hint 1", "Hint 2")
    assert ProgressFile(course).hints(FIRST) == 2
    terminal.press("l")
    terminal.wait_for(f"> {FIRST.label}", f". {exercises()[1].label}")
    terminal.press("x")
    terminal.wait_for(f"next: {FIRST.label}, not started")
    terminal.press("n")
    terminal.wait_for(f"next: {exercises()[1].label}, not started")
    terminal.press("nn")
    terminal.wait_for(f"next: {exercises()[3].label}, not started")
    terminal.press("zzz")
    terminal.press("l")
    terminal.wait_for(f"> {exercises()[3].label}")
    assert "zz" not in terminal.said  # no echo
    processes = descendants(terminal)
    terminal.press("q")
    assert terminal.wait_for_end() == 0
    assert terminal.is_as_before()
    assert processes
    assert_gone(processes)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_it_ends_and_leaves_nothing_behind(how: str, watch: Watch) -> None:
    """Catches a traceback at the end, a terminal without echo, a process that goes on in the background."""
    terminal = watch(*(() if how == "Ctrl-C" else ("--no-fork",)))
    assert not terminal.is_as_before()
    processes = descendants(terminal)
    assert processes
    while terminal.process.poll() is None:  # again and again, as somebody impatient does
        if how == "Ctrl-C":
            terminal.press("\x03")
        else:
            terminal.process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    assert terminal.wait_for_end() == 0
    assert terminal.is_as_before()
    assert "Traceback" not in terminal.said
    assert_gone(processes)


def test_it_does_not_outlive_its_terminal(watch: Watch) -> None:
    """Catches processes that go on for ever after the one that is seen was killed."""
    terminal = watch()
    processes = descendants(terminal)
    terminal.process.kill()
    assert terminal.wait_for_end() != 0
    assert_gone(processes)


def test_keys_work_again_after_a_pause(watch: Watch) -> None:
    """Catches Ctrl-Z and fg after which every key needs Enter: the shell puts its own settings in place meanwhile."""
    import termios

    terminal = watch()
    terminal.process.send_signal(signal.SIGSTOP)
    termios.tcsetattr(terminal.theirs, termios.TCSANOW, terminal.before)
    terminal.process.send_signal(signal.SIGCONT)
    end = time.monotonic() + PATIENCE
    while terminal.is_as_before() and time.monotonic() < end:
        time.sleep(0.05)
    terminal.press("l")
    terminal.wait_for(f"> {FIRST.label}")


def test_editors_that_write_by_renaming(watch: Watch, course: Path, wrong: str, right: str) -> None:
    """Catches a watch that looks at a file that is no longer there, and one that judges half of several saves."""
    terminal = watch()
    file = course / ANSWER
    temporary = file.with_suffix(".tmp")
    temporary.write_text(wrong, encoding="utf-8")
    os.replace(temporary, file)
    terminal.wait_for("softmax over the queries")
    backup = file.with_name(file.name + "~")  # vim: the old one aside, a new one in its place
    file.rename(backup)
    file.write_text(right, encoding="utf-8")
    terminal.wait_for("passed now: e02 attention")
    for k in range(20):
        file.write_text(f"{right}# {k}\nraise ValueError('not whole yet')\n", encoding="utf-8")
    file.write_text(wrong, encoding="utf-8")
    terminal.wait_for("softmax over the queries")
    time.sleep(1)
    assert "softmax over the queries" in terminal.screen


@WAYS
def test_a_new_save_ends_a_verdict_that_is_still_at_work(
    options: tuple[str, ...], watch: Watch, course: Path, right: str
) -> None:
    """Catches a right answer that waits a minute for the endless loop that was saved before it."""
    terminal = watch(*options)
    loop = "import pathlib\ndef attention(*_):\n    pathlib.Path('runs').touch()\n    while True:\n        pass\n"
    (course / ANSWER).write_text(loop, encoding="utf-8")
    terminal.wait_for("judging e02 attention")
    end = time.monotonic() + PATIENCE
    while not (course.parent / "runs").exists() and time.monotonic() < end:
        time.sleep(0.05)
    saved = time.monotonic()
    (course / ANSWER).write_text(right, encoding="utf-8")
    terminal.wait_for("passed now: e02 attention")
    waited = time.monotonic() - saved
    assert "did not end in time" not in terminal.said
    assert waited < 60  # the loop's own time limit
    terminal.press("q")
    assert terminal.wait_for_end() == 0


@WAYS
def test_an_answer_that_takes_the_process_down(
    options: tuple[str, ...], watch: Watch, course: Path, right: str
) -> None:
    """Catches a watch that goes down with the answer, or waits for ever for a verdict of a dead process."""
    terminal = watch(*options)
    for text, words in {
        "def attention(:\n": "SyntaxError",
        "import ctypes\nctypes.string_at(0)\n": "SIGSEGV",
        "import os\ndef attention(*_): os.abort()\n": "may not end the process",
    }.items():
        (course / ANSWER).write_text(text, encoding="utf-8")
        terminal.wait_for("e02 attention", words)
        assert "Traceback" not in terminal.screen
    (course / ANSWER).write_text(right, encoding="utf-8")
    terminal.wait_for("passed now: e02 attention")


def test_files_that_vanish(watch: Watch, course: Path, right: str) -> None:
    """Catches a traceback where a file, a test or the memory of what is done is taken away."""
    terminal = watch()
    (course / ".progress.json").write_text("{", encoding="utf-8")
    (course / ANSWER).unlink()
    terminal.wait_for("is missing", "attn-lab reset e02")
    specification = find("e02").test(course)
    text = specification.read_text(encoding="utf-8")
    specification.unlink()
    (course / ANSWER).write_text(right, encoding="utf-8")
    terminal.wait_for("e02 attention: expected", specification.name)
    specification.write_text(text, encoding="utf-8")
    terminal.wait_for("passed now: e02 attention")


def test_a_small_terminal(watch: Watch, course: Path, wrong: str) -> None:
    """Catches a screen whose first lines scroll away, or whose keys are out of sight."""
    terminal = watch(rows=16)
    (course / ANSWER).write_text(wrong, encoding="utf-8")
    screen = terminal.wait_for("2 of 9 properties hold", "q quit")
    assert screen.count("\n") < 16


def test_without_a_terminal(course: Path, wrong: str) -> None:
    """Catches a watch that needs a keyboard, or that fills a log with control codes."""
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    process = subprocess.Popen(
        attn_lab("watch"),
        cwd=course.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=environment,
    )
    assert process.stdout
    said = []
    is_stopped = False
    for line in process.stdout:
        said.append(line)
        if "not started" in line:
            (course / ANSWER).write_text(wrong, encoding="utf-8")
        if "softmax over the queries" in line and not is_stopped:
            process.send_signal(signal.SIGTERM)
            is_stopped = True
    assert process.wait(PATIENCE) == 0
    assert "\x1b" not in "".join(said)
    assert "Ctrl-C: quit\n" in said
    assert "q quit" not in "".join(said)


def test_the_judge_does_not_start(course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a watch that gets ready for ever."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "hypothesis.py").write_text("raise ImportError('broken installation')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(broken), prepend=os.pathsep)
    done = subprocess.run(
        attn_lab("watch"),
        cwd=course.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "attn-lab: the process that judges answers does not start: ImportError: broken installation\n"


def test_an_answer_that_will_not_be_interrupted_is_ended() -> None:
    """Catches a judge that is held up for ever by a loop that catches everything."""
    program = (
        "from attn_lab.course.limits import limits\n"
        "def spin():\n"
        "    while True: pass\n"
        "with limits(seconds=0.2):\n"
        "    while True:\n"
        "        try: spin()\n"
        "        except BaseException: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == STOPPED
    assert "did not end in time" in _how_it_died(STOPPED)
    assert re.search(r"\(SIG[A-Z]+\)", _how_it_died(-signal.SIGSEGV))
    assert "exit status 3" in _how_it_died(3)
