"""What plug-ins may declare: what a declaration takes, and the words that declarations are made of.

Imports nothing heavy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ganbench.errors import UserError, quoted, unknown

ROLES = {
    "quality": "how good samples are: verdicts judge by it, and it ranks variants after what they cover",
    "modes": "how many of the modes or classes samples hold: verdicts count them, and they rank right after failures",
    "shares": "a column a mode, the share of samples on it: shows rotation and what is dropped",
    "divergence": "that of the samples' histogram over the modes from the true one: tells what chance alone misses",
    "covering": "how much of the data samples cover: ranks in place of modes where there are none to count",
    "diversity": "how varied samples are, which noise does not lower: tells noise from collapse",
    "fidelity": "how many samples are what their label asks for: who ignores labels fails by it",
    "spread": "how far samples lie apart among themselves: where it is next to nothing they are one, however good",
    "width": "how wide the modes of the samples are: far under the data's they are too tight",
    "repeats": "how many samples are repeated: tells replaying from making",
    "published": "what papers count on a problem: shown first where verdicts tell nothing apart, never judged by",
    "distance": "compares whole distributions: shown beside others, never ranked by; tells late degradation",
    "gradient": "of the generator: where it is gone beside bad samples, the run cannot recover",
    "saturated": "how much of the generator's gradient no longer counts",
    "lead": "how far the discriminator is ahead of the generator",
    "logit": "what the discriminator says of real or of fake samples",
    "loss": "what a player minimises",
}
"""What a measured number is used for, by its role."""

BETTER_UP = ("quality", "modes", "covering", "diversity", "fidelity")
"""Roles of what is judged as a share of a perfect sampler's score, and so has to be better when larger."""

SCALES = ("linear", "log")


@dataclass(frozen=True)
class Measure:
    """What one measured number means: its legend, which way is better, its range and unit.

    `direction` is "up" or "down" (better when larger or smaller), or None where neither is better in itself.
    `perfect` is what a perfect sampler scores with unlimited samples, None where that depends on the problem. `blind`
    says in a sentence or two what it does not see, for whoever reads a report; `scale` is how it is drawn, "linear" or
    "log"; `role` is one of ROLES, or empty for a number that is only shown. UserError for a role or a scale that does
    not exist, and for a role of BETTER_UP that is not better when larger.
    """

    legend: str
    direction: str | None = None
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    unit: str = ""
    perfect: float | None = None
    blind: str = ""
    scale: str = "linear"
    role: str = ""

    def __post_init__(self) -> None:
        for key, value, known in (("role", self.role, ("", *ROLES)), ("scale", self.scale, SCALES)):
            if value not in known:
                raise unknown(f"{key} of a measure", str(value), list(filter(None, known)))
        if self.role in BETTER_UP and self.direction != "up":
            raise UserError(f"A measure with the role '{self.role}' is better when larger: its direction is 'up'.")


def share(legend: str, direction: str | None = None, perfect: float | None = None, **more: str) -> Measure:
    """Return a measure that is a share between 0 and 1; `more` is what else a Measure says: blind, scale, role."""
    return Measure(legend, direction, (0.0, 1.0), "share", perfect, **more)


def positive(
    legend: str, direction: str | None = None, unit: str = "", perfect: float | None = None, **more: str
) -> Measure:
    """Return a measure that is 0 or larger; `more` is what else a Measure says: blind, scale, role."""
    return Measure(legend, direction, (0.0, float("inf")), unit, perfect, **more)


TABLES = frozenset(
    {
        "run", "step", "problem", "rank", "variant", "label", "planned", "seeds", "failures", "failure_rate",
        "failure_low", "failure_high", "tied", "covered_of", "quality_of", "covered_area", "seconds", "gflop",
        "memory_mb", "undecided", "seconds_per_survivor", "gflop_per_survivor",
        *(f"{key}{end}" for key in ("covered", "quality") for end in ("", "_iqm", "_low", "_high")),
    }
)  # fmt: skip
"""Columns of a study's series and of its ranking that no measure and no verdict is: theirs stand beside them."""


@dataclass(frozen=True)
class Threshold:
    """A number that a verdict depends on, with the reason for it."""

    value: float
    reason: str


@dataclass(frozen=True)
class Remedy:
    """What usually helps against a way of failing, in a sentence or two, and the work that it rests on."""

    text: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.source})" if self.source else self.text


# ------------------------------------------------------------------------------------------ what can be declared


@dataclass(frozen=True)
class Declaration:
    """One thing that a plug-in may declare in its decorator.

    takes: what it is, in words, for errors. fits: whether a value is that. default: what holds where nothing is
    declared. choices: the only names there are, of which a value is one or, for `several`, holds some. where: the
    values of `acts_on` at which it means something (empty: all).
    """

    takes: str
    fits: Callable[[Any], bool]
    default: Any = None
    choices: tuple[str, ...] = ()
    required: bool = False
    where: tuple[str, ...] = ()

    def check(self, key: str, owner: str, value: Any) -> None:
        """Raise UserError, in one sentence about the owner's key, where a value is not what it takes."""
        if self.choices:
            given = value if is_names(value) and not isinstance(value, str) else [value]
            for name in given:
                if isinstance(name, str) and name not in self.choices:
                    raise unknown(f"{key} of {owner}", name, self.choices)
        if not self.fits(value):
            raise UserError(f"The declaration '{key}' of {owner} takes {self.takes}, got {quoted(value)}.")


def one_of(*choices: str, default: str | None = None, required: bool = False) -> Declaration:
    """Return a declaration that takes one of some names."""
    return Declaration(
        " or ".join(map(repr, choices)), lambda value: isinstance(value, str), default, choices, required
    )


def flag(default: bool | None = None, where: tuple[str, ...] = (), *, required: bool = False) -> Declaration:
    """Return a declaration that takes True or False."""
    return Declaration("True or False", lambda value: isinstance(value, bool), default, (), required, where)


def is_names(value: Any) -> bool:
    """Tell whether a value is a name or some names."""
    return isinstance(value, str) or (
        isinstance(value, Collection)
        and not isinstance(value, bytes | Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and name for name in value)
    )


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_divergence(value: Any) -> bool:
    """Tell whether a value is a loss's Divergence, or a text that says why there is none."""
    # its class lives beside the losses, which take seconds to import
    return isinstance(value, str) or all(hasattr(value, part) for part in ("name", "critic", "between"))


AXES = ("batch", "pixels", "channels", "group")
"""The axes over which a normalization may keep mean 0 and variance 1."""

KEPT = ("row lengths", "spectral norm 1", "root mean square 1", "the layer")
"""What else a normalization may keep."""


def _is_kept(value: Any) -> bool:
    """Tell whether a value says what a normalization keeps."""
    return value in KEPT if isinstance(value, str) else is_names(value) and set(value) <= set(AXES)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and bool(str(value))


def _is_sources(value: Any) -> bool:
    listed = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return callable(value) or all(map(_is_path, listed))


def _is_measures(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0 and all(
        isinstance(name, str) and name.isidentifier() and isinstance(measure, Measure) and _is_sound(measure)
        for name, measure in value.items()
    )  # fmt: skip


def _is_sound(measure: Measure) -> bool:
    ordered = isinstance(measure.bounds, tuple) and len(measure.bounds) == 2 and measure.bounds[0] < measure.bounds[1]
    texts = isinstance(measure.legend, str) and isinstance(measure.blind, str)
    return ordered and measure.direction in (None, "up", "down") and texts


def _is_thresholds(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and name.isidentifier() and isinstance(threshold, Threshold) and _is_reasoned(threshold)
        for name, threshold in value.items()
    )


def _is_reasoned(threshold: Threshold) -> bool:
    return is_number(threshold.value) and isinstance(threshold.reason, str) and bool(threshold.reason.strip())


def _is_remedy(value: Any) -> bool:
    return isinstance(value, Remedy) and all(isinstance(text, str) for text in (value.text, value.source))


def _is_scripts(value: Any) -> bool:
    return isinstance(value, tuple) and all((isinstance(one, str) and one) or callable(one) for one in value)


MEASURES = Declaration(
    "a dictionary of columns, each with a Measure (direction 'up', 'down' or None, bounds from low to high)",
    _is_measures,
    required=True,
)
LOSS = {
    "boundary": Declaration(
        "the logit of an undecided critic, a number or None", lambda v: v is None or is_number(v), 0.0
    ),
    "saturates": flag(),
    "divergence": Declaration("a Divergence, or a text that says why there is none", _is_divergence),
}
KEEPS = Declaration("a tuple of axes, or one invariant", _is_kept, choices=(*AXES, *KEPT))
VERDICT = {
    "failure": flag(required=True),
    "undecided": flag(False),
    "rank": Declaration("a number: of the verdicts that hold, that of the lowest counts", is_number, required=True),
    "symbol": Declaration(
        "one character", lambda v: isinstance(v, str) and len(v) == 1 and v.isprintable() and v != " ", required=True
    ),
    "evidence": Declaration("a function of the case and what holds that returns a sentence", callable, required=True),
    "thresholds": Declaration("a dictionary of names, each with a Threshold (a number, a reason)", _is_thresholds, {}),
    "remedy": Declaration("a Remedy (what usually helps, the work it rests on)", _is_remedy),
    "scripts": Declaration("a tuple of names of scripted generators, or of functions that make some", _is_scripts, ()),
}
"""What a verdict declares: with its function, which tells whether it holds, one record of all there is to know."""

TERM = {
    "head": Declaration("a function (problem, *, hypers) of how many numbers D says beside its logit", callable),
    "code": Declaration("a function (*, hypers) -> Code, the law of numbers behind G's latents", callable),
    "untold": flag(False),
    "space": Declaration("the name of a feature space", lambda v: isinstance(v, str) and bool(v)),
    "players": Declaration("'d', 'g' or 'dg'", lambda v: v in ("d", "g", "dg"), "dg"),
}
"""What a term asks for: see ganbench.gan.terms."""

LINEAR = {"linear": Declaration("a function of what is linear near an equilibrium, see ganbench.gan.linear", callable)}
"""What theory asks of a method or a game; where nothing is declared it says nothing."""

NUMBERS = {"numbers": Declaration("a function (step, *, hypers) -> tuple of numbers", callable)}
PHASE = {"phase": Declaration("a function (batch, progress, *, hypers) of numbers", callable, where=("logits",))}
"""What a plug-in wants to know of a step that is a number of Python."""

NO_RATE = Declaration(
    "a dictionary of losses, each with a text that says why no rate is known and that descent does not converge",
    lambda v: isinstance(v, Mapping) and all(isinstance(text, str) and text for pair in v.items() for text in pair),
    {},
)
RESOLUTION = Declaration(
    "a number above 0: distances from the equilibrium below it are rounding", lambda v: is_number(v) and v > 0, 1e-18
)

PAPER = Declaration(
    "a dictionary of axes of normalizations, each with the name of the one that its paper has there",
    lambda v: isinstance(v, Mapping) and all(isinstance(name, str) and name for pair in v.items() for name in pair),
    {},
)
"""What `normalization=paper` and `g_normalization=paper` mean with a network; where it declares nothing, none."""

ANY_KIND = {
    "sources": Declaration("files whose content decides results: a path, a list of paths or a function", _is_sources),
    "environment": Declaration("names of environment variables that decide results", is_names, ()),
    "later": Declaration("names of hyper-parameters that came when studies were made already", is_names, ()),
}
