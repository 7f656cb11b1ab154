"""Wrong answers to e26 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math

import torch

import attn_lab
from attn_lab.checks.cases import AttentionCase, fill, generator
from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.functional.scaled_dot_product_attention",
    "attn_lab.fused_attention",
    "attn_lab.variants.rotary",
)

# rotate, from its parts


def table(x, positions, base, exponent=None, dtype=torch.float64):
    """Cosines and sines of the angles, (n d/2)."""
    d = x.shape[-1]
    k = torch.arange(d // 2, dtype=dtype)
    frequency = base ** (-2 * k / d if exponent is None else exponent(k, d))
    angle = positions.to(dtype)[:, None] * frequency
    return angle.cos().to(x.dtype), angle.sin().to(x.dtype)


def turn(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def right(x, positions, base=10000.0):
    return turn(x, *table(x, positions, base))


def halves(x, positions, base=10000.0):
    cos, sin = table(x, positions, base)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def pairs_in_halves_out(x, positions, base=10000.0):
    cos, sin = table(x, positions, base)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def halves_under_a_table_for_pairs(x, positions, base=10000.0):
    cos, sin = (y.repeat_interleave(2, -1) for y in table(x, positions, base))
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def pairs_under_a_table_for_halves(x, positions, base=10000.0):
    cos, sin = (torch.cat([y, y], -1) for y in table(x, positions, base))
    other = torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)
    return x * cos + other * sin


def backwards(x, positions, base=10000.0):
    cos, sin = table(x, positions, base)
    return turn(x, cos, -sin)


def exponent_k(x, positions, base=10000.0):
    return turn(x, *table(x, positions, base, lambda k, d: -k / d))


def exponent_4k(x, positions, base=10000.0):
    return turn(x, *table(x, positions, base, lambda k, d: -4 * k / d))


def exponent_from_1(x, positions, base=10000.0):
    return turn(x, *table(x, positions, base, lambda k, d: -2 * (k + 1) / d))


def exponent_positive(x, positions, base=10000.0):
    return turn(x, *table(x, positions, base, lambda k, d: 2 * k / d))


def one_frequency(x, positions, base=10000.0):
    return turn(x, *table(x, positions, base, lambda k, d: 0 * k))


def base_ignored(x, positions, base=10000.0):
    return turn(x, *table(x, positions, 10000.0))


def base_1000(x, positions, base=1000.0):
    return turn(x, *table(x, positions, base))


def angles_in_float32(x, positions, base=10000.0):
    return turn(x, *table(x, positions, base, dtype=torch.float32))


def angles_in_the_dtype_of_x(x, positions, base=10000.0):
    return turn(x, *table(x, positions, base, dtype=x.dtype))


def counted_by_itself(x, positions, base=10000.0):
    return turn(x, *table(x, torch.arange(x.shape[-2]), base))


def from_1(x, positions, base=10000.0):
    return turn(x, *table(x, positions + 1, base))


def swapped(x, positions, base=10000.0):
    cos, sin = table(x, positions, base)
    return turn(x, sin, cos)


def no_minus(x, positions, base=10000.0):
    cos, sin = table(x, positions, base)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos + b * sin, a * sin + b * cos], -1).flatten(-2)


def reflected(x, positions, base=10000.0):
    cos, sin = table(x, positions, base)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos + b * sin, a * sin - b * cos], -1).flatten(-2)


def second_from_the_turned_first(x, positions, base=10000.0):
    cos, sin = table(x, positions, base)
    a, b = x[..., 0::2], x[..., 1::2]
    a = a * cos - b * sin
    return torch.stack([a, a * sin + b * cos], -1).flatten(-2)


def in_place(x, positions, base=10000.0):
    cos, sin = table(x, positions, base)
    a, b = x[..., 0::2].clone(), x[..., 1::2].clone()
    x[..., 0::2], x[..., 1::2] = a * cos - b * sin, a * sin + b * cos
    return x


def added(x, positions, base=10000.0):
    cos, sin = table(x, positions, base)
    return x + torch.stack([sin, cos], -1).flatten(-2)


def always_float64(x, positions, base=10000.0):
    return right(x.double(), positions, base)


def always_float32(x, positions, base=10000.0):
    return right(x, positions, base).float()


# rotary_attention, with a right rotate


def places(query, key):
    i, j = query.shape[-2], key.shape[-2]
    return torch.arange(j - i, j), torch.arange(j)


def nothing_turned(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    return attention(query, key, value, mask, dropout)


def queries_only(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, _ = places(query, key)
    return attention(right(query, here), key, value, mask, dropout)


def keys_only(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    _, there = places(query, key)
    return attention(query, right(key, there), value, mask, dropout)


def values_too(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attention(right(query, here), right(key, there), right(value, there), mask, dropout)


def values_turned_and_back(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    output = attention(right(query, here), right(key, there), right(value, there), mask, dropout)
    return right(output, -here)


def keys_backwards(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attention(right(query, here), right(key, -there), value, mask, dropout)


def both_backwards(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attention(right(query, -here), right(key, -there), value, mask, dropout)


def queries_from_0(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    _, there = places(query, key)
    return attention(right(query, torch.arange(query.shape[-2])), right(key, there), value, mask, dropout)


def queries_all_last(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attention(right(query, torch.full_like(here, len(there) - 1)), right(key, there), value, mask, dropout)


def queries_one_too_far(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attention(right(query, here + 1), right(key, there), value, mask, dropout)


def scaled_twice(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attention(right(query, here) / math.sqrt(query.shape[-1]), right(key, there), value, mask, dropout)


def mask_forgotten(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attention(right(query, here), right(key, there), value, None, dropout)


def dropout_forgotten(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attention(right(query, here), right(key, there), value, mask)


def own_attention(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attn_lab.attention(right(query, here), right(key, there), value, mask, dropout)


COMPLEX = "test_rotate_is_a_complex_multiplication"
LOOP = "test_attention_equals_a_loop_over_turned_queries_and_keys"


def exponent_odd(x, positions, base=10000.0):
    return turn(x, *table(x, positions, base, lambda k, d: -(2 * k + 1) / d))


def table_in_bfloat16(x, positions, base=10000.0):
    return turn(x, *(y.bfloat16().to(x.dtype) for y in table(x, positions, base)))


MISTAKES = (
    Mistake(
        "pairs feature k with feature k + d / 2",
        "The pairs stand side by side here, (2k, 2k + 1); k and k + d / 2 are the pairs of LLaMA and GPT-NeoX.",
        caught_by="test_every_pair_keeps_its_length",
        rotate=halves,
    ),
    Mistake(
        "puts all first coordinates before all second ones",
        "Put every coordinate back where it came from: stack the two along a new last axis and flatten, no cat.",
        caught_by="test_position_0_is_no_turn",
        rotate=pairs_in_halves_out,
    ),
    Mistake(
        "pairs feature k with k + d / 2, with angles for the pairs (2k, 2k + 1)",
        "Table and pairs must be of the same kind: with pairs side by side, both numbers of a pair share its angle.",
        caught_by="test_every_pair_keeps_its_length",
        rotate=halves_under_a_table_for_pairs,
    ),
    Mistake(
        "pairs feature 2k with 2k + 1, with angles for the pairs (k, k + d / 2)",
        "Both features of a pair need the same angle: repeat each angle twice in a row, not the row of angles twice.",
        caught_by="test_every_pair_keeps_its_length",
        rotate=pairs_under_a_table_for_halves,
    ),
    Mistake(
        "turns the other way",
        "Counter-clockwise, (a, b) becomes (a cos - b sin, a sin + b cos): the minus stands in the first.",
        caught_by=COMPLEX,
        rotate=backwards,
    ),
    Mistake(
        "takes the exponent -k/d",
        "Pair k has the exponent -2k/d: over d / 2 pairs it goes from 0 nearly to -1.",
        caught_by=COMPLEX,
        rotate=exponent_k,
    ),
    Mistake(
        "takes the exponent -4k/d",
        "The index of the feature is 2k already: pair k has the exponent -2k/d, so do not double it again.",
        caught_by=COMPLEX,
        rotate=exponent_4k,
    ),
    Mistake(
        "counts the pairs from 1",
        "The first pair is k = 0, with the frequency 1: it turns by one radian a position.",
        caught_by=COMPLEX,
        rotate=exponent_from_1,
    ),
    Mistake(
        "takes the exponent -(2k + 1)/d",
        "Pairs are counted from 0 and the first one turns by one radian a position: -2k/d, with nothing added.",
        caught_by=COMPLEX,
        rotate=exponent_odd,
    ),
    Mistake(
        "takes the exponent 2k/d, without the minus",
        "The frequencies fall from pair to pair: the exponent is -2k/d.",
        caught_by=COMPLEX,
        rotate=exponent_positive,
    ),
    Mistake(
        "turns every pair at the same speed",
        "Each pair has a frequency of its own, base^(-2k/d): fast ones for neighbours, slow ones for what is far.",
        caught_by=COMPLEX,
        rotate=one_frequency,
    ),
    Mistake(
        "ignores the base",
        "Use the argument `base`: models for long texts take a larger one.",
        caught_by=COMPLEX,
        rotate=base_ignored,
    ),
    Mistake(
        "has 1000 for the usual base",
        "The base is 10000 where none is given, as for the sinusoids.",
        caught_by="test_the_base_is_10000_unless_told",
        rotate=base_1000,
    ),
    Mistake(
        "computes the angles in float32",
        "Compute frequencies and angles in float64 and round cosine and sine only: a late position is a large number.",
        caught_by="test_late_positions_are_exact",
        rotate=angles_in_float32,
    ),
    Mistake(
        "computes the angles in the dtype of x",
        "Compute frequencies and angles in float64 and round cosine and sine only: a late position is a large number.",
        caught_by="test_late_positions_are_exact",
        rotate=angles_in_the_dtype_of_x,
    ),
    Mistake(
        "keeps cosines and sines in bfloat16",
        "Three digits are too few, and scores then see more than the distance: keep the table in the dtype of x.",
        caught_by=COMPLEX,
        rotate=table_in_bfloat16,
    ),
    Mistake(
        "counts the positions for itself",
        "Use the argument `positions`: with fewer queries than keys the first query does not stand at 0.",
        caught_by="test_position_0_is_no_turn",
        rotate=counted_by_itself,
    ),
    Mistake(
        "counts positions from 1",
        "Position p is turned by p times the frequency: at 0 nothing is turned.",
        caught_by="test_position_0_is_no_turn",
        rotate=from_1,
    ),
    Mistake(
        "takes the sine for the cosine, and the cosine for the sine",
        "At the angle 0 everything must stay: the coordinate itself is multiplied by the cosine, which is 1 there.",
        caught_by="test_position_0_is_no_turn",
        rotate=swapped,
    ),
    Mistake(
        "has no minus in it",
        "A turn is (a cos - b sin, a sin + b cos): without the minus lengths are not kept.",
        caught_by="test_every_pair_keeps_its_length",
        rotate=no_minus,
    ),
    Mistake(
        "mirrors the pairs",
        "The minus belongs to the first coordinate, a cos - b sin; in the second it makes a mirror image of a turn.",
        caught_by="test_position_0_is_no_turn",
        rotate=reflected,
    ),
    Mistake(
        "computes the second coordinate from the turned first one",
        "Both coordinates are computed from the old ones: give the turned ones new names.",
        caught_by="test_every_pair_keeps_its_length",
        rotate=second_from_the_turned_first,
    ),
    Mistake(
        "changes x in place",
        "x is the caller's: make a new tensor, by torch.stack for instance, and do not assign to parts of x.",
        caught_by="test_the_inputs_are_left_as_they_are",
        rotate=in_place,
    ),
    Mistake(
        "adds sines and cosines to x",
        "Nothing is added: each pair is multiplied by the matrix of a turn.",
        caught_by="test_position_0_is_no_turn",
        rotate=added,
    ),
    Mistake(
        "returns float64 whatever comes in",
        "The angles are float64, but cosine and sine must be rounded to the dtype of x before they meet x.",
        caught_by="test_shape_and_dtype_stay",
        rotate=always_float64,
    ),
    Mistake(
        "returns float32 whatever comes in",
        "Return the dtype of x: cosine and sine go there by .to(x.dtype).",
        caught_by="test_shape_and_dtype_stay",
        rotate=always_float32,
    ),
    Mistake(
        "turns nothing",
        "Turn query and key by `rotate`, each at its positions, before they go to the attention.",
        caught_by=LOOP,
        rotary_attention=nothing_turned,
    ),
    Mistake(
        "turns the queries alone",
        "Only the difference of two angles is a distance: keys must be turned too.",
        caught_by="test_a_text_may_begin_anywhere",
        rotary_attention=queries_only,
    ),
    Mistake(
        "turns the keys alone",
        "Only the difference of two angles is a distance: queries must be turned too.",
        caught_by="test_a_text_may_begin_anywhere",
        rotary_attention=keys_only,
    ),
    Mistake(
        "turns the values too",
        "Values play no part in the scores: hand them on as they are.",
        caught_by="test_a_text_may_begin_anywhere",
        rotary_attention=values_too,
    ),
    Mistake(
        "turns the values, and turns the output back",
        "Values and output stay as they are: positions act on the scores alone.",
        caught_by=LOOP,
        rotary_attention=values_turned_and_back,
    ),
    Mistake(
        "turns the keys against the queries",
        "Turn both the same way: then the angles are subtracted in the dot product; else they are added.",
        caught_by="test_a_text_may_begin_anywhere",
        rotary_attention=keys_backwards,
    ),
    Mistake(
        "turns queries and keys backwards",
        "Positions grow from the first token to the last: turn by j - i to j - 1 and 0 to j - 1, without a minus.",
        caught_by=LOOP,
        rotary_attention=both_backwards,
    ),
    Mistake(
        "counts the queries from 0 too",
        "The last query stands at the last key: with i queries and j keys the queries' positions are j - i to j - 1.",
        caught_by="test_a_text_may_begin_anywhere",
        rotary_attention=queries_from_0,
    ),
    Mistake(
        "puts all queries at the last position",
        "Only the last query stands there: with i queries and j keys the queries' positions are j - i to j - 1.",
        caught_by=LOOP,
        rotary_attention=queries_all_last,
    ),
    Mistake(
        "puts every query one position too far",
        "The last query stands at the last key, at j - 1: the queries' positions are j - i to j - 1.",
        caught_by=LOOP,
        rotary_attention=queries_one_too_far,
    ),
    Mistake(
        "scales the query by √d a second time",
        "The attention that you are given divides by √d: leave the scale to it.",
        caught_by=LOOP,
        rotary_attention=scaled_twice,
    ),
    Mistake(
        "forgets the mask",
        "Hand the mask on to the attention.",
        caught_by=LOOP,
        rotary_attention=mask_forgotten,
    ),
    Mistake(
        "forgets dropout",
        "Hand dropout on to the attention, as its last argument.",
        caught_by="test_dropout_reaches_the_attention",
        rotary_attention=dropout_forgotten,
    ),
    Mistake(
        "calls an attention of its own",
        "Call the `attention` that you are given: it may be the fused one, or one with a window.",
        caught_by="test_the_given_attention_attends",
        rotary_attention=own_attention,
    ),
)


def by_complex_numbers(x, positions, base=10000.0):
    d = x.shape[-1]
    angle = positions.double()[:, None] * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], d // 2, 2).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2).to(x.dtype)


def by_the_other_half(x, positions, base=10000.0):
    cos, sin = (y.repeat_interleave(2, -1) for y in table(x, positions, base))
    other = torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)
    return x * cos + other * sin


def by_matrices(x, positions, base=10000.0):
    d = x.shape[-1]
    k = torch.arange(0, d, 2)
    angle = positions.double()[:, None] * torch.exp(-k.double() / d * math.log(base))
    matrix = torch.zeros(len(positions), d, d, dtype=torch.float64)
    matrix[:, k, k] = matrix[:, k + 1, k + 1] = angle.cos()
    matrix[:, k + 1, k] = angle.sin()
    matrix[:, k, k + 1] = -angle.sin()
    return torch.einsum("nij,bhnj->bhni", matrix.to(x.dtype), x)


def positions_from_1(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    here, there = places(query, key)
    return attention(right(query, here + 1), right(key, there + 1), value, mask, dropout)


def the_last_key_is_0(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    i, j = query.shape[-2], key.shape[-2]
    return attention(
        right(query, torch.arange(1 - i, 1)), right(key, torch.arange(1 - j, 1)), value, mask=mask, dropout=dropout
    )


def the_last_of_the_keys(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    positions = torch.arange(key.shape[-2])
    return attention(right(query, positions[-query.shape[-2] :]), right(key, positions), value, mask, dropout)


VARIANTS = (
    Variant("complex numbers", rotate=by_complex_numbers),
    Variant("x cos + (the pair's other, with its sign) sin", rotate=by_the_other_half),
    Variant("a matrix for each position", rotate=by_matrices),
    Variant("positions from 1 for both: the distances are the same", rotary_attention=positions_from_1),
    Variant("a slice of the keys' positions", rotary_attention=the_last_of_the_keys),
    Variant("positions counted from the last key", rotary_attention=the_last_key_is_0),
)


def doubling(query, key, value, mask=None, dropout=None):
    return 2 * attn_lab.attention(query, key, value, mask, dropout)


def drop(weights):
    return 2.0 * weights * (torch.arange(weights.numel()) % 3 > 0).view(weights.shape)


def observe(answer, seed):
    """Every shape, early, late and negative positions, both dtypes, bases; masks, dropout, another attention."""
    b, h, n, d = ((2, 3, 5, 6), (1, 2, 4, 4), (2, 2, 2, 2), (3, 1, 7, 10))[seed % 4]
    dtype = torch.float32 if seed % 6 == 5 else torch.float64
    x = fill(generator(seed), b, h, n, d).to(dtype)
    positions = (0, 7, -5, 100_000)[seed // 2 % 4] + (1, 2, -1)[seed % 3] * torch.arange(n)
    base = ((10000.0,), (100.0,), ())[seed // 3 % 3]
    masks = (None, "i j", "b 1 1 j", "b h i j")
    b, h, i, j, d, e = ((2, 3, 4, 5, 6, 6), (2, 2, 4, 4, 4, 4), (1, 2, 3, 7, 4, 2), (2, 1, 1, 6, 2, 4))[seed // 2 % 4]
    case = AttentionCase(b, h, i, j, d, e, masks[seed % 4], (0.5, 0.8)[seed % 2], empty_rows=False, seed=seed)
    query, key, value, mask = case.tensors()
    options = {"attention": doubling} if seed % 5 == 4 else {}
    turned = behaviour(answer.rotate, x, positions, *base)
    return {
        "rotate": rounded(turned, right(x, positions, *base), 0.05 if int(positions.max()) > 1000 else 1e-4),
        "attention": behaviour(answer.rotary_attention, query, key, value, mask, (None, drop)[seed % 3 % 2], **options),
    }


def rounded(seen, truth, most):
    """How far off angles in float32 are hangs on how they are computed: if no more than `most`, that is all it says."""
    result = seen.get("result")
    if not isinstance(result, torch.Tensor) or result.shape != truth.shape or result.dtype != truth.dtype:
        return seen
    off = float((result - truth).detach().abs().max())
    exact = 1e-9 if truth.dtype == torch.float64 else 1e-5
    return {"result": "nearly right", "changed in place": seen["changed in place"]} if exact < off < most else seen
