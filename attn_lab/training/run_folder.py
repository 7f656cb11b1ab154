"""A run's folder: what a training run leaves behind, and the lock that keeps a second process out of it."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import portalocker

from attn_lab.files import write_text
from attn_lab.training.full_disk import writing

Metric = dict[str, Any]


class RunFolder:
    """The files of one run, by name.

    config.json: everything that decides the run · metrics.jsonl: one line a measurement · vocabulary.json ·
    best.safetensors, last.safetensors: weights · resume.pt: the full state · curves.png, report.md.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.vocabulary_file = self.path / "vocabulary.json"
        self.best_file = self.path / "best.safetensors"
        self.last_file = self.path / "last.safetensors"
        self.resume_file = self.path / "resume.pt"
        self.curves_file = self.path / "curves.png"
        self.report_file = self.path / "report.md"

    @classmethod
    def existing(cls, path: Path | str) -> "RunFolder":
        """The folder of a run that has begun.

        Raises:
            FileNotFoundError: there is no such folder, or it is not a run's.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise FileNotFoundError(
                f"expected the folder of a run; {run.path} does not exist. Runs are made by: attn-lab train"
            )
        if not run.config_file.is_file():
            raise FileNotFoundError(f"expected the folder of a run; {run.path} has no {run.config_file.name}")
        return run

    def is_new(self) -> bool:
        """Whether nothing stands here yet.

        Raises:
            FileExistsError: the folder holds other things than a run.
        """
        if self.config_file.is_file():
            return False
        if self.path.exists() and (not self.path.is_dir() or any(map(_is_foreign, self.path.iterdir()))):
            raise FileExistsError(f"expected a new folder or a run's; {self.path} exists and holds something else")
        return True

    def read_config(self) -> dict[str, Any]:
        """config.json.

        Raises:
            ValueError: it is not readable as one.
        """
        try:
            config = json.loads(self.config_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"expected JSON in {self.config_file}; {error}. The run cannot be read") from error
        if not isinstance(config, dict) or "recipe" not in config:
            raise ValueError(
                f"expected a run's settings in {self.config_file}; it has no recipe. The run cannot be read"
            )
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        """config.json, whole."""
        write_text(self.config_file, json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def log(self, kind: str, **values: Any) -> None:
        """One more line of metrics: its kind ("train", "valid", "test"), its values.

        Raises:
            OSError: the disk is full or not writable.
        """
        with writing(self.metrics_file), self.metrics_file.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"kind": kind, **values}) + "\n")

    def metrics(self, kind: str | None = None) -> list[Metric]:
        """The measurements, all or of one kind. A last line that was cut off by a kill is passed over."""
        if not self.metrics_file.exists():
            return []
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines()
        return [metric for metric in map(_parse, lines) if metric and kind in (None, metric["kind"])]

    def forget_after(self, step: int, epochs: int) -> None:
        """Drop what was measured after this step, with as many epochs finished: a resumed run will measure it again.

        A step may be an epoch's last one, saved before its validation; that is then still to come.
        """
        kept = [
            json.dumps(metric) + "\n"
            for metric in self.metrics()
            if metric["step"] <= step
            and metric["kind"] != "test"
            and not (metric["kind"] == "valid" and metric["epoch"] > epochs)
        ]
        write_text(self.metrics_file, "".join(kept))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held by the one process that writes here; makes the folder.

        Raises:
            BlockingIOError: another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = portalocker.Lock(self.path / ".lock", mode="a", timeout=0, fail_when_locked=True)
        try:
            lock.acquire()
        except (portalocker.AlreadyLocked, portalocker.LockException) as error:
            raise BlockingIOError(
                f"the run folder {self.path} is being written by another process; wait, or name another with --run"
            ) from error
        try:
            for leftover in self.path.glob(".*.tmp"):  # of a process that was killed while it wrote
                leftover.unlink()
            yield
        finally:
            lock.release()


def new_run_path(root: Path, corpus: str, recipe: str) -> Path:
    """A folder name that is free, and sorts by time: runs/pydoc-quick-20260131-120000."""
    name = f"{corpus}-{recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    return next(p for k in range(1000) if not (p := root / (name if k == 0 else f"{name}-{k}")).exists())


def latest_run(root: Path) -> Path:
    """The run under `root` that was written last.

    Raises:
        FileNotFoundError: there is none.
    """
    runs = [config.parent for config in root.glob("*/config.json")]
    if not runs:
        raise FileNotFoundError(
            f"expected a run to resume under {os.path.abspath(root)}; there is none. Name one with --run"
        )
    return max(runs, key=lambda run: run.stat().st_mtime)


def _is_foreign(path: Path) -> bool:
    """Not of a run that was killed before it had written anything: its lock, and half of a file."""
    return path.name != ".lock" and not (path.name.startswith(".") and path.name.endswith(".tmp"))


def _parse(line: str) -> Metric | None:
    try:
        metric = json.loads(line)
    except ValueError:
        return None
    return metric if isinstance(metric, dict) and "kind" in metric else None
