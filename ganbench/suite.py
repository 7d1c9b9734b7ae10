"""From a suite file and overrides to a plan: resolve, validate, freeze. Nothing here needs torch to be fast."""

from __future__ import annotations

import itertools
import math
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from ganbench import registry
from ganbench.errors import UserError, quoted, unknown
from ganbench.identity import code_digest
from ganbench.plan import AXES, NUMBER_AXES, PLUGIN_AXES, UNCOVERED, Plan, Variant, check_margins, kind_of
from ganbench.reading import parse_overrides, read_suite

LATENTS = ("normal", "uniform")
SHARED = ("description", "seeds", "probe_every", "samples", "neighbours", "diagnostics", "margins", "time_limit")
HYPER = re.compile(r"^([a-z_]+)\.(\w+)\.(\w+)$")

LARGEST = {
    "steps": 10**9, "batch_size": 10**6, "latent_dim": 10**6, "critic_steps": 100, "generator_steps": 100,
}  # fmt: skip
"""What the number axes may be at most: beyond it nothing could be trained."""
LARGEST_SEED = 2**63 - 1
MOST_VARIANTS, MOST_RUNS = 20_000, 200_000
"""How large a grid may be, the combinations that are skipped included."""
LONGEST_VALUE = 100
"""Characters of a hyper-parameter that is a text: it stands in labels."""


class Settings(BaseModel):
    """The keys of a suite file. Every axis takes one value or a list of values; a list is a sweep."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = ""
    problem: list[str] = ["ring8"]
    network: list[str] = ["mlp"]
    loss: list[str] = ["nonsaturating"]
    normalization: list[str] = ["none"]
    g_normalization: list[str] = ["none"]
    regularizer: list[str] = ["none"]
    optimizer: list[str] = ["adam"]
    update: list[str] = ["alternating"]
    trick: list[str] = ["none"]
    latent: list[str] = ["normal"]
    seeds: list[int] = [0, 1, 2, 3, 4]
    steps: list[int] = [2000]
    batch_size: list[int] = [128]
    critic_steps: list[int] = [1]
    generator_steps: list[int] = [1]
    latent_dim: list[int] = [8]
    probe_every: int = Field(500, ge=1, le=10**9)
    samples: int = Field(1000, ge=16, le=10**6)
    neighbours: int = Field(500, ge=16, le=10**6)
    diagnostics: str = "cheap"
    margins: dict[str, float] = {}
    time_limit: float = Field(0.0, ge=0, le=10**9)
    hypers: dict[str, list[Any]] = {}
    per_problem: dict[str, dict[str, Any]] = {}

    @field_validator(*AXES, mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        # YAML reads a bare `none` as text but `null` or `~` as nothing; both mean the plug-in none
        values = value if isinstance(value, list) else [value]
        return ["none" if item is None else item for item in values]

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise ValueError(f"needs at least 1 seed, got {value}")
            if value > 10_000:
                raise ValueError(f"takes at most 10000 seeds, got {value}")
            return list(range(value))
        return value

    @field_validator(*AXES, "seeds", mode="after")
    @classmethod
    def _distinct(cls, value: list[Any]) -> list[Any]:
        if not value:
            raise ValueError("is empty, so the grid has no runs")
        if len(set(value)) < len(value):
            raise ValueError(f"names the same value twice in {value}")
        return value

    @field_validator(*NUMBER_AXES, mode="after")
    @classmethod
    def _within(cls, value: list[int], info: ValidationInfo) -> list[int]:
        if min(value) < 1:
            raise ValueError(f"must be at least 1, got {min(value)}")
        largest = LARGEST[str(info.field_name)]
        if max(value) > largest:
            raise ValueError(f"must be at most {largest}, got {max(value)}")
        return value

    @field_validator("seeds", mode="after")
    @classmethod
    def _natural(cls, value: list[int]) -> list[int]:
        if min(value) < 0:
            raise ValueError(f"must not be negative, got {min(value)}")
        if max(value) > LARGEST_SEED:
            raise ValueError(f"must be at most {LARGEST_SEED}, got {max(value)}")
        return value

    @field_validator("margins", mode="before")
    @classmethod
    def _shares(cls, value: Any) -> Any:
        return check_margins(value) if isinstance(value, dict) else value


def resolve(suite: str | os.PathLike[str] | None, overrides: Sequence[str] = ()) -> Plan:
    """Make the plan of a suite (or of the defaults alone) under overrides; UserError says what does not fit."""
    name, base = read_suite(suite) if suite is not None else ("custom", {})
    changes = parse_overrides(overrides)
    registry.check_needs()
    base["margins"] = _margins(base) | _margins(changes)
    problems = _problems(changes.get("problem", base.get("problem", Settings.model_fields["problem"].default)))
    per_problem = _per_problem(base)
    _check_hypers({**base, **changes})
    grids = [_settings({**base, **per_problem.get(each, {}), **changes, "problem": each}) for each in problems]
    common = grids[0].model_dump(include=set(SHARED))
    for grid in grids[1:]:
        if grid.model_dump(include=set(SHARED)) != common:
            raise UserError(f"The keys {', '.join(SHARED[1:])} hold for a whole suite, not for '{grid.problem[0]}'.")
    _check_size(grids)

    reasons = {variant: impossible(variant) for variant in itertools.chain.from_iterable(map(_expand, grids))}
    variants = [variant for variant, reason in reasons.items() if not reason]
    skipped = {variant: reason for variant, reason in reasons.items() if reason}
    used = {key for variant in (*variants, *skipped) for key, _ in variant.hypers}
    for key in changes:
        if HYPER.match(key) and key not in used:
            raise UserError(f"The key '{key}' changes nothing: no variant of this plan uses it.")
    if not variants:
        reason = next(iter(skipped.values()), "the grid is empty")
        raise UserError(f"The plan has no runs: every combination is skipped ({reason}).")
    return Plan(
        name=name,
        variants=tuple(variants),
        skipped=tuple(skipped.items()),
        **{**common, "seeds": tuple(common["seeds"])},
        versions=_versions(variants),
        code=code_digest(),
        legends={f"{kind}.{name}": registry.get(kind, name).legend for kind, name in _used((*variants, *skipped))},
        plugin_files=tuple(registry.loaded_files()),
    )


def _problems(value: Any) -> list[str]:
    """Return the names of a suite's problems, of which each has settings of its own."""
    named = value if isinstance(value, list) else [value]
    for name in named:
        if not isinstance(name, str):
            raise UserError(f"The key 'problem' has the wrong type: it takes names of problems, got {quoted(name)}.")
    if len(set(named)) < len(named):
        raise UserError(f"The key 'problem' names the same value twice in {named}.")
    if not named:
        raise UserError("The key 'problem' is empty, so the grid has no runs.")
    return named


def _per_problem(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Take what differs by problem out of a suite's keys."""
    given = data.pop("per_problem", None)
    parts = {} if given is None else given
    sound = isinstance(parts, dict) and all(isinstance(part, dict) for part in parts.values())
    if not sound or not all(isinstance(key, str) for part in (parts, *parts.values()) for key in part):
        raise UserError("The key 'per_problem' must map a problem's name to the keys that differ there.")
    for problem, part in parts.items():
        registry.get("problem", problem)
        if "problem" in part:
            raise UserError(f"The key 'problem' cannot differ for the problem '{problem}'.")
    return parts


def _check_size(grids: Sequence[Settings]) -> None:
    """Raise UserError for a grid that is too large, before anything of it is built."""
    variants = sum(map(_size, grids))
    runs = variants * len(grids[0].seeds)
    for count, most, what in ((variants, MOST_VARIANTS, "variants"), (runs, MOST_RUNS, "runs")):
        if count > most:
            raise UserError(f"The grid has {count} {what}, and a plan holds at most {most}: split it, or sweep less.")


def _size(grid: Settings) -> int:
    """Return how many variants a grid expands to."""
    plugin_axes = [[(kind_of(axis), name) for name in getattr(grid, axis)] for axis in PLUGIN_AXES]
    both = PLUGIN_AXES.index("normalization"), PLUGIN_AXES.index("g_normalization")
    of_both = [plugin_axes.pop(place) for place in sorted(both, reverse=True)]
    # one normalization for both players has its hyper-parameters once
    size = sum(math.prod(_points(grid, *pair) for pair in set(pairs)) for pairs in itertools.product(*of_both))
    for axis in plugin_axes:
        size *= sum(_points(grid, *pair) for pair in axis)
    return size * math.prod(len(getattr(grid, axis)) for axis in AXES if axis not in PLUGIN_AXES)


def _points(grid: Settings, kind: str, name: str) -> int:
    """Return how many combinations of its hyper-parameters a plug-in has in a grid."""
    keys = (f"{kind}.{name}.{hyper}" for hyper in registry.get(kind, name).hypers)
    return math.prod(len(grid.hypers.get(key, "1")) for key in keys)


def _margins(data: dict[str, Any]) -> dict[str, Any]:
    """Take the gate's margins out of a suite's keys or of overrides: `margins: {score: 0.1}` or `margins.score=0.1`."""
    given = data.pop("margins", None)
    whole = {} if given is None else given
    if not isinstance(whole, dict):
        raise UserError(f"The key 'margins' maps names to numbers, for example margins.score=0.1; got {quoted(whole)}.")
    single = {key: data.pop(key) for key in list(data) if key.startswith("margins.")}
    return {**whole, **{key.removeprefix("margins."): value for key, value in single.items()}}


def _settings(data: dict[str, Any]) -> Settings:
    hypers = {key: value for key, value in data.items() if "." in key}
    plain = {key: value for key, value in data.items() if "." not in key}
    for key in plain:
        if key not in Settings.model_fields or key in ("hypers", "per_problem"):
            raise unknown(
                "key", key, [*(f for f in Settings.model_fields if f not in ("hypers", "per_problem")), "suite"]
            )
    listed = {key: value if isinstance(value, list) else [value] for key, value in hypers.items()}
    try:
        settings = Settings.model_validate({**plain, "hypers": listed})
    except ValidationError as error:
        raise _plain_error(error) from error
    _check_hypers(settings.hypers)
    for axis in PLUGIN_AXES:
        for name in getattr(settings, axis):
            registry.get(kind_of(axis), name)
    for latent in settings.latent:
        if latent not in LATENTS:
            raise unknown("latent distribution", latent, LATENTS)
    if settings.diagnostics not in registry.COSTS:
        raise unknown("class of diagnostics", settings.diagnostics, registry.COSTS)
    return settings


def _plain_error(error: ValidationError) -> UserError:
    first = error.errors()[0]
    key = str(first["loc"][0])
    if first["type"] == "value_error":
        return UserError(f"The key '{key}' {first['ctx']['error']}.")
    if first["type"] == "greater_than_equal":
        return UserError(f"The key '{key}' must be at least {first['ctx']['ge']}, got {first['input']}.")
    if first["type"] == "less_than_equal":
        return UserError(f"The key '{key}' must be at most {first['ctx']['le']}, got {first['input']}.")
    return UserError(f"The key '{key}' has the wrong type: {first['msg'].lower()}, got {quoted(first['input'])}.")


def _check_hypers(data: Mapping[str, Any]) -> None:
    for key, value in data.items():
        if "." in key:
            match = HYPER.match(key)
            if not match:
                raise UserError(f"Cannot read the key '{key}': a hyper-parameter is written kind.plugin.name.")
            kind, name, hyper = match.groups()
            plugin = registry.get(kind, name)
            if hyper not in plugin.hypers:
                raise unknown(f"hyper-parameter of the {kind} '{name}'", hyper, plugin.hypers)
            for item in value if isinstance(value, list) else [value]:
                _check_type(key, plugin.hypers[hyper], item)
            if isinstance(value, list) and len(set(value)) < len(value):
                raise UserError(f"The key '{key}' names the same value twice in {value}.")
            if value == []:
                raise UserError(f"The key '{key}' is empty, so the grid has no runs.")


def _check_type(key: str, default: Any, value: Any) -> None:
    wanted = type(default)
    fits = isinstance(value, bool | int | float | str) if default is None else isinstance(value, wanted)
    whole = wanted is float and isinstance(value, int)
    if not (fits or whole) or isinstance(value, bool) is not isinstance(default, bool):
        what = wanted.__name__ if default is not None else "a number or a text"
        raise UserError(f"The key '{key}' has the wrong type: it takes {what}, got {quoted(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"The key '{key}' must be a finite number, got {value}.")
    if isinstance(value, int) and abs(value) > LARGEST_SEED:
        raise UserError(f"The key '{key}' must be at most {LARGEST_SEED}, got {value}.")
    if isinstance(value, str) and (len(value) > LONGEST_VALUE or not value.isprintable()):
        raise UserError(f"The key '{key}' takes a line of at most {LONGEST_VALUE} characters, got {quoted(value)}.")


def _expand(settings: Settings) -> Iterable[Variant]:
    for values in itertools.product(*(getattr(settings, axis) for axis in AXES)):
        plain = dict(zip(AXES, values, strict=True))
        choices: dict[str, list[Any]] = {}
        for axis in PLUGIN_AXES:
            kind, name = kind_of(axis), plain[axis]
            for hyper, default in registry.get(kind, name).hypers.items():
                key = f"{kind}.{name}.{hyper}"
                given = settings.hypers.get(key, [default])
                choices[key] = [float(v) if isinstance(default, float) else v for v in given]
        for point in itertools.product(*choices.values()):
            yield Variant(**plain, hypers=tuple(zip(choices, point, strict=True)))


def impossible(variant: Variant) -> str:
    """Return why a combination cannot be trained, or an empty text. Every plug-in declares its own needs."""
    provided = {
        player: _provided(variant, (axis for axis in PLUGIN_AXES if axis != others))
        for player, others in (("G", "normalization"), ("D", "g_normalization"))
    }
    provided["D"] -= _withheld(variant)
    if variant.critic_steps == variant.generator_steps == 1:
        provided["D"].add("one_turn_each")
    for axis in PLUGIN_AXES:
        plugin = registry.get(kind_of(axis), getattr(variant, axis))
        # a network is both players'
        players = {"g_normalization": "G", "network": "GD"}.get(axis, "D")
        for need, reason in plugin.needs.items():
            for player in players:
                if need not in provided[player]:
                    return f"{plugin.name} with {_blocker(variant, need, axis, player)}: {reason}"
    return ""


def _provided(variant: Variant, axes: Iterable[str]) -> set[str]:
    return {what for axis in axes for what in registry.get(kind_of(axis), getattr(variant, axis)).provides}


def _withheld(variant: Variant) -> set[str]:
    return set(registry.get("trick", variant.trick).declared("withholds"))


def _blocker(variant: Variant, need: str, axis: str, player: str) -> str:
    """Name the part of a variant that fails to provide what another needs: the one whose siblings do provide it."""
    if need == "one_turn_each":
        return f"critic_steps {variant.critic_steps} and generator_steps {variant.generator_steps}"
    if need in _withheld(variant):
        return f"trick {variant.trick}"
    norm = "g_normalization" if player == "G" else "normalization"
    others = [axis for axis in PLUGIN_AXES if axis not in ("normalization", "g_normalization", "network", "problem")]
    for other in (norm, "network", "problem", *others):
        if other != axis and any(need in plugin.provides for plugin in registry.plugins(kind_of(other))):
            return f"{other} {getattr(variant, other)}"
    return "this variant"


def _used(variants: Iterable[Variant]) -> list[tuple[str, str]]:
    return sorted({pair for variant in variants for pair in variant.plugins()})


def _versions(variants: Iterable[Variant]) -> dict[str, str]:
    used = set(_used(variants))
    measured = {(kind, plugin.name) for kind in ("metric", "diagnostic") for plugin in registry.plugins(kind)}
    return {f"{kind}.{name}": _version(registry.get(kind, name), variants) for kind, name in sorted(used | measured)}


def drifted(plan: Plan) -> list[str]:
    """Return what this process does not have as the plan was made with: plug-ins, or the code of ganbench."""
    now = replace(plan, versions=_versions(plan.variants))
    moved = [key for key in now.changed(plan) if key not in plan.uncovered]
    return moved + ["ganbench"] * (plan.code != code_digest())


def _version(plugin: registry.Plugin, variants: Iterable[Variant]) -> str:
    key = (plugin.kind, plugin.name)
    chosen = [variant.hypers_of(*key) for variant in variants if key in variant.plugins()] or [dict(plugin.hypers)]
    # what cannot be covered is of this plan alone: nothing that was trained with it is used again
    return plugin.version_with(chosen) or f"{UNCOVERED}{secrets.token_hex(6)}"
