"""One page for a browser, with everything in it: no network, no other file."""

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attn_lab.attending.heads import entropy, seen_keys
from attn_lab.attending.reading import Reading
from attn_lab.attending.summary import HEADER, table_rows
from attn_lab.files import write_text

UNIT = 1000  # weights are written, and shown, in thousandths


def write_page(path: Path, reading: Reading, *, title: str, source: str) -> None:
    """The page of a reading.

    Args:
        path: the file to write.
        reading: the text and its weights.
        title: whose heads they are.
        source: what the other text is, whose windows the summaries stand on: "the validation text of pydoc".

    Raises:
        OSError: the file cannot be written.
    """
    write_text(path, page(reading, title=title, source=source))


def page(reading: Reading, *, title: str, source: str) -> str:
    """The page's text; see `write_page`."""
    script, style = _asset("page.js"), _asset("page.css")
    return Template(_asset("page.html")).substitute(
        title=escape(_encodable(title)),
        about=escape(about(reading)),
        summaries=escape(summaries_from(reading, source)),
        table=_table(table_rows(reading.heads)),
        data=as_script(content(reading)),
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
    )


def content(reading: Reading) -> dict[str, Any]:
    """What the page's script reads: tokens and weights, and of each query its entropy and mean distance."""
    layers = [
        [_head(head, seen) for head in weights.double()]
        for weights, seen in ((layer, seen_keys(layer[None])) for layer in reading.weights)
    ]
    return {
        "unit": UNIT,
        "tokens": [[token, int(known)] for token, known in zip(reading.tokens, reading.known)],
        "layers": layers,
        "kinds": [[head.layer, head.head, head.kind] for head in reading.heads],
    }


def _head(weights: Float[Tensor, "n n"], seen: Tensor) -> dict[str, Any]:
    place = torch.arange(len(weights), dtype=weights.dtype)
    return {
        "rows": [_row(row, keys) for row, keys in zip(weights.tolist(), seen.tolist())],
        "entropy": [round(x, 2) for x in entropy(weights).tolist()],
        "distance": [round(x, 1) for x in (weights * (place[:, None] - place).abs()).sum(dim=-1).tolist()],
    }


def _row(weights: Sequence[float], seen: Sequence[bool]) -> list[int | None]:
    """Thousandths, None where the query sees nothing; the end of a row that sees nothing is left out."""
    row = [round(weight * UNIT) if here else None for weight, here in zip(weights, seen)]
    while row and row[-1] is None:
        row.pop()
    return row


def about(reading: Reading) -> str:
    """How much of the text is shown, and which of its words the model does not know."""
    n, unknown = len(reading.tokens), reading.known.count(False)
    sentences = [f"{n} token{'s' * (n != 1)}."]
    if reading.given > n:
        sentences = [
            f"The first {n} of {reading.given} tokens: the model was trained on windows of {reading.window}, and knows "
            "no later position."
        ]
    if unknown:
        sentences.append(f"Marked with ?: {unknown} not in the vocabulary, where the model read <unk>.")
    return " ".join(sentences)


def summaries_from(reading: Reading, source: str) -> str:
    """What text the summaries of the heads stand on."""
    if reading.n_windows:
        return f"Over this text and {reading.n_windows} windows of {source}, of {reading.window} tokens at most."
    return f"From this text alone ({source}): with so few words, much looks positional that is not."


def as_script(value: object) -> str:
    """JSON that can stand inside a script element, whatever text is in it: no `<` is left that could end it."""
    text = json.dumps(value, separators=(",", ":"))  # ASCII: also the line ends that JSON has and JavaScript had not
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in HEADER)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _asset(name: str) -> str:
    return files("attn_lab.attending").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the page's policy lets run: this very text, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _encodable(text: str) -> str:
    """The text without halves of characters, such as a file name may have."""
    return text.encode("utf-8", "replace").decode("utf-8")
