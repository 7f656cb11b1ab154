"""The report of a run: what was measured, told again from the folder alone."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import pytest
from rich.console import Console

from attn_lab import cli, corpora
from attn_lab.checks import CheckResult
from attn_lab.training import RunFolder, Settings, batchify, evaluate, train
from attn_lab.training.baselines import KNESER_NEY, ORDER, read_baselines, write_baselines
from attn_lab.training.findings import read_findings, write_findings
from attn_lab.training.kneser_ney import KneserNey
from attn_lab.training.report import write_report
from attn_lab.training.saved_run import SavedRun, load_run
from tests.training.conftest import TINY

SECTIONS = (
    "## Does context help?",
    "## Which words are learned?",
    "## Where is the difference made?",
    "## What do its heads look at?",
    "## What does it write?",
)
PICTURES = ("by_position.png", "by_frequency.png", "attention.png", "curves.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose findings are measured; a test copies it before it changes anything."""
    run = RunFolder(tmp_path_factory.mktemp("report") / "run")
    with pytest.MonkeyPatch.context() as patch:
        passed = [CheckResult("stood in for by a test", "attention", True, 0.0, "")]
        patch.setattr("attn_lab.training.proof.preflight", lambda *_, **__: passed)
        train(Settings(TINY, corpus="toy", device="cpu"), run)
    saved = load_run(run.path, "cpu")
    write_findings(run, saved, saved.corpus())
    write_report(run)
    return run


@pytest.fixture
def run(trained: RunFolder, tmp_path: Path) -> RunFolder:
    copy = RunFolder(tmp_path / "run")
    copy.path.mkdir()
    for file in trained.path.iterdir():
        (copy.path / file.name).write_bytes(file.read_bytes())
    return copy


@pytest.fixture
def no_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a corpus, or counts one, fails the test."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the corpus was asked for")

    monkeypatch.setattr(corpora, "load", refuse)
    monkeypatch.setattr(KneserNey, "__init__", refuse)


def text_of(run: RunFolder) -> str:
    return run.report_file.read_text(encoding="utf-8")


def test_the_report_has_its_sections_and_their_pictures(trained: RunFolder) -> None:
    """Catches a section that is measured and not told, a picture that is not there, or dark, or empty."""
    report = text_of(trained)
    places = [report.index(title) for title in SECTIONS]
    assert places == sorted(places)
    assert report.count("How to read it") == len(SECTIONS)
    for name in PICTURES:
        assert f"]({name})" in report
        pixels = matplotlib.image.imread(trained.path / name)[:, :, :3]
        assert pixels[0, 0].tolist() == [1, 1, 1]
        assert (pixels < 0.7).any(axis=2).mean() > 0.003


def test_the_report_is_drawn_again_without_the_corpus(run: RunFolder, no_corpus: None) -> None:
    """Catches `attn-lab report` that needs the corpus, or that measures again what takes long."""
    before = text_of(run)
    for name in (*PICTURES, "report.md"):
        (run.path / name).unlink()
    write_report(run)
    assert text_of(run) == before
    assert all((run.path / name).is_file() for name in PICTURES)


def test_a_run_without_findings_says_how_to_get_them(run: RunFolder, no_corpus: None) -> None:
    """Catches a report of an older run that fails, or that leaves the sections out and does not say so."""
    (run.path / "findings.json").unlink()
    write_report(run)
    assert f"`attn-lab report --measure {run.path}`" in text_of(run)
    assert not any(title in text_of(run) for title in SECTIONS)
    (run.path / "findings.json").write_text('{"format": "attn-lab findings 0"}', encoding="utf-8")
    write_report(run)
    assert "attn-lab report --measure" in text_of(run)


def test_a_run_without_an_epoch_has_nothing_to_measure(run: RunFolder, no_corpus: None) -> None:
    """Catches a report of a run that has just begun which fails, or asks for what cannot be measured yet."""
    run.metrics_file.write_text("", encoding="utf-8")
    (run.path / "findings.json").unlink()
    (run.path / "baselines.json").unlink()
    write_report(run)
    assert "--measure" not in text_of(run)
    assert "| unigram |" in text_of(run)


def test_findings_of_an_earlier_epoch_are_called_so(run: RunFolder) -> None:
    """Catches a resumed run that shows the old findings as those of its new best weights."""
    epoch = min(run.metrics("valid"), key=lambda m: m["loss"])["epoch"]
    assert read_findings(run)["epoch"] == epoch
    assert "The findings below" not in text_of(run)
    run.log("valid", step=10_000, epoch=7, loss=0.9, train_loss=0.9)
    write_report(run)
    assert f"The findings below are of epoch {epoch}, measured before epoch 7 was the best" in text_of(run)


def test_damaged_findings_are_told(run: RunFolder) -> None:
    """Catches a traceback, or silence, over half a file."""
    (run.path / "findings.json").write_text('{"format": ', encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected JSON in .*findings.json; .*attn-lab report --measure"):
        write_report(run)


def test_a_model_without_weights_to_show_says_so(run: RunFolder) -> None:
    """Catches a report that fails for want of an attention map, or draws the one of another run."""
    found = read_findings(run) | {"attention": None}
    (run.path / "findings.json").write_text(json.dumps(found), encoding="utf-8")
    write_report(run)
    assert "a part of this model does not show its weights" in text_of(run)
    assert "attention.png" not in text_of(run)


def test_the_baselines_stand_beside_the_run(trained: RunFolder) -> None:
    """Catches a Kneser-Ney of another split or order, or a published figure in the place of the one measured here."""
    corpus, config = corpora.load("toy"), trained.read_config()
    for split in ("valid", "test"):
        loss = KneserNey(corpus.train, len(corpus.vocabulary), ORDER).losses(corpus.split(split)).mean()
        assert read_baselines(trained)[KNESER_NEY][split] == pytest.approx(loss)
    per_word = loss * config["protocol"]["tokens"]["test"] / config["protocol"]["raw_words"]["test"]
    row = f"| {KNESER_NEY} | {math.exp(loss):.1f} | {per_word:.4f} | computed with this run |"
    lines = text_of(trained).splitlines()
    assert row in lines
    unigram = math.exp(config["protocol"]["unigram_loss"]["test"])
    assert any(line.startswith(f"| unigram | {unigram:.1f} |") for line in lines)


def test_the_baselines_are_counted_once(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a report, or a resumed run, that counts the n-grams again each time."""
    before, corpus = read_baselines(run), corpora.load("toy")
    monkeypatch.setattr(KneserNey, "__init__", lambda *_: pytest.fail("counted again"))
    write_baselines(run, corpus)
    assert read_baselines(run) == before


@pytest.mark.parametrize("content", ["", "[]", '{"x": 3}', '{"x": {"test": "much"}}'])
def test_damaged_baselines_are_counted_again(run: RunFolder, content: str) -> None:
    """Catches a run that cannot be reported or resumed for half a file of no importance."""
    before = read_baselines(run)
    (run.path / "baselines.json").write_text(content, encoding="utf-8")
    write_report(run)
    assert KNESER_NEY not in text_of(run)
    write_baselines(run, corpora.load("toy"))
    assert read_baselines(run) == before


def test_published_figures_compare_within_their_protocol_only(run: RunFolder) -> None:
    """Catches the literature's perplexities beside a run with another tokenizer or another corpus."""
    assert "Zaremba" not in text_of(run)
    config = run.read_config()
    for tokenizer, there in (("words_eos", True), ("basic_english", False)):
        config["protocol"] |= {"corpus": "ptb", "tokenizer": tokenizer}
        run.write_config(config)
        write_report(run)
        assert ("Zaremba" in text_of(run)) == there
    table = text_of(run).split("| model | test perplexity |")[1].split("\n\n")[0].splitlines()[2:]
    perplexities = [float(row.split("|")[2]) for row in table]
    assert perplexities == sorted(perplexities, reverse=True)
    assert len(perplexities) == 5  # unigram, Kneser-Ney, the run, the language, the notebook


def test_long_counting_is_announced(
    run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a corpus of millions of tokens over which the end of a run seems to hang, and noise over a short one."""
    saved = load_run(run.path, "cpu")
    write_findings(run, saved, saved.corpus(), Console(width=200))
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("attn_lab.training.baselines.A_MOMENT", 20_999)
    write_findings(run, saved, saved.corpus(), Console(width=200))
    assert f"{KNESER_NEY}: counting the n-grams of 21,000 tokens" in capsys.readouterr().out


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def attn_lab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["attn-lab", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


def test_the_command_measures_when_asked(run: RunFolder, attn_lab: Command) -> None:
    """Catches a run trained before there were findings for which there is no way to have them."""
    (run.path / "findings.json").unlink()
    (run.path / "baselines.json").unlink()
    before = text_of(run)
    assert attn_lab("report", str(run.path), "--measure", "--device", "cpu")[0] == 0
    assert text_of(run) == before


def test_the_command_evaluates_by_another_protocol(run: RunFolder, attn_lab: Command) -> None:
    """Catches a figure without its protocol, and options that are taken and not used."""
    saved = load_run(run.path, "cpu")
    for options, how in (
        ({}, "windows of 28 tokens, end to end, each read without the one before it"),
        ({"stride": 28}, "windows of 28 tokens, end to end, each read without the one before it"),
        ({"stride": 7}, "each 7 further than the last: from the second window on a token sees 22 to 28 before it"),
        ({"stride": 1}, "each 1 further than the last: from the second window on a token sees the 28 before it"),
        ({"window": 9}, "windows of 9 tokens (trained on 28), end to end"),
        ({"window": 9, "stride": 3}, "each 3 further than the last: from the second window on a token sees 7 to 9"),
    ):
        arguments = [word for name, n in options.items() for word in (f"--{name}", str(n))]
        code, out = attn_lab("evaluate", str(run.path), "--device", "cpu", *arguments)
        loss, per_word = saved.evaluate("test", **options)
        assert code == 0
        assert f"test: {loss:.4f} nats per token, perplexity {math.exp(loss):,.2f}, {per_word:.4f} nats per raw" in out
        assert how in out
        assert "tokenizer basic_english, 28 types" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--stride", "29"), "the stride must be between 1 and the window, 28"),
        (("--window", "5001"), "the window must have at most 5,000 tokens, the model's max_len; got 5,001"),
    ],
)
def test_windows_that_cannot_be_read_are_refused(
    run: RunFolder, attn_lab: Command, arguments: tuple[str, ...], message: str
) -> None:
    """Catches a traceback from deep in the model, and a stride that leaves tokens out."""
    code, out = attn_lab("evaluate", str(run.path), "--device", "cpu", *arguments)
    assert code == 2
    assert message in out


def test_the_window_and_the_stride_reach_the_evaluation(run: RunFolder) -> None:
    """Catches a --window that is shown in the protocol and not used, and nats per word of another split."""
    saved, corpus = load_run(run.path, "cpu"), corpora.load("toy")
    for window, stride in ((9, None), (9, 3), (40, None)):
        loss = evaluate(saved.model, batchify(corpus.valid, TINY.eval_batch_size), window, stride=stride)
        words = loss * len(corpus.valid) / corpus.raw_words["valid"]
        assert saved.evaluate("valid", window=window, stride=stride) == pytest.approx((loss, words))
        assert loss != pytest.approx(saved.evaluate("valid")[0], rel=1e-4)


def test_sliding_shows_the_run_more(run: RunFolder) -> None:
    """Catches a --stride that has no effect: on the toy language context decides the verb."""
    saved: SavedRun = load_run(run.path, "cpu")
    short = replace(saved, settings=replace(saved.settings, recipe=replace(TINY, window=4)))
    assert short.evaluate("test", stride=1)[0] < short.evaluate("test")[0] - 0.05
