"""`attn-lab bench train`: a training step of ours against the same model built of nn.TransformerEncoder."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import attn_lab
from attn_lab.bench.side_by_side import take_turns
from attn_lab.bench.twin import TorchLanguageModel
from attn_lab.parts import Parts
from attn_lab.training.devices import PRECISIONS
from attn_lab.training.loop import cross_entropy, train_epoch
from attn_lab.training.losses import loss_of
from attn_lab.training.recipes import Recipe

PTB_TYPES = 9_922  # the vocabulary of the notebook's protocol: the output layer is most of the work

TWIN = "nn.TransformerEncoder"
PARTS = {"attn_lab, einsum": Parts(attention=attn_lab.attention), "attn_lab, fused": Parts()}
CHUNKED = "attn_lab, fused, chunked loss"
MODELS = (TWIN, *PARTS, CHUNKED)


@dataclass(frozen=True)
class StepTime:
    """One model in one precision."""

    model: str
    precision: str
    milliseconds: float
    to_twin: float  # time, against nn.TransformerEncoder in the same precision
    to_float32: float  # time, against itself in float32
    peak_mib: float | None  # memory of the process, above what it held before its first step; None where unknown


@dataclass(frozen=True)
class Bounds:
    """What limits a float32 step."""

    step_gflop: float
    output_share_of_flops: float  # of the product with the output layer
    output_share_of_time: float  # of that product and the softmax over the vocabulary
    matmul_gflops: float  # the machine's own best on a large product
    fraction_of_peak: float  # reached by the whole step


def compare(recipe: Recipe, device: str, rounds: int) -> list[StepTime]:
    """All models in all precisions, taking turns."""
    steps = {(m, p): training_step(recipe, m, p, device) for p in PRECISIONS for m in MODELS}
    named = {f"{model} {precision}": step for (model, precision), step in steps.items()}
    times = take_turns(named, rounds)
    rows = []
    for model, precision in steps:
        own = times[f"{model} {precision}"]
        twin = times[f"{TWIN} {precision}"]
        float32 = times[f"{model} {PRECISIONS[0]}"]
        rows.append(
            StepTime(
                model,
                precision,
                own.milliseconds,
                own.ratio / twin.ratio,
                own.ratio / float32.ratio,
                peak_memory(recipe, model, precision, device),
            )
        )
    return rows


def build(recipe: Recipe, model: str) -> nn.Module:
    """A model of the recipe's shape on the Penn Treebank's vocabulary."""
    torch.manual_seed(0)
    if model == TWIN:
        return TorchLanguageModel(
            PTB_TYPES, recipe.d_model, recipe.nhead, recipe.d_hid, recipe.nlayers, dropout=recipe.dropout
        )
    return recipe.model(PTB_TYPES, PARTS.get(model, Parts()))


def training_step(recipe: Recipe, model: str, precision: str, device: str) -> Callable[[], Tensor]:
    """One step of the taught loop, on random tokens, ready to be called again and again."""
    network = build(recipe, model).to(device)
    objective: nn.Module = loss_of(network, "chunked" if model == CHUNKED else "plain")
    if precision == "bf16":
        objective.forward = torch.autocast(torch.device(device).type, dtype=torch.bfloat16)(objective.forward)
    optimizer = recipe.optimizer_for(network)
    batch = random_batch(recipe, device)
    return lambda: next(train_epoch(network, [batch], optimizer, clip=recipe.clip, loss_of=objective))


def random_batch(recipe: Recipe, device: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets of the recipe's shape."""
    shape = (2, recipe.batch_size, recipe.window)
    inputs, targets = torch.randint(PTB_TYPES, shape, generator=torch.Generator().manual_seed(0)).to(device)
    return inputs, targets


def bounds(recipe: Recipe, device: str, rounds: int) -> Bounds:
    """Count and time where a float32 step of the fused model goes."""
    tokens = recipe.batch_size * recipe.window
    # The einsum form, without dropout's own kernels in the way: the counter sees no FLOPs in the CPU's fused attention.
    with FlopCounterMode(display=False) as counter:
        training_step(recipe, "attn_lab, einsum", "fp32", device)()
    flop = counter.get_total_flops()
    output_flop = 3 * 2 * tokens * recipe.d_model * PTB_TYPES  # forward, and backward for input and weight

    layer = nn.Linear(recipe.d_model, PTB_TYPES).to(device)
    hidden = torch.randn(recipe.batch_size, recipe.window, recipe.d_model, device=device, requires_grad=True)
    _, targets = random_batch(recipe, device)
    size = 2048
    a, b = torch.randn(2, size, size, device=device)
    times = take_turns(
        {
            "step": training_step(recipe, "attn_lab, fused", "fp32", device),
            "output": lambda: cross_entropy(layer(hidden), targets).backward(),
            "matmul": partial(torch.matmul, a, b),
        },
        rounds,
    )
    matmul_gflops = 2 * size**3 / times["matmul"].milliseconds / 1e6
    return Bounds(
        flop / 1e9,
        output_flop / flop,
        times["output"].ratio,
        matmul_gflops,
        flop / 1e6 / times["step"].milliseconds / matmul_gflops,
    )


def peak_memory(recipe: Recipe, model: str, precision: str, device: str) -> float | None:
    """MiB that three steps take at most, in a process of their own: nothing else has touched its memory."""
    command = [sys.executable, "-m", "attn_lab.bench.training_memory", recipe.name, model, precision, device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the memory of {model} could not be measured: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout) if done.stdout.strip() else None
