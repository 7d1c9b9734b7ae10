"""The commands of a library's maintainer beside the gate: `ganbench init` and `ganbench history`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ganbench.console import Plugins, err, out
from ganbench.dry_run import size_of

Baselines = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="A baseline, over the commits of its repository, or several.")
]


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The library's repository.")] = Path("."),
    plugin: Plugins = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Name the files; write nothing.")] = False,
) -> None:
    """Write a gate into a library's repository: a suite, a test, a workflow and a page. Nothing is overwritten."""
    # what plans is heavy
    from ganbench import api, kit

    made = kit.kit_for(folder, plugin or [])
    if not dry_run:
        made.write()
    for place in made.files:
        out.print(f"{'Would write' if dry_run else 'Wrote'} {escape(str(folder / place))}", soft_wrap=True)
    if dry_run:
        return
    plan = api.make_plan(str(folder / kit.SUITE), [], [folder / file for file in made.plugins])
    out.print(f"It trains: {size_of(plan)}", soft_wrap=True)
    for reason in dict.fromkeys(reason for _, reason in plan.skipped):
        err.print(f"skipped: {escape(reason)}", soft_wrap=True)
    out.print("Next, from the repository's folder:")
    for line in (
        f"ganbench run {made.words}",
        f"ganbench run {made.words} seeds=20 --out reports/base",
        f"ganbench baseline reports/base -o {kit.FOLDER}/baselines",
    ):
        out.print(f"  {escape(line)}", soft_wrap=True)


def history(
    files: Baselines,
    variant: Annotated[list[str] | None, typer.Option(help="Variants whose name holds this text only.")] = None,
) -> None:
    """Show how variants fared over the baselines that there were, and since when one is another than before."""
    # what judges is heavy
    from ganbench import history as kept

    for found in kept.histories(files, tuple(variant or ())):
        table = Table(
            *("baseline", "date", "failures", "score", "since"), title=escape(found.variant), title_justify="left",
            box=None, padding=(0, 2, 0, 0),
        )  # fmt: skip
        for row in found.rows:
            table.add_row(*map(escape, row))
        out.print(table)
        out.print(escape(found.sentence), soft_wrap=True)
        out.print()
