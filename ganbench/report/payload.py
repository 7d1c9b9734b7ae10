"""What the page's script draws from: curves and samples of every run, thinned to a budget, packed as base64 of gzip.

Curves are 12-bit numbers between the bounds of their measure, on a logarithmic scale where a measure spans decades.
Points are bytes within the frame of their problem; images are WebP sprites, the frames of a run beside each other.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ganbench.analysis.ranking import axes, level
from ganbench.analysis.scores import worst_value
from ganbench.analysis.views import view_of
from ganbench.arrays import Array
from ganbench.report import thumbnails
from ganbench.report.context import Context
from ganbench.report.figures import diagnostics, measures_of

NUMBERS = 3_000_000
"""Numbers of curves in a page: three to four megabytes when packed."""
PROBES = 200
POINT_BYTES = 1_200_000
POINTS = (40, 256)
"""The least and the most points of a frame."""
FRAMES = (3, 12)
"""The least and the most frames of a run."""
SPRITE_BYTES = 1_500_000
TILE_BYTES = 400
"""What a frame of images takes at the least."""
LEVELS = 4095
MISSING = 4095
"""The code of a number that is not there; the others run from 0 to LEVELS - 1."""
DECADES = 2.5
"""A measure without bounds above or values below 0, whose positive values span as much, has a logarithmic scale."""


def payload(context: Context) -> dict[str, Any]:
    """Return what the script of a study's page needs; JSON can hold it, and it holds no number that is not finite."""
    drawn = context.runs[context.runs["status"].isin(["done", "diverged", "running"])]
    curves = _Curves(context, drawn)
    problems = {problem: curves.add(problem) for problem in context.problems}
    settings = axes(context.study)
    variants = context.runs.drop_duplicates("variant")
    return {
        "settings": settings,
        "variants": {
            row["variant"]: {
                "label": row["label"],
                "problem": row["problem"],
                "levels": [level(axis, row[axis]) for axis in settings],
            }
            for row in variants.to_dict("records")
        },
        "runs": {
            row["run"]: {
                "variant": row["variant"],
                "seed": row["seed"],
                "status": row["status"],
                "verdict": None if pd.isna(row["verdict"]) else row["verdict"],
                "onset": None if pd.isna(row["onset"]) else int(row["onset"]),
            }
            for row in drawn.to_dict("records")
        },
        # of many runs these are long, alike, and seldom asked for
        "commands": _packed(json.dumps({run: context.study.commands.get(run, "") for run in drawn["run"]}).encode()),
        "problems": problems,
        "curves": curves.packed(),
        "samples": samples(context, drawn),
    }


class _Curves:
    """The measures of all runs, problem after problem, as 16-bit codes in one buffer [measure, run, probe]."""

    def __init__(self, context: Context, runs: pd.DataFrame) -> None:
        self.context, self.runs = context, runs
        self.codes: list[Array] = []
        self.size = 0
        columns = context.study.series.columns.size - 2
        self.plain = len(context.study.series) * columns > NUMBERS
        self.share = NUMBERS / max(1, len(context.study.series) * self._columns().size)

    def _columns(self) -> pd.Index:
        names = self.context.study.series.columns.drop(["run", "step"])
        # where there is not room for all, layers are left out before probes
        return names[~names.str.contains(".", regex=False)] if self.plain else names

    def add(self, problem: str) -> dict[str, Any]:
        """Keep a problem's curves and return where: steps, runs, measures with their place in the buffer."""
        runs = list(self.runs.loc[self.runs["problem"] == problem, "run"])
        series = self.context.study.series
        series = series[series["run"].isin(runs)]
        steps = np.sort(series["step"].unique())
        count = min(PROBES, max(10, int(len(steps) * self.share)))
        if len(steps) > count:
            steps = steps[np.unique(np.rint(np.linspace(0, len(steps) - 1, count)).astype(int))]
        series = series[series["step"].isin(steps)]
        place = pd.Series(range(len(runs)), index=runs)
        rows, columns = place[series["run"]].to_numpy(), np.searchsorted(steps, series["step"])
        names = [name for name in self._columns() if np.isfinite(series[name].to_numpy(dtype=float)).any()]
        measures = {}
        for name in names:
            values = np.full((len(runs), len(steps)), np.nan)
            values[rows, columns] = series[name]
            measures[name] = self._measure(problem, name, values)
        seen = view_of(self.context.study, problem)
        shown = [seen.count, seen.quality] if seen else []
        return {
            "steps": steps.tolist(),
            "runs": runs,
            "measures": measures,
            "first": [name for name in measures_of(self.context.study, problem) if name in measures],
            "diagnosis": [name for name in (*shown, *diagnostics()) if name in measures],
        }

    def _measure(self, problem: str, name: str, values: Array) -> dict[str, Any]:
        known = self.context.study.measures.get(name) or self.context.study.measures.get(name.split(".", 1)[0])
        finite = np.isfinite(values)
        low, high = float(values[finite].min()), float(values[finite].max())
        positive = values[finite & (values > 0)]
        least = float(np.quantile(positive, 0.001)) if len(positive) else 0.0
        bounded = known is not None and math.isfinite(known.bounds[1])
        logarithmic = not bounded and low >= 0 and least > 0 and math.log10(high / least) > DECADES
        if logarithmic:
            low = least
            values = np.log(np.maximum(values, low))
        bounds = (math.log(low), math.log(high)) if logarithmic else (low, high)
        span = (bounds[1] - bounds[0]) or 1.0
        with np.errstate(invalid="ignore"):
            scaled = np.rint((np.clip(values, *bounds) - bounds[0]) / span * (LEVELS - 1))
        # infinities are clipped to the bounds of what is finite; only what is missing is missing
        codes = np.where(np.isnan(values), MISSING, scaled).astype("<u2")
        start, self.size = self.size, self.size + codes.size
        self.codes.append(codes.ravel())
        worst = worst_value(known)
        oracle = self.context.oracle(problem).get(name)
        return {
            "at": start,
            "low": low,
            "high": high,
            "log": logarithmic,
            "legend": known.legend if known else "",
            "oracle": oracle if oracle is not None and math.isfinite(oracle) else None,
            # from its divergence on, a run counts as the worst value; a measure without direction ends there
            "worst": None if math.isnan(worst) else min(max(worst, low), high),
        }

    def packed(self) -> str:
        """Return the buffer; all high bytes come before all low bytes, which packs better."""
        codes = np.concatenate(self.codes) if self.codes else np.empty(0, "<u2")
        return _packed((codes >> 8).astype(np.uint8).tobytes() + (codes & 255).astype(np.uint8).tobytes())


def _packed(content: bytes) -> str:
    # without a time of its own, the same study gives the same bytes
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()


def samples(context: Context, runs: pd.DataFrame) -> dict[str, Any]:
    """Return the samples of each problem's runs over training, beside real ones: points or sprites of images."""
    problems = {}
    for problem in context.problems:
        names = list(runs.loc[runs["problem"] == problem, "run"])
        real = context.study.real_samples(problem)
        stored = {run: context.study.samples(run) for run in names}
        stored = {run: frames for run, frames in stored.items() if frames}
        if not stored:
            continue
        share = len(stored) / max(1, len(runs))
        images = real.ndim == 4
        room, frame = (SPRITE_BYTES, TILE_BYTES) if images else (POINT_BYTES, 2 * POINTS[0])
        count = min(max(int(room * share / len(stored) / frame), FRAMES[0]), FRAMES[1])
        steps = _thinned(sorted(set().union(*stored.values())), count)
        draw = _sprites if images else _points
        problems[problem] = {"steps": steps, **draw(context, problem, real, stored, steps, share)}
    return problems


def _thinned(steps: list[int], count: int) -> list[int]:
    places = np.linspace(0, len(steps) - 1, min(count, len(steps)))
    return [steps[place] for place in np.unique(np.rint(places).astype(int))]


def _points(
    context: Context, problem: str, real: Array, stored: dict[str, dict[int, Array]], steps: list[int], share: float
) -> dict[str, Any]:
    """Pack points as bytes [run, step, point, axis] in the problem's frame; 255 on an axis: there is no such point."""
    centres = context.study.centres(problem)
    low, high = thumbnails.frame(real, centres[0] if centres else None) if len(real) else (-np.ones(2), np.ones(2))
    axes_ = min(2, real.shape[-1]) if len(real) else 2
    room = POINT_BYTES * share / (len(stored) * len(steps) * axes_)
    count = int(min(max(room, POINTS[0]), POINTS[1]))

    def coded(points: Array) -> Array:
        points = points[:count, :axes_]
        codes = np.full((count, axes_), 255, np.uint8)
        good = np.isfinite(points).all(1)
        scaled = (points[good] - low[:axes_]) / (high - low)[:axes_]
        # 0 and 254 are the frame's border, where points outside of it are drawn
        codes[: good.sum()] = np.rint(np.clip(scaled, 0, 1) * 254)
        return codes

    nothing = np.empty((0, axes_))
    packed = np.stack([np.stack([coded(frames.get(step, nothing)) for step in steps]) for frames in stored.values()])
    circles = None
    if centres is not None:
        middle = (np.atleast_2d(centres[0])[:, :axes_] - low[:axes_]) / (high - low)[:axes_]
        circles = {"at": np.round(middle, 4).tolist(), "radius": 3 * centres[1] / float(high[0] - low[0])}
    return {
        "kind": "points",
        "runs": list(stored),
        "count": count,
        "axes": axes_,
        "low": low.tolist(),
        "high": high.tolist(),
        "centres": circles,
        "real": _packed(coded(real).tobytes()),
        "packed": _packed(packed.tobytes()),
    }


def _sprites(
    context: Context, problem: str, real: Array, stored: dict[str, dict[int, Array]], steps: list[int], share: float
) -> dict[str, Any]:
    """Draw a run's images as one WebP picture, a frame for each step beside each other."""
    side = thumbnails.picture(real, None).size
    room = SPRITE_BYTES * share / (len(stored) * len(steps))

    def drawn(frames: list[Array | None]) -> Image.Image:
        sprite = Image.new("RGB", (side[0] * len(frames), side[1]), (128, 128, 128))
        for place, frame in enumerate(frames):
            if frame is not None:
                sprite.paste(thumbnails.picture(frame, None).convert("RGB"), (side[0] * place, 0))
        return sprite

    quality = 80 if room > 1500 else 45 if room > 700 else 20
    sprites = {run: _webp(drawn([frames.get(step) for step in steps]), quality) for run, frames in stored.items()}
    return {"kind": "images", "side": list(side), "real": _webp(drawn([real]), quality), "sprites": sprites}


def _webp(picture: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
