"""The language model that attention took the place of: an LSTM of the same size, for the same recipe's training."""

import math
import sys

from jaxtyping import Float, Int
from torch import Tensor, nn


class LSTMLanguageModel(nn.Module):
    r"""The next token's logits from a state that is carried from token to token, in place of attention.

    $$h_t = \mathrm{LSTM}(\sqrt{d_{model}}\,E[\mathrm{src}_t], h_{t-1}), \quad \mathrm{logits}_t = h_t W + b$$

    The state begins at zero in each text (each window, in a run), as attention sees nothing before it. Dropout is where
    Zaremba et al. have it: on what goes into a layer and out of the last, never from token to token.

    Args:
        ntoken: size of the vocabulary.
        d_model: width of the embedding, and of the state.
        nlayers: number of layers.
        dropout: probability, on the embedding and between layers.
        output_dropout: probability, before the output layer.
        scale_embedding: the factor √d_model on the embedding, as a transformer has it: small inputs move no gate.
        tie_weights: the output layer's weight is the embedding's.

    Cost: O(b n d_model (ntoken + 8 nlayers d_model)) time; n steps, one after the other.

    Source: Hochreiter & Schmidhuber 1997; the regularised form Zaremba et al. 2014, section 3.
    """

    max_len = sys.maxsize  # no table of positions ends anywhere

    def __init__(
        self,
        ntoken: int,
        d_model: int,
        nlayers: int,
        dropout: float = 0.5,
        output_dropout: float = 0.0,
        *,
        scale_embedding: bool = True,
        tie_weights: bool = False,
    ) -> None:
        super().__init__()
        self.scale = math.sqrt(d_model) if scale_embedding else 1.0
        self.embedding = nn.Embedding(ntoken, d_model)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(d_model, d_model, nlayers, batch_first=True, dropout=dropout if nlayers > 1 else 0.0)
        self.output_dropout = nn.Dropout(output_dropout)
        self.decoder = nn.Linear(d_model, ntoken)
        if tie_weights:
            self.decoder.weight = self.embedding.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Small embedding and output weights; nn.LSTM has drawn its own."""
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, src: Int[Tensor, "b n"]) -> Float[Tensor, "b n ntoken"]:
        """Logits of the token after each position."""
        logits: Tensor = self.decoder(self.hidden(src))
        return logits

    def hidden(self, src: Int[Tensor, "b n"]) -> Float[Tensor, "b n d_model"]:
        """What is known at each position, before the output layer."""
        states, _ = self.lstm(self.dropout(self.embedding(src) * self.scale))
        kept: Tensor = self.output_dropout(states)
        return kept
