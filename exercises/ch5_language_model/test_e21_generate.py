"""What e21 generate must do, from the simplest property to the strictest."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import FEW, LENGTHS, SEEDS

V, D = 7, 4
VOCABULARIES = st.sampled_from((7, 3, 1, 12))
TEMPERATURES = st.sampled_from((1.0, 0.5, 2.0, 0.1))
TOP_K = st.sampled_from((2, 1, 3, None, 100))
CONTEXTS = st.sampled_from((3, 1, 2, 100))


class Reader(nn.Module):
    """A small model in float64 whose logits depend on all that it sees; it keeps what it saw, and how it was run."""

    max_len = 6

    def __init__(self, seed):
        super().__init__()
        self.embedding = nn.Embedding(V, D, dtype=torch.float64)
        self.decoder = nn.Linear(D, V, dtype=torch.float64)
        self.seen, self.modes, self.gradients = [], [], []
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(fill(generator(seed), *weight.shape))

    def forward(self, ids):
        self.seen.append(ids)
        self.modes.append(self.training)
        self.gradients.append(torch.is_grad_enabled() and not torch.is_inference_mode_enabled())
        fading = 0.7 ** torch.arange(ids.shape[1], dtype=torch.float64)
        x = (self.embedding(ids) * fading.flip(0)[:, None]).cumsum(dim=1)
        return self.decoder(2 * x if self.training else x)


class Recorder:
    """Stands in for chance: keeps the probabilities, and returns tokens that were settled beforehand."""

    def __init__(self, b, n_new, seed):
        self.ids = torch.randint(V, (n_new, b), generator=generator(seed + 1))
        self.probabilities = []

    def __call__(self, probabilities):
        self.probabilities.append(probabilities)
        return self.ids[len(self.probabilities) - 1]


def prompt_of(b, n, seed):
    return torch.randint(V, (b, n), generator=generator(seed))


def by_hand(scores, temperature=1.0, top_k=None):
    """The probabilities of one row of scores without ties, a token at a time."""
    order = sorted(range(len(scores)), key=lambda token: -scores[token])
    kept = order[: len(scores) if top_k is None else top_k]
    powers = {token: math.exp((scores[token] - scores[order[0]]) / temperature) for token in kept}
    return [powers.get(token, 0.0) / sum(powers.values()) for token in range(len(scores))]


def expected(logits, temperature=1.0, top_k=None):
    return torch.tensor([by_hand(row, temperature, top_k) for row in logits.tolist()], dtype=torch.float64)


@given(FEW, VOCABULARIES, TEMPERATURES, TOP_K, SEEDS)
def test_they_are_probabilities(answer, b, v, temperature, top_k, seed):
    """Of the logits (b v): numbers (b v) that are not negative, and sum to 1 in each row."""
    probabilities = answer.next_probabilities(fill(generator(seed), b, v), temperature, top_k)
    require(isinstance(probabilities, torch.Tensor), f"expected a tensor; got {type(probabilities).__name__}")
    agree(torch.empty(probabilities.shape), torch.empty(b, v), torch.inf, "next_probabilities", "b v")
    require(probabilities.dtype == torch.float64, f"logits in float64 give float64; got {probabilities.dtype}")
    require(bool((probabilities >= 0).all()), f"a probability is negative or NaN: {probabilities.tolist()}")
    agree(probabilities.sum(-1), torch.ones(b), EXACT.tolerance, "the sum of each row", "b")


@given(FEW, VOCABULARIES, TEMPERATURES, SEEDS)
def test_temperature_divides_the_logits(answer, b, v, temperature, seed):
    """The probabilities are softmax(logits / temperature), also for logits of a thousand and more."""
    for factor in (1.0, 1000.0):
        logits = factor * fill(generator(seed), b, v)
        actual = answer.next_probabilities(logits, temperature)
        what = f"next_probabilities at temperature {temperature} (logits times {factor:g})"
        agree(actual, expected(logits, temperature), EXACT.tolerance, what, "b v")
    same = answer.next_probabilities(logits)
    agree(same, expected(logits), EXACT.tolerance, "next_probabilities without a temperature", "b v")


@given(FEW, VOCABULARIES, TOP_K, SEEDS)
def test_temperature_0_takes_the_likeliest(answer, b, v, top_k, seed):
    """At temperature 0 the largest logit has the probability 1; the first of them, if there are several."""
    logits = fill(generator(seed), b, v).round()  # rounded, so that ties are common
    wanted = torch.zeros(b, v)
    for row, scores in enumerate(logits.tolist()):
        wanted[row, scores.index(max(scores))] = 1.0
    for temperature in (0.0, 0):
        actual = answer.next_probabilities(logits, temperature, top_k)
        agree(actual, wanted, 0.0, f"next_probabilities at temperature 0, top_k {top_k},", "b v")


@given(FEW, VOCABULARIES, TEMPERATURES, TOP_K, SEEDS)
def test_top_k_keeps_the_k_likeliest(answer, b, v, temperature, top_k, seed):
    """Outside the k most probable tokens the probability is 0; those that stay share all of it as a softmax does."""
    logits = fill(generator(seed), b, v)
    what = f"next_probabilities, temperature {temperature}, top_k {top_k},"
    actual = answer.next_probabilities(logits, temperature, top_k)
    agree(actual, expected(logits, temperature, top_k), EXACT.tolerance, what, "b v")
    tied = logits.round()
    probabilities = answer.next_probabilities(tied, temperature, top_k)
    for scores, row in zip(tied.tolist(), probabilities.tolist()):
        k = v if top_k is None else min(top_k, v)
        last = sorted(scores, reverse=True)[k - 1]
        kept = [score for score, p in zip(scores, row) if p > 0]
        sure = sum(score > last for score in scores)
        fine = min(kept) == last and sum(score > last for score in kept) == sure and len(kept) >= k
        require(fine, f"of the logits {scores} the {k} largest must be kept; kept are {kept}")


@given(FEW, VOCABULARIES, TEMPERATURES, TOP_K, SEEDS)
def test_the_logits_are_left_as_they_are(answer, b, v, temperature, top_k, seed):
    """The logits are the caller's, and are not changed."""
    logits = fill(generator(seed), b, v)
    before = logits.clone()
    for t in (temperature, 1.0, 0.0):
        answer.next_probabilities(logits, t, top_k)
        agree(logits, before, 0.0, f"the logits, after next_probabilities at temperature {t},", "b v")


@given(FEW, LENGTHS, st.sampled_from((2, 1, 4, 0)), CONTEXTS, SEEDS)
def test_the_prompt_and_what_was_drawn(answer, b, n, n_new, context, seed):
    """The text (b n + n_new) is the whole prompt, unchanged, and behind it the tokens in the order they were drawn."""
    prompt, draw = prompt_of(b, n, seed), Recorder(b, n_new, seed)
    text = answer.generate(Reader(seed), prompt, n_new, context=context, draw=draw)
    require(isinstance(text, torch.Tensor), f"generate must return a tensor; got {type(text).__name__}")
    require(text.dtype == torch.int64, f"ids are int64; got {text.dtype}")
    agree(torch.empty(text.shape), torch.empty(b, n + n_new), torch.inf, "the text", "b n")
    agree(text[:, :n], prompt_of(b, n, seed), 0.0, "the beginning of the text, the prompt,", "b n")
    agree(text[:, n:], draw.ids.T, 0.0, "what stands behind the prompt", "b n")
    agree(prompt, prompt_of(b, n, seed), 0.0, "the prompt, afterwards,", "b n")


@given(FEW, LENGTHS, CONTEXTS, SEEDS)
def test_the_model_sees_the_end_of_the_text(answer, b, n, context, seed):
    """For each new token the model sees the last `context` tokens, new ones too; by default model.max_len of them."""
    for limit in (context, None):
        model, draw = Reader(seed), Recorder(b, 8, seed)
        text = answer.generate(model, prompt_of(b, n, seed), 8, context=limit, draw=draw)
        require(len(model.seen) == 8, f"for 8 new tokens the model must run 8 times; it ran {len(model.seen)} times")
        for k, ids in enumerate(model.seen):
            wanted = text[:, max(0, n + k - (limit or model.max_len)) : n + k]
            agree(ids, wanted, 0.0, f"what the model sees for new token {k}, context {limit},", "b n")


@given(FEW, LENGTHS, TEMPERATURES, TOP_K, CONTEXTS, SEEDS)
def test_a_token_is_drawn_from_the_last_position(answer, b, n, temperature, top_k, context, seed):
    """`draw` gets next_probabilities of the logits at the last position, at this temperature and with this top_k."""
    model, draw = Reader(seed), Recorder(b, 3, seed)
    options = {"temperature": temperature, "top_k": top_k, "context": context}
    text = answer.generate(model, prompt_of(b, n, seed), 3, **options, draw=draw)
    require(len(draw.probabilities) == 3, f"3 new tokens are 3 draws; draw was called {len(draw.probabilities)} times")
    for k, probabilities in enumerate(draw.probabilities):
        with torch.no_grad():
            logits = model.eval()(text[:, max(0, n + k - context) : n + k])[:, -1]
        wanted = expected(logits, temperature, top_k)
        agree(probabilities, wanted, EXACT.tolerance, f"what draw gets for new token {k}, {options},", "b v")


@given(FEW, LENGTHS, SEEDS, st.booleans())
def test_eval_mode_and_no_gradients(answer, b, n, seed, training):
    """While it writes, the model is in eval mode and gradients are off; afterwards its mode is what it was."""
    model = Reader(seed).train(training)
    answer.generate(model, prompt_of(b, n, seed), 2)
    require(not any(model.modes), "the model ran in training mode: dropout must rest while it writes")
    require(not any(model.gradients), "gradients were on while the model wrote")
    require(model.training == training, f"model.training was {training} before, and is {model.training} after")


@given(FEW, LENGTHS, SEEDS)
def test_temperature_0_writes_the_likeliest(answer, b, n, seed):
    """With the given draw and temperature 0, each new token is the most probable one: no chance is left."""
    model, text = Reader(seed).eval(), prompt_of(b, n, seed)
    for _ in range(4):
        with torch.no_grad():
            scores = model(text[:, -model.max_len :])[:, -1].tolist()
        text = torch.cat([text, torch.tensor([[row.index(max(row))] for row in scores])], dim=1)
    agree(answer.generate(model, text[:, :n], 4, temperature=0.0), text, 0.0, "the text", "b n")


@given(st.sampled_from((1, 3)), TEMPERATURES, TOP_K, SEEDS)
def test_tokens_are_as_frequent_as_they_are_probable(answer, n, temperature, top_k, seed):
    """Of 4,000 texts with one prompt each goes on by itself, and with a token as often as its probability says."""
    model, many = Reader(seed).eval(), 4000
    prompt = prompt_of(1, n, seed).expand(many, n)
    with torch.no_grad():
        wanted = many * expected(model(prompt[:1])[:, -1], temperature, top_k)[0]
    torch.manual_seed(seed)
    text = answer.generate(model, prompt, 1, temperature=temperature, top_k=top_k)
    counts = torch.bincount(text[:, -1], minlength=V)
    require(int(counts[wanted == 0].sum()) == 0, "a token was drawn that has the probability 0")
    # Pearson's chi-square, the rare tokens taken together. With 6 degrees of freedom it is above 50 once in 10^8 times.
    rare = wanted < 10
    cells = [(counts[k], wanted[k]) for k in range(V) if not rare[k]] + [(counts[rare].sum(), wanted[rare].sum())]
    chi_square = sum(float((got - want) ** 2 / want) for got, want in cells if want > 1)
    found = f"expected about {[round(x) for x in wanted.tolist()]}, drawn {counts.tolist()}"
    require(
        chi_square < 50, f"the tokens are not as frequent as they are probable: {found} (chi-square {chi_square:.0f})"
    )
