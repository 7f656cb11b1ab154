"""The sliding window by hand: forward and backward written out, in pieces that fit the processor's cache."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from attn_lab.efficient.blocks import Blocks, by_blocks, padded

SIZE = 32  # queries in a block: few, so that little of a span is outside the window; not so few that products crawl
ROWS = 2048  # queries in a piece, at most
SCORES = 320 * 1024  # of a piece: few enough that they stay in the cache from their making to their last use


def banded_attention(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    mask: Bool[Tensor, "#b #h #i #j"] | None = None,
    *,
    window: int,
    causal: bool,
) -> Float[Tensor, "b h i e"]:
    r"""The same function as `by_blocks` in about half its time on a CPU; the queries are the last i of j positions.

    PyTorch's own gradient of the blocked form keeps the weights and cuts the gradients of overlapping spans apart.
    Here the scores of one piece of one head live in a buffer that is used again for the next piece; the backward pass
    computes them anew. With $P$ the weights, $O$ the output, and $dX$ the gradient of $X$:

    $$dV = P^\top dO, \quad dS = P \circ (dO\, V^\top - \mathrm{rowsum}(dO \circ O)), \quad
    dQ = \frac{dS\, K}{\sqrt{d_k}}, \quad dK = \frac{dS^\top Q}{\sqrt{d_k}}$$

    Cost: O(b h i w (d + e)) time; O(b h i (d + e)) memory beside a buffer for the scores of a piece.

    Source: the log-sum-exp kept for the backward pass, and the row sum, are Dao et al. 2022,
        FlashAttention, appendix B.
    """
    return _Banded.apply(query, key, value, mask, Blocks(window, causal, SIZE))


def rows_of_a_piece(blocks: Blocks) -> int:
    """How many queries are worked off at a time: whole blocks, at least one."""
    return max(1, min(ROWS // blocks.size, SCORES // (blocks.span * blocks.size))) * blocks.size


class _Banded(torch.autograd.Function):
    """Autograd's pair of a function and its gradient."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, blocks: Blocks) -> Tensor:
        """Softmax by its parts, since the backward pass wants the log-sum-exp, in base 2."""
        output = query.new_empty(*query.shape[:-1], value.shape[-1])
        lse = query.new_empty(*query.shape[:-1], 1)
        work = _Pieces(query, key, value, mask, blocks)
        buffer = work.buffer()
        for head, rows, hidden, empty in work:
            scores = work.scores(head, rows, hidden, buffer)
            top = scores.amax(dim=-1, keepdim=True)
            weights = scores.sub_(top).exp2_()
            total = weights.sum(dim=-1, keepdim=True)
            of_piece = torch.bmm(weights, work.spans(value[head], rows)).div_(total)
            if empty is not None:
                of_piece.masked_fill_(empty, 0.0)
            _put(of_piece, output[head][rows])
            _put(total.log2_().add_(top), lse[head][rows])
        ctx.blocks = blocks
        ctx.save_for_backward(query, key, value, mask, output, lse)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The four equations, a piece at a time; a key's gradient is a sum over the pieces that see it."""
        query, key, value, mask, output, lse = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient will be asked for
            return *_by_autograd(query, key, value, mask, ctx.blocks, grad), None, None
        work, cut = _Pieces(query, key, value, mask, ctx.blocks), ctx.blocks.cut
        of_query = torch.empty_like(query, memory_format=torch.contiguous_format)
        of_key, of_value = (torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (key, value))
        buffers = work.buffer(), work.buffer()
        for head, rows, hidden, empty in work:
            of_output = cut(grad[head][rows])
            if empty is not None:
                of_output = of_output.masked_fill(empty, 0.0)
            row_sum = (of_output * cut(output[head][rows])).sum(dim=-1, keepdim=True)
            weights = work.scores(head, rows, hidden - cut(lse[head][rows]), buffers[0]).exp2_()
            of_scores = buffers[1][: len(weights)]
            torch.bmm(of_output, work.spans(value[head], rows).mT, out=of_scores).sub_(row_sum).mul_(weights)
            _put(torch.bmm(of_scores, work.spans(key[head], rows)).mul_(work.scale), of_query[head][rows])
            work.add_by_tiles(of_scores, cut(query[head][rows]), of_key[head], rows, work.scale)
            work.add_by_tiles(weights, of_output, of_value[head], rows)
        return of_query, of_key, of_value, None, None


class _Pieces:
    """The pieces that a text is worked off in, each of some queries of one head, and what is done to each."""

    def __init__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, blocks: Blocks) -> None:
        self.query, self.key, self.mask, self.blocks = query, key, mask, blocks
        self.i, self.j = query.shape[2], key.shape[2]
        self.scale = query.shape[-1] ** -0.5
        self.rows = rows_of_a_piece(blocks)

    def __iter__(self) -> Iterator[tuple[tuple[int, int], slice, Tensor, Tensor | None]]:
        """Head (b, h), queries, what to add to their scores (-inf to hide), and which queries see nothing at all."""
        for start in range(0, self.i, self.rows):
            rows = slice(start, min(start + self.rows, self.i))
            hidden, empty = self._hidden(rows)
            for b in range(self.query.shape[0]):
                for h in range(self.query.shape[1]):
                    yield (b, h), rows, _of(hidden, b, h), None if empty is None else _of(empty, b, h)

    def buffer(self) -> Float[Tensor, "k s span"]:
        """Room for the scores of any piece: fresh memory for each would cost more than the scores."""
        k = self.blocks.count(min(self.rows, self.i))
        return self.query.new_empty(k, self.blocks.size, self.blocks.span)

    def scores(
        self, head: tuple[int, int], rows: slice, start: Float[Tensor, "... s span"], buffer: Float[Tensor, "_ s span"]
    ) -> Float[Tensor, "k s span"]:
        """`start` + the scores, in the buffer; in units of log2 e: 2^x of -inf is fast where e^x of it is slow."""
        query = self.blocks.cut(self.query[head][rows])
        scores = buffer[: len(query)].copy_(start)
        return scores.baddbmm_(query, self.spans(self.key[head], rows).mT, alpha=self.scale * math.log2(math.e))

    def spans(self, x: Float[Tensor, "j d"], rows: slice) -> Float[Tensor, "k span d"]:
        """The spans of the blocks of these queries: views that overlap, not copies."""
        low, high = self._reach(rows)
        kept = padded(x[max(low, 0) : high], max(-low, 0), max(high - self.j, 0))
        return kept.unfold(0, self.blocks.span, self.blocks.size).mT

    def add_by_tiles(
        self,
        weights: Float[Tensor, "k s span"],
        by_query: Float[Tensor, "k s d"],
        total: Float[Tensor, "j d"],
        rows: slice,
        scale: float = 1.0,
    ) -> None:
        """Adds, to each key, what it gets from the queries of these blocks.

        A span is a few whole blocks of keys. Its t-th, for all blocks of queries at once, is all blocks of keys,
        t further: so no two of the products that are added at a time meet in the same place.
        """
        low, high = self._reach(rows)
        inside = low >= 0 and high <= self.j
        place = total[low:high] if inside else total.new_zeros(high - low, total.shape[-1])
        keys = place.unflatten(0, (-1, self.blocks.size))
        for t, tile in enumerate(weights.mT.split(self.blocks.size, dim=1)):
            keys[t : t + len(tile)].baddbmm_(tile, by_query, alpha=scale)
        if not inside:
            total[max(low, 0) : high] += place[max(-low, 0) : self.j - low]

    def _reach(self, rows: slice) -> tuple[int, int]:
        """From which key to which the spans of these queries go, beyond both ends of the text."""
        first = self.j - self.i + rows.start
        n = self.blocks.count(rows.stop - rows.start) * self.blocks.size
        return first - self.blocks.before, first + n + self.blocks.after

    def _hidden(self, rows: slice) -> tuple[Tensor, Tensor | None]:
        """0 where a query sees a key and -inf where not, for each block if they differ; a query that sees none, all."""
        zero = self.query.new_zeros(())
        low, high = self._reach(rows)
        if self.mask is None:
            band = zero.masked_fill(~self.blocks.band(self.query.device), -math.inf)
            if low >= 0 and high <= self.j:
                return band, None
            key = torch.arange(low, high, device=self.query.device).unfold(0, self.blocks.span, self.blocks.size)
            beyond = zero.masked_fill((key < 0) | (key >= self.j), -math.inf)
            # Queries behind the text may see nothing and come to NaN: `_put` leaves them out, and on the way back their
            # log-sum-exp is 0, their weights are 0, too.
            return band + beyond[:, None], None
        allowed = self.blocks.allowed(self.mask, rows, self.i, self.j, self.query.device)
        empty = ~allowed.any(dim=-1, keepdim=True)
        return zero.masked_fill(~(allowed | empty), -math.inf), empty


def _put(blocks: Float[Tensor, "k s d"], place: Float[Tensor, "n d"]) -> None:
    """Blocks into their place, without the last one's empty part."""
    place.copy_(blocks.flatten(0, 1)[: len(place)])


def _of(table: Tensor, b: int, h: int) -> Tensor:
    """One head's part of a table (b h k s span) whose b and h may be 1; a table without them is for every head."""
    if table.ndim < 5:
        return table
    return table[b if table.shape[0] > 1 else 0, h if table.shape[1] > 1 else 0]


def _by_autograd(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, blocks: Blocks, grad: Tensor
) -> tuple[Tensor, ...]:
    """The same gradients with a graph of their own, for which a callable on the weights keeps the fused kernel out."""
    output = by_blocks(query, key, value, mask, lambda weights: weights, window=blocks.window, causal=blocks.causal)
    return torch.autograd.grad(output, (query, key, value), grad, create_graph=True)
