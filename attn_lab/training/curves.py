"""The loss curves of a run as a picture."""

import math

from attn_lab.training.baselines import read_baselines
from attn_lab.training.pictures import FLOOR, KNESER_NEY, MODEL, UNIGRAM, picture
from attn_lab.training.run_folder import RunFolder


def plot_curves(run: RunFolder) -> None:
    """curves.png: loss against steps, training and validation, with perplexity on the right-hand axis."""
    train, valid = run.metrics("train"), run.metrics("valid")
    if not train:
        return
    config = run.read_config()
    protocol = config["protocol"]
    lines = [("unigram", protocol["unigram_loss"]["valid"], UNIGRAM)]
    lines += [(model, losses["valid"], KNESER_NEY) for model, losses in read_baselines(run).items()]
    if protocol["entropy_floor"] is not None:
        lines.append(("the language's entropy", protocol["entropy_floor"], FLOOR))
    with picture(run.curves_file) as figure:
        axes = figure.add_subplot()
        steps, losses = zip(*((m["step"], m["loss"]) for m in train))
        axes.plot(steps, losses, color="0.75", lw=0.8, label="training, each point up to 20 steps")
        if valid:
            steps, losses = zip(*((m["step"], m["loss"]) for m in valid))
            axes.plot(steps, losses, "o-", color=MODEL, label="validation")
            step, loss = min(zip(steps, losses), key=lambda point: point[1])
            axes.annotate(f"{math.exp(loss):.1f}", (step, loss), (0, 8), textcoords="offset points", ha="center")
        for label, loss, colour in lines:
            axes.axhline(loss, color=colour, ls="--", lw=1, label=label)
        title = f"{protocol['corpus']}, recipe {config['recipe']['name']}"
        axes.set(xlabel="step", ylabel="loss, nats per token", title=title)
        axes.set_xlim(0)
        perplexities = axes.secondary_yaxis("right", functions=(lambda x: x, lambda x: x))
        perplexities.set_ylabel("perplexity")
        perplexities.yaxis.set_major_formatter(lambda loss, _: f"{math.exp(min(loss, 30)):,.0f}")
        axes.legend(frameon=False)
