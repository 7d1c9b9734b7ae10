"""The report's colours: text is read on all of them, the colour-blind tell them apart, a level has one everywhere."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganbench.analysis.verdicts import SYMBOLS
from ganbench.report import colours
from ganbench.report.colours import DARK, DARK_MIDDLE, DASHES, LIGHT, MIDDLE, STEPS, contrast, ink, looks, scale, shade
from ganbench.report.context import Context
from ganbench.report.drawn import drawn

STYLES = (Path(colours.__file__).parent / "page" / "report.css").read_text(encoding="utf-8")
TEXT, GRAPHICS = 4.5, 3.0
"""WCAG 2.2, success criteria 1.4.3 and 1.4.11, level AA."""
APART = 10.0
"""The least distance of two colours in CIELAB (CIE 1976): several times what is just seen, about 2.3."""

# Machado, Oliveira & Fernandes 2009, table 1, severity 1.0: on linear RGB
BLIND = {
    "nobody": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                   [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip


def linear(colour: str) -> Any:
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = np.array([int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def ratio(first: str, second: str) -> float:
    """WCAG 2.2's contrast ratio, by the luminance of XYZ."""
    low, high = sorted(float(linear(one) @ TO_XYZ[1]) for one in (first, second))
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, by: str) -> Any:
    """CIELAB as somebody sees it, under D65."""
    xyz = TO_XYZ @ np.clip(np.array(BLIND[by]) @ linear(colour), 0, 1) / TO_XYZ.sum(axis=1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(palette: Any, by: str) -> tuple[float, str, str]:
    pairs = itertools.combinations(palette, 2)
    return min((float(np.linalg.norm(seen(a, by) - seen(b, by))), a, b) for a, b in pairs)


def variables(night: bool) -> dict[str, str]:
    """The custom properties of the page in light or dark."""
    blocks = re.findall(r":root \{([^}]*)\}", STYLES)
    found = dict(re.findall(r"--([\w-]+):\s*(#\w+)", " ".join(blocks[: 1 + night])))
    assert len(blocks) == 2
    return found


@given(st.integers(0, 0xFFFFFF), st.integers(0, 0xFFFFFF))
def test_contrast_is_wcags_and_ink_is_read_on_every_colour(one: int, other: int) -> None:
    first, second = f"#{one:06x}", f"#{other:06x}"
    assert contrast(first, second) == pytest.approx(ratio(first, second), rel=1e-3)
    assert ratio(ink(first), first) >= TEXT


@pytest.mark.parametrize("middle", [MIDDLE, DARK_MIDDLE])
def test_the_scale_runs_from_vermillion_to_blue_with_text_that_is_read(middle: Any) -> None:
    steps = scale(middle)
    assert len(steps) == STEPS + 1
    assert (steps[0][0], steps[STEPS // 2][0], steps[-1][0]) == ("#d55e00", colours.hexadecimal(middle), "#0072b2")
    assert min(ratio(*step) for step in steps) >= TEXT


def test_a_share_becomes_the_step_that_its_colour_is_of() -> None:
    assert [shade(good) for good in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [0, 0, STEPS // 2, STEPS, STEPS]
    assert colours.styles().count(".h0{") == 2, "light and dark"
    assert ".h40{background:#0072b2;color:#fff}" in colours.styles()


@pytest.mark.parametrize(("palette", "night"), [(LIGHT, False), (DARK, True)])
def test_lines_stand_out_from_the_page_and_from_each_other_for_everyone(palette: Any, night: bool) -> None:
    ground = variables(night)["bg"]
    assert min(ratio(colour, ground) for colour in palette) >= GRAPHICS
    assert min(nearest(palette, by) for by in BLIND)[0] >= APART


@pytest.mark.parametrize("night", [False, True])
def test_verdicts_are_told_apart_by_their_letter_and_good_from_bad_by_colour_too(night: bool) -> None:
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)
    known = variables(night)
    kinds = [known[name] for name in ("converged", "unconverged", "bad", "hatch")]
    assert min(nearest(kinds, by) for by in BLIND)[0] >= 1.5 * APART


@pytest.mark.parametrize("night", [False, True])
def test_words_and_marks_of_the_page_are_read(night: bool) -> None:
    known = variables(night)
    pairs = [("soft", "bg"), ("soft", "card"), ("accent", "bg"), ("accent", "card"), ("bad", "bg"), ("ink", "hatch"),
             ("chip-ink", "converged"), ("chip-ink", "bad"), ("unconverged-ink", "unconverged")]  # fmt: skip
    assert {
        pair: ratio(*(known[name] for name in pair)) for pair in pairs if ratio(*(known[n] for n in pair)) < TEXT
    } == {}


def test_a_method_has_the_colour_of_its_first_setting_and_dashes_of_its_own() -> None:
    known = [{"minimax": 0, "hinge": 1}, {"no normalization": 0, "spectral": 1}]
    assert looks(known, ["hinge, spectral", "minimax, spectral", "hinge, no normalization"]) == [(1, 0), (0, 0), (1, 1)]
    # of one loss: the first setting that differs
    assert looks(known, ["hinge, spectral", "hinge, no normalization"]) == [(1, 0), (0, 0)]
    assert looks(known, ["hinge, spectral"]) == [(1, 0)]
    assert looks([], ["all seeds", "others"]) == [(0, 0), (0, 1)]
    many = [{f"loss{place}": place for place in range(len(LIGHT) + 2)}]
    found = looks(many, list(many[0]))
    assert len(set(found)) == len(found)


def test_dashes_differ() -> None:
    assert len(set(DASHES)) == len(DASHES) == len(LIGHT) == len(DARK)


def test_a_level_has_one_colour_in_every_file_and_in_the_page(fake: Any, tmp_path: Path) -> None:
    losses = ("hinge", "minimax", "wasserstein")
    fates = [
        ({"loss": loss, "normalization": normalization, "seed": seed}, "collapsed" if seed else "converged")
        for loss in losses for normalization in ("none", "spectral") for seed in range(2)
    ]  # fmt: skip
    study = fake.study_of(fates, tmp_path, axes=["loss", "normalization"])
    context = Context(study)
    assert context.places[0] == {loss: place for place, loss in enumerate(losses)}
    figures = list(drawn(context))
    for name in ("ring8-curves", "ring8-survival", "performance-profile"):
        svg = next(figure.svg.decode() for figure in figures if figure.name.startswith(name))
        assert {colour for colour in LIGHT if f"stroke: {colour}" in svg} == set(LIGHT[:3]), name
