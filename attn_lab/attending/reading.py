"""A text under a model's eyes: its tokens, what each looks at in each head, and the heads in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_lab.attending.heads import HeadSummary, head_summaries
from attn_lab.attending.summary import spread_windows
from attn_lab.attending.weights import attention_weights
from attn_lab.corpora import TOKENIZERS, Vocabulary

N_WINDOWS = 16


@dataclass(frozen=True)
class Reading:
    """A text as a model read it.

    Args:
        tokens: the words as they were given, cut to the model's window.
        known: of each, whether the vocabulary has it; the others were read as "<unk>".
        given: how many tokens the text had before it was cut.
        weights: of each layer, (h n n).
        heads: the summaries, over this text and the windows of another.
        n_windows: how many windows of the other text there were.
        window: their length, and the longest text, in tokens.
    """

    tokens: list[str]
    known: list[bool]
    given: int
    weights: list[Float[Tensor, "h n n"]]
    heads: list[HeadSummary]
    n_windows: int
    window: int


def tokens_of(text: str, tokenizer: str) -> list[str]:
    """The text's tokens, line by line.

    Raises:
        ValueError: there is none, or the tokenizer is unknown.
    """
    tokenize = TOKENIZERS[tokenizer]
    tokens = [token for line in text.splitlines() if line.strip() for token in tokenize(line)]
    if not tokens:
        raise ValueError(f"the text must have at least one token; got {text!r}")
    return tokens


def read(
    model: nn.Module,
    vocabulary: Vocabulary,
    tokens: Sequence[str],
    window: int,
    others: Int[Tensor, " n"] | None = None,
) -> Reading:
    """What a model's heads look at in a text.

    Args:
        model: see `attention_weights`.
        vocabulary: the model's.
        tokens: the text; what lies beyond the window is left out.
        window: the longest text that the model was trained on, in tokens.
        others: ids of another text, such as the validation text; some windows of it join the summaries of the heads.

    Raises:
        NoWeights: the model has no place where its weights can be seen.
        ValueError: there is no token.
    """
    if not tokens:
        raise ValueError("the text must have at least one token; got none")
    shown = list(tokens[:window])
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    weights, _ = attention_weights(model, vocabulary.encode(shown)[None].to(device))
    batches = [weights]
    if others is not None and len(others):
        windows = spread_windows(rearrange(others, "n -> 1 n"), window, N_WINDOWS)
        batches.append(attention_weights(model, windows.to(device))[0])
    return Reading(
        tokens=shown,
        known=[token in vocabulary for token in shown],
        given=len(tokens),
        weights=[layer[0] for layer in weights],
        heads=head_summaries(batches),
        n_windows=sum(len(batch[0]) for batch in batches[1:]),
        window=window,
    )
