"""A watch over memory: no tensor as large as n x n may be made while it looks."""

from typing import Any

from attn_lab.checks.largest_tensor import LargestTensor


class NoSquare(LargestTensor):
    """While it is on, no operation may make a tensor of n² elements or more, forward or backward.

    `elements` is the size of the largest that was made. Take n so large that what is allowed (b h n d, b h n w) stays
    far below n².
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """PyTorch's hook: every operation passes here."""
        output = super().__torch_dispatch__(func, types, args, kwargs)
        if self.elements >= self.n**2:
            raise AssertionError(
                f"{func} made a tensor of {self.elements} elements, shape {self.shape}; n² = {self.n**2}"
            )
        return output
