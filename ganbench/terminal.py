"""What a terminal shows of a study: live progress while it trains, ranking tables at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from ganbench.advancing import Course
from ganbench.contracts import Result
from ganbench.plan import Plan
from ganbench.registry import playing

QUIET = float(os.environ.get("GANBENCH_PROGRESS_SECONDS", 30.0))
"""Seconds between two lines of progress where there is no terminal."""


class Progress:
    """One line for the whole study: populations done, runs alive and diverged, steps a second, time left.

    In a terminal it stays in its place; elsewhere, in a file or the log of a job, it is printed anew, at first after
    QUIET seconds and then as often, so that a short command prints none.
    """

    def __init__(self, plan: Plan, device: str, folder: Path, console: Console) -> None:
        self.console, self.course = console, Course(plan, device, folder)
        self.told = time.monotonic()
        self.bar = Bar(
            BarColumn(16),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("starting", total=1.0)

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def watch(self, name: str, event: dict[str, Any]) -> None:
        """Take an event of a population and bring the line up to date."""
        said = self.course.take(name, event)
        if said and event["event"] == "failed":
            self.console.print(f"[red]{escape(name)} failed:[/] {escape(event['error'])}", soft_wrap=True)
        elif said:
            self.console.print(escape(said), soft_wrap=True)
        if name not in self.course.size:
            return
        share, line = self.course.share, self.course.line()
        self.bar.update(self.task, completed=share, description=line)
        if not self.console.is_terminal and time.monotonic() - self.told >= QUIET:
            self.told = time.monotonic()
            self.console.print(f"{100 * share:.0f} %, {escape(line)}", soft_wrap=True)


def ranking_tables(ranking: pd.DataFrame, rows: int = 5) -> Iterator[Table]:
    """Yield a table a problem: its best and worst variants, failures with their interval before typical scores."""
    for problem, variants in ranking.groupby("problem", sort=False):
        short = len(variants) > 2 * rows + 2
        title = f"{problem}: {rows} best and {rows} worst of {len(variants)} variants" if short else str(problem)
        table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
        first = variants.iloc[0]
        headings = {"covered": first["covered_of"], "quality": first["quality_of"]}
        headings |= {name: name for name in playing("diversity")}
        headings |= {f"{name}_final": name for name in playing("distance")}
        scores = [key for key, heading in headings.items() if heading and variants[key].notna().any()]
        table.add_column("rank", justify="right")
        table.add_column("variant", min_width=24)
        table.add_column("failed (95 %)", justify="right", no_wrap=True)
        for key in scores:
            table.add_column(str(headings[key]).replace("_", "\n"), justify="right")
        shown = variants.iloc[[*range(rows), *range(-rows, 0)]] if short else variants
        for place, row in enumerate(shown.to_dict("records")):
            table.add_row(*_cells(row, scores), end_section=short and place == rows - 1)
        yield table


def confirmation_table(confirmed: pd.DataFrame) -> Table:
    """Return what leaders had shown where they were chosen, and what they show on new seeds."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("problem")
    table.add_column("variant", min_width=24)
    table.add_column("failed where chosen", justify="right")
    table.add_column("on new seeds (95 %)", justify="right", no_wrap=True)
    for row in confirmed.to_dict("records"):
        shown = f"{row['shown_failures']}/{row['shown_seeds']}"
        table.add_row(escape(str(row["problem"])), escape(row["label"]), shown, _failed(row))
    return table


def _failed(row: dict[Any, Any]) -> str:
    interval = f"({100 * row['failure_low']:.0f}-{100 * row['failure_high']:.0f} %)"
    return f"{row['failures']}/{row['seeds']} {interval}"


def _cells(row: dict[Any, Any], scores: list[str]) -> list[str]:
    numbers = [_number(row[name]) for name in scores]
    return [str(row["rank"]), escape(row["label"]), _failed(row), *numbers]


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.3g}"


LAW_COLOURS = {"kept": "green", "broken": "red", "not declared": "yellow"}


def law_line(result: Result) -> str:
    """Return whether a plug-in keeps a law, with the law and by how much it is broken."""
    sentence, detail = result.law.sentence.rstrip("."), f": {result.detail}" * bool(result.detail)
    return f"  [{LAW_COLOURS[result.status]}]{result.status:<12}[/]  {escape(sentence + detail)}."
