"""`attn-lab bench train`: a training step of ours against the same model built of nn.TransformerEncoder."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import attn_lab
from attn_lab.bench.side_by_side import Timing, take_turns
from attn_lab.bench.twin import TorchLanguageModel
from attn_lab.parts import Parts
from attn_lab.training.compiled import check_compiles, compiled, graph_safe
from attn_lab.training.devices import PRECISIONS
from attn_lab.training.fused import use_fused
from attn_lab.training.loop import cross_entropy, train_epoch
from attn_lab.training.losses import loss_of
from attn_lab.training.recipe import Recipe

PTB_TYPES = 9_922  # the vocabulary of the notebook's protocol: the output layer is most of the work

PRODUCT = "one large product"
PRODUCT_SIZE = 2048
PRODUCT_FLOP = 2 * PRODUCT_SIZE**3

TWIN = "nn.TransformerEncoder"
PARTS = {"attn_lab, einsum": Parts(attention=attn_lab.attention), "attn_lab, fused": Parts()}
CHUNKED = "attn_lab, fused, chunked loss"
FUSED_OPTIMIZER = f"{CHUNKED}, fused optimizer"  # a step of `attn-lab train`
COMPILED = "attn_lab, fused, compiled, fused optimizer"  # of `attn-lab train --compile`
TWO_PROCESSES = f"{FUSED_OPTIMIZER}, 2 processes"
MODELS = (TWIN, *PARTS, CHUNKED, FUSED_OPTIMIZER, COMPILED)


@dataclass(frozen=True)
class StepTime:
    """One model in one precision."""

    model: str
    precision: str
    milliseconds: float
    to_twin: float  # time, against nn.TransformerEncoder in the same precision
    to_float32: float  # time, against itself in float32
    of_peak: float  # its work by its time, against one large matrix product of the same precision
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
    models = MODELS if can_compile(device) else tuple(m for m in MODELS if m != COMPILED)
    steps = {(m, p): training_step(recipe, m, p, device) for p in PRECISIONS for m in models}
    named = {f"{model} {precision}": step for (model, precision), step in steps.items()}
    times = take_turns(named | {f"{PRODUCT} {p}": large_product(p, device) for p in PRECISIONS}, rounds)
    for precision in PRECISIONS:
        pair = in_two_processes(recipe, precision, device, rounds)
        if pair is not None:
            alone = times[f"{FUSED_OPTIMIZER} {precision}"]
            steps[TWO_PROCESSES, precision] = training_step(recipe, FUSED_OPTIMIZER, precision, device)
            times[f"{TWO_PROCESSES} {precision}"] = Timing(pair, alone.ratio * pair / alone.milliseconds)
    flop = step_flop(recipe, device)
    rows = []
    for model, precision in sorted(steps, key=lambda key: PRECISIONS.index(key[1])):
        own = times[f"{model} {precision}"]
        twin = times[f"{TWIN} {precision}"]
        float32 = times[f"{model} {PRECISIONS[0]}"]
        product = times[f"{PRODUCT} {precision}"]
        rows.append(
            StepTime(
                model,
                precision,
                own.milliseconds,
                own.ratio / twin.ratio,
                own.ratio / float32.ratio,
                flop / PRODUCT_FLOP * product.ratio / own.ratio,
                peak_memory(recipe, model, precision, device),
            )
        )
    return rows


def can_compile(device: str) -> bool:
    """Whether torch.compile works on this machine."""
    try:
        check_compiles(torch.device(device))
    except ValueError:
        return False
    return True


def large_product(precision: str, device: str) -> Callable[[], Tensor]:
    """What this machine's arithmetic can do at best: one product of large square matrices."""
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    a, b = torch.randn(2, PRODUCT_SIZE, PRODUCT_SIZE, device=device).to(dtype)
    return partial(torch.matmul, a, b)


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
    kind = "chunked" if model in (CHUNKED, FUSED_OPTIMIZER) else "plain"
    objective: nn.Module = loss_of(network, kind)
    optimizer = recipe.optimizer_for(network)
    place = torch.device(device)
    if model in (FUSED_OPTIMIZER, COMPILED):
        use_fused(optimizer, place)
    if model == COMPILED:
        objective = compiled(objective, place)

    def in_precision(inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(place.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            return objective(inputs, targets)

    final = graph_safe(in_precision) if model == COMPILED else in_precision
    batch = random_batch(recipe, device)
    return lambda: next(train_epoch(network, [batch], optimizer, clip=recipe.clip, loss_of=final))


def random_batch(recipe: Recipe, device: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets of the recipe's shape."""
    shape = (2, recipe.batch_size, recipe.window)
    inputs, targets = torch.randint(PTB_TYPES, shape, generator=torch.Generator().manual_seed(0)).to(device)
    return inputs, targets


def step_flop(recipe: Recipe, device: str) -> int:
    """Floating-point operations of a step, counted."""
    # The einsum form, without dropout's own kernels in the way: the counter sees no FLOPs in the CPU's fused attention.
    with FlopCounterMode(display=False) as counter:
        training_step(recipe, "attn_lab, einsum", "fp32", device)()
    return counter.get_total_flops()


def bounds(recipe: Recipe, device: str, rounds: int) -> Bounds:
    """Count and time where a float32 step of the fused model goes."""
    tokens = recipe.batch_size * recipe.window
    flop = step_flop(recipe, device)
    output_flop = 3 * 2 * tokens * recipe.d_model * PTB_TYPES  # forward, and backward for input and weight

    layer = nn.Linear(recipe.d_model, PTB_TYPES).to(device)
    hidden = torch.randn(recipe.batch_size, recipe.window, recipe.d_model, device=device, requires_grad=True)
    _, targets = random_batch(recipe, device)
    times = take_turns(
        {
            "step": training_step(recipe, "attn_lab, fused", "fp32", device),
            "output": lambda: cross_entropy(layer(hidden), targets).backward(),
            "matmul": large_product("fp32", device),
        },
        rounds,
    )
    matmul_gflops = PRODUCT_FLOP / times["matmul"].milliseconds / 1e6
    return Bounds(
        flop / 1e9,
        output_flop / flop,
        times["output"].ratio,
        matmul_gflops,
        flop / 1e6 / times["step"].milliseconds / matmul_gflops,
    )


def in_two_processes(recipe: Recipe, precision: str, device: str, rounds: int) -> float | None:
    """Milliseconds of a step of the same batch by two processes, half of the rows each; None without two devices.

    Not in turns with one process: two that wait meanwhile would slow it.
    """
    if torch.device(device).type == "mps" or (torch.device(device).type == "cuda" and torch.cuda.device_count() < 2):
        return None
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    work = ["-m", "attn_lab.bench.two_processes", recipe.name, precision, device, str(rounds)]
    asleep = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that spin while they wait slow the other process
    done = subprocess.run([*launcher, *work], capture_output=True, text=True, check=False, env=asleep)
    if done.returncode:
        raise RuntimeError(f"two processes could not be measured: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


def peak_memory(recipe: Recipe, model: str, precision: str, device: str) -> float | None:
    """MiB that three steps take at most, in a process of their own: nothing else has touched its memory.

    None where they would be the compiler's, or several processes'.
    """
    if model in (COMPILED, TWO_PROCESSES):
        return None
    command = [sys.executable, "-m", "attn_lab.bench.training_memory", recipe.name, model, precision, device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the memory of {model} could not be measured: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout) if done.stdout.strip() else None
