"""How strong are the tests? `python -m tests.mutation --help`"""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.mutation.judges import PAPER, ROOT, PaperFile, Solution
from tests.mutation.session import Session

console = Console()


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="`course`, `paper`, an exercise such as e02, or a paper file such as masks. All, if left out."
        ),
    ] = None,
    results: Annotated[
        Path, typer.Option(help="Every verdict, a line of JSON each. A run that was stopped goes on from there.")
    ] = ROOT / "runs" / "mutation.jsonl",
    survivors: Annotated[
        bool,
        typer.Option("--survivors", help="Judge again what survived; what was caught stays caught."),
    ] = False,
    further: Annotated[
        bool,
        typer.Option("--further", help="Put what survives a paper file's tests to what stands on it: minutes each."),
    ] = False,
    share: Annotated[float, typer.Option(help="Of each file's mutants, drawn by --seed.", min=0.0, max=1.0)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draw, if --share is below 1.")] = 0,
    page: Annotated[bool, typer.Option("--page", help="Write the tables of docs/course/strength.md.")] = False,
    only_report: Annotated[bool, typer.Option("--report", help="Judge nothing; tell what is known.")] = False,
) -> None:
    """Change the code in one small place at a time, and see whether a test fails: a change that none fails is a hole.

    Of the course's solutions the answer regions are changed, and the exercise's own tests judge. Of the paper files
    (attn_lab/masks.py and its like) everything is, and the file's own tests judge (tests/test_masks.py and its like).
    What survives stands in tests/mutation/survivors.toml, with the reason. Needs cosmic-ray, the extra `mutation`.
    """
    # Told to stop, it takes the child with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    session = Session(results, share, seed, survivors, further)
    chosen = targets(names or ["paper", "course"])
    if not only_report:
        session.run(chosen, console)
    session.report(chosen, console, page)


def targets(names: list[str]) -> list[PaperFile | Solution]:
    """The programs of these names, paper files first.

    Those must be imported anew in each child: once the course has imported attn_lab here, it is too late for them.
    """
    files = sorted((ROOT / "solutions").glob("ch*/e[0-9][0-9]_*.py"), key=lambda file: file.name)
    solutions = {file.stem: file for file in files if not file.stem.endswith("_mistakes")}
    chosen: dict[str, PaperFile | Solution] = {}
    for name in [n for n in PAPER if n in names or "paper" in names]:
        chosen[name] = PaperFile(name)
    for name, file in solutions.items():
        if "course" in names or name in names or name[:3] in names:
            chosen[name] = Solution(name, file, ROOT / "exercises" / file.parent.name / f"test_{file.name}")
    known = {"course", "paper", *PAPER, *solutions, *(name[:3] for name in solutions)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(
            f"expected course, paper, e01 to e{len(solutions)} or one of {', '.join(PAPER)}; got {unknown}"
        )
    return list(chosen.values())


if __name__ == "__main__":
    typer.run(main)
