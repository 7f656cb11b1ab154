"""The course's commands. Each is thin, and none that only shows or copies something waits for PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from attn_lab.course.catalogue import Exercise
    from attn_lab.course.progress import ProgressFile

console = Console()

PANEL = "The course"
NAME_HELP = "An exercise: e02, attention, e02_attention, or a path to its file."
Name = Annotated[str, typer.Argument(help=NAME_HELP, metavar="NAME", show_default=False)]
NameOrNext = Annotated[
    str | None, typer.Argument(help=f"{NAME_HELP} Without: the next one.", metavar="[NAME]", show_default=False)
]

author = typer.Typer(help="The author's side of the course.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (init, watch, list_, next_, hint, check, solution, reset):
        app.command(command.__name__.rstrip("_"), rich_help_panel=PANEL)(command)
    app.add_typer(author, name="course", rich_help_panel=PANEL)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to put it; it is made if need be.", metavar="[DIR]")] = Path(
        "attn-lab-course"
    ),
) -> None:
    """Copy the course into a folder of your own: exercises to fill in, and a test beside each.

    Nothing that is there is written over. In a clone of the project the course is there already, in exercises/.

    Then: cd DIR, and attn-lab watch, or pytest exercises
    """
    from attn_lab.course.catalogue import exercises
    from attn_lab.course.new_course import write_course

    written = write_course(folder)
    place = folder / "exercises"
    _say(f"{place}: {len(exercises())} exercises{'' if written else ', all there already'}")
    _say(f"go on: cd {folder}, then attn-lab watch, or pytest exercises")


def list_() -> None:
    """Show all exercises: which are done, and which is next."""
    from attn_lab.course.overview import overview

    progress = _progress()
    _show([*overview(progress.done(), progress.next()), *progress.troubles])


def next_() -> None:
    """Show the next exercise: what is asked, where to write, where to read.

    It is the first one that is not done. Any other can be done before it: attn-lab check NAME
    """
    from attn_lab.course.screen import screen, task

    progress = _progress()
    exercise = progress.next()
    body = task(exercise, exercise.answer(progress.folder), not_started=False) if exercise else []
    _show([*screen(len(progress.done()), [], body), *progress.troubles])


def hint(name: NameOrNext = None) -> None:
    """Open one more hint for an exercise, and show those that are open.

    They go from gentle to plain; after the last one there is attn-lab solution NAME --give-up
    """
    from attn_lab.course.hints import hints, opened

    progress = _progress()
    exercise = _exercise(name, progress)
    if exercise is None:
        return
    n_open = progress.open_hint(exercise, len(hints(exercise)))
    _show([exercise.label, "", *opened(exercise, n_open), *progress.troubles])


def check(name: NameOrNext = None) -> None:
    """Judge one answer, as pytest does: the exit status is 0 if it is right, and 1 if not.

    A right answer is kept as done until you change it. All at once, in order: pytest exercises
    """
    from attn_lab.course.judging import judge_once
    from attn_lab.course.screen import screen

    progress = _progress()
    exercise = _exercise(name, progress)
    if exercise is None:
        return
    answer = exercise.answer(progress.folder)
    if not answer.is_file():
        raise ValueError(f"{answer} is missing. To get it back: attn-lab reset {exercise.number}")
    judgement = judge_once(exercise, progress.folder)
    progress.record(exercise, judgement.fingerprint if judgement.passed else None)
    passed = [exercise] if judgement.passed else []
    lines = screen(len(progress.done()), passed, judgement.body)
    following = progress.next()
    if judgement.passed and following:
        lines.append(f"next: {following.label}. What is asked: attn-lab next")
    _show([*lines, *progress.troubles])
    raise typer.Exit(0 if judgement.passed else 1)


def solution(
    name: Name,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Show it although your own answer has not passed.")
    ] = False,
) -> None:
    """Show the worked solution of an exercise, once your own answer has passed.

    It is one right answer of several, with a word on every step. Your own stays as it is.
    """
    from attn_lab.course.stubs import solution_text

    progress = _progress()
    exercise = _exercise(name, progress)
    if exercise is None:
        return
    if not give_up and not progress.is_done(exercise):
        raise ValueError(
            f"{exercise.label} is not done yet. First a hint: attn-lab hint {exercise.number}. "
            f"To see the solution all the same: attn-lab solution {exercise.number} --give-up"
        )
    text = solution_text(exercise)
    if console.is_terminal:
        from rich.syntax import Syntax

        console.print(Syntax(text.rstrip(), "python", background_color="default"))
    else:
        _say(text.rstrip())


def reset(name: Name) -> None:
    """Put an exercise back to its start. Your answer is kept beside it: e02_attention.py.bak1, .bak2, …"""
    from attn_lab.course.reset import reset as put_back
    from attn_lab.course.screen import shown

    progress = _progress()
    exercise = _exercise(name, progress)
    if exercise is None:
        return
    is_written, backup = put_back(exercise, progress.folder)
    path = shown(exercise.answer(progress.folder))
    _say(f"{path} is {'as it was at the start' if is_written else 'at its start already: nothing to do'}")
    if backup:
        _say(f"your answer: {shown(backup)}")


def watch(
    fork: Annotated[
        bool | None,
        typer.Option(
            "--fork/--no-fork",
            help="Whether a verdict gets a fork of a warm process (on Linux) or a spare one, started ahead.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Judge every answer when you save it, and go on to the next exercise when it is right.

    Leave it open beside your editor. Its keys, without Enter: n next exercise, h one hint more, l list, q quit.
    """
    from attn_lab.course.judging import CAN_FORK
    from attn_lab.course.watch import Watch

    if fork and not CAN_FORK:
        raise ValueError("--fork works on Linux only: elsewhere PyTorch does not survive a fork")
    Watch(_progress().folder, console, fork=CAN_FORK if fork is None else fork).run()


@author.command("build")
def build_(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: say what differs, and fail if anything does.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write also over a file that holds an answer and no stub.")
    ] = False,
) -> None:
    """Write the stubs in exercises/ anew from the solutions, their only source."""
    from attn_lab.course.build import build, differences, stubs_folder

    folder = stubs_folder()
    if not check:
        for path in build(folder, force):
            _say(f"written: {path}")
    found = differences(folder)
    _show(found)
    if found:
        raise typer.Exit(1)
    _say(f"{folder} is as the solutions say")


def _progress() -> "ProgressFile":
    """Of the course that we are in."""
    from attn_lab.course.folder import find_course
    from attn_lab.course.progress import ProgressFile

    return ProgressFile(find_course())


def _exercise(name: str | None, progress: "ProgressFile") -> "Exercise | None":
    """The one that is named, or the next one; None, and a word, if all are done."""
    from attn_lab.course.catalogue import find
    from attn_lab.course.screen import screen

    if name is not None:
        return find(name)
    if progress.next() is None:
        _show([*screen(len(progress.done()), [], []), *progress.troubles])
    return progress.next()


def _show(lines: list[str]) -> None:
    for line in lines:
        _say(line)


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
