"""The checks before a flight: every property that a training run needs, on its very parts, device and dtype."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from attn_lab.checks.catalogue import ALL
from attn_lab.checks.check import Check, CheckFailed, describe
from attn_lab.checks.laws_of_batches import BATCH_LAWS
from attn_lab.checks.setting import Setting
from attn_lab.choices import check_choice
from attn_lab.parts import Parts

REFERENCE = Parts()

# What a model is unless told otherwise; the switches that decide which checks apply.
SWITCHES: Mapping[str, object] = {
    "causal": True,
    "norm_first": False,
    "scale_embedding": True,
    "tie_weights": False,
    "activation": "relu",
}

# Which masks the parts are tried with.
MASKS: Mapping[str, Mapping[str, object]] = {
    "all": {},  # of every shape that a mask may have, and with queries that may attend to nothing
    "training": {"mask": "i j", "empty_rows": False},  # as in a training run: (i j), and each query sees a key
}


@dataclass(frozen=True)
class CheckResult:
    """What came of one check in one setting; `message` is empty, or says what went wrong."""

    name: str
    subject: str
    passed: bool
    seconds: float
    message: str


def preflight(
    parts: Parts = REFERENCE,
    *,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    max_examples: int = 10,
    model_options: Mapping[str, Any] | None = None,
    masks: str = "all",
    batches: object | None = None,
) -> list[CheckResult]:
    """Runs the checks that a training run depends on; a failing one is a result, not an exception.

    Parts are checked one by one, among the reference's, so that the blame falls on the right one; then the model, with
    all of them in place. Nothing outside is changed: random numbers, default dtype and PyTorch's switches are put back.

    Args:
        parts: what the model is built of.
        device: where.
        precision: "fp32" checks float64, where the device has it, and float32; "bf16" also under autocast.
        max_examples: cases for each check, in the most exact setting; a third of them in the others.
        model_options: what the run passes to `parts.model`, such as `norm_first=True`: only such models are checked.
        masks: "all", or "training" for the kind that a training run has: (i j), where each query sees a key. What is
            asked of other masks, and of queries without keys, is then left out.
        batches: has `batchify` and `windows`, which are checked against plain slices of a text; None: neither is.

    Raises:
        ValueError: the precision, or the kind of masks, is neither.

    Cost: a few seconds on two CPU cores.
    """
    options = dict(model_options or {})
    narrow = MASKS[check_choice("masks", masks, MASKS)]
    switches = {**SWITCHES, **{name: value for name, value in options.items() if name in SWITCHES}, **narrow}
    # A switch that is nowhere set is tried both ways, so that what needs it on is tried too.
    needed = [
        c for c in ALL if c.preflight and all(switches.get(name, value) == value for name, value in c.only.items())
    ]
    results = []
    for k, setting in enumerate(_settings(device, precision)):
        # The first and most exact setting is where a wrong part shows; the others show that the numbers hold there.
        examples = max_examples if k == 0 else max(1, max_examples // 3)
        for check in needed:
            part = _part(parts, check.subject, options)
            results.append(_result(check.narrowed(**switches), part, setting, examples))
    return results + ([] if batches is None else check_batches(batches, device, max_examples))


def check_batches(batches: object, device: torch.device | str = "cpu", max_examples: int = 10) -> list[CheckResult]:
    """The preflight of batches alone. Token ids have no dtype to vary, so there are three times as many cases."""
    return [_result(check, batches, Setting(device), 3 * max_examples, of_numbers=False) for check in BATCH_LAWS]


def _part(parts: Parts, subject: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    if subject != "language_model":
        return getattr(parts, subject)
    # Switches reach the model through the case; dropout is the check's own business.
    own = {name: value for name, value in options.items() if name not in SWITCHES and name != "dropout"}
    return partial(parts.model, **own)


def _settings(device: torch.device | str, precision: str) -> list[Setting]:
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision must be 'fp32' or 'bf16'; got {precision!r}")
    exact = [Setting(device, torch.float64)] if has_float64(device) else []
    half = [Setting(device, torch.float32, torch.bfloat16)] if precision == "bf16" else []
    return [*exact, Setting(device, torch.float32), *half]


def has_float64(device: torch.device | str) -> bool:
    """Whether the device computes in float64; Apple's GPUs do not."""
    try:
        torch.zeros(1, dtype=torch.float64, device=device).sum()
    except (TypeError, RuntimeError):
        return False
    return True


def _result(check: Check, part: object, setting: Setting, max_examples: int, *, of_numbers: bool = True) -> CheckResult:
    begin = time.perf_counter()
    message = ""
    try:
        check.run(
            part, device=setting.device, dtype=setting.dtype, autocast=setting.autocast, max_examples=max_examples
        )
    except CheckFailed as failure:
        message = f"{failure.reason}; smallest case: {describe(failure.case)}"
    name = f"{check.name} ({setting})" if of_numbers else check.name
    return CheckResult(name, check.subject, not message, time.perf_counter() - begin, message)
