"""One loss in several units: only the total, in nats, is the same whatever the text was cut into."""

import math


def per_raw_word(loss: float, tokens: int, raw_words: int) -> float:
    """Nats per word of the raw text, from nats per token: comparable across tokenizers.

    The total loss, in nats, over the words between spaces.
    """
    return loss * tokens / raw_words


def converted(perplexity: float, tokens: int, other_tokens: int) -> float:
    r"""The perplexity of the same total loss, counted over another number of tokens.

    $$\mathrm{PPL}' = \exp\left(\frac{N}{N'} \ln \mathrm{PPL}\right)$$
    """
    return math.exp(math.log(perplexity) * tokens / other_tokens)
