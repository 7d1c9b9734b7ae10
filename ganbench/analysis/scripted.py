"""Scripted generators: what they draw from at every probe is known, and so is what a verdict on them has to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.random import Generator as Random
from scipy.stats import chi

from ganbench.analysis.drawing import SampleLaw
from ganbench.analysis.verdicts import foreign, limit, rules
from ganbench.problems.base import Problem
from ganbench.registry import playing


@dataclass(frozen=True)
class Script:
    """A generator's whole training: its law at every probe, and the probe of the true onset (None: there is none)."""

    name: str
    onset: int | None
    laws: tuple[SampleLaw, ...]
    columns: dict[str, list[float]] = field(default_factory=dict)

    @property
    def right(self) -> tuple[str, ...]:
        """The verdicts that are right: those whose records name the script, or hold the function that made it."""
        made = {rule.name: [s if isinstance(s, str) else script_name(s) for s in rule.scripts] for rule in rules()}
        return tuple(verdict for verdict, scripts in made.items() if self.name in scripts)


@dataclass(frozen=True)
class Setting:
    """What a script may depend on: the number of modes, how many probes there are, and a source of chance."""

    modes: int
    probes: int
    dimension: int
    rng: Random

    @property
    def few(self) -> int:
        """The largest number of modes that is a collapse, by the definition of the verdict."""
        return max(1, int(self.modes * limit("few_modes")))

    def some(self, number: int) -> tuple[int, ...]:
        """Return that many modes, any of them."""
        return tuple(sorted(int(k) for k in self.rng.choice(self.modes, number, replace=False)))

    def order(self) -> tuple[int, ...]:
        """Return all modes in any order."""
        return tuple(int(k) for k in self.rng.permutation(self.modes))

    def learning(self) -> list[SampleLaw]:
        """Return the first probes of most scripts: from nothing but stray samples to fewer and fewer of them."""
        length = int(self.rng.integers(2, 5))
        return [SampleLaw(stray=1 - place / length) for place in range(length)]

    def late(self) -> int:
        """Return a probe for something to happen at, after learning and before the end."""
        return int(self.rng.integers(int(0.4 * self.probes), int(0.8 * self.probes)))

    def then(self, start: Sequence[SampleLaw], law: SampleLaw) -> tuple[SampleLaw, ...]:
        """Return the laws of a start, going on with one law until the end."""
        return (*start, *[law] * (self.probes - len(start)))


def _limited(start: Sequence[SampleLaw], modes: tuple[int, ...] | None) -> list[SampleLaw]:
    return [replace(law, modes=modes) for law in start]


def _decent(laws: Sequence[SampleLaw]) -> int:
    """Return the first probe after the start at which at least half of the samples are good."""
    return next(t for t, law in enumerate(laws) if t > 0 and law.stray <= 1 - limit("decent"))


def perfect(s: Setting) -> Script:
    """The problem itself at every probe."""
    return Script("perfect", 1, s.then([], SampleLaw()))


def learns(s: Setting) -> Script:
    """Stray samples at first, then the problem itself."""
    start = s.learning()
    return Script("learns", len(start), s.then(start, SampleLaw()))


def drops(s: Setting) -> Script:
    """Never has some of the modes; as many as a collapse leaves are the limit."""
    kept = s.some(int(s.rng.integers(s.few + 1, s.modes)))
    laws = s.then(_limited(s.learning(), kept), SampleLaw(modes=kept))
    return Script("drops modes", _decent(laws), laws)


def drops_one(s: Setting) -> Script:
    """Has all modes at first, and loses one."""
    at = s.late()
    return Script("loses one mode", at, s.then(s.then(s.learning(), SampleLaw())[:at],
                                                                    SampleLaw(modes=s.some(s.modes - 1))))  # fmt: skip


def collapses(s: Setting) -> Script:
    """Never has more than a few modes."""
    kept = s.some(int(s.rng.integers(1, s.few + 1)))
    laws = s.then(_limited(s.learning(), kept), SampleLaw(modes=kept))
    return Script("few modes", _decent(laws), laws)


def one_mode(s: Setting) -> Script:
    """Never has more than one mode."""
    kept = s.some(1)
    laws = s.then(_limited(s.learning(), kept), SampleLaw(modes=kept))
    return Script("one mode", _decent(laws), laws)


def _rotation(s: Setting, name: str, dwell: int) -> Script:
    held = int(s.rng.integers(1, max(2, s.modes // 4 + 1)))
    order = s.rng.permutation(s.modes)
    start = s.learning()
    laws = list(_limited(start, tuple(order[:held].tolist())))
    for place in range(s.probes - len(start)):
        first = place // dwell * held
        laws.append(SampleLaw(modes=tuple(int(order[(first + k) % s.modes]) for k in range(held))))
    return Script(name, _decent(laws), tuple(laws))


def rotates_slowly(s: Setting) -> Script:
    """Moves on to other modes every third probe."""
    return _rotation(s, "rotates slowly", 3)


def rotates_fast(s: Setting) -> Script:
    """Moves on to other modes at every probe."""
    return _rotation(s, "rotates fast", 1)


def widens(s: Setting) -> Script:
    """Learns, and then its modes grow wider and wider; the truth is where less than half of the samples are good."""
    at, radius = s.late(), float(chi.ppf(1 - math.exp(-9 / 2), s.dimension))
    widths = np.geomspace(1, 20, s.probes - at)
    laws = s.then(s.learning(), SampleLaw())[:at] + tuple(SampleLaw(width=float(width)) for width in widths)
    bad = chi.cdf(radius / widths, s.dimension) < limit("decent") * chi.cdf(radius, s.dimension)
    return Script("modes widen", at + int(np.argmax(bad)), laws)


def strays(s: Setting) -> Script:
    """Learns, and then more and more of its samples stray."""
    at = min(s.late(), s.probes - 4)
    shares = np.linspace(0, 0.95, s.probes - at + 1)[1:]
    laws = s.then(s.learning(), SampleLaw())[:at] + tuple(SampleLaw(stray=float(share)) for share in shares)
    return Script("noise grows", at + int(np.argmax(shares > 1 - limit("decent"))), laws)


def leaks(s: Setting) -> Script:
    """All modes, with three samples in ten on bridges between them: no failure, but no convergence."""
    start = s.learning()
    return Script("leaks", None, s.then(start, SampleLaw(bridge=0.3)))


def leaks_badly(s: Setting) -> Script:
    """Learns, and then leaves seven samples in ten on bridges between the modes."""
    at = s.late()
    return Script("leaks badly", at, s.then(s.then(s.learning(), SampleLaw())[:at], SampleLaw(bridge=0.7)))


def frozen(s: Setting) -> Script:
    """Stays where it began, with samples far from the data."""
    return Script("frozen at initialisation", 0, s.then([], SampleLaw(stray=1.0)))


def one_point(s: Setting) -> Script:
    """Puts all samples on one point where no data is, after a little noise at first."""
    start = [SampleLaw(stray=1.0)] * int(s.rng.integers(1, 4))
    return Script("one point", len(start), s.then(start, SampleLaw(stuck=True)))


def prefers(s: Setting) -> Script:
    """Learns all modes, and makes far too many samples of one of them."""
    start, law = s.learning(), SampleLaw(modes=s.order(), extra=float(s.rng.uniform(0.3, 0.6)))
    return Script("prefers a mode", len(start), s.then([replace(law, stray=one.stray) for one in start], law))


def narrows(s: Setting) -> Script:
    """Learns, and then keeps to the middle of every mode."""
    at, law = s.late(), SampleLaw(width=float(s.rng.uniform(0.1, 0.5)))
    return Script("narrows its modes", at, s.then(s.then(s.learning(), SampleLaw())[:at], law))


def replays(s: Setting) -> Script:
    """Learns, and then makes the same few samples again and again."""
    at, law = s.late(), SampleLaw(distinct=int(s.rng.integers(64, max(96, 6 * s.modes))))
    return Script("replays samples", at, s.then(s.then(s.learning(), SampleLaw())[:at], law))


def wanders(s: Setting) -> Script:
    """Has one to four good samples in ten, now more and now fewer, and never more."""
    shares = s.rng.uniform(0.62, 0.88, s.probes)
    return Script("wanders", 0, tuple(SampleLaw(stray=float(share)) for share in shares))


def learns_slowly(s: Setting) -> Script:
    """Learns nothing in the first half, and has not learned half of it when training ends."""
    share = float(s.rng.uniform(0.3, 0.45))
    shares = share * np.clip(np.linspace(-1, 1, s.probes), 0, 1)
    return Script("learns slowly", None, tuple(SampleLaw(stray=1 - float(good)) for good in shares))


def vanishes(s: Setting) -> Script:
    """Begins to learn, then gets stuck while its gradient goes to nothing and its loss saturates."""
    at = s.late()
    after = np.arange(s.probes) >= at
    columns = {
        playing("saturated")[0]: np.where(after, 0.99, 0.3 + 0.2 * s.rng.random(s.probes)).tolist(),
        playing("gradient")[0]: np.where(after, 1e-5, 0.5 + 0.3 * s.rng.random(s.probes)).tolist(),
    }
    laws = s.then([SampleLaw(stray=0.8)] * at, SampleLaw(stuck=True))
    return Script("vanishes", at, laws, columns)


def collapses_late(s: Setting) -> Script:
    """Learns everything, and keeps at most half of its modes from some probe on."""
    at, kept = s.late(), s.some(int(s.rng.integers(1, s.modes // 2 + 1)))
    laws = s.then(s.then(s.learning(), SampleLaw())[:at], SampleLaw(modes=kept))
    return Script("collapses late", at, laws)


def explodes(s: Setting) -> Script:
    """Learns, and emits nothing finite from some probe on."""
    at = s.late()
    return Script("explodes", at, s.then(s.then(s.learning(), SampleLaw())[:at], SampleLaw(finite=False)))


def _swinging(s: Setting, name: str, up: SampleLaw, down: SampleLaw) -> Script:
    start, dwell = s.learning(), int(s.rng.integers(1, 4))
    swing = [up if place // dwell % 2 == 0 else down for place in range(s.probes - len(start))]
    return Script(name, len(start) + dwell, (*_limited(start, up.modes), *swing))


def swings_modes(s: Setting) -> Script:
    """Has all modes and a few of them by turns."""
    return _swinging(
        s, "swings in modes", SampleLaw(), SampleLaw(modes=s.some(int(s.rng.integers(1, s.modes // 2 + 1))))
    )


def swings_quality(s: Setting) -> Script:
    """Has good samples and mostly stray ones by turns."""
    return _swinging(s, "swings in quality", SampleLaw(), SampleLaw(stray=float(s.rng.uniform(0.5, 0.9))))


def swings_sets(s: Setting) -> Script:
    """Has one half of the modes and the other by turns; the truth begins with the first half."""
    half = s.some(s.modes // 2)
    other = tuple(k for k in range(s.modes) if k not in half)[: len(half)]
    script = _swinging(s, "swings between two sets", SampleLaw(modes=half), SampleLaw(modes=other))
    return replace(script, onset=_decent(script.laws))


def ignores_labels(s: Setting) -> Script:
    """Learns the problem, and looks at no label or at one in seven."""
    start, law = s.learning(), SampleLaw(obedient=float(s.rng.uniform(0.0, 0.15)))
    laws = s.then([replace(law, stray=one.stray) for one in start], law)
    return Script("ignores labels", _decent(laws), laws)


def forgets_labels(s: Setting) -> Script:
    """Follows its labels, and from some probe on none of them."""
    at = s.late()
    return Script("forgets labels", at, s.then(s.then(s.learning(), SampleLaw())[:at], SampleLaw(obedient=0.0)))


Make = Callable[[Setting], Script]
SCRIPTS: tuple[Make, ...] = (
    perfect, learns, drops, drops_one, collapses, one_mode, rotates_slowly, rotates_fast, widens, strays, leaks,
    leaks_badly, frozen, wanders, learns_slowly, vanishes, collapses_late, explodes, swings_modes, swings_quality,
    swings_sets, ignores_labels, forgets_labels, one_point, prefers, narrows, replays,
)  # fmt: skip
MIXTURES_ONLY = (widens, leaks, leaks_badly, prefers, narrows)
"""What has no plain meaning for images: how wide a class is, what lies between two, and weights of a pool that ends."""
LABELLED_ONLY = (ignores_labels, forgets_labels)
"""What has no meaning where no labels are given."""


def every_script() -> tuple[Make, ...]:
    """Return the scripts that are shipped, then those that records of others bring along."""
    brought = [script for rule in foreign() for script in rule.scripts if callable(script)]
    return (*SCRIPTS, *dict.fromkeys(brought))


@cache
def script_name(make: Make) -> str:
    """Return what a script is called, whatever its chances."""
    return make(Setting(8, 17, 2, np.random.default_rng(0))).name


def fits(make: Make, problem: Problem) -> bool:
    """Tell whether a script has a meaning on a problem."""
    return (problem.modes is not None or make not in MIXTURES_ONLY) and (
        problem.gives is not None or make not in LABELLED_ONLY
    )
