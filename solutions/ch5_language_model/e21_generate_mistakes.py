"""Wrong answers to e21 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch
from torch import nn

from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.language_model.sample", "attn_lab.language_model.TransformerLanguageModel")


def check(temperature, top_k):
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError("out of range")


def greedy(logits):
    return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)


def kept(logits, top_k):
    """True for the k largest."""
    k = logits.shape[-1] if top_k is None else min(top_k, logits.shape[-1])
    return logits >= logits.topk(k).values[:, -1:]


def right(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return greedy(logits)
    return (logits.masked_fill(~kept(logits, top_k), -torch.inf) / temperature).softmax(-1)


def temperature_after_softmax(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return greedy(logits)
    return logits.masked_fill(~kept(logits, top_k), -torch.inf).softmax(-1) / temperature


def temperature_ignored(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    return right(logits, 0.0 if temperature == 0 else 1.0, top_k)


def temperature_multiplies(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    return right(logits, 0.0 if temperature == 0 else 1 / temperature, top_k)


def nan_at_0(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    return (logits.masked_fill(~kept(logits, top_k), -torch.inf) / temperature).softmax(-1)


def almost_0(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    return right(logits, max(temperature, 1e-6), top_k)


def k_minus_1(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0 or top_k is None:
        return right(logits, temperature)
    smallest = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
    return (logits.masked_fill(logits <= smallest, -torch.inf) / temperature).softmax(-1)


def k_smallest(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0 or top_k is None:
        return right(logits, temperature)
    return (logits.masked_fill(~kept(-logits, top_k), -torch.inf) / temperature).softmax(-1)


def k_after_softmax(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    return right(logits, temperature) * kept(logits, None if temperature == 0 else top_k)


def hidden_is_0(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return greedy(logits)
    return (logits.masked_fill(~kept(logits, top_k), 0.0) / temperature).softmax(-1)


def k_too_large_crashes(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0 or top_k is None:
        return right(logits, temperature)
    smallest = logits.topk(top_k).values[:, -1:]
    return (logits.masked_fill(logits < smallest, -torch.inf) / temperature).softmax(-1)


def k_of_the_first_row(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0 or top_k is None:
        return right(logits, temperature)
    smallest = logits.topk(min(top_k, logits.shape[-1])).values[0, -1]
    return (logits.masked_fill(logits < smallest, -torch.inf) / temperature).softmax(-1)


def k_ignored(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    return right(logits, temperature)


def k_of_the_scaled(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return greedy(logits)
    logits = logits / temperature
    return logits.masked_fill(~kept(logits, top_k), -torch.inf).softmax(-1)


def hidden_in_place(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return greedy(logits)
    logits[~kept(logits, top_k)] = -torch.inf
    return (logits / temperature).softmax(-1)


def divided_in_place(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return greedy(logits)
    logits /= temperature
    return logits.masked_fill(~kept(logits, top_k), -torch.inf).softmax(-1)


def softmax_over_texts(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return greedy(logits)
    return (logits.masked_fill(~kept(logits, top_k), -torch.inf) / temperature).softmax(0)


def overflows(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return greedy(logits)
    powers = (logits / temperature).exp() * kept(logits, top_k)
    return powers / powers.sum(-1, keepdim=True)


def sample(probabilities):
    return torch.multinomial(probabilities, num_samples=1)[:, 0]


def writer(
    probabilities=right,
    see=lambda text, context, prompt: text[:, -context:],
    at=lambda logits: logits[:, -1],
    hand_on=lambda temperature, top_k: (temperature, top_k),
    pick=lambda draw, p: draw(p),
    join=lambda text, new: torch.cat([text, new[:, None]], dim=1),
    keep=lambda text, context: text,
    result=lambda text, prompt: text,
    eval_mode=True,
    back=True,
    gradients=False,
):
    """`generate`, with each of its steps as an argument."""

    def generate(model, prompt, n_new, *, temperature=1.0, top_k=None, context=None, draw=sample):
        context = model.max_len if context is None else context
        was = model.training
        if eval_mode:
            model.eval()
        with torch.set_grad_enabled(gradients):
            text = prompt
            for _ in range(n_new):
                p = probabilities(at(model(see(text, context, prompt))), *hand_on(temperature, top_k))
                text = keep(join(text, pick(draw, p)), context)
        if back:
            model.train(was)
        return result(text, prompt)

    return generate


def of_probabilities(wrong):
    """A mistake in next_probabilities is one in generate, which calls it."""
    return {"next_probabilities": wrong, "generate": writer(wrong)}


def k_plus_1(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    return right(logits, temperature, None if top_k is None else top_k + 1)


def temperature_twice(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    return right(logits, temperature**2, top_k)


def top_k_hidden(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0 or top_k is None:
        return right(logits, temperature)
    return (logits.masked_fill(kept(logits, top_k), -torch.inf) / temperature).softmax(-1)


MISTAKES = (
    Mistake(
        "divides by the temperature after the softmax",
        "Divide the logits: probabilities divided by anything no longer sum to 1, and keep their proportions.",
        caught_by="test_they_are_probabilities",
        **of_probabilities(temperature_after_softmax),
    ),
    Mistake(
        "ignores the temperature, unless it is 0",
        "Divide the logits by the temperature before the softmax. Afterwards, normalising would undo it.",
        caught_by="test_temperature_divides_the_logits",
        **of_probabilities(temperature_ignored),
    ),
    Mistake(
        "multiplies by the temperature",
        "Divide: a low temperature must set the logits further apart.",
        caught_by="test_temperature_divides_the_logits",
        **of_probabilities(temperature_multiplies),
    ),
    Mistake(
        "divides by the temperature twice",
        "Once is enough: whoever calls next_probabilities hands over logits that nobody has divided yet.",
        caught_by="test_temperature_divides_the_logits",
        **of_probabilities(temperature_twice),
    ),
    Mistake(
        "divides by a temperature of 0",
        "0 is the limit, not a divisor: treat it by itself, with argmax.",
        caught_by="test_temperature_0_takes_the_likeliest",
        **of_probabilities(nan_at_0),
    ),
    Mistake(
        "shares the probability among equal logits at temperature 0, as a very small temperature does",
        "At 0 one token has it all: use argmax, which returns the first of several that are equal.",
        caught_by="test_temperature_0_takes_the_likeliest",
        **of_probabilities(almost_0),
    ),
    Mistake(
        "keeps one token less than top_k",
        "The k-th largest stays: hide what is smaller than it (<), not what is smaller or equal (<=).",
        caught_by="test_top_k_keeps_the_k_likeliest",
        **of_probabilities(k_minus_1),
    ),
    Mistake(
        "keeps one token more than top_k",
        "The k-th largest is the last that stays: its index is k - 1 when you count from 0.",
        caught_by="test_top_k_keeps_the_k_likeliest",
        **of_probabilities(k_plus_1),
    ),
    Mistake(
        "keeps the least probable tokens",
        "topk finds the largest unless it is told otherwise; so hide what is below the k-th largest.",
        caught_by="test_top_k_keeps_the_k_likeliest",
        **of_probabilities(k_smallest),
    ),
    Mistake(
        "hides the top k and keeps the others",
        "masked_fill hides where it reads True: hand it what is below the k-th largest.",
        caught_by="test_top_k_keeps_the_k_likeliest",
        **of_probabilities(top_k_hidden),
    ),
    Mistake(
        "sets all but the top k to 0 after the softmax",
        "What stays must sum to 1: hide the logits with -inf before the softmax, or divide by the sum afterwards.",
        caught_by="test_they_are_probabilities",
        **of_probabilities(k_after_softmax),
    ),
    Mistake(
        "sets hidden logits to 0",
        "A logit of 0 still gets exp(0) = 1 before it is normalised: only -inf gets none.",
        caught_by="test_top_k_keeps_the_k_likeliest",
        **of_probabilities(hidden_is_0),
    ),
    Mistake(
        "crashes where top_k is more than there are tokens",
        "There are no more than v tokens to keep: min(top_k, v).",
        caught_by="test_they_are_probabilities",
        **of_probabilities(k_too_large_crashes),
    ),
    Mistake(
        "hides by the first text's k-th largest in all texts",
        "Each row has a k-th largest of its own: keep the axis, values[:, -1:].",
        caught_by="test_top_k_keeps_the_k_likeliest",
        **of_probabilities(k_of_the_first_row),
    ),
    Mistake(
        "ignores top_k",
        "Where top_k is given, all but the k largest logits become -inf before the softmax.",
        caught_by="test_top_k_keeps_the_k_likeliest",
        **of_probabilities(k_ignored),
    ),
    Mistake(
        "hides logits in the caller's tensor",
        "logits[…] = -inf changes the caller's tensor: masked_fill makes a new one.",
        caught_by="test_the_logits_are_left_as_they_are",
        **of_probabilities(hidden_in_place),
    ),
    Mistake(
        "divides the caller's logits in place",
        "logits /= temperature changes the caller's tensor: write logits / temperature.",
        caught_by="test_the_logits_are_left_as_they_are",
        **of_probabilities(divided_in_place),
    ),
    Mistake(
        "lets the texts of the batch compete",
        "The softmax runs over the vocabulary, the last axis.",
        caught_by="test_they_are_probabilities",
        **of_probabilities(softmax_over_texts),
    ),
    Mistake(
        "overflows where logits are large",
        "exp(1000) is infinite: use torch.softmax, which takes off the largest logit first.",
        caught_by="test_temperature_divides_the_logits",
        **of_probabilities(overflows),
    ),
    Mistake(
        "shows the model the whole text, however long",
        "Crop what the model sees, text[:, -context:]: it was trained on windows, and its positions end at max_len.",
        caught_by="test_the_model_sees_the_end_of_the_text",
        generate=writer(see=lambda text, context, prompt: text),
    ),
    Mistake(
        "shows the model the beginning of the text, not its end",
        "The last tokens matter for the next one: text[:, -context:], not text[:, :context].",
        caught_by="test_the_model_sees_the_end_of_the_text",
        generate=writer(see=lambda text, context, prompt: text[:, :context]),
    ),
    Mistake(
        "shows the model one token too few",
        "The model may see `context` tokens: text[:, -context:].",
        caught_by="test_the_model_sees_the_end_of_the_text",
        generate=writer(see=lambda text, context, prompt: text[:, -max(1, context - 1) :]),
    ),
    Mistake(
        "shows the model the prompt each time, and never what was written",
        "Append each new token to the text, and show the model the text: it must read what it wrote.",
        caught_by="test_the_model_sees_the_end_of_the_text",
        generate=writer(see=lambda text, context, prompt: prompt[:, -context:]),
    ),
    Mistake(
        "shows the model the last token alone",
        "A model without a cache needs its context each time: text[:, -context:].",
        caught_by="test_the_model_sees_the_end_of_the_text",
        generate=writer(see=lambda text, context, prompt: text[:, -1:]),
    ),
    Mistake(
        "draws from the first position",
        "The last position predicts the token that is not written yet: logits[:, -1].",
        caught_by="test_a_token_is_drawn_from_the_last_position",
        generate=writer(at=lambda logits: logits[:, 0]),
    ),
    Mistake(
        "draws from the average over the positions",
        "Only the last position has seen all of the text: logits[:, -1].",
        caught_by="test_a_token_is_drawn_from_the_last_position",
        generate=writer(at=lambda logits: logits.mean(1)),
    ),
    Mistake(
        "does not hand the temperature on",
        "generate has a temperature so that next_probabilities gets it.",
        caught_by="test_a_token_is_drawn_from_the_last_position",
        generate=writer(hand_on=lambda temperature, top_k: (1.0, top_k)),
    ),
    Mistake(
        "does not hand top_k on",
        "generate has a top_k so that next_probabilities gets it.",
        caught_by="test_a_token_is_drawn_from_the_last_position",
        generate=writer(hand_on=lambda temperature, top_k: (temperature, None)),
    ),
    Mistake(
        "always takes the most probable token",
        "Draw from the probabilities, draw(probabilities): without chance, a text goes round in circles soon.",
        caught_by="test_tokens_are_as_frequent_as_they_are_probable",
        generate=writer(pick=lambda draw, p: p.argmax(-1)),
    ),
    Mistake(
        "draws by itself, and never calls draw",
        "Use the argument: draw(probabilities) returns a token for each row.",
        caught_by="test_the_prompt_and_what_was_drawn",
        generate=writer(pick=lambda draw, p: sample(p)),
    ),
    Mistake(
        "gives every text of the batch the first one's token",
        "draw returns a token for each row: append all of them, [:, None], not the first alone.",
        caught_by="test_tokens_are_as_frequent_as_they_are_probable",
        generate=writer(pick=lambda draw, p: draw(p)[:1].expand(len(p))),
    ),
    Mistake(
        "writes new tokens in front of the text",
        "The new token comes behind the text: torch.cat([text, new], dim=1).",
        caught_by="test_the_prompt_and_what_was_drawn",
        generate=writer(join=lambda text, new: torch.cat([new[:, None], text], dim=1)),
    ),
    Mistake(
        "crops the text itself to the context",
        "Crop what the model sees and keep the text: `text = text[:, -context:]` throws its beginning away.",
        caught_by="test_the_prompt_and_what_was_drawn",
        generate=writer(keep=lambda text, context: text[:, -context:]),
    ),
    Mistake(
        "returns the new tokens without the prompt",
        "The prompt belongs to the text that is returned.",
        caught_by="test_the_prompt_and_what_was_drawn",
        generate=writer(result=lambda text, prompt: text[:, prompt.shape[1] :]),
    ),
    Mistake(
        "writes in training mode",
        "Keep what was given around the loop: in training mode dropout garbles what the model says.",
        caught_by="test_eval_mode_and_no_gradients",
        generate=writer(eval_mode=False),
    ),
    Mistake(
        "leaves the model in eval mode",
        "Keep what was given around the loop: model.train(was_training) puts the mode back.",
        caught_by="test_eval_mode_and_no_gradients",
        generate=writer(back=False),
    ),
    Mistake(
        "keeps gradients that nobody asks for",
        "Keep @torch.no_grad() above generate: each new token would hang on the graphs of all before it.",
        caught_by="test_eval_mode_and_no_gradients",
        generate=writer(gradients=True),
    ),
)


def by_scatter(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    values, ids = torch.topk(logits, logits.shape[-1] if top_k is None else min(top_k, logits.shape[-1]))
    return torch.zeros_like(logits).scatter_(-1, ids, (values / temperature).softmax(-1))


def renormalised(logits, temperature=1.0, top_k=None):
    check(temperature, top_k)
    if temperature == 0:
        return greedy(logits)
    p = (logits / temperature).softmax(-1) * kept(logits, top_k)
    return p / p.sum(-1, keepdim=True)


def append_to_a_buffer(model, prompt, n_new, *, temperature=1.0, top_k=None, context=None, draw=sample):
    context = context or model.max_len
    was, n = model.training, prompt.shape[1]
    text = torch.empty(len(prompt), n + n_new, dtype=prompt.dtype)
    text[:, :n] = prompt
    model.eval()
    with torch.inference_mode():
        for end in range(n, n + n_new):
            last = model(text[:, max(0, end - context) : end])[:, -1, :]
            text[:, end] = draw(right(last, temperature, top_k))
    model.train(was)
    return text


VARIANTS = (
    Variant("the top k scattered back to their places", next_probabilities=by_scatter, generate=writer(by_scatter)),
    Variant("softmax first, then the top k normalised again", next_probabilities=renormalised),
    Variant("the temperature before the top k", next_probabilities=k_of_the_scaled),
    Variant("a text of full length that is filled", generate=append_to_a_buffer),
)


class Reader(nn.Module):
    """A small model with a context; it keeps what it saw, and how it was run."""

    max_len = 5

    def __init__(self, seed):
        super().__init__()
        self.embedding, self.decoder = nn.Embedding(6, 4), nn.Linear(4, 6)
        self.lengths, self.modes, self.gradients = [], set(), set()
        fill_parameters(self.double(), seed)

    def forward(self, ids):
        self.lengths.append(ids.shape[1])
        self.modes.add(self.training)
        self.gradients.add(torch.is_grad_enabled() and not torch.is_inference_mode_enabled())
        fading = 0.7 ** torch.arange(ids.shape[1], dtype=torch.float64)
        x = (self.embedding(ids) * fading.flip(0)[:, None]).cumsum(dim=1)
        return self.decoder(3 * x if self.training else 2 * x)


def observe(answer, seed):
    """All kinds of temperature and top_k, ties at temperature 0, large logits; texts short and long; settled draws."""
    source = torch.Generator().manual_seed(seed)
    temperature, top_k = (1.0, 0.5, 2.0, 0.0)[seed % 4], (None, 2, 1, 3, 99)[seed % 5]
    b = (2, 1, 3)[seed % 3]
    logits = (1.0, 1.0, 1000.0)[seed % 3] * torch.randn(b, 6, generator=source, dtype=torch.float64)
    if temperature == 0 and seed % 8 == 7:
        logits = logits.round()
    model = Reader(seed).train(seed % 2 == 0)
    prompt = torch.randint(6, (b, (3, 1, 7)[seed // 3 % 3]), generator=source)
    table = torch.randint(6, (4, b), generator=source)

    def write(start):
        drawn = []

        def draw(probabilities):
            drawn.append(probabilities.clone())
            return table[len(drawn) - 1]

        options = {"temperature": temperature, "top_k": top_k, "context": (2, None, 4)[seed % 3]}
        own_draw = {} if temperature == 0 and seed % 8 == 3 else {"draw": draw}
        return {
            "text": answer.generate(model, start, 4, **options, **own_draw),
            "drawn": drawn,
            "lengths": model.lengths,
            "modes": [sorted(model.modes), sorted(model.gradients), model.training],
        }

    torch.manual_seed(seed)  # for an answer that draws by itself
    return {
        # Detached: nobody takes gradients of what is drawn from.
        "next_probabilities": behaviour(lambda x: answer.next_probabilities(x.detach(), temperature, top_k), logits),
        "generate": behaviour(write, prompt),
    }
