"""A variant's plug-ins with its settings: the one place where an axis becomes something that can be called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ganbench import registry, schedules
from ganbench.kinds import kind_of
from ganbench.plan import Variant, plugin_axes
from ganbench.schedules import Schedule


@dataclass(frozen=True)
class Bound:
    """A plug-in with its hyper-parameters; called without them.

    schedules: those that follow one, whose values in `hypers` are those at the start.
    """

    plugin: registry.Plugin
    hypers: Mapping[str, Any]
    schedules: Mapping[str, Schedule] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.plugin.name

    def declared(self, key: str) -> Any:
        """Return what the plug-in declares (see registry.Plugin.declared)."""
        return self.plugin.declared(key)

    def following(self, values: Mapping[Schedule, Any]) -> Bound:
        """Return it with what its schedules stand for, where that is known."""
        known = {key: values[schedule] for key, schedule in self.schedules.items() if schedule in values}
        return replace(self, hypers={**self.hypers, **known}) if known else self

    def __call__(self, *args: Any) -> Any:
        return self.plugin.function(*args, **self.hypers)


def bind(variant: Variant, axis: str) -> Bound:
    """Return the plug-in of an axis that has one."""
    (one,) = chain(variant, axis)
    return one


def chain(variant: Variant, axis: str) -> list[Bound]:
    """Return the plug-ins of an axis in the suite's order: several where its kind composes."""
    kind = kind_of(axis)
    return [_bound(registry.get(kind, name), variant.hypers_of(kind, name)) for name in variant.names(axis)]


def _bound(plugin: registry.Plugin, hypers: Mapping[str, Any]) -> Bound:
    varying = schedules.of(plugin, hypers)
    return Bound(plugin, {**hypers, **{key: schedule.first for key, schedule in varying.items()}}, varying)


def schedules_of(variant: Variant) -> set[Schedule]:
    """Return the schedules that the settings of a variant follow."""
    return {own for axis in plugin_axes() for bound in chain(variant, axis) for own in bound.schedules.values()}
