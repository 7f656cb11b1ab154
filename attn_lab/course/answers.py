"""An answer: what a file of the course defines, loaded by its path so that no file can stand in another's way."""

import importlib.util
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

from attn_lab.course.catalogue import Exercise


class NotLoaded(Exception):
    """The file cannot be run; the cause is the exception that it raised."""


def load(path: Path) -> ModuleType:
    """Run a Python file, anew each time, and return its module.

    Raises:
        FileNotFoundError: there is no such file.
        NotLoaded: it raised something, a syntax error or a bad import for instance.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected {path}; there is no such file")
    name = f"attn_lab_course_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotLoaded(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    vars(module)["__getattr__"] = partial(_missing, path)
    try:
        # Not exec_module: Python's cache of compiled files goes by seconds, and an answer may change within one.
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise NotLoaded(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _missing(path: Path, name: str) -> None:
    """What Python calls where a module has no such name."""
    raise AttributeError(f"{path.name} has no {name}: was it renamed, or taken out?")


def variant(solution: ModuleType, parts: Mapping[str, object]) -> SimpleNamespace:
    """The solution with some of its names replaced: how a known mistake becomes an answer."""
    unknown = [name for name in parts if not hasattr(solution, name)]
    if unknown:
        raise ValueError(f"expected names that {solution.__name__} defines; it has no {', '.join(unknown)}")
    public = {name: value for name, value in vars(solution).items() if not name.startswith("_")}
    return SimpleNamespace(**public | dict(parts))


def is_not_started(exercise: Exercise, error: BaseException | None) -> bool:
    """Whether this is the stub's own exception: nothing was written yet where it was raised."""
    return isinstance(error, NotImplementedError) and str(error).startswith(f"{exercise.label}:")
