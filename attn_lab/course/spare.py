"""A process that is warm before it is asked: it has imported all that a verdict needs, and waits for answers to judge.

`python -m attn_lab.course.spare` reads jobs from its input and writes what came of them, a line of JSON each. With
`--fork` it forks a child for every job and can go on for ever; without, it does one job itself and ends.

Forking is safe only while this process has run no tensor operation: after one, PyTorch's threads are gone in the child,
and it waits for them. So nothing here computes anything; the imports alone take the time.
"""

import ast
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Message = dict[str, Any]
INPUT = 0
IDLE = 1.0  # seconds without a job, after which there is time for LATE
# What PyTorch imports only when an attention layer, an embedding or an optimiser is first used: up to a second.
LATE = ("torch.fx.experimental.symbolic_shapes", "torch._dynamo")


def main() -> None:
    """Import, say that all is ready, work."""
    # What an answer prints goes nowhere, as under pytest, since it is run hundreds of times. `pytest -s` shows it.
    output = os.dup(1)
    _to_nowhere(1)
    _to_nowhere(2)
    try:
        warm_up()
    except Exception as error:
        _send(output, {"failed": f"{type(error).__name__}: {error}"})
        return
    _send(output, {"ready": True})
    if "--fork" in sys.argv:
        fork_for_each(output)
    else:
        for line in sys.stdin.buffer:
            _send(output, result(json.loads(line)))
            return


def warm_up() -> None:
    """Everything that a verdict would have to wait for, and that needs no tensor."""
    import hypothesis
    from hypothesis import strategies as st

    from attn_lab.course import telling, trial
    from attn_lab.course.catalogue import exercises

    for exercise in exercises():
        for file in (exercise.specification, exercise.solution, exercise.mistakes):
            _import_what_it_imports(file)
    trial.get_ready()

    # Hypothesis prepares itself while it draws: now and then it draws a constant that it has read out of our modules.
    @hypothesis.settings(max_examples=100)
    @hypothesis.given(case=st.tuples(st.sampled_from((1, 2, 3)), *[st.integers(0, 9999)] * 3))
    def draw(case: object) -> None:
        pass

    draw()
    assert telling


def _import_what_it_imports(file: Path) -> None:
    with contextlib.suppress(OSError, SyntaxError):  # a verdict will say so, if it concerns anybody
        for node in ast.walk(ast.parse(file.read_bytes())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            _import(names)


def _import(names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def result(job: Message) -> Message:
    """Judge one answer: what to show, and whether it passed."""
    from attn_lab.course.catalogue import find
    from attn_lab.course.telling import tell
    from attn_lab.course.trial import judged

    os.environ["COLUMNS"] = str(job["columns"])
    try:
        verdict, fingerprint = judged(find(job["exercise"]), Path(job["folder"]))
        return {
            "id": job["id"],
            "passed": verdict.passed,
            "started": not verdict.is_not_started,
            "fingerprint": fingerprint,
            "body": tell(verdict),
        }
    except Exception as error:  # a specification that is missing or damaged, for instance
        return {"id": job["id"], "trouble": str(error) or type(error).__name__}


class Child:
    """A fork of this process that judges one answer, and can be killed with all that it started."""

    def __init__(self, job: Message) -> None:
        self.job = job
        self.pipe, writing_end = os.pipe()
        os.set_blocking(self.pipe, False)
        self.said = b""
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setpgid(0, 0)
                _send(writing_end, result(job))
            finally:
                os._exit(0)
        os.close(writing_end)

    def is_over(self) -> bool:
        """Whether it has ended; what it said was read then."""
        ended, self.status = os.waitpid(self.pid, os.WNOHANG)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.pipe, 65536):
                self.said += data
        return ended != 0

    def message(self) -> Message:
        """What came of the job."""
        if self.said.endswith(b"\n"):
            return dict(json.loads(self.said))
        return {"id": self.job["id"], "died": os.waitstatus_to_exitcode(self.status)}

    def close(self) -> None:
        """Leave nothing behind of it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self.pipe)

    def kill(self) -> None:
        """It is no longer wanted."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self.close()


def fork_for_each(output: int) -> None:
    """A child a job. A job that comes while a child is at work takes its place. Ends with the input."""
    child: Child | None = None
    inbox = b""
    late: tuple[str, ...] = LATE
    while True:
        patience = 0.1 if child else IDLE if late else None
        readable, _, _ = select.select([INPUT] + ([child.pipe] if child else []), [], [], patience)
        if INPUT in readable:
            data = os.read(INPUT, 65536)
            *lines, inbox = (inbox + data).split(b"\n")
            if child and (lines or not data):
                child.kill()
                child = None
            if not data:
                return
            if lines:
                child = Child(json.loads(lines[-1]))
        elif child and child.is_over():
            _send(output, child.message())
            child.close()
            child = None
        elif not child:
            _import(late)
            gc.freeze()
            late = ()


def _send(output: int, message: Message) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(output, data) :]


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


if __name__ == "__main__":
    main()
