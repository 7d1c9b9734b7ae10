"""One record a verdict: what its plug-in declares, and every table of verdicts, derived from the records.

The tables follow the registry, whenever they were imported: a rule that is registered later is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from ganbench import registry
from ganbench.registry import Plugin, Remedy, Threshold

T = TypeVar("T")


@dataclass(frozen=True)
class Verdict:
    """One thing that holds for a run: its name in VERDICTS, the step since which (None: never did), its evidence."""

    verdict: str
    onset: int | None
    evidence: str

    @property
    def failed(self) -> bool:
        """Whether it counts as a failure."""
        return self.verdict in FAILURES

    @property
    def undecided(self) -> bool:
        """Whether training was too short to tell: no failure, and no success either."""
        return self.verdict in UNDECIDED


@dataclass(frozen=True)
class Rule:
    """A verdict's record: what its plug-in declares; its function tells whether it holds, see `judging.ask`."""

    plugin: Plugin

    @property
    def name(self) -> str:
        """The verdict, called like its function."""
        return self.plugin.name.replace("_", " ")

    @property
    def meaning(self) -> str:
        """What it means, as the rest of a sentence about a run: its function's legend."""
        legend = self.plugin.legend.rstrip(".")
        return legend if legend[1:2].isupper() else legend[:1].lower() + legend[1:]

    @property
    def failure(self) -> bool:
        """Whether it counts as a failure; what does not is asked only where no failure holds."""
        return bool(self.plugin.declared("failure"))

    @property
    def undecided(self) -> bool:
        """Whether it says that training was too short to tell: no failure, and no success either."""
        return bool(self.plugin.declared("undecided"))

    @property
    def rank(self) -> float:
        """Of the verdicts that hold for a run, that of the lowest rank counts."""
        return float(self.plugin.declared("rank"))

    @property
    def symbol(self) -> str:
        """The one character that stands for it in a report."""
        return str(self.plugin.declared("symbol"))

    @property
    def thresholds(self) -> Mapping[str, Threshold]:
        """The numbers that it brings, for itself and for other rules."""
        return self.plugin.declared("thresholds")

    @property
    def remedy(self) -> Remedy | None:
        """What usually helps."""
        return self.plugin.declared("remedy")

    @property
    def scripts(self) -> tuple[str | Callable[..., Any], ...]:
        """The scripted generators whose truth it is: names of shipped ones, or functions of its own."""
        return self.plugin.declared("scripts")

    @property
    def is_about_probes(self) -> bool:
        """Whether it is asked about probes, and not about how the run ended."""
        return self.plugin.declared("acts_on") == "probes"

    @property
    def evidence(self) -> Callable[[Any, Any], str]:
        """What its evidence is, in a sentence: of what it was asked about, and of what holds."""
        return self.plugin.declared("evidence")


def rules() -> list[Rule]:
    """Return the records that are registered now: first what is no failure, then the failures, as they came."""
    registry.load("verdict")
    return [*_rules()]


@registry.derived
def _rules() -> tuple[Rule, ...]:
    return tuple(sorted(map(Rule, registry.plugins("verdict")), key=lambda rule: rule.failure))


def foreign() -> list[Rule]:
    """Return the records that this package does not ship."""
    return [rule for rule in rules() if not rule.plugin.is_own]


class RuleTable(Mapping[str, T]):
    """A table by name that is derived from the records as they are when it is read."""

    def __init__(self, made: Callable[[], Mapping[str, T]]) -> None:
        self._made = registry.derived(made)

    def __getitem__(self, name: str) -> T:
        return self._made()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self._made())


VERDICTS = RuleTable(lambda: {rule.name: rule.meaning for rule in rules()})
"""Every verdict and its meaning, from best to worst."""

FAILURES = RuleTable(lambda: {rule.name: rule for rule in rules() if rule.failure}).keys()
"""The verdicts that count as a failure. A run that is merely unconverged does not: more steps may be all it needs."""

UNDECIDED = RuleTable(lambda: {rule.name: rule for rule in rules() if rule.undecided}).keys()
"""The verdicts of runs that were too short: they have not failed, and have not survived either."""

ORDER = RuleTable(lambda: {rule.name: rule for rule in sorted(rules(), key=lambda rule: rule.rank)}).keys()
"""Where several verdicts hold, the first of these counts: what ended the run, then what it did, then where it ended."""

SYMBOLS = RuleTable(lambda: {rule.name: rule.symbol for rule in rules()})
"""By verdict, the one character that stands for it in a report."""

REMEDIES = RuleTable(lambda: {rule.name: rule.remedy for rule in rules() if rule.remedy})
"""By verdict, what usually helps against it: a place to start, not a promise. A converged run needs none."""

THRESHOLDS = RuleTable(lambda: {name: threshold for rule in rules() for name, threshold in rule.thresholds.items()})
"""Every number that a verdict depends on; how often they are right is measured in docs/verdicts.md."""


@registry.derived
def limits() -> Mapping[str, float]:
    """Return every threshold's value."""
    return MappingProxyType({name: threshold.value for name, threshold in THRESHOLDS.items()})


def limit(name: str) -> float:
    """Return a threshold's value."""
    return THRESHOLDS[name].value
