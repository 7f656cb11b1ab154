"""A watch over memory: no tensor as large as n x n may be made while it looks."""

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class NoSquare(TorchDispatchMode):
    """While it is on, no operation may make a tensor of n² elements or more, forward or backward.

    `largest` is the largest that was made, in elements. A view makes nothing: what counts is the memory behind a
    tensor, and only where none of the operation's inputs lies in it. Take n so large that what is allowed (b h n d,
    b h n w) stays far below n².
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """PyTorch's hook: every operation passes here."""
        output = func(*args, **(kwargs or {}))
        given = {_memory(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        for made in tree_leaves(output):
            if isinstance(made, Tensor) and _memory(made) not in given:
                elements = made.untyped_storage().nbytes() // made.element_size()
                self.largest = max(self.largest, elements)
                if elements >= self.n**2:
                    raise AssertionError(
                        f"{func} made a tensor of {elements} elements, shape {tuple(made.shape)}; n² = {self.n**2}"
                    )
        return output


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
