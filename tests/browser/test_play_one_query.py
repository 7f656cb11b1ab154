# ruff: noqa: RUF001 - a minus is printed as one
"""The walk through one query against attn_lab.attention and torch, in float64, number by number."""

import itertools
import math
import re

import pytest
import torch
from torch import Tensor

from attn_lab import attention, masks
from attn_lab.scaled_dot_product import masked_softmax
from tests.browser.test_play_pages import number, opened, shown_right

# Sets the controls as a reader does, reads the vectors from their fields, goes to the end and reads every number.
READ = """settings => settings.map((setting) => {
  for (const [id, value] of Object.entries(setting)) {
    const control = document.getElementById(id);
    if (control.type === "checkbox") control.checked = value; else control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
  }
  return WALK_TO_THE_END();
})"""
END = """() => {
  const place = document.querySelector("#walk .place");
  place.value = place.max;
  place.dispatchEvent(new Event("input", { bubbles: true }));
  const found = (of) => [...document.querySelectorAll(`#work [data-of="${of}"] data`)];
  const cells = (of) => found(of).map((e) => [e.value, e.textContent]);
  const kinds = ["score", "scale", "mask", "exp", "weight", "part0", "part1", "total", "one", "output0", "output1"];
  return {
    vectors: [...document.querySelectorAll("#inputs tbody tr")].map((row) =>
      [...row.querySelectorAll("input")].map((e) => e.valueAsNumber)),
    ...Object.fromEntries(kinds.map((of) => [of, cells(of)])),
    peak: [...document.querySelectorAll("#peak data")].map((e) => Number(e.value)),
    position: Number(document.getElementById("position").value),
    bars: [...document.querySelectorAll("#work .play-bar i")].map((e) => parseFloat(e.style.width)),
  };
}"""


def values(cells: list[list[str]]) -> Tensor:
    return torch.tensor([float(value) for value, _ in cells], dtype=torch.float64)


def vectors(page: dict) -> tuple[Tensor, Tensor, Tensor]:
    """Query (d), keys (n d) and values (n 2), as the fields hold them."""
    query, *rows = (torch.tensor(row, dtype=torch.float64) for row in page["vectors"])
    rows = torch.stack(rows)
    return query, rows[:, : len(query)], rows[:, len(query) :]


def close(a: Tensor, b: Tensor) -> bool:
    return bool(torch.allclose(a, b, rtol=1e-12, atol=1e-14))


def agrees(page: dict, scale: bool, causal: bool) -> None:
    """Every number of the walk's end, by torch and attn_lab."""
    query, key, value = vectors(page)
    d, n = len(query), len(key)
    mask = masks.causal(n)[page["position"]] if causal else torch.ones(n, dtype=torch.bool)
    scores = torch.einsum("d, j d -> j", query, key)
    scaled = scores / math.sqrt(d) if scale else scores
    hidden = scaled.masked_fill(~mask, -math.inf)
    assert close(values(page["score"]), scores)
    assert close(values(page["scale"]), scaled)
    assert torch.equal(values(page["mask"]).isinf(), ~mask)
    assert close(values(page["mask"])[mask], scaled[mask])
    powers = (hidden - hidden.max()).exp()
    assert close(values(page["exp"]), powers)
    assert close(values(page["total"]), powers.sum()[None])
    weights = masked_softmax(scaled[None], mask[None])[0]
    assert close(values(page["weight"]), weights)
    assert close(values(page["one"]), torch.ones(1, dtype=torch.float64))
    assert close(torch.stack([values(page["part0"]), values(page["part1"])], dim=1), weights[:, None] * value)
    # attention scales by itself: a query √d as long undoes that.
    asked = query if scale else query * math.sqrt(d)
    output = attention(asked.view(1, 1, 1, d), key[None, None], value[None, None], mask[None])[0, 0, 0]
    assert close(torch.cat([values(page["output0"]), values(page["output1"])]), output)
    for of in ("score", "scale", "mask", "exp", "weight", "part0", "part1", "total", "one", "output0", "output1"):
        shown = [cell for cell in page[of] if cell[0] != "-Infinity"]
        assert shown_right(shown)
    assert torch.allclose(torch.tensor(page["bars"], dtype=torch.float64), 100 * weights, atol=1e-3)
    both = [masked_softmax(s[None], mask[None])[0] for s in (scores / math.sqrt(d), scores)]
    told = [number_ for w in both for number_ in (w.max(), torch.special.entr(w).sum())]
    assert close(torch.tensor(page["peak"], dtype=torch.float64), torch.stack(told))


@pytest.fixture
def walk(page):
    return opened(page, "one_query")


def test_every_number_is_the_librarys(walk) -> None:
    """Catches a wrong scale, a mask that hides the query itself, columns for rows, a softmax over the wrong keys."""
    grid = []
    shapes = itertools.product((1, 2, 4, 8, 16), (1, 3, 6), (True, False), (True, False))
    for seed, (d, n, scale, causal) in enumerate(shapes):
        position = seed % n
        grid.append(
            {"d": str(d), "n": str(n), "seed": seed, "scale": scale, "causal": causal, "position": str(position)}
        )
    pages = walk.evaluate(READ.replace("WALK_TO_THE_END", f"({END})"), grid)
    for setting, page in zip(grid, pages, strict=True):
        assert page["position"] == int(setting["position"])
        query, key, value = vectors(page)
        d, n = int(setting["d"]), int(setting["n"])
        assert (len(query), *key.shape, *value.shape) == (d, n, d, n, 2)
        agrees(page, setting["scale"], setting["causal"])
    drawn = torch.cat([torch.cat([part.flatten() for part in vectors(page)]) for page in pages])
    assert drawn.std() == pytest.approx(1, abs=0.1)


def test_numbers_of_ones_own(walk) -> None:
    """Catches a field that changes another number, or none; and huge scores that overflow."""
    walk.locator("#vectors summary").click()
    walk.get_by_label("query, number 2").fill("-7.25")
    walk.get_by_label("key 3, number 1").fill("88")
    walk.get_by_label("key 0, number 4").fill("-100")
    walk.get_by_label("value 3, number 2").fill("12.5")
    page = walk.evaluate(END)
    query, key, value = vectors(page)
    assert (query[1], key[3, 0], key[0, 3], value[3, 1]) == (-7.25, 88, -100, 12.5)
    agrees(page, scale=True, causal=True)
    assert values(page["part1"])[3] > 12  # the heaviest key's own value


def test_a_field_that_cannot_be_read_is_marked(walk) -> None:
    """Catches NaN that spreads over the page from an empty field, and a number out of bounds that is taken."""
    walk.locator("#vectors summary").click()
    field = walk.get_by_label("query, number 1")
    before, kept = walk.evaluate(END), field.input_value()
    for wrong in ("", "1e9"):
        field.fill(wrong)
        assert field.get_attribute("aria-invalid") == "true"
        assert walk.evaluate(END)["score"] == before["score"]
    field.press("Tab")
    assert field.input_value() == kept
    assert field.get_attribute("aria-invalid") is None


def test_drawing_anew(walk) -> None:
    """Catches a button that draws the same numbers, and a seed that does not bring its numbers back."""
    first = walk.evaluate(END)["vectors"]
    walk.click("#draw")
    second = walk.evaluate(END)["vectors"]
    assert first != second
    assert walk.locator("#seed").input_value() == "2"
    walk.locator("#seed").fill("1")
    assert walk.evaluate(END)["vectors"] == first


def test_each_step_says_what_it_does(walk) -> None:
    """Catches a sentence whose numbers are not those of the step, and numbers shown before their time."""
    page = walk.evaluate(END)
    query, key, value = vectors(page)
    n, weights = 5, values(page["weight"])
    stage = walk.locator("#walk")
    stage.press("Home")
    kinds = ["score"] * n + ["scale", "mask", "exp", "weight"] + ["part0"] * n
    assert "Query 3 is q = (" in walk.locator("#step").inner_text()
    assert walk.locator("#work data").count() == 0
    shown = 0
    sums = (weights[:, None] * value).cumsum(dim=0)
    for step, kind in enumerate(kinds, 1):
        stage.press("ArrowRight")
        said = walk.locator("#step").inner_text()
        assert walk.locator("#walk .count").inner_text() == f"{step} / {len(kinds)}"
        now = walk.locator(f'#work [data-of="{kind}"].now')
        assert now.count() == (1 if kind in ("score", "part0") else n)
        before, shown = shown, walk.locator("#work tbody data").count()
        assert shown - before == {"score": 1, "part0": 2}.get(kind, n)
        if kind == "score":
            products = re.findall(r"(\(?[−\d.]+\)?)·(\(?[−\d.]+\)?)", said)
            assert [[number(x.strip("()")) for x in pair] for pair in products] == [
                [a, b] for a, b in zip(query.tolist(), key[step - 1].tolist())
            ]
            assert abs(number(said.split("=")[-1]) - float(page["score"][step - 1][0])) < 6e-4
        elif kind == "scale":
            assert "√4 = 2.000" in said
        elif kind == "mask":
            assert "sees keys 0 to 3" in said
        elif kind == "exp":
            largest = number(re.search(r"m = ([−\d.]+\d)", said)[1])
            assert abs(largest - values(page["mask"]).max()) < 6e-4
        elif kind == "part0":
            j = step - n - 5
            assert f"value {j}" in said
            told = [number(x) for x in re.findall(r"\(([−\d.]+), ([−\d.]+)\)", said)[-1]]
            assert torch.allclose(torch.tensor(told, dtype=torch.float64), sums[j], atol=6e-4)
    assert "That is the output" in said
    point = walk.locator("#plot .output")
    assert point.count() == 1
    reach = 1.2 * max(1, value.abs().max().item(), sums.abs().max().item())
    x, y = sums[-1].tolist()
    place = [float(point.get_attribute(name)) for name in ("cx", "cy")]
    assert place == pytest.approx([100 * (1 + x / reach), 100 * (1 - y / reach)])


def test_buttons_keys_and_slider_go_the_same_way(walk) -> None:
    """Catches a step that is lost, one beyond an end, and arrow keys that are stolen from a wide table."""
    count, stage = walk.locator("#walk .count"), walk.locator("#walk")
    assert walk.locator("#walk .back").get_attribute("aria-disabled") == "true"
    walk.locator("#walk .back").press("Enter")
    assert count.inner_text() == "0 / 14"
    walk.click("#walk .next")
    walk.click("#walk .next")
    walk.click("#walk .back")
    assert count.inner_text() == "1 / 14"
    stage.press("End")
    stage.press("ArrowRight")
    assert count.inner_text() == "14 / 14"
    assert walk.locator("#walk .next").get_attribute("aria-disabled") == "true"
    stage.press("ArrowLeft")
    assert count.inner_text() == "13 / 14"
    walk.locator("#walk .place").press("ArrowLeft")
    assert count.inner_text() == "12 / 14"
    assert walk.locator("#walk .place").get_attribute("aria-valuetext") == "step 12 of 14"
    walk.locator("#walk .play-scroll").press("ArrowRight")  # scrolls the table
    stage.press("Shift+ArrowRight")
    assert count.inner_text() == "12 / 14"
    stage.press("Home")
    assert count.inner_text() == "0 / 14"


def test_it_plays_to_the_end_and_can_be_stopped(walk) -> None:
    """Catches a walk that does not move, does not stop, or runs on behind the reader's back."""
    count, run = walk.locator("#walk .count"), walk.locator("#walk .run")
    walk.evaluate("document.getElementById('walk').dataset.pace = 40")
    run.click()
    walk.wait_for_function("document.querySelector('#walk .count').textContent === '14 / 14'")
    assert run.inner_text() == "Play"
    walk.evaluate("document.getElementById('walk').dataset.pace = 60000")
    run.click()  # from the beginning again
    assert count.inner_text() == "0 / 14"
    assert run.inner_text() == "Pause"
    run.click()
    assert run.inner_text() == "Play"
    run.click()
    walk.locator("#walk").press("ArrowRight")
    assert (count.inner_text(), run.inner_text()) == ("2 / 14", "Play")


def test_things_to_try_show_what_is_said(walk) -> None:
    """Catches a sentence beside a button that the numbers contradict."""

    def try_(title: str) -> Tensor:
        walk.locator("p", has_text=title).locator("button[data-try]").click()
        return values(walk.evaluate(END)["weight"])

    peaked = try_("Wide and not divided")
    walk.check("#scale")
    flat = values(walk.evaluate(END)["weight"])
    assert peaked.max() > 0.9 > 0.8 > flat.max()
    assert torch.equal(peaked.argsort(), flat.argsort())
    assert torch.special.entr(flat).sum() > torch.special.entr(peaked).sum() + 0.5
    assert try_("The first token has no choice").tolist() == [1, 0, 0, 0, 0]
    page = walk.evaluate(END)
    assert torch.equal(torch.cat([values(page["output0"]), values(page["output1"])]), vectors(page)[2][0])
    walk.locator("p", has_text="Masking comes before").locator("button[data-try]").click()
    assert "Mask" in walk.locator("#step strong").inner_text()
    assert walk.locator('#work [data-of="mask"] data').all_inner_texts().count("−∞") == 2
    assert values(walk.evaluate(END)["weight"]).sum() == pytest.approx(1, abs=1e-15)
    assert try_("A query that asks nothing").tolist() == pytest.approx([0.2] * 5, abs=1e-15)
    page = walk.evaluate(END)
    assert close(torch.cat([values(page["output0"]), values(page["output1"])]), vectors(page)[2].mean(dim=0))
    shifted = try_("The same added to every key")
    first = vectors(walk.evaluate(END))[1][:, 0]
    walk.locator("#seed").fill("1")  # drawn again, so not shifted
    assert close(shifted, values(walk.evaluate(END)["weight"]))
    assert torch.allclose(first - 1, vectors(walk.evaluate(END))[1][:, 0])
    assert walk.evaluate("document.activeElement.id") == "seed"
