"""Wrong answers to e22 that have been seen, each with what it does and what a teacher would say; and right variants."""

from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.efficient.cost.einsum_cost", "torch.utils.flop_counter.FlopCounterMode")


def flops(behaves, advice, formula):
    test = "test_the_work_is_what_pytorch_counts"
    return Mistake(behaves, advice, caught_by=test, attention_flops=formula)


def moved(behaves, advice, formula, test="test_what_goes_in_and_out_is_four_tensors"):
    return Mistake(behaves, advice, caught_by=test, io_bytes=formula)


def largest(behaves, advice, formula):
    test = "test_the_largest_tensor_is_the_one_that_is_seen"
    return Mistake(behaves, advice, caught_by=test, largest_tensor_bytes=formula)


MISTAKES = (
    flops(
        "counts one of the two products, or a multiplication and an addition as one",
        "It is 2 for a multiplication and an addition, and twice that: scores are one product, averages another.",
        lambda b, h, n, d: 2 * b * h * n * n * d,
    ),
    flops(
        "counts one of the two products, and a multiplication and an addition as one",
        "Two products, the scores and the averages, and each multiplication has an addition beside it: 4, not 1.",
        lambda b, h, n, d: b * h * n * n * d,
    ),
    flops(
        "counts the heads twice",
        "d is the width of one head: h heads of width d do h times the work of one, not h² times.",
        lambda b, h, n, d: 4 * b * h * n * n * h * d,
    ),
    flops(
        "forgets the heads",
        "Every head has its own n² pairs of a query and a key: multiply by h.",
        lambda b, h, n, d: 4 * b * n * n * d,
    ),
    flops(
        "forgets the batch",
        "Every example has its own products: multiply by b.",
        lambda b, h, n, d: 4 * h * n * n * d,
    ),
    flops(
        "takes n d² for n² d",
        "It is n² pairs, and d numbers for each: the length counts twice, the width once.",
        lambda b, h, n, d: 4 * b * h * n * d * d,
    ),
    flops(
        "grows with n, not with n²",
        "Each of n queries meets each of n keys: the work is proportional to n².",
        lambda b, h, n, d: 4 * b * h * n * d,
    ),
    moved(
        "forgets how many bytes a number has in the bytes that go in and out",
        "Numbers are not bytes: multiply by width.",
        lambda b, h, n, d, width=4: 4 * b * h * n * d,
    ),
    moved(
        "forgets the output",
        "Query, key and value go in, and one tensor more comes out: four.",
        lambda b, h, n, d, width=4: 3 * b * h * n * d * width,
    ),
    moved(
        "counts the heads twice in the bytes that go in and out",
        "d is the width of one head: a tensor (b h n d) has b h n d numbers.",
        lambda b, h, n, d, width=4: 4 * b * h * n * h * d * width,
    ),
    moved(
        "forgets the batch in the bytes that go in and out",
        "Every example has its own four tensors: multiply by b.",
        lambda b, h, n, d, width=4: 4 * h * n * d * width,
    ),
    moved(
        "counts the table of weights too",
        "The weights are made and thrown away inside: what goes in and out is query, key, value and output.",
        lambda b, h, n, d, width=4: b * h * n * (4 * d + n) * width,
    ),
    moved(
        "takes numbers of 8 bytes where no width is given",
        "float32 is what PyTorch makes unless told otherwise: 4 bytes.",
        lambda b, h, n, d, width=8: 4 * b * h * n * d * width,
        "test_a_number_has_four_bytes_unless_told_otherwise",
    ),
    largest(
        "takes n² d for the memory",
        "n² d is the work: each of the n² pairs costs d products, and what is kept of them is one number.",
        lambda b, h, n, d, width=4: b * h * n * n * d * width,
    ),
    largest(
        "forgets how many bytes a number has in the largest tensor",
        "Numbers are not bytes: multiply by width.",
        lambda b, h, n, d, width=4: b * h * n * max(n, d),
    ),
    largest(
        "forgets the heads in the largest tensor",
        "Every head has weights of its own, and all of them are in one tensor: multiply by h.",
        lambda b, h, n, d, width=4: b * n * max(n, h * d) * width,
    ),
    largest(
        "forgets the batch in the largest tensor",
        "Every example has weights of its own, and all of them are in one tensor: multiply by b.",
        lambda b, h, n, d, width=4: h * n * max(n, d) * width,
    ),
    largest(
        "takes the weights for the largest tensor also where the text is shorter than a head is wide",
        "Where n < d the inputs, b h n d numbers, are larger than the weights, b h n²: take the larger.",
        lambda b, h, n, d, width=4: b * h * n * n * width,
    ),
    largest(
        "takes the query for the largest tensor",
        "The weights have b h n² numbers, which is more as soon as n > d.",
        lambda b, h, n, d, width=4: b * h * n * d * width,
    ),
    largest(
        "adds scores and weights up",
        "They are two tensors of the same size; asked for is the largest single one.",
        lambda b, h, n, d, width=4: 2 * b * h * n * max(n, d) * width,
    ),
)

VARIANTS = (
    Variant("four, in one product", attention_flops=lambda b, h, n, d: 4 * b * h * d * n**2),
    Variant(
        "the four tensors one by one", io_bytes=lambda b, h, n, d, width=4: sum(b * h * n * d * width for _ in "qkvo")
    ),
    Variant(
        "the larger of weights and inputs",
        largest_tensor_bytes=lambda b, h, n, d, width=4: width * max(b * h * n * n, b * h * n * d),
    ),
)

N_PROBES = 12


def observe(answer, seed):
    """Sizes that tell every factor from every other, with d below, at and above n."""
    b, h, n, d = 2 + seed % 3, 3 + seed % 2, (7, 5, 11, 3, 1, 64)[seed % 6], (4, 9, 2, 13, 7)[seed % 5]
    width = () if seed % 4 == 3 else ((2, 4, 8)[seed % 3],)
    return {
        "flops": behaviour(answer.attention_flops, b, h, n, d),
        "bytes": behaviour(answer.io_bytes, b, h, n, d, *width),
        "largest": behaviour(answer.largest_tensor_bytes, b, h, n, d, *width),
    }
