"""What a suite asks to be measured beside what always is: feature spaces and metrics, held against its problems."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ganbench import registry
from ganbench.errors import UserError
from ganbench.plan import asked_for

KINDS_OF = {"feature_spaces": "feature_space", "metrics": "metric"}
"""The keys that ask, and the kind of plug-in that each takes."""


def plugins(settings: Mapping[str, Any], problems: Collection[str]) -> list[tuple[str, str]]:
    """Return kind and name of all that is asked for.

    Raises UserError for what fits none of the problems, and for a metric that is measured without being asked for.
    """
    provided = [registry.get("problem", name).provides for name in problems]
    found = [registry.get(kind, name) for key, kind in KINDS_OF.items() for name in asked_for(settings[key])]
    # metrics may need what a space that is asked for has
    of_spaces = {name for plugin in found if plugin.kind == "feature_space" for name in plugin.provides}
    for plugin in found:
        if plugin.kind == "metric" and not plugin.declared("asked"):
            on_request = [metric.name for metric in registry.plugins("metric") if metric.declared("asked")]
            raise UserError(
                f"The metric '{plugin.name}' is measured in any case; the key 'metrics' takes {', '.join(on_request)}."
            )
        needs = plugin.needs.keys() - registry.ENGINE_PROVIDES - (of_spaces - {"modes", "classes"})
        if not any(needs <= provides for provides in provided):
            raise UserError(
                f"The {plugin.kind.replace('_', ' ')} '{plugin.name}' fits no problem of this plan: it "
                f"{' and '.join(plugin.needs.values())}."
            )
    return [(plugin.kind, plugin.name) for plugin in found]
