"""Panels that share an axes: where they lie, and that they look as panels with an axes each do."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ganbench.report.context import Context
from ganbench.report.figures import curves
from ganbench.report.panels import Panels, step_ticks
from ganbench.report.robustness import robustness_page

D, G = "optimizer.adam.d_lr", "optimizer.adam.g_lr"


@pytest.fixture(scope="module")
def study(fake: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    fates = [
        ({"loss": loss, "normalization": normalization, D: d, G: g, "seed": seed}, fate)
        for loss, fate in (("hinge", "converged"), ("minimax", "collapsed"))
        for normalization in ("none", "spectral")
        for d, g in ((1e-4, 1e-3), (1e-2, 2e-3)) for seed in range(5)
    ]  # fmt: skip
    folder: Path = tmp_path_factory.mktemp("panels")
    return fake.study_of(fates, folder, axes=["loss", "normalization", D, G], tuned=[D, G])


def _pixels(png: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def _unlike(one: bytes, other: bytes) -> float:
    """Return the share of pixels that differ by more than a shade, which smoothing at an edge does not reach."""
    first, second = _pixels(one), _pixels(other)
    assert first.shape == second.shape
    return float((np.abs(first - second).max(axis=2) > 40).mean())


def test_curves_look_the_same_in_one_axes_and_in_an_axes_each(study: Any) -> None:
    joint, apart = (next(iter(curves(study, "ring8", apart=each))) for each in (False, True))
    rows = len(joint.figure.axes)
    assert len(apart.figure.axes) == 2 * rows
    assert _unlike(joint.png, apart.png) < 0.002


def test_the_map_looks_the_same_in_one_axes_and_in_an_axes_each(study: Any) -> None:
    context = Context(study)
    pages = [robustness_page(context, apart=each) for each in (False, True)]
    joint, apart = (page[0]["figures"][0] for page in pages if page)
    assert (len(joint.figure.axes), len(apart.figure.axes)) == (1, 4)
    assert _unlike(joint.png, apart.png) < 0.002


def test_the_map_has_the_survivors_of_each_setting_where_it_lies(study: Any) -> None:
    page = robustness_page(Context(study))
    assert page
    (axis,) = page[0]["figures"][0].figure.axes
    at = {(round(float(t.get_position()[0]), 3), float(t.get_position()[1])): t.get_text() for t in axis.texts
          if t.get_text().isdigit()}  # fmt: skip
    # D's rate spans two decades, and a panel is 0.16 of them wider on each side; 13 pixels of 165 lie between two
    by = 2 * (1 + 2 * 0.16) * (1 + 13 / 165)
    panels = [row["method"].startswith("hinge") for row in page[0]["rows"]]
    assert panels == [True, True, False, False]
    assert at == {
        (round(place * by + x, 3), up): "5" if survives else "0"
        for place, survives in enumerate(panels) for x, up in ((-4, 1e-3), (-2, 2e-3))
    }  # fmt: skip


def test_panels_lie_a_gap_beside_each_other() -> None:
    panels = Panels(3, (0.0, 10.0), [(0.0, "0"), (5.0, "5")], gap=0.1)
    assert panels.shifts.tolist() == pytest.approx([0, 11, 22])
    assert panels.span == pytest.approx((0, 32))
    assert panels.first(2).span == pytest.approx((0, 21))
    axis = Figure().subplots()
    axis.set_xlim(panels.span)
    panels.ticks_below(axis, 1)
    assert axis.get_xticks().tolist() == pytest.approx([11, 16, 22, 27])
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0", "5", "0", "5"]


def test_steps_at_ticks_are_few_round_and_within() -> None:
    assert step_ticks((-30.0, 1530.0), 4) == [(0, "0"), (500, "500"), (1000, "1000"), (1500, "1500")]
    # a width of four ticks at most leaves no room for steps of 250 000
    assert step_ticks((-20_000.0, 1_020_000.0), 4) == [(0, "0"), (500_000, "500000"), (1_000_000, "1000000")]
