"""Wrong answers to e12 that have been seen, each with what it does and what a teacher would say; and right variants."""

import warnings

import torch
from torch import nn

from attn_lab.checks.cases import fill, generator
from attn_lab.checks.setting import EXACT
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.LayerNorm",
    "torch.nn.GroupNorm",
    "torch.nn.BatchNorm1d",
    "torch.nn.InstanceNorm1d",
    "torch.nn.functional.layer_norm",
    "torch.nn.functional.group_norm",
    "torch.nn.functional.batch_norm",
    "torch.nn.functional.instance_norm",
    "torch.layer_norm",
    "torch.native_layer_norm",
    "torch.group_norm",
    "torch.native_group_norm",
    "torch.batch_norm",
    "torch.native_batch_norm",
    "torch.instance_norm",
)


class Norm(nn.Module):
    """A right answer, in steps that can go wrong one at a time."""

    def __init__(self, d_model, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.start(d_model)

    def start(self, d_model):
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))

    def axes(self, x):
        return (-1,)

    def mean(self, x):
        return x.mean(self.axes(x), keepdim=True)

    def variance(self, x):
        return x.var(self.axes(x), correction=0, keepdim=True)

    def spread(self, x):
        return (self.variance(x) + self.eps).sqrt()

    def affine(self, x):
        return x * self.weight + self.bias

    def forward(self, x):
        return self.affine((x - self.mean(x)) / self.spread(x))


class Unbiased(Norm):
    def variance(self, x):
        return x.var(-1, keepdim=True)


class EpsOutside(Norm):
    def spread(self, x):
        return x.std(-1, correction=0, keepdim=True) + self.eps


class UnbiasedEpsOutside(Norm):
    def spread(self, x):
        return x.std(-1, keepdim=True) + self.eps


class NoEps(Norm):
    def spread(self, x):
        return self.variance(x).sqrt()


class EpsSquared(Norm):
    def spread(self, x):
        return (self.variance(x) + self.eps**2).sqrt()


class EpsFixed(Norm):
    def spread(self, x):
        return (self.variance(x) + 1e-5).sqrt()


class EpsAtLeast(Norm):
    def spread(self, x):
        return self.variance(x).sqrt().clamp_min(self.eps)


class AllAxes(Norm):
    def axes(self, x):
        return tuple(range(x.ndim))


class AllButTheBatch(Norm):
    def axes(self, x):
        return tuple(range(1, x.ndim)) or (-1,)


class OverTheBatch(Norm):
    def axes(self, x):
        return (0,)


class OverPositions(Norm):
    """Each feature over all positions, as a batch norm does."""

    def axes(self, x):
        return tuple(range(x.ndim - 1)) or (0,)


class BatchNorm(OverPositions):
    """With averages that are remembered."""

    def start(self, d_model):
        super().start(d_model)
        self.register_buffer("running_mean", torch.zeros(d_model))
        self.register_buffer("running_var", torch.ones(d_model))

    def forward(self, x):
        if not self.training:
            return self.affine((x - self.running_mean) / (self.running_var + self.eps).sqrt())
        with torch.no_grad():
            self.running_mean.lerp_(self.mean(x).flatten(), 0.1)
            self.running_var.lerp_(self.variance(x).flatten(), 0.1)
        return super().forward(x)


class NoKeepdim(Norm):
    def mean(self, x):
        return x.mean(-1)

    def variance(self, x):
        return x.var(-1, correction=0)


class NoMean(Norm):
    """RMSNorm."""

    def mean(self, x):
        return torch.zeros_like(x)

    def variance(self, x):
        return (x**2).mean(-1, keepdim=True)


class MeanKept(Norm):
    def mean(self, x):
        return torch.zeros_like(x)


class SquaresAboutZero(Norm):
    def variance(self, x):
        return (x**2).mean(-1, keepdim=True)


class MeanOfSquaresLessSquareOfMean(Norm):
    def variance(self, x):
        return (x**2).mean(-1, keepdim=True) - x.mean(-1, keepdim=True) ** 2


class ByVariance(Norm):
    def spread(self, x):
        return self.variance(x) + self.eps


class Multiplied(Norm):
    def forward(self, x):
        return self.affine((x - self.mean(x)) * self.spread(x))


class NoAffine(Norm):
    def start(self, d_model):
        pass

    def affine(self, x):
        return x


class AffineUnused(Norm):
    def affine(self, x):
        return x


class NoBias(Norm):
    def affine(self, x):
        return x * self.weight


class WeightFirst(Norm):
    def forward(self, x):
        x = x * self.weight + self.bias
        return (x - self.mean(x)) / self.spread(x)


class BiasFirst(Norm):
    def affine(self, x):
        return (x + self.bias) * self.weight


class WeightFromZero(Norm):
    def start(self, d_model):
        self.weight = nn.Parameter(torch.zeros(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))


class PlainTensors(Norm):
    def start(self, d_model):
        self.weight, self.bias = torch.ones(d_model), torch.zeros(d_model)


class OneNumber(Norm):
    """One weight and one bias for all features."""

    def start(self, d_model):
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))


class StatisticsDetached(Norm):
    def mean(self, x):
        return super().mean(x).detach()

    def spread(self, x):
        return super().spread(x).detach()


class Detached(Norm):
    def forward(self, x):
        return super().forward(x).detach()


class InPlace(Norm):
    def forward(self, x):
        spread = self.spread(x)
        x -= self.mean(x)
        return self.affine(x / spread)


class RootOfDeviation(Norm):
    def spread(self, x):
        return (self.variance(x).sqrt() + self.eps).sqrt()


class VarianceSquared(Norm):
    def spread(self, x):
        return (self.variance(x) + self.eps) ** 2


MISTAKES = (
    Mistake(
        "divides the sum of squares by d_model - 1",
        "The features are all there are, not a sample: divide by d_model, as var(..., correction=0) does.",
        caught_by="test_mean_0_and_variance_1",
        LayerNorm=Unbiased,
    ),
    Mistake(
        "adds eps outside the root",
        "eps belongs inside, √(variance + eps): outside it leaves the root an infinite slope where the variance is 0.",
        caught_by="test_equal_features_do_no_harm",
        LayerNorm=EpsOutside,
    ),
    Mistake(
        "adds eps to a standard deviation that divides by d_model - 1",
        "x.std() alone is not it: the root holds the mean of the squares, over d_model, and eps.",
        caught_by="test_equals_pytorch",
        LayerNorm=UnbiasedEpsOutside,
    ),
    Mistake(
        "leaves out eps",
        "Where all features are equal the variance is 0, and 0 / 0 is NaN: add eps to it before the root.",
        caught_by="test_equal_features_do_no_harm",
        LayerNorm=NoEps,
    ),
    Mistake(
        "adds the square of eps",
        "eps is added to the variance as it is: it is small enough without being squared.",
        caught_by="test_equals_pytorch",
        LayerNorm=EpsSquared,
    ),
    Mistake(
        "takes 1e-5 whatever eps says",
        "Keep the eps that you are given and use it: self.eps.",
        caught_by="test_equals_pytorch",
        LayerNorm=EpsFixed,
    ),
    Mistake(
        "uses eps as the least standard deviation",
        "eps is added, always, inside the root; it is no threshold.",
        caught_by="test_equals_pytorch",
        LayerNorm=EpsAtLeast,
    ),
    Mistake(
        "takes mean and variance over all axes",
        "Each position has a mean and a variance of its own: dim=-1, with keepdim=True.",
        caught_by="test_each_position_is_on_its_own",
        LayerNorm=AllAxes,
    ),
    Mistake(
        "takes mean and variance over all axes but the first",
        "A whole text is too much: each position of it has a mean and a variance of its own, over dim=-1.",
        caught_by="test_each_position_is_on_its_own",
        LayerNorm=AllButTheBatch,
    ),
    Mistake(
        "takes mean and variance over the first axis",
        "The features are the last axis: dim=-1, not dim=0, else the texts of a batch depend on each other.",
        caught_by="test_each_position_is_on_its_own",
        LayerNorm=OverTheBatch,
    ),
    Mistake(
        "normalises each feature over all positions, as a batch norm does",
        "A layer norm looks at one position and all its features; a batch norm at one feature and all positions.",
        caught_by="test_each_position_is_on_its_own",
        LayerNorm=OverPositions,
    ),
    Mistake(
        "is a batch norm, which remembers averages for evaluation",
        "A layer norm needs no memory: each position is normalised by its own features, in training and evaluation.",
        caught_by="test_training_and_evaluation_are_alike",
        LayerNorm=BatchNorm,
    ),
    Mistake(
        "forgets keepdim",
        "Mean and variance must keep an axis of size 1 where the features were, mean(dim=-1, keepdim=True), so that "
        "they broadcast over the features and not over the positions.",
        caught_by="test_the_shape_stays",
        LayerNorm=NoKeepdim,
    ),
    Mistake(
        "leaves out the mean altogether, as RMSNorm does",
        "Subtract the mean of the features first, and take the variance about it.",
        caught_by="test_mean_0_and_variance_1",
        LayerNorm=NoMean,
    ),
    Mistake(
        "divides by the standard deviation, but does not subtract the mean",
        "The numerator is x - mean.",
        caught_by="test_mean_0_and_variance_1",
        LayerNorm=MeanKept,
    ),
    Mistake(
        "takes the mean of x², not of (x - mean)²",
        "A variance is about the mean: subtract it before you square.",
        caught_by="test_mean_0_and_variance_1",
        LayerNorm=SquaresAboutZero,
    ),
    Mistake(
        "computes the variance as the mean of the squares less the square of the mean",
        "That is true on paper, but two large numbers that nearly cancel leave no digits: average (x - mean)².",
        caught_by="test_a_large_mean_does_no_harm",
        LayerNorm=MeanOfSquaresLessSquareOfMean,
    ),
    Mistake(
        "divides by the variance",
        "Divide by its root, the standard deviation: only then is the new variance 1.",
        caught_by="test_mean_0_and_variance_1",
        LayerNorm=ByVariance,
    ),
    Mistake(
        "takes the root of the standard deviation",
        "One root is enough: √(variance + eps) is the standard deviation already.",
        caught_by="test_mean_0_and_variance_1",
        LayerNorm=RootOfDeviation,
    ),
    Mistake(
        "squares the variance where it should take the root",
        "Divide by √(variance + eps): ** 0.5, not ** 2.",
        caught_by="test_mean_0_and_variance_1",
        LayerNorm=VarianceSquared,
    ),
    Mistake(
        "multiplies by the standard deviation",
        "Divide by it: wide features shall become narrow.",
        caught_by="test_mean_0_and_variance_1",
        LayerNorm=Multiplied,
    ),
    Mistake(
        "has no parameters",
        "There are two: self.weight = nn.Parameter(torch.ones(d_model)), and self.bias of zeros.",
        caught_by="test_weight_and_bias_begin_as_ones_and_zeros",
        LayerNorm=NoAffine,
    ),
    Mistake(
        "has weight and bias, but does not use them",
        "The last step is normalised * weight + bias.",
        caught_by="test_equals_pytorch",
        LayerNorm=AffineUnused,
    ),
    Mistake(
        "does not add the bias",
        "The last step is normalised * weight + bias.",
        caught_by="test_equals_pytorch",
        LayerNorm=NoBias,
    ),
    Mistake(
        "applies weight and bias before it normalises",
        "First normalise, then weight and bias: before, the normalising undoes most of them.",
        caught_by="test_equals_pytorch",
        LayerNorm=WeightFirst,
    ),
    Mistake(
        "adds the bias before it multiplies by the weight",
        "The weight comes first: normalised * weight + bias.",
        caught_by="test_equals_pytorch",
        LayerNorm=BiasFirst,
    ),
    Mistake(
        "begins with a weight of zeros",
        "The weight begins with ones, so that a new layer norm only normalises; zeros would let nothing through.",
        caught_by="test_weight_and_bias_begin_as_ones_and_zeros",
        LayerNorm=WeightFromZero,
    ),
    Mistake(
        "keeps weight and bias as plain tensors",
        "Wrap them in nn.Parameter: else no optimiser sees them and no state_dict saves them.",
        caught_by="test_weight_and_bias_begin_as_ones_and_zeros",
        LayerNorm=PlainTensors,
    ),
    Mistake(
        "has one weight and one bias for all features",
        "Each feature has its own: torch.ones(d_model) and torch.zeros(d_model).",
        caught_by="test_weight_and_bias_begin_as_ones_and_zeros",
        LayerNorm=OneNumber,
    ),
    Mistake(
        "treats mean and variance as constants in the gradient",
        "They depend on x, and the gradient must flow through them: no detach() and no torch.no_grad().",
        caught_by="test_equals_pytorch",
        LayerNorm=StatisticsDetached,
    ),
    Mistake(
        "cuts the output off from its inputs",
        "Without a gradient nothing is learned: no detach(), no .data, no NumPy on the way.",
        caught_by="test_equals_pytorch",
        LayerNorm=Detached,
    ),
    Mistake(
        "changes x in place",
        "x is the caller's: write x = x - mean, which makes a new tensor, not x -= mean.",
        caught_by="test_the_input_is_left_as_it_is",
        LayerNorm=InPlace,
    ),
)


class ByReciprocalRoot(Norm):
    def forward(self, x):
        centred = x - self.mean(x)
        return torch.addcmul(self.bias, centred * torch.rsqrt(self.variance(x) + self.eps), self.weight)


class ByPower(Norm):
    def forward(self, x):
        centred = x - x.sum(-1, keepdim=True) / x.shape[-1]
        squares = torch.linalg.vecdot(centred, centred)[..., None] / x.shape[-1]
        return self.weight * centred * (squares + self.eps) ** -0.5 + self.bias


class ByEinsum(Norm):
    def forward(self, x):
        centred = x - torch.einsum("...d->...", x)[..., None] / x.shape[-1]
        variance = torch.einsum("...d,...d->...", centred, centred)[..., None] / x.shape[-1]
        return self.affine(centred / torch.sqrt(variance + self.eps))


class ByDeviation(Norm):
    def variance(self, x):
        return x.std(-1, correction=0, keepdim=True) ** 2


VARIANTS = (
    Variant("torch.var without correction", LayerNorm=Norm),
    Variant("the reciprocal of the root", LayerNorm=ByReciprocalRoot),
    Variant("a dot product for the squares, and a power for the root", LayerNorm=ByPower),
    Variant("einsum", LayerNorm=ByEinsum),
    Variant("the standard deviation squared", LayerNorm=ByDeviation),
)


def observe(answer, seed):
    """One to four axes, equal or not; one feature, equal features, tiny ones, a large mean; eps large and small."""
    torch.default_generator.manual_seed(seed)  # for an answer that draws for itself
    shape = ((2, 3, 4), (3, 3, 3), (1, 5, 4), (4, 3), (5,), (2, 3, 2, 4), (2, 3, 1), (3, 2, 2))[seed % 8]
    module = EXACT.build(lambda: answer.LayerNorm(shape[-1], (1e-5, 0.3, 1e-5)[seed % 3]))
    start = {name: weight.detach().clone() for name, weight in module.named_parameters()}
    x = fill(generator(seed), *shape)
    if seed % 6 == 3:
        x = x[..., :1].expand(shape)
    if seed % 6 == 4:
        x = x * 3e-3
    if seed % 6 == 5 and shape[-1] > 1:
        x = x / x.std(-1, keepdim=True) + 1e6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, about the variance of a single number
        forward = behaviour(fill_parameters(module.train(seed % 4 < 2), seed), x)
    # A root of 0 has an infinite slope, and what comes of that hangs on how it was written.
    if isinstance(forward.get("gradients"), list):
        forward["gradients"] = [g if g.isfinite().all() else "not finite" for g in forward["gradients"]]
    kinds = [type(getattr(module, name, None)).__name__ for name in ("weight", "bias")]
    return {"forward": forward, "start": start, "kinds": kinds, "saved": list(module.state_dict())}
