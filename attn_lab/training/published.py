"""Test perplexities that others measured, by the protocol that they hold for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A test perplexity that someone measured under the same protocol."""

    model: str
    perplexity: float
    source: str


# By (corpus, tokenizer): perplexities compare only within a protocol.
REFERENCES: dict[tuple[str, str], tuple[Reference, ...]] = {
    ("ptb", "basic_english"): (Reference("a public notebook, slightly larger model", 152.8, "its own output"),),
    ("ptb", "words_eos"): (
        Reference("LSTM 2x200, 4.65 M", 115.0, "Zaremba et al. 2014"),
        Reference("LSTM 2x650 with dropout, 20 M", 82.7, "Zaremba et al. 2014"),
        Reference("LSTM 2x1500 with dropout, 66 M", 78.4, "Zaremba et al. 2014"),
        Reference("AWD-LSTM, 24 M", 57.3, "Merity et al. 2017"),
        Reference("Transformer-XL, 24 M", 54.5, "Dai et al. 2019"),
        Reference("GPT-2 1.5B, not trained on it", 35.8, "Radford et al. 2019"),
    ),
}
