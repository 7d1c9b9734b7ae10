"""The only table of kinds of plug-ins: where each lives, how the engine calls it, what it may declare.

`registry.register` holds every plug-in to it (see ganbench.refusals). Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ganbench.declarations import (
    ANY_KIND,
    KEEPS,
    LINEAR,
    LOSS,
    MEASURES,
    NO_RATE,
    NUMBERS,
    PAPER,
    PHASE,
    RESOLUTION,
    TERM,
    VERDICT,
    Declaration,
    flag,
    is_names,
    one_of,
)  # fmt: skip
from ganbench.declarations import Measure as Measure  # what declarations are made of is found here, beside the table
from ganbench.declarations import Remedy as Remedy
from ganbench.declarations import Threshold as Threshold
from ganbench.declarations import positive as positive
from ganbench.declarations import share as share

COSTS = ("cheap", "medium", "expensive")
"""The cost classes of diagnostics; a suite measures those up to its own."""


@dataclass(frozen=True)
class Axis:
    """A key of a suite whose values are plug-ins of one kind.

    later: it came after the first studies, and stays out of ids and files at its default. gives, asks: the players
    ("G", "D") whose network its plug-ins provide capabilities to, and whose they need them of. acts_on: what its
    plug-ins may act on (empty: all). once: of these a variant has at most one that acts on it. named: whether a
    variant's id names the plug-in: always, never, or (None) where it is not the default. unlisted: that its default
    stays out of a plan's list of plug-ins, too, so that plans are what they were before the axis came.
    """

    name: str
    default: str
    later: bool = False
    gives: str = "GD"
    asks: str = "D"
    acts_on: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    named: bool | None = None
    unlisted: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in.

    home: the module of those that are shipped. calls: the positional parameters of a plug-in, by what it `acts_on`
    ("" where the kind declares no such thing). declares: what it may declare. hypers: hyper-parameters that the engine
    looks at, with their types; `rates` among them a plug-in must have. axes: the keys of a suite that take it; where it
    composes, several plug-ins may act together in one variant. laws: the modules that hold its laws. settings: whether
    a plug-in may have any hyper-parameters: where no variant chooses it, nothing could set them.
    """

    name: str
    home: str
    calls: Mapping[str, tuple[str, ...]]
    declares: Mapping[str, Declaration] = field(default_factory=dict)
    hypers: Mapping[str, type] = field(default_factory=dict)
    rates: tuple[str, ...] = ()
    axes: tuple[Axis, ...] = ()
    composes: bool = False
    laws: tuple[str, ...] = ()
    settings: bool = True

    def default(self, key: str) -> Any:
        """Return what holds where a plug-in does not declare `key`."""
        return self.declarations[key].default

    @property
    def declarations(self) -> dict[str, Declaration]:
        """All that a plug-in of this kind may declare beside needs and provides."""
        return {**self.declares, **ANY_KIND}

    def parameters(self, declared: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the positional parameters of a plug-in that declares so much."""
        acts_on = declared.get("acts_on", self.default("acts_on")) if "acts_on" in self.declares else ""
        more = {"remembers": "memory", "labelled": "label"}
        return (*self.calls[acts_on], *(name for key, name in more.items() if declared.get(key)))


def _acts_on(calls: Mapping[str, tuple[str, ...]], default: str | None) -> Declaration:
    return one_of(*calls, default=default, required=default is None)


_CRITIC = ("critic", "real", "fake", "numbers")
_REGULARIZER = {
    "inputs": _CRITIC,
    "weights": ("weights",),
    "matrices": ("matrices",),
    "samples": ("samples", "normal", "progress"),
    "latents": ("generator", "latents", "normal"),
    "nothing": _CRITIC,
}
_OF_D = ("inputs", "weights", "matrices", "samples", "nothing")
_OF_G = ("latents", "weights", "matrices", "nothing")
_METRIC = {"samples": ("real", "fake"), "models": ("seen",)}
_VERDICT = {"probes": ("case",), "run": ("ended",)}
_NORMALIZATION = {"activations": ("layer",), "weights": ("layer",)}
_TRICK: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "batch": ("features",),
    "packs": ("samples",),
    "samples": ("samples", "uniform"),
    "data": ("weights",),
    "features": ("real_features", "fake_features"),
    "logits": ("real_logits", "fake_logits", "progress"),
    "parameters": ("parameters", "mean"),
    "average": ("average", "parameters"),
}

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "problem",
            "ganbench.problems",
            {"": ()},
            {"gives": one_of("label", "picture"), "external": flag(False), "resolution": RESOLUTION},
            axes=(Axis("problem", "ring8", named=True),),
            laws=("ganbench.contracts.problems",),
        ),
        Kind(
            "model",
            "ganbench.models",
            {"": ("runs", "problem", "device")},
            {
                "ignores": Declaration("names of axes that mean nothing to it", is_names, ()),
                "likelihood": one_of("exact", "bound"),
            },
            axes=(Axis("model", "gan", later=True, asks="GD"),),
            laws=("ganbench.contracts.models",),
        ),
        Kind(
            "network",
            "ganbench.gan.networks",
            {"": ("spec",)},
            {**LINEAR, "paper": PAPER},
            axes=(Axis("network", "mlp", asks="GD", named=False),),
            laws=("ganbench.contracts.networks",),
        ),
        Kind(
            "loss",
            "ganbench.gan.losses",
            {"": ("real_logits", "fake_logits")},
            LOSS,
            axes=(Axis("loss", "nonsaturating", named=True),),
            laws=("ganbench.contracts.losses", "ganbench.contracts.divergences",),
        ),
        Kind(
            "normalization",
            "ganbench.gan.normalizations",
            _NORMALIZATION,
            {"acts_on": _acts_on(_NORMALIZATION, "activations"), "keeps": KEEPS},
            axes=(
                Axis("normalization", "none", gives="D", named=True),
                Axis("g_normalization", "none", gives="G", asks="G"),
            ),
            laws=("ganbench.contracts.normalizations",),
        ),
        Kind(
            "regularizer",
            "ganbench.gan.regularizers",
            _REGULARIZER,
            {
                "acts_on": _acts_on(_REGULARIZER, "inputs"),
                "draws": Declaration(
                    "'uniform' or 'normal'", lambda v: isinstance(v, str), "uniform", ("uniform", "normal"),
                    where=("inputs",),
                ),
                "remembers": flag(False, where=("inputs", "latents")),
                "signed": flag(False, where=("inputs", "matrices", "latents")),
                "no_rate": NO_RATE,
                "resolution": RESOLUTION,
                **LINEAR,
            },
            {"lazy": int},
            axes=(
                Axis("regularizer", "none", acts_on=_OF_D),
                Axis("g_regularizer", "none", later=True, gives="G", asks="G", acts_on=_OF_G),
            ),
            composes=True,
            laws=("ganbench.contracts.regularizers",),
        ),
        Kind(
            "optimizer",
            "ganbench.gan.optimizers",
            {"": ("parameters", "gradient", "state", "step", "lr")},
            {**LINEAR, **NUMBERS},
            hypers={"g_lr": float, "d_lr": float, "decay": str},
            rates=("g_lr", "d_lr"),
            axes=(Axis("optimizer", "adam", named=False),),
            laws=("ganbench.contracts.optimizers",),
        ),
        Kind(
            "update",
            "ganbench.gan.updates",
            {"": ("round",)},
            {"plain": flag(False), **LINEAR},
            axes=(Axis("update", "alternating", later=True),),
            laws=("ganbench.contracts.updates",),
        ),
        Kind(
            "trick",
            "ganbench.gan.tricks",
            _TRICK,
            {
                "acts_on": _acts_on(_TRICK, None),
                "withholds": Declaration(
                    "a set of names of capabilities", lambda v: not isinstance(v, str) and is_names(v), ()
                ),
                "draws": Declaration(
                    "how many numbers a sample, at least 1",
                    lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1,
                    1,
                    where=("samples",),
                ),
                **PHASE,
            },
            axes=(Axis("trick", "none", later=True, once=("average",)),),
            composes=True,
            laws=("ganbench.contracts.tricks",),
        ),
        Kind(
            "term",
            "ganbench.gan.terms",
            {"": ("scene",)},
            TERM,
            axes=(Axis("term", "none", later=True, unlisted=True),),
            composes=True,
            laws=("ganbench.contracts.terms",),
        ),
        Kind(
            "metric",
            "ganbench.measure.asked",
            _METRIC,
            {
                "acts_on": _acts_on(_METRIC, "samples"),
                "measures": MEASURES,
                "space": Declaration("the name of a feature space", lambda v: isinstance(v, str) and bool(v)),
                "spaces": flag(False),
                "labelled": flag(False),
                "asked": flag(False),
                "late": flag(False),
            },
            composes=True,
            laws=("ganbench.contracts.metrics",),
        ),
        Kind(
            "feature_space",
            "ganbench.problems.features",
            {"": ("problem",)},
            {"external": flag(False), "cost": one_of("cheap", "expensive", default="cheap")},
            composes=True,
            laws=("ganbench.contracts.feature_spaces",),
            settings=False,
        ),
        Kind(
            "diagnostic",
            "ganbench.measure.costly",
            {"": ("game",)},
            {"measures": MEASURES, "cost": one_of(*COSTS, default="cheap"), "late": flag(False)},
            laws=("ganbench.contracts.diagnostics",),
        ),
        Kind(
            "verdict",
            "ganbench.analysis.verdicts.shipped",
            _VERDICT,
            {"acts_on": _acts_on(_VERDICT, "probes"), **VERDICT},
            settings=False,
            laws=("ganbench.contracts.verdicts",),
        ),
        Kind("executor", "ganbench.executors.shipped", {"": ()}, laws=("ganbench.contracts.executors",)),
    )
}  # fmt: skip


def axes() -> dict[str, Axis]:
    """Return the keys of a suite that take plug-ins, in the order of the table."""
    return _axes(tuple(map(id, KINDS.values())))[0]


def kind_of(axis: str) -> str:
    """Return the kind of plug-in that an axis takes."""
    return _axes(tuple(map(id, KINDS.values())))[1][axis]


@lru_cache(maxsize=4)
def _axes(table: tuple[int, ...]) -> tuple[dict[str, Axis], dict[str, str]]:
    pairs = [(axis, kind.name) for kind in KINDS.values() for axis in kind.axes]
    return {axis.name: axis for axis, _ in pairs}, {axis.name: kind for axis, kind in pairs}
