"""The coding test: a language model with three holes, to be completed such that the training runs and its loss falls.

To write: `causal`, and the forward passes of `MultiHeadSelfAttention` and `EncoderBlock`. Given: all the rest, from
the text to the training, and it is right; run the file to see it train. Not allowed: PyTorch's attention and
Transformer layers, and attn_lab's attention, MultiHeadSelfAttention, EncoderBlock and masks.
"""

import math

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from attn_lab import PositionalEncoding, corpora


def causal(n: int) -> Tensor:
    """The mask of a language model: boolean (n n), True where query i may attend to key j; itself and the past."""
    # answer: True on the diagonal and below
    return torch.ones(n, n, dtype=torch.bool).tril()
    # end of answer


class MultiHeadSelfAttention(nn.Module):
    """Project to heads, attend in each, put the heads side by side, project back.

    Head k owns the features k * d to (k + 1) * d - 1 of each projection, with d = dim / n_heads.
    """

    def __init__(self, dim: int, n_heads: int, dropout: float | None = None) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = nn.Dropout(dropout or 0.0)  # for the attention weights
        self.linear_query = nn.Linear(dim, dim)
        self.linear_key = nn.Linear(dim, dim)
        self.linear_value = nn.Linear(dim, dim)
        self.linear_cat_attn = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """softmax(Q Kᵀ / √d) V in each head.

        Args:
            query: (b i dim)
            key, value: (b j dim); in self-attention the same as the query.
            mask: boolean, True where a query may attend to a key; it broadcasts to (b h i j). None: everywhere.
                Each query may attend to one key at least.

        Returns:
            (b i dim)
        """
        # answer: project, split, attend in every head, merge, project back
        q, k, v = (
            rearrange(x, "b n (h d) -> b h n d", h=self.n_heads)
            for x in (self.linear_query(query), self.linear_key(key), self.linear_value(value))
        )

        # d is the width of a head: that is how many products each score adds up.
        scores = einsum(q, k, "b h i d, b h j d -> b h i j") / math.sqrt(q.shape[-1])

        # Hidden before the softmax, so that the weights that stay sum to 1.
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = self.dropout(scores.softmax(dim=-1))

        heads = einsum(weights, v, "b h i j, b h j d -> b h i d")
        return self.linear_cat_attn(rearrange(heads, "b h n d -> b n (h d)"))
        # end of answer


class EncoderBlock(nn.Module):
    """Attention and a feed-forward network, each with a residual connection, and a norm after the sum (post-norm)."""

    def __init__(
        self, attn: nn.Module, d_model: int, dim_feedforward: int, layer_norm_eps: float = 1e-5, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.attn = attn  # called as attn(query, key, value, mask)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(b n d_model) to the same: x ← LayerNorm(x + Dropout(Sublayer(x))), with attention, then with the network.

        The network is linear1, ReLU, dropout, linear2.
        """
        # answer: both sub-layers, with their residuals, dropouts and norms
        attended = self.attn(x, x, x, mask)
        x = self.norm1(x + self.dropout(attended))

        transformed = self.linear2(self.dropout(F.relu(self.linear1(x))))
        return self.norm2(x + self.dropout(transformed))
        # end of answer


# From here on everything is given, and right.


class LanguageModel(nn.Module):
    """Ids (b n) to logits (b n ntoken): at each position, of the token after it."""

    def __init__(
        self,
        ntoken: int,
        d_model: int = 64,
        nhead: int = 4,
        d_hid: int = 128,
        nlayers: int = 2,
        dropout: float = 0.1,
        *,
        attention_module=MultiHeadSelfAttention,
        block=EncoderBlock,
        mask=causal,
    ) -> None:
        super().__init__()
        self.mask = mask
        self.scale = math.sqrt(d_model)
        self.embedding = nn.Embedding(ntoken, d_model)
        self.positions = PositionalEncoding(d_model, dropout)
        self.blocks = nn.ModuleList(
            block(attention_module(d_model, nhead, dropout), d_model, d_hid, dropout=dropout) for _ in range(nlayers)
        )
        self.decoder = nn.Linear(d_model, ntoken)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        self.decoder.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        """The causal mask is made for the length at hand: the last window of a text is shorter."""
        mask = self.mask(ids.shape[1]).to(ids.device)
        x = self.positions(self.embedding(ids) * self.scale)
        for block in self.blocks:
            x = block(x, mask)
        return self.decoder(x)


def batchify(ids: Tensor, batch_size: int) -> Tensor:
    """The text in rows of contiguous text, (batch length)."""
    length = len(ids) // batch_size
    return ids[: batch_size * length].view(batch_size, length)


def windows(batched: Tensor, window: int):
    """Inputs and targets (batch n), n <= window; the target of a token is its successor."""
    return zip(batched[:, :-1].split(window, dim=1), batched[:, 1:].split(window, dim=1))


def loss_of(model: nn.Module, inputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """-log p(target), in nats, of all tokens of the batch."""
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction=reduction)


@torch.no_grad()
def evaluate(model: nn.Module, batched: Tensor, window: int) -> float:
    """Nats per token, every token counted once and equally."""
    model.eval()
    losses = [loss_of(model, *pair, reduction="sum").item() for pair in windows(batched, window)]
    return sum(losses) / batched[:, 1:].numel()


def train(
    model: nn.Module,
    corpus: corpora.Corpus,
    *,
    epochs: int = 3,
    batch_size: int = 16,
    window: int = 32,
    lr: float = 3e-3,
    clip: float = 1.0,
    report=lambda epoch, loss: None,
) -> list[float]:
    """The validation loss before the training, and after each epoch; `report` is called with each."""
    rows, valid = batchify(corpus.train, batch_size), batchify(corpus.valid, 10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    losses = [evaluate(model, valid, window)]
    report(0, losses[0])
    for epoch in range(1, epochs + 1):
        model.train()
        for inputs, targets in windows(rows, window):
            optimizer.zero_grad()
            loss_of(model, inputs, targets).backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
        losses.append(evaluate(model, valid, window))
        report(epoch, losses[-1])
    return losses


def main() -> None:
    """English text that ships with Python, and a small model: a few seconds on two cores."""
    torch.manual_seed(0)
    corpus = corpora.load("pydoc")
    model = LanguageModel(len(corpus.vocabulary))
    train(model, corpus, report=lambda epoch, loss: print(f"epoch {epoch}: validation loss {loss:.3f} nats per token"))


if __name__ == "__main__":
    main()
