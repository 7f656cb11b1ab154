"""The attention weights of any model, read from outside: its attention functions are asked for them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from einops import einsum, reduce, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

EXPECTED = (
    "expected modules that keep their attention function as `attention` and call it with query, key and value of "
    "(b h n d), as attn_lab.MultiHeadSelfAttention does"
)


class NoWeights(ValueError):
    """A model that has no place where its attention weights can be seen."""


@torch.no_grad()
def attention_weights(
    model: nn.Module, ids: Int[Tensor, "b n"]
) -> tuple[list[Float[Tensor, "b h n n"]], Float[Tensor, "b n v"]]:
    r"""The weights of every attention, in the order in which the model calls them, and the logits.

    Fused kernels never hold the weights. But attention is linear in the values, $O = A V$, and with the identity in the
    place of the values it answers with the weights themselves, $A I = A$. So each attention function is asked twice:
    for its output, which goes on through the model, and for its weights. No function has to be replaced, and whatever
    it does to queries and keys (a rotation, a penalty on distance, a window) is in the weights.

    In eval mode, whatever mode the model is in; it is put back.

    Args:
        model: called as `model(ids)`, with attention modules that keep their attention function as `attention`.
        ids: texts of one length.

    Returns:
        The weights of each attention on the CPU, in at least float32, and what the model returned.

    Raises:
        NoWeights: no module of the model keeps its attention function as `attention` and calls it with (b h n d), or
            the function's output is no average of the values.

    Cost: one forward pass, and in each attention n / e calls more for values of width e; O(b h n²) memory for each.
    """
    seen = _Seen()
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with _listening(model, seen):
            logits = model(ids)
    finally:
        for module, training in modes.items():
            module.training = training
    if not seen.weights:
        raise NoWeights(f"{EXPECTED}; {type(model).__name__} has {_places(seen)}. {HELP}")
    return seen.weights, logits


HELP = "Hand the attention function to the attention module's constructor, and call it as self.attention(…)"


class _Seen:
    """What the attention functions of one forward pass were seen to do."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []
        self.places = 0
        self.busy = False  # inside an attention function: one that it wraps is part of it


def _places(seen: _Seen) -> str:
    return f"{seen.places} that keep one, and none of them called it so" if seen.places else "no such module"


@contextmanager
def _listening(model: nn.Module, seen: _Seen) -> Iterator[None]:
    """Every attribute `attention` of a module replaced by one that listens; put back at the end."""
    before: list[tuple[dict[str, Any], Any]] = []
    for name, module in model.named_modules():
        inside = getattr(module, "attention", None)
        if callable(inside):
            # Straight into the instance's own attributes, which are looked up first: no matter whether `attention` is
            # a function, a submodule or a method, nothing of the module's own is overwritten.
            own = vars(module)
            before.append((own, own.get("attention", _NOTHING)))
            own["attention"] = _Listener(inside, seen, name or type(module).__name__)
    seen.places = len(before)
    try:
        yield
    finally:
        for own, inside in before:
            if inside is _NOTHING:
                del own["attention"]
            else:
                own["attention"] = inside


_NOTHING = object()


class _Listener:
    """An attention function that answers as the one inside, and notes its weights."""

    def __init__(self, attention: Callable[..., Tensor], seen: _Seen, name: str) -> None:
        self.attention, self.seen, self.name = attention, seen, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.attention, name)  # such as `window`, which a module may ask its attention for

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        values = None if self.seen.busy else _values(arguments, named)
        if values is None:  # not the attention function: a block may keep its attention module by this name
            return self.attention(*arguments, **named)
        self.seen.busy = True
        try:
            output = self.attention(*arguments, **named)
            weights = self._ask(values, arguments, named)
        finally:
            self.seen.busy = False
        _check_average(weights, values, output, self.name)
        self.seen.weights.append(weights.to(torch.promote_types(weights.dtype, torch.float32)).cpu())
        return output

    def _ask(self, values: Tensor, arguments: Sequence[Any], named: dict[str, Any]) -> Float[Tensor, "b h i j"]:
        """The weights: the output for the identity, as many of its columns at a time as the values are wide.

        The shapes are those of the true call, for kernels that take no others.
        """
        b, g, j, e = values.shape
        identity = torch.eye(j, dtype=values.dtype, device=values.device)
        answers = []
        for columns in identity.split(e, dim=1):
            columns = repeat(F.pad(columns, (0, e - columns.shape[1])), "j e -> b g j e", b=b, g=g)
            if "value" in named:
                answers.append(self.attention(*arguments, **named | {"value": columns}))
            else:
                answers.append(self.attention(*arguments[:2], columns, *arguments[3:], **named))
        return torch.cat(answers, dim=-1)[..., :j]


def _values(arguments: Sequence[Any], named: dict[str, Any]) -> Float[Tensor, "b g j e"] | None:
    """The values of a call of an attention function; None: it is a call of something else."""
    given = [*arguments[:3], *(named[name] for name in ("query", "key", "value")[len(arguments) :] if name in named)]
    fits = len(given) == 3 and all(isinstance(x, Tensor) and x.ndim == 4 for x in given)
    return given[2] if fits else None


def _check_average(weights: Tensor, values: Tensor, output: Tensor, name: str) -> None:
    """Raises NoWeights unless the weights are weights: none negative, each row 1 or empty, and the output A V."""
    coarsest = max(torch.finfo(x.dtype).eps for x in (weights, values, output))
    near = coarsest**0.5
    where = f"the attention function of {name} (layers count from 0)"
    sums = reduce(weights.double(), "b h i j -> b h i", "sum")
    if not bool(((sums - 1).abs().le(near) | (sums == 0)).all()) or bool((weights < -near).any()):
        raise NoWeights(
            f"expected weights that are not negative, and sum to 1 for each query that sees anything; {where} has a "
            f"query whose weights sum to {_farthest(sums):.4g}. It is no average of the values, and has no map"
        )
    values = repeat(values, "b g j e -> b (g r) j e", r=weights.shape[1] // values.shape[1])
    again = einsum(weights.double(), values.double(), "b h i j, b h j e -> b h i e")
    if not torch.allclose(again, output.double(), rtol=0, atol=near * max(1.0, values.abs().max().item())):
        raise NoWeights(
            f"expected an output that is the average of the values by the weights; that of {where} is another by "
            f"{(again - output.double()).abs().max().item():.3g}. What else it does is in no map"
        )


def _farthest(sums: Tensor) -> float:
    """The sum that is farthest from 1."""
    return sums.flatten()[(sums - 1).abs().nan_to_num(nan=torch.inf).flatten().argmax()].item()
