"""What "correct" means: properties that run on any implementation, on any device, in any dtype."""

from attn_lab.checks.catalogue import ALL, for_subject
from attn_lab.checks.check import Check, CheckFailed
from attn_lab.checks.readiness import CheckResult, preflight
from attn_lab.checks.setting import Setting

__all__ = ["ALL", "Check", "CheckFailed", "CheckResult", "Setting", "for_subject", "preflight"]
