"""Samples over training for the page's script: points as bytes, images as sheets of many frames in one WebP picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ganbench.arrays import Array
from ganbench.report import thumbnails
from ganbench.report.context import Context
from ganbench.report.packing import deflated, lettered

POINT_BYTES = 1_200_000
EDGE = 126
"""Places along a frame: less than two pixels of the canvas, where a point is drawn four wide."""
POINTS = (40, 256)
"""The least and the most points of a frame."""
FRAMES = (3, 12)
"""The least and the most frames of a run."""
SHEET_BYTES = 1_500_000
TILE_BYTES = 400
"""What a frame of images takes at the least."""
SHEET = 2048
"""Pixels of a sheet's side at the most: what any browser draws from."""
GAP = 2
"""Pixels between images of colour, whose hues WebP stores for two by two pixels; grey ones stand side by side."""

Stored = Mapping[str, Mapping[int, Array]]
"""Samples by run and step."""


def samples(context: Context, runs: pd.DataFrame) -> dict[str, Any]:
    """Return the samples of each problem's runs over training, beside real ones: points or sheets of images."""
    problems = {}
    for problem in context.problems:
        names = list(runs.loc[runs["problem"] == problem, "run"])
        real = context.study.real_samples(problem)
        stored = {run: frames for run in names if (frames := context.study.samples(run))}
        if not stored:
            continue
        share, waves = len(stored) / max(1, len(runs)), thumbnails.is_lines(real, context.study.centres(problem))
        images = real.ndim == 4 or (waves and len(real) > 0)
        room, frame = (SHEET_BYTES, TILE_BYTES) if images else (POINT_BYTES, 2 * POINTS[0])
        count = min(max(int(room * share / len(stored) / frame), FRAMES[0]), FRAMES[1])
        steps = _thinned(sorted(set().union(*stored.values())), count)
        if images and real.ndim != 4:
            view = thumbnails.frame(real)
            real = thumbnails.as_images(real, view)
            stored = {run: {step: thumbnails.as_images(of[step], view) for step in steps if step in of}
                      for run, of in stored.items()}  # fmt: skip
        draw = _sheets if images else _points
        problems[problem] = {"steps": steps, "runs": list(stored), **draw(context, problem, real, stored, steps, share)}
    return problems


def _thinned(steps: list[int], count: int) -> list[int]:
    places = np.linspace(0, len(steps) - 1, min(count, len(steps)))
    return [steps[place] for place in np.unique(np.rint(places).astype(int))]


def _points(
    context: Context, problem: str, real: Array, stored: Stored, steps: list[int], share: float
) -> dict[str, Any]:
    """Pack points as bytes [run, step, point, axis] in the problem's frame; 127 on an axis: there is no such point."""
    centres = context.study.centres(problem)
    low, high = thumbnails.frame(real, centres[0] if centres else None) if len(real) else (-np.ones(2), np.ones(2))
    axes_ = min(2, real.shape[-1]) if len(real) else 2
    room = POINT_BYTES * share / (len(stored) * len(steps) * axes_)
    count = int(min(max(room, POINTS[0]), POINTS[1]))

    def coded(frames: Sequence[Array | None]) -> Array:
        points = np.full((len(frames), count, axes_), np.nan)
        for place, frame in enumerate(frames):
            if frame is not None:
                points[place, : len(frame)] = frame[:count, :axes_]
        good = np.isfinite(points).all(axis=2, keepdims=True)
        # 0 and EDGE are the frame's border, where points outside of it are drawn
        with np.errstate(invalid="ignore"):
            scaled = np.rint(np.clip((points - low[:axes_]) / (high - low)[:axes_], 0, 1) * EDGE)
        return np.where(good, scaled, EDGE + 1).astype(np.uint8)

    drawn = coded([frames.get(step) for frames in stored.values() for step in steps])
    circles = None
    if centres is not None:
        middle = (np.atleast_2d(centres[0])[:, :axes_] - low[:axes_]) / (high - low)[:axes_]
        circles = {"at": np.round(middle, 4).tolist(), "radius": 3 * centres[1] / float(high[0] - low[0])}
    return {
        "kind": "points",
        "count": count,
        "axes": axes_,
        "low": low.tolist(),
        "high": high.tolist(),
        "centres": circles,
        "real": deflated(_ordered(coded([real]))),
        "packed": deflated(_ordered(drawn)),
    }


def _ordered(points: Array) -> bytes:
    """Return frames of points [frames, points, axes] from left to right: how far each is from the one before, then y.

    Points have no order of their own, and without it they take a quarter less.
    """
    keys = points.astype(np.int64) @ (256 ** np.arange(points.shape[-1] - 1, -1, -1))
    points = np.take_along_axis(points, np.argsort(keys, axis=1, kind="stable")[..., None], axis=1)
    across = np.diff(points[..., 0], axis=1, prepend=np.uint8(0))
    return bytes(across.tobytes() + points[..., 1:].tobytes())


def _sheets(
    context: Context, problem: str, real: Array, stored: Stored, steps: list[int], share: float
) -> dict[str, Any]:
    """Draw frames on sheets, the real one first, then run by run: one picture of many has neither heads nor borders."""
    tiles = thumbnails.tiles(real)
    gap = GAP if tiles.shape[-1] == 3 else 0
    frames = [real, *(of.get(step) for of in stored.values() for step in steps)]
    rows, columns, high, wide, _ = tiles.shape
    size = rows * (high + gap), columns * (wide + gap)
    across, down = max(1, SHEET // size[1]), max(1, SHEET // size[0])
    room = SHEET_BYTES * share / len(frames)
    # at these WebP is as near to the samples as at 80, 45 and 20 with a picture a run and lines between its images
    quality = 55 if room > 1500 else 34 if room > 700 else 22
    sheets = []
    for start in range(0, len(frames), across * down):
        sheet = _sheet(frames[start : start + across * down], tiles, gap, across)
        sheets.append(lettered(_webp(sheet, quality)))
    return {
        "kind": "images", "tiles": [rows, columns], "tile": [high, wide], "gap": gap, "across": across,
        "on": across * down, "sheets": sheets, "side": list(thumbnails.picture(real, None).size),
    }  # fmt: skip


def _sheet(frames: Sequence[Array | None], like: Array, gap: int, across: int) -> Image.Image:
    """Return frames in rows of `across`, each of tiles with a gap below and beside; one that is missing is grey."""
    rows, columns, high, wide, channels = like.shape
    size = rows * (high + gap), columns * (wide + gap)
    height = -(-len(frames) // across) * size[0]
    canvas = np.full((height, min(across, len(frames)) * size[1], channels), 128, np.uint8)
    for place, frame in enumerate(frames):
        if frame is None:
            continue
        found = thumbnails.tiles(frame)[:rows, :columns]
        block = np.full((found.shape[0], high + gap, found.shape[1], wide + gap, channels), 128, np.uint8)
        block[:, :high, :, :wide] = found.transpose(0, 2, 1, 3, 4)
        top, left = place // across * size[0], place % across * size[1]
        flat = block.reshape(found.shape[0] * (high + gap), found.shape[1] * (wide + gap), channels)
        canvas[top : top + flat.shape[0], left : left + flat.shape[1]] = flat
    return Image.fromarray(canvas if channels == 3 else canvas[..., 0])


def _webp(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, format="WEBP", quality=quality, method=4)
    return buffer.getvalue()
