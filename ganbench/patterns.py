"""Short forms of what a suite names: `loss=fgan_*`, `loss=*,-hinge`, `seeds=0..9`, `problem=folder:pictures`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from ganbench import kinds, registry
from ganbench.errors import UserError, unknown
from ganbench.kinds import kind_of

RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
LONGEST_RANGE = 10_000


def expanded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys of a suite with their short forms written out.

    Of a key that names plug-ins: `fgan_*` is every name that matches, in the registry's order, and `-fgan_*` takes out
    again what matches of the ones before it, or of all where it comes first. Of seeds: `0..9` is 0 to 9, 9 included.
    Of problems that read files: `folder:pictures` is `folder` with its root, several of one several roots.
    UserError for a pattern that matches nothing, a range that falls or holds more than 10 000, and a key of which
    nothing is left.
    """
    axes, data = kinds.axes(), _placed(data)
    return {
        key: _names(key, value) if key in axes else _ranges(value) if key == "seeds" else value
        for key, value in data.items()
    }


def _placed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys with each problem's place as its root."""
    given = data.get("problem")
    named: list[Any] = []
    roots: dict[str, list[str]] = {}
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, str) and ":" in one:
            one, _, place = one.partition(":")
            roots.setdefault(_with_root(one), []).append(place)
        named.append(one)
    if not roots:
        return dict(data)
    keys = {f"problem.{name}.root": places if places[1:] else places[0] for name, places in roots.items()}
    if twice := keys.keys() & data.keys():
        raise UserError(f"The place of a problem is given twice: by 'problem' and by '{min(twice)}'.")
    problems = list(dict.fromkeys(named))
    return {**data, "problem": problems if problems[1:] else problems[0], **keys}


def _with_root(name: str) -> str:
    known = [one for one in registry.names("problem") if "root" in registry.get("problem", one).hypers]
    if name not in known:
        raise unknown("problem with files", name, known)
    return name


def _names(axis: str, value: Any) -> Any:
    given = value if isinstance(value, list) else [value]
    if not any(isinstance(one, str) and ("*" in one or one.startswith("-")) for one in given):
        return value
    kind = kind_of(axis)
    every, taken = registry.names(kind), []
    for place, one in enumerate(given):
        out = isinstance(one, str) and one.startswith("-")
        if not isinstance(one, str) or not (out or "*" in one):
            taken.append(one)
            continue
        pattern, among = one.removeprefix("-"), taken if out and place else every
        matching = [name for name in among if fnmatchcase(str(name), pattern)]
        if not matching and any(fnmatchcase(name, pattern) for name in every):
            raise UserError(f"The key '{axis}' takes out '{pattern}', which is not in it before.")
        if not matching:
            raise unknown(kind, pattern, every)
        taken = [name for name in among if name not in matching] if out else [*taken, *matching]
    if not taken:
        raise UserError(f"The key '{axis}' names nothing: '{','.join(map(str, given))}' takes out all of it.")
    return list(dict.fromkeys(taken))


def _ranges(value: Any) -> Any:
    given = value if isinstance(value, list) else [value]
    parts = [RANGE.fullmatch(one) if isinstance(one, str) else None for one in given]
    if not any(parts):
        return value
    seeds: list[Any] = []
    for one, part in zip(given, parts, strict=True):
        if part is None:
            seeds.append(one)
            continue
        first, last = map(int, part.groups())
        if not 0 <= last - first < LONGEST_RANGE:
            raise UserError(f"The range '{one}' of seeds must rise, and hold at most {LONGEST_RANGE} of them.")
        seeds += range(first, last + 1)
    return seeds
