"""What happened to a run: every verdict that holds, since which step, and the numbers it rests on.

`shipped` has one record a verdict, `records` the tables that follow from them, `case` what probes say, `judging` asks.
"""

from ganbench.analysis.verdicts.case import Case, Ended, Held
from ganbench.analysis.verdicts.judging import (
    ask,
    ended,
    found,
    judge,
    judge_series,
    judged,
    loss_quality_correlation,
    so_far,
    so_far_briefly,
    view,
)
from ganbench.analysis.verdicts.records import (
    FAILURES,
    ORDER,
    REMEDIES,
    SYMBOLS,
    THRESHOLDS,
    UNDECIDED,
    VERDICTS,
    Rule,
    Verdict,
    foreign,
    limit,
    rules,
)
from ganbench.analysis.verdicts.view import View

__all__ = [
    "FAILURES",
    "ORDER",
    "REMEDIES",
    "SYMBOLS",
    "THRESHOLDS",
    "UNDECIDED",
    "VERDICTS",
    "Case",
    "Ended",
    "Held",
    "Rule",
    "Verdict",
    "View",
    "ask",
    "ended",
    "foreign",
    "found",
    "judge",
    "judge_series",
    "judged",
    "limit",
    "loss_quality_correlation",
    "rules",
    "so_far",
    "so_far_briefly",
    "view",
]
