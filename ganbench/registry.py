"""The only registry. `@register(kind)` stores one frozen Plugin record; everything else is derived from it.

A plug-in's name is its function's name, its legend the first line of its docstring, its hyper-parameters the
function's keyword-only parameters with their defaults, its version a hash of what it depends on (ganbench.identity).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from ganbench.errors import UserError, unknown
from ganbench.identity import Identity, contents, identify, loaded_code, sources_of

OWN = "ganbench"
"""The version of what this package ships: its code has one digest, in the plan."""

KINDS = {
    "problem": "ganbench.problems",
    "network": "ganbench.gan.networks",
    "loss": "ganbench.gan.losses",
    "normalization": "ganbench.gan.normalizations",
    "regularizer": "ganbench.gan.regularizers",
    "optimizer": "ganbench.gan.optimizers",
    "update": "ganbench.gan.updates",
    "trick": "ganbench.gan.tricks",
    "metric": "ganbench.measure.metrics",
    "diagnostic": "ganbench.measure.diagnostics",
}

COSTS = ("cheap", "medium", "expensive")
"""The cost classes of diagnostics; a suite measures those up to its own."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Measure:
    """What one measured number means: its legend, which way is better, its range and unit.

    `direction` is "up" or "down" (better when larger or smaller), or None where neither is better in itself.
    `perfect` is what a perfect sampler scores with unlimited samples, None where that depends on the problem.
    """

    legend: str
    direction: str | None = None
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    unit: str = ""
    perfect: float | None = None


def share(legend: str, direction: str | None = None, perfect: float | None = None) -> Measure:
    """Return a measure that is a share between 0 and 1."""
    return Measure(legend, direction, (0.0, 1.0), "share", perfect)


def positive(legend: str, direction: str | None = None, unit: str = "", perfect: float | None = None) -> Measure:
    """Return a measure that is 0 or larger."""
    return Measure(legend, direction, (0.0, float("inf")), unit, perfect)


@dataclass(frozen=True)
class Plugin:
    """One registered function with everything that the rest of the package reads from it."""

    kind: str
    name: str
    function: Callable[..., Any]
    legend: str
    hypers: Mapping[str, Any]
    needs: Mapping[str, str]
    provides: frozenset[str]
    meta: Mapping[str, Any]
    source: str | None
    text: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    @property
    def is_own(self) -> bool:
        """Tell whether this package ships it."""
        return self.source is not None and Path(self.source).is_relative_to(Path(__file__).parent)

    @cached_property
    def identity(self) -> Identity:
        """What it depends on besides its data: see ganbench.identity."""
        return identify(self.function, environment=self.meta.get("environment", ()))

    @property
    def version(self) -> str:
        """A hash of its identity, "ganbench" where this package ships it; empty where it cannot be covered."""
        return OWN if self.is_own else "" if self.identity.uncovered else self.identity.digest

    def version_with(self, hypers: Iterable[Mapping[str, Any]]) -> str:
        """Return its version with the content of the files that it reads at these hyper-parameters."""
        files = {file: None for chosen in hypers for file in sources_of(self.meta.get("sources"), self.source, chosen)}
        read = [("source", contents.of_path(file)) for file in files]
        return contents.combined([("version", self.version), *read]) if read and self.version else self.version


@dataclass
class _Registry:
    plugins: dict[tuple[str, str], Plugin] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)


_registry = _Registry()


def register(
    kind: str, *, needs: Mapping[str, str] | None = None, provides: Iterable[str] = (), **meta: Any
) -> Callable[[F], F]:
    """Register the decorated function as a plug-in of `kind` and return it unchanged.

    `needs` maps a capability that the rest of the variant has to provide to the reason why; `provides` names the
    capabilities that this plug-in gives. Everything in `meta` belongs to the kind (a metric's `measures`, ...).
    Raises UserError for an unknown kind and for a name that is taken by another function.
    """
    if kind not in KINDS:
        raise unknown("kind of plug-in", kind, KINDS)

    def decorate(function: F) -> F:
        plugin = _plugin(kind, function, dict(needs or {}), frozenset(provides), meta)
        known = _registry.plugins.get((kind, plugin.name))
        if known and known.text != plugin.text and known.source != plugin.source:
            raise UserError(f"The {kind} '{plugin.name}' is already registered by {known.source or 'this session'}.")
        _registry.plugins[kind, plugin.name] = plugin
        return function

    return decorate


def _plugin(
    kind: str, function: Callable[..., Any], needs: dict[str, str], provides: frozenset[str], meta: dict[str, Any]
) -> Plugin:
    # a trailing underscore lets a plug-in be called like a Python keyword or builtin
    name = function.__name__.rstrip("_")
    hypers = {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }
    missing = [hyper for hyper, default in hypers.items() if default is inspect.Parameter.empty]
    if missing:
        raise UserError(f"The {kind} '{name}' has no default for its hyper-parameter '{missing[0]}'.")
    try:
        code, file = inspect.getsource(function), inspect.getsourcefile(function)
    except (OSError, TypeError):
        code, file = repr(function), None
    importable = function.__module__ != "__main__" and file is not None and Path(file).exists()
    return Plugin(
        kind=kind,
        name=name,
        function=function,
        legend=(inspect.getdoc(function) or name).splitlines()[0],
        hypers=MappingProxyType(hypers),
        needs=MappingProxyType(needs),
        provides=provides,
        meta=MappingProxyType(meta),
        source=file if importable else None,
        text=code,
    )


def load(kind: str) -> None:
    """Import the module that holds a kind's built-in plug-ins, and the installed packages that add to it."""
    if kind not in _registry.loaded:
        _registry.loaded.add(kind)
        importlib.import_module(KINDS[kind])
    if "entry points" not in _registry.loaded:
        _registry.loaded.add("entry points")
        for entry in importlib.metadata.entry_points(group="ganbench.plugins"):
            entry.load()


def known() -> dict[tuple[str, str], Plugin]:
    """Return the plug-ins that are registered now by kind and name: the record itself, for contracts and tests."""
    return _registry.plugins


def names(kind: str) -> list[str]:
    """Return the names of all plug-ins of a kind, in the order of their registration."""
    return [plugin.name for plugin in plugins(kind)]


def plugins(kind: str) -> list[Plugin]:
    """Return all plug-ins of a kind, in the order of their registration."""
    if kind not in KINDS:
        raise unknown("kind of plug-in", kind, KINDS)
    load(kind)
    return [plugin for (of, _), plugin in _registry.plugins.items() if of == kind]


def get(kind: str, name: str) -> Plugin:
    """Return one plug-in; UserError names the nearest one where there is none."""
    if name not in (available := names(kind)):
        raise unknown(kind, name, available)
    return _registry.plugins[kind, name]


def measures() -> dict[str, Measure]:
    """Return what every measured column means, from the registered metrics and diagnostics.

    Metrics have a second column each, of the average of G's weights that a trick may keep.
    """
    plain = {
        kind: {name: measure for plugin in plugins(kind) for name, measure in plugin.meta["measures"].items()}
        for kind in ("metric", "diagnostic")
    }
    averages = {
        averaged(name): replace(measure, legend=f"{measure.legend}; of the average of G's weights")
        for name, measure in plain["metric"].items()
    }
    return {**plain["metric"], **plain["diagnostic"], **averages}


def averaged(column: str) -> str:
    """Return the name of a metric's column where the average of G's weights is measured: `measure_ema.PLACE`."""
    measure, dot, place = column.partition(".")
    return f"{measure}_ema{dot}{place}"


def load_file(path: str | Path) -> None:
    """Execute a user's plug-in file once, so that what it registers is an equal citizen.

    Raises UserError where the file is missing or raises while it is imported.
    """
    file = Path(path).resolve()
    if str(file) in _registry.files:
        return
    if not file.is_file():
        raise UserError(f"There is no plug-in file '{path}'.")
    # the place is part of the name: two files may be called the same
    name = f"ganbench_plugin_{file.stem}_{contents.of_bytes(os.fsencode(file))}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"The plug-in file '{path}' is not a Python file (.py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    loaded_code(spec.name, file)
    writes = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # nothing is left beside a user's file
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"The plug-in file '{path}' raised {type(error).__name__} at import: {error}") from error
    finally:
        sys.dont_write_bytecode = writes
    _registry.files.append(str(file))


def loaded_files() -> list[str]:
    """Return the plug-in files that this session has loaded."""
    return list(_registry.files)
