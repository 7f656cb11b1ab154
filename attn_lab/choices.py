"""Names that a user chooses from, and the answer to one that is not among them."""

import difflib
from collections.abc import Iterable


def check_choice(kind: str, name: str, valid: Iterable[str]) -> str:
    """The name, if it is valid.

    Raises:
        ValueError: it is not; the message lists the valid names, the nearest first.
    """
    valid = list(valid)
    if name in valid:
        return name
    near = difflib.get_close_matches(name.lower(), valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"unknown {kind} {name!r}; {hint}valid: {', '.join(valid)}")
