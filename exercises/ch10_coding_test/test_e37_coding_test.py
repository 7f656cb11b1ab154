"""What the three pieces of e37 coding test must do, each by itself, and then the training with all of them."""

import math
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import replace

import torch
from hypothesis import given
from torch import nn

import attn_lab
from attn_lab.checks import oracles
from attn_lab.checks.cases import EncoderCase, MultiHeadCase
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import LENGTHS, encoder_cases, multihead_cases

MASKS = ("i j", "b 1 1 j", None)
ATTENTION = multihead_cases(masks=MASKS)
BLOCK = encoder_cases(masks=MASKS).map(lambda case: replace(case, norm_first=False))


def attention_of(answer, case, dropout=None):
    """The learner's attention module, in float64 and with random weights."""
    module = EXACT.build(lambda: answer.MultiHeadSelfAttention(case.dim, case.h, dropout))
    oracles.randomise(module, case.seed, torch.float64)
    return module


def check_mask(answer, n):
    mask = answer.causal(n)
    require(isinstance(mask, torch.Tensor), f"causal must return a tensor; got {type(mask).__name__}")
    require(mask.dtype == torch.bool, f"the mask must be boolean, True where a query may attend; got {mask.dtype}")
    expected = torch.tensor([[j <= i for j in range(n)] for i in range(n)])
    agree(mask, expected, 0.0, "the mask", "i j")


def check_attention(answer, case, factor=1.0):
    """`factor` multiplies the queries, and with them the scores."""
    ours, theirs = attention_of(answer, case), oracles.multihead(case.dim, case.h)
    oracles.share_weights(ours, theirs, oracles.MULTIHEAD, case.seed, case.weights_from_pytorch)
    query, key, value, mask = case.tensors()
    compare(
        EXACT,
        lambda q, k, v: ours(q, k, v, mask),
        lambda q, k, v: oracles.multihead_forward(theirs, q, k, v, mask),
        {"query": factor * query, "key": key, "value": value},
        axes="b i dim",
        seed=case.seed,
        shared=(ours, theirs, oracles.MULTIHEAD),
    )


def check_hidden(answer, case):
    """Outputs alone: where two scores of a million lie side by side, a right answer's may be off by 1e-9."""
    ours, theirs = attention_of(answer, case), oracles.multihead(case.dim, case.h)
    oracles.share_weights(ours, theirs, oracles.MULTIHEAD, case.seed, case.weights_from_pytorch)
    query, key, value, mask = case.tensors()
    output = ours(1e6 * query, key, value, mask)
    expected = oracles.multihead_forward(theirs, 1e6 * query, key, value, mask)
    agree(output, expected, 1e-6, "the output for scores of a million", "b i dim")


def block_of(answer, case, dropout=0.0):
    """The learner's block around the reference's attention, so that a block is judged as a block; random weights."""
    attn = EXACT.build(lambda: attn_lab.MultiHeadSelfAttention(case.d_model, case.h))
    block = EXACT.build(lambda: answer.EncoderBlock(attn, case.d_model, case.d_hid, case.layer_norm_eps, dropout))
    oracles.randomise(block, case.seed, torch.float64)
    return block


def check_block(answer, case, dropout=0.0):
    ours = block_of(answer, case, dropout)
    theirs = oracles.block(case, dropout)
    theirs.self_attn.dropout = 0.0  # that of the weights is the attention's business
    oracles.share_weights(ours, theirs, oracles.BLOCK, case.seed, case.weights_from_pytorch)
    x, mask = case.tensors()
    compare(
        EXACT,
        lambda x: ours(x, mask),
        lambda x: oracles.block_forward(theirs, x, mask),
        {"x": x},
        axes="b n d_model",
        seed=case.seed,
        shared=(ours, theirs, oracles.BLOCK),
    )


class Watched(nn.Module):
    """Stands in for the dropout of the weights: keeps them, and drops them all, or none."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.weights = factor, []

    def forward(self, weights):
        self.weights.append(weights)
        return weights * self.factor


def check_dropout(answer, case):
    module = attention_of(answer, case, dropout=0.5)
    query, key, value, mask = case.tensors()
    for factor in (1.0, 0.0):
        module.dropout = Watched(factor)
        output = module(query, key, value, mask)
        n_calls, size = len(module.dropout.weights), case.b * case.h * case.i
        require(n_calls == 1, f"self.dropout must be called once in a forward pass; it was called {n_calls} times")
        weights = module.dropout.weights[0]
        require(
            weights.numel() == size * case.j, f"self.dropout must get (b h i j) weights; got {tuple(weights.shape)}"
        )
        agree(weights.sum(), torch.tensor(float(size)), EXACT.tolerance, "the sum of all weights, 1 for each query,")
    bias = module.linear_cat_attn.bias.expand(output.shape)
    agree(output, bias, EXACT.tolerance, "the output when all weights are dropped", "b i dim")


def check_attention_rests(answer, case):
    module, without = attention_of(answer, case, dropout=0.5), attention_of(answer, case)
    check_rest(module, without, case.tensors(), "b i dim", "attention")


def check_block_rests(answer, case):
    module, without = block_of(answer, case, dropout=0.5), block_of(answer, case)
    check_rest(module, without, case.tensors(), "b n d_model", "the block")


def check_rest(module, without, inputs, axes, name):
    """`without` has the same weights, and no dropout."""
    expected = without.train()(*inputs)
    agree(module.eval()(*inputs), expected, EXACT.tolerance, "the output in eval mode, against no dropout,", axes)
    drops = not torch.equal(module.train()(*inputs), expected)
    require(drops, f"back in training after an evaluation, {name} must drop again; it does not")


@given(LENGTHS)
def test_the_mask_shows_itself_and_the_past(answer, n):
    """The causal mask is boolean (n n), and True where key j is not later than query i."""
    check_mask(answer, n)


@given(ATTENTION)
def test_attention_returns_a_vector_for_each_query(answer, case):
    """Multi-head attention returns (b i dim), and leaves its inputs as they are."""
    given_tensors = case.tensors()
    before = [None if tensor is None else tensor.clone() for tensor in given_tensors]
    output = attention_of(answer, case)(*given_tensors)
    require(isinstance(output, torch.Tensor), f"expected a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(case.b, case.i, case.dim), torch.inf, "the output", "b i dim")
    for name, now, was in zip(("query", "key", "value", "mask"), given_tensors, before):
        require(was is None or torch.equal(now, was), f"{name} is changed in place")


@given(ATTENTION)
def test_attention_equals_pytorch(answer, case):
    """Outputs and gradients, with a mask and without, are those of nn.MultiheadAttention with the same weights."""
    check_attention(answer, case)


@given(ATTENTION)
def test_hidden_keys_stay_hidden_however_large_the_scores(answer, case):
    """Scores of a thousand, and of a million, on either side: a hidden key gets the weight 0, not a small one."""
    check_attention(answer, case, factor=1000.0)
    check_hidden(answer, case)


@given(ATTENTION)
def test_dropout_acts_on_the_attention_weights(answer, case):
    """self.dropout gets the weights, after the softmax, once; where it drops them all, the last bias is left."""
    check_dropout(answer, case)


@given(ATTENTION)
def test_attention_drops_in_training_alone(answer, case):
    """Evaluation computes what training would if there were no dropout, and afterwards training drops again."""
    check_attention_rests(answer, case)


@given(BLOCK)
def test_a_block_equals_pytorch(answer, case):
    """Outputs and gradients are those of nn.TransformerEncoderLayer with the same weights, under the same mask."""
    check_block(answer, case)


@given(BLOCK)
def test_a_block_drops_where_pytorch_drops(answer, case):
    """In training: what each sub-layer found, before it is added, and what comes out of the ReLU."""
    with FixedDropout():
        check_block(answer, case, dropout=0.5)


@given(BLOCK)
def test_a_block_drops_in_training_alone(answer, case):
    """Evaluation computes what training would if there were no dropout, and afterwards training drops again."""
    check_block_rests(answer, case)


def test_the_training_runs_and_the_loss_falls(answer):
    """A short training on English text: it ends below the unigram model's validation loss, and above the leak line."""
    the_pieces_are_right(answer)
    corpus = attn_lab.corpora.load("pydoc")
    unigram = ngram_loss(corpus, 1)
    # Two words of context say much of what so small a text can teach. Who knows a whole nat more has read the answer.
    leak = ngram_loss(corpus, 2) - 1.0
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = answer.LanguageModel(
            len(corpus.vocabulary),
            attention_module=answer.MultiHeadSelfAttention,
            block=answer.EncoderBlock,
            mask=answer.causal,
        )
        losses = answer.train(model, corpus)
    told = ", ".join(f"{loss:.3f}" for loss in losses)
    require(losses[-1] < losses[0], f"the validation loss does not fall: {told} nats per token")
    final = validation_loss(model.eval(), corpus)
    require(final < unigram, f"after training the loss is {final:.3f}, not below the unigram model's {unigram:.3f}")
    require(final > leak, f"a loss of {final:.3f}, below {leak:.3f}, is too good: the model sees what it is to predict")


def the_pieces_are_right(answer):
    """One case of each property above: a training that cannot succeed is not worth waiting for."""
    for n in (1, 5):
        check_mask(answer, n)
    sizes = {"density": 0.7, "empty_rows": False, "weights_from_pytorch": True, "seed": 1}
    for mask in ("i j", None):
        case = MultiHeadCase(b=2, h=3, i=5, j=4, d=2, mask=mask, **sizes)
        check_attention(answer, case)
        check_attention(answer, case, factor=1000.0)
        check_hidden(answer, case)
        check_dropout(answer, case)
        check_attention_rests(answer, case)
        case = EncoderCase(
            b=2, h=2, n=5, d=4, d_hid=5, n_blocks=1, norm_first=False, activation="relu", mask=mask, **sizes
        )
        check_block(answer, case)
        with FixedDropout():
            check_block(answer, case, dropout=0.5)
        check_block_rests(answer, case)


@contextmanager
def one_thread():
    """So small a model gains nothing from more threads, and loses much where they wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ngram_loss(corpus, order):
    """Nats per token of the validation text by counts of the training text: each token from the order - 1 before it.

    Witten and Bell's way: a context that was followed by many different words leaves much to the shorter context.
    """
    train, valid, v = corpus.train.tolist(), corpus.valid.tolist(), len(corpus.vocabulary)
    followers = defaultdict(Counter)
    for k, token in enumerate(train):
        for n in range(min(order, k + 1)):
            followers[tuple(train[k - n : k])][token] += 1
    total = 0.0
    for k, token in enumerate(valid):
        p = 1 / v
        for n in range(min(order, k + 1)):
            counts = followers.get(tuple(valid[k - n : k]))
            if counts is None:
                break
            p = (counts[token] + len(counts) * p) / (counts.total() + len(counts))
        total -= math.log(p)
    return total / len(valid)


@torch.no_grad()
def validation_loss(model, corpus):
    """Nats per token in windows of 32 tokens, measured here: not by what the answer says of itself."""
    rows = corpus.valid[: len(corpus.valid) // 10 * 10].view(10, -1)
    total = 0.0
    for start in range(0, rows.shape[1] - 1, 32):
        inputs, targets = rows[:, start : start + 32], rows[:, start + 1 : start + 33]
        log_p = model(inputs[:, : targets.shape[1]]).log_softmax(-1)
        total -= float(log_p.gather(-1, targets[..., None]).sum())
    return total / rows[:, 1:].numel()
