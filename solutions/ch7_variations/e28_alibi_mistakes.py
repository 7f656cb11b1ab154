"""Wrong answers to e28 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math

import torch

from attn_lab.checks.cases import AttentionCase
from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.functional.scaled_dot_product_attention",
    "attn_lab.attention",
    "attn_lab.fused_attention",
    "attn_lab.variants.alibi",
)

# slopes


def geometric(h):
    return [2.0 ** (-8 * k / h) for k in range(1, h + 1)]


def from_0(h):
    power = 2 ** int(math.log2(h))
    above = [2.0 ** (-8 * k / (2 * power)) for k in range(2 * power)]
    return [2.0 ** (-8 * k / power) for k in range(power)] + above[::2][: h - power]


def geometric_from_0(h):
    return [2.0 ** (-8 * k / h) for k in range(h)]


def flattest_first(h):
    return right_slopes(h)[::-1]


def halving(h):
    return [2.0**-k for k in range(1, h + 1)]


def linear(h):
    return [k / (h + 1) for k in range(h, 0, -1)]


def right_slopes(h):
    power = 2 ** int(math.log2(h))
    return geometric(power) + geometric(2 * power)[::2][: h - power]


def power_above(h):
    return geometric(2 ** math.ceil(math.log2(h)))[:h]


def every_second_from_the_second(h):
    power = 2 ** int(math.log2(h))
    return geometric(power) + geometric(2 * power)[1::2][: h - power]


def first_of_the_power_above(h):
    power = 2 ** int(math.log2(h))
    return geometric(power) + geometric(2 * power)[: h - power]


def last_of_the_power_above(h):
    power = 2 ** int(math.log2(h))
    between = geometric(2 * power)[::2]
    return geometric(power) + between[len(between) - (h - power) :]


def in_order(h):
    return sorted(right_slopes(h), reverse=True)


def power_below_alone(h):
    return geometric(2 ** int(math.log2(h)))


def negative(h):
    return [-slope for slope in right_slopes(h)]


# alibi_attention


def distance_of(query, key):
    i, j = query.shape[2], key.shape[2]
    return torch.arange(j - i, j)[:, None] - torch.arange(j)


def slopes_of(query):
    return torch.tensor(right_slopes(query.shape[1]), dtype=query.dtype)[:, None, None]


def finish(scores, value, mask, dropout):
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ value


def plain(query, key):
    return query @ key.mT / math.sqrt(query.shape[-1])


def with_bias(bias, scores=plain):
    """An attention with another penalty, or other scores, and the rest right."""

    def alibi_attention(query, key, value, mask=None, dropout=None):
        return finish(scores(query, key) + bias(query, key), value, mask, dropout)

    return alibi_attention


def right_bias(query, key):
    return -slopes_of(query) * distance_of(query, key).abs()


def from_the_top_left(query, key):
    return -slopes_of(query) * (torch.arange(query.shape[2])[:, None] - torch.arange(key.shape[2])).abs()


def among_the_queries(query, key):
    places = torch.arange(query.shape[2])
    return -slopes_of(query) * (places[:, None] - places).abs()


def power_of_distance(query, key):
    return slopes_of(query) ** distance_of(query, key).abs()


def after_the_softmax(query, key, value, mask=None, dropout=None):
    scores = plain(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(-1) + right_bias(query, key)
    return (weights if dropout is None else dropout(weights)) @ value


def scaled_with_the_scores(query, key, value, mask=None, dropout=None):
    scores = (query @ key.mT + right_bias(query, key)) / math.sqrt(query.shape[-1])
    return finish(scores, value, mask, dropout)


def multiplied(query, key, value, mask=None, dropout=None):
    return finish(plain(query, key) * right_bias(query, key), value, mask, dropout)


def mask_forgotten(query, key, value, mask=None, dropout=None):
    return finish(plain(query, key) + right_bias(query, key), value, None, dropout)


def mask_inverted(query, key, value, mask=None, dropout=None):
    return finish(plain(query, key) + right_bias(query, key), value, None if mask is None else ~mask, dropout)


def dropout_forgotten(query, key, value, mask=None, dropout=None):
    return finish(plain(query, key) + right_bias(query, key), value, mask, None)


def dropout_on_the_output(query, key, value, mask=None, dropout=None):
    output = finish(plain(query, key) + right_bias(query, key), value, mask, None)
    return output if dropout is None else dropout(output)


def always_causal(query, key, value, mask=None, dropout=None):
    scores = plain(query, key) + right_bias(query, key)
    return finish(scores.masked_fill(distance_of(query, key) < 0, -math.inf), value, mask, dropout)


def query_scaled_in_place(query, key, value, mask=None, dropout=None):
    query /= math.sqrt(query.shape[-1])
    return finish(query @ key.mT + right_bias(query, key), value, mask, dropout)


def mask_asked_for_truth(query, key, value, mask=None, dropout=None):
    scores = plain(query, key) + right_bias(query, key)
    if mask:
        scores = scores.masked_fill(~mask, -math.inf)
    return finish(scores, value, None, dropout)


SLOPES, PYTORCH = "test_the_slopes_are_the_authors", "test_equals_pytorch_with_a_mask_of_numbers"
SEQUENCE, ALONE = "test_a_power_of_two_has_a_geometric_sequence", "test_distance_alone_decides_where_nothing_is_said"


def _slopes(behaviour, advice, function, caught_by=SLOPES):
    return Mistake(behaviour, advice, caught_by=caught_by, slopes=function)


def _attention(behaviour, advice, function, caught_by=PYTORCH):
    return Mistake(behaviour, advice, caught_by=caught_by, alibi_attention=function)


MISTAKES = (
    _slopes(
        "takes 2^(-8k/h) for every h",
        "That is for powers of two; else take those of the power of two below h, then fill up from the one above.",
        geometric,
    ),
    _slopes(
        "takes 2^(-8k/h) for every h, and counts the heads from 0",
        "The first slope is 2^(-8/h), not 1; and where h is no power of two, begin with those of the one below.",
        geometric_from_0,
        SEQUENCE,
    ),
    _slopes(
        "counts the heads from 0",
        "The first slope is 2^(-8/h) already: with k = 0 it would be 1, and the last not 2^-8.",
        from_0,
        SEQUENCE,
    ),
    _slopes("has the flattest head first", "The steepest comes first: 2^(-8/h), then smaller ones.", flattest_first),
    _slopes(
        "halves from head to head, whatever h is",
        "Only eight heads have 1/2, 1/4, …: the ratio is 2^(-8/h), so that the last slope is always 2^-8.",
        halving,
        SEQUENCE,
    ),
    _slopes(
        "has slopes at equal steps",
        "The slopes are a geometric sequence: each is the first one times the one before.",
        linear,
        SEQUENCE,
    ),
    _slopes(
        "takes the first h slopes of the power of two above",
        "First come all slopes of the power of two below h, and only what is missing is taken from the one above.",
        power_above,
    ),
    _slopes(
        "fills up with the second, fourth … of the power of two above",
        "Those are in the list already: fill up with the first, third, fifth, [0::2].",
        every_second_from_the_second,
        "test_every_head_has_a_slope",
    ),
    _slopes(
        "fills up with the first of the power of two above, one after the other",
        "Every second of them is in the list already: fill up with the first, third, fifth, [0::2].",
        first_of_the_power_above,
        "test_every_head_has_a_slope",
    ),
    _slopes(
        "fills up with the flattest that lie between",
        "Fill up from the steepest: the first h - power of those that lie between.",
        last_of_the_power_above,
    ),
    _slopes(
        "sorts all slopes",
        "What is filled up stands behind the slopes of the power of two, unsorted: trained weights rely on the order.",
        in_order,
    ),
    _slopes(
        "stops at the power of two below h",
        "There must be one for each head: fill up from the slopes of the power of two above.",
        power_below_alone,
        "test_every_head_has_a_slope",
    ),
    _slopes(
        "returns negative slopes",
        "The slopes are positive: the minus stands in front of slope times distance.",
        negative,
        "test_every_head_has_a_slope",
    ),
    _attention(
        "rewards distance",
        "What is far away loses: subtract slope times distance from the score.",
        with_bias(lambda q, k: -right_bias(q, k)),
        ALONE,
    ),
    _attention(
        "takes i - j without its absolute value",
        "For a key behind the query i - j is negative, and the penalty a reward: take the absolute value.",
        with_bias(lambda q, k: -slopes_of(q) * distance_of(q, k)),
        ALONE,
    ),
    _attention(
        "adds slope times (i - j), which rewards what is long past",
        "What is far away loses, on either side: subtract slope times the absolute value.",
        with_bias(lambda q, k: slopes_of(q) * distance_of(q, k)),
        ALONE,
    ),
    _attention(
        "penalises only keys in front of the query",
        "The distance counts in both directions: take the absolute value, do not cut at 0.",
        with_bias(lambda q, k: -slopes_of(q) * distance_of(q, k).clamp(min=0)),
        ALONE,
    ),
    _attention(
        "counts the queries from 0 too",
        "The last query stands at the last key: with i queries and j keys the queries are at j - i to j - 1.",
        with_bias(from_the_top_left),
        "test_a_text_may_begin_anywhere",
    ),
    _attention(
        "measures the distances among the queries, not from queries to keys",
        "The penalty has a column for each key, (i j): with a single new query it would be 0 for all of them.",
        with_bias(among_the_queries),
        "test_shape_and_dtype",
    ),
    _attention(
        "has no penalty at all",
        "Subtract slope times distance from the scores: nothing else here tells positions apart.",
        with_bias(lambda q, k: 0),
        ALONE,
    ),
    _attention(
        "gives every head the first head's slope",
        "Each head has a slope of its own: the slopes lie along the axis of the heads, [:, None, None].",
        with_bias(lambda q, k: right_bias(q, k)[:1]),
        ALONE,
    ),
    _attention(
        "squares the distance",
        "The penalty is linear: slope times distance.",
        with_bias(lambda q, k: -slopes_of(q) * distance_of(q, k) ** 2),
        ALONE,
    ),
    _attention(
        "counts a distance of 1 from a query to its own place",
        "Query and key at the same place are 0 apart; to the left the distance is i - j.",
        with_bias(lambda q, k: -slopes_of(q) * (distance_of(q, k) + 1).abs()),
        ALONE,
    ),
    _attention(
        "adds the slope raised to the distance",
        "The penalty is slope times distance, linear: no power.",
        with_bias(power_of_distance),
        ALONE,
    ),
    _attention(
        "divides the penalty by √d too",
        "Scale the dot product alone, and subtract the penalty afterwards.",
        scaled_with_the_scores,
        ALONE,
    ),
    _attention(
        "forgets the scale",
        "The dot product is divided by √d as ever, before the penalty.",
        with_bias(right_bias, lambda q, k: q @ k.mT),
    ),
    _attention(
        "divides by d, not by √d",
        "The scale is the square root of d.",
        with_bias(right_bias, lambda q, k: q @ k.mT / q.shape[-1]),
    ),
    _attention(
        "subtracts the penalty from the weights",
        "The penalty belongs to the scores, before the softmax, so that the weights still sum to 1.",
        after_the_softmax,
        ALONE,
    ),
    _attention(
        "multiplies the scores by the penalty",
        "The penalty is subtracted from the score.",
        multiplied,
        ALONE,
    ),
    _attention(
        "asks whether the mask is true, `if mask:`, which has no answer for many numbers at once",
        "Ask whether there is a mask, `if mask is not None:`; a tensor as a whole is neither true nor false.",
        mask_asked_for_truth,
    ),
    _attention("forgets the mask", "Hide the scores where the mask is False: a penalty hides nothing.", mask_forgotten),
    _attention("reads the mask the other way round", "True means that the query may attend.", mask_inverted),
    _attention(
        "hides what stands behind the query, mask or not",
        "What is seen is the mask's business: without one, every key is.",
        always_causal,
        ALONE,
    ),
    _attention(
        "forgets dropout",
        "Call dropout(weights) where it is not None.",
        dropout_forgotten,
        "test_dropout_acts_on_the_weights",
    ),
    _attention(
        "applies dropout to the output",
        "Dropout acts on the weights, before they meet the values.",
        dropout_on_the_output,
        "test_dropout_acts_on_the_weights",
    ),
    _attention(
        "changes the query in place",
        "The query is the caller's: write query = query / √d, not query /= √d.",
        query_scaled_in_place,
        "test_the_inputs_are_left_as_they_are",
    ),
    _attention(
        "returns float64 whatever comes in",
        "Make the slopes in the dtype of the scores.",
        lambda q, k, v, mask=None, dropout=None: RIGHT(q.double(), k.double(), v.double(), mask, dropout),
        "test_shape_and_dtype",
    ),
)


RIGHT = with_bias(right_bias)


def authors_slopes(h):
    if math.log2(h).is_integer():
        start = 2 ** (-(2 ** -(math.log2(h) - 3)))
        return [start * start**k for k in range(h)]
    below = 2 ** math.floor(math.log2(h))
    return authors_slopes(below) + authors_slopes(2 * below)[0::2][: h - below]


def slopes_as_a_tensor(h):
    return torch.tensor(right_slopes(h), dtype=torch.float64)


def row_alone_where_causal(query, key, value, mask=None, dropout=None):
    """Two sides of the distance, put together."""
    distance = distance_of(query, key)
    bias = torch.where(distance > 0, -distance, distance) * slopes_of(query)
    return finish(plain(query, key) + bias, value, mask, dropout)


VARIANTS = (
    Variant("the authors' recursion", slopes=authors_slopes),
    Variant("slopes as a tensor", slopes=slopes_as_a_tensor),
    Variant("a penalty that is added", alibi_attention=RIGHT),
    Variant("the two sides of the distance apart", alibi_attention=row_alone_where_causal),
)


def drop(weights):
    return 2.0 * weights * (torch.arange(weights.numel()) % 3 > 0).view(weights.shape)


def observe(answer, seed):
    """Slopes of many numbers of heads; attention of every shape, with masks, dropout and both dtypes."""
    masks = (None, "i j", "b 1 1 j", "b h i j")
    b, i, j, d, e = ((2, 3, 5, 4, 6), (2, 4, 4, 3, 3), (1, 5, 3, 4, 2))[seed % 3]
    h = (1, 2, 3, 4, 6, 5, 8)[seed % 7]
    case = AttentionCase(b, h, i, j, d, e, masks[seed % 4], 0.7, empty_rows=False, seed=seed)
    dtype = torch.float32 if seed % 6 == 5 else torch.float64
    query, key, value = (x.to(dtype) for x in case.tensors()[:3])
    slopes = behaviour(answer.slopes, seed + 1)
    if "result" in slopes:
        slopes = {"result": [float(slope) for slope in slopes["result"]]}
    attention = behaviour(answer.alibi_attention, query, key, value, case.tensors()[3], (None, drop)[seed // 2 % 2])
    return {"slopes": slopes, "attention": attention}
