"""The exercises in their order, found by their files: one name, five files that carry it."""

import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Exercise:
    """One exercise: `e02_attention` in the chapter `ch1_attention`."""

    name: str
    chapter: str

    @property
    def number(self) -> str:
        """Such as "e02"."""
        return self.name.partition("_")[0]

    @property
    def label(self) -> str:
        """Such as "e02 attention": what messages call it."""
        return self.name.replace("_", " ")

    @property
    def solution(self) -> Path:
        """The worked solution, the source of the stub."""
        return self.answer(source() / "solutions")

    @property
    def mistakes(self) -> Path:
        """The known wrong answers, and the correct variants."""
        return source() / "solutions" / self.chapter / f"{self.name}_mistakes.py"

    @property
    def page(self) -> Path:
        """The idea, the task, the hints."""
        return source() / "docs" / "course" / self.chapter / f"{self.name}.md"

    @property
    def specification(self) -> Path:
        """Its tests, as the project has them."""
        return self.test(source() / "exercises")

    def answer(self, folder: Path) -> Path:
        """The answer in a folder that mirrors the course's tree, such as a learner's `exercises`."""
        return folder / self.chapter / f"{self.name}.py"

    def test(self, folder: Path) -> Path:
        """The specification in such a folder."""
        return folder / self.chapter / f"test_{self.name}.py"


@cache
def source() -> Path:
    """Where exercises, solutions and pages lie: in the installed package, or in the clone that is installed from."""
    packaged = PACKAGE / "course" / "material"
    return packaged if packaged.is_dir() else PACKAGE.parent


@cache
def exercises() -> tuple[Exercise, ...]:
    """All of them, in the order in which they are taught."""
    files = (source() / "solutions").glob("ch[0-9]*_*/e[0-9][0-9]_*.py")
    found = [Exercise(file.stem, file.parent.name) for file in files if not file.stem.endswith("_mistakes")]
    return tuple(sorted(found, key=lambda exercise: exercise.name))


def find(name: str) -> Exercise:
    """The exercise of that name: "e02", "2", "attention", "e02_attention" or a path to one of its files.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    wanted = Path(name).stem.removesuffix("_mistakes").replace(" ", "_").lower()
    wanted = wanted.removeprefix("" if wanted.startswith("test_of_") else "test_")  # chapter 9 is about tests
    if number := re.fullmatch(r"e?(\d{1,2})", wanted):
        wanted = f"e{int(number[1]):02}"
    aliases = {alias: e for e in exercises() for alias in (e.name, e.number, e.name.partition("_")[2])}
    if wanted in aliases:
        return aliases[wanted]
    near = difflib.get_close_matches(wanted, aliases, n=1, cutoff=0.5)
    hint = f"did you mean {aliases[near[0]].name!r}? " if near else ""
    raise ValueError(f"unknown exercise {name!r}; {hint}attn-lab list shows all")
