"""The preflight: what it runs, whom it blames, and that it leaves no trace."""

# ruff: noqa: NPY002  (NumPy's global numbers are the ones that a preflight might disturb)

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attn_lab import Parts, PositionalEncoding, TransformerLanguageModel, attention, masks
from attn_lab.checks import ALL, CheckResult, preflight
from attn_lab.checks.readiness import has_float64
from tests.checks.mistakes import (
    AlongTheBatch,
    IdenticalCopies,
    MaskDropped,
    NoEmbeddingScale,
    NoResidual,
    StateIncomplete,
    no_scale,
    sees_the_next,
)
from tests.checks.no_float64 import DEVICE, NoFloat64

# The run-time shape checker draws numbers of Python's to pick what it looks at, and takes half of the time.
pytestmark = pytest.mark.usefixtures("no_shape_checker")

NEEDED = {check.name for check in ALL if check.preflight}
CAUSAL_ONLY = {check.name for check in ALL if "causal" in check.only}


def names(results: list[CheckResult], setting: str) -> set[str]:
    return {r.name.removesuffix(f" ({setting})") for r in results if r.name.endswith(f" ({setting})")}


def failed(results: list[CheckResult]) -> set[str]:
    return {result.subject for result in results if not result.passed}


def test_every_needed_check_runs_and_passes() -> None:
    """Catches a check that is left out, a setting that is left out, and a reference that may not fly."""
    begin = time.perf_counter()
    results = preflight()
    took = time.perf_counter() - begin
    assert failed(results) == set()
    assert names(results, "float64") == names(results, "float32") == NEEDED
    assert len(results) == 2 * len(NEEDED)
    assert all(result.message == "" for result in results)
    assert 0 < sum(result.seconds for result in results) <= took  # seconds, not milliseconds, and of each alone


def test_bf16_adds_a_setting() -> None:
    """Catches a run in bfloat16 whose checks were all made in float32."""
    results = preflight(precision="bf16", max_examples=2)
    assert failed(results) == set()
    assert names(results, "bfloat16 autocast") == names(results, "float32") == names(results, "float64") == NEEDED


def test_an_unknown_precision() -> None:
    """Catches a slip of the pen that checks nothing of what will run."""
    with pytest.raises(ValueError, match="precision must be 'fp32' or 'bf16'; got 'fp16'"):
        preflight(precision="fp16")


@pytest.fixture
def unusual_state() -> Iterator[None]:
    """A process with settings of its own."""
    dtype, fast_path = torch.get_default_dtype(), torch.backends.mha.get_fastpath_enabled()
    torch.set_default_dtype(torch.bfloat16)
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.set_default_dtype(dtype)
    torch.backends.mha.set_fastpath_enabled(fast_path)


def state() -> dict[str, object]:
    return {
        "default dtype": torch.get_default_dtype(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "gradients": torch.is_grad_enabled(),
        "Python's random numbers": hash(random.getstate()),
        "NumPy's random numbers": hash(str(np.random.get_state())),
        "PyTorch's random numbers": hash(tuple(torch.get_rng_state().tolist())),
    }


@pytest.mark.parametrize("part", [attention, no_scale], ids=["all pass", "some fail"])
def test_nothing_outside_is_changed(part: Callable[..., Tensor]) -> None:
    """Catches a training whose random numbers, dtype or speed depend on whether it was checked before."""
    before = state()
    preflight(Parts(attention=part), max_examples=1)
    assert state() == before


@pytest.mark.usefixtures("unusual_state")
def test_an_unusual_state_is_kept_and_does_not_matter() -> None:
    """Catches switches that are put back to PyTorch's defaults in place of what they were."""
    before = state()
    with torch.no_grad():
        results = preflight(max_examples=2)
    assert failed(results) == set()
    assert state() == before


@pytest.mark.parametrize(
    "parts",
    [
        Parts(attention=no_scale),
        Parts(mask=sees_the_next),
        Parts(attention_module=MaskDropped),
        Parts(positions=AlongTheBatch),
        Parts(block=NoResidual),
        Parts(encoder=IdenticalCopies),
        Parts(language_model=StateIncomplete),
    ],
    ids=lambda parts: parts.replaced()[0],
)
def test_the_blame_falls_on_the_wrong_part(parts: Parts) -> None:
    """Catches a preflight that raises, or that blames a block for the attention inside it."""
    results = preflight(parts, max_examples=3)
    assert failed(results) == {parts.replaced()[0], "language_model"}  # the whole of them is wrong as well
    for result in results:
        assert result.passed == (result.message == "")
        assert result.passed or "; smallest case: " in result.message


def test_a_part_that_raises_is_a_result() -> None:
    """Catches a preflight that dies of the part it is there to judge."""

    def unfinished(n: int) -> Tensor:
        raise NotImplementedError("the mask is yours to write")

    results = preflight(Parts(mask=unfinished), max_examples=1)
    (of_mask, _) = (result.message for result in results if result.subject == "mask")
    assert of_mask.startswith("NotImplementedError: the mask is yours to write (at ")
    assert 'raise NotImplementedError("the mask is yours to write")' in of_mask


@pytest.fixture
def asked_for() -> list[dict[str, Any]]:
    """The options of every model that a preflight builds; see `recording`."""
    return []


def recording(asked_for: list[dict[str, Any]]) -> Callable[..., TransformerLanguageModel]:
    def model(*sizes: int, **options: Any) -> TransformerLanguageModel:
        asked_for.append(options)
        return TransformerLanguageModel(*sizes, **options)

    return model


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_only_models_of_the_runs_own_kind_are_checked(on: bool, asked_for: list[dict[str, Any]]) -> None:
    """Catches a run that is refused, or let through, for a kind of model that it does not train."""
    options = dict.fromkeys(("causal", "norm_first", "scale_embedding", "tie_weights"), on)
    others = {"max_len": 17, "dropout": 0.9}
    results = preflight(Parts(language_model=recording(asked_for)), max_examples=3, model_options=options | others)
    assert failed(results) == set()
    assert len(CAUSAL_ONLY) > 1
    assert names(results, "float64") == (NEEDED if on else NEEDED - CAUSAL_ONLY)
    built = [{name: model[name] for name in options} for model in asked_for]
    assert len(built) > 20
    assert built == [options] * len(built)
    assert {model["max_len"] for model in asked_for} == {17}
    assert 0.9 not in {model["dropout"] for model in asked_for}  # the checks compare models that do not drop


def test_blocks_are_checked_in_the_runs_own_order(asked_for: list[dict[str, Any]]) -> None:
    """Catches pre-norm that is checked in the model only, where the blame is the model's."""

    def block(*arguments: Any, **options: Any) -> torch.nn.Module:
        asked_for.append(options)
        return Parts().block(*arguments, **options)

    for norm_first in (True, False):
        asked_for.clear()
        preflight(Parts(block=block), max_examples=2, model_options={"norm_first": norm_first})
        assert len(asked_for) > 10
        assert {options["norm_first"] for options in asked_for} == {norm_first}
        assert all("activation" not in options for options in asked_for)  # the model's blocks have the paper's


def test_a_switch_that_is_off_need_not_work() -> None:
    """Catches switches that are tried both ways: a run without the embedding's scale does not need it."""
    parts = Parts(language_model=NoEmbeddingScale)
    assert failed(preflight(parts, max_examples=1)) == {"language_model"}
    assert failed(preflight(parts, max_examples=1, model_options={"scale_embedding": False})) == set()


class TestWithoutFloat64:
    """Apple's GPUs have none; `NoFloat64` stands in for one."""

    def test_the_device_is_asked(self) -> None:
        """Catches a list of devices in place of a question, and a stand-in that stands for nothing."""
        with NoFloat64():
            assert not has_float64(DEVICE)
            assert torch.ones(2, 3, device=DEVICE).sum().item() == 6
            with pytest.raises(RuntimeError, match="same device"):
                torch.ones(2, device=DEVICE) + torch.ones(2)
            assert has_float64("cpu")
        assert has_float64("cpu")

    @pytest.mark.parametrize("parts", [Parts(), Parts(attention=attention)], ids=["fused_attention", "attention"])
    def test_float32_is_what_there_is(self, parts: Parts) -> None:
        """Catches float64 asked of a Mac's GPU, and a tensor that is left on the CPU."""
        with NoFloat64():
            results = preflight(parts, device=DEVICE, max_examples=1)
        assert [result.message for result in results if not result.passed] == []
        assert names(results, "float32") == NEEDED
        assert len(results) == len(NEEDED)

    def test_a_mistake_is_seen(self) -> None:
        """Catches checks that let everything pass where there is only float32, or see no part that asks for more."""

        class InFloat64(PositionalEncoding):
            def forward(self, x: Tensor) -> Tensor:
                return (x.double() + self.pe[: x.shape[1]].double()).to(x.dtype)

        with NoFloat64():
            results = preflight(Parts(positions=InFloat64, mask=masks.causal), device=DEVICE, max_examples=1)
        assert failed(results) == {"positions", "language_model"}
        assert any("cannot convert to torch.float64" in result.message for result in results)
