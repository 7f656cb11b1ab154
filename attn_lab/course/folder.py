"""The course's folder: where a learner's answers lie, wherever in it the command is typed."""

from pathlib import Path


def find_course() -> Path:
    """The folder `exercises` here or in a folder above, or the one that we are in.

    Raises:
        ValueError: there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        for candidate in (folder / "exercises", folder):
            if is_course(candidate):
                return candidate
    raise ValueError(f"there is no course in {here} or above; `attn-lab init` makes one in a folder of its own")


def is_course(folder: Path) -> bool:
    """Whether its conftest.py is the course's."""
    try:
        return (folder / "pytest.ini").is_file() and "attn_lab.course" in (folder / "conftest.py").read_text("utf-8")
    except (OSError, ValueError):
        return False
