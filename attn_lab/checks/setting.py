"""Where an implementation is tried: device, dtype, autocast, and how exact an answer is there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Largest difference from the float64 truth, as a share of the largest number in it. Twenty to fifty times what the
# reference was measured to be off by, since a correct implementation may add in another order.
TOLERANCE = {
    torch.float64: 1e-11,
    torch.float32: 2e-4,  # 1e-6 in one attention; the gradient of a stack of layer norms multiplies it
    torch.float16: 3e-2,  # 11 bits: 5e-4 in one rounding
    torch.bfloat16: 2e-1,  # 8 bits: 4e-3 in one rounding, and a block makes a dozen in a row
}


HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Setting:
    """A device, the dtype of inputs and weights there, and the dtype of autocast (None: no autocast)."""

    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float64
    autocast: torch.dtype | None = None

    def __str__(self) -> str:
        dtype = str(self.autocast or self.dtype).removeprefix("torch.")
        return f"{dtype} autocast" if self.autocast else dtype

    @property
    def tolerance(self) -> float:
        """How far an answer may be off, for numbers of size 1."""
        reduced = torch.device(self.device).type == "cuda" and torch.get_float32_matmul_precision() != "highest"
        if self.dtype == torch.float32 and self.autocast is None and reduced:
            return TOLERANCE[torch.float16]  # TF32 keeps as many bits as float16
        return TOLERANCE[self.autocast or self.dtype]

    def put(self, host: Tensor) -> Tensor:
        """The tensor here: numbers in this dtype, masks and token ids as they are."""
        return host.to(self.device, self.dtype if host.is_floating_point() else host.dtype)

    def build(self, make: Callable[[], nn.Module]) -> nn.Module:
        """The module that `make` returns, here; tables that it computes are made in float64 where that is asked for."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64 if self.dtype == torch.float64 else torch.float32)
        try:
            module = make()
        finally:
            torch.set_default_dtype(before)
        # Half precision is asked for by casting, as a user would; elsewhere a wrong dtype inside shall show.
        return module.to(self.device, self.dtype) if self.dtype in HALF else module.to(self.device)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The implementation's forward pass runs inside: gradients on, autocast as the setting says."""
        kind = torch.device(self.device).type
        with torch.inference_mode(False), torch.enable_grad():
            if self.autocast is None and not _autocast_is_on(kind):
                yield  # a device without any autocast is not asked to switch it off
            else:
                with torch.autocast(kind, dtype=self.autocast, enabled=self.autocast is not None):
                    yield


def _autocast_is_on(kind: str) -> bool:  # not efficient.autocast's: what is judged with has nothing of what is judged
    try:
        return torch.is_autocast_enabled(kind)
    except (TypeError, RuntimeError):  # before torch 2.4 each device had a question of its own
        return torch.is_autocast_enabled() or torch.is_autocast_cpu_enabled()


EXACT = Setting()
