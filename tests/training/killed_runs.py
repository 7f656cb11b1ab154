"""Runs that are killed at a chosen point and resumed, for test_kill_points.py: python killed_runs.py FOLDER.

One interpreter imports everything once and forks a child for each run: nothing here may make a tensor.
"""

import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from attn_lab import files
from attn_lab.checks import CheckResult
from attn_lab.training import RunFolder, Settings, checkpoints, proof, report, start, trainer
from attn_lab.training.loop import train_epoch
from tests.training.conftest import TINY

RECIPE = replace(TINY, batch_size=40, d_model=16, d_hid=16)  # 19 steps an epoch
SAVE_EVERY = 5
Arm = Callable[[], None]

steps = 0  # that this process has made


def die() -> None:
    """As the kernel kills for want of memory: nothing is written any more."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(n: int, module: Any, name: str, instead: Callable[..., Any]) -> None:
    """Put `instead(original, …)` in the place of a function's n-th call."""
    original, calls = getattr(module, name), 0

    def counting(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        return (instead if calls == n else lambda f, *a, **k: f(*a, **k))(original, *arguments, **keywords)

    setattr(module, name, counting)


def killed(module: Any, name: str, n: int) -> Arm:
    """In place of the n-th call of a function."""
    return lambda: at_call(n, module, name, lambda *_, **__: die())


def half_written(module: Any, name: str, n: int) -> Arm:
    """When half of the bytes of the n-th file are written."""

    def write_half(original: Callable[..., Any], content: Any, path: Path | str) -> None:
        original(content, path)
        whole = Path(path).read_bytes()
        Path(path).write_bytes(whole[: len(whole) // 2])
        die()

    return lambda: at_call(n, module, name, write_half)


def renamed(file: str, n: int, *, after: bool) -> Arm:
    """Just before or just after the n-th time that a file takes its place."""

    def arm() -> None:
        replace_file, times = os.replace, 0

        def watching(source: Any, target: Any) -> None:
            nonlocal times
            times += Path(target).name == file
            if times == n and not after:
                die()
            replace_file(source, target)
            if times == n:
                die()

        files.os.replace = watching

    return arm


def in_a_line(n: int) -> Arm:
    """When half of the n-th line of metrics is written."""

    def write_half(_: Any, run: RunFolder, kind: str, **values: Any) -> None:
        with run.metrics_file.open("a", encoding="utf-8") as file:
            file.write(f'{{"kind": "{kind}", "st')
        die()

    return lambda: at_call(n, RunFolder, "log", write_half)


def full(module: Any, name: str, n: int, room: int) -> Arm:
    """From the n-th call on, no file may become longer than `room` bytes, or than it was and ten more."""

    def fill(original: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        own = arguments[0]
        size = own.metrics_file.stat().st_size + 10 if isinstance(own, RunFolder) else room
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return original(*arguments, **keywords)

    return lambda: at_call(n, module, name, fill)


KILLS: dict[str, Arm] = {
    "config.json, before it is there": renamed("config.json", 1, after=False),
    "between config.json and the rest": renamed("config.json", 1, after=True),
    "between two steps": killed(trainer, "LOG_EVERY_STEP", 8),
    "half of the first checkpoint": half_written(checkpoints.torch, "save", 1),
    "half of a later checkpoint": half_written(checkpoints.torch, "save", 3),
    "a checkpoint before its rename": renamed("resume.pt", 2, after=False),
    "a checkpoint after its rename": renamed("resume.pt", 2, after=True),
    "a line of metrics": in_a_line(3),
    "the validation": killed(trainer, "evaluate", 2),
    "half of the best weights": half_written(checkpoints, "save_model", 1),
    "half of the last weights": half_written(checkpoints, "save_model", 2),
    "the best weights after their rename": renamed("best.safetensors", 2, after=True),
    "the last weights after their rename": renamed("last.safetensors", 1, after=True),
    "an epoch's checkpoint before its rename": renamed("resume.pt", 4, after=False),
    "an epoch's checkpoint after its rename": renamed("resume.pt", 4, after=True),
    "the test": killed(trainer, "evaluate", 3),
    "the report": killed(trainer, "write_report", 1),
}
FULL: dict[str, Arm] = {
    "no room for a checkpoint": full(checkpoints.torch, "save", 3, 5000),
    "no room for the best weights": full(checkpoints, "save_model", 1, 1000),
    "no room for a line": full(RunFolder, "log", 4, 0),
}


def run(folder: Path, *, resume: bool, save_every: int, arm: Arm | None = None) -> None:
    """One run to its end, in this process."""
    if arm:
        arm()
    settings = Settings(RECIPE, corpus="toy", device="cpu", save_every=save_every)
    start.train(settings, RunFolder(folder), resume=resume)


def counted(*arguments: Any, **keywords: Any) -> Iterator[torch.Tensor]:
    """train_epoch, with a note of the steps made where the killed process cannot tell any more."""
    global steps
    for loss in train_epoch(*arguments, **keywords):
        steps += 1
        Path("steps").write_text(str(steps), encoding="utf-8")
        trainer.LOG_EVERY_STEP()
        yield loss


def forked(work: Callable[[], None]) -> int:
    """The exit status of a child that does the work: 0, 1 for an error, -9 for a kill."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(root: Path) -> None:
    """A folder for each point: NAME, the state that the kill has left in NAME.killed, and how both ended."""
    proof.preflight = lambda *_, **__: [CheckResult("stood in for by a test", "attention", True, 0.0, "")]
    report.plot_curves = lambda _: None
    trainer.LOG_EVERY = 4
    trainer.LOG_EVERY_STEP = lambda: None
    trainer.train_epoch = counted
    os.chdir(root)
    for save_every in (SAVE_EVERY, 19):
        assert forked(partial(run, root / f"whole-{save_every}", resume=False, save_every=save_every)) == 0
    jobs = [(name, arm, SAVE_EVERY) for name, arm in (KILLS | FULL).items()]
    jobs += [("19: a line behind a checkpoint at an epoch's end", renamed("resume.pt", 2, after=False), 19)]
    for name, arm, save_every in jobs:
        folder = root / name
        Path("steps").unlink(missing_ok=True)
        first = forked(partial(run, folder, resume=False, save_every=save_every, arm=arm))
        shutil.copytree(folder, f"{folder}.killed")
        if Path("steps").exists():
            os.replace("steps", f"{name}.steps")
        resume = (folder / "config.json").exists()
        second = forked(partial(run, folder, resume=resume, save_every=save_every))
        (root / f"{name}.status").write_text(f"{first} {second}", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
