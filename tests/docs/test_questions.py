"""Questions and answers, and the page for instructors: what they say is so, in every torch that is tested.

The site's build runs the pages' code too, in one environment; here it runs in each, and what stands in tables and in
sentences is compared with what it is about.
"""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from attn_lab import EncoderBlock, MultiHeadSelfAttention
from attn_lab.cli import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ANSWERS = ("complexity", "cheaper", "why_causal", "which_masks")

BLOCK = re.compile(r'^```python exec="true"(?P<options>[^\n]*)\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)
SESSION = re.compile(r'session="(\w+)"')
COMMAND = re.compile(r"attn-lab(?P<words>(?: [a-z][\w./-]*)*)(?P<options>(?: --[a-z-]+(?: [\w./-]+)?)*)")
TABLE_LINE = re.compile(r"^\| \[(?P<name>[^\]]+)\]\(#(?P<anchor>[^)]+)\) \| `(?P<line>[^`]+)` \|", re.MULTILINE)


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def run_page(page: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, dict[str, Any]], str]:
    """Runs what the build runs, in the same order and with the same sessions: what each has defined, and all output."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(DOCS / "_code"))
    sessions: dict[str, dict[str, Any]] = {}
    output = io.StringIO()  # pictures too: a failure shall not show them
    for block in BLOCK.finditer(text_of(page)):
        name = SESSION.search(block["options"])
        names = sessions.setdefault(name[1], {"__name__": page}) if name else {"__name__": page}
        line = text_of(page)[: block.start("code")].count("\n")
        with redirect_stdout(output):
            exec(compile("\n" * line + block["code"], DOCS / page, "exec"), names)
    return sessions, output.getvalue()


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    """The pictures' package lies beside the pages, not on the path: nothing of it stays for other tests."""
    with torch.random.fork_rng(devices=[]):
        yield
    for name in [name for name in sys.modules if name.split(".")[0] == "figures"]:
        del sys.modules[name]


@pytest.mark.parametrize("page", [*(f"questions/{name}.md" for name in ANSWERS), "instructors.md"])
def test_the_code_runs_and_its_assertions_hold(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a claim that holds in the newest torch alone, and a page without a claim that is executed."""
    _, output = run_page(page, monkeypatch)
    assert output
    assert re.search(r"^ *assert ", text_of(page), re.MULTILINE)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_page_ends_with_questions(name: str) -> None:
    """Catches a page without its self-check, one that has an answer in the open, and text behind it."""
    _, _, check = text_of(f"questions/{name}.md").partition("\n## Check yourself\n")
    lines = [line for line in check.splitlines() if line]
    asked = [line for line in lines if line.startswith("??? question ")]
    assert len(asked) >= 3
    assert all(line.startswith(("??? question ", "    ")) for line in lines)
    assert len(lines) >= 2 * len(asked)


def test_the_table_of_masks_is_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a line in the table that makes another mask than the section's, or that is no Python at all."""
    names = run_page("questions/which_masks.md", monkeypatch)[0]["masks"]
    of_section = {
        "none-bidirectional": "bidirectional",
        "causal": "causal",
        "padding": "padding",
        "sliding-window": "window",
        "global-tokens": "with_global",
        "blocks-and-strides": "blocks",
        "prefix": "prefix",
        "documents-in-one-row": "documents",
        "attention-sinks": "sinks",
    }
    starts = {"dilated": "(j <= i) & (i - j < 2 * w)", "global-tokens": "two_sided"}  # the table has what is added
    seen = set()
    for row in TABLE_LINE.finditer(text_of("questions/which_masks.md")):
        anchor, line = row["anchor"], row["line"]
        if anchor == "cross-attention":
            continue
        made = eval(f"{starts.get(anchor, '')} {line}".strip(), names | {"g": 2})
        same = torch.equal(made, names[of_section.get(anchor, anchor)])
        assert same, f"{row['name']}: the table has {line}"
        seen.add(anchor)
    assert seen == {*of_section, "dilated"}


def test_a_mask_is_drawn_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches runs that begin or end a cell off, and a share of pairs that is not the mask's."""
    monkeypatch.syspath_prepend(str(DOCS / "_code"))
    from figures.mask_row import mask_row, runs

    mask = torch.rand(40, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    for row in [*mask.tolist(), [True] * 5, [False] * 5, []]:
        assert [any(first <= k < first + many for first, many in runs(row)) for k in range(len(row))] == row
    picture = mask_row({"one": mask, "other": ~mask})
    assert [f"{m.float().mean():.0%} of the pairs" in picture for m in (mask, ~mask)] == [True, True]
    assert "one, (40, 9)" in picture


@pytest.mark.parametrize(("n", "d", "d_hid"), [(7, 12, 20), (64, 8, 32), (50, 8, 8)])
def test_attentions_share_is_counted(n: int, d: int, d_hid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a curve of the wrong formula: a projection or one of the two products of the network left out."""
    monkeypatch.syspath_prepend(str(DOCS / "_code"))
    from figures.attention_share import share

    block = EncoderBlock(MultiHeadSelfAttention(d, 2), d, d_hid).eval()
    with FlopCounterMode(display=False) as counter:
        block(*[torch.randn(1, n, d)])
    assert share(n, d, d_hid) == pytest.approx(4 * n * n * d / counter.get_total_flops())


def test_the_commands_for_instructors_exist() -> None:
    """Catches a page that tells of a command or an option that there is not."""
    root: Any = typer.main.get_command(app)
    found = [m for m in COMMAND.finditer(text_of("instructors.md")) if m["words"].split() or m["options"].split()]
    for m in found:
        words = m["words"].split()
        if not words or words[0] not in root.commands:
            assert not words or words[0] in {"course"}, f"attn-lab {m['words']} is no command"
            continue
        known = {option for p in root.commands[words[0]].params for option in (*p.opts, *p.secondary_opts)}
        for option in re.findall(r"--[a-z-]+", m["options"]):
            assert option in known, f"attn-lab {words[0]} has no {option}"
    assert {m["words"].split()[0] for m in found if m["words"]} >= {"init", "watch", "train", "check", "doctor"}


def test_the_figures_of_the_tests_strength_are_todays() -> None:
    """Catches figures that were true of an earlier round of mutation, or of a shorter list of public mistakes."""
    page = " ".join(text_of("instructors.md").split())
    row = re.search(
        r"^\| \*\*all\*\* \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", text_of("course/strength.md"), re.MULTILINE
    )
    public = re.search(r"^\| fail a test \| (\d+) \|$", text_of("course/public_mistakes.md"), re.MULTILINE)
    assert row
    assert public
    made, caught, equivalent, missed = map(int, row.groups())
    assert f"Of {made:,} small changes" in page
    assert f"{equivalent} change nothing" in page
    assert f"{caught:,} of the rest are caught, {missed} are not" in page
    assert f"{public[1]} mistakes that were made in public" in page
