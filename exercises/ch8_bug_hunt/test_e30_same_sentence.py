"""What the model of e30 same sentence must do, from the simplest property to the strictest."""

from dataclasses import replace

import torch
from hypothesis import given

from attn_lab.checks import oracles
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import language_model_cases

# Of the switches of a language model, Reader has the paper's.
SWITCHES = {"norm_first": False, "scale_embedding": True, "tie_weights": False}
ANY = language_model_cases(causal=True).map(lambda case: replace(case, **SWITCHES))
TEXTS = language_model_cases(causal=True, shortest=2).map(lambda case: replace(case, **SWITCHES))
LOGITS = "b n v"


def model_of(answer, case):
    """The learner's model, in float64 and with random weights."""
    model = EXACT.build(lambda: answer.Reader(*case.sizes))
    oracles.randomise(model, case.seed, torch.float64)
    return model


def equals_pytorch(answer, case):
    """Logits and the gradients of all weights, beside a model that is built of nn.TransformerEncoder."""
    ours, theirs = model_of(answer, case), oracles.LanguageModel(case)
    names = oracles.language_model_names(case)
    oracles.share_weights(ours, theirs, names, case.seed, case.weights_from_pytorch)
    ids, shared = case.ids(), (ours, theirs, names)
    compare(EXACT, lambda: ours(ids), lambda: theirs(ids), {}, axes=LOGITS, seed=case.seed, shared=shared)


@given(ANY)
def test_a_score_for_each_word_at_each_position(answer, case):
    """Ids (b n) become logits (b n v), and the ids stay as they are."""
    ids = case.ids()
    logits = model_of(answer, case)(ids)
    require(isinstance(logits, torch.Tensor), f"the model must return a tensor; got {type(logits).__name__}")
    agree(torch.empty(logits.shape), torch.empty(case.b, case.n, case.ntoken), torch.inf, "the output", LOGITS)
    require(logits.dtype == torch.float64, f"weights of float64 must give logits of float64; got {logits.dtype}")
    agree(ids, case.ids(), 0.0, "the ids, after the forward pass,", LOGITS[:3])


@given(ANY)
def test_one_word_alone(answer, case):
    """A single text of a single word: logits and gradients are those of a model that is built of PyTorch's layers."""
    equals_pytorch(answer, replace(case, b=1, n=1))


@given(TEXTS)
def test_the_future_is_not_seen(answer, case):
    """No logits change when a later word changes."""
    model, ids = model_of(answer, case), case.ids()
    before = model(ids)
    now = case.seed % (case.n - 1)
    other = ids.clone()
    other[:, now + 1 :] = (other[:, now + 1 :] + 1) % case.ntoken
    what = f"the logits at positions 0 to {now}, when later words change,"
    agree(model(other)[:, : now + 1], before[:, : now + 1], EXACT.tolerance, what, LOGITS)


@given(TEXTS)
def test_a_word_has_a_place_in_its_text_and_a_text_none_in_its_batch(answer, case):
    """Where a word stands in its text counts; in which row of a batch the text stands does not."""
    model, text = model_of(answer, case), case.ids()[:1]
    for mode in ("train", "eval"):
        model.train(mode == "train")
        rows = model(text.expand(3, -1))
        what = f"the logits of one text in three rows, in {mode} mode,"
        agree(rows, model(text).expand(3, -1, -1), EXACT.tolerance, what, LOGITS)
        same_word = model(text[:, :1].expand(1, case.n))
        require(
            bool((same_word[:, 0] - same_word[:, 1]).abs().max() > 1e-6),
            f"in {mode} mode a word gets the same logits at the first place as at the second: its place plays no part",
        )
    equals_pytorch(answer, case)
