"""pytest: `@pytest.mark.ganbench(...)` checks a suite against a baseline, the fixture `ganbench` trains and judges.

Loaded with every pytest run of an environment that has ganbench: nothing heavy is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ganbench.api import Study


MARKER = "ganbench(suite, baseline, *overrides, plugins=(), variants=(), seeds=None)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --ganbench-update."""
    parser.getgroup("ganbench").addoption(
        "--ganbench-update", action="store_true", help="write the baselines of marked tests instead of checking them"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}: train a suite anew and hold it against a baseline before the test runs; a regression fails it, an "
        "inconclusive check skips it",
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


class JudgedRuns:
    """A trained study in a test: its tables, and claims that explain themselves."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def survives(self, rate: float = 1.0, variant: str = "") -> Claim:
        """Claim that in every variant whose name holds `variant` at least this share of the seeds does not fail."""
        from ganbench.analysis.statistics import wilson

        texts, holds = [], True
        for label, rows in self._by_variant(variant).items():
            rows = rows.assign(lost=rows["failed"] | rows["undecided"])
            failures, seeds = int(rows["lost"].sum()), len(rows)
            low, high = (1 - end for end in reversed(wilson(failures, seeds)))
            holds = holds and (seeds - failures) / seeds >= rate
            how = ", ".join(f"seed {r.seed}: {r.verdict} ({r.evidence})" for r in rows[rows["lost"]].itertuples())
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
        from ganbench.analysis.ranking import labels
        from ganbench.analysis.scores import FINISHED

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

    def run(self, suite: str | None = None, **settings: Any) -> JudgedRuns:
        """Train a suite (or the defaults) under settings, `loss=my_loss, problem="ring8", seeds=5`, and return it.

        A setting is a value or a list of values; a plain function is registered under its name as the plug-in of that
        kind. Hyper-parameters are written with underscores doubled: regularizer__r1__gamma=0.3.
        """
        import ganbench

        self.count += 1
        study = ganbench.run(suite, out=self.folder / f"study-{self.count}", workers=1, fresh=True, **settings)
        for name, value in (("plan", study.plan.hash), ("failed", int(study.runs["failed"].sum()))):
            self.record(f"ganbench_{self.count}_{name}", value)
        return JudgedRuns(study)


@pytest.fixture
def ganbench(tmp_path: Path, request: pytest.FixtureRequest) -> Trainer:
    """Train GANs in a test: `study = ganbench.run(loss=my_loss, problem="ring8", seeds=5)`."""
    return Trainer(tmp_path / "ganbench", _recorder(request.node))


@pytest.fixture(autouse=True)
def _ganbench_gate(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("ganbench")
    if marker:
        asked = _asked(marker)
        if isinstance(asked, str):
            pytest.fail(f"Cannot read @pytest.mark.ganbench: {asked}. It is written {MARKER}.", pytrace=False)
        file = request.config.rootpath / asked.baseline
        folder = request.getfixturevalue("tmp_path") / "ganbench"
        if request.config.getoption("--ganbench-update"):
            _update(asked, file, folder)
        else:
            _check(asked, file, folder, _recorder(request.node))


def _recorder(node: Any) -> Callable[[str, object], None]:
    """Return what notes a property of a test for the JUnit file.

    pytest's fixture `record_property` does the same, after a warning about the default schema, which `-W error` raises.
    """
    return lambda name, value: node.user_properties.append((name, value))


@dataclass(frozen=True)
class Asked:
    """What a marker asks for; TypeError in words where it cannot be."""

    suite: str
    baseline: str | Path
    overrides: tuple[str, ...]
    plugins: Sequence[str | Path]
    variants: Sequence[str]
    seeds: int | None

    def __post_init__(self) -> None:
        checks = {
            "suite": (self.suite, isinstance(self.suite, str), "a suite's name or file"),
            "baseline": (self.baseline, isinstance(self.baseline, str | Path), "a file"),
            "overrides": (self.overrides, all("=" in word for word in map(str, self.overrides)), "texts key=value"),
            "plugins": (self.plugins, _listed(self.plugins, (str, Path)), "a list of files"),
            "variants": (self.variants, _listed(self.variants, (str,)), "a list of texts"),
            "seeds": (self.seeds, self.seeds is None or _counts(self.seeds), "a whole number of at least 1"),
        }
        for name, (value, sound, wanted) in checks.items():
            if not sound:
                raise TypeError(f"'{name}' takes {wanted}, got {value!r}")
        if self.seeds is not None and any(str(word).startswith("seeds=") for word in self.overrides):
            raise TypeError("'seeds' is given twice, by name and as an override")

    def words(self, seeds: int | None) -> list[str]:
        """Return the overrides of the command line, with a number of seeds where the marker gives none."""
        words = [f"suite={self.suite}", *self.overrides]
        given = any(word.startswith("seeds=") for word in words) or (self.seeds or seeds) is None
        return words if given else [*words, f"seeds={self.seeds or seeds}"]


def _listed(values: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, kinds) for value in values)


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _asked(marker: pytest.Mark) -> Asked | str:
    """Return what a marker asks for, or what is wrong with it."""
    try:
        return Asked(*_bound(*marker.args, **marker.kwargs))
    except TypeError as error:
        return str(error).replace("_bound() ", "it ")


def _bound(
    suite: str,
    baseline: str | Path,
    *overrides: str,
    plugins: Sequence[str | Path] = (),
    variants: Sequence[str] = (),
    seeds: int | None = None,
) -> tuple[Any, ...]:
    """Return a marker's arguments in the order of Asked; TypeError where one is missing or unknown."""
    return suite, baseline, overrides, plugins, variants, seeds


def _update(asked: Asked, file: Path, folder: Path) -> None:
    from ganbench import api, checking

    study = api.run(None, asked.words(20), plugins=asked.plugins, out=folder / "baseline", fresh=True)
    checking.make_baseline(study.path, file, {})
    pytest.skip(f"wrote the baseline {file}")


def _check(asked: Asked, file: Path, folder: Path, record: Callable[[str, object], None]) -> None:
    from ganbench import checking
    from ganbench.report import verdict_files

    request = checking.Request(file, tuple(asked.variants))
    result = checking.check_suite(asked.words(None), request, plugins=asked.plugins, out=folder / "check")
    record("ganbench_verdict", result.verdict)
    record("ganbench_seeds", result.judgement.seeds)
    if result.verdict == "inconclusive":
        pytest.skip(verdict_files.text(result))
    if result.exit_code:
        pytest.fail(verdict_files.text(result), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a UserError of a test that uses ganbench as what it is: a sentence for its author, not a traceback."""
    report = yield
    uses = "ganbench" in getattr(item, "fixturenames", ()) or item.get_closest_marker("ganbench")
    if uses and call.excinfo and report.failed:
        from ganbench.errors import UserError

        if isinstance(call.excinfo.value, UserError):
            lines = [entry.lineno + 1 for entry in call.excinfo.traceback if entry.path == item.path]
            where = f"{item.path.name}:{lines[-1]}: " if lines else ""
            report.longrepr = f"{where}{call.excinfo.value}"
    return report
