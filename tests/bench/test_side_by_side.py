"""The measuring itself: turns, medians, ratios within a round."""

from attn_lab.bench import side_by_side
from attn_lab.bench.memory import resident_peak
from attn_lab.bench.training import MODELS, PTB_TYPES, build, random_batch
from attn_lab.training import recipe


def test_candidates_take_turns() -> None:
    """Catches one candidate measured after the other: whatever slows the machine would be blamed on one of them."""
    calls: list[str] = []
    side_by_side.take_turns({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=3, warm_up=1)
    assert calls == list("abababab")


def test_the_ratio_is_the_median_of_the_rounds(monkeypatch) -> None:
    """Catches a ratio of medians, which a slow minute that hits a few rounds of both distorts."""
    clock = iter([10.0, 30.0, 1000.0, 2000.0, 10.0, 40.0])  # a, b in each of three rounds
    monkeypatch.setattr(side_by_side, "_milliseconds", lambda _: next(clock))
    times = side_by_side.take_turns({"a": lambda: None, "b": lambda: None}, rounds=3, warm_up=0)
    assert times["a"] == side_by_side.Timing(10.0, 1.0)
    assert times["b"] == side_by_side.Timing(40.0, 3.0)


def test_the_models_are_the_same_size() -> None:
    """Catches a race between models of different sizes."""
    sizes = {sum(p.numel() for p in build(recipe("notebook"), name).parameters()) for name in MODELS}
    assert len(sizes) == 1


def test_the_batch_has_the_recipes_shape() -> None:
    """Catches a benchmark of other shapes than it says."""
    inputs, targets = random_batch(recipe("notebook"), "cpu")
    assert inputs.shape == targets.shape == (20, 35)
    assert int(inputs.min()) >= 0
    assert int(inputs.max()) < PTB_TYPES


def test_memory_is_measured_in_bytes() -> None:
    """Catches kilobytes taken for bytes: this process holds torch, far more than a few MiB."""
    peak = resident_peak()
    assert peak is None or 50 * 2**20 < peak < 2**40
