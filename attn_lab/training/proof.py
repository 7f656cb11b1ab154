"""The proof before a run: one whose parts are not shown to be right does not start."""

import torch
from rich.console import Console

from attn_lab.checks import CheckResult, preflight
from attn_lab.checks.readiness import check_batches
from attn_lab.parts import Parts
from attn_lab.training.batches import Batches
from attn_lab.training.settings import Settings


class PreflightFailed(ValueError):
    """A part is not what it should be, so the run did not start."""


def prove(
    parts: Parts, batches: Batches, settings: Settings, device: torch.device, console: Console
) -> list[CheckResult]:
    """The preflight of what a run uses, on its device, said and judged; without results where none of it is ours.

    Raises:
        PreflightFailed: some checks did not pass, and they are not to be ignored; each is named.
    """
    if settings.recipe.architecture == "transformer":
        console.print("preflight: proving the parts equal to PyTorch's on this device", highlight=False)
        results = preflight(
            parts,
            device=device,
            precision=settings.precision,
            model_options=settings.recipe.switches(),
            masks=settings.preflight_masks,
            batches=batches,
        )
    elif batches != Batches():
        console.print("preflight: proving the batches; the model is PyTorch's own nn.LSTM", highlight=False)
        results = check_batches(batches, device)
    else:
        console.print("preflight: nothing of ours to prove, the model is PyTorch's own nn.LSTM", highlight=False)
        return []
    _judge(results, console, ignore=settings.ignore_preflight)
    return results


def _judge(results: list[CheckResult], console: Console, *, ignore: bool) -> None:
    failed = [result for result in results if not result.passed]
    summary = f"preflight: {len(results) - len(failed)} of {len(results)} checks passed"
    console.print(f"{summary} in {sum(result.seconds for result in results):.1f} s", highlight=False)
    if failed and not ignore:
        first = f"{summary}; the run was not started (--ignore-preflight overrides this, and the report will say so)"
        raise PreflightFailed("\n".join([first] + [f"  {r.subject}: {r.name}: {r.message}" for r in failed]))
