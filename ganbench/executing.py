"""Which executor a suite or a command names, with its settings: who does the work decides no result and no id."""

from __future__ import annotations

from typing import Any

from ganbench import ranges, registry
from ganbench.errors import UserError, quoted, unknown

LOCAL = "local"


def taken(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Take `executor` and its settings out of a suite's keys and out of overrides: nothing for this machine as it is.

    A command that names another executor than the suite leaves the suite's settings of that one. UserError for an
    unknown executor or setting, and for a value that it does not take.
    """
    mine, theirs = _out_of(base), _out_of(changes)
    if "executor" in theirs and theirs["executor"] != mine.get("executor", LOCAL):
        mine = {}
    given = {**mine, **theirs}
    name = given.pop("executor", LOCAL)
    if not isinstance(name, str):
        raise UserError(f"The key 'executor' takes one name, got {quoted(name)}.")
    plugin = registry.get("executor", name)
    settings: dict[str, Any] = {}
    for key, value in given.items():
        # executor.address, or in full executor.dask.address
        hyper = key.removeprefix("executor.").removeprefix(f"{name}.")
        _check(plugin, key, hyper, value)
        settings[hyper] = value
    return {"name": name, **settings} if settings or name != LOCAL else {}


def _out_of(data: dict[str, Any]) -> dict[str, Any]:
    return {key: data.pop(key) for key in list(data) if key == "executor" or key.startswith("executor.")}


def _check(plugin: registry.Plugin, key: str, hyper: str, value: Any) -> None:
    if hyper not in plugin.hypers:
        raise unknown(f"setting of the executor '{plugin.name}'", hyper, plugin.hypers)
    wanted = type(plugin.hypers[hyper])
    fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
    if not fits or isinstance(value, bool) is not (wanted is bool):
        raise UserError(f"The key '{key}' takes {wanted.__name__}, got {quoted(value)}.")
    if must := ranges.outside(ranges.bounds_of(plugin.function, hyper), value):
        raise UserError(f"The key '{key}' must be {must}, got {value:g}.")
