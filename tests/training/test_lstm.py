"""The LSTM that stands beside the transformer: what it computes, and a run of it from proof to report."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attn_lab import Parts, attention
from attn_lab.attending import NoWeights, attention_weights
from attn_lab.training import PreflightFailed, RunFolder, Settings, recipe, train
from attn_lab.training.batches import Batches, windows
from attn_lab.training.losses import ChunkedLoss, PlainLoss, loss_of
from attn_lab.training.lstm import LSTMLanguageModel
from attn_lab.training.saved_run import load_run

IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])


def small(**options: float | bool) -> LSTMLanguageModel:
    torch.manual_seed(0)
    model = LSTMLanguageModel(11, 6, 2, **{"dropout": 0.0, **options}).double()  # type: ignore[arg-type]
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def by_hand(model: LSTMLanguageModel, ids: Tensor) -> Tensor:
    """The gates one by one, a token at a time: Hochreiter & Schmidhuber's cell with a forget gate."""
    layer_input = model.embedding.weight[ids] * 6**0.5
    for layer in range(model.lstm.num_layers):
        w_in, w_state, b_in, b_state = (
            getattr(model.lstm, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        state = cell = torch.zeros(ids.shape[0], model.lstm.hidden_size, dtype=torch.float64)
        states = []
        for x in layer_input.unbind(1):
            i, f, g, o = (x @ w_in.T + b_in + state @ w_state.T + b_state).chunk(4, dim=-1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            state = o.sigmoid() * cell.tanh()
            states.append(state)
        layer_input = torch.stack(states, dim=1)
    return layer_input @ model.decoder.weight.T + model.decoder.bias


def test_the_cell_by_hand_outputs_and_gradients() -> None:
    """Catches gates in another order, layers that are left out, and a state that does not begin at zero."""
    model = small()
    got, want = model(IDS), by_hand(model, IDS)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    direction = torch.randn(got.shape, dtype=torch.float64)
    for name, parameter in model.named_parameters():
        mine, theirs = (
            torch.autograd.grad((y * direction).sum(), parameter, retain_graph=True)[0] for y in (got, want)
        )
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")


def test_no_token_sees_what_comes_behind_it() -> None:
    """Catches a bidirectional LSTM, and rows that are read as time."""
    model, other = small(), IDS.clone()
    other[:, 3:] = 7
    torch.testing.assert_close(model(IDS)[:, :3], model(other)[:, :3], rtol=0, atol=0)
    torch.testing.assert_close(model(IDS)[1:], model(IDS[1:]))


def test_dropout_is_where_it_is_said_to_be() -> None:
    """Catches dropout that evaluation still has, and one of the three places without it."""
    model = small(dropout=0.5, output_dropout=0.25)
    assert (model.dropout.p, model.lstm.dropout, model.output_dropout.p) == (0.5, 0.5, 0.25)
    assert not torch.equal(model(IDS), model(IDS))
    model.eval()
    torch.testing.assert_close(model(IDS), by_hand(model, IDS), rtol=1e-12, atol=1e-12)
    model.train()
    model.dropout.p = model.lstm.dropout = 0.0
    kept = model.hidden(IDS) != 0
    assert 0.5 < kept.double().mean() < 0.95


@pytest.mark.parametrize("place", ["dropout", "lstm", "output_dropout"])
def test_each_dropout_works_alone(place: str) -> None:
    """Catches a dropout that is there and is never called."""
    model = small()
    if place == "lstm":
        model.lstm.dropout = 0.5
    else:
        getattr(model, place).p = 0.5
    assert not torch.equal(model(IDS), model(IDS))


def test_it_begins_small() -> None:
    """Catches logits that are large before the first step: the first loss would be far above ln ntoken."""
    model = LSTMLanguageModel(500, 64, 2)
    for weight in (model.embedding.weight, model.decoder.weight):
        assert 0.09 < weight.abs().max() <= 0.1
    assert not model.decoder.bias.any()


def test_the_recipes_options_arrive() -> None:
    """Catches a switch of the recipe that never reaches the model; and parts that would be left out without a word."""
    chosen = replace(recipe("lstm"), d_model=8, nlayers=3, dropout=0.1, output_dropout=0.4)
    model = chosen.model(11, Parts())
    assert isinstance(model, LSTMLanguageModel)
    assert model.decoder.weight is model.embedding.weight
    assert (model.lstm.num_layers, model.lstm.hidden_size, model.dropout.p, model.output_dropout.p) == (3, 8, 0.1, 0.4)
    assert model.scale == 8**0.5
    assert replace(chosen, scale_embedding=False).model(11, Parts()).scale == 1.0
    assert replace(chosen, tie_weights=False).model(11, Parts()).decoder.weight is not model.embedding.weight
    with pytest.raises(ValueError, match=r"LSTM, which has no place for parts of attention; got attention\. Leave"):
        chosen.model(11, Parts(attention=attention))


def test_it_is_of_moderns_size() -> None:
    """Catches a baseline that loses, or wins, by its size."""
    with torch.device("meta"):
        lstm, modern = (
            sum(p.numel() for p in recipe(name).model(10_000, Parts()).parameters()) for name in ("lstm", "modern")
        )
    assert lstm == pytest.approx(modern, rel=0.01)


def test_the_chunked_loss_is_the_plain_one() -> None:
    """Catches a loss by chunks that goes around the LSTM."""
    model = small()
    chunked, plain = loss_of(model, "chunked"), loss_of(model, "plain")
    assert (type(chunked), type(plain)) == (ChunkedLoss, PlainLoss)
    torch.testing.assert_close(chunked(IDS, IDS), plain(IDS, IDS), rtol=1e-12, atol=1e-12)


def test_a_run_from_proof_to_text(tmp_path: Path) -> None:
    """Catches a command that takes every model for a transformer; and a report that proves what was not looked at."""
    small = replace(recipe("lstm"), d_model=32, window=28, batch_size=20, eval_batch_size=5)
    chosen = replace(small, dropout=0.0, output_dropout=0.0, epochs=4, warmup=3)
    run = RunFolder(tmp_path / "run")
    outcome = train(Settings(replace(chosen, lr=2e-2, average=0.5), corpus="toy", device="cpu"), run)
    assert 0.77 < outcome.test_loss < 2.0  # between the language's entropy, and well below its unigram's 2.54
    report = run.report_file.read_text(encoding="utf-8")
    assert "There was nothing to prove: the model is made of PyTorch's own layers." in report
    assert "checks passed" not in report
    saved = load_run(run.path, "cpu")
    assert len(saved.generate("the dog", 3, temperature=1.0, top_k=None, seed=0).split()) == 5
    assert saved.evaluate("test")[0] == pytest.approx(outcome.test_loss, abs=1e-6)
    with pytest.raises(NoWeights):
        attention_weights(saved.model, IDS)


def test_batches_of_ones_own_are_proven(tmp_path: Path) -> None:
    """Catches a target that is its own input: the LSTM is PyTorch's, the batches are not."""

    def its_own(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
        for x, _ in windows(batched, window):
            yield x, x

    tiny = replace(recipe("lstm"), d_model=4, window=28, batch_size=20, eval_batch_size=5, epochs=1)
    settings = Settings(tiny, corpus="toy", device="cpu")
    with pytest.raises(PreflightFailed, match="batches: "):
        train(settings, RunFolder(tmp_path / "wrong"), batches=Batches(windows=its_own))
    right = Batches(windows=lambda batched, window: windows(batched, window))
    train(settings, run := RunFolder(tmp_path / "right"), batches=right)
    assert {check["subject"] for check in run.read_config()["preflight"]} == {"batches"}
    assert "checks passed on this device" in run.report_file.read_text(encoding="utf-8")
