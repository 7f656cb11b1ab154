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
        # answer: self.blocks, n_blocks copies, each with its weights drawn anew
        # A ModuleList, not a list: PyTorch finds the parameters of what is in it. deepcopy, since the same block n
        # times would be one set of weights that is used n times.
        self.blocks = nn.ModuleList([deepcopy(encoder) for _ in range(n_blocks)])

        # A copy has the weights of its original, so all blocks would start out as one. modules() walks through a block
        # and everything in it, however deep; a layer that has weights knows how to draw them.
        for block in self.blocks:
            for part in block.modules():
                if hasattr(part, "reset_parameters"):
                    part.reset_parameters()
        # end of answer

    def forward(self, x: Tensor, mask=None) -> Tensor:
        """(b n d_model) -> (b n d_model), every block under the same mask."""
        # answer: the blocks in turn
        # Each block attends anew, so each needs the mask: one without would let the hidden positions in.
        for block in self.blocks:
            x = block(x, mask)
        return x
        # end of answer
