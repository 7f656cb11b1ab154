"""What came of a run: a row for each program, and every survivor with its reason; in a terminal, and on the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.console import Console

from tests.mutation.judges import PAPER, ROOT
from tests.mutation.session import Judged
from tests.mutation.survivors import Group, groups

PAGE = ROOT / "docs" / "course" / "strength.md"
BEGIN, END = "<!-- {}: written by python -m tests.mutation --page -->", "<!-- end of {} -->"
HEADER = ("", "mutants", "caught", "equivalent", "missed", "score")
NOT_LOOKED_AT = "not looked at yet"


@dataclass(frozen=True)
class Row:
    """The count of one program, or of many: of so many mutants so many were judged."""

    name: str
    of: int
    mutants: int
    caught: int
    equivalent: int
    missed: int

    KINDS: ClassVar = ("of", "mutants", "caught", "equivalent", "missed")

    @property
    def score(self) -> float:
        """The share that is caught of what another program is."""
        return self.caught / max(1, self.mutants - self.equivalent)

    def cells(self) -> tuple[str, ...]:
        """As a table has them."""
        mutants = f"{self.mutants} of {self.of}" if self.of > self.mutants else f"{self.mutants}"
        return (self.name, mutants, *map(str, (self.caught, self.equivalent, self.missed)), f"{self.score:.1%}")


def counted(name: str, judged: Judged, known: Sequence[Group]) -> Row:
    """A program's row. A survivor without a reason counts as missed."""
    records = judged.records
    survivors = [record for record in records if not record.caught_by]
    same = sum(any(g.is_equivalent and g.covers(r.file, r.change) for g in known) for r in survivors)
    return Row(name, judged.n_mutants, len(records), len(records) - len(survivors), same, len(survivors) - same)


def total(name: str, rows: Sequence[Row]) -> Row:
    """All of them together."""
    return Row(name, *(sum(getattr(row, kind) for row in rows) for kind in Row.KINDS))


def tables(judged: dict[str, Judged]) -> Iterator[tuple[str, list[Row]]]:
    """The course's rows and the paper's, each with their sums."""
    known = groups()
    rows = [counted(name.replace("_", " "), found, known) for name, found in judged.items() if found.records]
    papers = {name.replace("_", " ") for name in PAPER}
    exercises = [row for row in rows if row.name not in papers]
    tests = [row for row in exercises if row.name.startswith(("e35", "e36"))]
    programs = [row for row in exercises if row not in tests]
    if exercises:
        sums = [total("**programs**, e01 to e34 and e37", programs), total("**tests of tests**, e35 and e36", tests)]
        yield "exercise", [*exercises, *[row for row in sums if row.mutants], total("**all**", exercises)]
    if papers := [row for row in rows if row.name in papers]:
        yield "paper file", [*papers, total("**all**", papers)]


def survivors(judged: dict[str, Judged]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Of each program and each reason: the name, "same" or "missed", the reason, the changes."""
    known = groups()
    for name, found in judged.items():
        left = [record for record in found.records if not record.caught_by]
        for group in known:
            changes = [record.change for record in left if group.covers(record.file, record.change)]
            left = [record for record in left if not group.covers(record.file, record.change)]
            if changes:
                yield name.replace("_", " "), "same" if group.is_equivalent else "missed", group.why, changes
        if left:
            yield name.replace("_", " "), "missed", NOT_LOOKED_AT, [record.change for record in left]


def show(judged: dict[str, Judged], console: Console, page: bool) -> None:
    """Tell it, and write it into the page if asked to."""
    from attn_lab.tables import rich_table

    for title, rows in tables(judged):
        console.print(rich_table(title, HEADER, [row.cells() for row in rows]))
    for name, kind, why, changes in survivors(judged):
        if kind == "missed":
            console.print(f"[bold]{name}[/]: {why}", highlight=False)
            for change in changes:
                console.print(f"  {change}", markup=False, highlight=False)
    if page:
        write_page(judged)
        console.print(f"written: {PAGE.relative_to(ROOT)}", highlight=False)


def write_page(judged: dict[str, Judged]) -> None:
    """The two places of the page that are this command's.

    Raises:
        ValueError: the page has no such place.
    """
    from attn_lab.files import write_text
    from attn_lab.tables import markdown_table

    text = PAGE.read_text(encoding="utf-8")
    scores = [markdown_table((title, *HEADER[1:]), [row.cells() for row in rows]) for title, rows in tables(judged)]
    text = _put(text, "scores", "\n\n".join(scores))
    text = _put(text, "survivors", "\n\n".join(_notes(judged)))
    write_text(PAGE, text)


def _put(text: str, name: str, content: str) -> str:
    begin, end = BEGIN.format(name), END.format(name)
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"expected {PAGE} to have the lines {begin!r} and {end!r}, once each")
    return text[: text.index(begin) + len(begin)] + f"\n\n{content}\n\n" + text[text.index(end) :]


def _notes(judged: dict[str, Judged]) -> Iterator[str]:
    """A folded note a kind; a change as code, on a line of its own."""
    heads = {"missed": "Missed: other programs, and no test says so", "same": "Equivalent: no test could tell"}
    for kind, head in heads.items():
        lines = [f'??? note "{head}"', ""]
        for name, its_kind, why, changes in survivors(judged):
            if its_kind == kind:
                lines += [f"    **{name}** ({len(changes)}): {why}.", ""]
                lines += [f"    - `{_short(change)}`" for change in changes[:4]]
                lines += [f"    - and {len(changes) - 4} more of this kind"] if len(changes) > 4 else []
                lines += [""]
        if len(lines) > 2:
            yield "\n".join(lines).rstrip()


def _short(change: str) -> str:
    """Without what both sides have in common behind the place, where the line is long."""
    before, _, after = change.partition(" -> ")
    if len(change) <= 150 or not after:
        return change
    k = next((k for k, (a, b) in enumerate(zip(before, after)) if a != b), 0)
    start = max(0, k - 40)
    cut = "… " if start else ""
    return f"{cut}{before[start : k + 40]} … -> {cut}{after[start : k + 40]} …"
