"""What each section of the page says, as plain values for the template: one function a section, no HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ganbench.analysis.findings import axes, labels, level, percent, rank, sentences, view_of
from ganbench.analysis.statistics import FINISHED, SCORES, scores
from ganbench.analysis.verdicts import FAILURES, THRESHOLDS, VERDICTS, judge
from ganbench.report import thumbnails
from ganbench.report.figures import levels

if TYPE_CHECKING:
    from ganbench.results.study import Study

BLIND_SPOTS = {
    "frechet": "Blind to symmetric mode dropping: a ring that keeps every other mode scores like a perfect one. "
    "It compares two moments, so never rank by it alone.",
    "precision": "Blind to collapse: constant samples in a safe place have precision 1. One outlier in the real data "
    "can lift it a lot.",
    "recall": "Misses modes that are kept at a tiny share of their mass, and falls with the dimension.",
    "coverage": "Can be 1 for a collapse onto the mean in many dimensions: read it together with recall.",
    "density": "Has no upper end: above 1 the samples are too concentrated, and one outlier in the real data lifts it.",
    "high_quality": "Above the oracle is not better: the samples are too tight around their modes. Says nothing about "
    "how many modes there are.",
    "modes_covered": "Says nothing about the quality of samples, nor about the balance of the modes it counts.",
    "modes_hit": "One sample by chance is enough to hit a mode.",
    "mode_kl": "A perfect sampler is not at 0 but at about (modes - 1) / (2 samples).",
    "classes_covered": "Counts by a classifier that names every picture, however bad, as some digit.",
    "class_kl": "A perfect sampler is not at 0 but at about (classes - 1) / (2 samples).",
    "confident": "A classifier can be sure about pictures that look like nothing.",
    "frechet_classifier": "A classifier's features hardly see pixel noise.",
    "saturation": "Describes the game, not the samples: a good generator may have a high one for a while.",
    "d_ranking": "At 1 the discriminator wins throughout; at 0.5 it cannot tell, which is also what a broken one does.",
}
SYMBOLS = {
    "converged": "✓", "unconverged": "~", "dropping modes": "D", "collapsed": "C", "degraded": "G", "vanished": "V",
    "never learned": "N", "diverged": "×", "failed": "!",
}  # fmt: skip
BAD, MIDDLE, GOOD = (213, 94, 0), (246, 244, 238), (0, 114, 178)
HEADLINE = 3
PICTURES = 5


def number(value: Any, digits: int = 3) -> str:
    """Return a number with three digits; "–" where there is none, "∞" for the score of a run that has none."""
    if value is None or pd.isna(value):
        return "–"
    if not isinstance(value, float):
        return str(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e4:
        return str(int(value))
    return (
        f"{value:.{digits}g}" if 1e-4 <= abs(value) < 1e4 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    )


@dataclass
class Context:
    """A study with everything that several sections need, computed once."""

    study: Study
    prefix: str
    verdicts: pd.DataFrame = field(init=False)
    ranking: pd.DataFrame = field(init=False)
    runs: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        self.verdicts = judge(self.study)
        self.ranking = rank(self.study, self.verdicts)
        self.runs = self.study.runs.merge(self.verdicts, on="run", how="left")
        self.runs["label"] = self.runs["variant"].map(labels(self.study))

    @property
    def problems(self) -> list[str]:
        """The problems in the plan's order."""
        return [str(problem) for problem in self.study.runs["problem"].unique()]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The three scores of every finished run in the measures that the tables show, with its variant."""
        shown = sorted({name for problem in self.problems for name in self.measures(problem)})
        return scores(self.study, shown).merge(self.study.runs[["run", "variant"]], on="run")

    @cached_property
    def finals(self) -> dict[tuple[str, str], float]:
        """The final scores, by run and measure."""
        return {(run, name): value for run, name, value in self.scores[["run", "measure", "final"]].to_numpy()}

    @cached_property
    def medians(self) -> dict[tuple[str, str], dict[str, float]]:
        """The medians over seeds of the three scores, by variant and measure."""
        grouped = self.scores.groupby(["variant", "measure"], sort=False)[list(SCORES)].median()
        values = grouped.to_numpy()
        return {k: dict(zip(SCORES, row, strict=True)) for k, row in zip(grouped.index, values, strict=True)}

    def measures(self, problem: str) -> list[str]:
        """Return the measures that a problem's tables show: coverage of modes, quality, recall and Frechet."""
        seen = view_of(self.study, problem)
        names = [seen.count or "coverage", seen.quality] if seen else []
        names += [name for name in ("recall", "frechet") if name in self.oracle(problem) or not names]
        return [name for name in names if name in self.study.measures]

    def oracle(self, problem: str) -> Mapping[str, float]:
        """Return what a perfect sampler scores on a problem."""
        return self.study.oracle.get(problem, {})


def summary(context: Context) -> list[tuple[str, str, str]]:
    """Return the tiles at the top: (number, what it is, explanation)."""
    runs, ranking = context.runs, context.ranking
    finished = runs[runs["status"].isin(FINISHED)]
    failures = int(finished["failed"].fillna(False).astype(bool).sum())
    share = f"{percent(failures / len(finished))} %" if len(finished) else "–"
    safe = int((ranking["failures"] == 0).sum()) if len(ranking) else 0
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
        table_ = {"problem": problem, "measures": measures, "head": head, "tail": tail, "oracle": oracle}
        tables.append({**table_, "rows": [] if short else rows, "between": len(rows) - len(head) - len(tail)})
    return tables


def _ranked(context: Context, row: Mapping[Any, Any]) -> dict[str, Any]:
    chips = context.runs[context.runs["variant"] == row["variant"]].sort_values("seed")
    values = {}
    for measure in context.measures(row["problem"]):
        three = context.medians.get((row["variant"], measure), {})
        values[measure] = [number(three.get(score, float("nan"))) for score in SCORES]
    return {
        **row,
        "chips": [_chip(run) for run in chips.to_dict("records")],
        "interval": f"{percent(row['failure_low'])} to {percent(row['failure_high'])} %",
        "values": values,
        "seconds": number(row["seconds"]),
    }


def _chip(run: Mapping[Any, Any]) -> dict[str, str]:
    if run["status"] not in FINISHED:
        return {"symbol": "·", "slug": "waiting", "title": f"seed {run['seed']}: {run['status']}"}
    slug = str(run["verdict"]).replace(" ", "-")
    since = "" if pd.isna(run["onset"]) else f" since step {run['onset']}"
    return {
        "symbol": SYMBOLS.get(run["verdict"], "?"),
        "slug": slug,
        "title": f"seed {run['seed']}: {run['verdict']}{since}. {run['evidence']}",
    }


def colour(good: float) -> tuple[str, str]:
    """Return the background and text colours of a cell, `good` in [0, 1]: vermillion over white to blue."""
    good = min(1.0, max(0.0, good))
    start, end, share = (BAD, MIDDLE, 2 * good) if good < 0.5 else (MIDDLE, GOOD, 2 * good - 1)
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return f"#{red:02x}{green:02x}{blue:02x}", "#111" if bright else "#fff"


def maps(context: Context, problem: str) -> Iterator[dict[str, Any]]:
    """Yield a problem's heat maps: failures, then each measure in final, best and worst after best.

    Rows are the levels of the first varying setting, columns those of the second, blocks those of all others.
    """
    runs = context.study.runs[context.study.runs["problem"] == problem]
    ranking = context.ranking[context.ranking["problem"] == problem] if len(context.ranking) else context.ranking
    ranked = {row["variant"]: row for row in ranking.to_dict("records")}
    varying = axes(context.study)
    shown = [None, *context.measures(problem)] if ranked else [None]
    for measure in shown:
        known = None if measure is None else context.study.measures[measure]
        yield {
            "measure": measure,
            "title": "failed seeds" if measure is None else measure.replace("_", " "),
            "legend": "of those finished, and how they failed" if known is None else known.legend,
            "oracle": None if measure is None else number(context.oracle(problem).get(measure)),
            "direction": None if known is None else known.direction,
            **_grid(context, runs, ranked, varying, _scale(context, problem, measure, list(ranked))),
        }


@dataclass(frozen=True)
class _Scale:
    """How a measure's value becomes a colour: linear up to the oracle, or logarithmic above it."""

    measure: str | None
    perfect: float
    worst: float
    up: bool

    def good(self, value: float) -> float:
        if not math.isfinite(value):
            return 0.0
        if self.up:
            return value / self.perfect if self.perfect else 0.0
        span = math.log(self.worst / self.perfect)
        return 1.0 - math.log(max(value, self.perfect) / self.perfect) / span if span > 0 else 1.0


def _scale(context: Context, problem: str, measure: str | None, variants: list[str]) -> _Scale:
    if measure is None:
        return _Scale(None, 0, 1, up=False)
    up = context.study.measures[measure].direction == "up"
    finals = [context.medians.get((v, measure), {}).get("final", math.nan) for v in variants]
    finite = [value for value in finals if math.isfinite(value)] or [1.0]
    perfect = context.oracle(problem).get(measure, max(finite) if up else min(finite))
    floor = max(perfect, 1e-9)
    return _Scale(measure, perfect if up else floor, max(max(finite), 10 * floor), up)


def _grid(
    context: Context, runs: pd.DataFrame, ranked: Mapping[str, Any], varying: list[str], scale: _Scale
) -> dict[str, Any]:
    row_axis, column_axis = [*varying, None, None][:2]
    others = varying[2:]
    columns = levels(runs[column_axis]) if column_axis else [None]
    blocks = []
    for key, block in list(runs.groupby(others, sort=False, dropna=False)) if others else [((), runs)]:
        rows = []
        for value in levels(runs[row_axis]) if row_axis else [None]:
            here = block if row_axis is None else block[block[row_axis] == value]
            cells = [
                _cell(context, here if c is None else here[here[column_axis] == c], ranked, scale) for c in columns
            ]
            rows.append({"label": level(row_axis, value) if row_axis else "all seeds", "cells": cells})
        name = ", ".join(level(axis, value) for axis, value in zip(others, key, strict=True))
        blocks.append({"label": name, "rows": rows})
    heads = [level(column_axis, c) if column_axis else "" for c in columns]
    return {"columns": heads, "blocks": blocks, "row_axis": row_axis or "", "column_axis": column_axis or ""}


def _cell(context: Context, runs: pd.DataFrame, ranked: Mapping[str, Any], scale: _Scale) -> dict[str, str]:
    if runs.empty:
        return {"text": "–", "kind": "absent", "title": "not in the plan"}
    first = runs.iloc[0]
    if (runs["status"] == "skipped").all():
        return {"text": "skipped", "kind": "skipped", "title": f"skipped: {first['reason']}"}
    if first["variant"] not in ranked:
        return {"text": "…", "kind": "absent", "title": f"0 of {len(runs)} seeds finished"}
    row = ranked[first["variant"]]
    seeds = f"{row['seeds']} of {row['planned']} seeds finished"
    if scale.measure is None:
        found = [(row[name], name) for name in VERDICTS if name in FAILURES and row[name]]
        small = " ".join(f"{n}{SYMBOLS[name]}" for n, name in sorted(found, reverse=True))
        good, text = 1 - row["failure_rate"], f"{row['failures']}/{row['seeds']}"
        low, high = percent(row["failure_low"]), percent(row["failure_high"])
        how = ", ".join(f"{n} {name}" for n, name in found) or "no failure"
        title = f"{row['label']}: {how}; {low} to {high} %; {seeds}"
    else:
        three = context.medians.get((row["variant"], scale.measure), dict.fromkeys(SCORES, math.nan))
        good, text = scale.good(three["final"]), number(three["final"])
        small = " · ".join(number(three[score], 2) for score in ("best", "worst_after_best"))
        title = f"{row['label']}: median final {text}; best · worst after best: {small}; {seeds}"
        if math.isnan(three["final"]):
            return {"text": "–", "kind": "absent", "title": title}
    if row["diverged"] and scale.measure is not None:
        text += " ×"
    background, ink = colour(good)
    return {"text": text, "small": small, "kind": "", "title": title, "background": background, "ink": ink}


def pictures(context: Context, problem: str) -> dict[str, Any]:
    """Return a problem's samples: the real ones, and for every variant those of its median seed over training.

    The median seed is that of the final quality (the lower one of two), diverged seeds counting as worst.
    """
    study = context.study
    real, centres = study.real_samples(problem), study.centres(problem)
    flat = real.ndim == 2
    view = thumbnails.frame(real, centres[0] if centres else None) if flat else None
    rows = []
    order = {v: i for i, v in enumerate(context.ranking["variant"])} if len(context.ranking) else {}
    runs = context.runs[(context.runs["problem"] == problem) & context.runs["status"].isin(["done", "diverged"])]
    for variant, group in sorted(runs.groupby("variant", sort=False), key=lambda item: order.get(str(item[0]), 0)):
        run = _median_seed(context, problem, group)
        drawn = study.samples(run["run"])
        steps = sorted(drawn)
        chosen = sorted({steps[round(i)] for i in np.linspace(0, len(steps) - 1, PICTURES)}) if steps else []
        images = [(step, _uri(drawn[step], view, centres)) for step in chosen]
        rows.append({"label": run["label"], "run": run, "images": images, "chip": _chip(run), "variant": variant})
    return {"problem": problem, "flat": flat, "real": _uri(real, view, centres), "rows": rows, "dims": real.shape[1:]}


def _uri(samples: Any, view: thumbnails.Frame | None, centres: Any) -> str:
    return thumbnails.data_uri(thumbnails.picture(np.asarray(samples), view, centres))


def _median_seed(context: Context, problem: str, group: pd.DataFrame) -> dict[Any, Any]:
    seen = view_of(context.study, problem)
    rows = group.to_dict("records")
    if seen is None:
        return rows[0]
    rows.sort(key=lambda row: (context.finals.get((row["run"], seen.quality), 0.0), str(row["seed"])))
    return rows[(len(rows) - 1) // 2]


def verdict_rows(context: Context, problem: str) -> list[dict[Any, Any]]:
    """Return every finished run of a problem, the failures first, then by onset."""
    runs = context.runs[(context.runs["problem"] == problem) & context.runs["status"].isin(FINISHED)]
    if runs.empty:
        return []
    order = {name: i for i, name in enumerate(reversed(VERDICTS))}
    runs = runs.assign(order=runs["verdict"].map(order)).sort_values(["order", "onset"], kind="stable")
    return [{**row, "chip": _chip(row)} for row in runs.to_dict("records")]


def missing(context: Context) -> list[dict[str, Any]]:
    """Return what was skipped, has failed or has not finished, grouped by status and reason."""
    runs = context.runs[context.runs["status"].isin(["skipped", "failed", "running", "pending"])]
    groups = []
    for (status, reason), rows in runs.groupby(["status", "reason"], sort=False, dropna=False):
        names = [
            f"{row['problem']}: {row['label']}" + ("" if pd.isna(row["seed"]) else f", seed {row['seed']}")
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
        rows.append({**row, "blind": BLIND_SPOTS.get(name, ""), "oracle": oracle})
    return rows


def rules() -> list[dict[str, Any]]:
    """Return the verdicts with their meaning, and whether each counts as a failure."""
    return [
        {
            "name": name,
            "meaning": text,
            "failed": name in FAILURES,
            "symbol": SYMBOLS[name],
            "slug": name.replace(" ", "-"),
        }
        for name, text in VERDICTS.items()
    ]


def thresholds() -> list[tuple[str, str, str]]:
    """Return the numbers that the verdicts depend on: name, value, reason."""
    return [(name.replace("_", " "), number(t.value), t.reason) for name, t in THRESHOLDS.items()]


def provenance(context: Context) -> list[tuple[str, str]]:
    """Return the provenance as flat pairs, without the command, which the page shows by itself."""
    pairs = [(key, value) for key, value in _flat(context.study.provenance) if key != "command"]
    seeds = sorted(int(seed) for seed in context.study.runs["seed"].dropna().unique())
    return [*pairs, ("seeds", ", ".join(map(str, seeds)) or "none")]


def _flat(nested: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in nested.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}: ")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value)) or "none"
        else:
            yield name, number(value) if isinstance(value, float) else str(value)


def section(context: Context) -> dict[str, Any]:
    """Return everything that the template needs of one study, except its curves."""
    problems = [
        {"name": name, "maps": list(maps(context, name)), "runs": verdict_rows(context, name)}
        for name in context.problems
    ]
    return {
        "prefix": context.prefix,
        "name": context.study.name,
        "description": context.study.description,
        "fixed": fixed(context),
        "summary": summary(context),
        "sentences": sentences(context.study, context.verdicts, context.ranking),
        "headline": headline(context),
        "problems": problems,
        "pictures": [pictures(context, name) for name in context.problems],
        "missing": missing(context),
        "measures": measure_rows(context),
        "problem_names": context.problems,
        "command": context.study.provenance.get("command", ""),
        "provenance": provenance(context),
    }
