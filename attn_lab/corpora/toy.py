"""A small synthetic language whose entropy per token is known exactly: a loss below it is a leak.

A sentence names a subject and a bystander, two different animals, in either order of phrases, and then what the subject
does and no other animal would do:

    the dog near the cat barks .
    near the cat the dog growls .

The verb fits the subject, which is one word back or four: a model that cannot attend that far does not know it.
"""

import math
import random
from itertools import permutations

from attn_lab.corpora.corpus import Corpus, build
from attn_lab.corpora.tokenizers import Tokenizer

VERBS = {
    "cat": ("purrs", "meows"),
    "dog": ("barks", "growls"),
    "cow": ("moos", "grazes"),
    "duck": ("quacks", "paddles"),
    "horse": ("neighs", "gallops"),
    "owl": ("hoots", "stares"),
    "frog": ("croaks", "leaps"),
    "bee": ("buzzes", "hums"),
}

SENTENCES = tuple(
    f"{phrases} {verb} ."
    for subject, bystander in permutations(VERBS, 2)
    for phrases in (f"the {subject} near the {bystander}", f"near the {bystander} the {subject}")
    for verb in VERBS[subject]
)

LENGTH = 7  # tokens in every sentence

ENTROPY_FLOOR = math.log(len(SENTENCES)) / LENGTH
"""Nats per token. All sentences are equally probable and equally long, so this is the true process's -log p per token
not only in expectation but on every text of whole sentences."""

_SIZES = {"train": 3000, "valid": 300, "test": 300}


def load(tokenizer: str | Tokenizer | None = None) -> Corpus:
    r"""The toy corpus: 3,000, 300 and 300 sentences, drawn independently from `SENTENCES` with a fixed seed.

    How far below the floor chance may take a model: for a model q that sees only the past, the expectation of
    $q(text)/p(text)$ is 1, so by Markov's inequality its summed loss on a text of whole sentences that it was not
    trained or chosen on lies $t$ nats or more below the floor's sum with a probability of at most $e^{-t}$. On the
    2,100 tokens of test, 0.005 nats per token below the floor has a probability below 3 in 100,000. Rows that divide
    the 300 sentences (batch 10, say) keep this true: the token of a row that is not scored costs less than the mean.

    Raises:
        ValueError: a tokenizer other than the language's own, basic_english, which makes words of the sentences.
    """
    if tokenizer not in (None, "basic_english"):
        raise ValueError(f"the corpus 'toy' has a tokenizer of its own, 'basic_english'; got {tokenizer!r}")
    draw = random.Random(20170612)
    texts = {
        # random() is the one method whose numbers Python keeps from version to version.
        split: [SENTENCES[int(draw.random() * len(SENTENCES))] for _ in range(size)]
        for split, size in _SIZES.items()
    }
    return build("toy", texts, tokenizer, entropy_floor=ENTROPY_FLOOR)
