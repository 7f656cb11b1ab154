"""From a run to its maps: what is written, what is said of the text, and what the report is handed."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread

from attn_lab import TransformerLanguageModel, cli, corpora
from attn_lab.attending import attention_summary
from attn_lab.attending.maps import draw_head, drawable
from attn_lab.attending.page import as_script, content, page
from attn_lab.attending.reading import read, tokens_of
from attn_lab.attending.summary import spread_windows
from attn_lab.corpora import Vocabulary
from attn_lab.training import RunFolder, Settings, recipe
from attn_lab.training.checkpoints import save_weights

WORDS = Vocabulary(["<unk>", "a", "b", "c"], 0)
Command = Callable[..., tuple[int, str, str]]


def model_of(ntoken: int = 4, **options: object) -> TransformerLanguageModel:
    torch.manual_seed(0)
    model = TransformerLanguageModel(ntoken, 8, 2, 8, 2, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """attn-lab, in a folder with an untrained run of the toy language."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    settings, vocabulary = Settings(recipe("quick"), "toy", None), corpora.load("toy").vocabulary
    run = RunFolder("run")
    run.path.mkdir()
    run.write_config(settings.to_dict())
    vocabulary.to_json(run.vocabulary_file)
    from attn_lab.parts import Parts

    save_weights(settings.recipe.model(len(vocabulary), Parts()), run.best_file)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["attn-lab", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return call


def data_of(html: str) -> dict:
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', html, re.DOTALL)[1])


def test_a_run_and_a_text_make_a_page_and_maps(command: Command) -> None:
    """Catches files that are promised and not written, and a text that is not said to be cut."""
    given = " ".join(["the dog Zebra"] * 20)
    code, out, err = command("attend", "run", "--text", given, "--device", "cpu")
    assert code == 0, err
    window, heads = recipe("quick").window, recipe("quick").nhead
    assert f"The first {window} of 60 tokens" in out
    assert "Marked with ?: 10 not in the vocabulary" in out
    assert "16 windows of the validation text of toy" in out
    layers = range(1, recipe("quick").nlayers + 1)
    maps = {f"layer{layer}-head{head}.png" for layer in layers for head in range(1, heads + 1)}
    assert {file.name for file in Path("run/attend").iterdir()} == {"index.html", "all-heads.png"} | maps
    tokens = data_of(Path("run/attend/index.html").read_text(encoding="utf-8"))["tokens"]
    assert tokens[:3] == [["the", 1], ["dog", 1], ["zebra", 0]]
    assert len(tokens) == window


def test_without_the_corpus_it_is_said(command: Command) -> None:
    """Catches a missing corpus that stops the command, and a summary of one text that passes for more."""
    config = Path("run/config.json")
    config.write_text(config.read_text().replace('"toy"', '"./gone"'))
    code, out, _ = command("attend", "run", "--text", "the dog", "--out", "here", "--no-maps", "--device", "cpu")
    assert code == 0
    assert "From this text alone" in out
    assert [file.name for file in Path("here").iterdir()] == ["index.html"]


@pytest.mark.parametrize(("arguments", "says"), [(["--text", " "], "at least one token"), ([], "--text")])
def test_a_text_is_needed(command: Command, arguments: list[str], says: str) -> None:
    """Catches a page of nothing."""
    code, _, err = command("attend", "run", *arguments, "--device", "cpu")
    assert code == 2
    assert says in err


def test_every_line_is_tokenised() -> None:
    """Catches an <eos> at the end of the whole text alone, where each line has one."""
    assert tokens_of("A b\n\nc", "words_eos") == ["A", "b", "<eos>", "c", "<eos>"]
    assert tokens_of("A b\nc", "basic_english") == ["a", "b", "c"]


def test_the_numbers_in_the_page_are_thousandths_of_the_weights() -> None:
    """Catches rounding down, and keys that are not seen written as 0 (or keys of weight 0 as not seen)."""
    model = model_of()
    reading = read(model, WORDS, ["a", "x", "b", "a"], 10)
    written = content(reading)
    for layer, heads in zip(reading.weights, written["layers"], strict=True):
        for head, of in zip(layer, heads, strict=True):
            assert [len(row) for row in of["rows"]] == [1, 2, 3, 4]
            for i, row in enumerate(of["rows"]):
                assert all(abs(x / 1000 - head[i, j].item()) <= 0.0005001 for j, x in enumerate(row))
                a = head[i, : i + 1].double()
                assert abs(of["entropy"][i] - -(a * a.log()).sum().item()) <= 0.0051
                assert abs(of["distance"][i] - sum((i - j) * a[j].item() for j in range(i + 1))) <= 0.051


def test_keys_between_that_are_not_seen_are_gaps() -> None:
    """Catches a window whose hidden keys look like weights of 0."""
    band = torch.ones(5, 5).tril().bool() & ~torch.ones(5, 5).tril(-2).bool()
    reading = read(model_of(mask=lambda n: band), WORDS, ["a"] * 5, 10)
    rows = content(reading)["layers"][0][0]["rows"]
    assert [[x is None for x in row] for row in rows] == [
        [False],
        [False, False],
        [True, False, False],
        [True, True, False, False],
        [True, True, True, False, False],
    ]


def test_no_text_ends_the_script() -> None:
    """Catches a token that closes the element it is written in; in a browser: tests/browser/test_attend_page.py."""
    hostile = ["</script>", "<!--", "]]>", "&amp;", "\u2028", "\ud800", '"', "\\"]
    text = as_script(hostile)
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert json.loads(text) == hostile
    html = page(read(model_of(), WORDS, hostile, 20), title="</style><b>\ud800", source="<i>")
    assert html.count("</script>") == 2
    assert "<b>" not in html
    assert "<i>" not in html
    html.encode()


def test_the_page_asks_for_nothing() -> None:
    """Catches an address in the page, and a policy that would let a script of others run."""
    html = page(read(model_of(), WORDS, ["a", "b"], 20), title="t", source="s")
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"// .*", "", html))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_summary_for_the_report(tmp_path: Path) -> None:
    """Catches a mean over one window, windows of the beginning alone, and a picture of other maps."""
    rows = torch.randint(4, (3, 50), generator=torch.Generator().manual_seed(0))
    model = model_of()
    summary = attention_summary(model, rows, 7, n_windows=5)
    assert (summary.n_windows, summary.window) == (5, 7)
    texts = torch.stack([rows[w // 7, w % 7 * 7 : w % 7 * 7 + 7] for w in (0, 5, 10, 15, 20)])
    handed = []
    model.eval()
    for block in model.encoder.blocks:
        ask = block.attn.attention
        block.attn.attention = lambda *x, ask=ask: ask(*x[:4], dropout=lambda w: handed.append(w) or w)
    with torch.no_grad():
        model(texts)
    for mean, weights in zip(summary.mean_maps, handed, strict=True):
        torch.testing.assert_close(mean, weights.mean(0))
    assert summary.markdown().count("\n") == 1 + 4
    summary.draw(tmp_path / "heads.png")
    assert imread(tmp_path / "heads.png").std() > 0.01


@pytest.mark.parametrize(("rows", "window", "n"), [((2, 0), 5, 3), ((2, 9), 0, 3), ((2, 9), 5, 0)])
def test_windows_of_nothing_are_refused(rows: tuple[int, int], window: int, n: int) -> None:
    """Catches an empty summary."""
    with pytest.raises(ValueError, match="at least 1"):
        spread_windows(torch.zeros(rows, dtype=torch.long), window, n)


def test_windows_are_contiguous_text_spread_over_it() -> None:
    """Catches windows across two rows, windows that are read twice, and a short text refused."""
    rows = torch.arange(40).reshape(2, 20)
    assert spread_windows(rows, 6, 3)[:, 0].tolist() == [0, 12, 32]
    assert spread_windows(rows, 6, 99)[:, 0].tolist() == [0, 6, 12, 20, 26, 32]
    assert spread_windows(rows, 50, 4).shape == (2, 20)


@pytest.mark.filterwarnings("error")
def test_any_token_can_be_drawn(tmp_path: Path) -> None:
    """Catches a token read as a formula, a warning for a script without a font, and a label as long as the map."""
    tokens = ["$x^$", "\ud800", "\x07", "語", "w" * 200, "_{"]
    draw_head(torch.eye(6), tokens, "t", tmp_path / "map.png")
    assert imread(tmp_path / "map.png").shape[1] < 1200
    assert len(drawable("w" * 200)) == 18


def test_a_map_has_queries_as_rows(tmp_path: Path) -> None:
    """Catches a picture whose axes are exchanged, or that is upside down."""
    weights = torch.zeros(20, 20)
    weights[:, 0] = 1  # every query looks at the first key: a dark column at the left
    draw_head(weights, ["x"] * 20, "", tmp_path / "map.png")
    image = imread(tmp_path / "map.png")[..., :3]
    dark = (image[..., 2] < 0.4) & (image[..., 2] > image[..., 0] + 0.15)
    width = image.shape[1]
    columns = dark[:, : width // 2].any(axis=0).nonzero()[0]
    lines = dark[:, : width // 2].any(axis=1).nonzero()[0]
    assert len(lines) > 8 * len(columns)
