"""What attention costs, as formulas of its sizes: the work, the bytes that go in and out, and the largest table.

To write: `attention_flops`, `io_bytes` and `largest_tensor_bytes`, each a formula. Given: their signatures. Not
allowed: attn_lab's einsum_cost, and PyTorch's FlopCounterMode, which is what the tests compare with.

It is about e02's attention, forward, without mask or dropout: b examples, h heads, n queries and n keys, and queries,
keys and values of width d in each head.
"""


def attention_flops(b: int, h: int, n: int, d: int) -> int:
    """The FLOPs of the matrix products: a multiplication is one, an addition is another. The softmax is not counted."""
    # answer: the work of both matrix products
    # Scores: for each of the n² pairs of a query and a key a dot product, d multiplications and (as is the custom)
    # d additions. That in every head, and d is the width of one head alone.
    scores = b * h * n * n * 2 * d

    # Averages: for each query and each of d features a sum over n keys, a multiplication and an addition for each.
    averages = b * h * n * d * 2 * n
    return scores + averages
    # end of answer


def io_bytes(b: int, h: int, n: int, d: int, width: int = 4) -> int:
    """The bytes of query, key, value and output together, with `width` bytes a number: 4 for float32."""
    # answer: four tensors, in bytes
    # Each of the four is (b h n d). Less than this nobody can read and write, however clever the program is.
    return 4 * b * h * n * d * width
    # end of answer


def largest_tensor_bytes(b: int, h: int, n: int, d: int, width: int = 4) -> int:
    """The bytes of the largest single tensor that e02's einsum form makes or is given."""
    # answer: the largest of the tensors, in bytes
    # The scores and the weights have a number for each pair, whatever d is. With a very short text, n < d, the inputs
    # are larger than that.
    return b * h * n * max(n, d) * width
    # end of answer
