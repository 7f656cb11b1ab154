"""Repairs of e33 that hide the bug or break something else, each with what a teacher would say; and right variants."""

from copy import deepcopy
from itertools import combinations

import torch
from torch import nn

from attn_lab import EncoderBlock, MultiHeadSelfAttention
from attn_lab.checks.cases import fill, generator
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

BREAKS = "test_no_two_layers_begin_alike"
NOT_ALLOWED = ("attn_lab.TransformerEncoder", "torch.nn.TransformerEncoder")
N_PROBES = 8


def draw_anew(layer):
    for part in layer.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()


class Base(nn.Module):
    """A right encoder; what is wrong with one overrides a step."""

    def __init__(self, block, n_blocks):
        super().__init__()
        self.blocks = nn.ModuleList(self.make(block, n_blocks))

    def make(self, block, n_blocks):
        layers = [deepcopy(block) for _ in range(n_blocks)]
        for number, layer in enumerate(layers):
            self.draw(layer, number)
        return layers

    def draw(self, layer, number):
        draw_anew(layer)

    def forward(self, x, mask=None):
        for block in self.blocks:
            x = block(x, mask)
        return x


class OneBlock(Base):
    def make(self, block, n_blocks):
        return [deepcopy(block)] * n_blocks


class TheBlockItself(Base):
    def make(self, block, n_blocks):
        return [block, *super().make(block, n_blocks - 1)]


class TheBlockDrawnAnew(Base):
    def make(self, block, n_blocks):
        layers = []
        for _ in range(n_blocks):
            draw_anew(block)
            layers.append(deepcopy(block))
        return layers


class Noise(Base):
    @torch.no_grad()
    def draw(self, layer, number):
        for weight in layer.parameters():
            if weight.ndim == 2:
                weight += 1e-3 * weight.std() * torch.randn_like(weight)


class Scaled(Base):
    @torch.no_grad()
    def draw(self, layer, number):
        for weight in layer.parameters():
            weight /= 1 + number


class Signs(Base):
    @torch.no_grad()
    def draw(self, layer, number):
        for weight in layer.parameters():
            if weight.ndim == 2:
                weight *= (-1) ** number


class Rolled(Base):
    @torch.no_grad()
    def draw(self, layer, number):
        for weight in layer.parameters():
            if weight.ndim == 2:
                weight.copy_(weight.flatten().roll(7 * number).view_as(weight))


class ChildrenOnly(Base):
    def draw(self, layer, number):
        for part in layer.children():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()


class LastOnly(Base):
    def make(self, block, n_blocks):
        layers = [deepcopy(block) for _ in range(n_blocks)]
        draw_anew(layers[-1])
        return layers


class SeedForEach(Base):
    def draw(self, layer, number):
        torch.manual_seed(number)
        draw_anew(layer)


class SameSeedForEach(Base):
    def draw(self, layer, number):
        torch.manual_seed(0)
        draw_anew(layer)


class SmallNormal(Base):
    def draw(self, layer, number):
        for weight in layer.parameters():
            nn.init.normal_(weight, std=0.02)


class Xavier(Base):
    def draw(self, layer, number):
        for weight in layer.parameters():
            if weight.ndim == 2:
                nn.init.xavier_uniform_(weight)


class NoiseInTraining(Base):
    def forward(self, x, mask=None):
        for block in self.blocks:
            x = block(x + 1e-3 * torch.randn_like(x) if self.training else x, mask)
        return x


class FirstMaskOnly(Base):
    def forward(self, x, mask=None):
        for block in self.blocks:
            x, mask = block(x, mask), None
        return x


class TheBlockItselfEverywhere(Base):
    def make(self, block, n_blocks):
        return [block] * n_blocks


MISTAKES = (
    Mistake(
        "uses one block n times",
        "That is one layer, n times over: each layer needs weights of its own, so the copies were right.",
        caught_by="test_each_layer_has_weights_of_its_own",
        Encoder=OneBlock,
    ),
    Mistake(
        "uses the very block that it is given n times",
        "That is one layer, n times over, and the caller's own: each layer needs weights of its own. Keep the copies.",
        caught_by="test_each_layer_has_weights_of_its_own",
        Encoder=TheBlockItselfEverywhere,
    ),
    Mistake(
        "uses the block that it is given as the first layer",
        "The block is the caller's, who may make another stack of it: copy it, and leave it as it is.",
        caught_by="test_each_layer_has_weights_of_its_own",
        Encoder=TheBlockItself,
    ),
    Mistake(
        "draws the weights of the block that it is given anew",
        "The block is the caller's and stays as it is: draw the weights of its copies anew.",
        caught_by="test_each_layer_has_weights_of_its_own",
        Encoder=TheBlockDrawnAnew,
    ),
    Mistake(
        "adds a little noise to each copy",
        "The layers are still alike up to the noise: draw their weights, do not disturb them.",
        caught_by=BREAKS,
        Encoder=Noise,
    ),
    Mistake(
        "gives each copy another scale",
        "The layers still point the same way, and the deeper the fainter: draw their weights anew.",
        caught_by=BREAKS,
        Encoder=Scaled,
    ),
    Mistake(
        "turns the signs of every other copy",
        "The layers still have the same numbers but for their signs: draw their weights anew.",
        caught_by=BREAKS,
        Encoder=Signs,
    ),
    Mistake(
        "moves the numbers of each copy to other places",
        "The layers still have the same numbers, in another order: draw their weights anew.",
        caught_by=BREAKS,
        Encoder=Rolled,
    ),
    Mistake(
        "draws the direct children of each layer anew, and not what lies within the attention",
        "children() are the parts of the block, modules() the parts of its parts too: the attention's projections.",
        caught_by=BREAKS,
        Encoder=ChildrenOnly,
    ),
    Mistake(
        "draws the last layer anew, and no other",
        "Every layer is to begin with weights of its own: is a line outside the loop that belongs into it?",
        caught_by=BREAKS,
        Encoder=LastOnly,
    ),
    Mistake(
        "gives each layer a fixed seed",
        "Now every model begins with the same layers, whatever seed its maker chose: chance is the caller's affair.",
        caught_by="test_chance_is_the_callers",
        Encoder=SeedForEach,
    ),
    Mistake(
        "sets the same seed before each layer is drawn",
        "The same seed draws the same numbers: the layers are alike again. Draw without a seed of your own.",
        caught_by=BREAKS,
        Encoder=SameSeedForEach,
    ),
    Mistake(
        "draws every weight from a narrow normal distribution, the norms' and biases too",
        "A norm begins with ones and zeros, and a linear layer with its own spread: let each draw as its kind does.",
        caught_by="test_weights_begin_as_pytorch_draws_them",
        Encoder=SmallNormal,
    ),
    Mistake(
        "draws the matrices wider than PyTorch's layers do, by Xavier's rule for instance",
        "The layers differ now, and begin wider than the block that was asked for: let each draw as its kind does.",
        caught_by="test_weights_begin_as_pytorch_draws_them",
        Encoder=Xavier,
    ),
    Mistake(
        "adds noise between the layers in training",
        "The layers must differ, not what they are given: leave forward as it was.",
        caught_by="test_the_layers_follow_one_another",
        Encoder=NoiseInTraining,
    ),
    Mistake(
        "gives the mask to the first layer only",
        "Every layer attends, and every layer needs the mask: leave forward as it was.",
        caught_by="test_the_layers_follow_one_another",
        Encoder=FirstMaskOnly,
    ),
)


class FirstKept(Base):
    def draw(self, layer, number):
        if number:
            draw_anew(layer)


class Applied(Base):
    def make(self, block, n_blocks):
        def draw(part):
            if isinstance(part, nn.Linear | nn.LayerNorm):
                part.reset_parameters()

        return [deepcopy(block).apply(draw) for _ in range(n_blocks)]


class CopiesOfACopy(Base):
    """A copy of the block is drawn anew for each layer, and copied."""

    def make(self, block, n_blocks):
        own = deepcopy(block)
        layers = []
        for _ in range(n_blocks):
            draw_anew(own)
            layers.append(deepcopy(own))
        return layers


VARIANTS = (
    Variant("the first copy keeps its weights, the others are drawn", Encoder=FirstKept),
    Variant("by Module.apply and the layers' types", Encoder=Applied),
    Variant("copies of a copy that is drawn again and again", Encoder=CopiesOfACopy),
)


def relation(one, other):
    """What two weights have in common, in a word."""
    if one.data_ptr() == other.data_ptr():
        return "one and the same"
    if torch.equal(one, other):
        return "equal"
    both = torch.stack([one.flatten(), other.flatten()])
    correlation = torch.corrcoef(both)[0, 1].item() if min(one.numel(), both.std(dim=1).min()) > 0 else 0.0
    if one.ndim == 2 and abs(correlation) > 0.8:
        return "alike" if correlation > 0 else "opposite"
    if torch.equal(*both.abs().sort(dim=1).values):
        return "the same numbers"
    return "their own"


def spread(weight, bound):
    """In a word, how a weight was drawn."""
    largest, width = weight.abs().max().item(), weight.std().item() * 3**0.5
    if largest == 0 or weight.unique().numel() == 1:
        return f"all {weight.flatten()[0]:g}"
    return "as nn.Linear" if largest <= bound and width > 0.1 * bound else "wider" if largest > bound else "narrower"


def observe(answer, seed):
    """How the layers begin, in words, and what they compute from weights that are given."""
    d_model, n_blocks = ((12, 2), (16, 3), (12, 4))[seed % 3]

    def fresh(seed):
        torch.manual_seed(seed)
        attn = MultiHeadSelfAttention(d_model, 2)
        block = EncoderBlock(attn, d_model, d_model + 4, dropout=0.0).double()
        before = deepcopy(block)
        return before, block, answer.Encoder(block, n_blocks)

    before, block, encoder = fresh(seed)
    layers = [dict(layer.named_parameters()) for layer in encoder.blocks]
    again, other = (dict(fresh(s)[2].named_parameters()) for s in (seed, seed + 1))
    bounds = {
        name: dict(before.named_parameters())[name.replace("bias", "weight")].shape[-1] ** -0.5 for name in layers[0]
    }
    matrices = [name for name, weight in encoder.named_parameters() if weight.ndim == 2]
    words = {
        "between layers": [
            {name: relation(one[name].detach(), two[name].detach()) for name in one if one[name].ndim == 2}
            for one, two in combinations(layers, 2)
        ],
        "spread": [{name: spread(w.detach(), bounds[name]) for name, w in layer.items()} for layer in layers],
        "block": [torch.equal(*pair) for pair in zip(block.parameters(), before.parameters())],
        "block's": [weight.data_ptr() in {w.data_ptr() for w in encoder.parameters()} for weight in block.parameters()],
        "same seed": [relation(dict(encoder.named_parameters())[k].detach(), again[k].detach()) for k in matrices],
        "other seed": [relation(dict(encoder.named_parameters())[k].detach(), other[k].detach()) for k in matrices],
    }
    source = generator(seed)
    x = fill(source, 2, 5, d_model)
    mask = (None, torch.ones(5, 5, dtype=torch.bool).tril())[seed % 2]
    fill_parameters(encoder, seed).train(seed % 4 < 2)
    torch.manual_seed(seed)
    with torch.enable_grad():
        return {"words": words, "behaviour": behaviour(encoder, x, mask)}
