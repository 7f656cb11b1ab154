"""Wrong answers to e13 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch
import torch.nn.functional as F
from torch import nn

from attn_lab.checks.building import block_of
from attn_lab.checks.cases import EncoderCase
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("torch.nn.TransformerEncoderLayer", "torch.nn.TransformerEncoder", "attn_lab.EncoderBlock")


class Block(nn.Module):
    """The parts as they are given, and the two sub-layers of a right answer."""

    def __init__(
        self, attn, d_model, dim_feedforward, layer_norm_eps=1e-5, dropout=0.1, *, norm_first=False, activation=F.relu
    ):
        super().__init__()
        if norm_first:
            raise ValueError("for norm_first=True take PreNormBlock (e14)")
        self.attn = attn
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.activation = activation

    def attend(self, x, mask):
        return self.dropout(self.attn(x, x, x, mask))

    def feed_forward(self, x):
        return self.dropout(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def forward(self, x, mask=None):
        x = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.feed_forward(x))


class NormBeforeSum(Block):
    def forward(self, x, mask=None):
        x = x + self.norm1(self.attend(x, mask))
        return x + self.norm2(self.feed_forward(x))


class NormBeforeFirstSum(Block):
    def forward(self, x, mask=None):
        x = x + self.norm1(self.attend(x, mask))
        return self.norm2(x + self.feed_forward(x))


class NormBeforeSecondSum(Block):
    def forward(self, x, mask=None):
        x = self.norm1(x + self.attend(x, mask))
        return x + self.norm2(self.feed_forward(x))


class PreNorm(Block):
    def forward(self, x, mask=None):
        y = self.norm1(x)
        x = x + self.dropout(self.attn(y, y, y, mask))
        return x + self.feed_forward(self.norm2(x))


class NoResiduals(Block):
    def forward(self, x, mask=None):
        return self.norm2(self.feed_forward(self.norm1(self.attend(x, mask))))


class NoResidualAroundAttention(Block):
    def forward(self, x, mask=None):
        x = self.norm1(self.attend(x, mask))
        return self.norm2(x + self.feed_forward(x))


class NoResidualAroundFeedForward(Block):
    def forward(self, x, mask=None):
        return self.norm2(self.feed_forward(self.norm1(x + self.attend(x, mask))))


class ResidualFromTheStart(Block):
    def forward(self, x, mask=None):
        y = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.feed_forward(y))


class FeedForwardReadsTheStart(Block):
    def forward(self, x, mask=None):
        y = self.norm1(x + self.attend(x, mask))
        return self.norm2(y + self.feed_forward(x))


class SideBySide(Block):
    """Both sub-layers read x, and there is one sum."""

    def forward(self, x, mask=None):
        return self.norm2(self.norm1(x + self.attend(x, mask) + self.feed_forward(x)))


class FeedForwardFirst(Block):
    def forward(self, x, mask=None):
        x = self.norm2(x + self.feed_forward(x))
        return self.norm1(x + self.attend(x, mask))


class OneNormTwice(Block):
    def forward(self, x, mask=None):
        x = self.norm1(x + self.attend(x, mask))
        return self.norm1(x + self.feed_forward(x))


class NormsSwapped(Block):
    def forward(self, x, mask=None):
        x = self.norm2(x + self.attend(x, mask))
        return self.norm1(x + self.feed_forward(x))


class NoFirstNorm(Block):
    def forward(self, x, mask=None):
        x = x + self.attend(x, mask)
        return self.norm2(x + self.feed_forward(x))


class NoSecondNorm(Block):
    def forward(self, x, mask=None):
        x = self.norm1(x + self.attend(x, mask))
        return x + self.feed_forward(x)


class NoFeedForward(Block):
    def forward(self, x, mask=None):
        return self.norm2(self.norm1(x + self.attend(x, mask)))


class ActivationBehind(Block):
    def feed_forward(self, x):
        return self.dropout(self.activation(self.linear2(self.dropout(self.linear1(x)))))


class ActivationTwice(Block):
    def feed_forward(self, x):
        return self.dropout(self.activation(self.linear2(self.dropout(self.activation(self.linear1(x))))))


class NoActivation(Block):
    def feed_forward(self, x):
        return self.dropout(self.linear2(self.dropout(self.linear1(x))))


class AlwaysReLU(Block):
    def feed_forward(self, x):
        return self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x)))))


class MaskDropped(Block):
    def attend(self, x, mask):
        return self.dropout(self.attn(x, x, x))


class MaskInverted(Block):
    def attend(self, x, mask):
        return super().attend(x, None if mask is None else ~mask)


class HeadAxisInserted(Block):
    def attend(self, x, mask):
        return super().attend(x, None if mask is None else mask.unsqueeze(1))


class InPlace(Block):
    def forward(self, x, mask=None):
        x += self.attend(x, mask)
        x = self.norm1(x)
        return self.norm2(x + self.feed_forward(x))


class SecondSumInPlace(Block):
    """linear1 keeps its input for the gradient, and finds it changed."""

    def forward(self, x, mask=None):
        x = self.norm1(x + self.attend(x, mask))
        x += self.feed_forward(x)
        return self.norm2(x)


class NeverDrops(Block):
    def forward(self, x, mask=None):
        x = self.norm1(x + self.attn(x, x, x, mask))
        return self.norm2(x + self.linear2(self.activation(self.linear1(x))))


class NoDropoutBehindAttention(Block):
    def attend(self, x, mask):
        return self.attn(x, x, x, mask)


class NoDropoutInside(Block):
    def feed_forward(self, x):
        return self.dropout(self.linear2(self.activation(self.linear1(x))))


class DropsBeforeActivation(Block):
    """Right with ReLU, which lets a factor pass."""

    def feed_forward(self, x):
        return self.dropout(self.linear2(self.activation(self.dropout(self.linear1(x)))))


class NoDropoutBehindFeedForward(Block):
    def feed_forward(self, x):
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class DropsTheSum(Block):
    def forward(self, x, mask=None):
        x = self.norm1(self.dropout(x + self.attn(x, x, x, mask)))
        hidden = self.dropout(self.activation(self.linear1(x)))
        return self.norm2(self.dropout(x + self.linear2(hidden)))


class DropsWhatIsNormalised(Block):
    def forward(self, x, mask=None):
        x = self.dropout(self.norm1(x + self.attn(x, x, x, mask)))
        hidden = self.dropout(self.activation(self.linear1(x)))
        return self.dropout(self.norm2(x + self.linear2(hidden)))


class DropsInEval(Block):
    def drop(self, x):
        return F.dropout(x, self.dropout.p)

    def attend(self, x, mask):
        return self.drop(self.attn(x, x, x, mask))

    def feed_forward(self, x):
        return self.drop(self.linear2(self.drop(self.activation(self.linear1(x)))))


class Detached(Block):
    def forward(self, x, mask=None):
        return super().forward(x, mask).detach()


class AttendedTwice(Block):
    """x = attn(x), and then there is no x left to be added."""

    def forward(self, x, mask=None):
        x = self.attend(x, mask)
        x = self.norm1(x + x)
        return self.norm2(x + self.feed_forward(x))


MISTAKES = (
    Mistake(
        "normalises what a sub-layer found before it is added",
        "Add first, then normalise the sum: norm1(x + attended).",
        caught_by="test_what_leaves_is_normalised",
        EncoderBlock=NormBeforeSum,
    ),
    Mistake(
        "normalises what the attention found before it is added",
        "Add first, then normalise the sum: norm1(x + attended).",
        caught_by="test_the_input_has_a_way_around",
        EncoderBlock=NormBeforeFirstSum,
    ),
    Mistake(
        "normalises what the feed-forward network found before it is added",
        "Add first, then normalise the sum: norm2(x + thought).",
        caught_by="test_what_leaves_is_normalised",
        EncoderBlock=NormBeforeSecondSum,
    ),
    Mistake(
        "is the pre-norm block",
        "That is e14's block: in the paper's the norm comes behind the sum, norm1(x + attended), not before attention.",
        caught_by="test_what_leaves_is_normalised",
        EncoderBlock=PreNorm,
    ),
    Mistake(
        "has no residual connections",
        "Add to each sub-layer's output what went in: norm1(x + attended), and norm2(x + thought).",
        caught_by="test_the_input_has_a_way_around",
        EncoderBlock=NoResiduals,
    ),
    Mistake(
        "has no residual around the attention",
        "Add x to what the attention found before you normalise: norm1(x + attended).",
        caught_by="test_the_input_has_a_way_around",
        EncoderBlock=NoResidualAroundAttention,
    ),
    Mistake(
        "adds what the attention found to itself, not to x",
        "Keep both under names of their own: norm1(x + attended), where x is still what came into the block.",
        caught_by="test_the_input_has_a_way_around",
        EncoderBlock=AttendedTwice,
    ),
    Mistake(
        "has no residual around the feed-forward network",
        "The second sub-layer has a way around it like the first: norm2(x + thought).",
        caught_by="test_the_input_has_a_way_around",
        EncoderBlock=NoResidualAroundFeedForward,
    ),
    Mistake(
        "adds the block's input, not norm1's output, to what the feed-forward network found",
        "Each residual goes around its own sub-layer: the second one starts from what norm1 returned.",
        caught_by="test_the_input_has_a_way_around",
        EncoderBlock=ResidualFromTheStart,
    ),
    Mistake(
        "feeds the block's input to the feed-forward network",
        "The second sub-layer works on what the first one made: on norm1's output, not on the x from the start.",
        caught_by="test_equals_pytorch",
        EncoderBlock=FeedForwardReadsTheStart,
    ),
    Mistake(
        "runs attention and feed-forward network side by side, with one sum",
        "One after the other: the feed-forward network works on what attention and norm1 have made of x.",
        caught_by="test_equals_pytorch",
        EncoderBlock=SideBySide,
    ),
    Mistake(
        "lets the feed-forward network go first",
        "Attention with norm1 comes first, the feed-forward network with norm2 second.",
        caught_by="test_the_attention_is_asked_once",
        EncoderBlock=FeedForwardFirst,
    ),
    Mistake(
        "uses norm1 twice",
        "Each sum has a norm with weights of its own: norm1 for the first, norm2 for the second.",
        caught_by="test_the_input_has_a_way_around",
        EncoderBlock=OneNormTwice,
    ),
    Mistake(
        "swaps norm1 and norm2",
        "norm1 belongs behind the attention, norm2 behind the feed-forward network.",
        caught_by="test_the_input_has_a_way_around",
        EncoderBlock=NormsSwapped,
    ),
    Mistake(
        "does not normalise behind the attention",
        "Each of the two sums is normalised: the first by norm1, before the feed-forward network sees it.",
        caught_by="test_the_input_has_a_way_around",
        EncoderBlock=NoFirstNorm,
    ),
    Mistake(
        "does not normalise behind the feed-forward network",
        "Each of the two sums is normalised: return norm2(x + thought).",
        caught_by="test_what_leaves_is_normalised",
        EncoderBlock=NoSecondNorm,
    ),
    Mistake(
        "leaves out the feed-forward network",
        "A block has two sub-layers: behind attention and norm1 come linear1, activation and linear2.",
        caught_by="test_equals_pytorch",
        EncoderBlock=NoFeedForward,
    ),
    Mistake(
        "applies the activation behind the second linear layer",
        "The activation stands between the two layers: without it there, they are no more than one.",
        caught_by="test_equals_pytorch",
        EncoderBlock=ActivationBehind,
    ),
    Mistake(
        "applies the activation behind both linear layers",
        "Only between the two: behind linear2, a ReLU would let a block add but never subtract.",
        caught_by="test_equals_pytorch",
        EncoderBlock=ActivationTwice,
    ),
    Mistake(
        "leaves out the activation",
        "linear2(activation(linear1(x))): without the activation, two linear layers are no more than one.",
        caught_by="test_equals_pytorch",
        EncoderBlock=NoActivation,
    ),
    Mistake(
        "takes ReLU whatever activation it was given",
        "Call self.activation: ReLU is only its default.",
        caught_by="test_the_activation_is_the_one_given",
        EncoderBlock=AlwaysReLU,
    ),
    Mistake(
        "does not hand the mask to the attention",
        "Call self.attn(x, x, x, mask): without it, every position sees everything, the future and the padding too.",
        caught_by="test_the_attention_is_asked_once",
        EncoderBlock=MaskDropped,
    ),
    Mistake(
        "inserts an axis for the heads into the mask",
        "Hand the mask on as it is: heads are the attention's business, and it knows what each kind of mask needs.",
        caught_by="test_the_attention_is_asked_once",
        EncoderBlock=HeadAxisInserted,
    ),
    Mistake(
        "turns the mask round before the attention gets it",
        "Hand the mask on as it is: True means that the query may attend, in the block and in the attention.",
        caught_by="test_the_attention_is_asked_once",
        EncoderBlock=MaskInverted,
    ),
    Mistake(
        "changes x in place",
        "x is the caller's: write x = x + attended, which makes a new tensor, not x += attended.",
        caught_by="test_the_inputs_are_left_as_they_are",
        EncoderBlock=InPlace,
    ),
    Mistake(
        "makes the second sum in place",
        "linear1 needs the x that it read for its gradient, and x += … has changed it by then: write x = x + ….",
        caught_by="test_equals_pytorch",
        EncoderBlock=SecondSumInPlace,
    ),
    Mistake(
        "never drops",
        "Dropout has three places: on what the attention found, behind the activation, and on what linear2 returns.",
        caught_by="test_drops_where_pytorch_drops",
        EncoderBlock=NeverDrops,
    ),
    Mistake(
        "does not drop what the attention found",
        "self.dropout acts on each sub-layer's output before it is added, on the attention's too.",
        caught_by="test_drops_where_pytorch_drops",
        EncoderBlock=NoDropoutBehindAttention,
    ),
    Mistake(
        "does not drop between the two linear layers",
        "self.dropout acts in a third place, behind the activation and before linear2.",
        caught_by="test_drops_where_pytorch_drops",
        EncoderBlock=NoDropoutInside,
    ),
    Mistake(
        "drops before the activation",
        "The third dropout acts on what the activation returned: only for ReLU is it the same before and behind.",
        caught_by="test_drops_where_pytorch_drops",
        EncoderBlock=DropsBeforeActivation,
    ),
    Mistake(
        "does not drop what the feed-forward network found",
        "self.dropout acts on each sub-layer's output before it is added, on linear2's too.",
        caught_by="test_drops_where_pytorch_drops",
        EncoderBlock=NoDropoutBehindFeedForward,
    ),
    Mistake(
        "drops the sums",
        "Drop what is added, not the sum: x + dropout(attended), so that the way around stays whole.",
        caught_by="test_drops_where_pytorch_drops",
        EncoderBlock=DropsTheSum,
    ),
    Mistake(
        "drops behind the norms",
        "Drop what a sub-layer found, before the sum and the norm: norm1(x + dropout(attended)).",
        caught_by="test_drops_where_pytorch_drops",
        EncoderBlock=DropsWhatIsNormalised,
    ),
    Mistake(
        "drops in evaluation too",
        "Call self.dropout, which knows whether it is in training; F.dropout(x, p) always drops.",
        caught_by="test_dropout_is_for_training",
        EncoderBlock=DropsInEval,
    ),
    Mistake(
        "cuts the output off from its inputs",
        "Without a gradient nothing is learned: no detach() and no .data on the way.",
        caught_by="test_equals_pytorch",
        EncoderBlock=Detached,
    ),
)


class OneExpression(Block):
    def forward(self, x, mask=None):
        x = self.norm1(self.dropout(self.attn(query=x, key=x, value=x, mask=mask)) + x)
        return self.norm2(self.dropout(self.linear2(self.dropout(self.activation(self.linear1(x))))) + x)


class Functional(Block):
    def drop(self, x):
        return F.dropout(x, self.dropout.p, self.training)

    def forward(self, x, mask=None):
        y = x + self.drop(self.attn(x, x, x, mask))
        y = F.layer_norm(y, y.shape[-1:], self.norm1.weight, self.norm1.bias, self.norm1.eps)
        hidden = self.drop(self.activation(y @ self.linear1.weight.T + self.linear1.bias))
        y = y + self.drop(hidden @ self.linear2.weight.T + self.linear2.bias)
        return F.layer_norm(y, y.shape[-1:], self.norm2.weight, self.norm2.bias, self.norm2.eps)


class SumInPlace(Block):
    """What the block made itself may be changed in place."""

    def forward(self, x, mask=None):
        attended = self.attend(x, mask)
        attended = attended.add_(x)
        x = self.norm1(attended)
        return self.norm2(self.feed_forward(x).add_(x))


VARIANTS = (
    Variant("the two sub-layers as methods", EncoderBlock=Block),
    Variant("one expression each, the attention called by name", EncoderBlock=OneExpression),
    Variant("functions in place of modules", EncoderBlock=Functional),
    Variant("sums in place, in tensors of its own", EncoderBlock=SumInPlace),
)


def observe(answer, seed):
    """Sizes equal or not, each kind of mask or none, two activations, dropout in its modes or none."""
    torch.default_generator.manual_seed(seed)  # for an answer that draws for itself
    b, h, n, d, d_hid = ((2, 3, 5, 2, 7), (2, 2, 4, 2, 4), (1, 2, 3, 3, 8), (3, 1, 3, 4, 5), (2, 1, 1, 4, 6))[seed % 5]
    mask = ("i j", None, "b 1 1 j", "b i j", None, "b h i j")[seed % 6]
    activation = ("relu", "gelu")[seed % 3 == 2]
    dropout, training = ((0.5, True), (0.0, True), (0.5, False), (0.5, True))[seed % 4]
    case = EncoderCase(b, h, n, d, d_hid, 1, False, activation, mask, (0.3, 0.6)[seed % 2], False, True, seed)
    block = fill_parameters(block_of(case, dropout, answer.EncoderBlock).double(), seed)
    with FixedDropout():
        return {"forward": behaviour(block.train(training), *case.tensors()), "training": block.training}
