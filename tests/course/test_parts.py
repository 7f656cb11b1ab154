"""The learner's parts in a real run: whichever are done take the reference's place, and are really called."""

import json
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from attn_lab import Parts, checks, cli
from attn_lab.checks import CheckResult, preflight
from attn_lab.course.catalogue import Exercise, exercises, find, source
from attn_lab.course.mistakes import catalogue
from attn_lab.course.parts import ROLES
from attn_lab.course.progress import ProgressFile, fingerprint
from attn_lab.course.stubs import stub
from attn_lab.own_parts import OwnParts, own_parts
from attn_lab.training import Batches, Interrupted, Outcome, PreflightFailed, RunFolder, Settings, train
from attn_lab.training.loop import train_epoch
from tests.training.conftest import TINY

# The run-time shape checker takes half of the preflight's time.
pytestmark = pytest.mark.usefixtures("no_shape_checker")

ALL = tuple(ROLES)
SETTINGS = Settings(replace(TINY, epochs=1), corpus="toy", device="cpu")

FUNCTIONS = {
    "attention": "attn_lab.attention(*arguments)",
    "causal": "attn_lab.masks.causal(*arguments)",
    "batchify": "batches.batchify(*arguments)",
    "windows": "batches.windows(*arguments)",
}
CLASSES = {
    "MultiHeadSelfAttention": "MultiHeadSelfAttention",
    "PositionalEncoding": "PositionalEncoding",
    "EncoderBlock": "EncoderBlock",
    "PreNormBlock": "EncoderBlock",
    "TransformerEncoder": "TransformerEncoder",
    "TransformerLanguageModel": "TransformerLanguageModel",
}
# Answers that pass the exercise's tests no more: the number, what stands in the answer, what takes its place.
WRONG = {
    "e02": ("attn_lab.attention(*arguments)", "attn_lab.attention(arguments[0] * 2, *arguments[1:])"),
    "e04": ("attn_lab.masks.causal(*arguments)", "attn_lab.masks.causal(*arguments).T"),
    "e08": ("super().forward(*inputs)", "super().forward(inputs[0], inputs[2], inputs[2].flip(1), *inputs[3:])"),
    "e11": ("super().forward(*inputs)", "inputs[0]"),
    "e13": ("super().forward(*inputs)", "inputs[0]"),
    "e14": ("super().forward(*inputs)", "self.norm1(super().forward(*inputs))"),
    "e15": ("super().forward(*inputs)", "self.blocks[0](*inputs)"),
    "e17": ("batches.windows(*arguments)", "list(batches.windows(*arguments))[:-1]"),
    "e18": ("super().forward(*inputs)", "super().forward(*inputs).softmax(-1)"),
}


def answer(exercise: Exercise) -> str:
    """A right answer that keeps count of its calls."""
    lines = ["import attn_lab", "from attn_lab.training import batches", "CALLS = []"]
    for name in ROLES[exercise.number][1]:
        if name in FUNCTIONS:
            lines += [f"def {name}(*arguments):", f"    CALLS.append({name!r})", f"    return {FUNCTIONS[name]}"]
        else:
            lines += [f"class {name}(attn_lab.{CLASSES[name]}):", "    def forward(self, *inputs):"]
            lines += [f"        CALLS.append({name!r})", "        return super().forward(*inputs)"]
    return "\n".join(lines) + "\n"


class Learner:
    """A learner's folder in which some exercises are done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("conftest.py", "pytest.ini"):
            shutil.copy(source() / "exercises" / name, folder)
        for exercise in exercises():
            self.write(exercise.number, stub(exercise), done=False)

    def write(self, number: str, text: str, *, done: bool = True) -> None:
        """Put an answer there; `done`: and the tests have passed."""
        file = find(number).answer(self.folder)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        if done:
            self.passes(number)

    def passes(self, number: str) -> None:
        """The tests are said to have passed, whatever the file holds."""
        exercise = find(number)
        passed = fingerprint(exercise.answer(self.folder), exercise.test(self.folder))
        ProgressFile(self.folder).record(exercise, passed)

    def does(self, *numbers: str) -> "Learner":
        """Right answers to these exercises."""
        for number in numbers:
            self.write(number, answer(find(number)))
        return self

    def errs(self, number: str) -> None:
        """A wrong answer that is said to have passed."""
        right, wrong = WRONG[number]
        text = answer(find(number))
        assert text.count(right) == 1
        self.write(number, text.replace(right, wrong))

    def calls(self) -> Counter[str]:
        """How often each part was called since its file was loaded last."""
        count: Counter[str] = Counter()
        for number in ALL:
            exercise = find(number)
            module = sys.modules.get(f"attn_lab_course_{exercise.chapter}_{exercise.name}")
            file = getattr(module, "__file__", "") or ""
            count.update(vars(module).get("CALLS", []) if Path(file).is_relative_to(self.folder) else [])
        return count


@pytest.fixture
def learner(tmp_path: Path) -> Learner:
    """With nothing but stubs."""
    return Learner(tmp_path / "exercises")


@pytest.fixture
def no_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that count how often a part is called: what the report looks into calls them as well."""
    monkeypatch.setattr("attn_lab.training.trainer.write_findings", lambda *_: None)


@pytest.fixture
def quick_preflight(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what comes after the preflight."""
    passed = [CheckResult("stood in for by a test", "attention", True, 0.0, "")]
    monkeypatch.setattr("attn_lab.training.proof.preflight", lambda *_, **__: passed)


@pytest.fixture
def short_preflight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one, on fewer cases."""
    monkeypatch.setattr("attn_lab.training.proof.preflight", partial(preflight, max_examples=3))


def run_of(own: OwnParts, path: Path, *, resume: bool = False, **recipe: Any) -> tuple[RunFolder, Outcome]:
    """A short run with these parts."""
    settings = replace(SETTINGS, recipe=replace(SETTINGS.recipe, **recipe), preflight_masks=own.masks)
    run = RunFolder(path)
    return run, train(settings, run, parts=own.parts, batches=own.batches, resume=resume)


def n_windows(run: RunFolder) -> tuple[int, int]:
    """Of the training text, and of validation and test text together; the run had one epoch."""
    config = run.read_config()
    recipe, tokens = SETTINGS.recipe, config["protocol"]["tokens"]
    others = (-(-(tokens[s] // recipe.eval_batch_size - 1) // recipe.window) for s in ("valid", "test"))
    return config["steps_per_epoch"], sum(others)


@pytest.mark.usefixtures("quick_preflight", "no_findings")
@pytest.mark.parametrize("norm_first", [False, True])
def test_each_part_is_called_as_often_as_the_run_needs_it(norm_first: bool, learner: Learner, tmp_path: Path) -> None:
    """Catches a part that is loaded, named in the report, and left out: a module around the reference's attention."""
    learner.does(*ALL)
    run, _ = run_of(own_parts(learner.folder, norm_first=norm_first), tmp_path / "run", norm_first=norm_first)
    forwards, blocks = sum(n_windows(run)), SETTINGS.recipe.nlayers * sum(n_windows(run))
    assert learner.calls() == {
        "TransformerLanguageModel": forwards,
        "causal": forwards,
        "PositionalEncoding": forwards,
        "TransformerEncoder": forwards,
        "PreNormBlock" if norm_first else "EncoderBlock": blocks,
        "MultiHeadSelfAttention": blocks,
        "attention": blocks,
        "batchify": 3,
        "windows": 3,
    }
    assert set(run.read_config()["replaced_parts"]) == {role for role, _ in ROLES.values()}


@pytest.mark.usefixtures("quick_preflight")
@pytest.mark.parametrize("number", ALL)
def test_a_part_works_alone_among_the_references(number: str, learner: Learner, tmp_path: Path) -> None:
    """Catches a part that is only wired in when its neighbours are the learner's too, and one under a false name."""
    role, names = ROLES[number]
    own = own_parts(learner.does(number).folder, norm_first=number == "e14")
    run, _ = run_of(own, tmp_path / "run", norm_first=number == "e14")
    assert run.read_config()["replaced_parts"] == [role]
    assert learner.calls().keys() == set(names)


def test_what_is_not_done_is_named_and_stays_the_references(learner: Learner) -> None:
    """Catches a stub, an answer that never passed, or one that was edited since, in a training run."""
    learner.does("e02", "e08", "e13")
    learner.write("e04", answer(find("e04")), done=False)
    file = find("e08").answer(learner.folder)
    file.write_text(file.read_text(encoding="utf-8") + "# one more thought\n", encoding="utf-8")
    own = own_parts(learner.folder)
    assert own.parts.replaced() == ["attention", "block"]
    assert own.batches == Batches()
    yours, open_ = own.lines
    assert re.fullmatch(r"your parts, from .*exercises: e02 attention, e13 encoder block", yours)
    assert open_.startswith("not done yet, so the reference's: e04 causal, e08 multi head, e11 positions, e15 ")
    assert "e14" not in yours + open_  # the recipe's blocks have their norms behind the sums


def test_the_block_is_of_the_recipes_kind(learner: Learner) -> None:
    """Catches a post-norm block in a pre-norm model, or the reference's named as the learner's."""
    learner.does("e02", "e13")
    assert own_parts(learner.folder, norm_first=True).parts.replaced() == ["attention"]
    assert "e14 pre norm" in own_parts(learner.folder, norm_first=True).lines[1]
    learner.does("e14")
    assert own_parts(learner.folder, norm_first=True).parts.block.__name__ == "PreNormBlock"
    assert own_parts(learner.folder).parts.block.__name__ == "EncoderBlock"


def test_nothing_done_is_an_error(learner: Learner) -> None:
    """Catches a run of the reference's parts that a learner takes for their own."""
    with pytest.raises(ValueError, match=r"that are parts of a model is done yet .*begin with: pytest .*exercises"):
        own_parts(learner.folder)
    learner.write("e01", "an exercise that is no part of a model")
    with pytest.raises(ValueError, match=r"begin with: pytest"):
        own_parts(learner.folder)


def test_the_folder_may_hold_the_exercises(learner: Learner, tmp_path: Path) -> None:
    """Catches a course that `attn-lab init` has made, named by its own folder."""
    learner.does("e02")
    assert own_parts(tmp_path).parts.replaced() == ["attention"]
    assert own_parts(tmp_path).lines == own_parts(learner.folder).lines
    (tmp_path / "holiday pictures").mkdir()
    with pytest.raises(FileNotFoundError, match="or the course's folder with its exercises"):
        own_parts(tmp_path / "holiday pictures")


def test_an_answer_that_does_not_load(learner: Learner) -> None:
    """Catches a traceback, or the reference's part in silence, where a package is missing on this machine."""
    learner.does("e04")
    learner.write("e02", "import a_package_of_another_machine\n")
    with pytest.raises(ValueError, match=r"e02 attention is done, but does not load here: .*ModuleNotFoundError"):
        own_parts(learner.folder)
    learner.write("e02", "def attend(): ...\n")
    with pytest.raises(ValueError, match=r"e02_attention\.py to define attention; it has no attention"):
        own_parts(learner.folder)


@pytest.mark.usefixtures("short_preflight")
@pytest.mark.parametrize("number", ALL)
def test_a_wrong_part_stops_the_run(number: str, learner: Learner, tmp_path: Path) -> None:
    """Catches parts that go unchecked because the course has judged them once: a file may be said to have passed."""
    role, _ = ROLES[number]
    learner.does(*ALL)
    learner.errs(number)
    own = own_parts(learner.folder, norm_first=number == "e14")
    with pytest.raises(PreflightFailed) as refusal:
        run_of(own, tmp_path / "run", norm_first=number == "e14")
    blamed = {line.split(":")[0].strip() for line in str(refusal.value).splitlines()[1:]}
    assert role in blamed
    assert blamed <= {role, "language_model"}  # the whole is wrong too
    assert not RunFolder(tmp_path / "run").config_file.exists()


def test_the_solutions_pass_the_preflight(learner: Learner, tmp_path: Path) -> None:
    """Catches a preflight that asks for more than the exercises do: queries without keys, masks of three axes."""
    for number in ALL:
        learner.write(number, find(number).solution.read_text(encoding="utf-8"))
    for precision in ("fp32", "bf16"):
        own = own_parts(learner.folder)
        results = preflight(own.parts, precision=precision, max_examples=4, masks=own.masks, batches=own.batches)
        assert [r.message for r in results if not r.passed] == []
    own = own_parts(learner.folder, norm_first=True)
    options = {"norm_first": True, "tie_weights": True, "scale_embedding": False}
    results = preflight(own.parts, max_examples=2, model_options=options, masks=own.masks, batches=own.batches)
    assert [r.message for r in results if not r.passed] == []


@pytest.mark.parametrize("number", ALL)
def test_right_answers_by_other_ways_pass_the_preflight(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a preflight that asks for a certain way: a model that looks its words up without calling a module."""
    role, names = ROLES[number]
    own = tuple(check for check in checks.ALL if check.subject == role)
    monkeypatch.setattr("attn_lab.checks.readiness.ALL", own)
    known = catalogue(find(number))
    assert known.variants
    for variant in known.variants:
        found = [getattr(known.answer(variant), name) for name in names]
        parts, batches = (Parts(), Batches(*found)) if role == "batches" else (Parts(**{role: found[0]}), None)
        options = {"norm_first": number == "e14"}
        results = preflight(parts, max_examples=6, model_options=options, masks="training", batches=batches)
        assert results
        assert [r.message for r in results if not r.passed] == [], variant


def test_only_the_courses_parts_are_asked_for_less(learner: Learner) -> None:
    """Catches a preflight that is narrowed for everyone, and one that is narrowed to nothing."""
    learner.write("e02", find("e02").solution.read_text(encoding="utf-8"))
    own = own_parts(learner.folder)
    file = own_parts(find("e02").answer(learner.folder))
    assert (own.masks, file.masks, own_parts(None).masks) == ("training", "all", "all")
    failed = {r.subject for r in preflight(file.parts, max_examples=5, masks=file.masks) if not r.passed}
    assert failed == {"attention"}
    strict, narrow = ({r.name for r in preflight(max_examples=1, masks=m)} for m in ("all", "training"))
    assert narrow < strict
    left_out = "attend to nothing|whatever the padding holds|a mask of three axes"
    assert all(re.search(left_out, name) for name in strict - narrow)
    assert not any(re.search(left_out, name) for name in narrow)
    with pytest.raises(ValueError, match=r"unknown masks 'some'; .*valid: all, training"):
        preflight(masks="some")


def test_narrowed_checks_see_no_other_mask() -> None:
    """Catches a narrowing that leaves out whole checks, and hands the others masks that a learner was not asked for."""
    seen: set[tuple[int, bool]] = set()

    def attention(query: Any, key: Any, value: Any, mask: Any = None, dropout: Any = None) -> torch.Tensor:
        if mask is not None:
            seen.add((mask.ndim, bool(mask.any(-1).all())))
        return Parts().attention(query, key, value, mask, dropout)

    preflight(Parts(attention=attention), max_examples=5, masks="training")
    assert seen == {(2, True)}
    preflight(Parts(attention=attention), max_examples=5)
    assert {ndim for ndim, _ in seen} > {2}
    assert not all(each_sees_a_key for _, each_sees_a_key in seen)


def test_the_report_says_whose_the_parts_were(learner: Learner, tmp_path: Path) -> None:
    """Catches a report whose figures pass for the reference's, or claims more checks than were made; a strict run."""
    learner.does("e17")
    learner.write("e02", find("e02").solution.read_text(encoding="utf-8"))  # NaN for a query without keys
    own = own_parts(learner.folder)
    settings = replace(SETTINGS, preflight_masks=own.masks, parts_file=str(learner.folder))
    run = RunFolder(tmp_path / "run")
    train(settings, run, parts=own.parts, batches=own.batches)
    config, report = run.read_config(), run.report_file.read_text(encoding="utf-8")
    assert config["replaced_parts"] == ["attention", "batches"]
    assert config["preflight_masks"] == "training"
    assert config["parts_file"] == str(learner.folder)
    assert "Parts that are not the reference's, from exercises: attention, batches." in report
    assert "queries that may attend to nothing, were not" in report
    assert re.search(r"\| attention \| own \| (\d+) of \1 \|", report)
    assert re.search(r"\| batches \| own \| 2 of 2 \|", report)
    assert re.search(r"\| block \| the reference's \| (\d+) of \1 \|", report)


@pytest.mark.usefixtures("quick_preflight", "no_findings")
def test_a_stopped_run_goes_on_with_them(learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a resumed run of other parts: the reference's, or the learner's that were done in the meantime."""
    learner.does("e02", "e08", "e17")
    whole = run_of(own_parts(learner.folder), tmp_path / "whole")[1]
    with monkeypatch.context() as patch:
        patch.setattr("attn_lab.training.trainer.train_epoch", stopping_at(7))
        with pytest.raises(Interrupted, match="stopped at step 7"):
            run_of(own_parts(learner.folder), tmp_path / "run")
    learner.does("e13")
    with pytest.raises(ValueError, match=r"is of other parts: .* are attention, attention_module, batches, not"):
        run_of(own_parts(learner.folder), tmp_path / "run", resume=True)
    names = RunFolder(tmp_path / "run").read_config()["replaced_parts"]
    own = own_parts(learner.folder, trained_with=names)
    assert len(own.lines) == 1  # what is not done is no news
    run, resumed = run_of(own, tmp_path / "run", resume=True)
    assert resumed == whole
    train_windows, others = n_windows(run)
    assert learner.calls() == {
        "attention": 2 * (train_windows - 7 + others),
        "MultiHeadSelfAttention": 2 * (train_windows - 7 + others),
        "batchify": 3,
        "windows": 3,
    }


def stopping_at(step: int) -> Callable[..., Iterator[torch.Tensor]]:
    """The taught loop, in which someone presses Ctrl-C."""

    def loop(*arguments: Any, **keywords: Any) -> Iterator[torch.Tensor]:
        for k, loss in enumerate(train_epoch(*arguments, **keywords), start=1):
            if k == step:
                signal.raise_signal(signal.SIGINT)
            yield loss

    return loop


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def attn_lab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line beside the learner's folder; the exit status, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["attn-lab", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


TRAIN = ("train", "--corpus", "toy", "--epochs", "1", "--device", "cpu", "--run", "run", "--parts", "exercises")
READ_BACK = (
    ("train", "--resume", "--run", "run", "--device", "cpu"),
    ("evaluate", "run", "--device", "cpu"),
    ("generate", "run", "--prompt", "the dog near", "--tokens", "5", "--seed", "1", "--device", "cpu"),
)


@pytest.mark.usefixtures("quick_preflight")
def test_the_commands_find_the_parts_again(learner: Learner, attn_lab: Run) -> None:
    """Catches a run that is read back with the reference's parts, or with parts that were not yet done then."""
    learner.does("e02", "e17", "e18")
    code, out, err = attn_lab(*TRAIN)
    assert code == 0, err
    assert "your parts, from exercises: e02 attention, e17 batches, e18 language model\n" in out
    assert "not done yet, so the reference's: e04 causal, e08 multi head" in out
    test = json.loads(Path("run/metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])["loss"]
    learner.does("e08", "e13")
    answers = []
    for command in READ_BACK:
        for number in ("e02", "e17", "e18"):
            sys.modules.pop(f"attn_lab_course_{find(number).chapter}_{find(number).name}")
        code, out, err = attn_lab(*command)
        assert code == 0, err
        answers.append(out)
        used = learner.calls()
        assert {"attention", "TransformerLanguageModel"} <= used.keys()
        assert command[0] == "generate" or {"batchify", "windows"} <= used.keys()
        assert not {"MultiHeadSelfAttention", "EncoderBlock"} & used.keys()
    assert "your parts, from exercises: e02 attention, e17 batches, e18 language model\n" in answers[0]
    assert f"test: {test:.4f} nats per token" in answers[1]
    assert re.fullmatch(r"the dog near( \S+){5}\n", answers[2])


@pytest.mark.usefixtures("quick_preflight")
def test_a_part_that_is_lost_is_one_line(learner: Learner, attn_lab: Run) -> None:
    """Catches weights that are read into other code than they were trained with, and a traceback."""
    learner.does("e02", "e04")
    assert attn_lab(*TRAIN)[0] == 0
    file = find("e02").answer(learner.folder)
    right = file.read_text(encoding="utf-8")
    for spoil, words in [
        (lambda: file.write_text(right + "\n", encoding="utf-8"), "your e02 attention, not done any more: "),
        (file.unlink, "your e02 attention, not done any more: "),
        (lambda: learner.write("e02", "import a_package_of_another_machine"), "does not load here"),
        (lambda: learner.folder.rename("moved"), "exercises does not exist"),
    ]:
        spoil()
        for command in READ_BACK:
            code, _, err = attn_lab(*command)
            assert code == 2
            assert words in err
            assert err.count("\n") == 1
    Path("moved").rename("exercises")
    learner.does("e02")
    assert all(attn_lab(*command)[0] == 0 for command in READ_BACK)


@pytest.mark.usefixtures("quick_preflight")
def test_mistakes_on_the_command_line_are_one_line(learner: Learner, attn_lab: Run) -> None:
    """Catches a traceback, and an error that does not name the way out."""
    code, _, err = attn_lab(*TRAIN)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("attn-lab: none of the exercises in exercises that are parts of a model is done yet")
    assert err.endswith("begin with: pytest exercises\n")
    assert not Path("run").exists()
    assert attn_lab(*TRAIN[:-2])[0] == 0  # a run of the reference's
    learner.does("e02")
    code, _, err = attn_lab(*READ_BACK[0], "--parts", "exercises")
    assert (code, err.count("\n")) == (2, 1)
    assert "the run was trained with the reference's parts alone" in err


def test_doctor_checks_them(learner: Learner, attn_lab: Run) -> None:
    """Catches a doctor that looks at the reference's parts, or asks for more than a training run would."""
    learner.write("e02", find("e02").solution.read_text(encoding="utf-8"))
    code, out, _ = attn_lab("doctor", "--device", "cpu", "--parts", "exercises")
    assert code == 0
    assert "your parts, from exercises: e02 attention\n" in out
    assert "with the masks that a training run has" in out
    assert " 0 failed" in out
    learner.errs("e17")
    code, out, _ = attn_lab("doctor", "--device", "cpu", "--parts", "exercises")
    assert code == 1
    assert "1 failed" in out
    cells = "".join(line for line in out.splitlines() if "batches" in line or line.startswith("│ "))
    assert "lost" in cells  # the table folds the sentence, as the terminal's width wants it
