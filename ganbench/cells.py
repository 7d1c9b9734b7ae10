"""What a notebook shows of a thing: a heading, a sentence and a small table as HTML. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

LONGEST = 12
"""Values of a setting that are named; of more, how many there are."""


def card(title: str, sentences: Iterable[str], head: Sequence[str] = (), rows: Iterable[Sequence[object]] = ()) -> str:
    """Return a heading with sentences and a table below it, everything in it as text."""
    told = "".join(f"<p style='margin:.2em 0'>{escape(sentence)}</p>" for sentence in sentences if sentence)
    return f"<div><strong>{escape(title)}</strong>{told}{table(head, rows) if head else ''}</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; its columns are named, and the first cell of a row names the row."""
    heads = "".join(f"<th scope='col' style='text-align:left'>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{_row(cells)}</tr>" for cells in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _row(cells: Sequence[object]) -> str:
    first, *rest = [escape(str(cell)) for cell in cells]
    left = "style='text-align:left'"
    return f"<th scope='row' {left}>{first}</th>" + "".join(f"<td {left}>{cell}</td>" for cell in rest)


def listed(values: Sequence[object]) -> str:
    """Return values in a line, or how many there are."""
    return ", ".join(map(str, values)) if len(values) <= LONGEST else f"{len(values)} values"


def counted(number: int, what: str) -> str:
    """Return "1 run" or "2 runs"."""
    return f"{number} {what}{'s' * (number != 1)}"


class PlanCard:
    """Gives a plan its face in a notebook: how much it trains, and what it varies."""

    def _repr_html_(self) -> str:
        plan: Any = self
        seeds = counted(len(plan.seeds), "seed")
        text = f"{counted(len(plan.runs), 'run')} of {counted(len(plan.variants), 'variant')}, {seeds} each"
        text += f", {len(plan.skipped)} skipped" * bool(plan.skipped)
        values: dict[str, dict[object, None]] = {key: {} for key in plan.varying}
        for variant in plan.variants:
            for key, value in {**variant.values, **dict(variant.hypers)}.items():
                values.get(key, {})[value] = None
        rows = [(key, listed(list(found))) for key, found in values.items() if found]
        return card(
            f"Plan of {plan.name}, {plan.hash}", [f"{text}.", plan.description], ("what varies", "values"), rows
        )
