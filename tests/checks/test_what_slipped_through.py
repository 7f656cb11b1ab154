"""Wrong parts that once passed every check, and answers that once agreed with anything."""

import pickle

import pytest
import torch

from attn_lab import EncoderBlock, MultiHeadSelfAttention, PositionalEncoding, attention
from attn_lab.checks import CheckFailed, for_subject
from attn_lab.checks.cases import MaskCase
from attn_lab.checks.compare import agree
from attn_lab.positions import sinusoids


def failed(subject: str, part: object, dtype: torch.dtype = torch.float32) -> list[str]:
    names = []
    for check in for_subject(subject):
        try:
            check.run(part, dtype=dtype, max_examples=10)
        except CheckFailed:
            names.append(check.name)
    return names


class Float64Table(PositionalEncoding):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len)
        self.pe = sinusoids(max_len, d_model)


class HalfTheDropout(PositionalEncoding):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout / 2, max_len)


def in_float64(query, key, value, mask=None, dropout=None):
    return attention(query, key, value, mask, dropout).double()


def block_with_half_the_dropout(attn, d_model, d_hid, layer_norm_eps=1e-5, dropout=0.1, **options):
    return EncoderBlock(attn, d_model, d_hid, layer_norm_eps, dropout / 2, **options)


def block_with_its_own_epsilon(attn, d_model, d_hid, layer_norm_eps=1e-5, dropout=0.1, **options):
    return EncoderBlock(attn, d_model, d_hid, 1e-5, dropout, **options)


def module_with_half_the_dropout(dim, n_heads, dropout=None, *, attention=attention):
    return MultiHeadSelfAttention(dim, n_heads, None if dropout is None else dropout / 2, attention=attention)


@pytest.mark.parametrize(
    ("subject", "part"),
    [
        ("positions", Float64Table),
        ("positions", HalfTheDropout),
        ("attention", in_float64),
        ("block", block_with_half_the_dropout),
        ("block", block_with_its_own_epsilon),
        ("attention_module", module_with_half_the_dropout),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_it_is_caught_now(subject: str, part: object) -> None:
    """A part that passes the preflight and crashes, or trains otherwise, in the first step."""
    assert failed(subject, part)


def test_an_infinity_does_not_excuse_the_rest() -> None:
    """A tolerance that is a share of the largest expected number, and so infinite with it."""
    expected = torch.tensor([torch.inf, 0.0])
    agree(expected, expected, 0.0, "it")
    with pytest.raises(AssertionError, match="it differs"):
        agree(torch.tensor([torch.inf, 7.0]), expected, 1e-11, "it")


@pytest.mark.parametrize("around", [torch.inference_mode(), torch.no_grad(), torch.autocast("cpu", torch.bfloat16)])
def test_the_callers_mode_makes_no_difference(around: object) -> None:
    """A check that fails because it was started in inference mode or under autocast."""
    with around:
        for check in for_subject("block"):
            check.run(EncoderBlock, dtype=torch.float32, max_examples=3)


def test_a_failed_check_crosses_processes() -> None:
    """A verdict that cannot be sent to the process that shows it."""
    error = CheckFailed("a name", "a reason", MaskCase(n=3))
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert (copy.reason, copy.case) == ("a reason", MaskCase(n=3))
