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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from ganbench import refusals
from ganbench.declarations import TABLES
from ganbench.derived import Table
from ganbench.errors import UserError, told, unknown
from ganbench.files import is_file
from ganbench.interrupts import is_raised_by_code
from ganbench.kinds import COSTS as COSTS  # what plug-ins are written with is found here, beside register
from ganbench.kinds import KINDS as KINDS
from ganbench.kinds import Measure as Measure
from ganbench.kinds import Remedy as Remedy
from ganbench.kinds import Threshold as Threshold
from ganbench.kinds import positive as positive
from ganbench.kinds import share as share

if TYPE_CHECKING:
    from ganbench.identity import Identity

OWN = "ganbench"
"""The version of what this package ships: its code has one digest, in the plan."""

LOSS_OF_LOGITS, NOTHING_GIVEN, FINITE = "loss_of_logits", "nothing_given", "training_samples"
SINGLE_SAMPLES = "single_samples"
ENGINE_PROVIDES = frozenset({"one_turn_each", LOSS_OF_LOGITS, NOTHING_GIVEN, FINITE, SINGLE_SAMPLES})
"""What no plug-in provides but training does: one update of each player a step, a loss of G on logits, and, where the
problem gives nothing, players of one argument; where training samples have an end, all of them; a logit a sample."""

F = TypeVar("F", bound=Callable[..., Any])


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

    @cached_property
    def is_own(self) -> bool:
        """Tell whether this package ships it."""
        return self.source is not None and Path(self.source).is_relative_to(Path(__file__).parent)

    @cached_property
    def identity(self) -> Identity:
        """What it depends on besides its data: see ganbench.identity."""
        from ganbench.identity import identify  # what only plug-ins of others need takes its time to import

        return identify(self.function, environment=self.declared("environment"))

    @property
    def version(self) -> str:
        """A hash of its identity, "ganbench" where this package ships it; empty where it cannot be covered."""
        return OWN if self.is_own else "" if self.identity.uncovered else self.identity.digest

    def version_with(self, hypers: Iterable[Mapping[str, Any]]) -> str:
        """Return its version with the content of the files that it reads at these hyper-parameters."""
        # as above
        from ganbench.identity import contents, sources_of

        files = {file: None for chosen in hypers for file in sources_of(self.declared("sources"), self.source, chosen)}
        read = [("source", contents.of_path(file)) for file in files]
        return contents.combined([("version", self.version), *read]) if read and self.version else self.version

    @property
    def later(self) -> dict[str, Any]:
        """Its hyper-parameters that came when studies were made already, with their defaults."""
        return {name: self.hypers[name] for name in self.declared("later")}

    def declared(self, key: str) -> Any:
        """Return what it declares, or what its kind takes for it where it declares nothing."""
        return self.meta[key] if key in self.meta else KINDS[self.kind].default(key)


@dataclass
class _Registry:
    plugins: Table[tuple[str, str], Plugin] = field(default_factory=Table)
    files: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)
    # what the file that is being loaded has registered so far
    fresh: set[tuple[str, str]] | None = None


_registry = _Registry()
derived = _registry.plugins.derived  # what follows from the plug-ins alone, once until another one is registered
_of_kind = derived(lambda kind: tuple(plugin for (of, _), plugin in _registry.plugins.items() if of == kind))


def register(
    kind: str, *, needs: Mapping[str, str] | None = None, provides: Collection[str] = (), **meta: Any
) -> Callable[[F], F]:
    """Register the decorated function or class as a plug-in of `kind` and return it unchanged.

    `needs` maps a capability that the rest of the variant has to provide to the reason why; `provides` names the
    capabilities that this plug-in gives. Everything in `meta` belongs to the kind (a metric's `measures`, ...) or says
    what else decides its results: `sources`, files, and `environment`, variables. Raises UserError for an unknown
    kind, for a declaration or a signature that the kind does not have, and for a name that is taken.
    """
    refusals.check_kind(kind)

    def decorate(function: F) -> F:
        declared = _tidy(meta)
        refusals.check(KINDS[kind], function, needs or {}, provides, declared)
        plugin = _plugin(kind, function, dict(needs or {}), frozenset(provides), declared)
        _check_free(plugin)
        _registry.plugins[kind, plugin.name] = plugin
        if _registry.fresh is not None:
            _registry.fresh.add((kind, plugin.name))
        return function

    return decorate


def _tidy(meta: dict[str, Any]) -> dict[str, Any]:
    """Return declarations with one name, of a variable or of what came later, as a list of one."""
    single = {key: (meta[key],) for key in ("environment", "later") if isinstance(meta.get(key), str)}
    return {**meta, **single}


def _check_free(plugin: Plugin) -> None:
    """Raise UserError where a plug-in's name, column or threshold is another's, or one of a study's tables."""
    place = (plugin.kind, plugin.name)
    known = _registry.plugins.get(place)
    other = known is not None and known.text != plugin.text and known.source != plugin.source
    if known and other:
        raise UserError(f"The {plugin.kind} '{plugin.name}' is already registered by {known.source or 'this session'}.")
    if known and place in (_registry.fresh or ()) and known.function is not plugin.function:
        raise UserError(f"The {plugin.kind} '{plugin.name}' is registered twice by {plugin.source or 'this session'}.")
    says = "is" if plugin.kind == "verdict" else "measures"
    if own := sorted(_columns(plugin) & TABLES):
        raise UserError(
            f"The {plugin.kind} '{plugin.name}' {says} '{own[0]}', which is a column of every study's tables: choose "
            "another name."
        )
    for others, each in _registry.plugins.items():
        does = "is" if each.kind == "verdict" else "does"
        for mine, theirs, verb, already in (
            (_columns(plugin), _columns(each), says, does),
            (set(plugin.meta.get("thresholds", ())), set(each.meta.get("thresholds", ())), "has the threshold", "has"),
        ):
            if (twice := sorted(mine & theirs)) and others != place:
                raise UserError(
                    f"The {plugin.kind} '{plugin.name}' {verb} '{twice[0]}', which the {each.kind} '{each.name}' "
                    f"{already} already: choose another name."
                )


def _columns(plugin: Plugin) -> set[str]:
    """Return the columns that a plug-in has in a study's tables: those that it measures, a verdict's own."""
    if plugin.kind == "verdict":
        return {plugin.name.replace("_", " ")}
    own = set(plugin.meta.get("measures", ()))
    return own | set(map(averaged, own)) if plugin.kind == "metric" else own


def check_needs() -> None:
    """Raise UserError where a plug-in needs what no other one provides, or two would measure the same column.

    A plug-in may need what another file provides, so that this is asked when all files are there.
    """
    for kind in KINDS:
        load(kind)
    offered = {name for plugin in _registry.plugins.values() for name in plugin.provides} | ENGINE_PROVIDES
    for plugin in _registry.plugins.values():
        for need in plugin.needs:
            if need not in offered:
                raise unknown(f"capability that the {plugin.kind} '{plugin.name}' needs", need, offered)
    for metric in plugins("metric"):
        if (space := metric.declared("space")) and space not in names("feature_space"):
            raise unknown(f"feature space of the metric '{metric.name}'", space, names("feature_space"))
    seen: set[str] = set()
    for column, _ in _measured():
        if column in seen:
            raise UserError(f"The column '{column}' would be measured twice: choose another name.")
        seen.add(column)


def _plugin(
    kind: str, function: Callable[..., Any], needs: dict[str, str], provides: frozenset[str], meta: dict[str, Any]
) -> Plugin:
    # a trailing underscore lets a plug-in be called like a Python keyword or builtin
    name = function.__name__.rstrip("_")
    given = inspect.signature(function).parameters.values()
    hypers = {one.name: one.default for one in given if one.kind is inspect.Parameter.KEYWORD_ONLY}
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
        importlib.import_module(KINDS[kind].home)
    if "entry points" not in _registry.loaded:
        _registry.loaded.add("entry points")
        for entry in importlib.metadata.entry_points(group="ganbench.plugins"):
            try:
                entry.load()
            except UserError:
                raise
            except BaseException as error:  # a plug-in may raise anything
                if not is_raised_by_code(error):
                    raise
                raise UserError(f"The installed plug-in '{entry.name}' raised {_at_import(error)}") from error


def known() -> Table[tuple[str, str], Plugin]:
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
    return [*_of_kind(kind)]


def get(kind: str, name: str) -> Plugin:
    """Return one plug-in; UserError names the nearest one where there is none."""
    if kind in KINDS:
        load(kind)  # a plan asks for hundreds of thousands: no listing where there is the one
        if plugin := _registry.plugins.get((kind, name)):
            return plugin
    raise unknown(kind, name, names(kind))


def measuring() -> list[Plugin]:
    """Return what measures the runs of every plan: metrics, diagnostics, and whatever of others can be asked for.

    What is shipped and measured only where a suite asks for it, or came when plans were made already (`late`), is not
    listed: the digest of this package's code covers it.
    """
    unlisted = ("asked", "late")
    metrics = [metric for metric in plugins("metric") if not (metric.is_own and any(map(metric.declared, unlisted)))]
    diagnostics = [one for one in plugins("diagnostic") if not (one.is_own and one.declared("late"))]
    return [*metrics, *diagnostics, *(space for space in plugins("feature_space") if not space.is_own)]


@derived
def measures() -> Mapping[str, Measure]:
    """Return what every measured column means, from the registered metrics and diagnostics.

    Metrics that are taken in several feature spaces have a column for each, and all have a second column of the average
    of G's weights that a trick may keep.
    """
    return MappingProxyType(dict(_measured()))


def _measured() -> Iterator[tuple[str, Measure]]:
    of_metrics = [column for metric in plugins("metric") for column in metric.meta["measures"].items()]
    of_metrics += [column for metric in plugins("metric") if metric.declared("spaces") for column in _elsewhere(metric)]
    yield from of_metrics
    for diagnostic in plugins("diagnostic"):
        yield from diagnostic.meta["measures"].items()
    for name, measure in of_metrics:
        yield averaged(name), replace(measure, legend=f"{measure.legend}; of the average of G's weights", role="")


def _elsewhere(metric: Plugin) -> Iterator[tuple[str, Measure]]:
    """Yield a metric's columns in feature spaces beside the main one, with their measures, where it declares none."""
    declared, spaces = metric.meta["measures"], names("feature_space")
    own = {f"{name}_{space}" for name in declared for space in spaces} & declared.keys()
    for name, measure in declared.items():
        for space in spaces:
            if name not in own and f"{name}_{space}" not in own:
                yield f"{name}_{space}", replace(measure, legend=f"{measure.legend}; of features '{space}'", role="")


@derived
def playing(role: str, *, foreign: bool = False) -> tuple[str, ...]:
    """Return the measures that declare a role, in the order of registration; of others' plug-ins alone if `foreign`."""
    return tuple(
        name
        for kind in ("metric", "diagnostic")
        for plugin in plugins(kind)
        if not (foreign and plugin.is_own)
        for name, measure in plugin.meta["measures"].items()
        if measure.role == role
    )


def averaged(column: str) -> str:
    """Return the name of a metric's column where the average of G's weights is measured: `measure_ema.PLACE`."""
    measure, dot, place = column.partition(".")
    return f"{measure}_ema{dot}{place}"


def load_file(path: str | Path) -> None:
    """Execute a user's plug-in file once, so that what it registers is an equal citizen.

    Raises UserError where the file is missing or raises while it is imported.
    """
    if not is_file(path):
        raise UserError(f"There is no plug-in file '{path}'.")
    if str(file := Path(path).resolve()) in _registry.files:
        return
    # the place is part of the name: two files may be called the same
    from ganbench.identity import contents, loaded_code

    name = f"ganbench_plugin_{file.stem}_{contents.of_bytes(os.fsencode(file))}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"The plug-in file '{path}' is not a Python file (.py).")
    for kind in KINDS:
        load(kind)  # first, so that the file can take no shipped name
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    loaded_code(spec.name, file)
    writes, folder = sys.dont_write_bytecode, os.getcwd()
    sys.dont_write_bytecode = True  # nothing is left beside a user's file
    try:
        with _all_or_nothing(path):
            spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
        os.chdir(folder)  # relative paths of this command go on meaning what they meant
    _registry.files.append(str(file))


@contextmanager
def _all_or_nothing(path: str | Path) -> Iterator[None]:
    """Take what a file registers in a block, or nothing where it raises: mended, it is loaded anew."""
    before, outer = dict(_registry.plugins), _registry.fresh
    _registry.fresh = set()
    try:
        yield
    except BaseException as error:
        _registry.plugins.clear()
        _registry.plugins.update(before)
        if isinstance(error, UserError) or not is_raised_by_code(error):
            raise
        raise UserError(f"The plug-in file '{path}' raised {_at_import(error)}") from error
    finally:
        _registry.fresh = outer


def _at_import(error: BaseException) -> str:
    name, colon, said = told(error).partition(": ")
    return f"{name} at import{colon}{said}"


def loaded_files() -> list[str]:
    """Return the plug-in files that this session has loaded."""
    return list(_registry.files)
