"""A plan's settings written out as one suite: what `ganbench config` prints, and what makes the same plan again."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import ganbench
from ganbench import kinds, patterns, registry, tuning
from ganbench.plan import NUMBER_AXES, WORD_AXES, Plan
from ganbench.reading import parse_overrides, read_suite, write_yaml
from ganbench.suite import resolve, settings_model

OWN_TEXT = ("margins", "executor")
"""Keys that the plan itself holds as they are to be written."""
HEADER = """\
# Every setting of `{command}`, as ganbench {version} resolves it.
# Saved as {name}.yaml, `ganbench run suite={name}.yaml` makes the same plan: {runs} runs, {hash}.
"""


def written(suite: str | os.PathLike[str] | None, overrides: Sequence[str] = ()) -> tuple[Plan, str]:
    """Return the plan of a suite under overrides, and a suite with every setting spelled out that makes the same one.

    The file has to be called like the plan (`Plan.name`), whose name is part of it; plug-ins of one's own are loaded as
    before. What is written: short forms in full, overrides in their places, every default that the plan uses. UserError
    as `resolve` says.
    """
    plan = resolve(suite, overrides)
    base = read_suite(suite)[1] if suite is not None else {}
    changes = patterns.expanded(parse_overrides(overrides))
    settings = _completed(_folded(patterns.expanded(base), changes, plan), plan)
    words = [*([] if suite is None else [f"suite={os.fspath(suite)}"]), *map(str, overrides)]
    told = {"command": shlex.join(["ganbench", "run", *words]), "version": ganbench.__version__}
    head = HEADER.format(**told, name=plan.name, runs=len(plan.runs), hash=plan.hash)
    return plan, head + write_yaml(settings)


def _folded(base: dict[str, Any], changes: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """Return a suite's keys with overrides in their places: they hold before what differs by problem or setting."""
    base, changes = dict(base), dict(changes)
    for data in (base, changes):
        for key in [key for key in data if key.partition(".")[0] in OWN_TEXT]:
            del data[key]
    given, per_problem = base.pop("claims", None) or {}, base.pop("per_problem", None) or {}
    changes.pop("claims", None)
    fixed, neutral = changes.keys(), {"probe_every": plan.probe_every}
    own = {**base, **changes}
    if "tuning" in own:
        own["tuning"] = _tuning(own["tuning"], fixed, neutral)
    parts = {name: _part(part, fixed, neutral) for name, part in per_problem.items()}
    own["per_problem"] = {name: part for name, part in parts.items() if part}
    own["claims"] = {str(one["name"]): _claim(given[one["name"]], fixed, neutral) for one in plan.claims}
    return own


def _part(part: Mapping[str, Any], fixed: Collection[str], neutral: Mapping[str, Any]) -> dict[str, Any]:
    """Return some keys of a suite without those that are fixed for all of it."""
    left = {key: value for key, value in part.items() if key not in fixed}
    return left | ({"tuning": _tuning(left["tuning"], fixed, neutral)} if "tuning" in left else {})


def _tuning(given: Any, fixed: Collection[str], neutral: Mapping[str, Any]) -> Any:
    """Return the settings of `tuning` without what is fixed; those in which nothing is left keep their place."""
    if isinstance(given, dict):
        left = {key: law for key, law in given.items() if key not in fixed}
        return left if left.keys() - set(tuning.RESERVED) else []
    settings = [{key: value for key, value in one.items() if key not in fixed} for one in given or []]
    if not any(settings):
        return []
    # an empty setting is refused: one that says what holds anyway stands for it, in all so that it tells none apart
    return settings if all(settings) else [{**one, **neutral} for one in settings]


def _claim(claim: Mapping[str, Any], fixed: Collection[str], neutral: Mapping[str, Any]) -> dict[str, Any]:
    if "suite" not in claim:
        return dict(claim)
    grids = claim["suite"]
    left = [_part(grid, fixed, neutral) for grid in (grids if isinstance(grids, list) else [grids])]
    return {**claim, "suite": left if isinstance(grids, list) else left[0]}


def _completed(own: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """Return a suite's keys in their order, with the defaults of all that is not given."""
    fields = {key: field.default for key, field in settings_model().model_fields.items()}
    for key in ("hypers", "per_problem", *OWN_TEXT):
        fields.pop(key, None)
    plain = {key: _short(own[key] if own.get(key) is not None else default) for key, default in fields.items()}
    plain["seeds"] = _seeds(plan.seeds)
    first = ("description", *kinds.axes(), *WORD_AXES, *NUMBER_AXES)
    hypers = {**_defaults(own, plan), **{key: value for key, value in own.items() if "." in key}}
    order = list(kinds.KINDS)
    hypers = dict(sorted(hypers.items(), key=lambda item: (order.index(item[0].partition(".")[0]), item[0])))
    last = {key: own[key] for key in ("tuning", "per_problem", "claims") if own.get(key)}
    rest = {key: value for key, value in plain.items() if key not in first}
    kept = {"margins": dict(plan.margins), **_executor(plan)}
    known = {**{key: plain[key] for key in first}, **hypers, **rest, **kept, **last}
    return {key: value for key, value in known.items() if value not in ("", {})}


def _short(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list) else value


def _seeds(seeds: Sequence[int]) -> int | list[int]:
    return len(seeds) if tuple(seeds) == tuple(range(len(seeds))) else list(seeds)


def _executor(plan: Plan) -> dict[str, Any]:
    settings = dict(plan.executor)
    name = settings.pop("name", None)
    return {} if name is None else {"executor": name, **{f"executor.{key}": value for key, value in settings.items()}}


def _defaults(own: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Return the hyper-parameters that some variant has at its default and nothing sets for the whole suite."""
    found: dict[str, Any] = {}
    for variant in (*plan.variants, *(variant for variant, _ in plan.skipped)):
        for key, value in variant.hypers:
            kind, name, hyper = key.split(".")
            default = registry.get(kind, name).hypers[hyper]
            if key not in own and repr(value) == repr(default) and _is_written(default):
                found[key] = default
    return found


def _is_written(value: Any) -> bool:
    """Tell whether a suite can hold a value: None and infinity are defaults that it cannot."""
    return isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
