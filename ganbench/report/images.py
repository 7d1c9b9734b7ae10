"""The page Images: what images look like when training ends, what they are nearest to, and what lies between them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from ganbench.analysis.views import ranked_by
from ganbench.arrays import Array
from ganbench.report.context import Context
from ganbench.report.sections import chip, median_seed

FIRST, LAST = 9, 3
"""Variants of a problem that are drawn: the first and the last ones of the ranking."""
LINE = 1
TILE = 34
"""Pixels on the screen that an image takes at least, with the line beside it."""
QUALITY = 90
"""Of WebP: pictures are enlarged, so that what it leaves out of small ones would be seen."""


def images(context: Context) -> list[dict[str, Any]] | None:
    """Return for every problem of images real ones and a row of pictures a variant; None where there are no images."""
    groups = []
    for problem in context.problems:
        real = context.study.real_samples(problem)
        if real.ndim != 4 or not len(real):
            continue
        runs = context.runs[(context.runs["problem"] == problem) & context.runs["status"].isin(["done", "diverged"])]
        known = set(runs["variant"])
        order = [variant for variant in context.ranking["variant"] if variant in known] if known else []
        shown = order[:FIRST] + order[FIRST:][-LAST:]
        quality = ranked_by(context.study, problem)["quality"]
        groups.append({
            "problem": problem, "real": _shown("real images", _square(real)), "first": FIRST,
            "between": len(order) - len(shown),
            "rows": [_row(context, median_seed(context, quality, runs[runs["variant"] == one])) for one in shown],
        })  # fmt: skip
    return groups or None


def _row(context: Context, run: dict[Any, Any]) -> dict[str, Any]:
    return {"label": run["label"], "run": run, "chip": chip(run), "pictures": _of_run(context, run["run"])}


def _of_run(context: Context, run: str) -> list[dict[str, Any]]:
    stored, drawn = context.study.samples(run), context.study.pictures(run)
    if not stored:
        return []
    last = stored[max(stored)]
    shown = [_shown(f"samples at step {max(stored)}", _square(last))]
    if (given := drawn.get("given")) is not None:
        pairs = np.stack([_fitted(given[: len(last)], last.shape[1:]), last[: len(given)]], axis=0)
        shown.append(_shown("above: what is given; below: the samples made of it", pairs))
    if (near := drawn.get("neighbours")) is not None:
        pairs = np.stack([last[: len(near)], near[: len(last)]], axis=0)
        shown.append(_shown("above: samples; below: the nearest training images", pairs))
    if (ways := drawn.get("interpolations")) is not None:
        shown.append(_shown("on the way from one latent to another", ways))
    return shown


def _fitted(images: Array, shape: tuple[int, ...]) -> Array:
    """Return images [n, c, h, w] as large as others of a shape, pixels repeated, and of as many channels."""
    channels, height, width = shape
    if images.shape[1] not in (1, channels):  # no colours of the samples' kind: what there is, as grey
        images = images.mean(axis=1, keepdims=True)
    rows, columns = (np.arange(size) * own // size for size, own in zip((height, width), images.shape[2:], strict=True))
    fitted = images[:, :, rows][:, :, :, columns]
    return np.broadcast_to(fitted, (len(fitted), *shape)) if fitted.shape[1] == 1 else fitted


def _square(images: Array) -> Array:
    """Return images [n, c, h, w] in rows and columns, as many of each."""
    across = max(1, int(np.sqrt(len(images))))
    return images[: across * across].reshape(across, across, *images.shape[1:])


def _shown(title: str, images: Array) -> dict[str, Any]:
    """Return images [rows, columns, c, h, w] as the template draws them, with their size on the screen."""
    scale = max(1, round(TILE / (images.shape[-1] + LINE)))
    sheet = sheet_of(images)
    return {"title": title, "uri": _uri(sheet), "width": sheet.width * scale, "height": sheet.height * scale}


def sheet_of(images: Array) -> Image.Image:
    """Return images [rows, columns, c, h, w] in [-1, 1] as one picture, a line between; what is not finite is grey."""
    rows, columns, channels, height, width = images.shape
    shown = np.nan_to_num(images[:, :, : 3 if channels >= 3 else 1], nan=0.0)
    levels = np.clip((shown + 1) * 127.5, 0, 255).astype(np.uint8)
    canvas = np.full((rows * (height + LINE) - LINE, columns * (width + LINE) - LINE, levels.shape[2]), 128, np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + LINE), column * (width + LINE)
            canvas[top : top + height, left : left + width] = levels[row, column].transpose(1, 2, 0)
    return Image.fromarray(canvas if canvas.shape[2] == 3 else canvas[..., 0])


def _uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, format="WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
