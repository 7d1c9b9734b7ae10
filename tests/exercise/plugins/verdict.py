"""A verdict of one's own."""

from ganbench import register
from ganbench.registry import Remedy, Threshold


def how_far(case, held):
    """The evidence: how much of the quality is there."""
    return f"At its last probe {case.quality[-1]:.2f} of the quality is there."


@register(
    "verdict",
    failure=True,
    rank=-1,
    symbol="B",
    evidence=how_far,
    thresholds={"bare": Threshold(0.3, "of what a perfect sampler scores: less is hardly a beginning")},
    remedy=Remedy("Train longer."),
)
def barely_begun(case):
    """Ends with less than a third of the quality that there is."""
    return case.quality < case.limit("bare")
