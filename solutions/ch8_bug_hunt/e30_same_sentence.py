"""A language model that scores sentences: it trains, and scores the same sentence otherwise in each row of a batch.

To write: the repair. The program has one bug, a matter of a line or two; run the file to see it at work. Given: all of
it, and this may not change: `Reader`'s arguments and the names of its parts, ids (b n) in and logits (b n v) out. Not
allowed: attn_lab's `PositionalEncoding` and `TransformerLanguageModel`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab import EncoderBlock, MultiHeadSelfAttention, TransformerEncoder, corpora, masks
from attn_lab.training import batchify, windows


class Reader(nn.Module):
    """Embed, add the paper's sinusoids, attend to the past, score each word as the next one.

    Its parts: `embedding`, `encoder` and `decoder`; `pe` is the table of sinusoids and is not learned.
    """

    def __init__(self, ntoken: int, d_model: int, nhead: int, d_hid: int, nlayers: int, max_len: int = 512) -> None:
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(ntoken, d_model)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        block = EncoderBlock(MultiHeadSelfAttention(d_model, nhead), d_model, d_hid, dropout=0.0)
        self.encoder = TransformerEncoder(block, nlayers)
        self.decoder = nn.Linear(d_model, ntoken)
        position = torch.arange(max_len, dtype=torch.float64)[:, None]
        frequency = torch.exp(-math.log(10000.0) * torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
        pe = torch.zeros(max_len, 1, d_model)
        pe[:, 0, 0::2] = torch.sin(position * frequency)
        pe[:, 0, 1::2] = torch.cos(position * frequency)[:, : d_model // 2]
        self.register_buffer("pe", pe, persistent=False)

    def forward(self, src: Tensor) -> Tensor:
        """Logits (b n v) of the word after each position of the texts (b n)."""
        # answer: the bug is here
        x = self.embedding(src) * math.sqrt(self.d_model)

        # The table is (max_len 1 d_model), made for texts whose first axis is time. Here the first axis is the batch,
        # and `pe[: x.shape[0]]` would number the texts: (b 1 d_model) broadcasts without a word. The positions run
        # along the second axis.
        n = src.shape[1]
        x = x + self.pe[:n, 0]

        mask = masks.causal(n, device=src.device)
        return self.decoder(self.encoder(x, mask))
        # instead of:
        # x = self.embedding(src) * math.sqrt(self.d_model)
        # x = x + self.pe[: x.shape[0]]
        # mask = masks.causal(src.shape[1], device=src.device)
        # return self.decoder(self.encoder(x, mask))
        # end of answer


def train(model: nn.Module, rows: Tensor, window: int, n_epochs: int, lr: float = 3e-3) -> list[float]:
    """Train on a text in rows (batch length); returns the mean loss of each epoch, in nats per word."""
    optimizer = torch.optim.Adam(model.parameters(), lr)
    losses = []
    for _ in range(n_epochs):
        epoch = []
        for inputs, targets in windows(rows, window):
            loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            epoch.append(loss.item())
        losses.append(sum(epoch) / len(epoch))
    return losses


@torch.no_grad()
def scores(model: nn.Module, sentences: Tensor) -> Tensor:
    """What each sentence (b n) costs in all, in nats: (b); its first word is given."""
    logits, targets = model(sentences[:, :-1]), sentences[:, 1:]
    return F.cross_entropy(logits.mT, targets, reduction="none").sum(dim=1)


def main() -> None:
    """Train, and ask eight times in one batch what one sentence costs."""
    torch.manual_seed(0)
    corpus = corpora.load("toy")
    model = Reader(len(corpus.vocabulary), d_model=32, nhead=2, d_hid=64, nlayers=1)
    for number, loss in enumerate(train(model, batchify(corpus.train, 50), 21, n_epochs=6), start=1):
        print(f"epoch {number}: mean loss {loss:.2f} nats per word")
    sentence = "the dog near the cat barks ."
    costs = scores(model, corpus.vocabulary.encode(sentence.split()).expand(8, -1))
    print(f"{sentence!r}, eight times in one batch:")
    print(*(f"{cost:.2f}" for cost in costs.tolist()), "nats")


if __name__ == "__main__":
    main()
