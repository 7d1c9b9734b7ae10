"""A variant's plug-ins with its settings: the one place where an axis becomes something that can be called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganbench import registry
from ganbench.kinds import kind_of
from ganbench.plan import Variant


@dataclass(frozen=True)
class Bound:
    """A plug-in with its hyper-parameters; called without them."""

    plugin: registry.Plugin
    hypers: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.plugin.name

    def declared(self, key: str) -> Any:
        """Return what the plug-in declares (see registry.Plugin.declared)."""
        return self.plugin.declared(key)

    def __call__(self, *args: Any) -> Any:
        return self.plugin.function(*args, **self.hypers)


def bind(variant: Variant, axis: str) -> Bound:
    """Return the plug-in of an axis that has one."""
    (one,) = chain(variant, axis)
    return one


def chain(variant: Variant, axis: str) -> list[Bound]:
    """Return the plug-ins of an axis in the suite's order: several where its kind composes."""
    kind = kind_of(axis)
    return [Bound(registry.get(kind, name), variant.hypers_of(kind, name)) for name in variant.names(axis)]
