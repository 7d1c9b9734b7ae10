"""A study on one page of markdown: the tally, the findings, the best and the worst variants, how to repeat it.

Plain GitHub markdown without HTML, so that it can be a job summary, an issue's text or a file in a repository.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ganbench.analysis.findings import percent
from ganbench.analysis.scores import FINISHED
from ganbench.analysis.verdicts import VERDICTS
from ganbench.files import replace_file, writing_to
from ganbench.report import markdown, settings
from ganbench.report.claims import claims_table
from ganbench.report.context import DASH, Context, number
from ganbench.report.one_run import one_run
from ganbench.report.one_run import told as one_run_told

BEST, WORST = 5, 3
FINDINGS, RUNS = 3, 10
"""Findings about the game, and lines about runs that have not ended."""


def write(context: Context, folder: Path) -> Path:
    """Write report.md into a folder and return its path; UserError where it cannot be written."""
    target = folder / "report.md"
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with replace_file(target) as temporary:
            temporary.write_text(summary(context), encoding="utf-8", errors="backslashreplace")
    return target


def summary(context: Context) -> str:
    """Return a study as markdown: 13 lines a problem, a line a finding, one a setting that all share, and ten more.

    Where it holds a single run: its verdict, evidence and findings in place of the problems.
    """
    known, only = context.study.provenance, one_run(context)
    tally = _tally(context) if only is None else markdown.text(only["sentence"])
    lines = [f"# {markdown.text(context.study.name)}", "", f"**{tally}**", ""]
    lines += [f"**{markdown.text(known['mixed'])}**", ""] if known.get("mixed") else []
    found = context.findings if only is None else one_run_told(only)
    lines += [f"- {markdown.text(sentence)}" for sentence in [*found, *map(str, context.study.damage)]]
    if only is None:
        lines += _game(context) + _so_far(context)
        for problem, variants in context.ranking.groupby("problem", sort=False):
            lines += ["", *_table(context, str(problem), variants)]
    lines += claims_table(context) + _settings(context)
    if known.get("command"):
        lines += ["", f"Repeat it: {markdown.code(known['command'])}"]
    by = {key.replace("_", " "): value for key, value in settings.environment(context).items() if value}
    versions = [f"{name} {markdown.text(value)}" for name, value in by.items()]
    versions += [f"verdict of yours {markdown.text(told)}" for told in context.own_verdicts]
    return "\n".join([*lines, "", "; ".join(versions)]).rstrip() + "\n"


def _game(context: Context) -> list[str]:
    """Return a line of the most frequent findings about the game, with how many runs have them; none where none has."""
    rows = [row for found in context.game.values() for row in found[:2]]
    counts = Counter(str(row["finding"]) for row in rows)
    remedies = {str(row["finding"]): str(row["remedy"]) for row in rows}
    runs = int((context.runs["status"] != "skipped").sum())
    if not counts:
        return []
    most = counts.most_common(FINDINGS)
    told = ", ".join(f"{name} in {count}" for name, count in most)
    return [f"- {markdown.text(f'The game: {told} of {runs} runs. Try: {remedies[most[0][0]]}')}"]


def _so_far(context: Context) -> list[str]:
    """Return a line for each run without an end that has probes, up to ten of them."""
    known = context.runs.set_index("run")
    labels, seeds = known["label"].to_dict(), known["seed"].to_dict()
    told = [f"So far, {labels[run]}, seed {seeds[run]}: {how}." for run, how in list(context.so_far.items())[:RUNS]]
    return [f"- {markdown.text(line)}" for line in told]


def _tally(context: Context) -> str:
    runs = context.runs[context.runs["status"] != "skipped"]
    finished = runs[runs["status"].isin(FINISHED)]
    failures = int(finished["failed"].astype("boolean").fillna(False).sum())
    lost = context.ranking["failures"] + context.ranking["undecided"] if len(context.ranking) else pd.Series()
    survive = int((lost == 0).sum())
    text = f"{len(finished)} of {len(runs)} runs finished, {failures} of them are failures"
    return f"{text}; {survive} of {runs['variant'].nunique()} variants survive in all of their seeds."


def _table(context: Context, problem: str, variants: pd.DataFrame) -> list[str]:
    short = len(variants) > BEST + WORST + 1
    shown = pd.concat([variants.head(BEST), variants.tail(WORST)]) if short else variants
    title = f"{markdown.text(problem)}: " + (f"the first {BEST} and the last {WORST} of " if short else "")
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
    columns = ["--:", "---", "--:", "---", *["--:"] * len(measures)]
    ranked = [[*_cells(row), *(number(row[key]) for key in measures)] for row in shown.to_dict("records")]
    return [f"### {title}", "", *map(markdown.row, [head, columns, *ranked])]


def _heading(context: Context, problem: str, measure: str) -> str:
    name, perfect = markdown.text(measure.replace("_", " ")), context.oracle(problem).get(measure)
    return name if perfect is None else f"{name} (oracle {number(float(perfect))})"


def _cells(row: dict[Any, Any]) -> list[str]:
    interval = f"{percent(row['failure_low'])}{DASH}{percent(row['failure_high'])} %"
    verdicts = ", ".join(f"{row[name]} {name}" for name in VERDICTS if row[name])
    return [str(row["rank"]), markdown.text(row["label"]), f"{row['failures']}/{row['seeds']} ({interval})", verdicts]


def _settings(context: Context) -> list[str]:
    """Return a table of what all variants of a problem share, a column a problem; the variants' names tell the rest."""
    same = {problem: settings.shared(context, problem) for problem in context.problems}
    keys = dict.fromkeys(key for values in same.values() for key in values)
    if not keys:
        return []
    head = [["setting", *map(markdown.text, same)], ["---"] * (1 + len(same))]
    rows = [[markdown.code(key), *(_cell(values, key) for values in same.values())] for key in keys]
    return ["", "### Settings", "", *map(markdown.row, [*head, *rows])]


def _cell(values: Mapping[str, Any], key: str) -> str:
    return markdown.text(values[key]) if key in values else DASH
