"""Wrong answers to e14 that have been seen, each with what it does and what a teacher would say; and right variants."""

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
        self, attn, d_model, dim_feedforward, layer_norm_eps=1e-5, dropout=0.1, *, norm_first=True, activation=F.relu
    ):
        super().__init__()
        if not norm_first:
            raise ValueError("for norm_first=False take EncoderBlock (e13)")
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
        x = x + self.attend(self.norm1(x), mask)
        return x + self.feed_forward(self.norm2(x))


class PostNorm(Block):
    def forward(self, x, mask=None):
        x = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.feed_forward(x))


class ResidualsNormalised(Block):
    def forward(self, x, mask=None):
        x = self.norm1(x)
        x = x + self.attend(x, mask)
        x = self.norm2(x)
        return x + self.feed_forward(x)


class FirstResidualNormalised(Block):
    def forward(self, x, mask=None):
        x = self.norm1(x)
        x = x + self.attend(x, mask)
        return x + self.feed_forward(self.norm2(x))


class SecondResidualNormalised(Block):
    def forward(self, x, mask=None):
        x = self.norm2(x + self.attend(self.norm1(x), mask))
        return x + self.feed_forward(x)


class NormBehindSublayer(Block):
    def forward(self, x, mask=None):
        x = x + self.norm1(self.attend(x, mask))
        return x + self.norm2(self.feed_forward(x))


class QueryAlone(Block):
    def forward(self, x, mask=None):
        x = x + self.dropout(self.attn(self.norm1(x), x, x, mask))
        return x + self.feed_forward(self.norm2(x))


class NoFirstNorm(Block):
    def forward(self, x, mask=None):
        x = x + self.attend(x, mask)
        return x + self.feed_forward(self.norm2(x))


class NoSecondNorm(Block):
    def forward(self, x, mask=None):
        x = x + self.attend(self.norm1(x), mask)
        return x + self.feed_forward(x)


class OneNormTwice(Block):
    def forward(self, x, mask=None):
        x = x + self.attend(self.norm1(x), mask)
        return x + self.feed_forward(self.norm1(x))


class NormsSwapped(Block):
    def forward(self, x, mask=None):
        x = x + self.attend(self.norm2(x), mask)
        return x + self.feed_forward(self.norm1(x))


class NoResiduals(Block):
    def forward(self, x, mask=None):
        return self.feed_forward(self.norm2(self.attend(self.norm1(x), mask)))


class NoResidualAroundAttention(Block):
    def forward(self, x, mask=None):
        x = self.attend(self.norm1(x), mask)
        return x + self.feed_forward(self.norm2(x))


class NoResidualAroundFeedForward(Block):
    def forward(self, x, mask=None):
        return self.feed_forward(self.norm2(x + self.attend(self.norm1(x), mask)))


class SideBySide(Block):
    def forward(self, x, mask=None):
        return x + self.attend(self.norm1(x), mask) + self.feed_forward(self.norm2(x))


class NoActivation(Block):
    def feed_forward(self, x):
        return self.dropout(self.linear2(self.dropout(self.linear1(x))))


class AlwaysReLU(Block):
    def feed_forward(self, x):
        return self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x)))))


class MaskDropped(Block):
    def attend(self, x, mask):
        return self.dropout(self.attn(x, x, x))


class HeadAxisInserted(Block):
    def attend(self, x, mask):
        return super().attend(x, None if mask is None else mask.unsqueeze(1))


class InPlace(Block):
    def forward(self, x, mask=None):
        x += self.attend(self.norm1(x), mask)
        x += self.feed_forward(self.norm2(x))
        return x


class SecondSumInPlace(Block):
    """norm2 keeps its input for the gradient, and finds it changed."""

    def forward(self, x, mask=None):
        x = x + self.attend(self.norm1(x), mask)
        x += self.feed_forward(self.norm2(x))
        return x


class NeverDrops(Block):
    def forward(self, x, mask=None):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, mask)
        return x + self.linear2(self.activation(self.linear1(self.norm2(x))))


class NoDropoutBehindAttention(Block):
    def attend(self, x, mask):
        return self.attn(x, x, x, mask)


class NoDropoutInside(Block):
    def feed_forward(self, x):
        return self.dropout(self.linear2(self.activation(self.linear1(x))))


class DropsBeforeActivation(Block):
    def feed_forward(self, x):
        return self.dropout(self.linear2(self.activation(self.dropout(self.linear1(x)))))


class NoDropoutBehindFeedForward(Block):
    def feed_forward(self, x):
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class DropsTheSum(Block):
    def forward(self, x, mask=None):
        y = self.norm1(x)
        x = self.dropout(x + self.attn(y, y, y, mask))
        hidden = self.dropout(self.activation(self.linear1(self.norm2(x))))
        return self.dropout(x + self.linear2(hidden))


class DropsWhatIsNormalised(Block):
    def forward(self, x, mask=None):
        y = self.dropout(self.norm1(x))
        x = x + self.attn(y, y, y, mask)
        hidden = self.dropout(self.activation(self.linear1(self.dropout(self.norm2(x)))))
        return x + self.linear2(hidden)


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


class Encoder(nn.Module):
    """The stack's parts as they are given, and a right answer."""

    def __init__(self, blocks, d_model, layer_norm_eps=1e-5):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(d_model, eps=layer_norm_eps)

    def through(self, x, mask):
        for block in self.blocks:
            x = block(x, mask)
        return x

    def forward(self, x, mask=None):
        return self.norm(self.through(x, mask))


class NoFinalNorm(Encoder):
    def forward(self, x, mask=None):
        return self.through(x, mask)


class NormInFront(Encoder):
    def forward(self, x, mask=None):
        return self.through(self.norm(x), mask)


class NormBehindEachBlock(Encoder):
    def forward(self, x, mask=None):
        for block in self.blocks:
            x = self.norm(block(x, mask))
        return x


class NormAdded(Encoder):
    def forward(self, x, mask=None):
        x = self.through(x, mask)
        return x + self.norm(x)


class StackDropsMask(Encoder):
    def through(self, x, mask):
        for block in self.blocks:
            x = block(x)
        return x


class MaskForFirstBlock(Encoder):
    def through(self, x, mask):
        for k, block in enumerate(self.blocks):
            x = block(x, mask if k == 0 else None)
        return x


class StackDetached(Encoder):
    def forward(self, x, mask=None):
        return self.norm(self.through(x, mask).detach())


class BlocksSideBySide(Encoder):
    """Each block reads the stack's own input, and the last one's output counts."""

    def through(self, x, mask):
        y = x
        for block in self.blocks:
            y = block(x, mask)
        return y


MISTAKES = (
    Mistake(
        "is the post-norm block",
        "That is e13's block: here the norm stands before the sub-layer, and none behind the sum.",
        caught_by="test_the_way_around_is_straight",
        PreNormBlock=PostNorm,
    ),
    Mistake(
        "takes its residuals after the norms",
        "Keep x for the sum and give the normalised copy another name: both sub-layers add to x as it came.",
        caught_by="test_the_way_around_is_straight",
        PreNormBlock=ResidualsNormalised,
    ),
    Mistake(
        "takes the residual around the attention after norm1",
        "Keep x for the sum and give the normalised copy another name: x + attn(norm1(x)).",
        caught_by="test_the_way_around_is_straight",
        PreNormBlock=FirstResidualNormalised,
    ),
    Mistake(
        "takes the residual around the feed-forward network after norm2",
        "Only the feed-forward network reads norm2(x): what it finds is added to x itself.",
        caught_by="test_the_way_around_is_straight",
        PreNormBlock=SecondResidualNormalised,
    ),
    Mistake(
        "normalises what a sub-layer found, not what it reads",
        "The norm stands before the sub-layer: x + attn(norm1(x)), not x + norm1(attn(x)).",
        caught_by="test_the_attention_reads_normalised_features",
        PreNormBlock=NormBehindSublayer,
    ),
    Mistake(
        "normalises the query alone",
        "Query, key and value are all made of the normalised copy: attn(normed, normed, normed, mask).",
        caught_by="test_the_attention_reads_normalised_features",
        PreNormBlock=QueryAlone,
    ),
    Mistake(
        "does not normalise before the attention",
        "Each sub-layer reads a normalised copy: the attention reads norm1(x).",
        caught_by="test_the_attention_reads_normalised_features",
        PreNormBlock=NoFirstNorm,
    ),
    Mistake(
        "does not normalise before the feed-forward network",
        "Each sub-layer reads a normalised copy: the feed-forward network reads norm2(x).",
        caught_by="test_equals_pytorch",
        PreNormBlock=NoSecondNorm,
    ),
    Mistake(
        "uses norm1 twice",
        "Each sub-layer has a norm with weights of its own: norm1 for the attention, norm2 for the other.",
        caught_by="test_equals_pytorch",
        PreNormBlock=OneNormTwice,
    ),
    Mistake(
        "swaps norm1 and norm2",
        "norm1 belongs to the attention, norm2 to the feed-forward network.",
        caught_by="test_the_attention_reads_normalised_features",
        PreNormBlock=NormsSwapped,
    ),
    Mistake(
        "has no residual connections",
        "Each sub-layer adds to x: x = x + attended, and then x + thought.",
        caught_by="test_the_way_around_is_straight",
        PreNormBlock=NoResiduals,
    ),
    Mistake(
        "has no residual around the attention",
        "What the attention found is added to x: x = x + attended.",
        caught_by="test_the_way_around_is_straight",
        PreNormBlock=NoResidualAroundAttention,
    ),
    Mistake(
        "has no residual around the feed-forward network",
        "What the feed-forward network found is added to the x that it has read a copy of.",
        caught_by="test_the_way_around_is_straight",
        PreNormBlock=NoResidualAroundFeedForward,
    ),
    Mistake(
        "runs attention and feed-forward network side by side",
        "One after the other: the feed-forward network reads the x to which the attention has added.",
        caught_by="test_equals_pytorch",
        PreNormBlock=SideBySide,
    ),
    Mistake(
        "leaves out the activation",
        "linear2(activation(linear1(…))): without the activation, two linear layers are no more than one.",
        caught_by="test_equals_pytorch",
        PreNormBlock=NoActivation,
    ),
    Mistake(
        "takes ReLU whatever activation it was given",
        "Call self.activation: ReLU is only its default.",
        caught_by="test_the_activation_is_the_one_given",
        PreNormBlock=AlwaysReLU,
    ),
    Mistake(
        "does not hand the mask to the attention",
        "Hand it on as the fourth argument: without it, every position sees everything, the future too.",
        caught_by="test_the_attention_reads_normalised_features",
        PreNormBlock=MaskDropped,
    ),
    Mistake(
        "inserts an axis for the heads into the mask",
        "Hand the mask on as it is: heads are the attention's business, and it knows what each kind of mask needs.",
        caught_by="test_the_attention_reads_normalised_features",
        PreNormBlock=HeadAxisInserted,
    ),
    Mistake(
        "changes x in place",
        "x is the caller's: write x = x + attended, which makes a new tensor, not x += attended.",
        caught_by="test_the_inputs_are_left_as_they_are",
        PreNormBlock=InPlace,
    ),
    Mistake(
        "makes the second sum in place",
        "norm2 needs the x that it read for its gradient, and x += … has changed it by then: write x = x + ….",
        caught_by="test_equals_pytorch",
        PreNormBlock=SecondSumInPlace,
    ),
    Mistake(
        "never drops",
        "Dropout has three places: on what the attention found, behind the activation, and on what linear2 returns.",
        caught_by="test_drops_where_pytorch_drops",
        PreNormBlock=NeverDrops,
    ),
    Mistake(
        "does not drop what the attention found",
        "self.dropout acts on each sub-layer's output before it is added, on the attention's too.",
        caught_by="test_drops_where_pytorch_drops",
        PreNormBlock=NoDropoutBehindAttention,
    ),
    Mistake(
        "does not drop between the two linear layers",
        "self.dropout acts in a third place, behind the activation and before linear2.",
        caught_by="test_drops_where_pytorch_drops",
        PreNormBlock=NoDropoutInside,
    ),
    Mistake(
        "drops before the activation",
        "The third dropout acts on what the activation returned: only for ReLU is it the same before and behind.",
        caught_by="test_drops_where_pytorch_drops",
        PreNormBlock=DropsBeforeActivation,
    ),
    Mistake(
        "does not drop what the feed-forward network found",
        "self.dropout acts on each sub-layer's output before it is added, on linear2's too.",
        caught_by="test_drops_where_pytorch_drops",
        PreNormBlock=NoDropoutBehindFeedForward,
    ),
    Mistake(
        "drops the sums",
        "Drop what is added, not the sum: x + dropout(attended), so that the way around stays whole.",
        caught_by="test_drops_where_pytorch_drops",
        PreNormBlock=DropsTheSum,
    ),
    Mistake(
        "drops what the sub-layers read, not what they find",
        "Dropout acts behind the sub-layer, before the sum: x + dropout(attn(…)); what it reads stays whole.",
        caught_by="test_drops_where_pytorch_drops",
        PreNormBlock=DropsWhatIsNormalised,
    ),
    Mistake(
        "drops in evaluation too",
        "Call self.dropout, which knows whether it is in training; F.dropout(x, p) always drops.",
        caught_by="test_dropout_is_for_training",
        PreNormBlock=DropsInEval,
    ),
    Mistake(
        "cuts the output off from its inputs",
        "Without a gradient nothing is learned: no detach() and no .data on the way.",
        caught_by="test_equals_pytorch",
        PreNormBlock=Detached,
    ),
    Mistake(
        "forgets the final norm",
        "No pre-norm block normalises what it returns, so the stack has to, once, at its end: return self.norm(x).",
        caught_by="test_what_leaves_the_stack_is_normalised",
        PreNormEncoder=NoFinalNorm,
    ),
    Mistake(
        "normalises before the first block, not after the last",
        "The first block normalises for itself; it is the last one's output that nobody has normalised.",
        caught_by="test_what_leaves_the_stack_is_normalised",
        PreNormEncoder=NormInFront,
    ),
    Mistake(
        "normalises behind every block",
        "Once, behind the last block: a norm between blocks cuts the straight way that pre-norm is made for.",
        caught_by="test_every_block_gets_the_mask",
        PreNormEncoder=NormBehindEachBlock,
    ),
    Mistake(
        "adds the final norm to its input",
        "The final norm is no sub-layer and has no residual: return self.norm(x).",
        caught_by="test_what_leaves_the_stack_is_normalised",
        PreNormEncoder=NormAdded,
    ),
    Mistake(
        "does not hand the mask to the blocks",
        "Call block(x, mask): each of them attends, and each needs the mask.",
        caught_by="test_every_block_gets_the_mask",
        PreNormEncoder=StackDropsMask,
    ),
    Mistake(
        "hands the mask to the first block alone",
        "Every block attends anew, so every one needs the mask: block(x, mask) in the loop.",
        caught_by="test_every_block_gets_the_mask",
        PreNormEncoder=MaskForFirstBlock,
    ),
    Mistake(
        "gives every block the stack's input",
        "Each block works on what the one before returned: x = block(x, mask).",
        caught_by="test_every_block_gets_the_mask",
        PreNormEncoder=BlocksSideBySide,
    ),
    Mistake(
        "cuts the blocks off from the final norm",
        "Without a gradient the blocks learn nothing: no detach() and no torch.no_grad() around them.",
        caught_by="test_the_stack_equals_pytorch",
        PreNormEncoder=StackDetached,
    ),
)


class Functional(Block):
    def drop(self, x):
        return F.dropout(x, self.dropout.p, self.training)

    def forward(self, x, mask=None):
        y = F.layer_norm(x, x.shape[-1:], self.norm1.weight, self.norm1.bias, self.norm1.eps)
        x = x + self.drop(self.attn(query=y, key=y, value=y, mask=mask))
        y = F.layer_norm(x, x.shape[-1:], self.norm2.weight, self.norm2.bias, self.norm2.eps)
        hidden = self.drop(self.activation(y @ self.linear1.weight.T + self.linear1.bias))
        return x + self.drop(hidden @ self.linear2.weight.T + self.linear2.bias)


class ResidualKept(Block):
    """Another name for x, another for the copy, and a sum in place in a tensor of its own."""

    def forward(self, x, mask=None):
        residual = x
        x = self.norm1(x)
        residual = residual + self.attend(x, mask)
        x = self.norm2(residual)
        return self.feed_forward(x).add_(residual)


class Recursive(Encoder):
    def through(self, x, mask, k=0):
        return x if k == len(self.blocks) else self.through(self.blocks[k](x, mask=mask), mask, k + 1)


VARIANTS = (
    Variant("the two sub-layers as methods", PreNormBlock=Block, PreNormEncoder=Encoder),
    Variant("functions in place of modules", PreNormBlock=Functional),
    Variant("the residual under a name of its own", PreNormBlock=ResidualKept),
    Variant("one block after another by recursion", PreNormEncoder=Recursive),
)


class Gathering(nn.Module):
    """A block that is soon computed: each position adds a mix of the positions that the mask lets it see."""

    def __init__(self, d_model):
        super().__init__()
        self.linear = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        b, n, _ = x.shape
        seen = torch.ones(n, n, dtype=x.dtype) if mask is None else mask.expand(b, 1, n, n)[:, 0].to(x.dtype)
        return x + torch.tanh(self.linear(seen @ x))


def observe(answer, seed):
    """Two probes of the block, then one of the stack; sizes equal or not, any mask or none, dropout in its modes."""
    torch.default_generator.manual_seed(seed)  # for an answer that draws for itself
    b, h, n, d, d_hid = ((2, 3, 5, 2, 7), (2, 2, 4, 2, 4), (1, 2, 3, 3, 8), (3, 1, 3, 4, 5), (2, 1, 1, 4, 6))[seed % 5]
    if seed % 3 == 2:
        mask = ("i j", "b 1 1 j", None, "b 1 i j")[seed // 3 % 4]
        case = EncoderCase(b, h, n, d, d_hid, 1 + seed % 2, True, "relu", mask, 0.5, False, True, seed)
        module = answer.PreNormEncoder([Gathering(case.d_model) for _ in range(case.n_blocks)], case.d_model)
        return behaviour(fill_parameters(module.double(), seed), *case.tensors())
    mask = ("i j", None, "b i j", "b 1 1 j", None, "b h i j")[(seed + seed // 6) % 6]
    activation = ("relu", "gelu")[seed // 3 % 2]
    case = EncoderCase(b, h, n, d, d_hid, 1, True, activation, mask, (0.3, 0.6)[seed % 2], False, True, seed)
    block = fill_parameters(block_of(case, 0.5, answer.PreNormBlock).double(), seed)
    with FixedDropout():
        return {"forward": behaviour(block.train(seed % 4 < 3), *case.tensors()), "training": block.training}
