"""The symptoms of the bug hunts, drawn from what their programs do as a learner gets them."""

from types import ModuleType

import torch
from matplotlib.figure import Figure
from torch import Tensor

from attn_lab.course.catalogue import find
from attn_lab.course.stubs import stub
from figures.style import HIDDEN, SEEN, WEIGHTS, to_html

LINE, WARM = "#5a8f3c", "#c2571a"


def program(number: str) -> ModuleType:
    """The program of an exercise, with its bug, as a module. What it draws from now on is the same each time."""
    torch.manual_seed(0)
    exercise = find(number)
    module = ModuleType(f"hunt_{exercise.name}")
    exec(compile(stub(exercise), f"{exercise.name}.py", "exec"), module.__dict__)
    return module


def curve(name: str, epochs: list[list[float]], levels: dict[str, float], description: str, caption: str) -> str:
    """A training's losses, step by step, with the epochs apart and levels to compare them with."""
    losses = [loss for epoch in epochs for loss in epoch]
    figure = Figure(figsize=(7.4, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(losses) + 1), losses, color=SEEN, linewidth=1.3)
    start = 0
    for number, epoch in enumerate(epochs, start=1):
        if number > 1:
            axes.axvline(start + 0.5, color="#8a909c", linewidth=0.8, linestyle=":")
        axes.text(start + len(epoch) / 2, max(losses) * 1.02, f"epoch {number}", ha="center", fontsize=8.5)
        start += len(epoch)
    for (text, level), colour in zip(levels.items(), (LINE, WARM)):
        axes.axhline(level, color=colour, linewidth=1.3, linestyle="--", label=f"{text}: {level:.2f}")
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, 0.9), fontsize=8.5)
    axes.set(
        xlabel="step", ylabel="training loss, nats per word", ylim=(0, max(losses) * 1.12), xlim=(0, len(losses) + 1)
    )
    axes.spines[["top", "right"]].set_visible(False)
    return to_html(figure, name, description, caption)


def in_turn(name: str, values: list[float], labels: list[str], ylabel: str, description: str, caption: str) -> str:
    """A bar for each answer to the same question."""
    figure = Figure(figsize=(6.2, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(values)), values, color=SEEN, width=0.7)
    for k, value in enumerate(values):
        axes.text(k, value, f"{value:.2f}", ha="center", va="bottom", fontsize=8.5)
    axes.set_xticks(range(len(labels)), labels)
    axes.set(ylabel=ylabel, ylim=(0, 1.15 * max(values)))
    axes.tick_params(length=0)
    axes.spines[["top", "right"]].set_visible(False)
    return to_html(figure, name, description, caption)


def alike(name: str, likeness: Tensor, description: str, caption: str) -> str:
    """A table of correlations (layer layer): the darker the more alike."""
    n = len(likeness)
    figure = Figure(figsize=(3.6, 3.2), layout="constrained")
    axes = figure.subplots()
    image = axes.pcolormesh(likeness.numpy(), cmap=WEIGHTS, vmin=0, vmax=1, edgecolors="white", linewidth=1)
    for i in range(n):
        for j in range(n):
            colour = "white" if likeness[i, j] > 0.5 else "#1d2433"
            axes.text(j + 0.5, i + 0.5, f"{likeness[i, j]:.2f}", ha="center", va="center", fontsize=9, color=colour)
    places, labels = [k + 0.5 for k in range(n)], [str(k + 1) for k in range(n)]
    axes.set(xticks=places, xticklabels=labels, yticks=places, yticklabels=labels, xlabel="layer", ylabel="layer")
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.8)
    return to_html(figure, name, description, caption)


def side_by_side(
    name: str, wanted: dict[str, float], found: dict[str, float], unit: str, words: tuple[str, str]
) -> str:
    """What was asked for beside what was found, a pair of bars for each thing; `words`: description and caption."""
    figure = Figure(figsize=(6.2, 2.4), layout="constrained")
    axes = figure.subplots()
    places = range(len(wanted))
    axes.barh([k - 0.19 for k in places], list(wanted.values()), height=0.36, color=HIDDEN, label="expected")
    axes.barh([k + 0.19 for k in places], list(found.values()), height=0.36, color=SEEN, label="found")
    axes.set_yticks(list(places), list(wanted))
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5)
    axes.tick_params(length=0)
    axes.spines[["top", "right"]].set_visible(False)
    return to_html(figure, name, *words)
