"""Which runs a regression is made of: seed by seed, with what the baseline had there, and how to repeat the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganbench.analysis.gate import Judgement
from ganbench.analysis.seeds import matched, seed_results
from ganbench.results.baseline import Baseline, SeedResult
from ganbench.results.study import Study


@dataclass(frozen=True)
class WorseRun:
    """A run of a regressed variant that failed, or scored less than the baseline's at the same seed.

    `before` and `score_before` are the baseline's verdict and score at that seed, empty and None where it has none;
    `picture` is the file with its samples, empty where none was drawn.
    """

    run: str
    seed: int
    verdict: str
    failed: bool
    score: float
    evidence: str
    study: str
    command: str
    before: str = ""
    score_before: float | None = None
    picture: str = ""

    @property
    def sentence(self) -> str:
        """The run in words and numbers."""
        known = self.score_before is not None
        old = f"in the baseline {self.before}, {self.score_before:.2f}" if known else "not in the baseline"
        evidence = f". {self.evidence.rstrip('.')}" if self.evidence else ""
        return f"seed {self.seed}: {self.verdict}, score {self.score:.2f} ({old}){evidence}."


@dataclass(frozen=True)
class Regression:
    """A regressed variant with its worse runs in the order of their seeds, and of these the worst."""

    variant: str
    runs: tuple[WorseRun, ...]

    @property
    def worst(self) -> WorseRun:
        """The run to look at first: a failed one before others, then the lowest score, then the lowest seed."""
        return min(self.runs, key=lambda run: (not run.failed, run.score, run.seed))

    @property
    def studies(self) -> tuple[str, ...]:
        """The paths of the studies that hold the runs."""
        return tuple(dict.fromkeys(run.study for run in self.runs))


def regressions(judgement: Judgement, baseline: Baseline, studies: Sequence[Study]) -> tuple[Regression, ...]:
    """Return every regressed variant with its worse runs; where only the pooled rate regressed, all variants' runs that
    are not equal on both sides."""
    names = {c.variant for c in judgement.comparisons if c.verdict == "regressed"}
    single = dict.fromkeys(c.variant for c in judgement.comparisons if not c.equal)
    pairs = matched(baseline, studies[0].plan.variants)
    known = {before.label: (variant.id, before) for variant, before in pairs if before and before.label in single}
    wanted = [label for label in known if label in names] or (list(known) if names else [])
    found = [(label, _worse(known[label][0], known[label][1].runs, studies)) for label in wanted]
    return tuple(Regression(label, runs) for label, runs in found if runs)


def _worse(variant: str, before: Sequence[SeedResult], studies: Sequence[Study]) -> tuple[WorseRun, ...]:
    at = {result.seed: result for result in before}
    found: dict[int, WorseRun] = {}
    for study in studies:
        rows = study.runs[study.runs["variant"] == variant]
        told = {int(row["seed"]): row for row in rows.to_dict("records")}
        for now in seed_results([study]).get(variant, []):
            old = at.get(now.seed)
            if not now.failed and (old is None or now.score >= old.score):
                continue
            row = told[now.seed]
            found[now.seed] = WorseRun(
                row["run"], now.seed, now.verdict, now.failed, now.score, str(row["evidence"]), str(study.path),
                study.commands.get(row["run"], ""), old.verdict if old else "", old.score if old else None,
            )  # fmt: skip
    return tuple(found[seed] for seed in sorted(found))
