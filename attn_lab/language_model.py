"""A language model from the encoder: embed, add positions, attend to the past, score every word as the next."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_lab import masks
from attn_lab.encoder import EncoderBlock, TransformerEncoder
from attn_lab.multihead import MultiHeadSelfAttention
from attn_lab.positions import PositionalEncoding
from attn_lab.scaled_dot_product import attention


class TransformerLanguageModel(nn.Module):
    r"""The probability of each next token, given the tokens so far.

    $$x = \sqrt{d_{model}}\,E[\mathrm{src}] + PE, \quad \mathrm{logits} = \mathrm{Encoder}(x) W + b$$

    Args:
        ntoken: size of the vocabulary.
        d_model: width of the model.
        nhead: heads in each block.
        d_hid: width inside the feed-forward networks.
        nlayers: number of blocks.
        dropout: probability, everywhere that the paper drops (section 5.4) and on the attention weights.
        causal: each token sees itself and the past; False: bidirectional, every token sees all.
        scale_embedding: the factor √d_model on the embedding (section 3.4). Without it the positions drown the words.
        tie_weights: the output layer's weight is the embedding's (section 3.4).
        norm_first: pre-norm blocks, and one more norm behind the last.
        max_len: the longest text.
        attention, attention_module, block, encoder, positions, mask: the parts it is built of, each called as the
            reference is. `mask` makes the causal mask from a length.

    Raises:
        ValueError: nhead does not divide d_model, or (forward) a text is longer than max_len or, on a CPU, a token id
            is outside the vocabulary (elsewhere looking would cost a wait for the device in each step).

    Cost: O(b n d_model (ntoken + nlayers (n + d_model + d_hid))) time; the logits, b n ntoken, are its largest tensor.
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
        attention: Callable[..., Tensor] = attention,
        attention_module: Callable[..., nn.Module] = MultiHeadSelfAttention,
        block: Callable[..., nn.Module] = EncoderBlock,
        encoder: Callable[..., nn.Module] = TransformerEncoder,
        positions: Callable[..., nn.Module] = PositionalEncoding,
        mask: Callable[[int], Tensor] = masks.causal,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.mask = mask
        self.max_len = max_len
        self.scale = math.sqrt(d_model) if scale_embedding else 1.0
        self.embedding = nn.Embedding(ntoken, d_model)
        self.positions = positions(d_model, dropout, max_len)
        attn = attention_module(d_model, nhead, dropout, attention=attention)
        self.encoder = encoder(block(attn, d_model, d_hid, dropout=dropout, norm_first=norm_first), nlayers)
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()
        self.decoder = nn.Linear(d_model, ntoken)
        if tie_weights:
            self.decoder.weight = self.embedding.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Small embedding and output weights; the parts have drawn their own."""
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(
        self, src: Int[Tensor, "b n"], src_mask: Bool[Tensor, "..."] | None = None
    ) -> Float[Tensor, "b n ntoken"]:
        """Logits of the token after each position.

        A `src_mask` is taken as it is, in place of the model's own: to add padding to a causal model, pass
        `masks.causal(n) & masks.padding(lengths, n)`.
        """
        return self.decoder(self.hidden(src, src_mask))

    def hidden(
        self, src: Int[Tensor, "b n"], src_mask: Bool[Tensor, "..."] | None = None
    ) -> Float[Tensor, "b n d_model"]:
        """What is known at each position, before the output layer; the arguments are those of `forward`."""
        self._check_ids(src)
        if src_mask is None and self.causal:
            with src.device:  # a part's own mask is built where the text is, whether or not it takes a device
                src_mask = self.mask(src.shape[1])
        x = self.positions(self.embedding(src) * self.scale)
        return self.norm(self.encoder(x, src_mask))

    @torch.no_grad()
    def generate(
        self,
        prompt: Int[Tensor, "b n"],
        n_new: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        context: int | None = None,
        generator: torch.Generator | None = None,
        logits_of: Callable[[Tensor], Tensor] | None = None,
    ) -> Int[Tensor, "b m"]:
        """The prompt and `n_new` sampled tokens behind it; each sees the last `context` tokens (default: max_len).

        In eval mode, whatever mode the model is in; it is put back. The arguments are those of `sample`, and
        `logits_of` is what to ask for the last token's logits in place of the model, such as a model with a cache.

        Raises:
            ValueError: the prompt is empty, or an argument is out of its range.
        """
        context = self.max_len if context is None else context
        if prompt.shape[1] == 0 or n_new < 0 or not 1 <= context <= self.max_len:
            raise ValueError(
                f"expected a prompt of at least 1 token, n_new >= 0 and 1 <= context <= {self.max_len}; "
                f"got {prompt.shape[1]}, {n_new} and {context}"
            )
        logits_of = self if logits_of is None else logits_of
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            for _ in range(n_new):
                logits = logits_of(prompt[:, -context:])[:, -1]
                prompt = torch.cat([prompt, sample(logits, temperature, top_k, generator)[:, None]], dim=1)
        finally:
            for module, training in modes.items():
                module.training = training
        return prompt

    def _check_ids(self, src: Tensor) -> None:
        if not src.is_cpu or torch.compiler.is_compiling() or src.numel() == 0:
            return
        lowest, highest = src.min().item(), src.max().item()
        if lowest < 0 or highest >= self.embedding.num_embeddings:
            raise ValueError(
                f"token ids must lie between 0 and {self.embedding.num_embeddings - 1}, the vocabulary's; "
                f"got {lowest} to {highest}. Were they made with another vocabulary?"
            )


def sample(
    logits: Float[Tensor, "b v"],
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " b"]:
    r"""One token each, drawn from $\mathrm{softmax}(\mathrm{logits} / t)$ over the `top_k` most probable.

    Args:
        logits: scores of every token of the vocabulary.
        temperature: below 1 sharpens, above 1 flattens; 0 is the most probable token (greedy).
        top_k: keep this many tokens; None keeps all.
        generator: source of randomness, on the device of the logits.

    Raises:
        ValueError: temperature is negative, or top_k is below 1.
    """
    if not 0 <= temperature < math.inf or (top_k is not None and top_k < 1):
        raise ValueError(f"expected a finite temperature >= 0 and top_k >= 1 or None; got {temperature} and {top_k}")
    if temperature < torch.finfo(logits.dtype).tiny:  # a processor may take so small a divisor for 0
        return logits.argmax(dim=-1)
    kept, ids = logits.topk(min(top_k or logits.shape[-1], logits.shape[-1]), dim=-1)
    gaps = kept - kept[..., :1]  # at most 0, so that the coldest temperature cannot make an infinity of the likeliest
    drawn = torch.multinomial((gaps / temperature).softmax(dim=-1), 1, generator=generator)
    return ids.gather(-1, drawn)[:, 0]
