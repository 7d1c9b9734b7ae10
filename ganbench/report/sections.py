"""What each section of the page says, as plain values for the template: one function a section, no HTML."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ganbench.analysis import budgets
from ganbench.analysis.findings import percent
from ganbench.analysis.ranking import COSTS
from ganbench.analysis.scores import FINISHED, SCORES
from ganbench.analysis.verdicts import FAILURES, SYMBOLS, THRESHOLDS, VERDICTS
from ganbench.analysis.verdicts import rules as records
from ganbench.analysis.views import ranked_by
from ganbench.combining import ALLOWED
from ganbench.plan import TOGETHER
from ganbench.report import settings, thumbnails
from ganbench.report.context import DASH, Context, number
from ganbench.report.heatmaps import maps

SHOWN_APART = ("command", "mixed", "environments")
HEADLINE = 3
PICTURES = 5
STRIPS = 40
"""Variants of a problem whose samples are drawn for readers without JavaScript, the first of the ranking."""


def summary(context: Context) -> list[tuple[str, str, str]]:
    """Return the tiles at the top: (number, what it is, explanation)."""
    runs, ranking = context.runs, context.ranking
    finished = runs[runs["status"].isin(FINISHED)]
    failures = int(finished["failed"].fillna(False).astype(bool).sum())
    share = f"{percent(failures / len(finished))} %" if len(finished) else DASH
    safe = int((ranking["failures"] + ranking["undecided"] == 0).sum()) if len(ranking) else 0
    skipped = int((runs["status"] == "skipped").sum())
    waiting = int(runs["status"].isin(["pending", "running"]).sum())
    seeds = int(runs["seed"].nunique())
    tiles = [
        (f"{failures}/{len(finished)}", f"runs fail ({share})", "Failed: " + ", ".join(sorted(FAILURES))),
        (
            f"{safe}/{len(ranking)}",
            "variants survive in all their seeds",
            "A variant is a combination without its seed",
        ),
        (str(seeds), "seed" + "s" * (seeds != 1), "The unit of every interval on this page"),
        (str(skipped), "variants skipped", "Their parts cannot be combined; see the list below"),
    ]
    return tiles + ([(str(waiting), "runs not finished", "They are in no count on this page")] if waiting else [])


def fixed(context: Context) -> str:
    """Return the settings that all runs share, in one line."""
    runs = context.study.runs
    shown = [a for a in ("network", "loss", "normalization", "regularizer", "optimizer", "steps") if a in runs.columns]
    same = [(a, runs[a].dropna().unique()) for a in shown if a not in context.study.axes]
    return ", ".join(f"{a} {values[0]}" for a, values in same if len(values) == 1)


def headline(context: Context) -> list[dict[str, Any]]:
    """Return for every problem its first and last variants, the oracle's scores and the whole ranking."""
    tables = []
    for problem in context.problems:
        table = context.ranking[context.ranking["problem"] == problem] if len(context.ranking) else context.ranking
        rows = [_ranked(context, row) for row in table.to_dict("records")]
        short = len(rows) <= 2 * HEADLINE + 1
        measures = context.measures(problem)
        oracle = {name: number(context.oracle(problem).get(name)) for name in measures}
        head, tail = (rows, []) if short else (rows[:HEADLINE], rows[-HEADLINE:])
        legends = {name: context.study.measures[name].legend for name in measures}
        costs = [cost for cost in COSTS if any(row["costs"][cost][0] != DASH for row in rows)]
        table_ = {
            "problem": problem,
            "measures": measures,
            "head": head,
            "tail": tail,
            "oracle": oracle,
            "costs": costs,
        }
        tables.append({**table_, "legends": legends, "rows": rows, "between": len(rows) - len(head) - len(tail)})
    return tables


def _ranked(context: Context, row: Mapping[Any, Any]) -> dict[str, Any]:
    values = {}
    for measure in context.measures(row["problem"]):
        three = context.medians.get((row["variant"], measure), {})
        values[measure] = [number(three.get(score, float("nan"))) for score in SCORES]
    return {
        **row,
        "chips": [chip(run) for run in context.by_variant[row["variant"]]],
        "interval": f"{percent(row['failure_low'])} to {percent(row['failure_high'])} %",
        "values": values,
        "area": number(row["covered_area"]),
        "costs": {cost: [number(row[cost]), number(row.get(f"{cost}_per_survivor"))] for cost in COSTS},
    }


def chip(run: Mapping[Any, Any]) -> dict[str, str]:
    """Return the mark of a run: its verdict's symbol, what it is drawn as, and what is told of it."""
    if run["status"] not in FINISHED:
        return {"symbol": "·", "slug": "waiting", "title": f"seed {run['seed']}: {run['status']}", "run": ""}
    slug = str(run["verdict"]).replace(" ", "-")
    since = "" if pd.isna(run["onset"]) else f" since step {run['onset']}"
    return {
        "symbol": SYMBOLS.get(run["verdict"], "?"),
        "slug": slug,
        "title": f"seed {run['seed']}: {run['verdict']}{since}",
        "run": run["run"],
    }


def pictures(context: Context, problem: str) -> dict[str, Any]:
    """Return a problem's samples: the real ones, and for every variant those of its median seed over training.

    The median seed is that of the final quality (the lower one of two), diverged seeds counting as worst.
    """
    study = context.study
    real, centres = study.real_samples(problem), study.centres(problem)
    flat = real.ndim == 2
    view = thumbnails.frame(real, centres[0] if centres else None) if flat and len(real) else None
    waves = thumbnails.is_lines(real, centres)
    rows = []
    order = {v: i for i, v in enumerate(context.ranking["variant"])} if len(context.ranking) else {}
    runs = context.runs[(context.runs["problem"] == problem) & context.runs["status"].isin(["done", "diverged"])]
    of_variant = runs[["run", "variant"]].groupby("variant", sort=False)
    ranked = sorted(of_variant, key=lambda item: order.get(str(item[0]), 0))
    quality = ranked_by(study, problem)["quality"]
    for variant, group in ranked[:STRIPS]:
        run = median_seed(context, quality, group)
        drawn = study.samples(run["run"])
        steps = sorted(drawn)
        chosen = sorted({steps[round(i)] for i in np.linspace(0, len(steps) - 1, PICTURES)}) if steps else []
        images = [(step, _uri(drawn[step], view, centres)) for step in chosen]
        rows.append({"label": run["label"], "run": run, "images": images, "chip": chip(run), "variant": variant})
    return {
        "problem": problem,
        "flat": flat and not waves,
        "waves": waves,
        "real": _uri(real, view, centres) if len(real) else "",
        "rows": rows,
        "variants": len(ranked),
    }


def _uri(samples: Any, view: thumbnails.Frame | None, centres: Any) -> str:
    return thumbnails.data_uri(thumbnails.in_sixteen(thumbnails.picture(np.asarray(samples), view, centres)))


def median_seed(context: Context, quality: str | None, group: pd.DataFrame) -> dict[Any, Any]:
    """Return the run of a variant's with the median final quality, the lower one of two."""
    rows = [context.rows[run] for run in group["run"]]
    if quality is None:
        return rows[0]
    rows.sort(key=lambda row: (context.finals.get((row["run"], quality), 0.0), str(row["seed"])))
    return rows[(len(rows) - 1) // 2]


def verdict_rows(context: Context, problem: str) -> list[dict[Any, Any]]:
    """Return every finished run of a problem, the failures first, then by onset."""
    runs = context.runs[(context.runs["problem"] == problem) & context.runs["status"].isin(FINISHED)]
    if runs.empty:
        return []
    order = {name: i for i, name in enumerate(reversed(list(VERDICTS)))}
    keys = runs[["run", "onset"]].assign(order=runs["verdict"].map(order))
    rows = [context.rows[run] for run in keys.sort_values(["order", "onset"], kind="stable")["run"]]
    return [{**row, "chip": chip(row), "game": _told_of(context, row["run"])} for row in rows]


def _told_of(context: Context, run: str) -> list[dict[Any, Any]]:
    return [{**row, "slug": _slug(row["finding"])} for row in context.game.get(run, [])]


def game(context: Context) -> list[dict[Any, Any]]:
    """Return every finding about a game of this study once, the most frequent first, with its causes and remedy."""
    rows = [row for found in context.game.values() for row in found]
    counts = Counter(row["finding"] for row in rows)
    known = {row["finding"]: row for row in rows}
    return [{**known[name], "slug": _slug(name), "runs": runs} for name, runs in counts.most_common()]


def _slug(finding: object) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(finding).lower()).strip("-")


def missing(context: Context) -> list[dict[str, Any]]:
    """Return what was skipped, has failed or has not finished, grouped by status and reason."""
    runs = context.runs[context.runs["status"].isin(["skipped", "failed", "running", "pending"])]
    groups = []
    for (status, reason), rows in runs.groupby(["status", "reason"], sort=False, dropna=False):
        names = [
            f"{row['problem']}: {row['label']}"
            + ("" if pd.isna(row["seed"]) else f", seed {row['seed']}")
            + (f" (so far {context.so_far[row['run']]})" if row["run"] in context.so_far else "")
            for row in rows.to_dict("records")
        ]
        groups.append({"status": status, "reason": reason or "", "names": names})
    return sorted(groups, key=lambda group: ["failed", "skipped", "running", "pending"].index(group["status"]))


def measure_rows(context: Context) -> list[dict[str, Any]]:
    """Return what every measured column means, its blind spot, and the oracle's score on each problem."""
    have = set(context.study.series.columns)
    rows = []
    for name, known in context.study.measures.items():
        if name not in have or "." in name:
            continue
        low, high = known.bounds
        span = "" if math.isinf(low) and math.isinf(high) else f"{number(float(low))} to {number(float(high))}"
        better = {"up": "↑ larger", "down": "↓ smaller"}.get(known.direction or "", "neither")
        oracle = [number(context.oracle(problem).get(name)) for problem in context.problems]
        row = {"name": name, "legend": known.legend, "better": better, "range": f"{span} {known.unit}".strip()}
        rows.append({**row, "blind": known.blind, "oracle": oracle})
    return rows


def rules() -> list[dict[str, Any]]:
    """Return the verdicts with their meaning, whether each counts as a failure, and what usually helps."""
    return [
        {
            "name": rule.name,
            "meaning": rule.meaning,
            "failed": rule.failure,
            "symbol": rule.symbol,
            "slug": rule.name.replace(" ", "-"),
            "remedy": rule.remedy.text if rule.remedy else "",
            "source": rule.remedy.source if rule.remedy else "",
        }
        for rule in records()
    ]


def thresholds() -> list[tuple[str, str, str]]:
    """Return the numbers that the verdicts depend on: name, value, reason."""
    return [(name.replace("_", " "), number(t.value), t.reason) for name, t in THRESHOLDS.items()]


def set_values(context: Context) -> list[dict[str, Any]]:
    """Return for every problem what all of its variants share, and a row a variant of the settings that differ."""
    tables, ranked = [], set(context.ranking["variant"]) if len(context.ranking) else set()
    for problem in context.problems:
        runs, keys = context.runs[context.runs["problem"] == problem], settings.differing(context, problem)
        variants = runs.drop_duplicates("variant")[["variant", "label"]].to_dict("records")
        known = context.study.settings
        rows = [
            {
                **v,
                "ranked": v["variant"] in ranked,
                "values": [_value(known.get(v["variant"], {}).get(k)) for k in keys],
            }
            for v in variants
        ]
        same = [(key, _value(value)) for key, value in settings.shared(context, problem).items()]
        tables.append({"problem": problem, "same": same, "differing": keys, "rows": rows if keys else []})
    return [table for table in tables if table["same"] or table["rows"]]


def allowances(context: Context) -> list[str]:
    """Return what the suite has allowed of what is skipped otherwise, in words."""
    asked = {str(values.get("allow", "")) for values in context.study.settings.values()}
    names = dict.fromkeys(name for text in sorted(asked) for name in text.split(TOGETHER))
    return [f"{name}: {ALLOWED[name][1]}." for name in names if name in ALLOWED]


def _value(value: object) -> str:
    return "" if value is None else str(value)


def provenance(context: Context) -> list[tuple[str, str]]:
    """Return the provenance as flat pairs, without the command and the plug-ins' versions, shown by themselves."""
    known = {**context.study.provenance, **settings.environment(context)}
    pairs = [pair for key, value in known.items() if key not in SHOWN_APART for pair in _flat(key, value)]
    pairs += [("verdict of yours", told) for told in context.own_verdicts]
    seeds = sorted(int(seed) for seed in context.study.runs["seed"].dropna().unique())
    return pairs if "seeds" in dict(pairs) else [*pairs, ("seeds", ", ".join(map(str, seeds)) or "none")]


def versions(context: Context) -> list[tuple[str, str]]:
    """Return the plug-ins with the hashes of their source."""
    known = context.study.provenance
    return [
        (str(name), str(version))
        for key, value in known.items()
        if _is_versions(key, value)
        for name, version in value.items()
    ]


def _is_versions(key: str, value: object) -> bool:
    return "plugin" in key and "revision" not in key and isinstance(value, Mapping)


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if _is_versions(name, value) or value == "":
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}: {key}", inner)
    elif isinstance(value, list | tuple):
        yield name.replace("_", " "), ", ".join(map(str, value)) or "none"
    else:
        yield name.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value)


def moves(context: Context) -> list[dict[str, Any]]:
    """Return for every problem and pair of budgets how many runs moved from which verdict (rows) to which."""
    found = []
    pairs = context.moves.groupby(["problem", "short", "long"], sort=False) if len(context.moves) else ()
    for (problem, short, long), of_pair in pairs:
        counts = budgets.table(of_pair)
        rows = [(name, [int(n) or "" for n in row]) for name, row in zip(counts.index, counts.to_numpy(), strict=True)]
        found.append({"problem": problem, "short": short, "long": long, "to": list(counts.columns), "rows": rows})
    return found


def section(context: Context, prefix: str) -> dict[str, Any]:
    """Return everything that the template needs of one study, except its curves."""
    problems = [
        {"name": name, "maps": list(maps(context, name)), "runs": verdict_rows(context, name)}
        for name in context.problems
    ]
    return {
        "prefix": prefix,
        "name": context.study.name,
        "description": context.study.description,
        "fixed": fixed(context),
        "summary": summary(context),
        "failures": ", ".join(sorted(FAILURES)),
        "game": game(context),
        "sentences": context.findings,
        "headline": headline(context),
        "problems": problems,
        "pictures": [pictures(context, name) for name in context.problems],
        "missing": missing(context),
        "moves": moves(context),
        "damage": list(map(str, context.study.damage)),
        "legends": [(*key.split(".", 1), legend) for key, legend in context.study.legends.items()],
        "measures": measure_rows(context),
        "problem_names": context.problems,
        "settings": set_values(context),
        "allowances": allowances(context),
        "mixed": context.study.provenance.get("mixed", ""),
        "command": context.study.provenance.get("command", ""),
        "provenance": provenance(context),
        "versions": versions(context),
    }
