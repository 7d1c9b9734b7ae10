"""The lists of plug-ins in README.md and docs/zoo.md, written from the registry.

`python -m ganbench.zoo` in a checkout brings both up to date.
"""

from __future__ import annotations

import re
from pathlib import Path

from ganbench import registry
from ganbench.registry import Plugin

# metrics are in docs/metrics.md, diagnostics in the report's own list
SHOWN = tuple(kind for kind in registry.KINDS if kind not in ("metric", "diagnostic"))
DECLARED = ("boundary", "saturates", "divergence", "acts_on", "draws")
BEGIN, END = "<!-- zoo: written by python -m ganbench.zoo -->", "<!-- end of zoo -->"


def readme_table() -> str:
    """Return a table with one row a kind: how many there are, and their names."""
    rows = ["| kind | | names |", "|---|---|---|"]
    for kind in SHOWN:
        names = registry.names(kind)
        rows.append(f"| {kind} | {len(names)} | {', '.join(names)} |")
    return "\n".join(rows)


def page() -> str:
    """Return docs/zoo.md: every plug-in with its legend, hyper-parameters and what it declares."""
    parts = [
        "# The zoo",
        "Every plug-in that training is made of, from the registry. `ganbench show KIND NAME` says more.",
    ]
    for kind in SHOWN:
        rows = [f"## {kind}", "", "| name | what it is | hyper-parameters | declares |", "|---|---|---|---|"]
        rows += [_row(plugin) for plugin in registry.plugins(kind)]
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _row(plugin: Plugin) -> str:
    hypers = ", ".join(f"{name} = {value}" for name, value in plugin.hypers.items())
    declared = [f"{key}: {getattr(value, 'name', value)}" for key, value in plugin.meta.items() if key in DECLARED]
    declared += [f"needs {need}" for need in plugin.needs]
    cells = (f"`{plugin.name}`", plugin.legend, hypers, "; ".join(declared))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def with_table(readme: str) -> str:
    """Return README.md with the table between its two marks brought up to date."""
    parts = re.split(f"(?<={re.escape(BEGIN)})|(?={re.escape(END)})", readme)
    if len(parts) != 3:
        raise ValueError(f"README.md needs one '{BEGIN}' and one '{END}' after it")
    return f"{parts[0]}\n\n{readme_table()}\n\n{parts[2]}"


def main(root: Path) -> None:
    """Write both lists in a checkout."""
    readme = root / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
    (root / "docs" / "zoo.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(__file__).parents[1])
