"""Wrong answers to e09 that have been seen, each with what it does and what a teacher would say; and right variants."""

from contextlib import nullcontext
from copy import deepcopy

import torch
from einops import rearrange
from torch import nn

import attn_lab
from attn_lab.course.behaviour import fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

WEIGHTS = ("linear_query.weight", "linear_key.weight", "linear_value.weight", "linear_cat_attn.weight")
BIASES = ("linear_query.bias", "linear_key.bias", "linear_value.bias", "linear_cat_attn.bias")


def unpacked(theirs, split=lambda packed: packed.chunk(3)):
    """A right answer's numbers, by our names: views of theirs. `split` makes three of one."""
    weights = dict(zip(WEIGHTS, (*split(theirs.in_proj_weight), theirs.out_proj.weight)))
    if theirs.in_proj_bias is None:
        return weights | {name: torch.zeros(theirs.embed_dim, dtype=torch.float64) for name in BIASES}
    return weights | dict(zip(BIASES, (*split(theirs.in_proj_bias), theirs.out_proj.bias)))


@torch.no_grad()
def put(ours, numbers):
    """Write them in place."""
    for name, number in numbers.items():
        ours.get_parameter(name).copy_(number)


def assign(ours, name, tensor):
    """The attribute anew."""
    layer, _, kind = name.partition(".")
    setattr(getattr(ours, layer), kind, tensor)


def key_first(theirs, ours):
    def split(packed):
        key, query, value = packed.chunk(3)
        return query, key, value

    put(ours, unpacked(theirs, split))


def value_before_key(theirs, ours):
    def split(packed):
        query, value, key = packed.chunk(3)
        return query, key, value

    put(ours, unpacked(theirs, split))


def backwards(theirs, ours):
    put(ours, unpacked(theirs, lambda packed: packed.chunk(3)[::-1]))


def query_for_all(theirs, ours):
    put(ours, unpacked(theirs, lambda packed: packed.chunk(3)[:1] * 3))


def every_third_row(theirs, ours):
    put(ours, unpacked(theirs, lambda packed: [packed[k::3] for k in range(3)]))


def head_by_head(theirs, ours):
    def split(packed):
        rows = packed.unflatten(0, (theirs.num_heads, 3, -1))
        return [rows[:, k].flatten(0, 1) for k in range(3)]

    put(ours, unpacked(theirs, split))


def transposed(theirs, ours):
    put(ours, {name: number.T if number.ndim == 2 else number for name, number in unpacked(theirs).items()})


def packed_ones_transposed(theirs, ours):
    numbers = unpacked(theirs)
    put(ours, numbers | {name: numbers[name].T for name in WEIGHTS[:3]})


def last_one_transposed(theirs, ours):
    numbers = unpacked(theirs)
    put(ours, numbers | {WEIGHTS[3]: numbers[WEIGHTS[3]].T})


def without_biases(theirs, ours):
    put(ours, {name: number for name, number in unpacked(theirs).items() if name in WEIGHTS})


def without_packed_biases(theirs, ours):
    put(ours, {name: number for name, number in unpacked(theirs).items() if name not in BIASES[:3]})


def without_last_bias(theirs, ours):
    put(ours, {name: number for name, number in unpacked(theirs).items() if name != BIASES[3]})


def without_projection_back(theirs, ours):
    put(ours, {name: number for name, number in unpacked(theirs).items() if "cat" not in name})


def old_biases_kept(theirs, ours):
    numbers = unpacked(theirs)
    put(ours, numbers if theirs.in_proj_bias is not None else {name: numbers[name] for name in WEIGHTS})


def biases_wanted(theirs, ours):
    put(ours, unpacked(theirs) | dict(zip(BIASES, theirs.in_proj_bias.chunk(3))))


def memory_shared(theirs, ours):
    for name, number in unpacked(theirs).items():
        ours.get_parameter(name).data = number.detach()


def dtype_taken_over(theirs, ours):
    for name, number in unpacked(theirs).items():
        ours.get_parameter(name).data = number.detach().clone()


def new_parameters(theirs, ours):
    for name, number in unpacked(theirs).items():
        assign(ours, name, nn.Parameter(number.detach().clone().to(ours.get_parameter(name).dtype)))


def new_parameters_that_take_the_dtype(theirs, ours):
    for name, number in unpacked(theirs).items():
        assign(ours, name, nn.Parameter(number.detach().clone()))


def new_parameters_that_share(theirs, ours):
    for name, number in unpacked(theirs).items():
        assign(ours, name, nn.Parameter(number))


def recorded(theirs, ours):
    for name, number in unpacked(theirs).items():
        ours.get_parameter(name).copy_(number)


def frozen(theirs, ours):
    ours.requires_grad_(False)
    put(ours, unpacked(theirs))


def theirs_frozen(theirs, ours):
    theirs.requires_grad_(False)
    put(ours, unpacked(theirs))


def left_in_eval_mode(theirs, ours):
    put(ours.eval(), unpacked(theirs.eval()))


def switched_off_for_good(theirs, ours):
    torch.set_grad_enabled(False)
    put(ours, unpacked(theirs))


def other_direction(theirs, ours):
    with torch.no_grad():
        for name, number in unpacked(theirs).items():
            number.copy_(ours.get_parameter(name))


def into_a_copy(theirs, ours):
    ours = deepcopy(ours)
    put(ours, unpacked(theirs))
    return ours


def mistake(behaviour, advice, caught_by, function):
    return Mistake(behaviour, advice, caught_by=caught_by, borrow_weights=function)


PLACE = "test_each_weight_is_in_its_place"
OBJECTS = "test_the_parameters_stay_the_same_objects"


def value_for_the_key_too(theirs, ours):
    def split(packed):
        query, _, value = packed.chunk(3)
        return query, value, value

    put(ours, unpacked(theirs, split))


MISTAKES = (
    mistake(
        "reads the packed rows as key, query, value",
        "nn.MultiheadAttention packs them in forward's order: query, key, value.",
        PLACE,
        key_first,
    ),
    mistake(
        "reads the packed rows as query, value, key",
        "nn.MultiheadAttention packs them in forward's order: query, key, value.",
        PLACE,
        value_before_key,
    ),
    mistake(
        "reads the packed rows as value, key, query",
        "nn.MultiheadAttention packs them in forward's order: query, key, value.",
        PLACE,
        backwards,
    ),
    mistake(
        "gives the query's rows to all three projections",
        "The packed weight has 3E rows: E for the query, then E for the key, then E for the value.",
        PLACE,
        query_for_all,
    ),
    Mistake(
        "gives the value's rows to the key too",
        "The packed weight has 3E rows: the key's are the middle ones, E to 2E - 1.",
        caught_by="test_each_weight_is_in_its_place",
        borrow_weights=value_for_the_key_too,
    ),
    mistake(
        "deals the packed rows out in turn: every third one to the query",
        "The rows of a projection lie together: it is (3 e), not (e 3), so the query has rows 0 to E - 1.",
        PLACE,
        every_third_row,
    ),
    mistake(
        "reads the packed rows head by head, each with its query, key and value",
        "Some models are packed so, as (h 3 d). nn.MultiheadAttention is not: all of the query's rows come first.",
        PLACE,
        head_by_head,
    ),
    mistake(
        "transposes the weights",
        "Both sides keep a weight as nn.Linear does, (out, in), and compute x Wᵀ: copy it as it is.",
        PLACE,
        transposed,
    ),
    mistake(
        "transposes the three packed weights",
        "in_proj_weight is used as nn.Linear uses its weight, x Wᵀ: take its rows as they are.",
        PLACE,
        packed_ones_transposed,
    ),
    mistake(
        "transposes the weight of the projection back",
        "out_proj is an nn.Linear, as linear_cat_attn is: copy its weight as it is.",
        PLACE,
        last_one_transposed,
    ),
    mistake(
        "forgets the biases",
        "Each projection has a bias too: in_proj_bias, packed like the weight, and out_proj.bias.",
        PLACE,
        without_biases,
    ),
    mistake(
        "forgets the packed biases",
        "in_proj_bias is packed like the weight: E numbers for the query, then the key, then the value.",
        PLACE,
        without_packed_biases,
    ),
    mistake(
        "forgets the bias of the projection back",
        "out_proj is a whole nn.Linear: copy out_proj.bias beside out_proj.weight.",
        PLACE,
        without_last_bias,
    ),
    mistake(
        "forgets the projection back",
        "There is a fourth layer: out_proj of theirs is linear_cat_attn of ours.",
        PLACE,
        without_projection_back,
    ),
    mistake(
        "leaves our old biases where theirs has none",
        "A projection without a bias is one whose bias is 0: write zeros into ours, which starts at random.",
        "test_a_missing_bias_is_a_bias_of_zero",
        old_biases_kept,
    ),
    mistake(
        "crashes where theirs has no biases",
        "With bias=False in_proj_bias and out_proj.bias are None: ask for that, and write zeros into ours.",
        "test_a_missing_bias_is_a_bias_of_zero",
        biases_wanted,
    ),
    mistake(
        "lets both modules look at the same numbers in memory",
        "A slice is a view, and to assign .data copies nothing: write with copy_ into the memory that ours has.",
        "test_nothing_is_shared",
        memory_shared,
    ),
    mistake(
        "takes over the dtype as well",
        "Ours keeps its dtype: copy_ writes the numbers into the parameter that is there, in the dtype that it has.",
        OBJECTS,
        dtype_taken_over,
    ),
    mistake(
        "puts new parameters in the place of ours",
        "An optimiser goes on training the old ones, which nobody uses any more: write into them with copy_.",
        OBJECTS,
        new_parameters,
    ),
    mistake(
        "puts new parameters in the place of ours, with the dtype of theirs",
        "An optimiser goes on training the old ones, which nobody uses any more: write into them with copy_.",
        OBJECTS,
        new_parameters_that_take_the_dtype,
    ),
    mistake(
        "puts new parameters in the place of ours that look at theirs in memory",
        "Neither a slice nor nn.Parameter copies; and an optimiser knows the old ones: write into those with copy_.",
        "test_nothing_is_shared",
        new_parameters_that_share,
    ),
    mistake(
        "copies while autograd records, which refuses to change a parameter",
        "Copying is no step to be differentiated: do it inside `with torch.no_grad():`.",
        PLACE,
        recorded,
    ),
    mistake(
        "leaves our parameters frozen",
        "Borrowed weights are trained further: copy inside `with torch.no_grad():`, and leave requires_grad alone.",
        OBJECTS,
        frozen,
    ),
    mistake(
        "leaves theirs frozen",
        "theirs only lends: copy inside `with torch.no_grad():`, and leave requires_grad alone.",
        "test_theirs_is_left_as_it_is",
        theirs_frozen,
    ),
    mistake(
        "leaves both modules in eval mode",
        "To copy weights no mode is needed: leave train and eval as they are, else dropout is off from now on.",
        "test_theirs_is_left_as_it_is",
        left_in_eval_mode,
    ),
    mistake(
        "switches gradients off and not on again",
        "Use `with torch.no_grad():`, which puts back what was: after set_grad_enabled(False) nothing learns any more.",
        "test_gradients_are_recorded_afterwards_as_before",
        switched_off_for_good,
    ),
    mistake(
        "copies in the other direction, from ours to theirs",
        "x.copy_(y) writes into x: ours is written, theirs is read.",
        "test_theirs_is_left_as_it_is",
        other_direction,
    ),
    mistake(
        "leaves ours as it was",
        "The caller holds `ours` itself: write into its parameters; what is made anew, or returned, does not reach it.",
        PLACE,
        into_a_copy,
    ),
)


def by_state_dict(theirs, ours):
    state = {name: number.detach() for name, number in unpacked(theirs).items()}
    ours.load_state_dict(state)


def by_data(theirs, ours):
    for name, number in unpacked(theirs).items():
        ours.get_parameter(name).data.copy_(number.data)


def by_slices(theirs, ours):
    dim = theirs.embed_dim
    with torch.no_grad():
        for k, layer in enumerate((ours.linear_query, ours.linear_key, ours.linear_value)):
            layer.weight[:] = theirs.in_proj_weight[k * dim : (k + 1) * dim]
            layer.bias[:] = 0 if theirs.in_proj_bias is None else theirs.in_proj_bias[k * dim : (k + 1) * dim]
        ours.linear_cat_attn.weight[:] = theirs.out_proj.weight
        ours.linear_cat_attn.bias[:] = 0 if theirs.out_proj.bias is None else theirs.out_proj.bias


def by_einops(theirs, ours):
    put(ours, unpacked(theirs, lambda packed: rearrange(packed, "(three e) ... -> three e ...", three=3)))


@torch.inference_mode()
def by_inference_mode(theirs, ours):
    for name, number in unpacked(theirs).items():
        ours.get_parameter(name).copy_(number)


VARIANTS = (
    Variant("load_state_dict, which copies", borrow_weights=by_state_dict),
    Variant(".data.copy_ in place of no_grad", borrow_weights=by_data),
    Variant("slices on both sides", borrow_weights=by_slices),
    Variant("einops to unpack", borrow_weights=by_einops),
    Variant("inference_mode in place of no_grad", borrow_weights=by_inference_mode),
)


def observe(answer, seed):
    """Other sizes, dtypes and modes each time, with and without biases, and once called where nothing is recorded."""
    dim, n_heads = ((6, 2), (4, 4), (3, 1), (6, 3))[seed % 4]
    bias, recording = seed % 3 != 2, seed % 8 != 5
    theirs = nn.MultiheadAttention(dim, n_heads, bias=bias, batch_first=True, dtype=torch.float64)
    ours = attn_lab.MultiHeadSelfAttention(dim, n_heads).to((torch.float64, torch.float32)[seed // 2 % 2])
    fill_parameters(theirs.train(seed % 2 == 0), seed)
    fill_parameters(ours.train(seed % 5 > 0), seed + 100)
    before = dict(ours.named_parameters()), dict(theirs.named_parameters())
    with nullcontext() if recording else torch.no_grad():
        try:
            answer.borrow_weights(theirs, ours)
        except Exception as error:
            # How it fails for want of a bias depends on how the bias is unpacked.
            return {"raises": type(error).__name__ if bias else "something", "theirs": held(theirs)}
        finally:
            still_recording = torch.is_grad_enabled()
            torch.set_grad_enabled(recording)
    seen = {"ours": held(ours), "theirs": held(theirs), "recording": still_recording}
    seen["objects"] = [
        [name for name, parameter in module.named_parameters() if parameter is not old.get(name)]
        for module, old in zip((ours, theirs), before)
    ]
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(1.0)
    seen["ours, after a step of theirs"] = held(ours)
    return seen


def held(module):
    """Everything that can be told about a module's parameters."""
    flags = [(name, p.requires_grad, p.is_leaf, p.grad is None) for name, p in module.named_parameters()]
    return {"mode": module.training, "flags": flags} | {
        name: parameter.detach().clone() for name, parameter in module.named_parameters()
    }
