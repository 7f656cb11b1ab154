"""What e18 language model must do, from the simplest property to the strictest."""

import torch
import torch.nn.functional as F
from hypothesis import given
from torch import nn

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import language_model_cases

ANY = language_model_cases()
CAUSAL = language_model_cases(causal=True, shortest=2)
LOGITS = "b n v"


def model_of(answer, case, dropout=0.0, **parts):
    """The learner's model, in float64 and with random weights."""
    model = EXACT.build(lambda: answer.TransformerLanguageModel(*case.sizes, dropout=dropout, **case.options, **parts))
    oracles.randomise(model, case.seed, torch.float64)
    return model


class Shift(nn.Module):
    """Stands in for the positions: adds something that differs at every place, and drops nothing."""

    def forward(self, x):
        places = torch.arange(1, x.shape[0] * x.shape[1] + 1, device=x.device)
        return x + places.view(x.shape[0], -1, 1) / 10


class Recorder(nn.Module):
    """Stands in for the encoder: keeps what it is given, and returns twice the input plus one."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x, mask=None):
        self.calls.append((x, mask))
        return 2 * x + 1


def odd_mask(n):
    """Stands in for the causal mask: a mask that nobody would make by chance."""
    mask = torch.rand(n, n, generator=generator(n)) < 0.5
    return mask | torch.eye(n, dtype=torch.bool)


def recording(answer, case):
    """A model around the stand-ins, and its recorder."""
    recorder = Recorder()
    parts = {"positions": lambda *_: Shift(), "encoder": lambda *_: recorder, "mask": odd_mask}
    return model_of(answer, case, dropout=0.5, **parts), recorder


@given(ANY)
def test_a_score_for_each_token_at_each_position(answer, case):
    """Ids (b n) become logits (b n ntoken), and the ids stay as they are."""
    model, ids = model_of(answer, case), case.ids()
    logits = model(ids)
    require(isinstance(logits, torch.Tensor), f"the model must return a tensor; got {type(logits).__name__}")
    agree(torch.empty(logits.shape), torch.empty(case.b, case.n, case.ntoken), torch.inf, "the output", LOGITS)
    require(logits.dtype == torch.float64, f"weights of float64 must give logits of float64; got {logits.dtype}")
    agree(ids, case.ids(), 0.0, "the ids, after the forward pass,", "b n")


@given(ANY)
def test_the_parts_follow_one_another(answer, case):
    """Embedding times √d_model (if asked for), positions, encoder, norm, output layer: and nothing between them."""
    model, recorder = recording(answer, case)
    ids = case.ids()
    x = Shift()(model.embedding.weight[ids] * (case.d_model**0.5 if case.scale_embedding else 1.0))
    y = 2 * x + 1
    if case.norm_first:
        y = F.layer_norm(y, (case.d_model,), model.norm.weight, model.norm.bias)
    expected = F.linear(y, model.decoder.weight, model.decoder.bias)
    for mode in (True, False):
        actual = model.train(mode)(ids)
        name = "train" if mode else "eval"
        n_calls = len(recorder.calls)
        require(
            n_calls == 1, f"the encoder that the model was given must be called once; it was called {n_calls} times"
        )
        agree(recorder.calls.pop()[0], x, EXACT.tolerance, f"the encoder's input in {name} mode", "b n d_model")
        agree(actual, expected, EXACT.tolerance, f"the logits in {name} mode", LOGITS)


@given(ANY)
def test_the_encoder_gets_the_right_mask(answer, case):
    """In training and evaluation: mask(n) in a causal model, none in another, and one that is passed in its place."""
    model, recorder = recording(answer, case)
    ids = case.ids()
    for mode in (True, False):
        model.train(mode)(ids)
        mask = recorder.calls.pop()[1]
        if case.causal:
            require(isinstance(mask, torch.Tensor), f"the encoder of a causal model must get a mask; got {mask!r}")
            agree(mask, odd_mask(case.n), 0.0, "the encoder's mask", "i j")
        else:
            require(mask is None, "without `causal`, the encoder gets no mask unless one is passed")
        for own in (odd_mask(case.n).T, torch.rand(case.b, 1, 1, case.n, generator=generator(case.seed)) < 0.5):
            model(ids, own)
            mask = recorder.calls.pop()[1]
            require(mask is not None, "a mask that is passed must reach the encoder")
            agree(mask, own, 0.0, "the encoder's mask, where one is passed,", "b h i j" if own.ndim == 4 else "i j")


@given(CAUSAL)
def test_the_future_is_not_seen(answer, case):
    """In a causal model no logits change when a later token changes."""
    model, ids = model_of(answer, case), case.ids()
    before = model(ids)
    now = case.seed % (case.n - 1)
    other = ids.clone()
    other[:, now + 1 :] = (other[:, now + 1 :] + 1) % case.ntoken
    what = f"the logits at positions 0 to {now}, when later tokens change,"
    agree(model(other)[:, : now + 1], before[:, : now + 1], EXACT.tolerance, what, LOGITS)


@given(CAUSAL)
def test_each_text_gets_a_mask_of_its_length(answer, case):
    """A shorter text after a longer one, and a longer one after a shorter: the mask is made for the text at hand."""
    model, recorder = recording(answer, case)
    ids = case.ids()
    for n in (case.n, 1 + case.seed % (case.n - 1), case.n):
        model(ids[:, :n])
        mask = recorder.calls.pop()[1]
        require(isinstance(mask, torch.Tensor), f"the encoder of a causal model must get a mask; got {mask!r}")
        agree(mask, odd_mask(n), 0.0, f"the mask of a text of {n} tokens", "i j")


@given(ANY)
def test_tied_weights_are_one_parameter(answer, case):
    """With tie_weights the output layer's weight is the embedding's, the same Parameter; without, each has its own."""
    model = model_of(answer, case)
    same = model.decoder.weight is model.embedding.weight
    if case.tie_weights:
        require(same, "decoder.weight must be embedding.weight itself, not a second parameter beside it")
    else:
        require(not same, "without tie_weights, decoder.weight must be a parameter of its own")


@given(ANY)
def test_equals_pytorch(answer, case):
    """Logits and the gradients of all weights are those of a model built of nn.TransformerEncoder, for all switches."""
    ours = model_of(answer, case)
    theirs, names = oracles.LanguageModel(case), oracles.language_model_names(case)
    oracles.share_weights(ours, theirs, names, case.seed, case.weights_from_pytorch)
    ids = case.ids()
    shared = (ours, theirs, names)
    compare(EXACT, lambda: ours(ids), lambda: theirs(ids), {}, axes=LOGITS, seed=case.seed, shared=shared)


@given(CAUSAL)
def test_the_mask_lies_where_the_text_lies(answer, case):
    """On another device than the CPU, such as a GPU, the mask is there too (tried on "meta", which has no data)."""
    model, recorder = recording(answer, case)
    model.to("meta")(case.ids().to("meta"))
    device = recorder.calls.pop()[1].device
    require(device.type == "meta", f"for ids on the device meta the mask must be there; it is on {device}")
