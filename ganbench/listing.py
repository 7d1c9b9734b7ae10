"""Names and legends of all plug-ins and suites, as `ganbench list` prints them. Imports nothing heavy.

To import the shipped plug-ins takes torch, seconds of it. What a listing needs of them stands in their source, and is
read there: a decorated function's name, and the first line of its docstring.
"""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ganbench.kinds import KINDS
from ganbench.reading import description_of, suite_names

Row = tuple[str, str]

_DECORATOR = b"\n@register("


def legends(kind: str, *, every: bool = False) -> list[Row]:
    """Return name and legend of each suite, or of each plug-in of a kind.

    every: whether plug-in files have been loaded. With them, and where installed packages add plug-ins, the registry
    is asked, in the order of registration; else the source is read, in the order of its files.
    """
    if kind == "suite":
        return [(name, description_of(name)) for name in suite_names()]
    if not every and not _has_packages() and (rows := shipped().get(kind)):
        return rows
    from ganbench import registry

    return [(plugin.name, plugin.legend) for plugin in registry.plugins(kind)]


@cache
def shipped() -> dict[str, list[Row]]:
    """Return name and legend of each plug-in that this package ships, by kind; none where it has no source files."""
    rows: dict[str, list[Row]] = {kind: [] for kind in KINDS}
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        if _DECORATOR in (text := file.read_bytes()):
            for kind, row in _registered(ast.parse(text)):
                rows[kind].append(row)
    return rows


def _registered(tree: ast.Module) -> Iterator[tuple[str, Row]]:
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        name = node.name.rstrip("_")
        legend = (ast.get_docstring(node) or name).splitlines()[0]
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "register":
                yield ast.literal_eval(call.args[0]), (name, legend)


@cache
def _has_packages() -> bool:
    return bool(importlib.metadata.entry_points(group="ganbench.plugins"))
