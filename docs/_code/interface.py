"""Functions and classes as sections of a page, where mkdocstrings finds none: a package without an __init__.py."""

import inspect
import re
from collections.abc import Callable
from typing import Any


def sections(*things: Callable[..., Any]) -> str:
    """Each with its signature and its docstring."""
    return "\n\n".join(map(_section, things))


def _section(thing: Callable[..., Any]) -> str:
    kind = "class" if inspect.isclass(thing) else "def"
    signature = str(inspect.signature(thing)).replace("attn_lab.course.catalogue.", "").replace("pathlib.", "")
    if kind == "class":
        signature = signature.removesuffix(" -> None")
    text = re.sub(r"^(Raises|Args|Returns):\n", r"**\1:**\n\n", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    text = re.sub(r"^ {4}(\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)
    code = f"from {thing.__module__} import {thing.__name__}\n\n{kind} {thing.__name__}{signature}"
    return f"## `{thing.__name__}`\n\n```python\n{code}\n```\n\n{text}"
