"""Peak memory of a few training steps; run as a process of its own: python -m attn_lab.bench.memory RECIPE MODEL …"""

import re
import sys
from pathlib import Path

import psutil
import torch

from attn_lab.bench.training import training_step
from attn_lab.training.recipes import recipe


def main(recipe_name: str, model: str, precision: str, device: str) -> None:
    """Print MiB above what the process held before; nothing where the system does not tell."""
    before = resident_peak()
    step = training_step(recipe(recipe_name), model, precision, device)
    for _ in range(3):
        step()
    if torch.device(device).type == "cuda":
        print(torch.cuda.max_memory_allocated() / 2**20)
    elif before is not None:
        after = resident_peak()
        print((after - before) / 2**20 if after else "")


def resident_peak() -> float | None:
    """Bytes that this process has held at most; None where the system does not tell."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":  # getrusage would count what the parent held when it forked
        status = Path("/proc/self/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return 1024 * float(found[1]) if found else None
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


if __name__ == "__main__":
    main(*sys.argv[1:])
