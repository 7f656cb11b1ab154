"""What an attention costs, as formulas of its sizes: work, and bytes moved, kept and held at once."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from attn_lab.efficient.banded import SIZE, rows_of_a_piece
from attn_lab.efficient.blocks import Blocks
from attn_lab.efficient.local import SHORT


@dataclass(frozen=True)
class Sizes:
    """Sizes of a self-attention: n queries and n keys, and values as wide as keys.

    Args:
        b: examples.
        h: heads.
        n: positions.
        d: width of a head.
        window: keys that a query sees in local attention (causal).
        block: keys at a time in online attention.
        width: bytes of a number: 4 for float32, 2 for bfloat16.

    Raises:
        ValueError: a size is below 1, or width is not 2, 4 or 8.
    """

    b: int = 1
    h: int = 8
    n: int = 4096
    d: int = 64
    window: int = 128
    block: int = 128
    width: int = 4

    def __post_init__(self) -> None:
        """Refuse sizes of nothing."""
        for name in ("b", "h", "n", "d", "window", "block"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.width not in (2, 4, 8):
            raise ValueError(f"width is the bytes of a number, 2, 4 or 8; got {self.width}. float32 has 4")

    @property
    def tensor(self) -> int:
        """Numbers in the query, the key, the value or the output: b h n d."""
        return self.b * self.h * self.n * self.d

    @property
    def square(self) -> int:
        """Numbers in the table of all weights: b h n²."""
        return self.b * self.h * self.n * self.n

    @property
    def rows(self) -> int:
        """Queries of all heads and examples: b h n."""
        return self.b * self.h * self.n

    @property
    def exact(self) -> int:
        """Bytes of a number in the softmax: at least those of float32."""
        return max(self.width, 4)


@dataclass(frozen=True)
class Cost:
    """What one attention costs. FLOPs are of the matrix products alone, a multiplication and an addition each one.

    Args:
        forward_flops: work of the forward pass.
        backward_flops: work of the backward pass.
        io_bytes: query, key and value read, and the output written.
        kept_bytes: what is kept for the backward pass beside query, key and value.
        largest: numbers in the largest single tensor.
        peak_bytes: what training holds at once, at the worst moment: inputs, output, their gradients, what is kept,
            and what the backward pass works in.
    """

    forward_flops: int
    backward_flops: int
    io_bytes: int
    kept_bytes: int
    largest: int
    peak_bytes: int


def einsum_cost(s: Sizes) -> Cost:
    r"""The definition: all weights at once.

    Forward $QK^\top$ and $PV$, each $2\,b h n^2 d$ FLOPs; backward two products for each of them: $dP = dO\,V^\top$,
    $dV = P^\top dO$, $dQ = dS\,K$, $dK = dS^\top Q$. Kept: the scaled query and the weights (in half precision twice:
    in float32 for the softmax's gradient, and rounded for the product's). The backward pass holds $dP$ and $dS$
    beside them, both $b h n^2$.
    """
    weights = s.square * (s.width if s.width >= 4 else s.exact + s.width)
    kept = s.tensor * s.width + weights
    return _cost(s, 4, 8, s.square * s.d, kept, max(s.square, s.tensor), 2 * s.square * s.exact)


def fused_cost(s: Sizes) -> Cost:
    r"""A fused kernel (FlashAttention): the weights exist only in tiles, inside the kernel.

    The forward pass does the same work; the backward pass computes $QK^\top$ once more: five products for two.
    Kept: the output and one number a query, the log-sum-exp.
    """
    kept = s.tensor * s.width + s.rows * s.exact
    return _cost(s, 4, 10, s.square * s.d, kept, s.tensor, 0)


def online_cost(s: Sizes) -> Cost:
    r"""`online_attention`: the same work as a fused kernel's, a block of keys at a time in plain PyTorch.

    Kept: the scaled query, the output (in at least float32) and one number a query. Largest: a block of weights,
    $b h n \min(\mathrm{block}, n)$, or the query. The backward pass holds three blocks at its worst, the weights, $dP$
    and $dS$, and the sum of the query's gradient beside the gradient itself.
    """
    block = s.rows * min(s.block, s.n)
    kept = s.tensor * (s.width + s.exact) + s.rows * s.exact
    return _cost(s, 4, 10, s.square * s.d, kept, max(block, s.tensor), (3 * block + s.tensor) * s.exact)


def local_cost(s: Sizes) -> Cost:
    r"""A causal sliding window, as `LocalAttention` does it on a CPU: in blocks of 32 queries.

    A block sees its own 32 keys and, before them, $w - 1$ rounded up to whole blocks: the span, between $w + 31$ and
    $w + 62$. So $32 \lceil n / 32 \rceil \cdot \mathrm{span}$ pairs in place of $n^2$. Kept: the output and one number
    a query. Pieces of at most 2048 queries of one head share a buffer of as many rows of span weights, and the
    backward pass has two. With $n \le 4 w$ it is a fused attention.
    """
    if s.n <= SHORT * s.window:
        return fused_cost(s)
    blocks = Blocks(s.window, causal=True, size=SIZE)
    queries = blocks.count(s.n) * SIZE
    pairs = s.b * s.h * queries * blocks.span
    piece = min(queries, rows_of_a_piece(blocks)) * blocks.span
    kept = s.tensor * s.width + s.rows * s.exact
    return _cost(s, 4, 10, pairs * s.d, kept, max(piece, s.tensor), 2 * piece * s.exact)


FORMS: dict[str, Callable[[Sizes], Cost]] = {
    "einsum": einsum_cost,
    "fused": fused_cost,
    "online": online_cost,
    "local": local_cost,
}


def longest(form: Callable[[Sizes], Cost], sizes: Sizes, memory: int) -> int:
    """The largest n that can be trained with in so many bytes, by this form and sizes like these; 0 if none can."""
    short, long = 0, 1
    while form(replace(sizes, n=long)).peak_bytes <= memory:
        short, long = long, 2 * long
    while long - short > 1:
        middle = (short + long) // 2
        if form(replace(sizes, n=middle)).peak_bytes <= memory:
            short = middle
        else:
            long = middle
    return short


def _cost(s: Sizes, forward: int, backward: int, pairs: int, kept: int, largest: int, work: int) -> Cost:
    """`forward` and `backward` are FLOPs for each pair of query and key and each feature; four inputs and outputs."""
    io = 4 * s.tensor * s.width
    return Cost(forward * pairs, backward * pairs, io, kept, largest, 2 * io + kept + work)
