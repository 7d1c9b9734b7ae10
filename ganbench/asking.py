"""What a suite asks to be measured beside what always is: feature spaces and metrics, held against its problems."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ganbench import registry
from ganbench.errors import UserError
from ganbench.plan import NOT_ASKED, TOGETHER, Variant, asked_for
from ganbench.registry import Plugin

KINDS_OF = {"feature_spaces": "feature_space", "metrics": "metric"}
"""The keys that ask, and the kind of plug-in that each takes."""


def plugins(
    settings: Mapping[str, Any], variants: Sequence[Variant], changes: Collection[str] = ()
) -> list[tuple[str, str]]:
    """Return kind and name of all that is asked for; changes: the keys that are given beside a suite's own.

    Raises UserError for what fits none of the problems, or none of the models, and for a metric that is measured
    without being asked for.
    """
    provided = [registry.get("problem", name).provides for name in {variant.problem for variant in variants}]
    found = _found(settings)
    # metrics may need what a space that is asked for has
    of_spaces = _of_spaces(found)
    for plugin in found:
        if plugin.kind == "metric" and not plugin.declared("asked"):
            on_request = [metric.name for metric in registry.plugins("metric") if metric.declared("asked")]
            raise UserError(
                f"The metric '{plugin.name}' is measured in any case; the key 'metrics' takes {', '.join(on_request)}."
            )
        if plugin.kind == "metric" and plugin.declared("acts_on") == "models":
            continue
        needs = _needs(plugin, of_spaces)
        if not any(needs <= provides for provides in provided):
            raise UserError(
                f"The {plugin.kind.replace('_', ' ')} '{plugin.name}' fits no problem of this plan: it "
                f"{' and '.join(plugin.needs.values())}."
            )
    # whoever takes some of a suite's models has not asked for what it measures of the others
    if "metrics" in changes or "model" not in changes:
        of_models = [one for one in found if one.kind == "metric" and one.declared("acts_on") == "models"]
        _fit_some(of_models, {variant.model for variant in variants})
    return [(plugin.kind, plugin.name) for plugin in found]


def _fit_some(metrics: Sequence[Plugin], models: Collection[str]) -> None:
    """Raise UserError where none of some metrics of models fits one; a run that is repeated takes its suite's along."""
    provided = [registry.get("model", name).provides for name in models]
    if metrics and not any(metric.needs.keys() <= provides for metric in metrics for provides in provided):
        raise UserError(
            f"The metric '{metrics[0].name}' fits no model of this plan: it {' and '.join(metrics[0].needs.values())}."
        )


def fitting(settings: Mapping[str, Any], problem: str) -> dict[str, str]:
    """Return the keys that ask with what of theirs fits one problem: a plan of it alone refuses the rest."""
    provides, found = registry.get("problem", problem).provides, _found(settings)
    spaces = [each for each in found if each.kind == "feature_space" and _needs(each, set()) <= provides]
    # a space that goes takes along what metrics find in it
    of_spaces = _of_spaces(spaces)
    own = [
        each
        for each in found
        if each.kind == "metric" and (each.declared("acts_on") == "models" or _needs(each, of_spaces) <= provides)
    ]
    names = {kind: [each.name for each in (*spaces, *own) if each.kind == kind] for kind in KINDS_OF.values()}
    return {key: TOGETHER.join(names[kind]) or NOT_ASKED for key, kind in KINDS_OF.items()}


def _found(settings: Mapping[str, Any]) -> list[Plugin]:
    return [registry.get(kind, name) for key, kind in KINDS_OF.items() for name in asked_for(settings[key])]


def _of_spaces(found: Collection[Plugin]) -> set[str]:
    """Return what metrics may need and feature spaces that are asked for have."""
    return {name for plugin in found if plugin.kind == "feature_space" for name in plugin.provides}


def _needs(plugin: Plugin, of_spaces: Collection[str]) -> set[str]:
    """Return what a plug-in needs of a problem, beside what the engine and such spaces provide."""
    return set(plugin.needs.keys() - registry.ENGINE_PROVIDES - (set(of_spaces) - {"modes", "classes"}))
