"""The learner's parts: what is done in the course's folder takes the reference's place in a training run."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_lab.course.answers import NotLoaded, load
from attn_lab.course.catalogue import Exercise, exercises
from attn_lab.course.folder import is_course
from attn_lab.course.progress import ProgressFile
from attn_lab.course.screen import shown
from attn_lab.own_parts import OwnParts
from attn_lab.parts import Parts
from attn_lab.training.batches import Batches

# The exercise, by its number -> what it is in a run (a field of `Parts`, or "batches"), and the names that it defines.
ROLES = {
    "e02": ("attention", ("attention",)),
    "e04": ("mask", ("causal",)),
    "e08": ("attention_module", ("MultiHeadSelfAttention",)),
    "e11": ("positions", ("PositionalEncoding",)),
    "e13": ("block", ("EncoderBlock",)),
    "e14": ("block", ("PreNormBlock",)),
    "e15": ("encoder", ("TransformerEncoder",)),
    "e17": ("batches", ("batchify", "windows")),
    "e18": ("language_model", ("TransformerLanguageModel",)),
}
OTHER_BLOCK = {True: "e13", False: "e14"}  # norm_first -> the exercise whose block the recipe has no use for


@dataclass(frozen=True)
class Answer:
    """An exercise whose answer may be a part of a run."""

    exercise: Exercise
    file: Path
    role: str
    names: tuple[str, ...]

    def load(self) -> list[Any]:
        """What the answer defines under these names.

        Raises:
            ValueError: it cannot be loaded, or one is missing.
        """
        try:
            module = load(self.file)
        except NotLoaded as error:
            raise ValueError(f"{self.exercise.label} is done, but does not load here: {error}") from error
        missing = [name for name in self.names if not hasattr(module, name)]
        if missing:
            raise ValueError(f"expected {shown(self.file)} to define {', '.join(self.names)}; it has no {missing[0]}")
        return [getattr(module, name) for name in self.names]


def learners_parts(folder: Path, norm_first: bool, trained_with: Collection[str] | None) -> OwnParts:
    """The parts from the answers that are done, in a folder that is, or holds, the course's exercises.

    Done is what has passed as it stands. Whatever else a model needs stays the reference's, and `lines` says so. See
    `attn_lab.own_parts.own_parts`.

    Raises:
        FileNotFoundError: the folder is none of the course's.
        ValueError: nothing is done, or not all that the run was trained with; or an answer cannot be loaded.
    """
    folder = _course_folder(folder)
    answers = list(_answers(folder, norm_first))
    progress = ProgressFile(folder)
    done = [answer for answer in answers if progress.is_done(answer.exercise)]
    open_ = [answer for answer in answers if answer not in done]
    if trained_with is not None:
        _check_all_done(trained_with, done, open_, folder)
        done = [answer for answer in done if answer.role in trained_with]
    elif not done:
        labels = ", ".join(answer.exercise.label for answer in answers)
        raise ValueError(
            f"none of the exercises in {shown(folder)} that are parts of a model is done yet ({labels}); "
            f"begin with: pytest {shown(folder)}"
        )
    found = {answer.role: answer.load() for answer in done}
    batches = Batches(*found.pop("batches", []))
    parts = Parts(**{role: part for role, (part,) in found.items()})
    return OwnParts(parts, batches, "training", tuple(_lines(done, open_, folder, trained_with is None)))


def _course_folder(folder: Path) -> Path:
    for candidate in (folder, folder / "exercises"):
        if is_course(candidate):
            return candidate
    raise FileNotFoundError(
        f"expected a Python file with parts of a model, or the course's folder with its exercises; {folder} holds none"
    )


def _answers(folder: Path, norm_first: bool) -> Iterator[Answer]:
    for exercise in exercises():
        if exercise.number in ROLES and exercise.number != OTHER_BLOCK[norm_first]:
            yield Answer(exercise, exercise.answer(folder), *ROLES[exercise.number])


def _check_all_done(trained_with: Collection[str], done: list[Answer], open_: list[Answer], folder: Path) -> None:
    lost = [answer for answer in open_ if answer.role in trained_with]
    if lost:
        raise ValueError(
            f"the run was trained with your {', '.join(answer.exercise.label for answer in lost)}, not done any more: "
            f"{shown(lost[0].file)}, or its test, has changed since it passed. Judge it again: pytest {shown(folder)}"
        )
    unknown = [role for role in trained_with if role not in {answer.role for answer in done}]
    if unknown:
        raise ValueError(f"the run was trained with parts that no exercise in {shown(folder)} is: {', '.join(unknown)}")


def _lines(done: list[Answer], open_: list[Answer], folder: Path, is_new: bool) -> Iterator[str]:
    yours = ", ".join(answer.exercise.label for answer in done)
    yield f"your parts, from {shown(folder)}: {yours}"
    if open_ and is_new:
        yield f"not done yet, so the reference's: {', '.join(answer.exercise.label for answer in open_)}"
