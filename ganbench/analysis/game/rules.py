"""All rules about the game: what explains the most comes first."""

from __future__ import annotations

from ganbench.analysis.game import condition, scales, translation
from ganbench.analysis.game import discriminator as d
from ganbench.analysis.game import generator as g
from ganbench.analysis.game.records import GameRule

RULES: tuple[GameRule, ...] = (
    d.D_STANDS, d.SWAPPED, d.CLIPPED_D, d.PENALTY_RULES, d.FLAT_D, condition.IGNORES_LABELS,
    translation.PERMUTES, translation.IGNORES_INPUT, translation.IGNORES_TARGET, translation.ONE_ANSWER, g.NO_GRADIENT,
    g.G_STANDS, d.DEAD_D, g.DEAD_G, g.PINNED, scales.STUCK_LOSSES, g.G_STOPPED, scales.RUINED, d.D_OUTGROWN,
    d.LEAD_SWINGS, scales.RUNAWAY, g.G_OUTGROWN, scales.EXPLODING, scales.LOSSES_EXPLODE, d.SEPARATING, g.VANISHING,
    g.SATURATED, scales.SPECTRAL, d.OVERFITTING, d.DEAD_PART, scales.ROTATES, scales.WEIGHT, scales.MATCHING,
)  # fmt: skip
