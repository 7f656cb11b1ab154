"""The attention explorer against attn_lab and the model's own weights, and as a reader uses it."""

import functools
import gzip
import json
import math
import re
import sys
from collections.abc import Collection, Sequence
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from attn_lab import attention, corpora, masks
from attn_lab.attending import attention_weights, head_summaries
from attn_lab.corpora import basic_english
from tests.browser.test_play_pages import serious_in_article
from tests.built_pages import built_pages

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXPLORER = DOCS / "_code" / "explorer"
LAYERS, HEADS, D_HEAD = 2, 4, 16
VERBS = {
    "cat": "purrs meows",
    "dog": "barks growls",
    "cow": "moos grazes",
    "duck": "quacks paddles",
    "horse": "neighs gallops",
    "owl": "hoots stares",
    "frog": "croaks leaps",
    "bee": "buzzes hums",
}
TEMPERATURES = ("0.1", "0.7", "1", "1.3", "5")
MASKS = (("causal", 3), ("none", 3), ("window", 1), ("window", 2), ("window", 5), ("window", 8))
# Sets the controls as a reader does and reads what is shown; if asked, of every query in turn.
READ = """([settings, every]) => settings.map(({ sentence, layer, head, temperature, mask, window }) => {
  const at = (id) => document.getElementById(id);
  const set = (control, value, type) => {
    control.value = value;
    control.dispatchEvent(new Event(type, { bubbles: true }));
  };
  set(at("sentence"), sentence, "change");
  set(at("temperature"), temperature, "input");
  set(at("window"), window, "input");
  at(`mask-${mask}`).click();
  document.querySelectorAll("#heads input")[(layer - 1) * HEADS + head - 1].click();
  const exact = (parent) => [...parent.querySelectorAll("data")].map((e) => [e.value, e.textContent]);
  return {
    rows: !every ? [] : [...document.querySelectorAll("#tokens input")].map((input) => {
      input.click();
      return {
        table: [...document.querySelectorAll("#row tr")].map(exact),
        words: [...document.querySelectorAll("#tokens label")].map(exact),
        said: at("said").textContent,
      };
    }),
    measures: Object.fromEntries(
      ["entropy", "uniform", "distance", "previous", "own", "first"].map((name) => [name, exact(at(`m-${name}`))])),
    fills: [...document.querySelectorAll("#map rect[data-pair]")].map(
      (cell) => [cell.dataset.pair, cell.getAttribute("fill")]),
    whose: at("whose").textContent,
  };
})""".replace("HEADS", str(HEADS))


def built() -> Path:
    """The page's file, in a site of its own."""
    return built_pages("play/attention") / "play" / "attention.html"


@pytest.fixture(scope="module")
def code():
    """The code that the page is built with."""
    sys.path.append(str(DOCS / "_code"))
    try:
        from explorer import content, findings, model, sentences, trades

        yield SimpleNamespace(content=content, findings=findings, model=model, sentences=sentences, trades=trades)
    finally:
        sys.path.remove(str(DOCS / "_code"))


@pytest.fixture
def opened(page):
    page.set_default_timeout(60_000)  # a loaded machine draws late
    page.goto(built().as_uri())
    page.wait_for_selector("#play:not([hidden])")
    return page


@pytest.fixture
def data(opened) -> dict:
    """What the page was given."""
    return json.loads(opened.locator("#data").inner_text() or opened.locator("#data").text_content())


def given(data: dict, sentence: int, layer: int, head: int) -> Tensor:
    """The page's scores of a head, (n n)."""
    scores = data["sentences"][sentence]["scores"][layer - 1][head - 1]
    return torch.tensor(scores, dtype=torch.float64) / data["unit"]


def the_mask(name: str, window: int, n: int) -> Tensor:
    if name == "none":
        return torch.ones(n, n, dtype=torch.bool)
    return masks.causal(n) if name == "causal" else masks.sliding_window(n, window)


def by_attn_lab(scores: Tensor, temperature: float, mask: Tensor) -> Tensor:
    """The weights by attn_lab.attention: with the identity as keys and values it takes scores and shows weights."""
    n = len(scores)
    identity = torch.eye(n, dtype=torch.float64)[None, None]
    return attention((scores / temperature * math.sqrt(n))[None, None], identity, identity, mask)[0, 0]


def settings() -> list[dict]:
    """Every head and sentence, and every temperature under every mask."""
    grid = [(s, layer, head) for s in range(7) for layer in (1, 2) for head in (1, 2, 3, 4)]
    knobs = [(t, *m) for t in TEMPERATURES for m in MASKS]
    names = ("sentence", "layer", "head", "temperature", "mask", "window")
    return [dict(zip(names, (*grid[k % len(grid)], *knobs[k % len(knobs)]))) for k in range(60)]


def exact(cells: list[list[str]]) -> list[float]:
    """The numbers behind what is shown; each is shown rounded, to three digits or two."""
    for value, text in cells:
        if math.isfinite(float(value)):
            digits = len(text.partition(".")[2])
            assert abs(float(text.replace("\u2212", "-")) - float(value)) <= 0.5 * 10**-digits + 1e-9
    return [float(value) for value, _ in cells]


def test_the_numbers_are_attn_labs(opened, data: dict) -> None:
    """Catches a softmax over the wrong axis, a temperature that multiplies, a mask that is off by one or leaks, another
    head's or sentence's scores, and numbers under the words that differ from the table's.
    """
    chosen = settings()
    for setting, shown in zip(chosen, opened.evaluate(READ, [chosen, True]), strict=True):
        scores = given(data, setting["sentence"], setting["layer"], setting["head"])
        temperature, n = float(setting["temperature"]), len(scores)
        mask = the_mask(setting["mask"], setting["window"], n)
        weights = by_attn_lab(scores, temperature, mask)
        plain = (scores / temperature).masked_fill(~mask, -math.inf)
        assert torch.allclose(weights, plain.softmax(-1), rtol=0, atol=1e-12)
        assert len(shown["rows"]) == n
        for i, row in enumerate(shown["rows"]):
            table = torch.tensor([exact(cells) for cells in row["table"]], dtype=torch.float64)
            assert torch.allclose(table[:, 0], scores[i], rtol=0, atol=1e-12), setting
            assert torch.allclose(table[:, 1], plain[i], rtol=1e-12, atol=1e-12), setting
            assert torch.allclose(table[:, 2], weights[i], rtol=0, atol=1e-12), setting
            words = [exact(cells) for cells in row["words"]]
            assert [len(w) for w in words] == mask[i].long().tolist(), setting
            kept = torch.tensor([w[0] for w in words if w], dtype=torch.float64)
            assert torch.allclose(kept, weights[i][mask[i]], rtol=0, atol=1e-12), setting
            largest = data["sentences"][setting["sentence"]]["tokens"][int(weights[i].argmax())]
            assert f"looks at \u201c{largest}\u201d {weights[i].max():.3f}" in row["said"]
        own = temperature == 1 and setting["mask"] == "causal"
        assert shown["whose"].startswith("These are" if own else "Not the model's")


def test_the_measures_are_those_of_attending(opened, data: dict) -> None:
    """Catches means over the wrong queries, a distance with a sign, an entropy in bits."""
    chosen = settings()
    for setting, shown in zip(chosen, opened.evaluate(READ, [chosen, False]), strict=True):
        scores = given(data, setting["sentence"], setting["layer"], setting["head"])
        mask = the_mask(setting["mask"], setting["window"], len(scores))
        weights = by_attn_lab(scores, float(setting["temperature"]), mask)
        # A second head that sees all that the mask allows tells the summary what can be seen.
        even = mask.double() / mask.sum(-1, keepdim=True)
        expected = head_summaries([[torch.stack([weights, even])[None]]])[0]
        for name, cells in shown["measures"].items():
            want = getattr(expected, name)
            if math.isnan(want):
                assert cells == [], (setting, name)
            else:
                assert exact(cells) == pytest.approx([want], rel=0, abs=1e-9), (setting, name)


def test_what_is_coloured_is_what_the_mask_lets_through(opened, data: dict) -> None:
    """Catches a map with its axes exchanged, colours of another head, and a mask that the map does not know."""
    chosen = settings()[:12]
    for setting, shown in zip(chosen, opened.evaluate(READ, [chosen, False]), strict=True):
        scores = given(data, setting["sentence"], setting["layer"], setting["head"])
        n = len(scores)
        mask = the_mask(setting["mask"], setting["window"], n)
        weights = by_attn_lab(scores, float(setting["temperature"]), mask)
        assert [pair for pair, _ in shown["fills"]] == [f"{i} {j}" for i in range(n) for j in range(n)]
        assert [fill != "none" for _, fill in shown["fills"]] == mask.flatten().tolist()
        light = [sum(map(int, re.findall(r"\d+", fill))) for _, fill in shown["fills"] if fill != "none"]
        kept = weights[mask].tolist()
        for a, b in zip(range(len(kept)), range(1, len(kept))):  # the heavier, the darker
            if abs(kept[a] - kept[b]) > 0.02:
                assert (kept[a] > kept[b]) == (light[a] < light[b]), setting


@functools.cache
def the_weights() -> tuple[dict[str, Tensor], list[str]]:
    """The file of weights, and the words whose ids it knows."""
    weights = load_file(EXPLORER / "model.safetensors")
    return {name: weight.double() for name, weight in weights.items()}, corpora.load("toy").vocabulary.tokens


def by_hand(
    tokens: Sequence[str], cut: Collection[tuple[int, int]] = ()
) -> tuple[list[Tensor], list[Tensor], dict[str, float]]:
    """Scores and weights of every layer, (h n n), and the next word's probabilities, from the file of weights alone.

    No module of attn_lab's: the paper's model, written out. Heads in `cut`, (layer, head) from 1, find zeros.
    """
    w, known = the_weights()
    ids = torch.tensor([known.index(token) for token in tokens])
    n, dim = len(ids), HEADS * D_HEAD

    def line(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (dim,), w[f"{name}.weight"], w[f"{name}.bias"])

    angle = torch.outer(torch.arange(n).double(), 10000.0 ** (-torch.arange(0, dim, 2).double() / dim))
    places = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float().double()  # the model keeps float32
    x = w["embedding.weight"][ids] * math.sqrt(dim) + places
    all_scores, all_weights = [], []
    for k in range(LAYERS):
        at = f"encoder.blocks.{k}"
        query, key, value = (
            line(x, f"{at}.attn.linear_{name}").view(n, HEADS, D_HEAD).transpose(0, 1)
            for name in ("query", "key", "value")
        )
        scores = query @ key.mT / math.sqrt(D_HEAD)
        weights = scores.masked_fill(torch.ones(n, n).triu(1).bool(), -math.inf).softmax(-1)
        found = weights @ value
        for layer, head in cut:
            if layer == k + 1:
                found[head - 1] = 0
        x = norm(x + line(found.transpose(0, 1).reshape(n, dim), f"{at}.attn.linear_cat_attn"), f"{at}.norm1")
        x = norm(x + line(line(x, f"{at}.linear1").relu(), f"{at}.linear2"), f"{at}.norm2")
        all_scores.append(scores)
        all_weights.append(weights)
    probabilities = (x[-1] @ w["embedding.weight"].T + w["decoder.bias"]).softmax(-1)
    return all_scores, all_weights, dict(zip(known, probabilities.tolist()))


def test_the_scores_are_the_models(opened, data: dict) -> None:
    """Catches scores that are already masked or divided twice, taken before the rotation, and a careless rounding."""
    for sentence in data["sentences"]:
        scores, weights, _ = by_hand(sentence["tokens"])
        rounded = torch.tensor(sentence["scores"], dtype=torch.float64) / data["unit"]
        assert (rounded - torch.stack(scores)).abs().max() <= 0.5 / data["unit"] + 1e-9
        for layer in range(LAYERS):
            for head in range(HEADS):
                shown = by_attn_lab(rounded[layer, head], 1.0, masks.causal(len(sentence["tokens"])))
                assert (shown - weights[layer][head]).abs().max() <= 2.5e-5 + 1e-9  # as the page says


def test_the_reader_of_weights_agrees(code) -> None:
    """Catches a model that is put together otherwise than the one that was trained."""
    model, vocabulary = code.model.load()
    for sentence in code.sentences.SENTENCES:
        tokens = sentence.split()
        assert basic_english(sentence) == tokens
        assert all(token in vocabulary for token in tokens), "a word that the model reads as <unk>"
        read, _ = attention_weights(model, vocabulary.encode(tokens)[None])
        for one, other in zip(read, by_hand(tokens)[1], strict=True):
            assert torch.allclose(one[0].double(), other, rtol=0, atol=1e-9)


@functools.cache
def phrases() -> dict[str, list[tuple[list[str], int, list[Tensor], float]]]:
    """Of each order of phrases: words, the subject's place, the weights of each layer, the chance of a fitting verb."""
    found = {"the": [], "near": []}
    for subject, other in permutations(VERBS, 2):
        for order, text, place in (
            ("the", f"the {subject} near the {other}", 1),
            ("near", f"near the {other} the {subject}", 4),
        ):
            _, weights, chances = by_hand(text.split())
            found[order].append((text.split(), place, weights, sum(chances[verb] for verb in VERBS[subject].split())))
    return found


def test_the_finders_find_the_subject(code) -> None:
    """Catches a head that is called what it is not, and one that is passed over."""
    for start, found in phrases().items():
        given = code.trades.phrases(start)
        assert len(given.ids) == len(found) == 56
        for head in ((layer + 1, h + 1) for layer in range(LAYERS) for h in range(HEADS)):
            shares = [weights[head[0] - 1][head[1] - 1, -1, place].item() for _, place, weights, _ in found]
            ours = code.trades.on_word(start, given.subject)[:, head[0] - 1, head[1] - 1]
            assert sorted(ours.tolist()) == pytest.approx(sorted(shares), abs=1e-6)
            if head in code.trades.finders():
                assert sum(shares) / len(shares) >= 0.5
                assert code.trades.names()[head[0] - 1][head[1] - 1] == "subject"
    assert code.trades.finders(), "the page speaks of a head that looks for the subject"
    for layer, h in {(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3), (2, 4)} - set(code.trades.finders()):
        means = [sum(w[layer - 1][h - 1, -1, p].item() for _, p, w, _ in found) / 56 for found in phrases().values()]
        assert min(means) < 0.5
        assert code.trades.names()[layer - 1][h - 1] != "subject"


def test_cutting_heads_out_is_what_the_table_says(code) -> None:
    """Catches a cut of the wrong head, of the wrong layer, or of nothing."""
    for start, found in phrases().items():
        assert code.trades.right_verb(start) == pytest.approx(sum(right for *_, right in found) / 56, abs=1e-6)
        for cut in ([(1, 2)], [(2, 3)], code.trades.finders()):
            rights = [
                sum(by_hand(words, cut)[2][verb] for verb in VERBS[words[place]].split()) for words, place, *_ in found
            ]
            assert code.trades.right_verb(start, cut) == pytest.approx(sum(rights) / 56, abs=1e-6)


def test_what_the_page_says_of_its_heads_is_true(code) -> None:
    """Catches a text that another training has made untrue; the numbers in it are worked out, the words are not."""
    best = code.trades.best()
    assert best in code.trades.finders()
    assert best[0] == 2, "layer 2 looks for the subject: the text says so"
    for found in phrases().values():
        shares = [weights[1][best[1] - 1, -1, place].item() for _, place, weights, _ in found]
        assert sum(shares) / 56 > 0.9
        assert min(shares) > 0.6, "the text says that it looks for the subject, not for a place"
    rows = {
        name: (code.trades.right_verb("the", cut), code.trades.right_verb("near", cut))
        for name, cut in code.findings.cuts()
    }
    nothing, one, layer_1, first, every = rows.values()
    assert min(nothing) > 0.9
    assert min(n - o for n, o in zip(nothing, one)) > -0.05
    assert max(n - o for n, o in zip(nothing, one)) < 0.05, "the head with the telling map is hardly missed"
    assert layer_1[0] < 0.6, "layer 1 as a whole is missed"
    assert every[0] < first[0] - 0.3 < nothing[0] - 0.3, "one can stand in for another, to a part"
    assert every[1] > every[0] + 0.3, "the other order needs them less"
    short = by_hand(["the", "dog", "near", "the", "cat"])[0][1][best[1] - 1, 4, 2:].softmax(-1)  # a window of 3
    assert f"<em>{('near', 'the', 'cat')[int(short.argmax())]}</em> gets {short.max():.2f}" in code.findings.findings()
    text = code.findings.findings()
    far = [weights[1][best[1] - 1, -1, 1].item() for _, _, weights, _ in phrases()["the"]]
    assert f"puts {sum(far) / 56:.2f} on the subject in the mean, {min(far):.2f} at the least" in text
    seeker = code.findings.seeker()
    near = [weights[0][seeker[1] - 1, -1, 2].item() for _, _, weights, _ in phrases()["the"]]
    assert f"puts {sum(near) / 56:.2f} of its weight on <em>near</em>" in text
    assert sum(near) / 56 > 0.5, "the text says that this head looks for near"


def shown(page) -> list[str]:
    """The numbers under the words; nothing where the mask hides."""
    return [text.replace("hidden", "") for text in page.locator("#tokens .weight").all_text_contents()]


def start(data: dict) -> tuple[int, int]:
    """The head that is shown at first."""
    return data["start"]["layer"], data["start"]["head"]


def expected(data: dict, sentence: int, layer: int, head: int, i: int) -> list[str]:
    weights = given(data, sentence, layer, head)[i, : i + 1].softmax(-1).tolist()
    return [f"{w:.3f}" for w in weights] + [""] * (len(data["sentences"][sentence]["tokens"]) - i - 1)


def test_pointing_at_a_word_shows_its_weights(opened, data: dict) -> None:
    """Catches rows and columns exchanged, and a row that stays when the pointer has left."""
    head = start(data)
    assert shown(opened) == expected(data, 0, *head, 4)
    opened.locator("#tokens label").nth(5).hover()
    assert shown(opened) == expected(data, 0, *head, 5)
    opened.locator("h1").hover()
    assert shown(opened) == expected(data, 0, *head, 4)


def test_the_map_tells_the_weight_of_a_pair_and_keeps_a_row(opened, data: dict) -> None:
    """Catches a map that is read with its axes exchanged, and a click that chooses a column."""
    tokens = data["sentences"][0]["tokens"]
    head = start(data)
    opened.locator('#map rect[data-pair="5 1"]').hover()
    weight = given(data, 0, *head)[5, :6].softmax(-1)[1].item()
    said = f"\u201c{tokens[5]}\u201d (6) gives {weight:.3f} to \u201c{tokens[1]}\u201d (2)"
    assert opened.locator("#cell").inner_text() == said
    assert shown(opened) == expected(data, 0, *head, 5)
    opened.locator('#map rect[data-pair="2 5"]').click()
    assert "does not see" in opened.locator("#cell").inner_text()
    opened.locator("h1").hover()
    assert shown(opened) == expected(data, 0, *head, 2)


def test_the_keyboard_alone_does_it_all(opened, data: dict) -> None:
    """Catches a page that wants a mouse, a focus that nobody sees, and a choice that forgets the one before."""

    def press(*keys: str) -> None:
        for key in keys:
            opened.keyboard.press(key)

    opened.locator("#sentence").focus()
    press("ArrowDown", "ArrowDown", "ArrowDown", "Tab", *["ArrowLeft"] * (HEADS + start(data)[1] - 2))  # head 1.2
    n = len(data["sentences"][3]["tokens"])
    assert shown(opened) == expected(data, 3, 1, 2, n - 1)
    outline = "getComputedStyle(document.activeElement.parentElement).outlineStyle"
    assert opened.evaluate(outline) == "solid"
    press("Tab", "ArrowRight", "Tab", "ArrowDown")  # temperature 1.1; from causal to the window
    assert opened.evaluate("document.getElementById('temperature').value") == "1.1"
    assert opened.evaluate("document.activeElement.id") == "mask-window"
    press("Tab", "ArrowRight", "Tab", "Enter")  # a longer window; back to the model's own
    assert opened.evaluate("[...document.querySelectorAll('#window, #temperature')].map((e) => e.value)") == ["1", "4"]
    assert opened.evaluate("document.getElementById('mask-causal').checked")
    press("Tab", "ArrowLeft", "ArrowLeft")
    assert shown(opened) == expected(data, 3, 1, 2, n - 3)
    assert opened.evaluate(outline) == "solid"


def test_touching_the_window_chooses_it(opened) -> None:
    """Catches a slider that moves and changes nothing."""
    opened.locator("#window").focus()
    opened.keyboard.press("Home")
    assert shown(opened) == ["", "", "", "", "1.000", "", ""]


def test_small_maps_are_the_heads(opened, data: dict) -> None:
    """Catches small maps in another order, or of the model's own weights only: opaque where a mask lets through."""
    opened.locator("#mask-none").check()
    pixels = """() => [...document.querySelectorAll("#heads canvas")].map((canvas) => {
      const copy = document.createElement("canvas"), { width } = canvas;  // the page's own is not there to be read
      copy.width = copy.height = width;
      const pen = copy.getContext("2d", { willReadFrequently: true });
      pen.drawImage(canvas, 0, 0);
      const { data } = pen.getImageData(0, 0, width, width);
      const sum = (k) => data[4 * k + 3] ? data[4 * k] + data[4 * k + 1] + data[4 * k + 2] : -1;
      return [width, [...Array(width * width).keys()].map(sum)];
    })"""
    for k, (width, sums) in enumerate(opened.evaluate(pixels)):
        weights = given(data, 0, k // HEADS + 1, k % HEADS + 1).softmax(-1).flatten()
        assert width == len(data["sentences"][0]["tokens"])
        assert min(sums) >= 0
        assert int(weights.argmax()) in [c for c, s in enumerate(sums) if s == min(sums)]
    opened.locator("#mask-causal").check()
    width, sums = opened.evaluate(pixels)[0]
    assert [s >= 0 for s in sums] == masks.causal(width).flatten().tolist()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 375, 1280])
def test_it_fits_and_can_be_read(opened, width: int, scheme: str) -> None:
    """Catches a page that scrolls sideways on a phone, text without contrast, controls without a name."""
    opened.set_viewport_size({"width": width, "height": 700})
    opened.emulate_media(color_scheme=scheme)
    for sentence in ("0", "4"):
        opened.select_option("#sentence", sentence)
        opened.locator("#tokens label").nth(3).click()
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.wait_for_timeout(300)  # the theme fades from one to the other
    assert serious_in_article(opened) == []


def test_dark_is_dark(opened) -> None:
    """Catches maps that keep the light page's colours."""
    look = """[document.querySelector("#heads canvas").toDataURL(),
      document.querySelector("#map rect").getAttribute("fill")]"""
    light = opened.evaluate(look)
    opened.emulate_media(color_scheme="dark")
    opened.wait_for_function("document.body.dataset.mdColorScheme === 'slate'")
    opened.wait_for_timeout(50)
    assert all(a != b for a, b in zip(light, opened.evaluate(look)))


def test_without_javascript_the_page_says_so(browser) -> None:
    """Catches dead controls in front of a reader without scripts."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(built().as_uri())
    assert page.locator("noscript").first.is_visible()
    assert not page.locator("#play").is_visible()
    assert not page.locator("button[data-try]").first.is_visible()
    context.close()


def test_it_weighs_little() -> None:
    """Catches data that outgrow a phone's patience: with all that the page loads, compressed."""
    html = built().read_text(encoding="utf-8")
    loaded = {built()}
    for link in re.findall(r'(?:src|href)="([^"#:]+\.(?:js|css))"', html):
        loaded.add((built().parent / link).resolve())
    weight = sum(len(gzip.compress(path.read_bytes())) for path in loaded)
    print(f"{weight / 1000:.0f} kB compressed, of it the page {len(gzip.compress(html.encode())) / 1000:.0f}")
    assert weight <= 400_000


def test_the_buttons_show_what_they_promise(opened, data: dict, code) -> None:
    """Catches a button that sets something else than the text beside it speaks of, or leaves an old setting."""
    buttons = opened.locator("button[data-try]")
    assert buttons.count() == 9
    for k in range(buttons.count()):
        opened.locator("#mask-none").check()
        opened.locator("#temperature").fill("3")
        wanted = json.loads(buttons.nth(k).get_attribute("data-try"))
        buttons.nth(k).click()
        temperature, mask = wanted.get("temperature", 1), wanted.get("mask", "causal")
        scores = given(data, wanted["sentence"], wanted["layer"], wanted["head"])
        window = wanted.get("window", 3)
        weights = by_attn_lab(scores, temperature, the_mask(mask, window, len(scores)))[wanted["query"]]
        seen = the_mask(mask, window, len(scores))[wanted["query"]]
        assert shown(opened) == [f"{w:.3f}" if s else "" for w, s in zip(weights.tolist(), seen.tolist())]
        label = f"Head {wanted['layer']}.{wanted['head']} "
        assert opened.locator("#one").inner_text().startswith(label)
        assert opened.evaluate("document.activeElement.name") == "token"


def test_no_two_elements_have_one_id(opened) -> None:
    """Catches controls that answer for each other."""
    ids = opened.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
