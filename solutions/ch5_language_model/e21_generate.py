"""Generating text: the model says how probable each next token is, one is drawn, and the model reads on with it.

To write: `next_probabilities`, and the loop of `generate`. Given: the signatures, the errors, `sample`, which draws,
and what `generate` does around its loop (eval mode, no gradients). Not allowed: attn_lab's `sample` and `generate`.
"""

import torch
from torch import Tensor


def next_probabilities(logits: Tensor, temperature: float = 1.0, top_k: int | None = None) -> Tensor:
    """softmax(logits / temperature) over the `top_k` most probable tokens; all others have the probability 0.

    Args:
        logits: (b v), for each text the scores of all tokens; they are left as they are.
        temperature: below 1 the probable tokens become more so, above 1 less so. 0 is the limit: the most probable
            token has the probability 1, and if several are equally probable, the first of them.
        top_k: how many tokens are kept; None, or more than there are: all. If several tokens tie for the last place,
            any of them may stay, and all may.

    Returns:
        (b v); each row sums to 1.

    Raises:
        ValueError: temperature is negative, or top_k is below 1.
    """
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError(f"expected temperature >= 0 and top_k >= 1 or None; got {temperature} and {top_k}")
    # answer: greedy at temperature 0; else hide all but the top k, divide, softmax
    # Nothing can be divided by 0. What the softmax comes to, the colder it gets: all for the largest.
    if temperature == 0:
        chosen = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter(-1, chosen, 1.0)

    # As with a mask in attention: hidden before the softmax, so that the probabilities that stay sum to 1.
    if top_k is not None:
        k = min(top_k, logits.shape[-1])
        smallest_kept = logits.topk(k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest_kept, -torch.inf)

    # Before the softmax, too: it is the scores' distances that temperature stretches or shrinks.
    return torch.softmax(logits / temperature, dim=-1)
    # end of answer


def sample(probabilities: Tensor) -> Tensor:
    """Of each row (b v) one token, drawn with these probabilities: (b)."""
    return torch.multinomial(probabilities, num_samples=1)[:, 0]


@torch.no_grad()
def generate(
    model,
    prompt: Tensor,
    n_new: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    context: int | None = None,
    draw=sample,
) -> Tensor:
    """The prompt, and behind it `n_new` tokens, each drawn from what the model makes of the text so far.

    Args:
        model: from ids (b n) to logits (b n v), at each position of the token after it.
        prompt: (b n), at least one token; it is left as it is.
        n_new: how many tokens to write.
        temperature, top_k: as in `next_probabilities`.
        context: the model is shown the last `context` tokens of the text, or all if there are fewer. None: as many as
            it can take, model.max_len.
        draw: from probabilities (b v) to one id for each row, (b).

    Returns:
        (b n + n_new)

    Raises:
        ValueError: the prompt is empty, n_new is negative, or context is below 1.
    """
    context = model.max_len if context is None else context
    if prompt.shape[1] < 1 or n_new < 0 or context < 1:
        raise ValueError(
            f"expected a prompt, n_new >= 0 and context >= 1; got {prompt.shape[1]} tokens, {n_new} and {context}"
        )
    was_training = model.training
    model.eval()
    try:
        # answer: n_new times: read the end, take the last position, draw, append
        text = prompt
        for _ in range(n_new):
            # What the model sees is cut, and the text is not: it comes back whole.
            logits = model(text[:, -context:])

            # Every position predicts its own successor; only the last one's is not written yet.
            probabilities = next_probabilities(logits[:, -1], temperature, top_k)
            text = torch.cat([text, draw(probabilities)[:, None]], dim=1)
        return text
        # end of answer
    finally:
        model.train(was_training)
