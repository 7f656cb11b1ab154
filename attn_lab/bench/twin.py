"""The language model that one would build of PyTorch's own layers: the peer that ours is timed against."""

import math

from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_lab.positions import PositionalEncoding


class TorchLanguageModel(nn.Module):
    """nn.TransformerEncoder under a causal mask, between an embedding and an output layer, batch first."""

    def __init__(self, ntoken: int, d_model: int, nhead: int, d_hid: int, nlayers: int, dropout: float) -> None:
        super().__init__()
        self.scale = math.sqrt(d_model)
        self.embedding = nn.Embedding(ntoken, d_model)
        self.positions = PositionalEncoding(d_model, dropout)
        layer = nn.TransformerEncoderLayer(d_model, nhead, d_hid, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, nlayers, enable_nested_tensor=False)
        self.decoder = nn.Linear(d_model, ntoken)

    def forward(self, src: Int[Tensor, "b n"]) -> Float[Tensor, "b n ntoken"]:
        """Logits of the token after each position."""
        mask = nn.Transformer.generate_square_subsequent_mask(src.shape[1], device=src.device)
        x = self.positions(self.embedding(src) * self.scale)
        return self.decoder(self.encoder(x, mask=mask, is_causal=True))
