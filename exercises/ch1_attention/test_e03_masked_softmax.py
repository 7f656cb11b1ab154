"""What e03 masked softmax must do, from the simplest property to the strictest."""

from dataclasses import dataclass
from itertools import product

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.checks.cases import draw_mask, fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT, Setting
from attn_lab.checks.strategies import DENSITIES, FEW, LENGTHS, SEEDS, equal_or_not

# The axes of the scores, and of masks that broadcast to them.
MASKS = {
    "b h i j": ("b h i j", "i j", "b 1 1 j", "b 1 i j", "j", "1 h 1 j", "i 1"),
    "b i j": ("b i j", "i j", "b 1 j"),
    "i j": ("i j", "j", "i 1"),
    "j": ("j",),
}


@dataclass(frozen=True)
class Case:
    """Sizes, the axes of the scores and of the mask (None: no mask), the axis that is summed over."""

    b: int
    h: int
    i: int
    j: int
    axes: str
    mask: str | None
    dim: int
    density: float
    empty_rows: bool
    seed: int

    def tensors(self):
        """Scores in float64, and the mask."""
        source = generator(self.seed)
        scores = fill(source, *(getattr(self, axis) for axis in self.axes.split()))
        return scores, draw_mask(source, self.mask, self, self.density, self.empty_rows)

    def allowed(self):
        """The mask at full size."""
        scores, mask = self.tensors()
        return torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand(scores.shape)


@st.composite
def cases(draw, masked=True, empty_rows=True, any_axis=False):
    """Scores of one to four axes; rows along the last axis, or along any."""
    axes = draw(st.sampled_from(tuple(MASKS)))
    b, i, n_axes = draw(FEW), draw(LENGTHS), len(axes.split())
    return Case(
        b=b,
        h=draw(equal_or_not(b, FEW)),
        i=i,
        j=draw(equal_or_not(i, LENGTHS)),
        axes=axes,
        mask=draw(st.sampled_from(MASKS[axes])) if masked else None,
        dim=draw(st.integers(-n_axes, n_axes - 1)) if any_axis else -1,
        density=draw(DENSITIES),
        empty_rows=empty_rows,
        seed=draw(SEEDS),
    )


PLAIN, KEPT, MASKED = cases(masked=False), cases(empty_rows=False), cases()
ANY_AXIS = st.one_of(cases(any_axis=True), cases(any_axis=True, masked=False))


def row_by_row(scores, allowed, dim=-1):
    """torch.softmax of the allowed entries of each row, taken out one row at a time; zeros elsewhere."""
    rows, allowed = scores.movedim(dim, -1), allowed.movedim(dim, -1)
    weights = [
        torch.zeros_like(rows[place]).index_add(
            0, allowed[place].nonzero()[:, 0], torch.softmax(rows[place][allowed[place]], dim=0)
        )
        for place in product(*map(range, rows.shape[:-1]))
    ]
    return torch.stack(weights).reshape(rows.shape).movedim(-1, dim)


@given(ANY_AXIS)
def test_a_weight_for_each_score(answer, case):
    """The weights have the shape of the scores, and their dtype."""
    scores, mask = case.tensors()
    for dtype in (torch.float64, torch.float32):
        weights = answer.masked_softmax(scores.to(dtype), mask, case.dim)
        require(isinstance(weights, torch.Tensor), f"expected a tensor; got {type(weights).__name__}")
        agree(torch.empty(weights.shape), torch.empty(scores.shape), torch.inf, "the weights", case.axes)
        require(weights.dtype == dtype, f"{dtype} in, {dtype} out; got {weights.dtype}")


@given(PLAIN)
def test_without_a_mask_it_is_the_softmax(answer, case):
    """mask=None: outputs and gradients are those of torch.softmax over the last axis."""
    scores, _ = case.tensors()
    compare(
        EXACT,
        answer.masked_softmax,
        lambda scores: torch.softmax(scores, dim=-1),
        {"scores": scores},
        axes=case.axes,
        seed=case.seed,
    )


@given(KEPT)
def test_hidden_entries_get_no_weight(answer, case):
    """Where the mask is False, the weight is 0: True means allowed."""
    scores, mask = case.tensors()
    weights = answer.masked_softmax(scores, mask)
    hidden = weights.masked_fill(case.allowed(), 0.0)
    agree(hidden, torch.zeros_like(scores), 0.0, "the weight of what is hidden", case.axes)


@given(KEPT)
def test_each_row_sums_to_one(answer, case):
    """Where something is allowed, the weights of a row sum to 1."""
    scores, mask = case.tensors()
    total = answer.masked_softmax(scores, mask).sum(-1)
    agree(
        total, torch.ones_like(total), EXACT.tolerance, "the sum of a row's weights", " ".join(case.axes.split()[:-1])
    )


@given(KEPT)
def test_equals_the_softmax_of_what_is_allowed(answer, case):
    """The allowed entries of a row get the weights that they would have if the others did not exist; gradients too."""
    scores, mask = case.tensors()
    compare(
        EXACT,
        lambda scores: answer.masked_softmax(scores, mask),
        lambda scores: row_by_row(scores, case.allowed()),
        {"scores": scores},
        axes=case.axes,
        seed=case.seed,
    )


@given(MASKED)
def test_nothing_allowed_is_zeros(answer, case):
    """A row in which nothing is allowed is all zeros: no NaN, no equal shares."""
    scores, mask = case.tensors()
    empty = ~case.allowed().any(-1)
    rows = answer.masked_softmax(scores, mask)[empty]
    agree(rows, torch.zeros_like(rows), 0.0, "the weights of a row in which nothing is allowed", "row j")


@given(MASKED)
def test_nothing_allowed_has_no_gradient(answer, case):
    """Where nothing is allowed, the gradient is 0, not NaN; and the other rows' gradients are what they are."""
    scores, mask = case.tensors()
    compare(
        EXACT,
        lambda scores: answer.masked_softmax(scores, mask),
        lambda scores: row_by_row(scores, case.allowed()),
        {"scores": scores},
        axes=case.axes,
        seed=case.seed,
    )


@given(MASKED, st.sampled_from((EXACT, Setting(dtype=torch.float32))))
def test_huge_scores_do_no_harm(answer, case, setting):
    """Scores of ±1000 and ±2000, hidden or allowed, in float64 and float32: outputs and gradients stay right."""
    scores, mask = case.tensors()
    compare(
        setting,
        lambda scores: answer.masked_softmax(scores, mask),
        lambda scores: row_by_row(scores, case.allowed()),
        {"scores": 1000.0 * scores.round() + scores},
        axes=case.axes,
        seed=case.seed,
    )


@given(KEPT)
def test_no_allowed_score_is_too_low(answer, case):
    """Scores of minus and plus a million: a row whose allowed scores are all low shares its whole among them too."""
    scores, mask = case.tensors()
    scores = 1e6 * scores.sign()
    expected = row_by_row(scores, case.allowed())
    # A million has few digits left behind the point: a right answer by logarithms is off by 1e-10.
    agree(answer.masked_softmax(scores, mask), expected, 1e-6, "the weights for scores of ±1,000,000", case.axes)


@given(ANY_AXIS)
def test_the_rows_run_along_any_axis(answer, case):
    """`dim` says which axis is summed over, counted from the front or from the end; the mask still broadcasts."""
    scores, mask = case.tensors()
    compare(
        EXACT,
        lambda scores: answer.masked_softmax(scores, mask, case.dim),
        lambda scores: row_by_row(scores, case.allowed(), case.dim),
        {"scores": scores},
        axes=case.axes,
        seed=case.seed,
    )


@given(MASKED)
def test_the_inputs_are_left_as_they_are(answer, case):
    """scores and mask are the caller's: neither is changed in place."""
    scores, mask = case.tensors()
    answer.masked_softmax(scores, mask)
    for name, now, before in zip(("scores", "mask"), (scores, mask), case.tensors()):
        require(torch.equal(now, before), f"{name} is changed in place")
