"""The report's colours: one for each level of a setting, in the page as in the figures, and the scale of its maps.

All that is text has the contrast of WCAG 2.2, level AA (4.5 to 1), and lines that of graphics (3 to 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ganbench.analysis import Study
from ganbench.analysis.ranking import axes, level
from ganbench.report.levels import levels

Colour = tuple[int, int, int]

LIGHT = ("#0072b2", "#d55e00", "#274e34", "#750068", "#a9825b", "#8f8f9c", "#5b0da9", "#270df7")
DARK = ("#62b5ea", "#ff8a3d", "#0d7541", "#9c4e8f", "#eac38f", "#b6c3c3", "#8f1af7", "#7568dd")
"""Colours of lines on a light page, in the figures too, and the same ones on a dark page.

From a search over the whole gamut for eight that differ most where they differ least, for normal sight and the three
kinds of colour blindness, in about these hues and with the contrast of graphics to the page.
"""
DASHES: tuple[tuple[int, ...], ...] = ((), (6, 2), (2, 2), (9, 2, 2, 2), (12, 4), (4, 4), (2, 5), (6, 2, 2, 2, 2, 2))
"""What tells lines of one colour apart: strokes and gaps in widths of a line; the first is solid."""
BAD, MIDDLE, GOOD = (213, 94, 0), (246, 244, 238), (0, 114, 178)
"""The scale's ends and its middle on a light page: vermillion, off-white, blue, which the colour-blind tell apart."""
DARK_MIDDLE = (52, 55, 62)
STEPS = 40
"""Steps of the scale; twenty on each side of the middle."""


def shade(good: float) -> int:
    """Return the step of the scale for `good` in [0, 1]; what is outside counts as its end."""
    return round(STEPS * min(1.0, max(0.0, good)))


def scale(middle: Colour = MIDDLE) -> list[tuple[str, str]]:
    """Return the background and the text colour of each step: vermillion over a middle to blue."""
    found = []
    for step in range(STEPS + 1):
        start, end, share = (BAD, middle, 2 * step) if 2 * step < STEPS else (middle, GOOD, 2 * step - STEPS)
        ground = hexadecimal([a + (b - a) * share / STEPS for a, b in zip(start, end, strict=True)])
        found.append((ground, ink(ground)))
    return found


def styles() -> str:
    """Return the rules of CSS for the steps of the scale (.h0, .h1, ...) and for the colours of lines (--c0, ...)."""
    day, night = (
        "".join(f".h{step}{{background:{ground};color:{text}}}" for step, (ground, text) in enumerate(scale(middle)))
        for middle in (MIDDLE, DARK_MIDDLE)
    )
    lines, dark_lines = (
        ":root{" + "".join(f"--c{place}:{colour};" for place, colour in enumerate(palette)) + "}"
        for palette in (LIGHT, DARK)
    )
    return f"{lines}{day}@media screen and (prefers-color-scheme: dark){{{dark_lines}{night}}}"


def drawn() -> dict[str, Any]:
    """Return what the page's script draws lines with."""
    return {"colours": len(LIGHT), "dashes": DASHES}


def ink(ground: str) -> str:
    """Return black or white, whichever is read better on a background: at least 4.5 to 1 on every one.

    >>> ink("#ffffff"), ink("#0072b2")
    ('#000', '#fff')
    """
    return max("#000", "#fff", key=lambda text: contrast(text, ground))


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2, definition of contrast ratio)."""
    low, high = sorted(map(_luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def hexadecimal(parts: Sequence[float]) -> str:
    """Return a colour of CSS for red, green and blue in [0, 255]."""
    return "#" + "".join(f"{round(part):02x}" for part in parts)


def places(study: Study) -> list[dict[str, int]]:
    """Return for every setting that varies the place of each of its levels, whose colour it has in all pictures."""
    return [
        {level(axis, value): place for place, value in enumerate(levels(study.runs[axis])) if level(axis, value)}
        for axis in axes(study)
    ]


def looks(known: Sequence[dict[str, int]], labels: Sequence[str]) -> list[tuple[int, int]]:
    """Return for lines of methods or variants, by their labels, which colour and which dashes each has.

    The colour is that of the first setting's level, of the first one that differs where all lines share it. Lines of
    one colour are told apart by dashes. `looks` of base.js does the same for what the page draws.
    """
    found = [[_place(of, label) for of in known] for label in labels]
    by = next((axis for axis in range(len(known)) if len({row[axis] for row in found}) > 1), 0)
    seen: dict[int, int] = {}
    result = []
    for row in found:
        colour = (row[by] if row else 0) % len(LIGHT)
        # beyond the colours there are, levels share one and differ by their dashes, as variants of one level do
        result.append((colour, seen.get(colour, 0) % len(DASHES)))
        seen[colour] = seen.get(colour, 0) + 1
    return result


def _place(of: dict[str, int], label: str) -> int:
    return next((of[part] for part in label.split(", ") if part in of), 0)
