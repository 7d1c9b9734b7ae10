"""The lists of plug-ins in README.md, docs/zoo.md and docs/verdicts.md, written from the registry.

`python -m ganbench.zoo` in a checkout brings them up to date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ganbench import registry
from ganbench.analysis.game import RULES as GAME_RULES
from ganbench.analysis.verdicts import ORDER, rules
from ganbench.registry import Plugin

DECLARED = ("boundary", "saturates", "divergence", "acts_on", "draws", "measures", "failure")


def readme_table() -> str:
    """Return a table with one row a kind that a suite chooses from: how many there are, and their names."""
    rows = ["| kind | | names |", "|---|---|---|"]
    for kind in (name for name, kind in registry.KINDS.items() if kind.axes):
        names = registry.names(kind)
        rows.append(f"| {kind} | {len(names)} | {', '.join(names)} |")
    return "\n".join(rows)


def page() -> str:
    """Return docs/zoo.md: every plug-in with its legend, hyper-parameters and what it declares."""
    parts = [
        "# The zoo",
        "Every plug-in, from the registry. `ganbench show KIND NAME` says more, and of verdicts and metrics\n"
        "[verdicts.md](verdicts.md) and [metrics.md](metrics.md) do. What each network for images learns of digits\n"
        "is, with pictures, in [networks.md](networks.md#what-each-learns-of-digits).",
    ]
    for kind in registry.KINDS:
        rows = [f"## {kind}", "", "| name | what it is | hyper-parameters | declares |", "|---|---|---|---|"]
        rows += [_row(plugin) for plugin in registry.plugins(kind)]
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _row(plugin: Plugin) -> str:
    hypers = ", ".join(f"{name} = {value}" for name, value in plugin.hypers.items())
    declared = [f"{key}: {_words(value)}" for key, value in plugin.meta.items() if key in DECLARED]
    declared += [f"needs {need}" for need in plugin.needs]
    return _line(f"`{plugin.name}`", plugin.legend, hypers, "; ".join(declared))


def _words(value: object) -> str:
    return ", ".join(value) if isinstance(value, Mapping) else str(getattr(value, "name", value))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def verdict_tables() -> dict[str, str]:
    """Return the tables of docs/verdicts.md by name, from the records: verdicts, remedies, thresholds, games."""
    every = rules()
    verdicts = ["| verdict | | meaning | failure | calibrated on |", "|---|---|---|---|---|"]
    remedies = ["| verdict | what usually helps | shown by |", "|---|---|---|"]
    thresholds = ["| threshold | value | reason | of |", "|---|---|---|---|"]
    for rule in every:
        scripts = ", ".join(script if isinstance(script, str) else script.__name__ for script in rule.scripts)
        verdicts.append(_line(rule.name, rule.symbol, rule.meaning, "yes" if rule.failure else "no", scripts))
        if rule.remedy:
            remedies.append(_line(rule.name, rule.remedy.text, rule.remedy.source))
        thresholds += [
            _line(name.replace("_", " "), f"{threshold.value:g}", threshold.reason, rule.name)
            for name, threshold in rule.thresholds.items()
        ]
    order = f"Where several hold, the first of these counts: {', '.join(ORDER)}."
    games = [
        "| finding | meaning | often because of | what usually helps | shown by | the same picture |",
        "|---" * 6 + "|",
    ]
    for game in GAME_RULES:
        causes, shown = "; ".join(game.causes), f"`{game.shown}`" if game.shown else ""
        games.append(_line(game.name, game.meaning, causes, game.remedy.text, game.remedy.source, shown))
    tables = {"verdicts": [*verdicts, "", order], "remedies": remedies, "thresholds": thresholds, "games": games}
    return {name: "\n".join(lines) for name, lines in tables.items()}


def with_table(readme: str) -> str:
    """Return README.md with the table between its two marks brought up to date."""
    return between(readme, "zoo", readme_table(), "README.md")


def with_verdicts(text: str) -> str:
    """Return docs/verdicts.md with the tables between their marks brought up to date."""
    for name, table in verdict_tables().items():
        text = between(text, name, table, "docs/verdicts.md")
    return text


def between(text: str, name: str, table: str, file: str) -> str:
    """Return a file's text with a table in place of what is between its two marks."""
    begin, end = f"<!-- {name}: written by python -m ganbench.zoo -->", f"<!-- end of {name} -->"
    parts = re.split(f"(?<={re.escape(begin)})|(?={re.escape(end)})", text)
    if len(parts) != 3:
        raise ValueError(f"{file} needs one '{begin}' and one '{end}' after it")
    return f"{parts[0]}\n\n{table}\n\n{parts[2]}"


def main(root: Path) -> None:
    """Write the lists in a checkout."""
    for file, renewed in ((root / "README.md", with_table), (root / "docs" / "verdicts.md", with_verdicts)):
        file.write_text(renewed(file.read_text(encoding="utf-8")), encoding="utf-8")
    (root / "docs" / "zoo.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(__file__).parents[1])
