"""Every check there is, and the checks of one part."""

from attn_lab.checks.check import Check
from attn_lab.checks.equivalences import EQUIVALENCES
from attn_lab.checks.laws_of_attention import ATTENTION_LAWS
from attn_lab.checks.laws_of_models import MODEL_LAWS
from attn_lab.checks.laws_of_modules import MODULE_LAWS

ALL: tuple[Check, ...] = (*EQUIVALENCES, *ATTENTION_LAWS, *MODULE_LAWS, *MODEL_LAWS)


def for_subject(subject: str) -> tuple[Check, ...]:
    """The checks of one part, by its name in `attn_lab.Parts` (or "padding", "sliding_window").

    Raises:
        ValueError: there is no such subject.
    """
    found = tuple(check for check in ALL if check.subject == subject)
    if not found:
        known = ", ".join(dict.fromkeys(check.subject for check in ALL))
        raise ValueError(f"there are no checks for {subject!r}; there are for {known}")
    return found
