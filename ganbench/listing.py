"""Names and legends of all plug-ins and suites, as `ganbench list` prints them. Imports nothing heavy.

To import the shipped plug-ins takes torch, seconds of it. What a listing needs of them stands in their source, and is
read there: a decorated function's name, and the first line of its docstring.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    return {kind: [(one.name, one.legend) for one in declared(kind)] for kind in KINDS}


@dataclass(frozen=True)
class Declared:
    """A plug-in as its source declares it: hyper-parameters with their defaults, as Python writes them."""

    kind: str
    name: str
    legend: str
    hypers: Mapping[str, str]


@cache
def declared(kind: str) -> list[Declared]:
    """Return the plug-ins of a kind that this package ships, read from its source."""
    head = re.compile(rb'\n@register\(\s*"%s"' % kind.encode())
    texts = [text for text in _sources() if head.search(text)]
    return [one for text in texts for one in declared_in(text) if one.kind == kind]


@cache
def _sources() -> list[bytes]:
    texts = [file.read_bytes() for file in sorted(Path(__file__).parent.rglob("*.py"))]
    return [text for text in texts if _DECORATOR in text]


def declared_in(source: bytes | str) -> list[Declared]:
    """Return the plug-ins that a file registers, without running it; SyntaxError where it is no Python."""
    return list(_declared(ast.parse(source)))


def _declared(tree: ast.Module) -> Iterator[Declared]:
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        name = node.name.rstrip("_")
        legend = (ast.get_docstring(node) or name).splitlines()[0]
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "register":
                yield Declared(ast.literal_eval(call.args[0]), name, legend, _hypers(node))


def _hypers(node: ast.FunctionDef | ast.ClassDef) -> dict[str, str]:
    """Return the keyword-only parameters of a function, of a class those of its __init__."""
    made = node.body if isinstance(node, ast.ClassDef) else [node]
    found = [one for one in made if isinstance(one, ast.FunctionDef) and one.name in (node.name, "__init__")]
    pairs = [pair for one in found for pair in zip(one.args.kwonlyargs, one.args.kw_defaults, strict=True)]
    return {argument.arg: ast.unparse(default) for argument, default in pairs if default is not None}


@cache
def _has_packages() -> bool:
    return bool(importlib.metadata.entry_points(group="ganbench.plugins"))
