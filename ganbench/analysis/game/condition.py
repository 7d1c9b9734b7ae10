"""What the discriminator makes of what it is told: a label that it ignores is one that G need not follow."""

from __future__ import annotations

from ganbench.analysis.game.course import Course, number
from ganbench.analysis.game.records import GameRule
from ganbench.arrays import Flags
from ganbench.registry import Remedy

DEAF, HEARS = 0.02, 0.05
"""Of the spread of its logits, how far D moves with another label: below the first it ignores labels, above the second
it does no more."""


def _deaf(course: Course) -> Flags:
    return course.at_most(course["d_label_effect"], DEAF, HEARS)


IGNORES_LABELS = GameRule(
    name="D ignores its condition",
    meaning="the discriminator says the same whatever label it is told",
    reads=("d_label_effect",),
    holds=_deaf,
    evidence=lambda course, place: (
        f"With other labels D's logits of real samples move by {number(course.last('d_label_effect'))} of their spread"
        + (
            f"; it scores the right label higher for {100 * course.last('d_label_ranking'):.0f} % of them."
            if "d_label_ranking" in course
            else "."
        )
    ),
    causes=(
        "labels are not handed to D, or are the same for a whole batch",
        "labels stand beside far more numbers than they have themselves, with weights that hardly grow",
        "labels that are wrong or shuffled: nothing can be learned of them",
    ),
    remedy=Remedy(
        "Check that real samples come with their own labels; a projection of D's features on the label's row, or an "
        "auxiliary classifier.",
        "Miyato & Koyama 2018; Odena et al. 2017",
    ),
    shown="",
    lasting=3,
)
