"""The largest tensor that is made while one looks: what shows that a table of n x n was never there."""

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LargestTensor(TorchDispatchMode):
    """While it is on, it notes the largest tensor that any operation makes, forward or backward.

    `elements` is how many numbers that has, and `shape` its shape. A view makes nothing: what counts is the memory
    behind a tensor, and only where none of the operation's inputs lies in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0
        self.shape: tuple[int, ...] = ()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """PyTorch's hook: every operation passes here."""
        output = func(*args, **(kwargs or {}))
        given = {_memory(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        for made in tree_leaves(output):
            if isinstance(made, Tensor) and _memory(made) not in given:
                elements = made.untyped_storage().nbytes() // made.element_size()
                if elements > self.elements:
                    self.elements, self.shape = elements, tuple(made.shape)
        return output


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
