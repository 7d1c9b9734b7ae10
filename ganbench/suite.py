"""From a suite file and overrides to a plan: resolve, validate, freeze. Nothing here needs torch to be fast."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
)

from ganbench import asking, claims, differing, executing, kinds, patterns, ranges, registry, schedules, tuning
from ganbench.combining import PAPER, allowed, by_paper, impossible
from ganbench.errors import UserError, quoted, unknown
from ganbench.identity import code_digest
from ganbench.kinds import KINDS, kind_of
from ganbench.plan import (
    MEASURING,
    NOT_ASKED,
    NOTHING_ALLOWED,
    NUMBER_AXES,
    TOGETHER,
    WORD_AXES,
    Plan,
    Variant,
    asked_for,
    axes,
    check_margins,
    plugin_axes,
)  # fmt: skip
from ganbench.reading import parse_overrides, read_suite
from ganbench.versions import used_plugins, versions_of

SHARED = ("description", "seeds", *MEASURING, "margins", "time_limit", "allow")
HYPER = re.compile(r"^([a-z_]+)\.(\w+)\.(\w+)$")

LARGEST = {
    "steps": 10**9, "batch_size": 10**6, "latent_dim": 10**6, "critic_steps": 100, "generator_steps": 100,
}  # fmt: skip
"""What the number axes may be at most: beyond it nothing could be trained."""
LARGEST_SEED = 2**63 - 1
MOST_SEEDS = 10_000
MOST_VARIANTS, MOST_RUNS = 20_000, 200_000
"""How large a grid may be, the combinations that are skipped included."""
OWN_SETTINGS = "Register one of your own to measure with another setting."
OPTIONS = ("out", "device", "workers", "fresh", "plugin", "shard")
"""What `ganbench run` takes as an option, and is often written as a key."""
LONGEST_VALUE = 100
"""Characters of a hyper-parameter that is a text: it stands in labels."""


def _listed(value: Any) -> Any:
    # YAML reads a bare `none` as text but `null` or `~` as nothing; both mean the plug-in none
    values = value if isinstance(value, list) else [value]
    return ["none" if item is None else item for item in values]


def _joined(value: Any) -> Any:
    """Take lists within a list as plug-ins that act together."""
    return [TOGETHER.join(item) if _is_names(item) else item for item in _listed(value)]


def _together(value: Any) -> Any:
    """Take a list as plug-ins that act together."""
    names = _listed(value)
    return TOGETHER.join(names) if _is_names(names) else value


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(name, str) for name in value)


def _distinct(value: list[Any]) -> list[Any]:
    if not value:
        raise ValueError("is empty, so the grid has no runs")
    if len(set(value)) < len(value):
        raise ValueError(f"names the same value twice in {value}")
    return value


def _within(value: list[int], info: ValidationInfo) -> list[int]:
    if min(value) < 1:
        raise ValueError(f"must be at least 1, got {min(value)}")
    largest = LARGEST[str(info.field_name)]
    if max(value) > largest:
        raise ValueError(f"must be at most {largest}, got {max(value)}")
    return value


def _counted(value: Any) -> Any:
    """Take a number of seeds as so many seeds."""
    if isinstance(value, list):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"needs at least 1 seed, got {value}")
        if value > MOST_SEEDS:
            raise ValueError(f"takes at most {MOST_SEEDS} seeds, got {value}")
        return list(range(value))
    return value


def _natural(value: list[int]) -> list[int]:
    if min(value) < 0:
        raise ValueError(f"must not be negative, got {min(value)}")
    if max(value) > LARGEST_SEED:
        raise ValueError(f"must be at most {LARGEST_SEED}, got {max(value)}")
    return value


def _shares(value: Any) -> Any:
    return check_margins(value) if isinstance(value, dict) else value


Names = Annotated[list[str], BeforeValidator(_listed), AfterValidator(_distinct)]
Chains = Annotated[list[str], BeforeValidator(_joined), AfterValidator(_distinct)]
Counts = Annotated[list[int], BeforeValidator(_listed), AfterValidator(_within), AfterValidator(_distinct)]


class Settings(BaseModel):
    """The keys of a suite file beside its axes. Every axis takes one value or a list of values; a list is a sweep."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = ""
    latent: Names = ["normal"]
    numerics: Names = ["fp32"]
    seeds: Annotated[
        list[int], BeforeValidator(_counted), AfterValidator(_distinct), AfterValidator(_natural)
    ] = [0, 1, 2, 3, 4]  # fmt: skip
    steps: Counts = [2000]
    batch_size: Counts = [128]
    critic_steps: Counts = [1]
    generator_steps: Counts = [1]
    latent_dim: Counts = [8]
    probe_every: int = Field(500, ge=1, le=10**9)
    samples: int = Field(1000, ge=16, le=10**6)
    neighbours: int = Field(500, ge=16, le=10**6)
    diagnostics: str = "cheap"
    feature_spaces: Annotated[str, BeforeValidator(_together)] = NOT_ASKED
    metrics: Annotated[str, BeforeValidator(_together)] = NOT_ASKED
    margins: Annotated[dict[str, float], BeforeValidator(_shares)] = {}
    time_limit: float = Field(0.0, ge=0, le=10**9)
    allow: Annotated[str, BeforeValidator(_together)] = NOTHING_ALLOWED
    hypers: dict[str, list[Any]] = {}
    per_problem: dict[str, dict[str, Any]] = {}


def settings_model() -> type[Settings]:
    """Return the model of a suite's keys, with an axis for each that the table of kinds has."""
    return _model(tuple((axis, KINDS[kind_of(axis.name)].composes) for axis in kinds.axes().values()))


@lru_cache(maxsize=4)
def _model(axes: tuple[tuple[kinds.Axis, bool], ...]) -> type[Settings]:
    fields: dict[str, Any] = {axis.name: (Chains if composes else Names, [axis.default]) for axis, composes in axes}
    return create_model("Settings", __base__=Settings, **fields)


def resolve(suite: str | os.PathLike[str] | None, overrides: Sequence[str] = ()) -> Plan:
    """Make the plan of a suite (or of the defaults alone) under overrides; UserError says what does not fit."""
    name, base = read_suite(suite) if suite is not None else ("custom", {})
    registry.check_needs()
    base, changes = patterns.expanded(base), patterns.expanded(parse_overrides(overrides))
    base["margins"], executor = _margins(base) | _margins(changes), executing.taken(base, changes)
    drafts = claims.taken(base, changes)
    fragments = [{}, *(grid for draft in drafts for grid in draft.grids)]
    # what a claim's own grid differs in is as if it were given on the command line
    parts = [_grids(dict(base), {**fragment, **changes}) for fragment in fragments]
    grids, tuned = [grid for part, _ in parts for grid in part], dict.fromkeys(key for _, keys in parts for key in keys)
    common = grids[0].model_dump(include=set(SHARED))
    _check_size(grids)

    allow = allowed(common["allow"])
    made = [list(itertools.chain.from_iterable(map(_expand, part))) for part, _ in parts]
    reasons = {variant: impossible(variant, allow) for variant in dict.fromkeys(itertools.chain.from_iterable(made))}
    variants = [variant for variant, reason in reasons.items() if not reason]
    skipped = {variant: reason for variant, reason in reasons.items() if reason}
    used = {key for variant in (*variants, *skipped) for key, _ in variant.hypers}
    for key in (*changes, *itertools.chain.from_iterable(fragments), *tuned):
        if HYPER.match(key) and key not in used:
            raise UserError(f"The key '{key}' changes nothing: no variant of this plan uses it.")
    if not variants:
        reason = next(iter(skipped.values()), "the grid is empty")
        raise UserError(f"The plan has no runs: every combination is skipped ({reason}).")
    told = [*used_plugins((*variants, *skipped)), *asking.plugins(common, variants, changes)]
    return Plan(
        name=name,
        variants=tuple(variants),
        skipped=tuple(skipped.items()),
        **{**common, "seeds": tuple(common["seeds"])},
        tuned=tuple(tuned),
        claims=claims.bound(drafts, made[1:], skipped),
        versions=versions_of(variants, asked_for(common["feature_spaces"])),
        code=code_digest(),
        executor=executor,
        legends={f"{kind}.{name}": registry.get(kind, name).legend for kind, name in told},
        plugin_files=tuple(registry.loaded_files()),
    )


def _grids(base: dict[str, Any], changes: dict[str, Any]) -> tuple[list[Settings], list[str]]:
    """Return a grid for every part of a suite and setting of `tuning`, and the keys in which these settings differ."""
    base, changes = schedules.written(base), schedules.written(changes)
    parts = differing.parts(base, changes)
    tried = [tuning.settings_of(changes.get("tuning", part.keys.pop("tuning", None))) for part in parts]
    for data in (base, changes):
        data.pop("tuning", None)
    _check_hypers({**base, **changes})
    points = [(part, setting) for part, settings in zip(parts, tried, strict=True) for setting in settings or [{}]]
    grids = [_settings({**part.keys, **setting, **changes, **part.own}) for part, setting in points]
    common = grids[0].model_dump(include=set(SHARED))
    for (part, setting), grid in zip(points, grids, strict=True):
        if grid.model_dump(include=set(SHARED)) != common:
            where = "a setting of 'tuning'" if setting.keys() & set(SHARED) else f"'{part.where}'"
            raise UserError(f"The keys {', '.join(SHARED[1:])} hold for a whole suite, not for {where}.")
    tuned = dict.fromkeys(key for settings in tried for key in tuning.tuned(settings))
    return grids, [key for key in tuned if key not in changes]


def _check_size(grids: Sequence[Settings]) -> None:
    """Raise UserError for a grid that is too large, before anything of it is built."""
    variants = sum(map(_size, grids))
    runs = variants * len(grids[0].seeds)
    for count, most, what in ((variants, MOST_VARIANTS, "variants"), (runs, MOST_RUNS, "runs")):
        if count > most:
            raise UserError(f"The grid has {count} {what}, and a plan holds at most {most}: split it, or sweep less.")


def _size(grid: Settings) -> int:
    """Return how many variants a grid expands to."""
    size = math.prod(len(getattr(grid, axis)) for axis in (*WORD_AXES, *NUMBER_AXES))
    for kind in KINDS.values():
        # a plug-in that several axes of a kind name, or that acts for both players, has its hyper-parameters once
        chosen = itertools.product(*([name.split(TOGETHER) for name in getattr(grid, a.name)] for a in kind.axes))
        size *= sum(math.prod(_points(grid, kind.name, name) for name in set().union(*names)) for names in chosen)
    return size


def _points(grid: Settings, kind: str, name: str) -> int:
    """Return how many combinations of its hyper-parameters a plug-in has in a grid."""
    if kind == "normalization" and name == PAPER:
        return 1  # at least: which one it is depends on the network
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
    model = settings_model()
    hypers = {key: value for key, value in data.items() if "." in key}
    plain = {key: value for key, value in data.items() if "." not in key}
    for key in plain:
        if key not in model.model_fields or key in ("hypers", "per_problem"):
            if key in OPTIONS:
                raise UserError(f"'{key}' is no key of a suite but an option of the command: --{key}.")
            plain_keys = [field for field in model.model_fields if field not in ("hypers", "per_problem")]
            raise unknown("key", key, [*plain_keys, "suite", "tuning", "claims", "executor"])
    listed = {key: value if isinstance(value, list) else [value] for key, value in hypers.items()}
    try:
        settings = model.model_validate({**plain, "hypers": listed})
    except ValidationError as error:
        raise _plain_error(error) from error
    _check_hypers(settings.hypers)
    for axis in plugin_axes():
        for names in getattr(settings, axis):
            _check_names(axis, kind_of(axis), names)
    for axis, words in WORD_AXES.items():
        for word in getattr(settings, axis):
            if word not in words:
                raise unknown({"latent": "latent distribution"}.get(axis, axis), word, words)
    if settings.diagnostics not in registry.COSTS:
        raise unknown("class of diagnostics", settings.diagnostics, registry.COSTS)
    for key, kind in asking.KINDS_OF.items():
        if (names := getattr(settings, key)) != NOT_ASKED:
            _check_names(key, kind, names)
    return settings


def _check_names(key: str, kind: str, text: str) -> None:
    names = text.split(TOGETHER) if KINDS[kind].composes else [text]
    for name in names:
        if (kind, name) != ("normalization", PAPER):
            registry.get(kind, name)
    if len(names) > 1 and ("none" in names or len(set(names)) < len(names)):
        raise UserError(f"The key '{key}' takes different plug-ins together, none but 'none', got {', '.join(names)}.")


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
            if not KINDS[kind].axes:
                raise UserError(f"The key '{key}' cannot be set: a {kind} is the same for all studies. {OWN_SETTINGS}")
            if hyper not in plugin.hypers:
                raise unknown(f"hyper-parameter of the {kind} '{name}'", hyper, plugin.hypers)
            for item in value if isinstance(value, list) else [value]:
                if schedules.check(key, plugin, hyper, item):
                    continue
                _check_type(key, plugin.hypers[hyper], item)
                wanted = ranges.outside(ranges.bounds_of(plugin.function, hyper), item)
                if wanted:
                    raise UserError(f"The key '{key}' must be {wanted}, got {item:g}.")
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
    plugged, every = plugin_axes(), axes()
    for values in itertools.product(*(getattr(settings, axis) for axis in every)):
        plain = by_paper(dict(zip(every, values, strict=True)))
        choices: dict[str, list[Any]] = {}
        for kind, name in ((kind_of(axis), name) for axis in plugged for name in plain[axis].split(TOGETHER)):
            for hyper, default in registry.get(kind, name).hypers.items():
                key = f"{kind}.{name}.{hyper}"
                given = settings.hypers.get(key, [default])
                choices[key] = [float(v) if isinstance(default, float) and not isinstance(v, str) else v for v in given]
        for point in itertools.product(*choices.values()):
            yield Variant(**plain, hypers=tuple(zip(choices, point, strict=True)))
