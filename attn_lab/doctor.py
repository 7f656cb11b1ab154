"""What `attn-lab doctor` shows: versions, devices, and whether the parts are proven on this machine."""

import torch
from rich.console import Console

from attn_lab.checks import preflight
from attn_lab.own_parts import OwnParts
from attn_lab.tables import Row, rich_table
from attn_lab.training.devices import resolve_device
from attn_lab.training.versions import versions


def examine(console: Console, device: str, precision: str, own: OwnParts) -> bool:
    """Print the tables; True if every check passed."""
    device = resolve_device(device)
    console.print(rich_table("Versions", ("what", "version"), list(versions().items())))
    console.print(rich_table("Devices", ("device", "here"), _devices()))
    for line in own.lines:
        console.print(line, highlight=False, soft_wrap=True)
    results = preflight(own.parts, device=device, precision=precision, masks=own.masks, batches=own.batches)
    rows = [
        (r.subject, r.name, "[green]passed" if r.passed else f"[red]{r.message}", f"{r.seconds:.2f} s") for r in results
    ]
    masks = "" if own.masks == "all" else ", with the masks that a training run has"
    title = f"Preflight on {device}, {precision}{masks}"
    console.print(rich_table(title, ("part", "property", "result", "time"), rows))
    failed = sum(not r.passed for r in results)
    console.print(f"{len(results) - failed} passed, {failed} failed", highlight=False)
    return failed == 0


def _devices() -> list[Row]:
    found: list[Row] = [("cpu", f"{torch.get_num_threads()} threads")]
    found += [(f"cuda:{k}", torch.cuda.get_device_name(k)) for k in range(torch.cuda.device_count())]
    found.append(("mps", "yes" if torch.backends.mps.is_available() else "no"))
    return found
