"""The loss curves of a run as a picture."""

import math

from attn_lab.files import atomic
from attn_lab.training.baselines import REFERENCES
from attn_lab.training.run_folder import RunFolder


def plot_curves(run: RunFolder) -> None:
    """curves.png: loss against steps, training and validation, with perplexity on the right-hand axis."""
    train, valid = run.metrics("train"), run.metrics("valid")
    if not train:
        return
    from matplotlib.figure import Figure  # heavy; and without pyplot, so no window and no global state

    config = run.read_config()
    protocol = config["protocol"]
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(
        [m["step"] for m in train],
        [m["loss"] for m in train],
        color="0.75",
        lw=0.8,
        label="training, each point up to 20 steps",
    )
    if valid:
        axes.plot([m["step"] for m in valid], [m["loss"] for m in valid], "o-", color="C0", label="validation")
        best = min(valid, key=lambda m: m["loss"])
        axes.annotate(
            f"{math.exp(best['loss']):.1f}",
            (best["step"], best["loss"]),
            textcoords="offset points",
            xytext=(0, 8),
            ha="center",
        )
    lines = [("unigram", protocol["unigram_loss"]["valid"])]
    if protocol["entropy_floor"] is not None:
        lines.append(("the language's entropy", protocol["entropy_floor"]))
    references = REFERENCES.get((protocol["corpus"], protocol["tokenizer"]), ())
    lines += [(f"{r.model} (test)", math.log(r.perplexity)) for r in references[:1]]
    for k, (label, loss) in enumerate(lines):
        axes.axhline(loss, color=f"C{k + 1}", ls="--", lw=1, label=label)
    axes.set(
        xlabel="step", ylabel="loss, nats per token", title=f"{protocol['corpus']}, recipe {config['recipe']['name']}"
    )
    axes.set_xlim(0)
    perplexities = axes.secondary_yaxis("right", functions=(lambda x: x, lambda x: x))
    perplexities.set_ylabel("perplexity")
    perplexities.yaxis.set_major_formatter(lambda loss, _: f"{math.exp(min(loss, 30)):,.0f}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with atomic(run.curves_file) as temporary:
        figure.savefig(temporary, format="png")
