"""How a check runs: what it says when it fails, and that it leaves everything as it was."""

# ruff: noqa: NPY002  (NumPy's global numbers are the ones that a check might disturb)

import ast
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attn_lab import EncoderBlock, checks, masks
from attn_lab.checks import ALL, Check, CheckFailed, Setting, for_subject
from attn_lab.checks.cases import AttentionCase, MaskCase
from attn_lab.checks.check import describe
from attn_lab.checks.compare import agree, require
from attn_lab.checks.strategies import encoder_cases, mask_cases

(CAUSAL,) = for_subject("mask")


def check_of(body: Callable[[Any, Any, Setting], None], strategy: Any = None) -> Check:
    return Check("a property", "mask", mask_cases() if strategy is None else strategy, body)


def fails(check: Check, part: object, **options: Any) -> CheckFailed:
    with pytest.raises(CheckFailed) as failure:
        check.run(part, **options)
    return failure.value


class TestMessage:
    def test_it_tells_the_reason_and_the_smallest_case(self) -> None:
        """Catches a message without the one, a case that is larger than it need be, and the reason of another case."""
        check = check_of(lambda part, case, setting: require(case.n < 5, f"{part} is too short for {case.n}"))
        failure = fails(check, "it")
        assert str(failure) == "a property: it is too short for 5\n  smallest case: n = 5"
        assert failure.reason == "it is too short for 5"
        assert failure.case == MaskCase(n=5)

    def test_what_the_part_raises_is_told_with_its_own_line(self) -> None:
        """Catches a traceback in place of a sentence, and the line of a library or of the check."""

        def part(n: int) -> Tensor:
            return torch.ones(n).reshape(n, n)  # the line

        reason = fails(CAUSAL, part).reason
        assert reason.startswith("RuntimeError: shape '[3, 3]' is invalid for input of size 3 (at ")
        assert f"(at {__file__}:" in reason
        assert reason.endswith(": return torch.ones(n).reshape(n, n)  # the line)")
        assert "\n" not in reason

    def test_a_line_in_a_library_is_not_the_parts_own(self) -> None:
        """Catches the deepest line of all, which is PyTorch's own and tells nothing."""

        class Part(EncoderBlock):
            def forward(self, x: Tensor, mask: Any = None) -> Tensor:
                return nn.Linear(1, 1, dtype=x.dtype)(x)  # the line

        reason = fails(for_subject("block")[0], Part).reason
        assert f"(at {__file__}:" in reason
        assert reason.endswith(": return nn.Linear(1, 1, dtype=x.dtype)(x)  # the line)")

    @pytest.mark.parametrize("error", [ValueError, MemoryError, SystemExit, RecursionError, StopIteration])
    def test_whatever_it_raises(self, error: type[BaseException]) -> None:
        """Catches a part that ends the run of the checks, by sys.exit or by a loop without end."""

        def part(n: int) -> Tensor:
            raise error("so it is")

        failure = fails(CAUSAL, part)
        assert failure.reason.startswith(f"{error.__name__}: so it is (at {__file__}:")
        assert type(failure.__cause__) is error

    def test_a_bare_assert_of_the_part(self) -> None:
        """Catches a reason that is empty, for a part that asserts without words."""

        def part(n: int) -> Tensor:
            raise AssertionError

        reason = fails(CAUSAL, part).reason
        assert reason.startswith("AssertionError")
        assert reason.endswith(": raise AssertionError)")

    def test_a_part_that_is_wrong_now_and_then(self) -> None:
        """Catches Hypothesis's own error about a test that is flaky, in place of ours about the part."""
        calls: list[int] = []

        def part(n: int) -> Tensor:
            calls.append(n)
            if len(calls) == 3:
                raise ValueError("the third time")
            return masks.causal(n)

        assert fails(CAUSAL, part).reason.startswith("ValueError: the third time (at ")

    def test_ctrl_c_goes_through(self) -> None:
        """Catches a user who presses Ctrl-C and is told that the part is wrong."""

        def part(n: int) -> Tensor:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            CAUSAL.run(part)

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Catches Hypothesis's report beside ours: 'Falsifying example', and how to reproduce it."""
        fails(CAUSAL, lambda n: ~masks.causal(n))
        assert capfd.readouterr() == ("", "")


class TestDescribe:
    def test_names_and_values(self) -> None:
        """Catches a case that cannot be typed in again: text without quotes, a size left out."""
        case = AttentionCase(b=2, h=1, i=3, j=5, d=4, e=2, mask="b 1 1 j", density=0.7, empty_rows=True, seed=0)
        assert describe(case) == (
            "b = 2, h = 1, i = 3, j = 5, d = 4, e = 2, mask = 'b 1 1 j', density = 0.7, empty_rows = True, seed = 0"
        )
        assert "mask = None" in describe(replace(case, mask=None))

    def test_defaults_are_left_out(self) -> None:
        """Catches a causal mask's case that speaks of windows and padding."""
        assert describe(MaskCase(n=3)) == "n = 3"
        assert describe(MaskCase(n=3, window=2, causal=False)) == "n = 3, window = 2, causal = False"
        assert describe(MaskCase(n=3, lengths=(0, 3))) == "n = 3, lengths = (0, 3)"


class TestRun:
    def test_the_same_cases_each_time_and_as_many_as_asked_for(self) -> None:
        """Catches a verdict that changes from run to run."""
        runs: list[list[Any]] = []
        for seed in (1, 2):
            random.seed(seed)
            runs.append([])
            check_of(lambda part, case, setting: runs[-1].append(case), encoder_cases()).run(None, max_examples=7)
        assert runs[0] == runs[1]
        assert len(runs[0]) == 7
        assert len(set(runs[0])) > 4

    def test_the_setting_arrives(self) -> None:
        """Catches a check that is asked for bfloat16 and runs in float64."""
        seen: list[Setting] = []
        check = check_of(lambda part, case, setting: seen.append(setting))
        check.run(None, max_examples=1)
        check.run(None, dtype=torch.float32, autocast=torch.bfloat16, max_examples=1)
        assert seen == [Setting(), Setting("cpu", torch.float32, torch.bfloat16)]
        assert list(map(str, seen)) == ["float64", "bfloat16 autocast"]

    def test_a_part_draws_the_same_numbers_for_every_case(self) -> None:
        """Catches a part that drops at random, and so fails in a case that does not fail when tried again."""
        drawn: list[tuple[float, ...]] = []
        check_of(
            lambda part, case, setting: drawn.append((torch.rand(()).item(), random.random(), np.random.rand()))
        ).run(None, max_examples=5)
        assert len(drawn) == 5
        assert len(set(drawn)) == 1

    def test_gradients_are_on(self) -> None:
        """Catches a check that fails because it was called where gradients are off."""
        with torch.no_grad():
            for_subject("block")[0].run(EncoderBlock, max_examples=2)


def draws(n: int) -> Tensor:
    torch.rand(()), random.random(), np.random.rand()
    return masks.causal(n)


def draws_and_is_wrong(n: int) -> Tensor:
    return ~draws(n)


def draws_and_raises(n: int) -> Tensor:
    draws(n)
    raise ValueError


def draws_and_is_interrupted(n: int) -> Tensor:
    draws(n)
    raise KeyboardInterrupt


class TestNothingIsChanged:
    @pytest.mark.usefixtures("no_shape_checker")  # it draws numbers of Python's, to pick what it looks at
    @pytest.mark.parametrize("part", [draws, draws_and_is_wrong, draws_and_raises, draws_and_is_interrupted])
    def test_random_numbers_are_put_back(self, part: Callable[[int], Tensor]) -> None:
        """Catches a training that goes another way because its parts were checked."""

        def next_numbers() -> tuple[float, ...]:
            return torch.rand(()).item(), random.random(), np.random.rand()

        def seed() -> None:
            torch.manual_seed(5), random.seed(5), np.random.seed(5)

        seed()
        expected = next_numbers()
        seed()
        try:
            CAUSAL.run(part, max_examples=3)
        except (CheckFailed, KeyboardInterrupt):
            assert part is not draws
        assert next_numbers() == expected

    @pytest.fixture
    def bfloat16(self) -> Iterator[torch.dtype]:
        """A default dtype that no check sets."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        yield torch.bfloat16
        torch.set_default_dtype(before)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
    def test_the_default_dtype_is_put_back(self, bfloat16: torch.dtype, dtype: torch.dtype) -> None:
        """Catches float64 left behind as the default, after a module that is right, is wrong, or cannot be built."""
        seen: list[torch.dtype] = []

        class Part(EncoderBlock):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                seen.append(torch.get_default_dtype())
                super().__init__(*arguments, **options)
                if fault == "when built":
                    raise ValueError(fault)

            def forward(self, x: Tensor, mask: Any = None) -> Tensor:
                return super().forward(x, mask) + (1.0 if fault else 0.0)

        for fault in ("", "in the result", "when built"):
            seen.clear()
            try:
                for_subject("block")[0].run(Part, dtype=dtype, max_examples=2)
            except CheckFailed:
                assert fault
            assert torch.get_default_dtype() == bfloat16
            assert set(seen) == {dtype}  # tables are made as exact as the setting is


class TestNarrowed:
    def test_cases_have_these_switches(self) -> None:
        """Catches a preflight of models that the run does not train."""
        seen: list[Any] = []
        check = check_of(lambda part, case, setting: seen.append(case), encoder_cases(activations=("relu", "gelu")))
        check.narrowed(norm_first=True, activation="gelu").run(None, max_examples=20)
        assert {(case.norm_first, case.activation) for case in seen} == {(True, "gelu")}
        assert len({case.n for case in seen}) > 1

    def test_a_switch_that_the_cases_lack_is_ignored(self) -> None:
        """Catches a check of masks that dies of a switch of language models."""
        CAUSAL.narrowed(tie_weights=True, norm_first=False).run(masks.causal, max_examples=2)

    def test_the_check_itself_stays_as_it_was(self) -> None:
        """Catches a preflight after which the catalogue checks one kind of model only."""
        check = for_subject("block")[0]
        narrow = check.narrowed(norm_first=True)
        assert narrow.strategy is not check.strategy
        assert replace(narrow, strategy=check.strategy) == check


class TestCatalogue:
    def test_the_checks_of_a_subject(self) -> None:
        """Catches a check that belongs to no subject, or to two."""
        subjects = dict.fromkeys(check.subject for check in ALL)
        assert sum(len(for_subject(subject)) for subject in subjects) == len(ALL)
        for subject in subjects:
            assert {check.subject for check in for_subject(subject)} == {subject}

    def test_an_unknown_subject(self) -> None:
        """Catches a slip of the pen that passes, since no check of it fails."""
        with pytest.raises(ValueError, match="there are no checks for 'multihead'; there are for attention, ") as error:
            for_subject("multihead")
        for subject in ("attention_module", "block", "encoder", "positions", "mask", "padding", "language_model"):
            assert subject in str(error.value)


class TestAgree:
    def test_it_names_the_place_of_the_largest_difference(self) -> None:
        """Catches '1 of 12 elements differ', which helps nobody."""
        actual = torch.zeros(2, 3, 2)
        actual[0, 1, 0], actual[1, 2, 0] = 0.25, -0.5
        with pytest.raises(AssertionError) as failure:
            agree(actual, torch.zeros(2, 3, 2), 1e-3, "the output", "b n d")
        assert str(failure.value) == (
            "the output differs at b = 1, n = 2, d = 0: expected 0, got -0.5 (off by 5.0e-01; at most 1e-03 is allowed)"
        )

    def test_shapes_have_names(self) -> None:
        """Catches tensors that are compared after broadcasting, and shapes without a word which axis is which."""
        with pytest.raises(AssertionError) as failure:
            agree(torch.zeros(3, 1), torch.zeros(3, 2), 1.0, "it", "n d")
        assert str(failure.value) == "it must have the shape (n d) = (3, 2); got (n d) = (3, 1)"

    @pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
    def test_what_is_not_finite_differs(self, number: float) -> None:
        """Catches NaN, which is larger than no tolerance, so that a plain comparison lets it pass."""
        with pytest.raises(AssertionError, match=r"differs at \[1\]"):
            agree(torch.tensor([0.0, number]), torch.zeros(2), 1e9, "it")
        with pytest.raises(AssertionError, match="expected nan"):
            agree(torch.tensor([0.0, number]), torch.full((2,), torch.nan), 1e9, "it")

    def test_the_tolerance_is_of_the_largest_number(self) -> None:
        """Catches rounding of a large number that counts as an error, and an error in a small one that does not."""
        agree(torch.tensor([1e6 + 1, 1.0]), torch.tensor([1e6, 0.0]), 1e-5, "it")
        with pytest.raises(AssertionError, match=r"expected 0\.1, got 0\.2"):
            agree(torch.tensor([0.2]), torch.tensor([0.1]), 1e-2, "it")

    @pytest.mark.usefixtures("no_shape_checker")
    def test_what_is_no_tensor(self) -> None:
        """Catches a part that returns its weights too, and an error that does not say so."""
        with pytest.raises(AssertionError, match="the output must be a tensor; got tuple"):
            agree((torch.zeros(1), torch.zeros(1)), torch.zeros(1), 0.0, "the output")  # type: ignore[arg-type]

    def test_masks_are_told_as_true_and_false(self) -> None:
        """Catches a mask that is compared with a tolerance, or told in numbers."""
        with pytest.raises(AssertionError, match=r"expected False, got True$"):
            agree(torch.tensor([True]), torch.tensor([False]), 0.0, "the mask", "j")


def test_no_check_is_an_assert_statement() -> None:
    """Catches checks that pass everything under `python -O`, which strips every assert."""
    for file in Path(checks.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)], file
