"""What each part of a recipe is worth, and the curve that each bug leaves behind: one thing changed at a time."""

from attn_lab.ablations.running import ablate
from attn_lab.ablations.variations import Variation, variations

__all__ = ["Variation", "ablate", "variations"]
