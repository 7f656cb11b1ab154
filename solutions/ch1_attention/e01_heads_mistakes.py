"""Wrong answers to e01 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch
from einops import rearrange

from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.MultiHeadSelfAttention", "attn_lab.multihead.MultiHeadSelfAttention._split")


def split_reshaped(x, n_heads):
    b, n, features = x.shape
    return x.reshape(b, n_heads, n, features // n_heads)


def merge_reshaped(x):
    b, h, n, d = x.shape
    return x.reshape(b, n, h * d)


def split_in_turn(x, n_heads):
    return rearrange(x, "b n (d h) -> b h n d", h=n_heads)


def merge_in_turn(x):
    return rearrange(x, "b h n d -> b n (d h)")


def merge_view(x):
    b, h, n, d = x.shape
    return x.transpose(1, 2).view(b, n, h * d)


def split_confuses_b_and_h(x, n_heads):
    joined = rearrange(x, "b n (h d) -> (b h) n d", h=n_heads)
    return rearrange(joined, "(h b) n d -> b h n d", h=n_heads)


def split_strided(x, n_heads):
    b, n, features = x.shape
    if features % n_heads:
        raise ValueError(f"n_heads must divide the width; got {n_heads} and {features}")
    d = features // n_heads
    return x.as_strided((b, n_heads, n, d), (n * features, d, features, 1))


def split_chunks(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1), dim=1)


def split_drops_the_rest(x, n_heads):
    d = x.shape[-1] // n_heads
    return torch.stack([x[..., k * d : (k + 1) * d] for k in range(n_heads)], dim=1)


def split_detached(x, n_heads):
    return torch.from_numpy(rearrange(x.detach().numpy(), "b n (h d) -> b h n d", h=n_heads).copy())


def merge_detached(x):
    return torch.from_numpy(rearrange(x.detach().numpy(), "b h n d -> b n (h d)").copy())


def split_into_zeros(x, n_heads):
    b, n, features = x.shape
    heads = torch.zeros(b, n_heads, n, features // n_heads)
    for k, part in enumerate(rearrange(x, "b n (h d) -> h b n d", h=n_heads)):
        heads[:, k] = part
    return heads


def merge_into_zeros(x):
    b, h, n, d = x.shape
    merged = torch.zeros(b, n, h * d)
    for k in range(h):
        merged[:, :, k * d : (k + 1) * d] = x[:, k]
    return merged


def merge_transposed_in_place(x):
    b, h, n, d = x.shape
    return x.transpose_(1, 2).reshape(b, n, h * d)


def merge_confuses_b_and_h(x):
    b, h, n, d = x.shape
    return x.reshape(h, b, n, d).transpose(1, 2).reshape(b, n, h * d)


MISTAKES = (
    Mistake(
        "splits by a reshape alone, so that a head gets whole positions in place of features",
        "A reshape only counts the same numbers off anew: cut the features first, (b n h d), then move h before n.",
        caught_by="test_split_head_k_reads_its_own_slice",
        split_heads=split_reshaped,
    ),
    Mistake(
        "merges by a reshape alone, so that neighbouring positions of a head end up side by side",
        "A reshape only counts the same numbers off anew: move h behind n first, (b n h d), then join h and d.",
        caught_by="test_merge_head_k_writes_its_own_slice",
        merge_heads=merge_reshaped,
    ),
    Mistake(
        "reshapes both ways without ever moving the heads' axis",
        "The two undo each other, and still each head sees features of the wrong positions: h and n must change places "
        "by a transposition, which a reshape does not do.",
        caught_by="test_split_head_k_reads_its_own_slice",
        split_heads=split_reshaped,
        merge_heads=merge_reshaped,
    ),
    Mistake(
        "deals the features out to the heads in turn: it splits (d h), not (h d)",
        "Head k owns a slice of neighbours, k * d to (k + 1) * d - 1: write (h d); the left letter counts slowly.",
        caught_by="test_split_head_k_reads_its_own_slice",
        split_heads=split_in_turn,
    ),
    Mistake(
        "merges the features in turn, one of each head: (d h), not (h d)",
        "The heads' vectors go one behind the other, whole: write (h d); the left letter counts slowly.",
        caught_by="test_merge_head_k_writes_its_own_slice",
        merge_heads=merge_in_turn,
    ),
    Mistake(
        "takes (d h) for (h d) both ways",
        "The two undo each other, but weights from PyTorch would reach the wrong heads: head k owns the slice k * d to "
        "(k + 1) * d - 1, so write (h d).",
        caught_by="test_split_head_k_reads_its_own_slice",
        split_heads=split_in_turn,
        merge_heads=merge_in_turn,
    ),
    Mistake(
        "mixes examples with heads: it joins (b h) and takes the axis apart as (h b)",
        "An axis that was joined as (b h) comes apart as (b h): better, never join them, and leave b in front.",
        caught_by="test_split_head_k_reads_its_own_slice",
        split_heads=split_confuses_b_and_h,
    ),
    Mistake(
        "mixes examples with heads when it merges: it joins (b h) and takes the axis apart as (h b)",
        "An axis that was joined as (b h) comes apart as (b h): better, never join them, and leave b in front.",
        caught_by="test_merge_head_k_writes_its_own_slice",
        merge_heads=merge_confuses_b_and_h,
    ),
    Mistake(
        "asks for a view after the transposition when it merges, and crashes",
        "After a transposition the numbers no longer lie in memory in the order of the axes: use reshape, which copies "
        "where it must.",
        caught_by="test_merge_gives_each_position_its_features",
        merge_heads=merge_view,
    ),
    Mistake(
        "reads the memory with strides of its own",
        "Where a number lies in memory is the tensor's affair, and in a transposed one it lies elsewhere: leave it to "
        "reshape, transpose or rearrange.",
        caught_by="test_the_numbers_may_lie_in_memory_in_any_order",
        split_heads=split_strided,
    ),
    Mistake(
        "cuts with chunk, which makes fewer heads where n_heads does not divide the features",
        "chunk gives as many parts as it likes: let rearrange or unflatten cut, which refuse, or check the width.",
        caught_by="test_a_width_that_the_heads_do_not_divide_is_refused",
        split_heads=split_chunks,
    ),
    Mistake(
        "drops the last features where n_heads does not divide them",
        "features // n_heads rounds down in silence: let rearrange or unflatten cut, which refuse, or check the width.",
        caught_by="test_a_width_that_the_heads_do_not_divide_is_refused",
        split_heads=split_drops_the_rest,
    ),
    Mistake(
        "cuts both results off from their inputs",
        "Without a gradient nothing is learned: no detach(), no .data, no NumPy on the way.",
        caught_by="test_gradients_find_their_way_back",
        split_heads=split_detached,
        merge_heads=merge_detached,
    ),
    Mistake(
        "copies into torch.zeros, which is float32 whatever x is",
        "Moving numbers does not change their type: rearrange keeps it, and x.new_zeros does too.",
        caught_by="test_split_gives_each_head_its_positions",
        split_heads=split_into_zeros,
        merge_heads=merge_into_zeros,
    ),
    Mistake(
        "transposes the caller's tensor in place when it merges",
        "x is the caller's: write x.transpose(1, 2), which is a new tensor, not x.transpose_(1, 2).",
        caught_by="test_the_input_is_left_as_it_is",
        merge_heads=merge_transposed_in_place,
    ),
)


def split_by_view(x, n_heads):
    b, n, features = x.shape
    return x.view(b, n, n_heads, features // n_heads).transpose(1, 2)


def merge_by_reshape(x):
    b, h, n, d = x.shape
    return x.transpose(1, 2).reshape(b, n, h * d)


def split_by_unflatten(x, n_heads):
    return x.unflatten(-1, (n_heads, -1)).permute(0, 2, 1, 3)


def merge_by_flatten(x):
    return x.permute(0, 2, 1, 3).flatten(-2)


def split_by_slices(x, n_heads):
    if x.shape[-1] % n_heads:
        raise ValueError(f"n_heads must divide the width; got {n_heads} and {x.shape[-1]}")
    return torch.stack(x.split(x.shape[-1] // n_heads, dim=-1), dim=1)


def merge_by_cat(x):
    return torch.cat(x.unbind(1), dim=-1)


VARIANTS = (
    Variant("view and transpose; transpose and reshape", split_heads=split_by_view, merge_heads=merge_by_reshape),
    Variant("unflatten and flatten", split_heads=split_by_unflatten, merge_heads=merge_by_flatten),
    Variant(
        "a slice for each head, stacked; and put side by side", split_heads=split_by_slices, merge_heads=merge_by_cat
    ),
    Variant(
        "a copy, so that the heads are contiguous",
        split_heads=lambda x, n_heads: split_by_view(x, n_heads).contiguous(),
        merge_heads=lambda x: x.transpose(1, 2).contiguous().view(x.shape[0], x.shape[2], -1),
    ),
)


def observe(answer, seed):
    """Sizes that differ and that are equal, single ones, widths that the heads do not divide, three dtypes."""
    unlike, alike = ((2, 3, 4, 5), (3, 2, 4, 2), (2, 1, 3, 4), (2, 4, 1, 3)), ((2, 2, 2, 2), (3, 3, 3, 3), (1, 1, 2, 1))
    sizes = (*unlike, *alike, (1, 3, 2, 2))
    b, n, h, d = sizes[seed % 8]
    dtype = (torch.float64, torch.float32, torch.int64)[seed // 8 % 3]
    x = torch.arange(b * n * h * d).to(dtype)
    features, n_heads = ((4, 3), (7, 2), (6, 4), (5, 3))[seed % 4]
    uneven = behaviour(answer.split_heads, torch.arange(b * n * features).reshape(b, n, features), n_heads)
    return {
        "split": behaviour(answer.split_heads, x.reshape(b, n, h * d), h),
        "merge": behaviour(answer.merge_heads, x.reshape(b, h, n, d)),
        # Any exception is right here: einops's, PyTorch's, one's own.
        "uneven": "refused" if "raises" in uneven else uneven,
        "split goes by memory": _goes_by_memory(lambda x: answer.split_heads(x, h), x.reshape(h * d, n, b)),
        "merge goes by memory": _goes_by_memory(answer.merge_heads, x.reshape(d, n, h, b)),
    }


def _goes_by_memory(function, x):
    """Whether a tensor with its axes in another order in memory gets another answer; to refuse it is no answer.

    Only that: `view` for `reshape` refuses some of them, and is otherwise the same mistake.
    """
    turned = x.permute(tuple(reversed(range(x.ndim))))
    try:
        return not torch.equal(function(turned), function(turned.contiguous()))
    except Exception:
        return False
