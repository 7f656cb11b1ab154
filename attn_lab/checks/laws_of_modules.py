"""Laws that an attention module, a block and a stack of blocks share, since each maps a sequence to a sequence."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab.checks import strategies
from attn_lab.checks.building import BUILDERS, Part, built, output
from attn_lab.checks.cases import EncoderCase, fill, generator
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, gradients, leaf, require
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.checks.setting import EXACT, Setting

AXES = "b n d_model"


def _causal(n: int, setting: Setting) -> Tensor:
    return setting.put(torch.tensor([[j <= i for j in range(n)] for i in range(n)], device="cpu"))


def _no_leak(subject: str, part: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    module = built(subject, part, case, setting)
    x = leaf(setting.put(case.tensors()[0]))
    y = output(subject, module, x, _causal(case.n, setting), setting)
    now = case.seed % (case.n - 1)  # any position but the last
    weights = torch.zeros(y.shape, device="cpu")
    weights[:, now] = fill(generator(case.seed), *y[:, now].shape)
    gradient = gradients(y, {"x": x}, weights)["x"]
    require(bool((gradient[:, now + 1 :] == 0).all()), "under a causal mask an output depends on a later input")


def _padding_is_irrelevant(subject: str, part: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    module = built(subject, part, case, setting)
    x, _ = case.tensors()
    length = 1 + case.seed % (case.n - 1)  # at least one real position, at least one of padding
    real = torch.arange(case.n, device="cpu") < length
    mask = setting.put(real.expand(case.b, 1, 1, case.n))
    other = torch.where(real[:, None], x, fill(generator(case.seed + 1), *x.shape))
    first = output(subject, module, setting.put(x), mask, setting)[:, :length]
    second = output(subject, module, setting.put(other), mask, setting)[:, :length]
    agree(second, first, setting.tolerance, "the output of real positions, when the padding changes,", AXES)
    alone = output(subject, module, setting.put(x[:, :length]), None, setting)
    agree(first, alone, setting.tolerance, "the output of a padded text, against the text alone,", AXES)


def _positions_are_alike(subject: str, part: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    module = built(subject, part, case, setting)
    x = setting.put(case.tensors()[0])
    order = torch.randperm(case.n, generator=generator(case.seed), device="cpu").to(setting.device)
    expected = output(subject, module, x, None, setting)[:, order]
    actual = output(subject, module, x[:, order], None, setting)
    agree(actual, expected, setting.tolerance, "the output for a text in another order", AXES)


def _empty_rows_are_finite(subject: str, part: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    module = built(subject, part, case, setting)
    x, mask = case.tensors()
    x = leaf(setting.put(x))
    y = output(subject, module, x, None if mask is None else setting.put(mask), setting)
    require(bool(y.isfinite().all()), "a query that may attend to nothing makes the output NaN")
    for name, gradient in gradients(y, {"x": x} | dict(module.named_parameters()), torch.ones(y.shape)).items():
        require(bool(gradient.isfinite().all()), f"a query that may attend to nothing makes the gradient of {name} NaN")


def _inputs_stay_as_they_are(subject: str, part: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    module = built(subject, part, case, setting)
    x, mask = case.tensors()
    given = {"x": setting.put(x)} | ({} if mask is None else {"mask": setting.put(mask)})
    before = {name: tensor.clone() for name, tensor in given.items()}
    output(subject, module, given["x"], given.get("mask"), setting)
    for name, tensor in given.items():
        require(torch.equal(tensor, before[name]), f"{name} is changed in place")


def _dropout_is_for_training(subject: str, part: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    module = built(subject, part, case, setting, dropout=0.5)
    plain = built(subject, part, case, setting, dropout=0.0)
    x = setting.put(case.tensors()[0])
    expected = output(subject, plain.eval(), x, None, setting)
    resting = output(subject, module.eval(), x, None, setting)
    agree(resting, expected, setting.tolerance, "the output in eval mode, against no dropout,", AXES)
    # A number that is kept is doubled, so no draw leaves the output as it was.
    training = output(subject, module.train(), x, None, setting)
    require(not torch.equal(training, resting), "dropout has no effect in training mode")


def _state_makes_the_round_trip(subject: str, part: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    module = built(subject, part, case, setting)
    copy = built(subject, part, case.reseeded(), setting)
    copy.load_state_dict(module.state_dict())
    x = setting.put(case.tensors()[0])
    expected = output(subject, module, x, None, setting)
    actual = output(subject, copy, x, None, setting)
    agree(actual, expected, setting.tolerance, "the output after state_dict and load_state_dict", AXES)


def _only_weights_are_dropped(part: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    handed: list[object] = []

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: object = None, dropout: object = None) -> Tensor:
        handed.append(dropout)
        return value  # the attention of positions to themselves alone

    module = setting.build(lambda: part(case.d_model, case.h, 0.25, attention=attend))
    x = setting.put(case.tensors()[0])
    training = output("attention_module", module.train(), x, None, setting)
    resting = output("attention_module", module.eval(), x, None, setting)
    agree(training, resting, setting.tolerance, "the output when the attention function does not drop", AXES)
    require(len(handed) == 2, "the attention function that the module was given must be called once in each pass")
    drop = handed[0]
    require(callable(drop), f"the attention function must get a dropout to apply; got {drop!r}")
    with FixedDropout():
        module.train()
        dropped = drop(x) if callable(drop) else x
        expected = F.dropout(x, 0.25)
    agree(dropped, expected, setting.tolerance, "what the dropout that is handed over makes of its input", AXES)


def blocks_start_apart(module: nn.Module, prefix: str) -> None:
    """Fails if two blocks begin with the same matrix: they would get the same gradients and stay equal."""
    blocks: dict[str, dict[str, Tensor]] = {}
    for name, weight in module.named_parameters(remove_duplicate=False):
        if name.startswith(prefix) and weight.ndim > 1:
            index, _, rest = name.removeprefix(prefix).partition(".")
            for other, weights in blocks.items():
                same = other != index and rest in weights and torch.equal(weights[rest], weight)
                require(not same, f"blocks {other} and {index} start with the same {rest}")
            blocks.setdefault(index, {})[rest] = weight


def _blocks_start_apart(part: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    blocks_start_apart(setting.build(lambda: BUILDERS["encoder"](case, 0.0, part)), "blocks.")


def _laws(subject: str, noun: str) -> tuple[Check, ...]:
    any_mask, longer = strategies.encoder_cases(), strategies.encoder_cases(shortest=2)
    holes = strategies.encoder_cases(masks=("i j", "b 1 1 j", "b i j", "b h i j"), empty_rows=True)
    laws = (
        (f"under a causal mask {noun} sees nothing of the future", _no_leak, longer),
        (f"{noun} answers alike whatever the padding holds", _padding_is_irrelevant, longer),
        (f"{noun} treats all positions alike", _positions_are_alike, any_mask),
        (f"{noun} stays finite where a query may attend to nothing", _empty_rows_are_finite, holes),
        (f"{noun} leaves its inputs as they are", _inputs_stay_as_they_are, any_mask),
        (f"{noun} drops in training and not in evaluation", _dropout_is_for_training, any_mask),
        (f"the state of {noun} can be saved and loaded", _state_makes_the_round_trip, any_mask),
    )
    # What these make of the mask is beyond a training run, whose texts are whole.
    only: dict[object, dict[str, object]] = {
        _padding_is_irrelevant: {"mask": "b 1 1 j"},
        _empty_rows_are_finite: {"empty_rows": True},
    }
    return tuple(
        Check(name, subject, strategy, partial(body, subject), only.get(body, {})) for name, body, strategy in laws
    )


MODULE_LAWS = (
    *_laws("attention_module", "multi-head attention"),
    Check(
        "multi-head attention drops nothing but weights",
        "attention_module",
        strategies.encoder_cases(),
        _only_weights_are_dropped,
    ),
    *_laws("block", "an encoder block"),
    *_laws("encoder", "a stack of blocks"),
    Check(
        "each block of a stack has initial weights of its own",
        "encoder",
        strategies.encoder_cases(blocks=(2, 3)),
        _blocks_start_apart,
    ),
)
