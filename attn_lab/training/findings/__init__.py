"""What a report looks into beside the loss: measured once, with the corpus at hand, and kept as numbers."""

from attn_lab.training.findings.store import measure_findings, read_findings, write_findings

__all__ = ["measure_findings", "read_findings", "write_findings"]
