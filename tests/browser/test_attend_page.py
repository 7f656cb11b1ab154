"""The page of attention weights, as a reader uses it: pointer, keyboard, phone, dark."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attn_lab import TransformerLanguageModel, masks
from attn_lab.attending.page import page as page_text
from attn_lab.attending.reading import read
from attn_lab.corpora import Vocabulary

HOSTILE = ["<script>alert(1)</script>", "</script>", "<img", "src=x", "onerror=alert(2)>", "<!--", "&lt;", "\u2028"]
TOKENS = ["a", "b", *HOSTILE, "c", "\u202e", "$x$", "w" * 90, "a"]
LAYERS, HEADS, N = 2, 3, len(TOKENS)


@pytest.fixture(scope="module")
def model() -> TransformerLanguageModel:
    torch.manual_seed(3)
    model = TransformerLanguageModel(4, 12, HEADS, 16, LAYERS)
    for parameter in model.parameters():  # far from even weights
        torch.nn.init.normal_(parameter, std=0.6)
    return model.eval()


@pytest.fixture(scope="module")
def truth(model: TransformerLanguageModel) -> list[Tensor]:
    """The weights by hand, in float64, of every layer (h n n)."""
    ids = torch.tensor([[1, 2, *[0] * len(HOSTILE), 3, 0, 0, 0, 1]])
    model = model.double()
    weights = []
    with torch.no_grad():
        x = model.positions(model.embedding(ids) * model.scale)
        for block in model.encoder.blocks:
            query, key = (
                line(x)[0].reshape(N, HEADS, -1).transpose(0, 1)
                for line in (block.attn.linear_query, block.attn.linear_key)
            )
            scores = query @ key.mT / math.sqrt(query.shape[-1])
            weights.append(scores.masked_fill(~masks.causal(N), -math.inf).softmax(-1))
            x = block(x, masks.causal(N))
    model.float()
    return weights


@pytest.fixture
def opened(page, model: TransformerLanguageModel, truth: list[Tensor], tmp_path: Path):
    reading = read(model, Vocabulary(["<unk>", "a", "b", "c"], 0), TOKENS, 50)
    file = tmp_path / "index.html"
    file.write_text(page_text(reading, title="</title><script>alert(3)</script>", source="none"), encoding="utf-8")
    page.goto(file.as_uri())
    return page


def shown(page) -> list[str]:
    return page.locator("#tokens .number").all_inner_texts()


def expected(weights: Tensor, i: int) -> list[str]:
    return [f"{w:.3f}" for w in weights[i, : i + 1].tolist()] + [""] * (N - i - 1)


def near(got: list[str], want: list[str]) -> bool:
    """Equal to half a thousandth more: float32 may round the other way than float64 at a tie."""
    same = [a == b or (a and b and abs(float(a) - float(b)) < 0.0011) for a, b in zip(got, want, strict=True)]
    return all(same) and sum(a != b for a, b in zip(got, want)) <= 1


def test_pointing_at_a_token_shows_its_weights(opened, truth: list[Tensor]) -> None:
    """Catches rows and columns exchanged, another head's weights, and numbers that are not the model's."""
    assert near(shown(opened), expected(truth[0][0], N - 1))
    for i in (0, 4, N - 2):
        opened.locator("#tokens label").nth(i).hover()
        assert near(shown(opened), expected(truth[0][0], i))
    opened.locator("h1").hover()
    assert near(shown(opened), expected(truth[0][0], N - 1))


def test_the_keyboard_alone_does_it_all(opened, truth: list[Tensor]) -> None:
    """Catches a page that wants a mouse, and a focus that nobody sees."""
    opened.keyboard.press("Tab")  # to the heads
    opened.keyboard.press("ArrowRight")
    assert near(shown(opened), expected(truth[0][1], N - 1))
    for _ in range(3):
        opened.keyboard.press("ArrowDown")  # on to the second layer
    assert near(shown(opened), expected(truth[1][1], N - 1))
    for _ in range(3):
        opened.keyboard.press("Tab")  # layer, head, tokens
    opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("ArrowLeft")
    assert near(shown(opened), expected(truth[1][1], N - 3))
    outline = opened.evaluate("getComputedStyle(document.activeElement.parentElement).outlineStyle")
    assert outline == "solid"
    assert f"token {N - 2} of {N}" in opened.locator("#said").inner_text()


def test_layer_and_head_are_chosen_by_name(opened, truth: list[Tensor]) -> None:
    """Catches selects and small maps that fall apart."""
    opened.select_option("#layer", label="2")
    opened.select_option("#head", label="3")
    assert near(shown(opened), expected(truth[1][2], N - 1))
    assert opened.locator("#heads label:has(:checked)").inner_text().startswith("2.3")
    opened.locator("#heads label").nth(1).click()
    assert near(shown(opened), expected(truth[0][1], N - 1))
    assert [opened.locator(s).input_value() for s in ("#layer", "#head")] == ["0", "1"]


def test_the_map_tells_the_weight_of_a_pair(opened, truth: list[Tensor]) -> None:
    """Catches a map that is drawn, or read, with its axes exchanged."""
    box = opened.locator("#map").bounding_box()
    i, j = 10, 1
    opened.locator("#map").hover(position={"x": (j + 0.5) * box["width"] / N, "y": (i + 0.5) * box["height"] / N})
    said = opened.locator("#cell").inner_text()
    assert said.startswith(f"“c” ({i + 1}) gives ")
    assert said.endswith("to “b” (2)")
    assert abs(float(re.search(r"gives ([\d.]+)", said)[1]) - truth[0][0][i, j].item()) < 6e-4
    drawn = opened.evaluate(
        """n => {
          const map = document.getElementById("map"), size = map.width, at = (k) => Math.floor(((k + 0.5) * size) / n);
          const { data } = map.getContext("2d").getImageData(0, 0, size, size);
          return [...Array(n).keys()].map((i) => [...Array(n).keys()].map((j) => data[4 * (at(i) * size + at(j)) + 3]));
        }""",
        N,
    )
    assert [[opacity == 255 for opacity in row] for row in drawn] == masks.causal(N).tolist()


def test_hostile_tokens_are_text(opened) -> None:
    """Catches a token that is read as HTML, ends the script, or runs; the fixture fails on any dialog or error."""
    words = opened.locator("#tokens bdi").all_text_contents()
    assert [word.removesuffix("\u00a0?") for word in words] == TOKENS
    assert [word.endswith("\u00a0?") for word in words] == [token not in ("a", "b", "c") for token in TOKENS]
    assert opened.locator("#tokens img, #tokens script").count() == 0
    assert opened.locator("script").count() == 2
    assert "</title><script>alert(3)</script>" in opened.locator("header p").first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 375, 1280])
def test_it_fits_and_can_be_read(opened, serious, width: int, scheme: str) -> None:
    """Catches a page that scrolls sideways on a phone, text without contrast, controls without a name."""
    opened.set_viewport_size({"width": width, "height": 700})
    opened.emulate_media(color_scheme=scheme)
    opened.locator("#tokens label").nth(3).click()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert serious() == []


def test_dark_is_dark(opened) -> None:
    """Catches maps that keep the light page's colours."""
    first = "document.querySelector('#heads canvas').toDataURL()"
    light = opened.evaluate(first)
    opened.emulate_media(color_scheme="dark")
    opened.wait_for_timeout(50)
    assert opened.evaluate(first) != light
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", background)[:3])) < 60
