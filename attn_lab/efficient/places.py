"""Positions and masks for columns of a text that do not begin at its first token: what a key/value cache needs."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_lab import masks


class PositionsAt(nn.Module):
    """A positions part for columns that do not begin at 0: what it adds to zeros, picked by place.

    The decoder sets `place`, (b m) or (1 m), and `end`, the number of columns.
    """

    place: Tensor
    end: int

    def __init__(self, part: nn.Module, max_len: int) -> None:
        super().__init__()
        self.part = part
        self.max_len = max_len
        self.table: Tensor | None = None

    def forward(self, x: Float[Tensor, "b m d_model"]) -> Float[Tensor, "b m d_model"]:
        """x, and what the part adds at its places."""
        if self.table is None or len(self.table) < self.end:
            # Once for the longest text; beyond it the part has its own say.
            self.table = self.part(x.new_zeros(1, max(self.end, self.max_len), x.shape[-1]))[0]
        return x + self.table[self.place]


class MaskRows:
    """The rows that a causal mask has for some queries and keys, by place; `masks.causal` itself needs no table."""

    def __init__(self, rule: Callable[[int], Tensor | None]) -> None:
        self.rule = rule
        self.table: Tensor | None = None

    def __call__(self, query: Int[Tensor, "b m"], key: Int[Tensor, "b k"], n: int) -> Bool[Tensor, "b m k"]:
        """Which of the keys each query may attend to; both end at the same column, and a place below 0 is filler.

        A filler's query sees itself alone, so that no part has to answer for a row without keys. Nobody else sees it.
        """
        i, j = query[:, :, None], key[:, None, :]
        allowed = j <= i
        if self.rule is not masks.causal:
            table = self._grown(n, query.device)
            allowed = torch.ones_like(allowed) if table is None else table[i.clamp(min=0), j.clamp(min=0)]
        return (allowed & (i >= 0) & (j >= 0)) | ((i == j) & (i < 0))

    def _grown(self, n: int, device: torch.device) -> Bool[Tensor, "n n"] | None:
        """The rule's mask of length n or more, made anew only when the text has outgrown it; None: there is none."""
        if self.table is not None and len(self.table) >= n:
            return self.table
        with device:
            now, table = self.rule(n), self.rule(2 * n)
        if now is None or table is None:
            return None
        if now.shape != (n, n) or table.shape != (2 * n, 2 * n):
            raise ValueError(f"a cache needs a mask (n n); for n = {n} the model's is {tuple(now.shape)}")
        masks.conform(table, (1, 1, 2 * n, 2 * n))
        same = all(torch.equal(table[: len(part), : len(part)], part) for part in (now, self.table) if part is not None)
        if not same or bool(table.triu(1).any()):
            raise ValueError(
                "a cache needs a causal mask whose rows stay as they are when the text grows; the model's "
                f"{'lets a query see a later key' if same else 'changes with the length'}"
            )
        self.table = table
        return table
