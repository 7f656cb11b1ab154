"""The command line: what it says, and that a user's mistake is one line and no traceback."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from attn_lab import cli
from attn_lab.checks import CheckResult

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def attn_lab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in an empty folder; the exit status, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("ATTN_LAB_DATA", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["attn-lab", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def quick_preflight(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = [CheckResult("stood in for by a test", "attention", True, 0.0, "")]
    monkeypatch.setattr("attn_lab.training.proof.preflight", lambda *_, **__: passed)


@pytest.fixture
def trained(attn_lab: Run, quick_preflight: None) -> Run:
    """A run of one epoch in the folder `run`."""
    code, out, _ = attn_lab("train", "--corpus", "toy", "--epochs", "1", "--device", "cpu", "--run", "run")
    assert code == 0, out
    return attn_lab


def test_a_run_from_training_to_text(trained: Run) -> None:
    """Catches commands that do not fit together: a vocabulary, a recipe or weights that another one cannot read."""
    test = json.loads(Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    code, out, _ = trained("evaluate", "run", "--device", "cpu")
    assert code == 0
    assert f"test: {test['loss']:.4f} nats per token" in out
    first = trained("generate", "run", "--prompt", "the dog near", "--tokens", "5", "--seed", "1")
    again = trained("generate", "run", "--prompt", "the dog near", "--tokens", "5", "--seed", "1")
    assert first == again
    assert re.fullmatch(r"the dog near( \S+){5}\n", first[1])
    Path("run/report.md").unlink()
    assert trained("report", "run")[0] == 0
    assert "# toy, recipe quick" in Path("run/report.md").read_text(encoding="utf-8")


def test_resume_takes_the_latest_run_and_its_settings(trained: Run) -> None:
    """Catches a --resume that starts another recipe because the options were left out."""
    Path("runs").mkdir()
    Path("run").rename("runs/toy")
    code, out, err = trained("train", "--resume", "--device", "cpu")
    assert code == 0, err
    assert "resumed at step" in out
    assert "run: runs" in out


def test_parts_from_a_file(attn_lab: Run, quick_preflight: None, tmp_path: Path) -> None:
    """Catches parts that are named and not used, or are lost when the run is read back."""
    parts = (
        "import attn_lab\n"
        "def attention(q, k, v, mask=None, dropout=None):\n"
        "    return attn_lab.attention(q, k, v, mask, dropout)\n"
    )
    Path("mine.py").write_text(parts, encoding="utf-8")
    arguments = ("--corpus", "toy", "--epochs", "1", "--device", "cpu", "--run", "run")
    code, _, err = attn_lab("train", *arguments, "--parts", "mine.py")
    assert code == 0, err
    config = json.loads(Path("run/config.json").read_text(encoding="utf-8"))
    assert config["replaced_parts"] == ["attention"]
    assert attn_lab("evaluate", "run")[0] == 0
    Path("mine.py").unlink()
    code, _, err = attn_lab("evaluate", "run")
    assert code == 2
    assert "expected a Python file with parts" in err


MISTAKES = {
    "corpus": (("train", "--corpus", "pbt"), "did you mean 'ptb'"),
    "recipe": (("train", "--recipe", "notebok"), "did you mean 'notebook'"),
    "device": (("train", "--device", "gpu"), "valid: auto, cpu, cuda, mps"),
    "precision": (("train", "--precision", "fp16"), "valid: fp32, bf16"),
    "tokenizer": (("train", "--tokenizer", "basic"), "basic_english"),
    "epochs": (("train", "--epochs", "0"), "epochs must be at least 1; got 0"),
    "data": (("train", "--corpus", "ptb", "--data-dir", "nowhere"), "nowhere"),
    "resume": (("train", "--resume"), "expected a run to resume"),
    "resume by name": (("train", "--resume", "--run", "nowhere"), "nowhere does not exist"),
    "run": (("evaluate", "nowhere"), "nowhere does not exist"),
    "parts": (("train", "--parts", "nowhere.py"), "nowhere.py does not exist"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_without_a_traceback(mistake: str, attn_lab: Run, quick_preflight: None) -> None:
    """Catches a traceback, and an error that does not name what came and the way out."""
    arguments, expected = MISTAKES[mistake]
    code, _, err = attn_lab(*arguments)
    assert code == 2
    assert err.startswith("attn-lab: ")
    assert expected in err
    assert err.count("\n") == 1


def test_a_damaged_run_is_one_line_too(trained: Run) -> None:
    """Catches a library's words for a damaged file."""
    for file, words in [
        ("best.safetensors", "expected weights"),
        ("vocabulary.json", "vocabulary"),
        ("config.json", "JSON"),
    ]:
        Path("run", file).write_bytes(b"{ not what it was")
        code, _, err = trained("evaluate", "run")
        assert code == 2
        assert words in err
        assert file in err
        assert err.count("\n") == 1


def test_questions_that_have_no_answer(trained: Run) -> None:
    """Catches values that reach the model: no prompt, a negative temperature, no token to choose from."""
    for arguments, words in [
        (("--prompt", " "), "at least one token"),
        (("--prompt", "the", "--temperature", "-1"), "temperature >= 0"),
        (("--prompt", "the", "--top-k", "0"), "top_k >= 1"),
    ]:
        code, _, err = trained("generate", "run", *arguments)
        assert code == 2
        assert words in err
    code, _, err = trained("evaluate", "run", "--split", "tset")
    assert "did you mean 'test'" in err


def test_doctor_says_whether_all_is_well(attn_lab: Run) -> None:
    """Catches a doctor that finds a wrong part and reports good health."""
    code, out, _ = attn_lab("doctor", "--device", "cpu")
    assert code == 0
    assert "torch" in out
    assert "0 failed" in out
    wrong = "import torch\ndef causal(n):\n    return torch.ones(n, n, dtype=torch.bool)\n"
    Path("wrong.py").write_text(wrong, encoding="utf-8")
    code, out, _ = attn_lab("doctor", "--device", "cpu", "--parts", "wrong.py")
    assert code == 1
    assert " 0 failed" not in out


def every_command(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each command by the words that call it."""
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        yield " ".join((*path, name)), command
        if hasattr(command, "commands"):
            yield from every_command(command, (*path, name))


COMMANDS = dict(every_command())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, attn_lab: Run) -> None:
    """Catches a command without a sentence of explanation, or an option or argument without a word."""
    command = COMMANDS[name]
    assert re.match(r"[A-Z].{20,}", command.help)
    assert [p.name for p in command.params if p.name != "help" and not re.search("[a-z]{3}", p.help or "")] == []
    code, out, _ = attn_lab(*name.split(), "--help")
    assert code == 0
    assert f"attn-lab {name}" in out


def test_it_is_a_program_and_a_module() -> None:
    """Catches an entry point that is not installed, and `accelerate launch -m attn_lab` that finds nothing."""
    done = subprocess.run([sys.executable, "-m", "attn_lab", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "train" in done.stdout


def test_the_tokenizer_is_the_recipes_unless_one_is_named(attn_lab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches perplexities of another protocol than the recipe's, and a recipe that no toy corpus can be tried with."""
    seen: list[str | None] = []
    monkeypatch.setattr("attn_lab.training.train", lambda settings, *_, **__: seen.append(settings.tokenizer))
    for options in (
        ("--corpus", "ptb", "--recipe", "modern"),
        ("--corpus", "ptb", "--recipe", "modern", "--tokenizer", "basic_english"),
        ("--corpus", "ptb"),
        ("--corpus", "toy", "--recipe", "modern"),
    ):
        assert attn_lab("train", *options)[0] == 0
    assert seen == ["words_eos", "basic_english", "basic_english", None]


def test_the_recipes_are_shown(attn_lab: Run) -> None:
    """Catches a recipe that trains and is not listed."""
    code, out, _ = attn_lab("recipes")
    assert code == 0
    assert all(f" {name} " in out for name in ("notebook", "quick", "modern", "lstm", "strong"))


def test_ablations_of_the_right_recipe(attn_lab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a default that varies another recipe than the corpus', and options that do not arrive."""
    seen: list[tuple[str, str | None, int, str, list[str]]] = []

    def ablate(settings: Any, folder: Path, chosen: Any, _: Any) -> None:
        names = [variation.name for variation in chosen]
        seen.append((settings.recipe.name, settings.tokenizer, settings.recipe.epochs, folder.as_posix(), names))

    monkeypatch.setattr("attn_lab.ablations.running.ablate", ablate)
    monkeypatch.setattr("attn_lab.ablations.showing.show", lambda *_: None)
    only = ("--only", "seed-0,leaky-mask")
    assert attn_lab("ablate", *only)[0] == 0
    assert attn_lab("ablate", "--corpus", "ptb", "--epochs", "2", *only)[0] == 0
    assert attn_lab("ablate", "--corpus", "toy", "--recipe", "notebook", "--run", "here", *only)[0] == 0
    names = ["seed-0", "leaky-mask"]
    assert seen == [
        ("quick", "basic_english", 1, "runs/ablate-pydoc-quick", names),
        ("modern", "words_eos", 2, "runs/ablate-ptb-modern", names),
        ("notebook", None, 1, "here", names),
    ]
    code, out, _ = attn_lab("ablate", "--list")
    assert code == 0
    assert all(name in out for name in ("seed-2", "no-residual", "lstm"))
    assert len(seen) == 3
    code, _, err = attn_lab("ablate", "--only", "leeky-mask")
    assert (code, "did you mean 'leaky-mask'?" in err) == (2, True)
