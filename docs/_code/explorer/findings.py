"""Things to look for in the explorer, each with its numbers: they are worked out while the page is built."""

import json
import math
from collections.abc import Sequence
from html import escape

import torch
from torch import Tensor

from attn_lab import masks
from attn_lab.attending import HeadSummary
from attn_lab.attending.heads import entropy
from attn_lab.scaled_dot_product import masked_softmax
from explorer.model import RECIPE, about, scores_of
from explorer.sentences import FAR, LAST, NEAR, SENTENCES, TWO, UNMET
from explorer.trades import best, finders, on_word, right_verb, summaries


def findings() -> str:
    """All of them, as the page has them."""
    return "\n\n".join([_far(), _near(), _two(), _cut(), _wide(), _temperature(), _window(), _future(), _unmet()])


def weights_of(sentence: int, head: tuple[int, int], mask: Tensor | None = None, temperature: float = 1.0) -> Tensor:
    """A head's weights over a sentence, (n n); the mask is causal by default."""
    scores = scores_of(SENTENCES[sentence])[head[0] - 1][head[1] - 1]
    return masked_softmax(scores / temperature, masks.causal(len(scores)) if mask is None else mask)


def _far() -> str:
    share = on_word("the", 1)[:, best()[0] - 1, best()[1] - 1]
    return _finding(
        "Whose verb?",
        "“the dog near the cat …”: what comes next must be what a dog does. At <em>cat</em>, head "
        f"{_name(best())} puts {weights_of(FAR, best())[LAST, 1]:.2f} of its weight on <em>dog</em>, three words back. "
        f"Over all {len(share)} such phrases it puts {share.mean():.2f} on the subject in the mean, "
        f"{share.min():.2f} at the least.",
        sentence=FAR,
        query=LAST,
    )


def _near() -> str:
    share = on_word("near", LAST)[:, best()[0] - 1, best()[1] - 1]
    return _finding(
        "The other order",
        "“near the dog the cat …”: now the cat itself is the subject. The same head stays at <em>cat</em>, with "
        f"{weights_of(NEAR, best())[LAST, LAST]:.2f}; over all {len(share)} phrases {share.mean():.2f}, at the least "
        f"{share.min():.2f}. So it does not look at a place, it looks for the subject.",
        sentence=NEAR,
        query=LAST,
    )


def _two() -> str:
    words, weights = SENTENCES[TWO].split(), weights_of(TWO, best())
    query = 7 + LAST
    return _finding(
        "A sentence before",
        f"Two sentences, with the same animals. At <em>{words[query]}</em> in the second, the first sentence gets "
        f"{weights[query, :7].sum():.2f} of the weight in all, though it names the animals too; <em>{words[8]}</em> of "
        f"the second gets {weights[query, 8]:.2f}.",
        sentence=TWO,
        query=query,
    )


def seeker() -> tuple[int, int]:
    """The head of the first layer that looks most at the word "near" from the last word of "the … near the …"."""
    return 1, 1 + int(on_word("the", 2).mean(dim=0)[0].argmax())


def cuts() -> list[tuple[str, Sequence[tuple[int, int]]]]:
    """What the experiment cuts out: a name, and heads as (layer, head) from 1."""
    return [
        ("nothing", []),
        (f"{_name(seeker())}, which looks at <em>near</em>", [seeker()]),
        ("all of layer 1", [(1, head + 1) for head in range(RECIPE.nhead)]),
        (f"{_name(best())}, the head above", [best()]),
        (f"{' and '.join(map(_name, finders()))}, all that look for the subject", finders()),
    ]


def _cut() -> str:
    near = on_word("the", 2)[:, 0, seeker()[1] - 1]
    question = _finding(
        "A map is a question",
        f"How does it know which animal is the subject? Head {_name(seeker())} seems to tell: from the last word of "
        f"“the … near the …” it puts {near.mean():.2f} of its weight on <em>near</em>. Now cut heads out, that is, set "
        "to zero what they found, and see how much probability is left for the two verbs that fit:",
        sentence=FAR,
        query=LAST,
        head=seeker(),
    )
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{right_verb("the", cut):.2f}</td>'
        f"<td>{right_verb('near', cut):.2f}</td></tr>"
        for name, cut in cuts()
    )
    names = "".join(
        f'<th scope="col">{name}</th>' for name in ("cut out", "the dog near the cat …", "near the dog the cat …")
    )
    answer = (
        "<p>The head with the telling map is hardly missed: the others of its layer know enough without it. Of the "
        "heads that look for the subject one can stand in for another, to a part. And in the other order the model "
        "needs them less, since there the last word itself is the subject. None of this is in a map.</p>"
    )
    return f"{question}\n\n<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>\n\n{answer}"


def _wide() -> str:
    widest = max(summaries(), key=lambda head: head.entropy / head.uniform)
    narrowest = min(summaries(), key=lambda head: head.entropy / head.uniform)
    return _finding(
        "Wide and narrow",
        "Entropy says how widely a head looks. Over windows of the validation text head "
        f"{_name(_place(widest))} has {widest.entropy:.2f} nats, {widest.entropy / widest.uniform:.0%} of what even "
        f"weights would have; head {_name(_place(narrowest))} has {narrowest.entropy:.2f}, "
        f"{narrowest.entropy / narrowest.uniform:.0%}. (The explorer's last table is about the sentence that you see.)",
        sentence=FAR,
        query=6,
        head=_place(widest),
    )


def _temperature() -> str:
    cold, own, hot = (entropy(weights_of(FAR, best(), temperature=t))[LAST].item() for t in (0.1, 1.0, 5.0))
    return _finding(
        "Cold and hot",
        f"At temperature 5 the head that was so sure has an entropy of {hot:.2f} nats at <em>cat</em>; at 1 it is "
        f"{own:.2f}, at 0.1 {cold:.2f}. It cannot be more than ln 5 = {math.log(5):.2f}: five words alike.",
        sentence=FAR,
        query=LAST,
        temperature=5,
    )


def _window() -> str:
    window = 3
    words, sees = SENTENCES[FAR].split(), weights_of(FAR, best(), masks.sliding_window(7, window))[LAST]
    return _finding(
        "Too short a window",
        f"With a window of {window}, <em>cat</em> no longer sees <em>dog</em>. Its weights still sum to 1: "
        f"<em>{words[int(sees.argmax())]}</em> gets {sees.max():.2f}. A softmax cannot say “nothing here”.",
        sentence=FAR,
        query=LAST,
        mask="window",
        window=window,
    )


def ahead(head: HeadSummary) -> float:
    """The share of the weight on later words without a mask, the mean over the queries that have some."""
    weights = weights_of(FAR, _place(head), torch.ones(7, 7, dtype=torch.bool))
    return weights.triu(1).sum(dim=-1)[:-1].mean().item()


def _future() -> str:
    most = max(summaries(), key=ahead)
    return _finding(
        "Without the mask",
        f"Take the causal mask away, and head {_name(_place(most))} puts {ahead(most):.2f} of its weight on words that "
        "are still to come. Those scores mean nothing: in training they were masked, so nothing told them what to be.",
        sentence=FAR,
        query=2,
        mask="none",
        head=_place(most),
    )


def _unmet() -> str:
    words, weights = SENTENCES[UNMET].split(), weights_of(UNMET, best())
    query = words.index("bee")
    animals = ", ".join(f"<em>{words[k]}</em> {weights[query, k]:.2f}" for k in (1, 4, query))
    return _finding(
        "A sentence that it never met",
        f"The language has no sentence with three animals. At <em>bee</em> the head gives {animals}. What would you "
        "have wished, and what would tell you whether the model had understood?",
        sentence=UNMET,
        query=query,
    )


def the_model() -> str:
    """What the model is and where it comes from."""
    told = about()
    return (
        f"{RECIPE.nlayers} layers of {RECIPE.nhead} heads, each {RECIPE.d_model // RECIPE.nhead} wide: the paper's "
        "model as in the recipe `quick`, smaller, trained on the corpus `toy` by\n\n"
        f"```bash\n{told['command']}\n```\n\n"
        f"({told['made_with']}). Its loss on the test text is {told['loss']:.3f} nats per token; the entropy of the "
        f"language is {told['floor']:.3f}, and no model can do better. The weights are in the repository, in half "
        "precision, so the page shows the same heads wherever it is built. "
        f"Licence: {told['licence']}."
    )


def _finding(title: str, text: str, *, head: tuple[int, int] | None = None, **state: object) -> str:
    layer, number = head or best()
    wanted = escape(json.dumps({"layer": layer, "head": number, **state}))
    button = f"<button type=\"button\" hidden data-try='{wanted}'>Show it</button>"
    return f"<p>{button}\n<strong>{title}{'' if title.endswith('?') else '.'}</strong> {text}</p>"


def _place(head: HeadSummary) -> tuple[int, int]:
    return head.layer, head.head


def _name(head: tuple[int, int]) -> str:
    return f"{head[0]}.{head[1]}"
