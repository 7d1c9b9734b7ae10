"""pytest: `@pytest.mark.ganbench(...)` checks a suite against a baseline, the fixture `ganbench` trains and judges.

Loaded with every pytest run of an environment that has ganbench: nothing heavy is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ganbench.api import Study


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --ganbench-update."""
    parser.getgroup("ganbench").addoption(
        "--ganbench-update", action="store_true", help="write the baselines of marked tests instead of checking them"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "ganbench(suite, baseline, *overrides, plugins=(), variants=(), seeds=None): train a suite and hold it "
        "against a baseline before the test runs; a regression fails it, an inconclusive check skips it",
    )


@dataclass(frozen=True)
class Claim:
    """What was claimed of a study: true or false, with the numbers that pytest shows where it is false."""

    holds: bool
    because: str

    def __bool__(self) -> bool:
        return self.holds

    def __repr__(self) -> str:
        return self.because


class Judged:
    """A trained study in a test: its tables, and claims that explain themselves."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def survives(self, rate: float = 1.0, variant: str = "") -> Claim:
        """Claim that in every variant whose name holds `variant` at least this share of the seeds does not fail."""
        from ganbench.analysis.statistics import wilson

        texts, holds = [], True
        for label, rows in self._by_variant(variant).items():
            failures, seeds = int(rows["failed"].sum()), len(rows)
            low, high = (1 - end for end in reversed(wilson(failures, seeds)))
            holds = holds and (seeds - failures) / seeds >= rate
            how = ", ".join(f"seed {r.seed}: {r.verdict} ({r.evidence})" for r in rows[rows["failed"]].itertuples())
            survived = f"{label} survives in {seeds - failures} of {seeds} seeds ({low:.0%} to {high:.0%})"
            texts.append(f"{survived}; {how}" if how else survived)
        return Claim(holds, f"at least {rate:.0%} should survive: " + " | ".join(texts))

    def not_worse_than(self, other: str, by: float = 0.2, score: float = 0.1) -> Claim:
        """Claim that no variant is significantly worse than the one named `other`, by more than `by` in its failure
        rate or `score` in the tail or the typical score."""
        import pandas as pd

        from ganbench.analysis.gate import Policy, compare
        from ganbench.analysis.seeds import seed_results

        results = seed_results([self.study])
        tables = {}
        for label, rows in self._by_variant("").items():
            runs = results[str(rows["variant"].iloc[0])]
            tables[label] = pd.DataFrame(
                [(r.seed, r.failed, r.score) for r in runs], columns=["seed", "failed", "score"]
            )
        base = self._named(other, tables)
        rest = {label: table for label, table in tables.items() if label != base}
        old = pd.concat([tables[base].assign(variant=label) for label in rest], ignore_index=True)
        new = pd.concat([table.assign(variant=label) for label, table in rest.items()], ignore_index=True)
        judged = compare(old, new, Policy(failure_rate=by, score=score))
        worse = [c.sentence for c in judged.comparisons if c.verdict == "regressed"]
        told = worse or [c.sentence for c in judged.comparisons]
        return Claim(not worse, f"against {base}: " + " | ".join(told))

    def _by_variant(self, wanted: str) -> dict[str, Any]:
        from ganbench.analysis.findings import labels
        from ganbench.analysis.statistics import FINISHED

        names = labels(self.study)
        runs = self.study.runs[self.study.runs["status"].isin(FINISHED)]
        groups = {names[str(v)]: rows for v, rows in runs.groupby("variant", sort=False) if wanted in names[str(v)]}
        if not groups:
            from ganbench.errors import unknown

            raise unknown("variant", wanted, names.values())
        return groups

    def _named(self, wanted: str, tables: dict[str, Any]) -> str:
        from ganbench.errors import UserError, unknown

        found = [label for label in tables if wanted in label]
        if not found:
            raise unknown("variant", wanted, tables)
        if len(tables) < 2:
            raise UserError(f"The study has no variant besides '{wanted}' to compare with it.")
        return found[0]

    def __getattr__(self, name: str) -> Any:
        # everything else that a study has: runs, series, report, ...
        return getattr(self.study, name)


class Trainer:
    """What the fixture `ganbench` is: `run(...)` trains in this process, into the test's own directory."""

    def __init__(self, folder: Path, record: Callable[[str, object], None]) -> None:
        self.folder, self.record, self.count = folder, record, 0

    def run(self, suite: str | None = None, **settings: Any) -> Judged:
        """Train a suite (or the defaults) under settings, `loss=my_loss, problem="ring8", seeds=5`, and return it.

        A setting is a value or a list of values; a plain function is registered under its name as the plug-in of that
        kind. Hyper-parameters are written with underscores doubled: regularizer__r1__gamma=0.3.
        """
        import ganbench

        overrides = [f"{key.replace('__', '.')}={self._written(key, value)}" for key, value in settings.items()]
        self.count += 1
        study = ganbench.run(suite, overrides, out=self.folder / f"study-{self.count}", workers=1)
        for name, value in (("plan", study.plan.hash), ("failed", int(study.runs["failed"].sum()))):
            self.record(f"ganbench_{self.count}_{name}", value)
        return Judged(study)

    def _written(self, key: str, value: Any) -> str:
        from ganbench import register
        from ganbench.plan import kind_of

        values = []
        for one in value if isinstance(value, list | tuple) else [value]:
            if callable(one):
                register(kind_of(key))(one)
                one = one.__name__.rstrip("_")
            values.append(str(one))
        return f"[{', '.join(values)}]" if isinstance(value, list | tuple) else values[0]


@pytest.fixture
def ganbench(tmp_path: Path, record_property: Callable[[str, object], None]) -> Trainer:
    """Train GANs in a test: `study = ganbench.run(loss=my_loss, problem="ring8", seeds=5)`."""
    return Trainer(tmp_path / "ganbench", record_property)


@pytest.fixture(autouse=True)
def _ganbench_gate(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("ganbench")
    if marker:
        record = request.getfixturevalue("record_property")
        _check(request, request.getfixturevalue("tmp_path"), record, *marker.args, **marker.kwargs)


def _check(
    request: pytest.FixtureRequest,
    folder: Path,
    record: Callable[[str, object], None],
    suite: str,
    baseline: str | Path,
    *overrides: str,
    plugins: Sequence[str | Path] = (),
    variants: Sequence[str] = (),
    seeds: int | None = None,
) -> None:
    from ganbench import api, checking
    from ganbench.report import verdict_files

    file, words = request.config.rootpath / baseline, [f"suite={suite}", *overrides]
    if request.config.getoption("--ganbench-update"):
        study = api.run(None, [*words, f"seeds={seeds or 20}"], plugins=plugins, out=folder / "baseline")
        checking.make_baseline(study.path, file, {})
        pytest.skip(f"wrote the baseline {file}")
    words += [f"seeds={seeds}"] if seeds else []
    result = checking.check_suite(words, checking.Request(file, tuple(variants)), plugins=plugins, out=folder / "check")
    record("ganbench_verdict", result.verdict)
    record("ganbench_seeds", result.judgement.seeds)
    if result.verdict == "inconclusive":
        pytest.skip(verdict_files.text(result))
    if result.exit_code:
        pytest.fail(verdict_files.text(result), pytrace=False)
