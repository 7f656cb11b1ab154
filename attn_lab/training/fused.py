"""The optimizer's step in one kernel, where the device has one."""

import torch

HAS_CPU_KERNELS = torch.__version__ >= torch.torch_version.TorchVersion("2.4")


def use_fused(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Let the optimizer take its fused kernel: the same step, with each weight read and written once."""
    if device.type == "cuda" or (device.type == "cpu" and HAS_CPU_KERNELS):
        for group in optimizer.param_groups:
            if "fused" in group:
                group.update(fused=True, foreach=False)
