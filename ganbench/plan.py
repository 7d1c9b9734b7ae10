"""What is to be trained: variants, runs, and the frozen plan that lists them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ganbench import cells, kinds, registry
from ganbench.errors import UserError, unknown

SCHEMA = 1
WORD_AXES = {"latent": ("normal", "uniform"), "numerics": ("fp32", "bf16", "tf32")}
NUMBER_AXES = ("steps", "batch_size", "critic_steps", "generator_steps", "latent_dim")
# what is measured, and when: the same for all runs of a plan
MEASURING = ("probe_every", "samples", "neighbours", "diagnostics", "feature_spaces", "metrics")
# that nothing is asked for beside what is always measured
NOT_ASKED = "none"
# that no combination is trained which is refused otherwise
NOTHING_ALLOWED = "none"
# settings that came after the first studies, beside axes of plug-ins that did: see `later`
_LATER = {
    "generator_steps": 1, "diagnostics": "cheap", "feature_spaces": NOT_ASKED, "metrics": NOT_ASKED,
    "listed": [], "margins": {}, "time_limit": 0.0, "tuned": [], "allow": NOTHING_ALLOWED,
    "claims": [], "executor": {}, "numerics": "fp32",
}  # fmt: skip
# how much worse does not matter to the gate, as shares of 1, where neither suite, baseline nor command says otherwise
MARGINS = {"failure_rate": 0.2, "score": 0.1}
# of a training loop that ganbench only watches nothing is known but the name that its author gives to it
OWN, OWN_NAME = "own", "loop.variant"
# between the names of plug-ins that act together in one variant
TOGETHER = "+"
# how the version of a plug-in begins that cannot be covered by a hash
UNCOVERED = "uncovered-"


def plugin_axes() -> tuple[str, ...]:
    """Return the axes whose values are plug-ins."""
    return tuple(kinds.axes())


def axes() -> tuple[str, ...]:
    """Return all axes of a variant."""
    return (*kinds.axes(), *WORD_AXES, *NUMBER_AXES)


def later() -> dict[str, Any]:
    """Return the settings that came after the first studies: at these values ids and files leave them out, and last."""
    return {axis.name: axis.default for axis in kinds.axes().values() if axis.later} | _LATER


def later_hyper(key: str) -> Any:
    """Return the default of a hyper-parameter that came later, None for any other one."""
    kind, name, hyper = (*key.split(".", 2), "", "")[:3]
    return _later_of(kind, name).get(hyper)


def _later_of(kind: str, name: str) -> dict[str, Any]:
    """Return the hyper-parameters of a plug-in that came later; none of one that is not known here."""
    if kind not in kinds.KINDS:  # a file may be of another version
        return {}
    registry.load(kind)
    plugin = registry.known().get((kind, name))
    return plugin.later if plugin else {}


class Variant:
    """One point of the grid without the seed: a value for each of the `axes`, and hyper-parameters.

    `hypers` holds every hyper-parameter of its plug-ins, defaults too. An axis that is not given, and a hyper-parameter
    that came later, has its default.
    """

    latent: str
    numerics: str
    steps: int
    batch_size: int
    critic_steps: int
    generator_steps: int
    latent_dim: int
    hypers: tuple[tuple[str, Any], ...]
    _added: dict[str, Any]

    def __init__(self, *, hypers: tuple[tuple[str, Any], ...] = (), **values: Any) -> None:
        late = later()
        for axis in axes():
            self.__dict__[axis] = values.pop(axis) if axis in values else late[axis]
        if values:
            raise TypeError(f"a variant has no axis {', '.join(values)}")
        # in one order, whoever named them; of a loop that is only watched none is known
        added = {
            f"{kind}.{name}.{hyper}": default
            for kind, name in (() if OWN_NAME in dict(hypers) else sorted(self.plugins()))
            for hyper, default in sorted(_later_of(kind, name).items())
        }
        known, given = dict(hypers), tuple((key, value) for key, value in hypers if key not in added)
        self.__dict__["_added"] = added
        self.__dict__["hypers"] = (*given, *((key, known.get(key, default)) for key, default in added.items()))

    def __getattr__(self, axis: str) -> str:
        """The name of the plug-in of an axis; several that act together are joined by TOGETHER."""
        raise AttributeError(axis)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a variant does not change: {name}")

    @property
    def filed(self) -> dict[str, Any]:
        """The hyper-parameters as ids and files know them: without those that came later, where at their defaults."""
        # to the letter, as a file holds them: 0 is not 0.0 here
        return {
            key: value for key, value in self.hypers if key not in self._added or repr(value) != repr(self._added[key])
        }

    @property
    def values(self) -> dict[str, Any]:
        """The value of every axis."""
        return {axis: self.__dict__[axis] for axis in axes()}

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return (*self.values.items(), self.hypers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variant) and self._key == other._key

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Variant({self.id})"

    @cached_property
    def id(self) -> str:
        """A readable name with a hash of everything that it stands for."""
        digest = _digest(_without_later({**self.values, "hypers": list(self.filed.items())}), 6)
        if name := dict(self.hypers).get(OWN_NAME):
            return f"{self.problem}-{name}-{digest}"
        words = [
            f"{'g_' * axis.name.startswith('g_')}{self.__dict__[axis.name]}"
            for axis in kinds.axes().values()
            if axis.named is True or (axis.named is None and self.__dict__[axis.name] != axis.default)
        ]
        return f"{'-'.join(words)}-{digest}"

    def hypers_of(self, kind: str, name: str) -> dict[str, Any]:
        """Return the hyper-parameters of one of its plug-ins."""
        prefix = f"{kind}.{name}."
        return {key.removeprefix(prefix): value for key, value in self.hypers if key.startswith(prefix)}

    def names(self, axis: str) -> list[str]:
        """Return the names of the plug-ins of an axis, in order: several where its kind composes."""
        return str(getattr(self, axis)).split(TOGETHER)

    def plugins(self) -> set[tuple[str, str]]:
        """Return kind and name of every plug-in that it is made of."""
        return {(kinds.kind_of(axis), name) for axis in plugin_axes() for name in self.names(axis)}


@dataclass(frozen=True)
class Run:
    """A variant with a seed: one GAN trained once."""

    variant: Variant
    seed: int

    @property
    def id(self) -> str:
        return f"{self.variant.id}-s{self.seed}"


@dataclass(frozen=True)
class Plan(cells.PlanCard):
    """The resolved, validated, frozen list of what to train. `hash` names its content.

    `feature_spaces` are those asked for beside the problems' own, `metrics` those asked for beside what is always
    measured, joined by TOGETHER, "none" for no other.
    `listed` holds the ids of the runs where these are not all seeds of all variants: the plan of loops that are watched
    grows with every loop that reports. `margins` are the gate's where the suite declares some, and decide no result.
    `versions` are the identities of its plug-ins, `code` is that of this package, which a study's environment is held
    against rather than the plan's hash (see ganbench.identity). `time_limit` is what a population may take, in seconds,
    0 for any time: it decides who ends, and no result. `tuned` are the keys in which the settings of a method differ: a
    variant without them is the method. `allow` names the exceptions by which variants are in it that would be skipped
    (combining.ALLOWED), joined by TOGETHER, "none" for no such one. `claims` are the statements that it puts on trial,
    as plain data (see ganbench.claims): they judge its results and decide none. `executor` is who does the work, by
    name and settings, nothing for this machine as it is (see ganbench.executing).
    """

    name: str
    description: str
    variants: tuple[Variant, ...]
    skipped: tuple[tuple[Variant, str], ...]
    seeds: tuple[int, ...]
    probe_every: int
    samples: int
    neighbours: int
    diagnostics: str = "cheap"
    feature_spaces: str = NOT_ASKED
    metrics: str = NOT_ASKED
    versions: Mapping[str, str] = field(default_factory=dict)
    legends: Mapping[str, str] = field(default_factory=dict)
    plugin_files: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)
    code: str = ""
    time_limit: float = 0.0
    tuned: tuple[str, ...] = ()
    allow: str = NOTHING_ALLOWED
    claims: tuple[Mapping[str, Any], ...] = ()
    executor: Mapping[str, Any] = field(default_factory=dict)

    @property
    def uncovered(self) -> list[str]:
        """The plug-ins whose identity cannot be covered: what is trained with them is never reused."""
        return [key for key, version in self.versions.items() if version.startswith(UNCOVERED)]

    @property
    def runs(self) -> list[Run]:
        """Every run, variant by variant."""
        runs = [Run(variant, seed) for variant in self.variants for seed in self.seeds]
        return [run for run in runs if run.id in self.listed] if self.listed else runs

    @property
    def asked_spaces(self) -> tuple[str, ...]:
        """The names of the feature spaces that are asked for beside the problems' own."""
        return asked_for(self.feature_spaces)

    @property
    def asked_metrics(self) -> tuple[str, ...]:
        """The names of the metrics that are asked for beside what is always measured."""
        return asked_for(self.metrics)

    @cached_property
    def steps_of(self) -> dict[str, int]:
        """The steps of every run by its id."""
        return {run.id: run.variant.steps for run in self.runs}

    def probes(self, steps: int) -> Iterator[int]:
        """Yield the steps at which runs of this many steps are probed."""
        yield from range(0, steps, self.probe_every)
        yield steps

    def joined(self, other: Plan) -> Plan:
        """Return the plan with the listed runs of another; UserError where the two measure in different ways."""
        for key in (*MEASURING, "versions", "code"):
            mine, theirs = getattr(self, key), getattr(other, key)
            if mine != theirs:
                words = {"versions": "other versions of metrics", "code": "another version of ganbench"}
                what = words.get(key, f"{key} {mine}, not {theirs}")
                raise UserError(f"The study '{self.name}' is measured with {what}: choose the same, or another out.")
        return replace(
            self,
            variants=tuple(dict.fromkeys((*self.variants, *other.variants))),
            seeds=tuple(sorted({*self.seeds, *other.seeds})),
            legends={**self.legends, **other.legends},
            listed=tuple(dict.fromkeys((*self.listed, *other.listed))),
        )

    @cached_property
    def hash(self) -> str:
        """A hash of what was asked for, with the identities of plug-ins, without this package and the machine."""
        content = self.to_dict()
        for aside in (
            "description",
            "plugin_files",
            "legends",
            "margins",
            "code",
            "time_limit",
            "allow",
            "claims",
            "executor",
        ):
            content.pop(aside, None)
        return _digest(content, 12)

    def label(self, variant: Variant) -> str:
        """Return the name of a variant's problem; with the hyper-parameters that vary over the plan, if any do."""
        prefix = f"problem.{variant.problem}."
        varying = [key for key in self.varying if key.startswith(prefix)]
        words = [f"{key.removeprefix(prefix)}={dict(variant.hypers).get(key)}" for key in varying]
        return f"{variant.problem}({','.join(words)})" if words else variant.problem

    def changed(self, other: Plan) -> list[str]:
        """Return the plug-ins of this plan whose identity is not that of another plan of the same content."""
        return [key for key, version in self.versions.items() if other.versions.get(key, version) != version]

    @cached_property
    def varying(self) -> list[str]:
        """The keys of axes and hyper-parameters that take more than one value in the plan."""
        values: dict[str, set[Any]] = {}
        for variant in (*self.variants, *(variant for variant, _ in self.skipped)):
            for key, value in {**variant.values, **dict(variant.hypers)}.items():
                values.setdefault(key, set()).add(value)
        return [key for key, seen in values.items() if len(seen) > 1]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back."""
        content = {
            "schema": SCHEMA,
            "name": self.name,
            "description": self.description,
            "seeds": list(self.seeds),
            "probe_every": self.probe_every,
            "samples": self.samples,
            "neighbours": self.neighbours,
            "diagnostics": self.diagnostics,
            "feature_spaces": self.feature_spaces,
            "metrics": self.metrics,
            "plugin_files": list(self.plugin_files),
            "listed": list(self.listed),
            "margins": dict(self.margins),
            "time_limit": self.time_limit,
            "tuned": list(self.tuned),
            "allow": self.allow,
            "claims": [dict(claim) for claim in self.claims],
            "executor": dict(self.executor),
            "code": self.code,
            "versions": dict(sorted(self.versions.items())),
            "legends": dict(self.legends),
            "variants": [_flat(variant) for variant in self.variants],
            "skipped": [{**_flat(variant), "reason": reason} for variant, reason in self.skipped],
        }
        return _without_later(content)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read a plan back; UserError where it was written by a newer version."""
        if data.get("schema") != SCHEMA:
            raise UserError(f"The plan has schema {data.get('schema')}; this version of ganbench reads {SCHEMA}.")
        skipped = [(_unflat({k: v for k, v in row.items() if k != "reason"}), row["reason"]) for row in data["skipped"]]
        return cls(
            name=data["name"],
            description=data["description"],
            variants=tuple(map(_unflat, data["variants"])),
            skipped=tuple(skipped),
            seeds=tuple(data["seeds"]),
            probe_every=data["probe_every"],
            samples=data["samples"],
            neighbours=data["neighbours"],
            diagnostics=data.get("diagnostics", _LATER["diagnostics"]),
            feature_spaces=data.get("feature_spaces", _LATER["feature_spaces"]),
            metrics=data.get("metrics", _LATER["metrics"]),
            versions=data["versions"],
            legends=data.get("legends", {}),
            plugin_files=tuple(data["plugin_files"]),
            listed=tuple(data.get("listed", ())),
            margins=data.get("margins", {}),
            code=data.get("code", ""),
            time_limit=data.get("time_limit", _LATER["time_limit"]),
            tuned=tuple(data.get("tuned", ())),
            allow=data.get("allow", _LATER["allow"]),
            claims=tuple(data.get("claims", ())),
            executor=data.get("executor", {}),
        )


def asked_for(names: str) -> tuple[str, ...]:
    """Return names that are joined by TOGETHER, none where nothing is asked for."""
    return () if names == NOT_ASKED else tuple(names.split(TOGETHER))


def check_margins(margins: Mapping[str, Any]) -> dict[str, float]:
    """Return margins of the gate as numbers; UserError for an unknown name or a value that is not between 0 and 1."""
    for name, value in margins.items():
        if name not in MARGINS:
            raise unknown("margin", name, MARGINS)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"The margin '{name}' must be a number, got {value!r}.")
        if not 0 < value < 1:
            raise UserError(f"The margin '{name}' must lie between 0 and 1, got {value}.")
    return {name: float(value) for name, value in margins.items()}


def _flat(variant: Variant) -> dict[str, Any]:
    return {**_without_later(variant.values), **variant.filed}


def _without_later(data: dict[str, Any]) -> dict[str, Any]:
    late = later()
    return {key: value for key, value in data.items() if late.get(key) != value}


def _unflat(data: Mapping[str, Any]) -> Variant:
    hypers = tuple((key, value) for key, value in data.items() if "." in key)
    return Variant(**{key: data[key] for key in axes() if key in data}, hypers=hypers)


def _digest(content: Any, length: int) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:length]
