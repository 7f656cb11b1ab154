"""Parts of your own, from a Python file."""

import importlib.util
import sys
from pathlib import Path

from attn_lab.parts import Parts

# The public name, under which a file defines the part -> the field of Parts.
PART_NAMES = {
    "attention": "attention",
    "causal": "mask",
    "MultiHeadSelfAttention": "attention_module",
    "PositionalEncoding": "positions",
    "EncoderBlock": "block",
    "TransformerEncoder": "encoder",
    "TransformerLanguageModel": "language_model",
}


def parts_from(path: str | Path) -> Parts:
    """The parts that the file defines under their public names; the others stay the reference's.

    What the file only imports does not count, so it may use the reference's parts to build its own.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be run, or defines none of the parts.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"expected a Python file with parts of a model; {path} does not exist")
    name = f"attn_lab_parts_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"expected a Python file with parts of a model; {path} does not end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(
            f"expected a Python file with parts of a model; {path} raised {type(error).__name__}: {error}"
        ) from error
    own = {
        name: getattr(module, name) for name in PART_NAMES if _defined_in(module.__name__, getattr(module, name, None))
    }
    if not own:
        raise ValueError(f"expected {path} to define at least one of: {', '.join(PART_NAMES)}; it defines none")
    return Parts(**{PART_NAMES[name]: part for name, part in own.items()})


def _defined_in(module: str, part: object) -> bool:
    return part is not None and getattr(part, "__module__", None) == module
