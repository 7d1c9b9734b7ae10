"""One run on one screen: its verdict in a sentence, what the game does, what to try, four charts, and its samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ganbench import registry
from ganbench.analysis import Study
from ganbench.analysis.scores import FINISHED
from ganbench.analysis.verdicts import VERDICTS, Rule, ended, rules, so_far, view
from ganbench.analysis.views import view_of
from ganbench.arrays import Array
from ganbench.plan import OWN_NAME
from ganbench.registry import playing
from ganbench.report import thumbnails
from ganbench.report.chart import Line, chart, dots, path
from ganbench.report.context import Context

FINDINGS, MORE, PAGES = 5, 12, 12
"""Findings of the game that are shown, charts of what a loop told besides, runs of a study that have a page each."""
NOTHING = "Nothing is said of the samples: none were measured."
UNMEASURED = "Not measured."
HOW = {
    "Losses": "Not told: monitor.step(d_loss=..., g_loss=...).",
    "Logits": "Not told: monitor.step(real_logits=..., fake_logits=...), or give Monitor both networks.",
    "Quality": "No samples were measured: give Monitor both networks, or monitor.step(fake=..., real=...).",
    "Diversity": "No samples were measured.",
}
"""How a watched loop tells what a chart is empty without."""


def one_run(context: Context) -> dict[str, Any] | None:
    """Return the first screen of a study that holds a single run; None where there is something to compare."""
    return _page(context, context.single) if context.single is not None else None


def run_pages(context: Context) -> list[dict[str, Any]]:
    """Return such a screen for each of a few watched loops that share a study, which are told apart by little else."""
    runs = context.runs[context.runs["status"] != "skipped"]
    if OWN_NAME not in context.study.axes or not 1 < len(runs) <= PAGES:
        return []
    return [_page(context, row) for row in runs.to_dict("records")]


def _page(context: Context, run: Mapping[Any, Any]) -> dict[str, Any]:
    series = context.study.series[context.study.series["run"] == run["run"]]
    # of no rows every column would be dropped
    series = series.dropna(axis=1, how="all") if len(series) else series
    how = _verdict(context, run, series)
    game = context.game.get(run["run"], [])[:FINDINGS]
    faults = context.study.faults(run["run"])
    charts, told = _charts(context, run, series, how["onset"])
    known = {key: run[key] for key in ("run", "label", "seed")}
    return {
        **how, **known, "sentence": sentence(how), "first": _first(faults, game, how),
        "found": [*(("wiring", fault) for fault in faults), *(("game", row) for row in game)],
        "charts": charts, "told": told, "shots": _shots(context, run, series, how),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------ the verdict


def _verdict(context: Context, run: Mapping[Any, Any], series: pd.DataFrame) -> dict[str, Any]:
    last = int(series["step"].max()) if len(series) else 0
    judged = run["status"] in FINISHED
    found = dict(run) if judged else _so_far(context.study, run["run"])
    texts = dict.fromkeys(("meaning", "also", "evidence", "remedy", "source"), "")
    base: dict[str, Any] = {
        "name": "No verdict yet", "symbol": "·", "slug": "waiting", "onset": None, "failed": False, **texts,
        "last": last, "status": run["status"], "open": not judged,
    }  # fmt: skip
    if not found or pd.isna(found.get("verdict")):
        return {**base, "evidence": _why_silent(run, series)}
    if view(series) is None and run["status"] == "done":
        return {**base, "name": "No verdict", "evidence": NOTHING}
    rule = _rule(str(found["verdict"]))
    onset: int | None = None if pd.isna(found["onset"]) else int(found["onset"])
    return {
        **base, "name": _capital(str(found["verdict"])), "onset": onset, "evidence": str(found["evidence"]),
        "also": str(found.get("also") or ""), "meaning": _means(rule), "symbol": rule.symbol if rule else "·",
        "slug": rule.name.replace(" ", "-") if rule else "waiting", "failed": bool(rule and rule.failure),
        "remedy": rule.remedy.text if rule and rule.remedy else "",
        "source": rule.remedy.source if rule and rule.remedy else "",
    }  # fmt: skip


def _so_far(study: Study, run: str) -> dict[str, Any]:
    table = so_far(study)
    rows = table[table["run"] == run].to_dict("records")
    return {str(key): value for key, value in rows[0].items()} if rows else {}


def _why_silent(run: Mapping[Any, Any], series: pd.DataFrame) -> str:
    if run["reason"]:
        return str(run["reason"])
    return NOTHING if len(series) and series["step"].max() > 0 else "Nothing was measured since training began."


def _rule(name: str) -> Rule | None:
    return next((rule for rule in rules() if rule.name == name), None)


def _means(rule: Rule | None) -> str:
    if rule is None:
        return ""
    meaning = VERDICTS[rule.name]
    return f"shows {meaning}" if meaning.startswith(("a ", "bad ")) else meaning


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _first(faults: Sequence[Mapping[str, Any]], game: Sequence[Mapping[Any, Any]], how: Mapping[str, Any]) -> str:
    """Return what to try first: what is certainly wrong with the wiring, then the game's remedy, then the samples'."""
    tries = [fault["change"] for fault in faults if fault["certain"]] + [row["remedy"] for row in game]
    return str(next(iter(tries), how["remedy"] if how["failed"] else ""))


# ------------------------------------------------------------------------------------------ the charts


def _charts(
    context: Context, run: Mapping[Any, Any], series: pd.DataFrame, onset: int | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the four charts that every run has, and those of what its loop told of its own."""
    steps, oracle = series["step"].to_numpy(dtype=float), context.oracle(run["problem"])
    seen = view_of(context.study, run["problem"])

    watched = OWN_NAME in context.study.axes

    def drawn(title: str, names: Sequence[str], *, perfect: bool = False) -> dict[str, Any]:
        names = [name for name in names if name in series]
        lines = [Line(_words(name), series[name].to_numpy(dtype=float)) for name in names]
        level = oracle.get(names[0]) if perfect and len(names) == 1 else None
        missing = HOW.get(title, UNMEASURED) if watched else UNMEASURED
        made = chart(steps, lines, onset=onset, oracle=level, zero=perfect)
        return {"title": title, "missing": missing, "chart": made}

    diversity = [seen.covered] if seen and seen.covered else playing("diversity")[:1]
    four = [
        drawn("Losses", playing("loss")), drawn("Logits", playing("logit")),
        drawn("Quality", [seen.quality] if seen else [], perfect=True),
        drawn("Diversity", diversity if seen else [], perfect=True),
    ]  # fmt: skip
    told = [drawn(title, names) for title, names in _told(series)]
    return four, [one for one in told if one["chart"] is not None][:MORE]


def _told(series: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Yield a title and columns of each group of numbers that only the loop knows: terms of a loss, and its own."""
    known, losses = registry.measures(), set(playing("loss"))
    groups: dict[str, list[str]] = {}
    for name in map(str, series.columns.drop(["run", "step", "seconds_per_step"], errors="ignore")):
        base, _, part = name.partition(".")
        if name not in known and (base not in known or (part and base in losses)):
            groups.setdefault(base, []).append(name)
    for base, names in groups.items():
        yield (f"Terms of {_words(base)}" if base in losses else _words(base)), names


def _words(name: str) -> str:
    return name.replace("_", " ")


# ------------------------------------------------------------------------------------------ the samples


def _shots(
    context: Context, run: Mapping[Any, Any], series: pd.DataFrame, how: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the samples of the first, the best, the onset's and the last probe, each once, and real ones."""
    frames = {step: own for step, own in context.study.samples(run["run"]).items() if len(own)}
    if not frames:
        return []
    real, centres = context.study.real_samples(run["problem"]), context.study.centres(run["problem"])
    steps = sorted(frames)
    wanted = {"first": steps[0], "best": _best(context, run, series), "onset": how["onset"], "last": steps[-1]}
    at: dict[int, list[str]] = {}
    for name, step in wanted.items():
        if step is not None:
            at.setdefault(int(min((abs(own - step), own) for own in steps)[1]), []).append(name)
    view = thumbnails.frame(real, centres[0] if centres else None) if real.ndim == 2 and len(real) else None
    found = [
        {"what": ", ".join(names), "step": step, **_picture(frames[step], real, view, centres)}
        for step, names in sorted(at.items())
    ]
    return [*found, *([{"what": "real", "step": None, **_picture(real, real, view, centres)}] if len(real) else [])]


def _best(context: Context, run: Mapping[Any, Any], series: pd.DataFrame) -> int | None:
    """Return the step of the probe with the most of quality and breadth together, as verdicts name the best one."""
    case = ended(series, context.oracle(run["problem"]), context.study.modes.get(run["problem"])).case
    if case is None or not case.trained.any():
        return None
    score = np.where(case.trained, case.raw + case.breadth, -math.inf)
    return int(case.steps[int(np.argmax(score))])


def _picture(samples: Array, real: Array, view: thumbnails.Frame | None, centres: Any) -> dict[str, Any]:
    """Return samples as a picture, or as paths in percent: dots of the first two axes, or lines along many."""
    if samples.ndim != 2 or samples.shape[1] < 2:
        drawn = thumbnails.picture(np.asarray(samples), view, centres)
        return {"kind": "image", "uri": thumbnails.data_uri(drawn), "out": ""}
    if thumbnails.is_lines(samples, centres):
        return {"kind": "lines", "path": _waves(samples, real), "axes": samples.shape[1], "modes": "", "out": ""}
    low, high = view if view is not None else thumbnails.frame(samples)
    marks = np.empty((0, 2)) if centres is None else np.atleast_2d(centres[0])[:, :2].astype(float)
    inside, outside = dots(samples[:, :2].astype(float), low, high)
    return {
        "kind": "dots",
        "path": inside,
        "out": outside,
        "modes": dots(marks, low, high)[0],
        "axes": samples.shape[1],
    }


def _waves(samples: Array, real: Array) -> str:
    """Return the first samples as lines above each other, on the scale of the real ones."""
    low, high = (float(np.nanmin(real)), float(np.nanmax(real))) if len(real) else (-1.0, 1.0)
    across, room = np.linspace(0, 100, samples.shape[1]), 100 / thumbnails.WAVES
    shares = np.clip((samples[: thumbnails.WAVES].astype(float) - low) / max(high - low, 1e-12), 0, 1)
    return "".join(path(across, room * (place + 0.05 + 0.9 * share)) for place, share in enumerate(shares))


def sentence(page: Mapping[str, Any]) -> str:
    """Return the verdict, since when and what it means, as one sentence of plain text."""
    so_far_ = f"So far, at step {page['last']}: " if page["open"] else ""
    since = "" if page["onset"] is None else f" since step {page['onset']}"
    since += f" of {page['last']}" if since and not page["open"] and page["last"] else ""
    name = page["name"] if not so_far_ else page["name"][:1].lower() + page["name"][1:]
    return f"{so_far_}{name}{since}" + (f": {page['meaning']}." if page["meaning"] else ".")


def told(page: Mapping[str, Any]) -> list[str]:
    """Return what stands below the sentence, as plain texts: evidence, what to try, each finding."""
    lines = [page["evidence"]] if page["evidence"] else []
    lines += [f"Try first: {page['first']}"] if page["first"] else []
    for kind, found in page["found"]:
        if kind == "wiring":
            sure = "certain" if found["certain"] else "perhaps"
            change = f" {found['change']}" if found["change"] != page["first"] else ""
            lines.append(f"In the wiring, {sure}: {found['name']}. {found['evidence']}{change}")
        else:
            remedy = f" Try: {found['remedy']}" if found["remedy"] != page["first"] else ""
            lines.append(f"The game: {found['finding']} since step {found['onset']}. {found['evidence']}{remedy}")
    return lines
