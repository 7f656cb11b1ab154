"""What `attn-lab doctor` shows: versions, devices, and whether the parts are proven on this machine."""

import torch
from rich.console import Console

from attn_lab.checks import preflight
from attn_lab.parts import Parts
from attn_lab.tables import Row, rich_table
from attn_lab.training.devices import resolve_device
from attn_lab.training.versions import versions


def examine(console: Console, device: str, precision: str, parts: Parts) -> bool:
    """Print the tables; True if every check passed."""
    device = resolve_device(device)
    console.print(rich_table("Versions", ("what", "version"), list(versions().items())))
    console.print(rich_table("Devices", ("device", "here"), _devices()))
    results = preflight(parts, device=device, precision=precision)
    rows = [
        (r.subject, r.name, "[green]passed" if r.passed else f"[red]{r.message}", f"{r.seconds:.2f} s") for r in results
    ]
    console.print(rich_table(f"Preflight on {device}, {precision}", ("part", "property", "result", "time"), rows))
    failed = sum(not r.passed for r in results)
    console.print(f"{len(results) - failed} passed, {failed} failed", highlight=False)
    return failed == 0


def _devices() -> list[Row]:
    found: list[Row] = [("cpu", f"{torch.get_num_threads()} threads")]
    found += [(f"cuda:{k}", torch.cuda.get_device_name(k)) for k in range(torch.cuda.device_count())]
    found.append(("mps", "yes" if torch.backends.mps.is_available() else "no"))
    return found
