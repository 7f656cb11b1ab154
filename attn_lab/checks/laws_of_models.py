"""Laws of positions and of the language model as a whole."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab.checks import oracles, strategies
from attn_lab.checks.building import Part
from attn_lab.checks.cases import LanguageModelCase, PositionsCase, fill, generator
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, gradients, require
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.checks.laws_of_modules import blocks_start_apart
from attn_lab.checks.setting import EXACT, Setting

AXES = "b n v"
CAUSAL = {"causal": True}


def _positions_drop_in_training(positions: Part, case: PositionsCase, setting: Setting = EXACT) -> None:
    module = setting.build(lambda: positions(case.d_model, 0.25, case.n))
    x = setting.put(case.tensor())
    before = x.clone()
    with setting.running(), FixedDropout():
        resting, training = module.eval()(x), module.train()(x)
        plain = setting.build(lambda: positions(case.d_model, 0.0, case.n))(x)
        dropped = F.dropout(plain, 0.25)
    require(torch.equal(x, before), "x is changed in place")
    agree(resting, plain, setting.tolerance, "the output in eval mode, against no dropout,", "b n d_model")
    agree(training, dropped, setting.tolerance, "the output in training mode, under dropout,", "b n d_model")


def _positions_are_not_trained(positions: Part, case: PositionsCase, setting: Setting = EXACT) -> None:
    module = setting.build(lambda: positions(case.d_model, 0.0, case.n))
    names = [name for name, _ in module.named_parameters()]
    require(not names, f"the paper's positions are fixed: a buffer, not the parameters {', '.join(names)}")


def _model(part: Part, case: LanguageModelCase, setting: Setting, dropout: float = 0.0) -> nn.Module:
    model = setting.build(lambda: part(*case.sizes, dropout=dropout, **case.options))
    oracles.randomise(model, case.seed, setting.dtype)
    return model


def _logits(model: nn.Module, ids: Tensor, setting: Setting, *mask: Tensor) -> Tensor:
    with setting.running():
        return model(setting.put(ids), *map(setting.put, mask))


def _ids_of_two_kinds(case: LanguageModelCase, first: int) -> Tensor:
    """Token ids: the first ones are 0 or 1, the others are not."""
    ids = case.ids()
    return torch.where(torch.arange(case.n, device="cpu") < first, ids % 2, 2 + ids % (case.ntoken - 2))


def _influence(model: nn.Module, ids: Tensor, now: int, scores: slice, setting: Setting) -> Tensor:
    """The gradient of some tokens' logits at position `now` with respect to the embedding's table, (v d_model).

    A table that is tied is the output layer's too. There a token's row plays for that token's logits alone, so that the
    rows of the other tokens tell what the text itself does.
    """
    table = oracles.parameter(model, "embedding.weight")
    logits = _logits(model, ids, setting)
    weights = torch.zeros(logits.shape, device="cpu")
    weights[:, now, scores] = fill(generator(now), *weights[:, now, scores].shape)
    return gradients(logits, {"embedding.weight": table}, weights)["embedding.weight"]


def _no_leak(part: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    now = case.seed % (case.n - 1)
    ids = _ids_of_two_kinds(case, now + 1)
    gradient = _influence(_model(part, case, setting), ids, now, slice(2), setting)
    require(bool((gradient[2:] == 0).all()), "the logits of a position depend on a later token")


def _targets_are_not_visible(part: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    model, ids = _model(part, case, setting), case.ids()
    now = case.seed % (case.n - 1)
    other = ids.clone()
    other[:, now + 1 :] = (other[:, now + 1 :] + 1) % case.ntoken
    expected, actual = _logits(model, ids, setting), _logits(model, other, setting)
    agree(
        actual[:, : now + 1],
        expected[:, : now + 1],
        setting.tolerance,
        "the output, when the tokens that it is to predict change,",
        AXES,
    )


def _past_is_used(part: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    ids = _ids_of_two_kinds(case, case.n - 1)
    gradient = _influence(_model(part, case, setting), ids, case.n - 1, slice(2, None), setting)
    require(bool((gradient[:2] != 0).any()), "the last logits do not depend on any earlier token")


def _prefix_is_enough(part: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    model, ids = _model(part, case, setting), case.ids()
    length = 1 + case.seed % (case.n - 1)
    whole = _logits(model, ids, setting)
    short = _logits(model, ids[:, :length], setting)
    again = _logits(model, ids, setting)
    agree(short, whole[:, :length], setting.tolerance, "the output for the beginning of a text alone", AXES)
    agree(again, whole, setting.tolerance, "the output for a text after a shorter one", AXES)


def _logits_are_finite(part: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    model = setting.build(lambda: part(*case.sizes, dropout=0.1, **case.options))
    logits = _logits(model.train(), case.ids(), setting)
    require(bool(logits.isfinite().all()), "a new model's logits are not finite")
    for name, gradient in gradients(logits, dict(model.named_parameters()), torch.ones(logits.shape)).items():
        require(bool(gradient.isfinite().all()), f"a new model's gradient of {name} is not finite")


def _dropout_is_for_training(part: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    model, ids = _model(part, case, setting, dropout=0.5), case.ids()
    expected = _logits(_model(part, case, setting).eval(), ids, setting)
    resting = _logits(model.eval(), ids, setting)
    agree(resting, expected, setting.tolerance, "the output in eval mode, against no dropout,", AXES)
    require(not torch.equal(_logits(model.train(), ids, setting), resting), "dropout has no effect in training mode")


def _state_makes_the_round_trip(part: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    model, copy = _model(part, case, setting), _model(part, case.reseeded(), setting)
    copy.load_state_dict(model.state_dict())
    expected, actual = _logits(model, case.ids(), setting), _logits(copy, case.ids(), setting)
    agree(actual, expected, setting.tolerance, "the output after state_dict and load_state_dict", AXES)


def _blocks_start_apart(part: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    blocks_start_apart(setting.build(lambda: part(*case.sizes, dropout=0.0, **case.options)), "encoder.blocks.")


def _given_mask_is_used(part: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    model, ids = _model(part, case, setting), case.ids()
    length = 1 + case.seed % (case.n - 1)
    earlier = torch.ones(case.n, case.n, dtype=torch.bool, device="cpu").tril()
    real = (torch.arange(case.n, device="cpu") < length).expand(case.b, 1, 1, case.n)
    padded = _logits(model, ids, setting, (earlier & real if case.causal else real))
    alone = _logits(model, ids[:, :length], setting)
    agree(padded[:, :length], alone, setting.tolerance, "the output of a padded text, against the text alone,", AXES)


def _law(name: str, body: Part, *, causal: bool | None = None, preflight: bool = True) -> Check:
    strategy = strategies.language_model_cases(causal=causal, shortest=2)
    return Check(name, "language_model", strategy, body, CAUSAL if causal else {}, preflight)


MODEL_LAWS = (
    Check(
        "positions drop in training and not in evaluation, and leave their input as it is",
        "positions",
        strategies.positions_cases(),
        _positions_drop_in_training,
    ),
    Check("positions are fixed, not trained", "positions", strategies.positions_cases(), _positions_are_not_trained),
    _law("no logits depend on a later token", _no_leak, causal=True),
    _law("the tokens to be predicted are not visible", _targets_are_not_visible, causal=True),
    _law("the last logits depend on the past", _past_is_used),
    _law("the beginning of a text alone gets the same logits", _prefix_is_enough, causal=True),
    _law("a new model's logits and gradients are finite", _logits_are_finite),
    _law("the language model drops in training and not in evaluation", _dropout_is_for_training),
    _law("the language model's state can be saved and loaded", _state_makes_the_round_trip),
    _law("each block of the language model has initial weights of its own", _blocks_start_apart),
    _law("a mask that is passed is used", _given_mask_is_used, preflight=False),
)
