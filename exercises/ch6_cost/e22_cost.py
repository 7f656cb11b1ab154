"""What attention costs, as formulas of its sizes: the work, the bytes that go in and out, and the largest table.

To write: `attention_flops`, `io_bytes` and `largest_tensor_bytes`, each a formula. Given: their signatures. Not
allowed: attn_lab's einsum_cost, and PyTorch's FlopCounterMode, which is what the tests compare with.

It is about e02's attention, forward, without mask or dropout: b examples, h heads, n queries and n keys, and queries,
keys and values of width d in each head.
"""


def attention_flops(b: int, h: int, n: int, d: int) -> int:
    """The FLOPs of the matrix products: a multiplication is one, an addition is another. The softmax is not counted."""
    raise NotImplementedError("e22 cost: the work of both matrix products")


def io_bytes(b: int, h: int, n: int, d: int, width: int = 4) -> int:
    """The bytes of query, key, value and output together, with `width` bytes a number: 4 for float32."""
    raise NotImplementedError("e22 cost: four tensors, in bytes")


def largest_tensor_bytes(b: int, h: int, n: int, d: int, width: int = 4) -> int:
    """The bytes of the largest single tensor that e02's einsum form makes or is given."""
    raise NotImplementedError("e22 cost: the largest of the tensors, in bytes")
