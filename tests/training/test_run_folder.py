"""A run's folder: what is read back is what was written, and a folder that is none is refused."""

from pathlib import Path

import pytest

from attn_lab.training import RunFolder
from attn_lab.training.run_folder import latest_run, new_run_path


def test_a_line_cut_off_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    """Catches a run that cannot be resumed because its last measurement is half a line."""
    run = RunFolder(tmp_path)
    run.log("train", step=1, loss=2.0)
    with run.metrics_file.open("a", encoding="utf-8") as file:
        file.write('[1]\n"train"\n{"step": 3}\n')  # no measurement either: a file that something else has written to
        file.write('{"kind": "train", "st')
    assert run.metrics() == [{"kind": "train", "step": 1, "loss": 2.0}]
    run.forget_after(1, 0)
    run.log("train", step=2, loss=1.0)
    assert [m["step"] for m in run.metrics()] == [1, 2]


def test_measurements_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    """Catches steps that stand twice in the metrics of a resumed run."""
    run = RunFolder(tmp_path)
    for step in (10, 20, 30):
        run.log("train", step=step, loss=1.0)
    run.log("test", step=20, loss=1.0)
    run.forget_after(20, 0)
    assert [(m["kind"], m["step"]) for m in run.metrics()] == [("train", 10), ("train", 20)]


def test_a_validation_that_is_still_to_come_is_forgotten(tmp_path: Path) -> None:
    """Catches a validation that stands twice: a checkpoint at an epoch's last step is saved before it."""
    run = RunFolder(tmp_path)
    for epoch, step in ((1, 10), (2, 20)):
        run.log("train", step=step, epoch=epoch, loss=1.0)
        run.log("valid", step=step, epoch=epoch, loss=1.0)
    run.forget_after(20, 1)
    assert [(m["kind"], m["step"]) for m in run.metrics()] == [("train", 10), ("valid", 10), ("train", 20)]


def test_a_run_killed_at_its_first_file_may_begin_again(tmp_path: Path) -> None:
    """Catches a folder that can neither be resumed nor begun, since half of a config.json stands in it."""
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.json.123.tmp").touch()
    assert RunFolder(tmp_path).is_new()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """Catches a stack trace about config.json where the user only mistyped a folder."""
    with pytest.raises(FileNotFoundError, match="does not exist"):
        RunFolder.existing(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"expected the folder of a run; .* has no config\.json"):
        RunFolder.existing(tmp_path)
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match="it has no recipe"):
        RunFolder.existing(tmp_path).read_config()
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="expected JSON in"):
        RunFolder.existing(tmp_path).read_config()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """Catches a lock that does not lock, and one that is not given back."""
    run = RunFolder(tmp_path)
    with run.locked(), pytest.raises(BlockingIOError, match="written by another process"), RunFolder(tmp_path).locked():
        pass
    with RunFolder(tmp_path).locked():
        pass


def test_names_of_new_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches two runs of one second in one folder."""
    monkeypatch.setattr("time.strftime", lambda _: "20260131-120000")
    first = new_run_path(tmp_path, "ptb", "notebook")
    first.mkdir()
    assert [first.name, new_run_path(tmp_path, "ptb", "notebook").name] == [
        "ptb-notebook-20260131-120000",
        "ptb-notebook-20260131-120000-1",
    ]


def test_the_latest_run(tmp_path: Path) -> None:
    """Catches --resume that takes any run, or a folder that is none."""
    with pytest.raises(FileNotFoundError, match="expected a run to resume under"):
        latest_run(tmp_path)
    for name in ("a", "c", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
        (tmp_path / name / "resume.pt").touch()
    import os

    for name, age in (("a", 3), ("c", 1), ("b", 2)):
        os.utime(tmp_path / name / "config.json", (1e9 - age, 1e9 - age))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert latest_run(tmp_path).name == "c"
