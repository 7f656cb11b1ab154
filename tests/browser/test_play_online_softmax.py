# ruff: noqa: RUF001 - the page prints a minus as one
"""The online softmax's walk against a plain loop in Python, attn_lab.attention and attn_lab's own by blocks."""

import math
import random
import re

import pytest
import torch
from torch import Tensor

from attn_lab import attention
from attn_lab.efficient.online import online_attention
from tests.browser.test_play_pages import number, opened, shown_right

LOWEST = -1.7976931348623157e308
# Types scores, hides keys, chooses the block, goes to a step and reads every number.
READ = """cases => cases.map(({ scores, hidden, values, block, begin = "lowest", step = Infinity }) => {
  const set = (control, value) => {
    control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const at = (id) => document.getElementById(id);
  set(at("n"), scores.length);
  [...document.querySelectorAll("#inputs tbody tr")].forEach((row, j) => {
    const [score, box, ...value] = row.querySelectorAll("input");
    set(score, scores[j]);
    value.forEach((field, e) => set(field, values[j][e]));
    if (box.checked !== hidden[j]) box.click();
  });
  set(at("block"), block);
  set(at("begin"), begin);
  const place = document.querySelector("#walk .place");
  set(place, Math.min(step, place.max));
  const read = (e) => [e.value, e.textContent];
  const rows = [...document.querySelectorAll("#work tbody tr")].map((row) => Object.fromEntries(
    [...row.querySelectorAll("td")].map((td) => [td.dataset.of, td.firstElementChild && read(td.firstElementChild)])));
  const beside = [...document.querySelectorAll("#beside tbody tr")].map((row) =>
    [row.dataset.row, [...row.querySelectorAll("data")].map(read)]);
  return { begin: rows[0], blocks: rows.slice(1, -1), end: rows.at(-1), beside: Object.fromEntries(beside),
    said: at("step").textContent, sum: at("sum-said").textContent, last: Number(place.max) };
})"""


def drawn(seed: int) -> dict:
    """Scores, some hidden, values and a block size; with every third case a block or more of hidden keys in front."""
    source = random.Random(seed)
    n = source.randint(1, 12)
    spread = source.choice([0.5, 3, 40, 2000])
    block = source.randint(1, n)
    hidden = [source.random() < source.choice([0, 0.3, 0.7]) for _ in range(n)]
    if seed % 3 == 0:
        front = source.randint(0, min(n, 2 * block))
        hidden[:front] = [True] * front
    return {
        "scores": [source.gauss(0, 1) * spread for _ in range(n)],
        "hidden": hidden,
        "values": [[source.gauss(0, 1), source.gauss(0, 1)] for _ in range(n)],
        "block": block,
    }


def loop(case: dict) -> list[dict[str, float]]:
    """The state after each block, by the definitions: maximum and sums over all keys so far, taken anew each time."""
    states = []
    previous = LOWEST
    for stop in range(case["block"], len(case["scores"]) + case["block"], case["block"]):
        seen = [k for k in range(min(stop, len(case["scores"]))) if not case["hidden"][k]]
        here = [k for k in seen if k >= stop - case["block"]]
        m = max((case["scores"][k] for k in seen), default=LOWEST)
        powers = {k: math.exp(case["scores"][k] - m) for k in seen}
        state = {"here": max((case["scores"][k] for k in here), default=-math.inf), "m": m}
        state["shrink"] = 1.0 if m == previous else math.exp(max(previous - m, -1e6))
        state["l"] = math.fsum(powers.values())
        for e in range(2):
            state[f"o{e}"] = math.fsum(p * case["values"][k][e] for k, p in powers.items())
        states.append(state)
        previous = m
    return states


def inputs(case: dict) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query, key, value and mask with these very scores: a width of 1, and a query of 1."""
    key = torch.tensor(case["scores"], dtype=torch.float64).view(1, 1, -1, 1)
    value = torch.tensor(case["values"], dtype=torch.float64)[None, None]
    mask = ~torch.tensor(case["hidden"])[None]
    return torch.ones(1, 1, 1, 1, dtype=torch.float64), key, value, mask


def near(a: float, b: float) -> bool:
    return a == b or abs(a - b) <= 1e-12 * max(1.0, abs(b))


@pytest.fixture
def walk(page):
    return opened(page, "online_softmax")


def test_every_state_is_that_of_a_plain_loop(walk) -> None:
    """Catches a sum that is not rescaled, one rescaled twice, a block cut short, a hidden score that counts."""
    cases = [drawn(seed) for seed in range(24)]
    for case, page in zip(cases, walk.evaluate(READ, cases), strict=True):
        expected = loop(case)
        assert len(page["blocks"]) == len(expected)
        assert [float(page["begin"][of][0]) for of in ("m", "l", "o0", "o1")] == [LOWEST, 0, 0, 0]
        for row, state in zip(page["blocks"], expected):
            for of, value in state.items():
                assert near(float(row[of][0]), value), (case, of, row[of], value)
            assert shown_right([row[of] for of in state if abs(float(row[of][0])) < 1e300])
            assert row["m"][1] == "lowest" or state["m"] != LOWEST


def test_the_answer_is_the_librarys(walk) -> None:
    """Catches an output that is not divided, or by another sum; and a plain softmax beside it that is wrong itself."""
    cases = [drawn(seed) for seed in range(100, 124)]
    cases += [drawn(1) | {"hidden": [True] * len(drawn(1)["scores"])}]
    for case, page in zip(cases, walk.evaluate(READ, cases), strict=True):
        query, key, value, mask = inputs(case)
        expected = attention(query, key, value, mask)[0, 0, 0].tolist()
        by_blocks = online_attention(query, key, value, mask, block=case["block"])[0, 0, 0].tolist()
        scores = [s for s, h in zip(case["scores"], case["hidden"]) if not h]
        beside = page["beside"]
        for e in range(2):
            ours, plain = (float(cell[0]) for cell in beside[f"out{e}"])
            assert near(ours, expected[e]), case
            assert near(ours, by_blocks[e]), case
            assert near(plain, expected[e]), case
            assert float(page["end"][f"out{e}"][0]) == ours
            assert shown_right(beside[f"out{e}"])
        assert float(beside["m"][1][0]) == (max(scores) if scores else -math.inf)
        assert near(float(beside["l"][1][0]), math.fsum(math.exp(s - max(scores)) for s in scores) if scores else 0)
        (difference, _) = beside["difference"][0]
        gaps = [abs(float(beside[f"out{e}"][0][0]) - float(beside[f"out{e}"][1][0])) for e in range(2)]
        assert float(difference) == max(gaps) < 1e-13


def test_infinity_at_the_start_is_lost_only_with_a_hidden_first_block(walk) -> None:
    """Catches a page that hides the trap, or sees it where there is none."""
    cases = [drawn(seed) | {"begin": "infinity"} for seed in range(24)]
    lost = 0
    for case, page in zip(cases, walk.evaluate(READ, cases), strict=True):
        first_hidden = all(case["hidden"][: case["block"]])
        answer = [float(page["end"][f"out{e}"][0]) for e in range(2)]
        assert all(map(math.isnan, answer)) == first_hidden, case
        lost += first_hidden
        if not first_hidden:
            query, key, value, mask = inputs(case)
            expected = attention(query, key, value, mask)[0, 0, 0].tolist()
            assert all(map(near, answer, expected))
        else:
            assert page["beside"]["difference"][0] == ["NaN", "NaN"]
    assert 2 < lost < 22


def test_each_block_takes_three_steps(walk) -> None:
    """Catches numbers shown before their time, a step that rescales what it has just added, and sentences that lie."""
    case = {"scores": [0.5, -1.0, 2.0, 0.0, 1.5, 3.0, 2.5], "hidden": [False, False, False, True, False, False, False]}
    case |= {"values": [[k - 3.0, (k * k) % 5] for k in range(7)], "block": 3}
    expected = loop(case)
    steps = walk.evaluate(READ, [case | {"step": step} for step in range(11)])
    assert all(page["last"] == 10 for page in steps)
    assert steps[0]["said"].startswith("Before the first block")
    assert all(cell is None for cell in steps[0]["blocks"][0].values())
    for k, state in enumerate(expected):
        look, rescale, add = steps[1 + 3 * k : 4 + 3 * k]
        assert look["said"].startswith(f"Block {k}, key{'s' if k < 2 else ''} {3 * k}")
        old = expected[k - 1] if k else {"m": LOWEST, "l": 0.0, "o0": 0.0, "o1": 0.0}
        assert float(look["blocks"][k]["m"][0]) == state["m"]
        assert look["blocks"][k]["shrink"] is None
        assert ("rises" in look["said"]) == (state["m"] > old["m"])
        assert near(float(rescale["blocks"][k]["shrink"][0]), state["shrink"])
        for of in ("l", "o0", "o1"):
            assert near(float(rescale["blocks"][k][of][0]), old[of] * state["shrink"])
            assert near(float(add["blocks"][k][of][0]), state[of])
        if k and state["shrink"] != 1:
            told = [number(x) for x in re.findall(r"ℓ from ([−\d.]+) to ([−\d.]+),", rescale["said"])[0]]
            assert told == pytest.approx([old["l"], old["l"] * state["shrink"]], abs=6e-4)
        told = [number(x) for x in re.findall(r"ℓ = ([−\d.]+) \+ ([−\d.]+) = ([−\d.]+),", add["said"])[0]]
        added = state["l"] - old["l"] * state["shrink"]
        assert told == pytest.approx([old["l"] * state["shrink"], added, state["l"]], abs=6e-4)
        # The answer so far: that of a query which may attend to what has been seen.
        query, key, value, mask = inputs(case)
        mask[:, 3 * (k + 1) :] = False
        so_far = attention(query, key, value, mask)[0, 0, 0].tolist()
        assert all(near(float(add["beside"][f"out{e}"][0][0]), so_far[e]) for e in range(2))
        parts = [number(x) for x in re.findall(r"block \d+: ([\d.]+)", add["sum"])]
        assert len(parts) == k + 1
        assert sum(parts) == pytest.approx(state["l"], abs=2e-3)
    assert steps[10]["said"].startswith("After the last block: divide")
    assert steps[9]["end"]["out0"] is None
    assert steps[9]["beside"]["difference"] == []


def test_the_picture_is_of_these_scores(walk) -> None:
    """Catches bars upside down, a hidden score with a bar, a line that is not the running maximum."""
    case = {"scores": [1.0, -2.0, 0.5, 4.0, 3.0], "hidden": [False, False, True, False, False]}
    walk.evaluate(READ, [case | {"values": [[0, 0]] * 5, "block": 2}])
    bars = walk.locator("#plot .bar").evaluate_all(
        "es => es.map((e) => ['y', 'height'].map((k) => +e.getAttribute(k)))"
    )
    assert len(bars) == 4
    (y0, h0), (y1, h1), (y3, h3), (_, h4) = bars
    assert y0 + h0 == pytest.approx(y1)  # one stands on the axis where the other hangs
    assert [h1 / h0, h3 / h0, h4 / h0] == pytest.approx([2, 4, 3])
    levels = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)H", walk.locator("#plot .running").get_attribute("d"))]
    assert levels == pytest.approx([y0, y3, y3])


def test_the_keyboard_walks_and_a_new_block_begins_anew(walk) -> None:
    """Catches a walk that stands in the middle of blocks that are no longer there."""
    stage, count = walk.locator("#walk"), walk.locator("#walk .count")
    assert count.inner_text() == "0 / 10"
    stage.press("End")
    assert count.inner_text() == "10 / 10"
    walk.select_option("#block", "9")
    assert count.inner_text() == "0 / 4"
    stage.press("ArrowRight")
    assert "Block 0, keys 0 to 8: the largest" in walk.locator("#step").inner_text()
    walk.select_option("#n", "2")
    assert walk.locator("#block").input_value() == "2"
    walk.click("#draw")
    assert walk.locator("#seed").input_value() == "8"
    walk.locator("#vectors summary").click()
    walk.get_by_label("key 1 hidden").check()
    stage.press("End")
    assert walk.locator('#beside [data-row="l"] data').all_inner_texts() == ["1.000", "1.000"]


def test_things_to_try_show_what_is_said(walk) -> None:
    """Catches a sentence beside a button that the numbers contradict."""

    def try_(title: str) -> list[list[str]]:
        walk.locator("p", has_text=title).locator("button[data-try]").click()
        assert walk.evaluate("document.activeElement.id") == "walk"
        walk.locator("#walk").press("End")
        return [
            walk.locator(f'#work tr[data-block] [data-of="{of}"]').all_inner_texts()
            for of in ("m", "shrink", "l", "o0")
        ]

    m, shrink, *_ = try_("Rising scores")
    assert (m, shrink) == (["3.000", "6.000", "9.000"], ["0.000", "0.050", "0.050"])
    m, shrink, *_ = try_("Falling scores")
    assert (m, shrink) == (["9.000"] * 3, ["0.000", "1.000", "1.000"])
    m, shrink, total, o = try_("A hidden block in the middle")
    assert (shrink[1], m[1], total[1], o[1]) == ("1.000", m[0], total[0], o[0])
    m, shrink, total, o = try_("The first block wholly hidden")
    assert (m[0], total[0], o[0]) == ("lowest", "0.000", "0.000")
    assert walk.locator('#beside [data-row="difference"] data').inner_text() != "NaN"
    walk.select_option("#begin", "infinity")
    walk.locator("#walk").press("End")
    assert walk.locator('#work tr[data-block] [data-of="l"]').all_inner_texts() == ["NaN"] * 3
    try_("Everything hidden")
    assert walk.locator('#beside [data-row^="out"] data').all_inner_texts() == ["0.000"] * 4
    try_("Huge scores")
    assert "NaN" not in walk.locator("#play").inner_text()
    assert walk.locator('#beside [data-row="l"] data').first.inner_text() == "1.560"
    try_("Blocks of one")
    one = walk.locator('#beside [data-row^="out"] data').evaluate_all("es => es.map((e) => +e.value)")
    walk.select_option("#block", "6")
    walk.locator("#walk").press("End")
    assert one == pytest.approx(
        walk.locator('#beside [data-row^="out"] data').evaluate_all("es => es.map((e) => +e.value)"), abs=1e-14
    )
