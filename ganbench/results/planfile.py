"""The file of a plan: data that says what a study holds. Nothing in it is run, and everything in it is checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ganbench.claims import is_filed
from ganbench.errors import UserError
from ganbench.plan import NUMBER_AXES, SCHEMA, Plan, axes, check_margins, later
from ganbench.results.reading import Unreadable, is_count, is_number, read_text

HEADER = "# The plan of a ganbench study; the results beside it belong to it alone.\n"
DEEPEST, LARGEST = 20, 1_000_000
"""Levels of a plan's YAML, and its runs: far beyond any plan, and far below what takes a reader down."""

# a plan has thousands of lines: libyaml reads them in a moment, where it is there
_SafeLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _PlanLoader(_SafeLoader):  # type: ignore[misc] # one of two classes
    """A safe loader that refuses the same key twice, and finds out what a word is once."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._tags: dict[Any, str] = {}

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        # a plan has few words, each of them thousands of times
        if kind is not yaml.ScalarNode:
            return str(super().resolve(kind, value, implicit))
        if (value, implicit) not in self._tags:
            self._tags[value, implicit] = super().resolve(kind, value, implicit)
        return self._tags[value, implicit]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((key for key, times in keys.items() if times > 1), None)
        if twice is not None:
            raise Unreadable(f"has the key '{twice:.40}' twice")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def dump(plan: Plan) -> str:
    """Return the text of a plan's file."""
    content = {"hash": plan.hash, **plan.to_dict()}
    return HEADER + yaml.dump(content, Dumper=_SafeDumper, sort_keys=False, width=200)


def load(file: Path) -> Plan:
    """Read a plan; Unreadable where the file holds none, UserError where another version wrote it."""
    text = read_text(file)
    try:
        _check_depth(text)
        data = yaml.load(text, Loader=_PlanLoader)  # noqa: S506 - made of a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable("is not YAML") from error
    if not isinstance(data, Mapping):
        raise Unreadable("is empty" if data is None else "is no plan")
    if "schema" not in data:
        raise Unreadable("has no schema")
    if data["schema"] != SCHEMA:
        shown = data["schema"] if is_number(data["schema"]) else "of another kind"
        raise UserError(f"The plan '{file}' has schema {shown}; this version of ganbench reads {SCHEMA}.")
    _check(data)
    plan = Plan.from_dict(data)
    _check_runs(plan)
    return plan


def _check_depth(text: str) -> None:
    # events come without recursion; libyaml's own loader runs out of stack on deep nesting, and Python dies with it
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        opened = isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent))
        depth += opened - isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent))
        if depth > DEEPEST:
            raise Unreadable("is too deeply nested")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _all(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


def _texts_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(key) and _is_text(text) for key, text in value.items())


_REQUIRED: dict[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "description": _is_text,
    "seeds": lambda value: _all(is_count)(value) and 0 < len(set(value)) == len(value),
    "probe_every": lambda value: is_count(value, 1),
    "samples": lambda value: is_count(value, 1),
    "neighbours": lambda value: is_count(value, 1),
    "plugin_files": _all(_is_text),
    "versions": _texts_by_name,
    "variants": lambda value: _all(_is_variant)(value) and bool(value),
    "skipped": _all(lambda row: _is_variant(row) and _is_text(row.get("reason"))),
}
_OPTIONAL: dict[str, Callable[[Any], bool]] = {
    "diagnostics": _is_text,
    "feature_spaces": _is_text,
    "metrics": _is_text,
    "allow": _is_text,
    "claims": is_filed,
    "executor": lambda value: (
        isinstance(value, dict) and _is_text(value.get("name")) and all(map(_is_scalar, value.values()))
    ),
    "tuned": _all(_is_text),
    "legends": _texts_by_name,
    "listed": _all(_is_text),
    "code": _is_text,
    "time_limit": is_number,
    "uncovered": _all(_is_text),
    "margins": lambda value: isinstance(value, dict) and all(map(_is_text, value)),
}


def _is_variant(row: object) -> bool:
    if not isinstance(row, dict) or not all(map(_is_text, row)):
        return False
    late = later()
    values = {axis: row.get(axis, late.get(axis)) for axis in axes()}
    fits = all(is_count(value) if axis in NUMBER_AXES else _is_text(value) for axis, value in values.items())
    return fits and all(_is_scalar(value) for key, value in row.items() if "." in key)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, (str, bool)) or is_number(value)


def _check(data: Mapping[str, Any]) -> None:
    for key, holds in _REQUIRED.items():
        if key not in data:
            raise Unreadable(f"has no key '{key}'")
        if not holds(data[key]):
            raise Unreadable(f"has a wrong value under '{key}'")
    for key, holds in _OPTIONAL.items():
        if key in data and not holds(data[key]):
            raise Unreadable(f"has a wrong value under '{key}'")
    try:
        check_margins(data.get("margins", {}))
    except UserError as error:
        raise Unreadable("has a wrong value under 'margins'") from error


def _check_runs(plan: Plan) -> None:
    if len(plan.variants) * len(plan.seeds) > LARGEST:
        raise Unreadable(f"lists more than {LARGEST} runs")
    ids = [variant.id for variant in plan.variants]
    if len(set(ids)) < len(ids):
        raise Unreadable("has the same variant twice")
    if plan.listed and not plan.runs:
        raise Unreadable("lists runs that it does not have")
