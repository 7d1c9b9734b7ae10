"""A study on one page of markdown: the tally, the findings, the best and the worst variants, how to repeat it.

Plain GitHub markdown without HTML, so that it can be a job summary, an issue's text or a file in a repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from ganbench.analysis.findings import percent
from ganbench.analysis.statistics import FINISHED
from ganbench.analysis.verdicts import VERDICTS
from ganbench.files import replace_file, writing_to
from ganbench.report.context import DASH, Context, number

BEST, WORST = 5, 3
VERSIONS = ("ganbench", "torch", "python", "device", "git_revision", "plan_hash")


def write(context: Context, folder: Path) -> Path:
    """Write report.md into a folder and return its path; UserError where it cannot be written."""
    target = folder / "report.md"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with replace_file(target) as temporary:
            temporary.write_text(summary(context), encoding="utf-8")
    return target


def summary(context: Context) -> str:
    """Return a study as markdown: 13 lines a problem, a line a finding, and ten more."""
    lines = [f"# {_text(context.study.name)}", "", f"**{_tally(context)}**", ""]
    lines += [f"- {_text(sentence)}" for sentence in [*context.findings, *map(str, context.study.damage)]]
    for problem, variants in context.ranking.groupby("problem", sort=False):
        lines += ["", *_table(context, str(problem), variants)]
    known = context.study.provenance
    if known.get("command"):
        lines += ["", f"Repeat it: {_code(known['command'])}"]
    versions = [f"{name.replace('_', ' ')} {_text(known[name])}" for name in VERSIONS if known.get(name)]
    return "\n".join([*lines, "", "; ".join(versions)]).rstrip() + "\n"


def _tally(context: Context) -> str:
    runs = context.runs[context.runs["status"] != "skipped"]
    finished = runs[runs["status"].isin(FINISHED)]
    failures = int(finished["failed"].astype("boolean").fillna(False).sum())
    survive = int((context.ranking["failures"] == 0).sum()) if len(context.ranking) else 0
    text = f"{len(finished)} of {len(runs)} runs finished, {failures} of them are failures"
    return f"{text}; {survive} of {runs['variant'].nunique()} variants survive in all of their seeds."


def _table(context: Context, problem: str, variants: pd.DataFrame) -> list[str]:
    short = len(variants) > BEST + WORST + 1
    shown = pd.concat([variants.head(BEST), variants.tail(WORST)]) if short else variants
    title = f"{_text(problem)}: " + (f"the first {BEST} and the last {WORST} of " if short else "")
    title += f"{len(variants)} variant{'s' * (len(variants) != 1)}"
    first = variants.iloc[0]
    measures = {key: str(first[f"{key}_of"]) for key in ("covered", "quality") if isinstance(first[f"{key}_of"], str)}
    head = [
        "rank",
        "variant",
        "failures (95 %)",
        "verdicts",
        *(_heading(context, problem, m) for m in measures.values()),
    ]
    lines = [f"### {title}", "", _row(head), _row(["--:", "---", "--:", "---", *["--:"] * len(measures)])]
    return lines + [_row([*_cells(row), *(number(row[key]) for key in measures)]) for row in shown.to_dict("records")]


def _heading(context: Context, problem: str, measure: str) -> str:
    name, perfect = _text(measure.replace("_", " ")), context.oracle(problem).get(measure)
    return name if perfect is None else f"{name} (oracle {number(float(perfect))})"


def _cells(row: dict[Any, Any]) -> list[str]:
    interval = f"{percent(row['failure_low'])}{DASH}{percent(row['failure_high'])} %"
    verdicts = ", ".join(f"{row[name]} {name}" for name in VERDICTS if row[name])
    return [str(row["rank"]), _text(row["label"]), f"{row['failures']}/{row['seeds']} ({interval})", verdicts]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(value: Any) -> str:
    """Return a text as one line that markdown shows as it is, in a table too; underscores in words are no markup."""
    return re.sub(r"([\\`*\[\]<>|&~])", r"\\\1", " ".join(str(value).split()))


def _code(value: Any) -> str:
    """Return a text as a code span, with a fence longer than any that it holds."""
    text = " ".join(str(value).split())
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if "`" not in text else f"{fence} {text} {fence}"
