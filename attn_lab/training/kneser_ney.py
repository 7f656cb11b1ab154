"""The n-gram model that a neural one must beat: interpolated modified Kneser-Ney, counted with sorted arrays."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int64
from torch import Tensor

Ids = Int64[np.ndarray, " _"]
Numbers = Float64[np.ndarray, " _"]


class KneserNey:
    r"""The probability of a token after the `order - 1` before it, estimated from a text.

    $$P_k(w \mid h) = \frac{\max(c_k(hw) - D_k(c_k(hw)), 0)}{\sum_v c_k(hv)} + \gamma_k(h)\, P_{k-1}(w \mid h')$$

    A longer context takes a discount off each of its counts and leaves that mass, $\gamma_k(h)$, to the context without
    its first token, $h'$; the empty context leaves its own to the uniform distribution over the vocabulary. At the
    highest order $c$ counts occurrences, below it the different tokens that stand before $hw$: "Francisco" is frequent,
    and yet follows one word. There are three discounts at each order, for counts of 1, of 2, and of 3 or more.

    The text is one stream, as a language model reads it: contexts reach across the ends of sentences, "<eos>" is a
    token like any other, and only the first tokens of a text have shorter contexts.

    Args:
        train: the text to count.
        n_types: the size of the vocabulary; the probabilities of its tokens add up to 1 after every context.
        order: the longest n-gram that is counted.

    Raises:
        ValueError: the text is empty, has ids outside the vocabulary, or the order is below 1.

    Cost: O(order n log n) time for n tokens, a few seconds for a million; O(order n) memory.

    Source: Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling", section 3.
    """

    def __init__(self, train: Int[Tensor, " n"], n_types: int, order: int = 5) -> None:
        if order < 1:
            raise ValueError(f"the order must be at least 1; got {order}")
        if not len(train):
            raise ValueError("expected a text to count; got one without tokens")
        self.n_types = n_types
        self.levels = _levels(self._checked(train), n_types, order)

    def losses(self, text: Int[Tensor, " m"]) -> Float64[np.ndarray, " m"]:
        """-log p of each token of a text after those before it, in nats.

        Raises:
            ValueError: the text has ids outside the vocabulary.
        """
        words = self._checked(text)
        p = np.full(len(words), 1 / self.n_types)
        context = np.zeros(len(words), dtype=np.int64)  # of each token: the empty one's number
        for level in self.levels:
            gram = level.find(context * self.n_types + words)
            p = np.where(context < 0, 1.0, level.left_over[context]) * p + np.where(gram < 0, 0.0, level.share[gram])
            context = np.concatenate([[-1], gram[:-1]])[: len(words)]  # the n-gram that ends one token earlier
        return -np.log(p)

    def _checked(self, text: Int[Tensor, " n"]) -> Ids:
        words = text.cpu().numpy().astype(np.int64)
        outside = words[(words < 0) | (words >= self.n_types)]
        if len(outside):
            raise ValueError(f"token ids must lie between 0 and {self.n_types - 1}, the vocabulary's; got {outside[0]}")
        return words


@dataclass(frozen=True)
class Level:
    """The different n-grams of one length. Each has a number, its place in `keys`: its context's, times v, + its token.

    `share` is what a token has of its context's mass after the discount, `left_over` is by context: what the discounts
    took, which goes to the level below.
    """

    keys: Ids
    share: Numbers
    left_over: Numbers

    def find(self, keys: Ids) -> Ids:
        """The numbers of n-grams, -1 where the text had none such."""
        place = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)


def _levels(words: Ids, n_types: int, order: int) -> list[Level]:
    """From the single tokens up to the longest n-grams."""
    grams = np.zeros(len(words) + 1, dtype=np.int64)  # the number of the n-gram that ends before each token; n = 0
    keys, counts = [np.zeros(1, dtype=np.int64)], []
    for n in range(1, min(order, len(words)) + 1):
        different, first, longer = np.unique(
            grams[:-1] * n_types + words[n - 1 :], return_index=True, return_inverse=True
        )
        # `grams[1:]` are their suffixes. So many different n-grams end in each: its count, where it is not the longest.
        counts.append(np.bincount(grams[1:][first], minlength=len(keys[-1])))
        keys.append(different)
        grams = longer
    counts.append(np.bincount(grams))
    return [_level(keys[n], len(keys[n - 1]), counts[n], n_types) for n in range(1, len(keys))]


def _level(keys: Ids, n_contexts: int, counts: Ids, n_types: int) -> Level:
    context, taken = keys // n_types, discounts(counts)[counts.clip(max=3)]
    total, left_over = (np.bincount(context, weights=x, minlength=n_contexts) for x in (counts, taken))
    seen = total > 0  # a context at the very beginning has no token before it, so no count below the highest order
    left_over = np.divide(left_over, total, out=np.ones(n_contexts), where=seen)
    share = np.divide(counts - taken, total[context], out=np.zeros(len(keys)), where=seen[context])
    return Level(keys, share, left_over)


def discounts(counts: Ids) -> Numbers:
    """What is taken off a count of 0, 1, 2, and 3 or more, from how many counts there are of 1, 2, 3 and 4.

    Half the count where the text is too small for the formula, which then gives no number between 0 and the count.

    Source: Chen and Goodman 1998, equation 26.
    """
    n = np.bincount(counts.clip(max=5), minlength=6).astype(float)
    found = np.array([0, 0.5, 1, 1.5])
    if n[1] > 0:
        y = n[1] / (n[1] + 2 * n[2])
        for k in (1, 2, 3):
            exact = k - (k + 1) * y * n[k + 1] / n[k] if n[k] else 0.0
            found[k] = exact if 0 < exact < k else found[k]
    return found
