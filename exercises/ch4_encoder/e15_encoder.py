"""The encoder: a stack of blocks, each with weights of its own from the start.

To write: in `TransformerEncoder`, the copies of the block and the forward pass. Given: the signatures, and the check of
`n_blocks`. Not allowed: `nn.TransformerEncoder` and attn_lab's own `TransformerEncoder`.
"""

from copy import deepcopy

from torch import Tensor, nn


class TransformerEncoder(nn.Module):
    """n_blocks copies of one block, each working on what the one before returned.

    Args:
        encoder: one block, called as encoder(x, mask); it is copied, and itself left as it is.
        n_blocks: how many copies.

    The copies are the nn.ModuleList `blocks`. Each begins with initial weights of its own: in each copy, every part
    that has a method `reset_parameters` (PyTorch's layers have it), the block itself included, draws its weights anew.

    Raises:
        ValueError: n_blocks is below 1.
    """

    def __init__(self, encoder: nn.Module, n_blocks: int):
        super().__init__()
        if n_blocks < 1:
            raise ValueError(f"n_blocks must be at least 1; got {n_blocks}")
        raise NotImplementedError("e15 encoder: self.blocks, n_blocks copies, each with its weights drawn anew")

    def forward(self, x: Tensor, mask=None) -> Tensor:
        """(b n d_model) -> (b n d_model), every block under the same mask."""
        raise NotImplementedError("e15 encoder: the blocks in turn")
