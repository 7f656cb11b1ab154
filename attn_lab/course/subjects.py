"""What a learner's properties are put to: of each subject, the right implementations and the wrong ones that we hold.

They are the answers to the exercises that teach the subject: the worked solution and its variants, the known mistakes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import attn_lab
from attn_lab.course.catalogue import find
from attn_lab.course.mistakes import catalogue


@dataclass(frozen=True)
class Implementation:
    """One of a subject, right or wrong.

    `told` completes "a right one, namely …" or "one that …"; `question` leads to what a wrong one breaks.
    """

    told: str
    is_right: bool
    code: Any
    question: str = ""


@dataclass(frozen=True)
class Subject:
    """What a property may be about: its name, which is the property's argument, and where it is taught.

    Args:
        name: such as "causal".
        exercise: whose catalogue has the implementations, under the name `part`.
        questions: the exercise's test -> what to ask oneself where a mistake that is meant for that test slips through.
        others: further right implementations, each by what it is.
    """

    name: str
    exercise: str
    part: str
    questions: Mapping[str, str]
    others: Mapping[str, Any] = field(default_factory=dict)

    @cache  # noqa: B019 (there are four of them, for as long as the process lives)
    def implementations(self) -> tuple[Implementation, ...]:
        """The right ones first, the worked solution foremost; none twice."""
        return tuple(self._right()) + tuple(self._wrong())

    def _right(self) -> Iterator[Implementation]:
        known = catalogue(find(self.exercise))
        yield Implementation("the worked solution", True, getattr(known.solution, self.part))
        for variant in known.variants:
            if self.part in variant.parts:
                yield Implementation(variant.way, True, variant.parts[self.part])
        for way, code in self.others.items():
            yield Implementation(way, True, code)

    def _wrong(self) -> Iterator[Implementation]:
        seen: list[object] = []
        for mistake in catalogue(find(self.exercise)).mistakes:
            code = mistake.parts.get(self.part)
            if code is not None and code not in seen:
                seen.append(code)
                yield Implementation(
                    mistake.behaviour, False, code, self.questions.get(mistake.caught_by, mistake.advice)
                )

    def __hash__(self) -> int:
        return hash(self.name)


def upper_triangle_turned(n: int) -> Tensor:
    """Right, and its rows do not lie one behind the other in memory."""
    return torch.ones(n, n, dtype=torch.bool).triu().T


def pytorchs_causal(n: int) -> Tensor:
    """PyTorch's own has 0 where a key may be seen, and -inf where not."""
    return nn.Transformer.generate_square_subsequent_mask(n) == 0


def padded_by_pytorch(lengths: Any, n: int) -> Tensor:
    """A row of ones for each text, and a last one that is as long as all may get."""
    rows = [torch.ones(int(length), dtype=torch.bool) for length in lengths]
    return nn.utils.rnn.pad_sequence([*rows, torch.ones(n, dtype=torch.bool)], batch_first=True)[:-1, None, None]


def sum_of_diagonals(n: int, window: int, causal: bool = True) -> Tensor:
    """One diagonal of ones for each distance."""
    last = min(window, n) - 1
    ones = (torch.diag(torch.ones(n - abs(k)), k) for k in range(-last, 1 if causal else last + 1))
    return torch.stack(list(ones)).sum(0) > 0


class Plain(nn.Module):
    """What the right ones below have in common, with the names that most give to what they keep."""

    def __init__(
        self, dim: int, n_heads: int, dropout: float | None = None, *, attention: Callable[..., Tensor] | None = None
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.linear_query, self.linear_key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.linear_value, self.linear_cat_attn = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.dropout = None if dropout is None else nn.Dropout(dropout)
        self.attention: Callable[..., Tensor] = attention or attn_lab.attention

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """As e08 asks for it."""
        queries, keys, values = self.linear_query(query), self.linear_key(key), self.linear_value(value)
        mask = mask[:, None] if mask is not None and mask.ndim == 3 else mask
        return self.linear_cat_attn(self.attend(queries, keys, values, mask))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Split, attend, merge."""
        split = (x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for x in (queries, keys, values))
        return self.attention(*split, mask, self.dropout).transpose(1, 2).flatten(2)


class ByOtherNames(Plain):
    """nn.Unflatten and nn.Flatten make the heads, and what is kept has names of its own."""

    def __init__(self, dim: int, n_heads: int, dropout: float | None = None, **options: Any) -> None:
        super().__init__(dim, n_heads, dropout, **options)
        self.to_heads, self.from_heads = nn.Unflatten(-1, (n_heads, dim // n_heads)), nn.Flatten(2)
        self.of_weights = self.dropout
        self.mix: Callable[..., Tensor] = self.attention
        for name in ("n_heads", "dropout", "attention"):
            delattr(self, name)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Split, attend, merge."""
        split = (self.to_heads(x).transpose(1, 2) for x in (queries, keys, values))
        return self.from_heads(self.mix(*split, mask, self.of_weights).transpose(1, 2))


class WithADropoutOfNothing(Plain):
    """Where nobody asks for dropout, attention gets one that drops nothing."""

    def __init__(self, dim: int, n_heads: int, dropout: float | None = None, **options: Any) -> None:
        super().__init__(dim, n_heads, 0.0 if dropout is None else dropout, **options)


class InAnotherOrder(Plain):
    """The layers stand in another order, and begin with other weights."""

    def __init__(self, dim: int, n_heads: int, dropout: float | None = None, **options: Any) -> None:
        super().__init__(dim, n_heads, dropout, **options)
        for name in ("linear_query", "linear_value"):
            linear = getattr(self, name)
            delattr(self, name)
            setattr(self, name, linear)
            nn.init.xavier_uniform_(linear.weight)


KIND = "what type must a mask have, and what shape?"

SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(
            "causal",
            "e04",
            "causal",
            {
                "test_a_boolean_for_each_pair": KIND,
                "test_each_query_sees_itself": "which pairs must be True, at the edges and on the diagonal?",
                "test_no_query_sees_the_future": "where must there be no True at all?",
                "test_each_query_sees_the_whole_past": "how much of the past must a query see?",
            },
            {
                "the upper triangle, turned": upper_triangle_turned,
                "PyTorch's own mask, compared with 0": pytorchs_causal,
                "the library's own": attn_lab.masks.causal,
            },
        ),
        Subject(
            "padding",
            "e05",
            "padding",
            {
                "test_padding_is_one_boolean_for_each_key": KIND,
                "test_the_first_keys_are_real": "which keys are real, and which is the first that is not?",
                "test_the_content_of_padding_never_changes_a_real_output": "do your texts differ in length?",
                "test_the_lengths_may_be_a_list": "in what forms may the lengths come?",
                "test_the_inputs_are_left_as_they_are": "what becomes of the tensor that you hand over?",
            },
            {"PyTorch's pad_sequence": padded_by_pytorch, "the library's own": attn_lab.masks.padding},
        ),
        Subject(
            "sliding_window",
            "e06",
            "sliding_window",
            {
                "test_a_boolean_for_each_pair": KIND,
                "test_each_query_sees_itself": "does a query see itself, in a narrow window too?",
                "test_a_window_of_one_is_the_query_alone": "how many keys does a window of 1 hold, or of 2?",
                "test_a_window_as_wide_as_the_text_hides_no_near_key": "what if the window is as wide as the text?",
                "test_causal_the_window_ends_with_the_query": "where does a causal window begin and end?",
                "test_two_sided_the_query_is_in_the_middle": "how far does a window with causal=False reach?",
                "test_causal_unless_told_otherwise": "what is `causal` if nobody says?",
            },
            {"PyTorch's diagonals, added up": sum_of_diagonals, "the library's own": attn_lab.masks.sliding_window},
        ),
        Subject(
            "multi_head",
            "e08",
            "MultiHeadSelfAttention",
            {
                "test_each_query_gets_a_vector_of_the_models_width": "which axis is the text, and which the batch?",
                "test_each_head_gets_its_own_features": "whose weights and whose inputs make which head?",
                "test_the_heads_are_put_side_by_side_and_projected": "what becomes of what the heads found?",
                "test_equals_pytorch": "does it run without what may be left out?",
                "test_equals_pytorch_under_a_mask": "what of masks of other shapes, if attention does not mend them?",
                "test_each_call_stands_alone": "what does a second call give?",
                "test_four_projections_hold_all_the_weights": "which parameters must there be?",
                "test_attention_gets_the_dropout": "what is dropped in training, how much, and what in evaluation?",
                "test_no_dropout_unless_it_is_asked_for": "what if nobody says anything of dropout?",
                "test_nothing_but_weights_is_dropped": "is anything dropped besides attention's weights?",
                "test_the_inputs_are_left_as_they_are": "what becomes of the tensors that you hand over?",
            },
            {
                "PyTorch's own modules for the heads, and other names for what is kept": ByOtherNames,
                "a dropout of 0 where none is asked for": WithADropoutOfNothing,
                "layers in another order, with other initial weights": InAnotherOrder,
                # Not the library's own: it leaves a mask of three axes to attention, which e08 does not.
            },
        ),
    )
}
