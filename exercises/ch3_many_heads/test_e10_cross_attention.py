"""What e10 cross attention must do, from the simplest property to the strictest."""

import math

import torch
from hypothesis import given

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import multihead_cases

PLAIN = multihead_cases(masks=(None,))
MASKED = multihead_cases(masks=("i j", "b 1 1 j", "b 1 i j", "b h i j"))


def build(answer, case, **options):
    """The module in float64, every parameter random."""
    module = EXACT.build(lambda: answer.CrossAttention(case.dim, case.h, **options))
    oracles.randomise(module, case.seed, torch.float64)
    return module


def sequences(case):
    """x with i positions, a memory with j, and the mask between them."""
    x, memory, _, mask = case.tensors()
    return x, memory, mask


def strict_attention(query, key, value, mask=None, dropout=None):
    """e02's attention: its mask broadcasts to (b h i j), and nothing is done for a mask that does not."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask.expand(scores.shape), -math.inf)
    return scores.softmax(-1) @ value


class Recorder:
    """In the place of an attention function: it notes what it gets, and answers with numbers that are given to it."""

    def __init__(self, case):
        self.heads, self.calls = fill(generator(case.seed + 1), case.b, case.h, case.i, case.d), []

    def __call__(self, query, key, value, mask=None, dropout=None):
        self.calls.append({"query": query, "key": key, "value": value})
        return self.heads

    def only_call(self):
        """What it got."""
        n = len(self.calls)
        require(n == 1, f"the attention function must be called once in a forward pass; it was called {n} times")
        return self.calls[0]


def check_against_pytorch(answer, case, attention):
    """Fails unless outputs and gradients are those of nn.MultiheadAttention, asked with x for the memory."""
    ours = EXACT.build(lambda: answer.CrossAttention(case.dim, case.h, attention=attention))
    theirs = oracles.multihead(case.dim, case.h)
    oracles.share_weights(ours, theirs, oracles.MULTIHEAD, case.seed, case.weights_from_pytorch)
    x, memory, mask = sequences(case)
    compare(
        EXACT,
        lambda x, memory: ours(x, memory, mask),
        lambda x, memory: oracles.multihead_forward(theirs, x, memory, memory, mask),
        {"x": x, "memory": memory},
        axes="b i dim",
        seed=case.seed,
        shared=(ours, theirs, oracles.MULTIHEAD),
    )
    saved = set(ours.state_dict()) - set(oracles.MULTIHEAD)
    require(not saved, f"the four layers hold all there is to save; the module saves {', '.join(sorted(saved))} too")


@given(PLAIN)
def test_each_position_of_x_gets_an_answer(answer, case):
    """The output is as long as x, whatever the length of the memory: (b i dim)."""
    x, memory, _ = sequences(case)
    output = build(answer, case)(x, memory)
    require(isinstance(output, torch.Tensor), f"forward must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(case.b, case.i, case.dim), torch.inf, "the output", "b i dim")
    require(output.dtype == torch.float64, f"float64 in, float64 out; got {output.dtype}")


@given(PLAIN)
def test_x_asks_and_the_memory_answers(answer, case):
    """Attention gets queries that are x's projection, and keys and values that are the memory's, split into heads."""
    recorder = Recorder(case)
    module = build(answer, case, attention=recorder)
    x, memory, _ = sequences(case)
    module(x, memory)
    got = recorder.only_call()
    for name, source, n in (("query", x, "i"), ("key", memory, "j"), ("value", memory, "j")):
        projected = getattr(module, f"linear_{name}")(source)
        expected = torch.stack(projected.split(case.d, dim=-1), dim=1)
        agree(got[name], expected, EXACT.tolerance, f"what attention gets as {name}", f"b h {n} d")


@given(PLAIN)
def test_the_heads_are_put_side_by_side_and_projected(answer, case):
    """The output is linear_cat_attn of the heads side by side: those that the given attention function returned."""
    recorder = Recorder(case)
    module = build(answer, case, attention=recorder)
    x, memory, _ = sequences(case)
    output = module(x, memory)
    recorder.only_call()
    expected = module.linear_cat_attn(torch.cat(recorder.heads.unbind(dim=1), dim=-1))
    agree(output, expected, EXACT.tolerance, "the output", "b i dim")


@given(PLAIN)
def test_each_question_is_answered_on_its_own(answer, case):
    """A position of x gets the same answer if it asks alone: x does not look at itself."""
    x, memory, _ = sequences(case)
    module = build(answer, case)
    together = module(x, memory)
    alone = torch.cat([module(x[:, k : k + 1], memory) for k in range(case.i)], dim=1)
    agree(alone, together, EXACT.tolerance, "the output, one position of x at a time,", "b i dim")


@given(PLAIN)
def test_equals_pytorch(answer, case):
    """Without a mask, outputs and gradients, also of every parameter, are nn.MultiheadAttention's."""
    check_against_pytorch(answer, case, strict_attention)


@given(MASKED)
def test_equals_pytorch_under_a_mask(answer, case):
    """With a mask too: True means that a position of x may attend to one of the memory."""
    check_against_pytorch(answer, case, strict_attention)


@given(MASKED)
def test_the_inputs_are_left_as_they_are(answer, case):
    """x, memory and mask are the caller's: none is changed in place."""
    x, memory, mask = sequences(case)
    given_tensors = {"x": x, "memory": memory, "mask": mask}
    before = {name: tensor.clone() for name, tensor in given_tensors.items()}
    build(answer, case, attention=strict_attention)(x, memory, mask)
    for name, tensor in before.items():
        require(torch.equal(given_tensors[name], tensor), f"{name} is changed in place")


@given(MASKED)
def test_each_call_stands_alone(answer, case):
    """A second call, with another memory and another mask, is answered as if it were the first."""
    x, memory, mask = sequences(case)
    expected = build(answer, case, attention=strict_attention)(x, memory, mask)
    module = build(answer, case, attention=strict_attention)
    before = fill(generator(case.seed + 1), *memory.shape)
    module(x, before, torch.ones(case.i, case.j, dtype=torch.bool))
    agree(module(x, memory, mask), expected, EXACT.tolerance, "the output of a second call", "b i dim")
