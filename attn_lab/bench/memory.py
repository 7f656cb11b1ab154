"""How much memory some work takes at most; to be asked in a process in which nothing else was done."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import torch


def peak_above(work: Callable[[], object], device: str) -> float | None:
    """MiB that the work takes above what the process held before; None where the system does not tell."""
    if torch.device(device).type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    held = resident_peak()
    work()
    peak = resident_peak()
    return None if held is None or peak is None else (peak - held) / 2**20


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
