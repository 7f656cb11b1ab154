"""Parts of your own: from a Python file, or from the course's folder. What `--parts` takes."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from attn_lab.parts import Parts
from attn_lab.parts_file import parts_from
from attn_lab.training.batches import Batches


@dataclass(frozen=True)
class OwnParts:
    """The parts of a run, yours and the reference's, and what is to be said of them.

    Args:
        parts: those of the model.
        batches: how texts become batches.
        masks: which masks the preflight tries them with; see `attn_lab.checks.preflight`.
        lines: whose the parts are, for the console.
    """

    parts: Parts = field(default_factory=Parts)
    batches: Batches = field(default_factory=Batches)
    masks: str = "all"
    lines: tuple[str, ...] = ()


def own_parts(
    path: str | Path | None, *, norm_first: bool = False, trained_with: Collection[str] | None = None
) -> OwnParts:
    """The parts that the path holds; None: the reference's.

    Args:
        path: a Python file that defines parts, or a folder that is, or holds, the course's exercises.
        norm_first: which kind of block the recipe has; in the course they are two exercises.
        trained_with: of a run that is read back, the names of the parts that were not the reference's: those are taken,
            and no others. None: every part that there is.

    Raises:
        FileNotFoundError: there is neither such a file nor such a folder.
        ValueError: it holds none of the parts, not all that the run was trained with, or cannot be loaded.
    """
    if path is None:
        return OwnParts()
    if trained_with is not None and not trained_with:
        raise ValueError("the run was trained with the reference's parts alone; leave --parts out to go on with it")
    path = Path(path).resolve()
    if path.is_dir():
        from attn_lab.course.parts import learners_parts

        return learners_parts(path, norm_first, trained_with)
    parts = parts_from(path)
    if trained_with is not None:
        lost = [name for name in trained_with if name not in parts.replaced()]
        if lost:
            raise ValueError(
                f"the run was trained with parts from {path}, which does not define its {', '.join(lost)} any more"
            )
        parts = Parts(**{name: getattr(parts, name) for name in trained_with})
    return OwnParts(parts)
