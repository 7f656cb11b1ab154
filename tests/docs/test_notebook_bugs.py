"""The notebook's mistakes: each shown at work on a small wrong version, and absent from the library.

docs/walkthrough.md, "What was wrong", names these tests one by one.
"""

import copy
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab import (
    EncoderBlock,
    MultiHeadSelfAttention,
    PositionalEncoding,
    TransformerEncoder,
    TransformerLanguageModel,
    attention,
    fused_attention,
    masks,
)
from attn_lab.training import Batches, batchify, evaluate, windows
from attn_lab.training.progress import perplexity
from attn_lab.training.trainer import Trainer

both = pytest.mark.parametrize("attend", [attention, fused_attention])


def model_of(d_model: int = 8, **options: Any) -> TransformerLanguageModel:
    torch.manual_seed(0)
    return TransformerLanguageModel(30, d_model, 2, 8, 2, **options).double().eval()


def ids(*shape: int) -> Tensor:
    return torch.randint(30, shape, generator=torch.Generator().manual_seed(1))


def heads(*shape: int) -> list[Tensor]:
    """Query, key and value of the same shape, (b h n d)."""
    source = torch.Generator().manual_seed(2)
    return [torch.randn(shape, generator=source, dtype=torch.float64) for _ in range(3)]


def weights_of(query: Tensor, key: Tensor, mask: Tensor | None = None, fill: float = -math.inf) -> Tensor:
    """The weights as everyone writes them."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    return (scores if mask is None else scores.masked_fill(~mask, fill)).softmax(dim=-1)


def test_a_row_is_a_text_of_its_own() -> None:
    """Catches time-first windows in a batch-first model: the words of one moment are read as if they were a text."""
    model = model_of()
    inputs, _ = next(windows(batchify(ids(40), 4), 7))
    other_row, other_past = inputs.clone(), inputs.clone()
    other_row[0] = (inputs[0] + 1) % 30
    other_past[:, 0] = (inputs[:, 0] + 1) % 30

    def time_first(batch: Tensor) -> Tensor:
        return model(batch.T).transpose(0, 1)

    # Wrong, and without an error: row 1 depends on row 0, and no word on the words before it.
    assert time_first(inputs).shape == model(inputs).shape
    assert not torch.equal(time_first(other_row)[1], time_first(inputs)[1])
    assert torch.equal(time_first(other_past)[:, 1:], time_first(inputs)[:, 1:])
    # Right: the other way round.
    assert torch.equal(model(other_row)[1:], model(inputs)[1:])
    assert (model(other_past)[:, 1:] != model(inputs)[:, 1:]).any(dim=-1).all()


def test_the_embedding_is_scaled() -> None:
    """Catches an embedding without √d_model: positions of size 1 drown words of size 0.1."""

    def distances(model: TransformerLanguageModel) -> tuple[float, float]:
        """How far apart two words at one position are, and one word at two positions."""
        seen: list[Tensor] = []
        model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        model(torch.tensor([[5] * 20, [6] * 20]))
        (x,) = seen
        return (x[0] - x[1]).norm(dim=-1).mean().item(), (x[0, :10] - x[0, 10:]).norm(dim=-1).mean().item()

    words, places = distances(model_of(200, scale_embedding=False))
    assert words < places / 5
    words, places = distances(model_of(200))
    assert words > places


def test_positions_run_along_the_text() -> None:
    """Catches `pe[:x.size(0)]` with the batch first: it numbers the texts of a batch, not their words."""
    module = PositionalEncoding(6, dropout=0.0)

    def along_the_batch(x: Tensor) -> Tensor:
        return x + module.pe[: x.shape[0], None]

    same_words = torch.ones(3, 5, 6)
    x = along_the_batch(same_words)
    assert (x == x[:, :1]).all()  # every place alike: the order of the words is lost
    assert not torch.equal(x[0], x[1])  # and a text depends on its place in the batch
    x = module(same_words)
    assert all((x[:, i] != x[:, j]).any() for i in range(5) for j in range(i))
    assert (x == x[:1]).all()


def test_each_window_gets_a_mask_of_its_own_length() -> None:
    """Catches a mask of the full window kept for the short last one, and a short one kept for the next epoch."""
    model = model_of()
    batched = batchify(ids(70), 4)
    epoch = [inputs for inputs, _ in windows(batched, 7)]
    assert [inputs.shape[1] for inputs in epoch] == [7, 7, 2]

    kept = masks.causal(7)
    with pytest.raises(ValueError, match=r"got the shape \(7, 7\)"):
        [model(inputs, kept) for inputs in epoch]
    kept = kept[:2, :2]  # cut for the last window only, and never made whole again
    with pytest.raises(ValueError, match=r"got the shape \(2, 2\)"):
        model(epoch[0], kept)

    logits = [[model(inputs) for inputs in epoch] for _ in range(2)]
    assert all(torch.equal(first, second) for first, second in zip(*logits))
    for inputs, scores in zip(epoch, logits[0]):
        assert torch.equal(scores, model(inputs, torch.ones([inputs.shape[1]] * 2, dtype=torch.bool).tril()))


def test_everything_is_where_the_text_is() -> None:
    """Catches `.to(device)` whose result is thrown away; "meta" stands in for a GPU here."""
    model, src = model_of().to("meta"), ids(2, 5).to("meta")

    mask = masks.causal(5)
    mask.to("meta")
    with pytest.raises(RuntimeError, match="device"):
        model(src, mask)

    assert model(src).device.type == "meta"
    trainer = SimpleNamespace(
        corpus=SimpleNamespace(split=lambda _: ids(80), name="some"),
        recipe=SimpleNamespace(window=7),
        batches=Batches(),
        accelerator=SimpleNamespace(device=torch.device("meta")),
    )
    assert Trainer._rows(trainer, "train", 4).device.type == "meta"


def test_blocks_start_apart() -> None:
    """Catches an encoder of deep copies: n blocks that begin with the same random weights."""
    block = EncoderBlock(MultiHeadSelfAttention(8, 2), 8, 8)

    def matrices(blocks: nn.ModuleList) -> list[list[Tensor]]:
        return [[weight for weight in block.parameters() if weight.ndim > 1] for block in blocks]

    first, second = matrices(nn.ModuleList(copy.deepcopy(block) for _ in range(2)))
    assert all(torch.equal(*pair) for pair in zip(first, second))
    first, second = matrices(TransformerEncoder(block, 2).blocks)
    assert not any(torch.equal(*pair) for pair in zip(first, second))


@both
def test_no_dropout_is_a_choice(attend: Callable) -> None:
    """Catches dropout=None, the signature's own default, that is called nevertheless."""

    def calls_it(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
        return dropout(weights_of(query, key, mask)) @ value

    query, key, value = heads(2, 3, 4, 5)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        calls_it(query, key, value)
    expected = calls_it(query, key, value, dropout=nn.Identity())
    torch.testing.assert_close(attend(query, key, value), expected)
    torch.testing.assert_close(attend(query, key, value, None, None), expected)
    x = torch.ones(2, 4, 6)
    assert MultiHeadSelfAttention(6, 2, attention=attend)(x, x, x).isfinite().all()


@both
def test_evaluation_drops_nothing(attend: Callable) -> None:
    """Catches `F.dropout(x, p)`, whose default is training, and a fused kernel that is given p in eval mode."""
    query, key, value = heads(2, 3, 8, 5)
    dropout = nn.Dropout(0.5).eval()
    torch.manual_seed(0)

    def with_the_function() -> Tensor:
        return F.dropout(weights_of(query, key), dropout.p) @ value

    def with_the_kernel() -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout.p)

    for wrong in (with_the_function, with_the_kernel):
        assert not torch.equal(wrong(), wrong())
    torch.testing.assert_close(attend(query, key, value, None, dropout), weights_of(query, key) @ value)
    model = model_of(dropout=0.5, attention=attend)
    assert torch.equal(model(ids(2, 6)), model(ids(2, 6)))
    assert not torch.equal(model.train()(ids(2, 6)), model(ids(2, 6)))


@both
def test_a_mask_of_three_axes_is_per_example(attend: Callable) -> None:
    """Catches `(b i j)` read as `(h i j)`: with as many heads as texts, head 1 gets text 1's mask."""
    query, key, value = heads(2, 2, 5, 3)
    mask = torch.stack([torch.ones(5, 5, dtype=torch.bool).tril(), torch.eye(5, dtype=torch.bool)])

    right = [weights_of(query[k], key[k], mask[k]) @ value[k] for k in range(2)]
    wrong = weights_of(query, key, mask) @ value
    assert not torch.allclose(wrong[0, 1], right[0][1])
    torch.testing.assert_close(wrong[0, 1], value[0, 1])  # text 1 sees only itself, and now head 1 of text 0 does
    with pytest.raises(RuntimeError, match="must match"):
        weights_of(*heads(2, 3, 5, 3)[:2], mask)

    torch.testing.assert_close(attend(query, key, value, mask), torch.stack(right))
    three_heads = heads(2, 3, 5, 3)
    expected = [weights_of(*[x[k] for x in three_heads[:2]], mask[k]) @ three_heads[2][k] for k in range(2)]
    torch.testing.assert_close(attend(*three_heads, mask), torch.stack(expected))


@both
def test_a_query_without_keys_gets_zeros(attend: Callable) -> None:
    """Catches -1e9, which lets such a query see everything evenly, and -inf, which makes it and all gradients NaN."""
    query, key, value = (x.requires_grad_() for x in heads(2, 3, 4, 5))
    mask = masks.padding([4, 0], 4)

    uniform = weights_of(query, key, mask, fill=-1e9) @ value
    torch.testing.assert_close(uniform[1, :, 0], value[1].mean(dim=1))
    broken = weights_of(query, key, mask) @ value
    assert broken[1].isnan().all()
    # Mending the output afterwards leaves the NaN in the gradient of the values.
    assert torch.autograd.grad(broken.nan_to_num().sum(), value)[0].isnan().any()

    output = attend(query, key, value, mask)
    assert (output[1] == 0).all()
    torch.testing.assert_close(output[0], broken[0])
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(output.sum(), [query, key, value]))


def test_perplexity_is_of_the_mean_loss() -> None:
    """Catches a mean of the windows' perplexities, which is never below the perplexity of the text."""
    model = nn.Embedding(30, 30, dtype=torch.float64)  # logits from the word alone
    model.weight.data = 3 * torch.randn(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    batched = batchify(ids(65), 2)
    log_p = model.weight.detach().log_softmax(dim=-1)

    losses = [-log_p[inputs, targets] for inputs, targets in windows(batched, 5)]
    of_the_text = math.exp(torch.cat(losses, dim=1).mean())
    of_windows = sum(math.exp(loss.mean()) for loss in losses) / len(losses)
    assert of_windows > 1.1 * of_the_text
    assert perplexity(evaluate(model, batched, 5)) == pytest.approx(of_the_text, rel=1e-12)
    assert perplexity(evaluate(model, batched, 31)) == pytest.approx(of_the_text, rel=1e-12)
