"""Through which measures a problem is judged, by the roles that these declare."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ganbench.registry import Plugin, derived, playing, plugins

SHAPE = ("covering", "spread", "width", "repeats")
"""The roles of what is read beside the measures of a problem's own view, whatever that is."""

JUDGED = (*SHAPE, "divergence", "quality", "modes", "diversity", "fidelity", "saturated", "gradient")
"""The roles of the measures that verdicts read, a column each; beside them those of the shares, a column a mode."""


@dataclass(frozen=True)
class View:
    """The measures through which a problem is judged.

    count: how many modes are held; shares: each mode's share of samples; divergence: of the modes' histogram; quality;
    diversity: what a converged run has half of, where quality is an estimate that needs it beside; narrow: what is next
    to nothing after a collapse; fidelity: the share of samples that are what their label asks for, None where none are
    given; saturation, gradient: what tells that G no longer moves, empty where nothing does; covering: how much of the
    data samples cover; spread: how far they lie apart among themselves; width: how wide their modes are; repeats: how
    many are the same as others.
    """

    count: str | None
    shares: str | None
    divergence: str | None
    quality: str
    diversity: tuple[str, ...]
    narrow: tuple[str, ...]
    saturation: str
    gradient: str
    fidelity: str | None = None
    covering: str | None = None
    spread: str | None = None
    width: str | None = None
    repeats: str | None = None

    @property
    def bar(self) -> str:
        """The threshold that is the bar of quality: an estimate by neighbours has one of its own."""
        return "precision_bar" if self.diversity else "quality_bar"

    @property
    def covered(self) -> str | None:
        """How much of the problem the samples cover, None where there is nothing to cover."""
        return self.count or next(iter(self.diversity), None)

    @property
    def scored(self) -> tuple[str, ...]:
        """The measures whose product is the one score of a run: quality, modes (else diversity), fidelity, if any."""
        fidelity = [self.fidelity] if self.fidelity else []
        return (self.quality, *([self.count] if self.count else self.diversity[-1:]), *fidelity)


@derived
def view_through(have: frozenset[str]) -> View | None:
    """Return how a problem with these measures is judged; None where none of them is its quality.

    Of several measures that could be it, those that were registered first are: the thresholds of the shipped verdicts
    are calibrated on them. Modes that are known are counted, with the quality that is measured on them; otherwise
    quality is judged beside the covering and the diversity that its own metric measures.
    """
    kits = [kit for kit in map(_Kit, (*plugins("metric"), *plugins("diagnostic"))) if kit.is_in(have)]
    counting = next((kit for kit in kits if kit.one("modes")), None)
    exact = counting is not None and counting.one("quality") is not None
    judging = counting if exact else next((kit for kit in kits if kit.one("quality") and not kit.one("modes")), None)
    if judging is None:
        return None
    covering, diversity = judging.all("covering"), judging.all("diversity")
    # diversity is next to nothing for images of all classes that are merely too smooth: it tells no collapse there
    narrow = covering if counting else (*covering, *diversity)
    if exact:
        # modes that are known are counted
        narrow = ()
    beside = {role: next((name for name in playing(role) if name in have), None) for role in SHAPE}
    return View(
        count=counting.one("modes") if counting else None,
        shares=counting.beside("shares") if counting else None,
        divergence=counting.beside("divergence") if counting else None,
        quality=str(judging.one("quality")),
        diversity=(*covering, *diversity),
        narrow=narrow,
        saturation=next(iter(playing("saturated")), ""),
        gradient=next(iter(playing("gradient")), ""),
        fidelity=next((name for name in playing("fidelity") if name in have), None) if counting else None,
        **beside,
    )


class _Kit:
    """What one metric or diagnostic measures, by role."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def all(self, role: str) -> tuple[str, ...]:
        return tuple(name for name, measure in self.plugin.meta["measures"].items() if measure.role == role)

    def one(self, role: str) -> str | None:
        return next(iter(self.all(role)), None)

    def is_in(self, have: Collection[str]) -> bool:
        """Tell whether it judges and is measured: its quality and its count, where it has them."""
        wanted = {*self.all("quality"), *self.all("modes")}
        return bool(wanted) and wanted <= set(have)

    def beside(self, role: str) -> str | None:
        """Return the measure of a role that this plug-in has, or one that needs the same of a problem."""
        alike = (_Kit(each) for each in plugins("metric") if set(each.needs) == set(self.plugin.needs))
        return self.one(role) or next((name for kit in alike if (name := kit.one(role))), None)


def judged_columns(names: Iterable[str]) -> list[str]:
    """Return those of some columns that verdicts read."""
    read = {"step", *(name for role in JUDGED for name in playing(role))}
    shares = set(playing("shares"))
    return [name for name in names if name in read or ("." in name and name.partition(".")[0] in shares)]
