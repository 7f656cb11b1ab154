"""What the encoder of e33 four layers must do, from the simplest property to the strictest."""

from itertools import combinations

import torch
from hypothesis import given

from attn_lab import EncoderBlock, MultiHeadSelfAttention
from attn_lab.checks import oracles
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import SEEDS, encoder_cases, one_of_these

CASES = encoder_cases(masks=("i j", "b 1 1 j", None))
LAYERS = one_of_these((2, 4, 3))
WIDTHS = one_of_these((12, 16))  # matrices of so many numbers do not come out alike by chance


def block_of(d_model, seed):
    """A block of the paper's kind, in float64, with the weights that PyTorch draws for it."""
    torch.manual_seed(seed)
    attn = lambda: MultiHeadSelfAttention(d_model, 2)  # noqa: E731
    return EXACT.build(lambda: EncoderBlock(attn(), d_model, d_model + 4, dropout=0.0))


def layers_of(answer, d_model, n_blocks, seed):
    """The weights of each layer at the start, by name."""
    encoder = answer.Encoder(block_of(d_model, seed), n_blocks)
    return [{name: weight.detach() for name, weight in block.named_parameters()} for block in encoder.blocks]


def likeness(one, other):
    """The correlation of two matrices, sign aside: 1 for the same numbers, whatever their scale."""
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].abs().item()


@given(CASES)
def test_the_layers_follow_one_another(answer, case):
    """Every block in turn, under the same mask: outputs and gradients are those of nn.TransformerEncoder."""

    def make():
        attn = MultiHeadSelfAttention(case.d_model, case.h)
        options = {"norm_first": case.norm_first, "dropout": 0.0}
        return answer.Encoder(
            EncoderBlock(attn, case.d_model, case.d_hid, case.layer_norm_eps, **options), case.n_blocks
        )

    ours = EXACT.build(make)
    theirs, names = oracles.encoder(oracles.block(case), case.n_blocks), oracles.encoder_names(case.n_blocks)
    oracles.share_weights(ours, theirs, names, case.seed, case.weights_from_pytorch)
    x, mask = case.tensors()
    compare(
        EXACT,
        lambda x: ours(x, mask),
        lambda x: oracles.encoder_forward(theirs, x, mask),
        {"x": x},
        axes="b n d_model",
        seed=case.seed,
        shared=(ours, theirs, names),
    )


@given(WIDTHS, LAYERS, SEEDS)
def test_each_layer_has_weights_of_its_own(answer, d_model, n_layers, seed):
    """No weight belongs to two layers, or to the block that was given; and that block stays as it is."""
    block = block_of(d_model, seed)
    before = {name: weight.detach().clone() for name, weight in block.named_parameters()}
    encoder = answer.Encoder(block, n_layers)
    require(len(encoder.blocks) == n_layers, f"expected {n_layers} blocks; got {len(encoder.blocks)}")
    of_all = [weight for layer in encoder.blocks for weight in layer.parameters()] + list(block.parameters())
    expected, found = (n_layers + 1) * len(before), len({weight.data_ptr() for weight in of_all})
    require(found == expected, f"{n_layers} layers and the block have {expected} weights and biases; got {found}")
    for name, weight in block.named_parameters():
        agree(weight, before[name], 0.0, f"{name} of the block that was given")


@given(WIDTHS, LAYERS, SEEDS)
def test_weights_begin_as_pytorch_draws_them(answer, d_model, n_layers, seed):
    """Whatever their number, layers begin as nn.Linear and nn.LayerNorm do: as evenly spread, or as ones and zeros."""
    for number, layer in enumerate(layers_of(answer, d_model, n_layers, seed)):
        biases = []
        for name, weight in layer.items():
            what = f"{name} of layer {number}"
            if "norm" in name:
                agree(weight, torch.full_like(weight, float(name.endswith("weight"))), 0.0, what)
                continue
            bound = layer[name.replace("bias", "weight")].shape[1] ** -0.5  # nn.Linear draws evenly within ±bound
            largest = weight.abs().max().item()
            require(largest <= bound, f"{what} must lie within ±{bound:.3f}, as nn.Linear draws it; got {largest:.3f}")
            if weight.ndim == 2:
                spreads_evenly(weight / bound, what)
            else:
                biases.append(weight / bound)
        spreads_evenly(torch.cat(biases), f"all biases of layer {number}, together,")


def spreads_evenly(numbers, what):
    """Numbers that fill -1 to 1 evenly have a standard deviation of √(1/3)."""
    share = numbers.std().item() * 3**0.5
    require(share > 0.75, f"{what} must be spread as nn.Linear draws it; got {share:.2f} times that")


@given(WIDTHS, LAYERS, SEEDS)
def test_chance_is_the_callers(answer, d_model, n_layers, seed):
    """The same seed gives the same encoder, another seed another one: in every layer."""
    first, again, other = (layers_of(answer, d_model, n_layers, s) for s in (seed, seed, seed + 1))
    for number, (one, two, three) in enumerate(zip(first, again, other)):
        for name in (name for name, weight in one.items() if weight.ndim == 2):
            what = f"{name} of layer {number}"
            agree(two[name], one[name], 0.0, f"{what}, drawn from the same seed again,")
            require(likeness(one[name], three[name]) < 0.7, f"{what} is the same for the seeds {seed} and {seed + 1}")


@given(WIDTHS, LAYERS, SEEDS)
def test_no_two_layers_begin_alike(answer, d_model, n_layers, seed):
    """The layers' initial weights have nothing in common: each matrix is drawn for itself."""
    layers = layers_of(answer, d_model, n_layers, seed)
    for (a, one), (b, other) in combinations(enumerate(layers), 2):
        for name in (name for name, weight in one.items() if weight.ndim == 2):
            what = f"{name} of layer {a} and of layer {b}"
            alike = likeness(one[name], other[name])
            require(alike < 0.7, f"{what} begin alike: their correlation is {alike:.2f}; expected nearly 0")
            numbers = [weight.flatten().abs().sort().values for weight in (one[name], other[name])]
            same = torch.allclose(*numbers, rtol=1e-3, atol=0.0)
            require(not same, f"{what} begin with the same numbers, in another order")
