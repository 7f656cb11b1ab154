"""The run beside other models, under the same protocol."""

import math
from typing import Any

from attn_lab.tables import Row, markdown_table
from attn_lab.training.baselines import read_baselines
from attn_lab.training.progress import perplexity
from attn_lab.training.published import REFERENCES
from attn_lab.training.run_folder import RunFolder
from attn_lab.training.units import per_raw_word


def comparison(run: RunFolder) -> str:
    """The section of the report."""
    config = run.read_config()
    protocol, tests = config["protocol"], run.metrics("test")
    rows: list[tuple[float, Row]] = []

    def add(model: str, loss: float, source: str) -> None:
        cells = (model, f"{perplexity(loss):.1f}", per_word(config, "test", loss), source)
        rows.append((loss, cells))

    add("unigram", protocol["unigram_loss"]["test"], "computed with this run")
    for model, losses in read_baselines(run).items():
        add(model, losses["test"], "computed with this run")
    if tests:
        add("**this run**", tests[-1]["loss"], f"{config['parameters']:,} parameters")
    if protocol["entropy_floor"] is not None:
        add("the language itself", protocol["entropy_floor"], "its exact entropy")
    for reference in REFERENCES.get((protocol["corpus"], protocol["tokenizer"]), ()):
        add(reference.model, math.log(reference.perplexity), reference.source)
    table = markdown_table(
        ("model", "test perplexity", "nats per raw word", "source"), [row for _, row in sorted(rows, reverse=True)]
    )
    tokens = ", ".join(f"{name} {n:,}" for name, n in protocol["tokens"].items())
    words = ", ".join(f"{name} {n:,}" for name, n in protocol["raw_words"].items())
    return (
        "## Beside others, under the same protocol\n\n"
        f"Protocol: corpus `{protocol['corpus']}`, tokenizer `{protocol['tokenizer']}`, {protocol['types']:,} types; "
        f"tokens: {tokens}; raw words: {words}. Windows of {config['recipe']['window']} tokens, each read without the "
        "one before it. Perplexity is exp(nats per token); it compares only within a protocol, nats per raw word also "
        f"across.\n\n{table}"
    )


def per_word(config: dict[str, Any], split: str, loss: float) -> str:
    """Nats per word of the raw text: comparable across tokenizers, which divide the text differently."""
    protocol = config["protocol"]
    return f"{per_raw_word(loss, protocol['tokens'][split], protocol['raw_words'][split]):.4f}"
