"""A file of the library as the reader's first look at it: the code whole, each docstring cut to its first line."""

import ast
import inspect
from types import ModuleType


def listing(module: ModuleType) -> str:
    """The module's source in a Markdown code block; the docstrings follow in full on the same page."""
    source = inspect.getsource(module)
    lines: list[str | None] = list(source.splitlines())
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) or ast.get_docstring(node) is None:
            continue
        docstring = node.body[0]
        first, last = docstring.lineno - 1, docstring.end_lineno or docstring.lineno
        if last - first > 1:
            lines[first] = f'{lines[first]}"""'.replace('r"""', '"""', 1)
            lines[first + 1 : last] = [None] * (last - first - 1)
    kept = "\n".join(line for line in lines if line is not None)
    return f"```python\n{kept}\n```"
