"""Writing with a key/value cache: each new token is computed alone, and attends to what the others left behind."""

import copy
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_lab import masks
from attn_lab.efficient.places import MaskRows, PositionsAt
from attn_lab.language_model import sample


class CachedAttention(nn.Module):
    r"""An attention function that remembers: new keys and values join those before, and the queries see them all.

    In a causal model a token's keys and values never change again, whatever is written behind it. So for a text that
    grows, each new token needs one query, and the keys and values of the others as they were.

    Args:
        attention: the function that attends, of the signature of `attn_lab.attention`; the queries it gets are the last
            of the keys' positions.
        window: how many keys a query sees; the others are forgotten. None: as many as `attention.window` says, where
            there is such an attribute, and else all.

    Cost: with n held and m new, O(b h m n d) time instead of O(b h n² d); O(b g n d) memory for g heads of keys. With
        a window w in the place of n.
    """

    def __init__(self, attention: Callable[..., Tensor], window: int | None = None) -> None:
        super().__init__()
        self.attention = attention
        self.window: int | None = getattr(attention, "window", None) if window is None else window
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    def forward(
        self,
        query: Float[Tensor, "... m d"],
        key: Float[Tensor, "... m d"],
        value: Float[Tensor, "... m e"],
        mask: Bool[Tensor, "..."] | None = None,
        *rest: Any,
        **named: Any,
    ) -> Float[Tensor, "... m e"]:
        """The new queries over all keys; the mask has a row for each query, and a column for each key seen by any."""
        if self.key is not None and self.value is not None:
            needed = self.key.shape[-2] if self.window is None else self.window - 1  # by the first of the new queries
            key = torch.cat([_last(self.key, needed), key], dim=-2)
            value = torch.cat([_last(self.value, needed), value], dim=-2)
        self.key, self.value = key, value
        if self.window is not None and key.shape[-2] > self.window:
            # A copy: a view would keep alive all that it is cut from.
            self.key, self.value = _last(key, self.window).clone(), _last(value, self.window).clone()
        if mask is not None and mask.shape[-1] > key.shape[-2]:
            mask = mask[..., -key.shape[-2] :]
        return self.attention(query, key, value, mask, *rest, **named)

    def forget(self) -> None:
        """Empties the cache."""
        self.key = self.value = None


class Decoder:
    """A language model that reads on where it stopped, equal to reading the whole text again.

    It answers as the model in eval mode does. Asked about ids that begin with those it has seen, it computes the new
    columns alone; asked about others, such as a text that is cropped at its beginning, it starts again. So it may stand
    wherever the model's logits are wanted: `model.generate(prompt, 100, logits_of=Decoder(model))`.

    It works on a copy of the model's modules that shares the weights, in which every attribute `attention` remembers
    its keys (`CachedAttention`) and the positions are added where the new columns stand. The model itself stays as it
    is. A few tokens are tried at once, so that a model with a part that does not go token by token is refused and never
    answered for wrongly.

    Args:
        model: a causal language model: called as `model(ids, mask)`, with attention modules that keep their attention
            function as `attention`, and with `positions` that add to each position something of its own. It stays on
            its device; after it has been moved make a new decoder.

    Raises:
        ValueError: the model is not causal, has no such attention, or does not go token by token; (call) the mask of
            the model lets the future through, or changes with the length.

    Cost: O(b m n d_model) time and O(b n d_model) memory for each block's attention over n columns, m of them new;
        with a windowed attention both stay the same however long the text is.
    """

    def __init__(self, model: nn.Module) -> None:
        if not getattr(model, "causal", True):
            raise ValueError("a cache needs a causal model: with causal=False every new token changes all the others")
        self._weights = list(chain(model.parameters(), model.buffers()))
        self._model = _sharing_copy(model).eval()
        self._caches = _with_caches(self._model)
        positions = getattr(self._model, "positions", None)
        if not self._caches or not isinstance(positions, nn.Module):
            raise ValueError(
                "a cache needs modules that keep their attention function as `attention`, and the model's positions as "
                f"`positions`; {type(model).__name__} has {len(self._caches)} such modules and "
                f"{'positions' if isinstance(positions, nn.Module) else 'no positions'}. Take the model as it is"
            )
        self._positions = PositionsAt(positions, getattr(model, "max_len", 0))
        self._model.positions = self._positions
        self._mask = MaskRows(getattr(model, "mask", masks.causal))
        self._versions = self._versions_now()
        self.reset()
        self._try_out(_sharing_copy(model).eval())

    def reset(self) -> None:
        """Forgets what it has seen."""
        self._ids: Tensor | None = None
        self._padding: Tensor | None = None
        for cache in self._caches:
            cache.forget()

    @torch.no_grad()
    def __call__(
        self, ids: Int[Tensor, "b n"], padding: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b m ntoken"]:
        """Logits of the columns that are new, all n of them where it starts again.

        Args:
            ids: the whole text, what it has seen included.
            padding: how many columns at the beginning of each text are filler, for texts of unequal lengths: the
                positions are counted behind them. The logits there mean nothing.

        Raises:
            ValueError: there is no column, or the padding is not between 0 and n - 1 for each of the b.
        """
        b, n = ids.shape
        _check_padding(b, n, padding)
        if self._versions != self._versions_now():
            self._positions.table = None  # learned positions have changed, too
            self.reset()
        elif not self._read_on(ids, padding):
            self.reset()
        seen = 0 if self._ids is None else self._ids.shape[1]
        # Only what is computed to the end counts as seen: an interrupt leaves some layers ahead of others.
        self._ids, self._versions = None, self._versions_now()
        shift = torch.zeros(1, dtype=torch.long, device=ids.device) if padding is None else padding
        place = torch.arange(n, device=ids.device) - shift[:, None]
        self._positions.place, self._positions.end = place[:, seen:].clamp(min=0), n
        keys = max(n if cache.window is None else min(n, cache.window - 1 + n - seen) for cache in self._caches)
        mask = self._mask(place[:, seen:], place[:, n - keys :], n)
        logits = self._model(ids[:, seen:], mask[0] if padding is None else mask[:, None])
        self._ids = ids.clone()
        self._padding = None if padding is None else padding.clone()
        return logits

    def _read_on(self, ids: Tensor, padding: Tensor | None) -> bool:
        """Whether the ids are those that were seen, and more."""
        if self._ids is None:
            return False
        (b, seen), before = self._ids.shape, self._padding
        if ids.shape[0] != b or ids.shape[1] <= seen or ids.device != self._ids.device:
            return False
        if padding is None or before is None:
            alike = padding is before
        else:
            alike = torch.equal(padding, before)
        return alike and torch.equal(ids[:, :seen], self._ids)

    def _versions_now(self) -> list[int]:
        """A number for each weight that every change in place moves on."""
        return [0 if weight.is_inference() else weight._version for weight in self._weights]

    @torch.no_grad()
    def _try_out(self, model: nn.Module) -> None:
        """Four tokens, one at a time, against the model's own answer."""
        device = self._weights[0].device if self._weights else "cpu"
        ids = torch.tensor([[0, 1, 1, 0]], device="cpu").to(device)[:, : getattr(model, "max_len", 4)]
        try:
            whole = model(ids)
            single = torch.cat([self(ids[:, : n + 1]) for n in range(ids.shape[1])], dim=1)
            key = self._caches[0].key
            coarsest = max(torch.finfo(x.dtype).eps for x in (whole, key) if x is not None)  # autocast: the keys'
            alike = whole.shape == single.shape and torch.allclose(
                single.float(), whole.float(), rtol=0, atol=coarsest**0.5 * max(1.0, whole.abs().max().item())
            )
        except Exception as error:  # whatever a part of one's own makes of single tokens
            raise ValueError(f"the model does not go token by token: {error}. Take the model as it is") from error
        if not alike:
            raise ValueError(
                "the model does not go token by token: its answers for single tokens are not those for the text. Does "
                "a part see other positions than by its `attention`, or not add its own? Take the model as it is"
            )
        self.reset()


@torch.no_grad()
def generate(
    model: nn.Module,
    prompts: Sequence[Int[Tensor, " _"]],
    n_new: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    context: int | None = None,
    generator: torch.Generator | None = None,
) -> list[Int[Tensor, " _"]]:
    """Prompts of any lengths, and `n_new` sampled tokens behind each: all at once, and as if one by one.

    The texts are padded at the left, so that they end together; masks hide the filler, and each text counts its
    positions from its own first token. Each token sees the last `context` tokens of its text (default: max_len).

    Args:
        model: see `Decoder`.
        prompts: token ids, on the model's device.
        n_new: how many tokens to write.
        temperature, top_k, generator: see `attn_lab.language_model.sample`.
        context: as in `TransformerLanguageModel.generate`.

    Raises:
        ValueError: a prompt is empty, an argument is out of its range, or the model cannot be decoded so.
    """
    longest = getattr(model, "max_len", None) or context or max((len(p) for p in prompts), default=0) + n_new
    context = longest if context is None else context
    if not prompts or not all(len(p) for p in prompts) or n_new < 0 or not 1 <= context <= longest:
        raise ValueError(
            f"expected prompts of at least 1 token, n_new >= 0 and 1 <= context <= {longest}; "
            f"got prompts of {[len(p) for p in prompts]} tokens, {n_new} and {context}"
        )
    decoder, texts = Decoder(model), [prompt.clone() for prompt in prompts]
    for _ in range(n_new):
        logits = decoder(*_padded([text[-context:] for text in texts]))[:, -1]
        drawn = sample(logits, temperature, top_k, generator)
        texts = [torch.cat([text, token[None]]) for text, token in zip(texts, drawn)]
    return texts


def _padded(texts: Sequence[Int[Tensor, " _"]]) -> tuple[Int[Tensor, "b n"], Int[Tensor, " b"] | None]:
    """The texts with filler at the left, and how much of it; None where all are equally long."""
    n = max(len(text) for text in texts)
    ids = torch.stack([torch.cat([text.new_zeros(n - len(text)), text]) for text in texts])
    padding = [n - len(text) for text in texts]
    return ids, torch.tensor(padding, device="cpu").to(ids.device) if any(padding) else None


def _sharing_copy(model: nn.Module) -> nn.Module:
    """The same modules anew, around the very same weights: what is changed in the copy is not changed in the model."""
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)


def _with_caches(module: nn.Module) -> list[CachedAttention]:
    """Every attribute `attention` replaced by one that remembers; the outermost, where there is one in another."""
    found: list[CachedAttention] = []
    inside = getattr(module, "attention", None)
    if callable(inside) and not isinstance(inside, CachedAttention):
        module.attention = CachedAttention(inside)
        found.append(module.attention)
    for name, child in module.named_children():
        if name != "attention":
            found += _with_caches(child)
    return found


def _last(x: Tensor, n: int) -> Tensor:
    return x[..., max(0, x.shape[-2] - n) :, :]


def _check_padding(b: int, n: int, padding: Tensor | None) -> None:
    if n == 0:
        raise ValueError("there must be at least one token to read; got ids without columns")
    if padding is not None and (padding.shape != (b,) or bool(((padding < 0) | (padding >= n)).any())):
        raise ValueError(
            f"padding must be b = {b} numbers between 0 and n - 1 = {n - 1}, one for each text; got {padding.tolist()}"
        )
