"""What a law is, and how a plug-in is held to all laws of its kind. Nothing here prints, nothing imports torch.

A law is a function `(plugin) -> Breach | NotDeclared | None` in the module of its kind, under `@law`, or under
`@law_about(predicate)` where it is about some plug-ins of the kind only; its docstring is the sentence that it stands
for. It reads the plug-in's declarations and calls its function as the engine does, at its default hyper-parameters, and
knows no plug-in by name.
"""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganbench import registry
from ganbench.errors import UserError
from ganbench.registry import Plugin


@dataclass(frozen=True)
class Breach:
    """How a law is broken: by how much, and at which input, in words."""

    how: str


@dataclass(frozen=True)
class NotDeclared:
    """Why a law says nothing about a plug-in: what it would have to declare."""

    reason: str


Outcome = Breach | NotDeclared | None
Check = Callable[[Plugin], Outcome]


def _every(plugin: Plugin) -> bool:
    return True


@dataclass(frozen=True)
class Law:
    """A named sentence about the plug-ins of a kind, with its check: None where it is kept."""

    name: str
    sentence: str
    check: Check
    about: Callable[[Plugin], bool] = _every


@dataclass(frozen=True)
class Result:
    """What one law says of one plug-in."""

    plugin: Plugin
    law: Law
    outcome: Outcome

    @property
    def status(self) -> str:
        """One of "kept", "broken", "not declared"."""
        if self.outcome is None:
            return "kept"
        return "broken" if isinstance(self.outcome, Breach) else "not declared"

    @property
    def detail(self) -> str:
        """By how much the law is broken, or what is not declared; empty where it is kept."""
        if self.outcome is None:
            return ""
        return self.outcome.how if isinstance(self.outcome, Breach) else self.outcome.reason


def law(check: Check) -> Law:
    """Make a law of a check: its name is the function's, its sentence the first line of the docstring."""
    return Law(check.__name__, (inspect.getdoc(check) or check.__name__).splitlines()[0], check)


def law_about(about: Callable[[Plugin], bool]) -> Callable[[Check], Law]:
    """Make a law of a check on those plug-ins only that `about` holds for."""
    return lambda check: replace(law(check), about=about)


def laws(kind: str) -> list[Law]:
    """Return the laws of a kind of plug-in, in the order in which they are written."""
    modules = [importlib.import_module(name) for name in registry.KINDS[kind].laws]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Law)]


def judge(plugin: Plugin, law: Law) -> Result:
    """Hold a plug-in to one law; whatever it raises is a breach, in one sentence."""
    try:
        outcome = law.check(plugin)
    except Exception as error:  # a plug-in may raise anything
        # without the data of others nothing can be said of it
        absent = isinstance(error, UserError) and plugin.meta.get("external")
        outcome = NotDeclared(str(error)) if absent else Breach(_told(error, plugin))
    return Result(plugin, law, outcome)


def verify(plugin: Plugin | Callable[..., Any]) -> list[Result]:
    """Return what every law of its kind says of a plug-in, or of the function that was registered as one.

    Raises UserError for a function that is not registered.
    """
    record = plugin if isinstance(plugin, Plugin) else _registered(plugin)
    return [judge(record, law) for law in laws(record.kind) if law.about(record)]


def plugins_of(path: str | Path) -> list[Plugin]:
    """Load a user's file and return the plug-ins that it registers; UserError where it cannot, or registers nothing."""
    before = {(kind, plugin.name) for kind in registry.KINDS for plugin in registry.plugins(kind)}
    registry.load_file(path)
    file = str(Path(path).resolve())
    # a file that was loaded earlier in this session registers nothing new
    own = [
        plugin
        for kind in registry.KINDS
        for plugin in registry.plugins(kind)
        if (kind, plugin.name) not in before or plugin.source == file
    ]
    if not own:
        raise UserError(f"The file '{path}' registers no plug-in: put @register(kind) above a function.")
    return own


def _registered(function: Callable[..., Any]) -> Plugin:
    for kind in registry.KINDS:
        for plugin in registry.plugins(kind):
            if plugin.function is function:
                return plugin
    name = getattr(function, "__name__", repr(function))
    raise UserError(f"The function '{name}' is not registered: put @register(kind) above it.")


def _told(error: Exception, plugin: Plugin) -> str:
    message = str(error).strip().partition("\n")[0].rstrip(".:")
    if isinstance(error, UserError):
        return message
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(getattr(plugin.function, "__code__", None), "co_filename", None)
    # where in the plug-in it happened says more than where in torch
    place = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
    return f"raised {type(error).__name__}: {message} ({Path(place.filename).name}, line {place.lineno})"
