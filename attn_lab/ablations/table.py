"""The table of the variations: a line each, beside the recipe's own runs and models without a network."""

from collections.abc import Sequence

from attn_lab.ablations.results import Result
from attn_lab.ablations.variations import RECIPE
from attn_lab.tables import Row
from attn_lab.training.progress import perplexity

HEADER: Row = ("changed", "parameters", "preflight", "training", "validation", "test", "nats above")


def table(found: Sequence[Result], others: dict[str, dict[str, float]]) -> list[Row]:
    """A line a variation, perplexities; nats more than the mean of the recipe's seeds, of runs that came to their end.

    The differences between the seeds are what chance alone does.
    """
    own = [r.best for r in found if r.group == RECIPE and r.best is not None and r.test is not None]
    middle = sum(own) / len(own) if own else None
    rows = [_row(r, middle) for r in found]
    return rows + [
        (name, "", "", "", _perplexity(losses["valid"]), _perplexity(losses["test"]), _more(losses["valid"], middle))
        for name, losses in others.items()
    ]


def _row(r: Result, middle: float | None) -> Row:
    proof = f"{r.failed} of {r.checks} fail" if r.failed else "passes" if r.checks else ""
    start = (r.label, f"{r.parameters:,}", proof)
    if r.diverged:
        return (*start, "diverged", "", "", "")
    more = "" if r.test is None else _more(r.best, middle)  # half a run is no worse than a whole one, only shorter
    return (*start, _perplexity(r.train), _perplexity(r.best), _perplexity(r.test), more)


def _perplexity(loss: float | None) -> str:
    return "" if loss is None else f"{perplexity(loss):,.1f}"


def _more(loss: float | None, middle: float | None) -> str:
    return "" if loss is None or middle is None else f"{loss - middle:+.3f}"
