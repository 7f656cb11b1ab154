"""What a trained model's heads look at: the weights, summaries of them, maps and a page."""

from attn_lab.attending.heads import HeadSummary, head_summaries
from attn_lab.attending.summary import AttentionSummary, attention_summary
from attn_lab.attending.weights import NoWeights, attention_weights

__all__ = [
    "AttentionSummary",
    "HeadSummary",
    "NoWeights",
    "attention_summary",
    "attention_weights",
    "head_summaries",
]
