"""What a training step minimises: the whole table of logits and its cross-entropy, or a chunk of it at a time."""

from typing import cast

from torch import Tensor, nn

from attn_lab.efficient.chunked_loss import linear_cross_entropy
from attn_lab.language_model import TransformerLanguageModel
from attn_lab.training.loop import cross_entropy
from attn_lab.training.lstm import LSTMLanguageModel

LOSSES = ("plain", "chunked")


class PlainLoss(nn.Module):
    """The mean cross-entropy of a model's logits, in nats per token, as a function of inputs and targets."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over the tokens (b n)."""
        return cross_entropy(self.model(inputs), targets)


class ChunkedLoss(PlainLoss):
    """The same number and the same gradients, up to rounding; the logits of all tokens never exist together."""

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over the tokens (b n)."""
        model = cast(TransformerLanguageModel, self.model)
        return linear_cross_entropy(model.hidden(inputs), model.decoder.weight, model.decoder.bias, targets)


def loss_of(model: nn.Module, kind: str) -> PlainLoss:
    """The loss of that kind; plain where the model is one's own, whose forward pass must not be gone around."""
    is_ours = type(model) in (TransformerLanguageModel, LSTMLanguageModel)
    return ChunkedLoss(model) if kind == "chunked" and is_ours else PlainLoss(model)
