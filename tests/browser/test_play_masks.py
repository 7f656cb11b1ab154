"""The mask explorer against attn_lab.masks: every cell, every count, and the code that it offers."""

import itertools
import re

import pytest
import torch
from torch import Tensor

from attn_lab import masks
from attn_lab.efficient.cost import Sizes, einsum_cost
from tests.browser.test_play_pages import opened

TIMES, DASH, PERCENT = "\u00d7", "\u2013", "\u00a0%"
DEFAULT = {
    "n": 12,
    "causal": True,
    "windowed": False,
    "window": 4,
    "prefixed": False,
    "prefix": 4,
    "padded": False,
    "real": 9,
    "d": 64,
    "block": 4,
}
# Sets the controls, the length first, and reads what the page shows.
READ = """settings => settings.map((setting) => {
  for (const [id, value] of Object.entries(setting)) {
    const control = document.getElementById(id);
    if (control.type === "checkbox") control.checked = value; else control.value = value;
    if (id === "n" || id === "block") control.dispatchEvent(new Event("input", { bubbles: true }));
  }
  const path = (kind) => document.querySelector(`#matrix svg path.${kind}`).getAttribute("d");
  const row = (name) => [...document.querySelectorAll(`#cost-${name} data`)].map((e) => [e.value, e.textContent]);
  return {
    kinds: Object.fromEntries(["kept", "future", "far", "padding"].map((kind) => [kind, path(kind)])),
    skipped: path("skipped"),
    code: document.getElementById("code").textContent,
    same: [...document.querySelectorAll("#same pre")].map((e) => e.textContent),
    shape: document.getElementById("shape").textContent,
    share: document.getElementById("share").textContent,
    saving: document.getElementById("saving").textContent,
    cost: Object.fromEntries(["dense", "blocked", "kept"].map((name) => [name, row(name)])),
    blocks: document.querySelector("#cost-blocked th").textContent,
  };
})"""


def settings() -> list[dict[str, object]]:
    """A grid: every switch on and off, at several lengths, with limits at 0, 1, in the middle, and beyond."""
    grid = []
    for n, causal in itertools.product((1, 2, 5, 12, 33), (True, False)):
        windows = (None, 1, 3, n)
        prefixes = (None, 0, 2, n)
        reals = (None, 0, n // 2, n)
        for k, (window, prefix, real) in enumerate(itertools.product(windows, prefixes, reals)):
            grid.append(
                {
                    "n": n,
                    "causal": causal,
                    "windowed": window is not None,
                    "window": min(window or 1, n),
                    "prefixed": prefix is not None,
                    "prefix": min(prefix or 0, n),
                    "padded": real is not None,
                    "real": real or 0,
                    "d": 1 + 7 * (k % 5),
                    "block": (1, 2, 3, 4, 8, 32)[k % 6],
                }
            )
    return grid


def expected(s: dict) -> Tensor:
    """The mask by attn_lab, and the prefix by its definition."""
    n = s["n"]
    mask = torch.ones(n, n, dtype=torch.bool)
    if s["causal"]:
        mask &= masks.causal(n)
    if s["windowed"]:
        mask &= masks.sliding_window(n, s["window"], causal=False)
    if s["prefixed"]:
        mask[:, : s["prefix"]] = True
    if s["padded"]:
        mask = (mask & masks.padding([s["real"]], n))[0, 0]
    return mask


def cells(path: str, n: int) -> Tensor:
    """Where the squares of a path lie."""
    drawn = torch.zeros(n, n, dtype=torch.int)
    for j, i in re.findall(r"M(\d+) (\d+)h1v1h-1z", path):
        drawn[int(i), int(j)] += 1
    return drawn


@pytest.fixture
def explorer(page):
    return opened(page, "masks")


@pytest.fixture(scope="module")
def seen(browser) -> list[tuple[dict, dict]]:
    """Each setting, and what the page shows for it."""
    context, grid = browser.new_context(), settings()
    shown = opened(context.new_page(), "masks").evaluate(READ, grid)
    context.close()
    return list(zip(grid, shown, strict=True))


def test_every_cell_is_the_librarys(seen) -> None:
    """Catches rows for columns, a window one too wide, a prefix that opens padding, a cell drawn twice or never."""
    for s, page in seen:
        drawn = {kind: cells(path, s["n"]) for kind, path in page["kinds"].items()}
        assert torch.equal(sum(drawn.values()), torch.ones(s["n"], s["n"], dtype=torch.int)), s
        assert torch.equal(drawn["kept"].bool(), expected(s)), s


def test_a_hidden_cell_is_drawn_as_what_hides_it(seen) -> None:
    """Catches hatching for a mask that does not forbid the pair, or a later one's where an earlier forbids it."""
    for s, page in seen:
        n, everything = s["n"], torch.ones(s["n"], s["n"], dtype=torch.bool)
        opened_ = torch.arange(n) < (s["prefix"] if s["prefixed"] else 0)
        future = ~masks.causal(n) & ~opened_ if s["causal"] else ~everything
        far = ~masks.sliding_window(n, s["window"], causal=False) & ~opened_ if s["windowed"] else ~everything
        padding = (~masks.padding([s["real"]], n))[0, 0].expand(n, n) if s["padded"] else ~everything
        assert torch.equal(cells(page["kinds"]["future"], n).bool(), future), s
        assert torch.equal(cells(page["kinds"]["far"], n).bool(), far & ~future), s
        assert torch.equal(cells(page["kinds"]["padding"], n).bool(), padding & ~far & ~future), s


def test_the_code_makes_this_mask(seen) -> None:
    """Catches code that does not run, makes another mask, or has brackets that do not say what was meant."""
    for s, page in seen:
        n, lines = s["n"], [page["code"], *page["same"]]
        for line in lines:
            names = {"masks": masks, "torch": torch}
            exec(line, names)
            made = names["mask"]
            if made is None:
                made = torch.ones(n, n, dtype=torch.bool)
                assert page["shape"].startswith("None: no mask")
            elif line is page["code"]:
                kind = "(n n)" if made.ndim == 2 else "(b 1 1 n)" if made.shape[2] < n else "(b 1 n n)"
                assert n == 1 or page["shape"].startswith(f"Its shape: {kind} with"), (line, page["shape"])
            assert made.dtype == torch.bool
            assert torch.equal(made.expand(1, 1, n, n)[0, 0], expected(s)), line
        assert page["code"].startswith("from attn_lab import masks\n\nmask = ")
        assert len(page["same"]) == (s["prefixed"] and (s["causal"] or s["windowed"])) + (s["causal"] and s["windowed"])


def test_the_counts_are_of_this_mask(seen) -> None:
    """Catches a block that is counted though all of it is hidden, one at the edge counted too large, d forgotten."""
    for s, page in seen:
        n, d, b, mask = s["n"], s["d"], min(s["block"], s["n"]), expected(s)
        tiles = [mask[y : y + b, x : x + b] for y in range(0, n, b) for x in range(0, n, b)]
        used = [tile for tile in tiles if tile.any()]
        counts = {"dense": n * n, "blocked": sum(tile.numel() for tile in used), "kept": int(mask.sum())}
        for name, pairs in counts.items():
            (a, a_text), (work, work_text), (share, share_text) = page["cost"][name]
            assert (int(a), a_text) == (pairs, f"{pairs:,}")
            assert (int(work), work_text) == (2 * d * pairs, f"{2 * d * pairs:,}")
            assert float(share) == pairs / n**2
            assert abs(float(share_text.rstrip(PERCENT)) - 100 * pairs / n**2) < 0.0501
        assert 2 * int(page["cost"]["dense"][1][0]) == einsum_cost(Sizes(b=1, h=1, n=n, d=d)).forward_flops
        assert page["blocks"] == f"{len(used)} of {len(tiles)} blocks of {b} {TIMES} {b}"
        assert page["share"].startswith(f"{counts['kept']:,} of {n * n:,} pairs kept, ")
        skipped = re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)", page["skipped"])
        assert sum(int(w) * int(h) for _, _, w, h in skipped) == n * n - counts["blocked"]
        assert not any(mask[int(y) : int(y) + int(h), int(x) : int(x) + int(w)].any() for x, y, w, h in skipped)
        assert ("Nothing is hidden" in page["saving"]) == (counts["kept"] == n * n)
        if "could save" in page["saving"]:
            could, most = (float(x) for x in re.findall(rf"([\d.]+){PERCENT}", page["saving"]))
            assert abs(could - 100 * (1 - counts["blocked"] / n**2)) < 0.0501
            assert abs(most - 100 * (1 - counts["kept"] / n**2)) < 0.0501


def test_empty_rows_are_named(seen) -> None:
    """Catches a page that is silent about queries without a key, or names the wrong ones."""
    for s, page in seen:
        empty = (~expected(s).any(dim=1)).nonzero()[:, 0].tolist()
        assert ("no key" in page["share"]) == bool(empty), s
        if len(empty) == 1:
            assert f"Query {empty[0]} sees no key" in page["share"]
        elif empty:
            (count, spans) = re.search(r"(\d+) queries \((.*)\) see no key", page["share"]).groups()
            named = []
            for span in spans.split(", "):
                first, last = (span.split(DASH) * 2)[:2]
                named += range(int(first), int(last) + 1)
            assert named == empty
            assert spans.count(",") == sum(b - a > 1 for a, b in itertools.pairwise(empty))
            assert int(count) == len(empty)


def test_the_cursor_says_who_forbids_each_pair(explorer) -> None:
    """Catches a verdict that disagrees with the mask, blames the wrong one, or forgets a second."""
    n, window, prefix, real = 7, 3, 2, 5
    limits = {"n": n, "window": window, "prefix": prefix, "real": real}
    s = {**DEFAULT, **limits, "windowed": True, "prefixed": True, "padded": True}
    explorer.evaluate(READ, [s])
    mask, causal = expected(s), masks.causal(n)
    near = masks.sliding_window(n, window, causal=False)
    matrix = explorer.locator("#matrix")
    matrix.press("Home")
    matrix.press("PageUp")
    for i in range(n):
        for j in range(n):
            said = explorer.locator("#cell").inner_text()
            may = "may not attend" not in said
            assert said.startswith(f"Query {i} may {'' if may else 'not '}attend to key {j}.")
            assert may == bool(mask[i, j])
            if not may:
                assert ("the causal mask" in said) == bool(not causal[i, j] and j >= prefix), said
                assert ("the sliding window" in said) == bool(not near[i, j] and j >= prefix), said
                assert ("the padding mask" in said) == (j >= real), said
            else:
                assert ("in the prefix" in said) == bool(j < prefix and not (causal[i, j] and near[i, j])), said
            matrix.press("ArrowRight")
        matrix.press("Home")
        matrix.press("ArrowDown")
    assert explorer.locator("#cell").inner_text().startswith(f"Query {n - 1} ")  # it stays inside
    matrix.press("End")
    assert f"key {n - 1}." in explorer.locator("#cell").inner_text()


def test_the_pointer_tells_the_pair_under_it(explorer) -> None:
    """Catches a picture that is read with its axes exchanged, or beside its cells."""
    explorer.locator("#matrix").evaluate("e => e.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = explorer.locator("#matrix svg g").bounding_box()
    for i, j in ((0, 11), (11, 0), (5, 6), (6, 5)):
        explorer.mouse.move(box["x"] + (j + 0.5) * box["width"] / 12, box["y"] + (i + 0.5) * box["height"] / 12)
        said = explorer.locator("#cell").inner_text()
        assert said.startswith(f"Query {i} may {'not ' if j > i else ''}attend to key {j}.")
    mark = explorer.locator("#matrix .cursor")
    assert (mark.get_attribute("y"), mark.get_attribute("x")) == ("6", "5")


def test_the_length_brings_the_other_limits_with_it(explorer) -> None:
    """Catches padding beyond the text, a cursor outside the matrix, and sliders that show another value."""
    explorer.check("#padded")
    explorer.locator("#matrix").press("End")
    explorer.locator("#n").press("Home")
    assert explorer.locator("#real").input_value() == "1"
    assert explorer.locator("#code").inner_text().endswith("masks.causal(1) & masks.padding([1], 1)")
    assert explorer.locator("#cell").inner_text() == "Query 0 may attend to key 0."
    for _ in range(3):
        explorer.locator("#n").press("ArrowRight")
    assert explorer.locator("#n + .play-shown").inner_text() == "4"
    assert explorer.locator("#window").is_disabled()
    assert explorer.locator("#real").is_enabled()


def test_copy_copies_the_code(explorer) -> None:
    """Catches a button that does nothing."""
    explorer.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explorer.click("#copy")
    explorer.wait_for_function("document.getElementById('copied').textContent !== ''")
    assert explorer.locator("#copied").inner_text() == "Copied."
    assert explorer.evaluate("navigator.clipboard.readText()") == explorer.locator("#code").text_content()


def test_without_a_clipboard_the_code_is_selected(explorer) -> None:
    """Catches an uncaught refusal."""
    explorer.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('no')))")
    explorer.click("#copy")
    explorer.wait_for_function("document.getElementById('copied').textContent !== ''")
    assert explorer.locator("#copied").inner_text().startswith("Selected")
    assert "masks.causal(12)" in explorer.evaluate("getSelection().toString()")


def test_things_to_try_show_what_is_said(explorer) -> None:
    """Catches a sentence beside a button that its picture contradicts."""

    def try_(title: str) -> str:
        explorer.locator("p", has_text=title).locator("button[data-try]").click()
        return explorer.locator("#share").inner_text()

    def kept() -> Tensor:
        n = int(explorer.locator("#n").input_value())
        return cells(explorer.locator("#matrix path.kept").first.get_attribute("d"), n).bool()

    assert try_("The past alone") == f"78 of 144 pairs kept, 54.2{PERCENT}."
    past = kept()
    try_("Padding at the end")
    assert torch.equal(kept()[:8], past[:8])
    assert not torch.equal(kept()[8:], past[8:])
    explorer.uncheck("#causal")
    assert kept().sum(dim=1).tolist() == [8] * 12
    assert f"2 queries (10{DASH}11) see no key" in try_("Rows with nothing left")
    assert try_("A window in a long text").startswith(f"250 of 4,096 pairs kept, 6.1{PERCENT}")
    assert "15 of 64 blocks" in explorer.locator("#cost-blocked").inner_text()
    assert f"23.4{PERCENT}" in explorer.locator("#cost-blocked").inner_text()
    explorer.locator("#block").fill("2")
    assert f"9.1{PERCENT}" in explorer.locator("#cost-blocked").inner_text()
    try_("Prefix-LM")
    assert kept()[:5, :5].all()
    assert torch.equal(kept()[5:], past[5:])
    assert not kept()[:5, 5:].any()
    try_("A window and the first tokens")
    assert kept()[:, :2].all()
    assert torch.equal(kept()[10:, 3:], masks.sliding_window(24, 5)[10:, 3:])
    assert try_("No mask at all") == f"144 of 144 pairs kept, 100.0{PERCENT}."
    assert explorer.evaluate("document.activeElement.id") == "matrix"
