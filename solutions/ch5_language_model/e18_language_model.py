"""The language model: from token ids to a score for every word of the vocabulary, as the next one at every position.

To write: the factor on the embedding and the tied weights in the constructor, and the forward pass. Given: the
signature, the parts, which the constructor builds, the check of the ids, and `generate`. Not allowed: attn_lab's own
TransformerLanguageModel, and PyTorch's Transformer layers.
"""

import math

from torch import Tensor, nn

import attn_lab


class TransformerLanguageModel(nn.Module):
    """At every position, a score for each token of the vocabulary to be the next one, given the tokens so far.

    Args:
        ntoken: size of the vocabulary.
        d_model: width of the model.
        nhead: heads in each block.
        d_hid: width inside the feed-forward networks.
        nlayers: number of blocks.
        dropout: a probability; the parts do the dropping, and the model itself drops nothing.
        causal: each token sees itself and the past; False: every token sees all.
        scale_embedding: the embedding is multiplied by √d_model; False: it is taken as it is.
        tie_weights: the output layer's weight is the embedding's, one and the same parameter.
        norm_first: pre-norm blocks. Then `norm` stands behind the last of them; otherwise `norm` does nothing.
        max_len: the longest text.
        attention, attention_module, block, encoder, positions, mask: the parts that the model is built of; the
            reference's, or yours. `mask(n)` returns the causal mask (n n).
    """

    def __init__(
        self,
        ntoken: int,
        d_model: int,
        nhead: int,
        d_hid: int,
        nlayers: int,
        dropout: float = 0.5,
        *,
        causal: bool = True,
        scale_embedding: bool = True,
        tie_weights: bool = False,
        norm_first: bool = False,
        max_len: int = 5000,
        attention=attn_lab.attention,
        attention_module=attn_lab.MultiHeadSelfAttention,
        block=attn_lab.EncoderBlock,
        encoder=attn_lab.TransformerEncoder,
        positions=attn_lab.PositionalEncoding,
        mask=attn_lab.masks.causal,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.mask = mask
        self.max_len = max_len
        self.embedding = nn.Embedding(ntoken, d_model)
        self.positions = positions(d_model, dropout, max_len)
        attn = attention_module(d_model, nhead, dropout, attention=attention)
        self.encoder = encoder(block(attn, d_model, d_hid, dropout=dropout, norm_first=norm_first), nlayers)
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()
        self.decoder = nn.Linear(d_model, ntoken)
        # answer: self.scale, the factor on the embedding; and the tied weights
        # The embedding starts out small and the sinusoids reach 1: without the factor they would drown the words.
        self.scale = math.sqrt(d_model) if scale_embedding else 1.0

        # Not a copy of the numbers but the same Parameter, under two names: what changes one changes the other, and
        # its gradient is the sum of what either use has to say.
        if tie_weights:
            self.decoder.weight = self.embedding.weight
        # end of answer
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Small embedding and output weights; the parts have drawn their own."""
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, src: Tensor, src_mask: Tensor | None = None) -> Tensor:
        """(b n) ids -> (b n ntoken) logits: at each position, of the token after it.

        A `src_mask` is handed to the encoder as it is, in place of the model's own mask.
        """
        self.check_ids(src)
        # answer: embed, scale, positions, mask, encoder, norm, logits
        x = self.embedding(src) * self.scale

        # Attention by itself sees a set; from here on each token knows its place.
        x = self.positions(x)

        # Made for the length at hand, each time: the last window of a text is shorter than the others. And made where
        # the text is, since on a GPU a mask that lies in the computer's own memory fits nothing.
        if src_mask is None and self.causal:
            src_mask = self.mask(src.shape[1]).to(src.device)
        x = self.encoder(x, src_mask)

        # Logits, no probabilities: the loss takes the softmax itself, and more exactly.
        return self.decoder(self.norm(x))
        # end of answer

    def check_ids(self, src: Tensor) -> None:
        """An id outside the vocabulary is an error of the caller; on a GPU, looking would cost a wait in each step."""
        if src.is_cpu and src.numel():
            lowest, highest = int(src.min()), int(src.max())
            if lowest < 0 or highest >= self.embedding.num_embeddings:
                raise ValueError(
                    f"expected ids from 0 to {self.embedding.num_embeddings - 1}; got {lowest} to {highest}"
                )

    # Writing on from a prompt is e21; until then, the reference does it with your forward pass.
    generate = attn_lab.TransformerLanguageModel.generate
