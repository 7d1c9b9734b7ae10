"""What register refuses: a plug-in that is not as the table of kinds has it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ganbench import ranges
from ganbench.errors import UserError, quoted, unknown
from ganbench.kinds import KINDS, Kind

LONGEST_NAME = 60
"""Characters of a plug-in's name: several of them name a folder."""


def check_kind(kind: Any) -> None:
    """Raise UserError for what names no kind of plug-in."""
    if callable(kind):
        name = getattr(kind, "__name__", quoted(kind))
        raise UserError(f"'register' takes the kind of plug-in first, as in @register(\"loss\"); got '{name}' alone.")
    if kind not in KINDS:
        raise unknown("kind of plug-in", kind, KINDS)


def check(kind: Kind, function: Any, needs: Any, provides: Any, declared: Mapping[str, Any]) -> None:
    """Raise UserError, in one sentence with the nearest right name, where a plug-in is not as its kind has to be."""
    name = getattr(function, "__name__", None)
    if not callable(function) or not isinstance(name, str):
        raise UserError(f"A {kind.name} is a function or a class, got {quoted(function)}.")
    name = name.rstrip("_")
    if name == "none" and not function.__module__.startswith("ganbench."):
        raise UserError(f"The {kind.name} 'none' needs another name: 'none' means that there is no {kind.name}.")
    if not (name.isidentifier() and name.isascii() and len(name) <= LONGEST_NAME):
        raise UserError(
            f"The {kind.name} {quoted(name)} needs another name: letters a to z, digits and underscores, at most "
            f"{LONGEST_NAME}, no digit first."
        )
    owner = f"the {kind.name} '{name}'"
    _check_declarations(kind, owner, declared)
    _check_capabilities(owner, needs, provides)
    _check_signature(kind, owner, function, declared)


def _check_declarations(kind: Kind, owner: str, declared: Mapping[str, Any]) -> None:
    known = kind.declarations
    for key, value in declared.items():
        if key not in known:
            raise unknown(f"declaration of {owner}", key, [*known, "needs", "provides"])
        known[key].check(key, owner, value)
    for key, declaration in known.items():
        if declaration.required and key not in declared:
            choices = f" Available: {', '.join(declaration.choices)}." if declaration.choices else ""
            raise UserError(f"{_capital(owner)} must declare '{key}': {declaration.takes}.{choices}")
        acts_on = declared.get("acts_on", known["acts_on"].default) if "acts_on" in known else ""
        if key in declared and declaration.where and acts_on not in declaration.where:
            raise UserError(
                f"{_capital(owner)} declares '{key}', which means nothing where it acts on {acts_on}: it goes with "
                f"{' or '.join(declaration.where)}."
            )


def _check_capabilities(owner: str, needs: Any, provides: Any) -> None:
    reasons = isinstance(needs, Mapping) and all(
        isinstance(need, str) and isinstance(reason, str) and need and reason for need, reason in needs.items()
    )
    if not reasons:
        raise UserError(f"'needs' of {owner} maps names of capabilities to reasons in words, got {quoted(needs)}.")
    given = isinstance(provides, Collection) and not isinstance(provides, str | bytes | Mapping)
    if not given or not all(isinstance(name, str) and name for name in provides):
        raise UserError(f"'provides' of {owner} is a set of names of capabilities, got {quoted(provides)}.")


def _check_signature(kind: Kind, owner: str, function: Callable[..., Any], declared: Mapping[str, Any]) -> None:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise UserError(f"{_capital(owner)} has no signature to read: wrap it in a function of your own.") from error
    wanted = kind.parameters(declared)
    form = f"({', '.join((*wanted, '*', '...'))})"
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        raise UserError(f"{_capital(owner)} takes any number of arguments; name them: it is called as {form}.")
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(places) != len(wanted):
        extra = [p.name for p in places[len(wanted) :] if p.default is not p.empty]
        hint = f" Write a * before '{extra[0]}' to make it a hyper-parameter." if extra else ""
        got = ", ".join(p.name for p in places) or "none"
        raise UserError(
            f"{_capital(owner)} has the positional parameters {got}; it is called as {form}"
            f"{_because(kind, declared)}.{hint}"
        )
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY:
            _check_hyper(kind, owner, parameter)
            beyond = ranges.outside(ranges.bounds_of(function, parameter.name), parameter.default)
            if beyond:
                raise UserError(
                    f"The default of the hyper-parameter '{parameter.name}' of {owner} must be {beyond}, as its "
                    f"annotation says; got {quoted(parameter.default)}."
                )
    hypers = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for name in declared.get("later", ()):
        if name not in hypers:
            raise unknown(f"hyper-parameter that came later to {owner}", name, hypers)
    for rate in kind.rates:
        if rate not in hypers:
            raise UserError(f"{_capital(owner)} needs the hyper-parameter '{rate}': write *, {rate}=... behind {form}.")


def _because(kind: Kind, declared: Mapping[str, Any]) -> str:
    if "acts_on" not in kind.declares:
        return ""
    remembers = " and remembers" if declared.get("remembers") else ""
    return f" where it acts on {declared.get('acts_on', kind.default('acts_on'))}{remembers}"


def _check_hyper(kind: Kind, owner: str, parameter: inspect.Parameter) -> None:
    key, default = parameter.name, parameter.default
    if default is parameter.empty:
        raise UserError(f"{_capital(owner)} has no default for its hyper-parameter '{key}'.")
    # the exact types: a number of NumPy's or an enumeration would not come back from the plan's file
    if type(default) not in (bool, int, float, str, type(None)) or (
        isinstance(default, float) and not math.isfinite(default)
    ):
        raise UserError(
            f"The default of the hyper-parameter '{key}' of {owner} must be what YAML can express, a finite number, a "
            f"text, True, False or None; got {quoted(default)}."
        )
    if not kind.settings:
        raise UserError(f"{_capital(owner)} has the hyper-parameter '{key}', which nothing could set: leave it out.")
    wanted = kind.hypers.get(key)
    fitting = wanted is None or type(default) is wanted or (wanted is float and type(default) is int)
    if wanted and (not fitting or (wanted is int and default < 1)):
        what = "a whole number of at least 1" if wanted is int else f"a {wanted.__name__}"
        raise UserError(f"The default of the hyper-parameter '{key}' of {owner} must be {what}, got {quoted(default)}.")


def _capital(owner: str) -> str:
    return f"T{owner[1:]}"
