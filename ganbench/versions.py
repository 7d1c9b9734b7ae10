"""The versions of the plug-ins that a plan is made with, and whether this process still has them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import replace

from ganbench import kinds, registry
from ganbench.identity import code_digest
from ganbench.plan import UNCOVERED, Plan, Variant
from ganbench.registry import Plugin


def used_plugins(variants: Iterable[Variant]) -> list[tuple[str, str]]:
    """Return kind and name of every plug-in that some variants are made of, in order."""
    unlisted = {(kinds.kind_of(name), axis.default) for name, axis in kinds.axes().items() if axis.unlisted}
    return sorted({pair for variant in variants for pair in variant.plugins()} - unlisted)


def versions_of(variants: Iterable[Variant], spaces: Iterable[str] = ()) -> dict[str, str]:
    """Return the identities, as they are in this process, of the plug-ins of some variants and of all that measure.

    spaces: feature spaces that are asked for, of which those count that read files.
    """
    used = set(used_plugins(variants))
    used |= {("feature_space", name) for name in spaces if registry.get("feature_space", name).declared("sources")}
    measured = {(plugin.kind, plugin.name) for plugin in registry.measuring()}
    return {f"{kind}.{name}": _version(registry.get(kind, name), variants) for kind, name in sorted(used | measured)}


def drifted(plan: Plan) -> list[str]:
    """Return what this process does not have as the plan was made with: plug-ins, or the code of ganbench."""
    now = replace(plan, versions=versions_of(plan.variants, plan.asked_spaces))
    moved = [key for key in now.changed(plan) if key not in plan.uncovered]
    return moved + ["ganbench"] * (plan.code != code_digest())


def _version(plugin: Plugin, variants: Iterable[Variant]) -> str:
    key = (plugin.kind, plugin.name)
    chosen = [variant.hypers_of(*key) for variant in variants if key in variant.plugins()] or [dict(plugin.hypers)]
    # what cannot be covered is of this plan alone: nothing that was trained with it is used again
    return plugin.version_with(chosen) or f"{UNCOVERED}{secrets.token_hex(6)}"
