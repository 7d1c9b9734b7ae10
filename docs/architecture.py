"""The rooms of the package as its imports show them, and its kinds: the picture and the tables of architecture.md.

`python docs/architecture.py` writes them; tests/test_architecture.py holds them, and the package, to what is here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from ganbench.kinds import KINDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ganbench"
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.svg"
BEGIN, END = "<!-- {}: written by python docs/architecture.py -->\n\n", "\n<!-- end of {} -->"

ORDER = {
    "ground": (
        "arrays",
        "cells",
        "derived",
        "errors",
        "files",
        "interrupts",
        "revision",
        "worktree",
        "ranges",
        "declarations",
        "kinds",
        "refusals",
        "identity",
        "registry",
        "provenance",
    ),
    "what is asked for": (
        "plan",
        "reading",
        "patterns",
        "schedules",
        "tuning",
        "differing",
        "claims",
        "versions",
        "binding",
        "combining",
        "asking",
        "executing",
        "suite",
        "written",
        "repeat",
    ),
    "what is trained and measured": ("problems", "gan", "metrics", "measure"),
    "training": ("training", "models"),
    "results": ("results", "reuse"),
    "the work": ("executors",),
    "analysis": ("analysis",),
    "report": ("report", "monitor", "contracts"),
    "jobs": (
        "listing",
        "shells",
        "advancing",
        "notebook",
        "api",
        "base_side",
        "bench",
        "whole_job",
        "deadline",
        "checking",
        "against",
        "history",
        "kit",
        "confirming",
        "merging",
        "upkeep",
        "serve_pages",
        "serve",
        "publishing",
        "zoo",
    ),
    "doors": (
        "terminal",
        "dry_run",
        "console",
        "gate",
        "maintaining",
        "examining",
        "studies",
        "writing",
        "cli",
        "completing",
        "pytest_plugin",
        "supervise",
        "__main__",
    ),
}
"""The order of the rooms: each may import those before it, in its own row too, and none behind it."""


@dataclass(frozen=True)
class Import:
    """An import of one of our modules by another, and whether it happens when that is loaded."""

    importer: str
    imported: str
    line: int
    at_load: bool = True


@cache
def modules() -> dict[str, Path]:
    """Return the package's modules by their dotted names."""
    names = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


@cache
def imports() -> tuple[Import, ...]:
    """Return every import of one of our modules by another, those for types and within functions too."""
    known = modules()
    return tuple(one for name, file in known.items() for one in _imports_of(name, _tree(file), known))


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _imports_of(importer: str, tree: ast.AST, known: dict[str, Path]) -> Iterator[Import]:
    for node, at_load in _walk(tree, True):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]
        else:
            continue
        for name in dict.fromkeys(names):
            if name in known and name != importer:
                yield Import(importer, name, node.lineno, at_load)


def _walk(node: ast.AST, at_load: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, at_load
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        yield from _walk(child, at_load and not later and not typing)


def room(module: str) -> str:
    """Return the room that a module is in; empty for the package itself, which only hands out names."""
    return module.partition(".")[2].partition(".")[0]


def rooms() -> dict[str, set[str]]:
    """Return by room the rooms that it imports."""
    found: dict[str, set[str]] = {room(name): set() for name in modules() if room(name)}
    for one in imports():
        if room(one.importer) and room(one.imported) not in ("", room(one.importer)):
            found[room(one.importer)].add(room(one.imported))
    return found


def room_table() -> str:
    """Return the table of rooms in markdown: what each owns, in the words of its own first line."""
    known = modules()
    lines = ["| row | room | what it owns |", "|---|---|---|"]
    for row, names in reversed(ORDER.items()):
        for name in names:
            owns = (ast.get_docstring(_tree(known[f"ganbench.{name}"])) or "").split("\n\n")[0]
            told = " ".join(owns.split()).replace("|", "\\|")
            lines.append(f"| {row} | `{name}` | {told} |")
    return "\n".join(lines)


def kind_table() -> str:
    """Return the table of kinds in markdown: the home, whose plug-ins are the models to write the next one after."""
    lines = ["| kind | its home, where the models are | its laws |", "|---|---|---|"]
    for name, kind in KINDS.items():
        home = Path(*kind.home.split("."))
        home = home if (ROOT / home).is_dir() else home.with_suffix(".py")
        laws = [Path(*module.split(".")).with_suffix(".py") for module in kind.laws]
        found = ", ".join(f"[{file.name}](../{file.as_posix()})" for file in laws)
        lines.append(f"| `{name}` | [{home.as_posix()}](../{home.as_posix()}) | {found} |")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------ the picture

WIDTH, BAND, BOX, MARGIN = 1160, 92, (112, 30), 190
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b1d21}.row{fill:#5d636d;font-size:12px}"
    ".box{fill:#f6f7f9;stroke:#0072b2}.arrow{fill:none;stroke:#8a919c;stroke-width:1.1;marker-end:url(#head)}"
)


def needed(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return a graph without the arrows that a longer way tells too."""

    def reach(start: str, seen: set[str]) -> set[str]:
        for other in graph.get(start, set()) - seen:
            seen.add(other)
            reach(other, seen)
        return seen

    return {
        name: {one for one in others if not any(one in reach(other, set()) for other in others - {one})}
        for name, others in graph.items()
    }


def picture() -> str:
    """Return the picture: rows from the doors down to the ground, an arrow from each room to those that it imports.

    Arrows that follow from others are left out.
    """
    places = {}
    for level, names in enumerate(reversed(ORDER.values())):
        gap = (WIDTH - MARGIN) / len(names)
        for index, name in enumerate(names):
            places[name] = (round(MARGIN + gap * (index + 0.5)), 24 + BAND * level)
    graph = {name: others for name, others in rooms().items() if name in places}
    arrows = [_arrow(places[a], places[b]) for a, bs in needed(graph).items() for b in sorted(bs) if b in places]
    rows = [
        f'<text class="row" x="12" y="{24 + BAND * level + 20}">{escape(row)}</text>'
        for level, row in enumerate(reversed(ORDER))
    ]
    boxes = [
        f'<rect class="box" x="{x - BOX[0] // 2}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="5"/>'
        f'<text x="{x}" y="{y + 20}" text-anchor="middle">{escape(name)}</text>'
        for name, (x, y) in places.items()
    ]
    head = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    height = BAND * len(ORDER)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f'<style>{STYLE}</style><defs>{head}<path d="M0 0L8 4L0 8z" fill="#8a919c"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', *rows, *arrows, *boxes, "</svg>", "",
    ])  # fmt: skip


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x, y), (u, v) = start, end
    if y == v:
        # within a row: an arc below it
        y, v, bend = y + BOX[1], v + BOX[1], 26
        path = f"M{x - 14} {y}C{x - 14} {y + bend} {u + 14} {v + bend} {u + 14} {v + 1}"
    else:
        bend = (v - y) // 2
        path = f"M{x} {y + BOX[1]}C{x} {y + bend + 20} {u} {v - bend + 20} {u} {v - 1}"
    return f'<path class="arrow" d="{path}"/>'


def with_tables(page: str) -> str:
    """Return the page with its tables as they are now; ValueError where it has no place for one."""
    for name, made in (("rooms", room_table()), ("kinds", kind_table())):
        first, last = BEGIN.format(name), END.format(name)
        before, begin, rest = page.partition(first)
        _, end, after = rest.partition(last)
        if not begin or not end:
            raise ValueError(f"{PAGE} needs one {first.strip()} and one {last.strip()}")
        page = before + begin + made + "\n" + end + after
    return page


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
