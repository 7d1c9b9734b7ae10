"""What differs within a suite, `per_problem` and `per_model`, and the parts of its grid that these keys make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ganbench import kinds, registry
from ganbench.errors import UserError, quoted

Sections = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """A part of a suite's grid: `where` it is, in words, its keys, and those that nothing else may set."""

    where: str
    keys: dict[str, Any]
    own: dict[str, Any]


def parts(base: dict[str, Any], changes: Mapping[str, Any]) -> list[Part]:
    """Return a part for every problem, and where models differ for every model of it; takes the two keys out of base.

    changes: what is given on the command line, which counts more. UserError says what does not read.
    """
    problems = _names("problem", changes.get("problem", base.get("problem", kinds.axes()["problem"].default)))
    per_problem, everywhere = sections(base, "problem"), sections(base, "model")
    found = []
    for problem in problems:
        keys = {**base, **per_problem.get(problem, {})}
        here = sections(keys, "model")
        per_model = {name: {**everywhere.get(name, {}), **here.get(name, {})} for name in {**everywhere, **here}}
        found += list(_by_model(problem, keys, per_model, changes))
    return found


def _by_model(problem: str, keys: dict[str, Any], per_model: Sections, changes: Mapping[str, Any]) -> Iterator[Part]:
    if not per_model:
        yield Part(problem, keys, {"problem": problem})
        return
    for model in _names("model", changes.get("model", keys.get("model", kinds.axes()["model"].default))):
        own = {"problem": problem, "model": model}
        yield Part(model, {**keys, **per_model.get(model, {})}, own)


def _names(key: str, value: Any) -> list[str]:
    """Return the names of a suite's problems or models, of which each has settings of its own."""
    named = value if isinstance(value, list) else [value]
    for name in named:
        if not isinstance(name, str):
            raise UserError(f"The key '{key}' has the wrong type: it takes names of {key}s, got {quoted(name)}.")
    if len(set(named)) < len(named):
        raise UserError(f"The key '{key}' names the same value twice in {named}.")
    if not named:
        raise UserError(f"The key '{key}' is empty, so the grid has no runs.")
    return named


def sections(data: dict[str, Any], key: str) -> Sections:
    """Take what differs by problem, or by model, out of a suite's keys."""
    given = data.pop(f"per_{key}", None)
    found = {} if given is None else given
    sound = isinstance(found, dict) and all(isinstance(part, dict) for part in found.values())
    if not sound or not all(isinstance(name, str) for part in (found, *found.values()) for name in part):
        raise UserError(f"The key 'per_{key}' must map a {key}'s name to the keys that differ there.")
    for name, part in found.items():
        registry.get(key, name)
        for fixed in ("problem", key):
            if fixed in part:
                raise UserError(f"The key '{fixed}' cannot differ for the {key} '{name}'.")
    return found
