"""What a run was made with: versions and machine, for the report and for `attn-lab doctor`."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

PACKAGES = ("attn-lab", "torch", "einops", "jaxtyping", "hypothesis", "accelerate", "safetensors")


def versions() -> dict[str, str]:
    """Package or part of the machine -> version or name."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["torch"] = torch.__version__  # with the build: +cpu, +cu121
    return found | {"platform": platform.platform(terse=True), "threads": str(torch.get_num_threads())}
