"""The outcome of a check: what the gate judged of studies, and all that is told with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ganbench.analysis.gate import Judgement
from ganbench.analysis.regressions import Regression
from ganbench.errors import Exit

EXIT_CODES = {
    "pass": Exit.OK, "regressed": Exit.REGRESSED, "inconclusive": Exit.INCONCLUSIVE, "failed": Exit.FAILED,
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """The outcome of a check: the judgement, notes on what differs, why runs failed, where the studies are, which runs
    of the variants that regressed are worse, and which variants have no result because the time was up."""

    judgement: Judgement
    notes: tuple[str, ...]
    failures: tuple[str, ...]
    studies: tuple[Path, ...]
    suite: str
    unchanged: bool = False
    regressions: tuple[Regression, ...] = ()
    undecided: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """pass, regressed, inconclusive, or failed (the program or the machine failed in some runs)."""
        if self.failures:
            return "failed"
        found = "pass" if self.unchanged else self.judgement.verdict
        return "inconclusive" if self.undecided and found == "pass" else found

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]
