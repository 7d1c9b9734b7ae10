"""Every figure of a study for a paper: the report's own, and its heat maps as figures."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ganbench.analysis.views import ranked_by
from ganbench.arrays import Array
from ganbench.errors import unknown
from ganbench.files import replace_file, writing_to
from ganbench.report import heatmaps, thumbnails
from ganbench.report.context import Context
from ganbench.report.figures import STYLE, Curves, curves, file_name, render
from ganbench.report.profiles import statistics
from ganbench.report.robustness import robustness_page
from ganbench.report.sections import median_seed
from ganbench.report.survival import survival
from ganbench.report.theory import theory

FORMATS = ("pdf", "svg", "png")
CELL, HEAD, LETTER = (0.86, 0.36), 0.3, 0.068
"""Inches: a cell's width and height, a line of text with room around it, a letter of a label."""
ABSENT = "#efefec"
PANELS, ACROSS = 11, 6
"""Variants whose samples are drawn, and panels beside each other."""


def drawn(context: Context) -> Iterator[Curves]:
    """Yield a study's figures by what they show: heat maps, curves, survival, profiles, robustness, trajectories."""
    for problem in context.problems:
        yield from heat_maps(context, problem) if context.single is None else ()
        yield from curves(context.study, problem)
        yield from samples(context, problem)
    if context.single is None:
        yield from (group["figure"] for group in survival(context))
        yield from filter(None, [statistics(context)["figure"]])
        yield from chain.from_iterable(group["figures"] for group in robustness_page(context) or ())
    yield from filter(None, (game["figure"] for game in (theory(context) or {"games": ()})["games"]))


def save(context: Context, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write every figure of a study into a folder, a file a format, and return the paths; see `check_formats`."""
    check_formats(formats)
    written = []
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for figure in drawn(context) if formats else ():
            for name in dict.fromkeys(formats):
                path = folder / f"{file_name(figure.name)}.{name}"
                with replace_file(path) as temporary:
                    temporary.write_bytes(_bytes(figure, name))
                written.append(path)
    return written


def check_formats(formats: Iterable[str]) -> None:
    """Raise UserError for a format of figures that is not known."""
    for name in formats:
        if name not in FORMATS:
            raise unknown("format of figures", name, FORMATS)


def _bytes(figure: Curves, name: str) -> bytes:
    if name != "pdf":
        return figure.png if name == "png" else figure.svg
    buffer = io.BytesIO()
    # letters stay letters, and without a date the same study gives the same bytes
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


# ---- heat maps


def heat_maps(context: Context, problem: str, measure: str | None = "") -> Iterator[Curves]:
    """Yield a problem's heat maps as figures, with the colours and numbers of the report: failures, then each measure.

    measure: only that one; None for the failures.
    """
    for each in heatmaps.maps(context, problem):
        if measure not in ("", each["measure"]):
            continue
        title = f"{problem}: {each['title']}, {each['legend']}"
        title += "" if each["measure"] is None else f" (median of the final values; oracle {each['oracle']})"
        what = "failures" if each["measure"] is None else each["measure"]
        yield Curves(f"{problem}-heatmap-{what}", title, *render(heat_map(each)))


def heat_map(given: dict[str, Any]) -> Figure:
    """Return one heat map, as `heatmaps.maps` describes it, as a figure: a block of cells below another."""
    blocks, columns = given["blocks"], given["columns"]
    labels = [row["label"] for block in blocks for row in block["rows"]]
    left = 0.2 + LETTER * max(map(len, labels))
    tilted = max(map(len, columns)) * LETTER > CELL[0]
    top = 0.15 + (LETTER * 0.5 * max(map(len, columns)) + HEAD if tilted else HEAD)
    width = left + CELL[0] * len(columns) + (0.6 if tilted else 0.15)
    height = sum(top + HEAD * bool(block["label"]) + CELL[1] * len(block["rows"]) + 0.1 for block in blocks)
    with matplotlib.rc_context(STYLE):
        figure, at = Figure(figsize=(width, height)), height
        for block in blocks:
            rows = len(block["rows"])
            at -= top + HEAD * bool(block["label"]) + CELL[1] * rows
            place = (left / width, at / height, CELL[0] * len(columns) / width, CELL[1] * rows / height)
            axis = figure.add_axes(place)
            _block(axis, block, columns, tilted)
            at -= 0.1
    return figure


def _block(axis: Axes, block: dict[str, Any], columns: list[str], tilted: bool) -> None:
    for y, row in enumerate(block["rows"]):
        for x, cell in enumerate(row["cells"]):
            face, ink = cell.get("background", ABSENT), cell.get("ink", ".4")
            axis.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor="white", linewidth=1.2))
            small = cell.get("small", "")
            middle = (x + 0.5, y + (0.36 if small else 0.5))
            axis.text(*middle, cell["text"], ha="center", va="center", fontsize=8, color=ink)
            axis.text(x + 0.5, y + 0.74, small, ha="center", va="center", fontsize=5.5, color=ink)
    axis.set(xlim=(0, len(columns)), ylim=(len(block["rows"]), 0))
    axis.set_yticks([y + 0.5 for y in range(len(block["rows"]))], [row["label"] for row in block["rows"]])
    turned: dict[str, Any] = {"rotation": 30, "ha": "left", "rotation_mode": "anchor"} if tilted else {}
    axis.set_xticks([x + 0.5 for x in range(len(columns))], columns, **turned)
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    if block["label"]:
        axis.set_title(block["label"], loc="left", fontsize=9, fontweight="bold")


# ---- samples


def samples(context: Context, problem: str) -> Iterator[Curves]:
    """Yield a figure of a problem's real samples and those of its first variants: of the median seed, at its end."""
    study, rows = context.study, context.runs
    rows = rows[(rows["problem"] == problem) & rows["status"].isin(["done", "diverged"])]
    order = {variant: place for place, variant in enumerate(context.ranking["variant"])} if len(context.ranking) else {}
    ranked = sorted(rows.groupby("variant", sort=False), key=lambda item: order.get(str(item[0]), 0))
    quality = ranked_by(study, problem)["quality"]
    shown = [
        (run, study.samples(run["run"])) for run in (median_seed(context, quality, of) for _, of in ranked[:PANELS])
    ]
    last = [(f"{run['label']}\n{run['verdict']}", of[max(of)]) for run, of in shown if of]
    if not last:
        return
    title = f"{problem}: real samples, and those of the first {len(last)} variants at the end of their median seed"
    yield Curves(f"{problem}-samples", title, *render(_panels(context, problem, last)))


def _panels(context: Context, problem: str, last: list[tuple[str, Array]]) -> Figure:
    study = context.study
    real, centres = study.real_samples(problem), study.centres(problem)
    flat = real.ndim == 2 and len(real) > 0
    view = thumbnails.frame(real, centres[0] if centres else None) if flat else None
    panels = [("real", real)] * bool(len(real)) + last
    rows = -(-len(panels) // ACROSS)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.75 * min(ACROSS, len(panels)), 2.1 * rows), layout="constrained")
        axes = figure.subplots(rows, min(ACROSS, len(panels)), squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, (label, points) in zip(axes.flat, panels, strict=False):
            axis.imshow(np.asarray(thumbnails.picture(np.asarray(points), view, centres).convert("RGB")))
            axis.set_title(label.replace(", ", ",\n", 1), fontsize=7)
    return figure
