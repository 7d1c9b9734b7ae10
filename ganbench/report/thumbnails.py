"""Small pictures of samples, rastered by hand: hundreds of them have to fit into one page, at about a kilobyte each."""

from __future__ import annotations

import base64
import io
import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganbench.arrays import Array

SIDE = 100
WHITE, RING, POINT, CLIPPED = range(4)
FINE = 6
"""Bits of a channel by which a pixel finds its colour among the kept ones."""
COUNTED = 200_000
PALETTE = (255, 255, 255, 176, 176, 170, 0, 90, 160, 213, 94, 0)
"""White, the modes in grey, samples in blue, samples outside of the frame in vermillion: safe for the colour-blind."""

Frame = tuple[Array, Array]
LONG, WAVES = 16, 4
"""From how many axes on samples without modes are lines, not points; and how many of them are drawn."""


def data_uri(picture: Image.Image) -> str:
    """Return a picture as the data URI of a WebP without loss: five sixths of a PNG."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, format="WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def in_sixteen(picture: Image.Image) -> Image.Image:
    """Return a picture with sixteen levels of each colour, as a grey one has them: less than half of its bytes."""
    if picture.mode == "P":
        return picture
    return Image.fromarray(((np.asarray(picture, dtype=int) + 8) // 17 * 17).astype(np.uint8))


def png_uri(png: bytes, colours: int = 48) -> str:
    """Return a figure as a data URI of a WebP without loss in few of its colours: about half of the size.

    The usual median cut merges the colours of thin lines, which are what a reader tells variants apart by; the most
    frequent ones alone are shades of a few. So like shades, which agree in the upper half of their bits, count together
    and have one place, that of the most frequent among them.
    """
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    kept = _palette(pixels.reshape(-1, 3), colours)
    shades = _joined(pixels, FINE)
    found = np.flatnonzero(np.bincount(shades.ravel(), minlength=8**FINE))
    middle = np.stack([found >> 2 * FINE, found >> FINE & 2**FINE - 1, found & 2**FINE - 1], axis=1) + 0.5
    nearest = np.zeros((8**FINE, 3), np.uint8)
    # |a - b|^2 without |a|^2, which is the same for all candidates
    places = np.argmin((kept**2).sum(axis=1) - 2 * (middle * 2 ** (8 - FINE)).astype(np.float32) @ kept.T, axis=1)
    nearest[found] = kept[places]
    buffer = io.BytesIO()
    Image.fromarray(nearest[shades]).save(buffer, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _palette(pixels: NDArray[np.uint8], colours: int) -> NDArray[np.float32]:
    """Return so many colours [colours, 3] of pixels [n, 3], counted in some COUNTED of them."""
    found, counts = np.unique(_joined(pixels[:: max(1, len(pixels) // COUNTED)], 8), return_counts=True)
    channels = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
    alike = _joined(channels, 4)
    totals, order = np.bincount(alike, counts), np.argsort(-counts, kind="stable")
    groups, first = np.unique(alike[order], return_index=True)
    most = np.argsort(-totals[groups], kind="stable")[:colours]
    return channels[order[first[most]]].astype(np.float32)


def _joined(channels: Array, bits: int) -> NDArray[np.int32]:
    """Return the upper bits of channels [..., 3] as one number."""
    red, green, blue = (channels[..., place].astype(np.int32) >> (8 - bits) for place in range(3))
    return red << 2 * bits | green << bits | blue


def frame(real: Array, centres: Array | None = None) -> Frame:
    """Return the corners (low [2], high [2]) of a square around real points [n, d], with a margin of a fifth.

    Of what is drawn as lines both axes are that of their values.
    """
    if is_lines(real, centres):
        real = real.reshape(-1, 1)
    points = _plane(real if centres is None else np.concatenate([real, centres]))
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-6) * 1.2
    return middle - half, middle + half


def picture(samples: Array, view: Frame | None, centres: tuple[Array, float] | None = None) -> Image.Image:
    """Return the picture of samples: [n, c, h, w] as a grid of images, [n, 1] as a histogram, [n, d] as points.

    `view` is the frame of points (see `frame`), `centres` the true modes [k, d] and their standard deviation. Of more
    than two dimensions the first two are drawn, of many without modes a line along all. Samples that are not finite are
    left out.
    """
    if samples.ndim == 4:
        return _images(samples)
    if is_lines(samples, centres):
        return _paletted(np.concatenate([*lines(samples, view)]))
    finite = samples[np.isfinite(samples).all(axis=1)]
    if view is None:
        view = frame(finite) if len(finite) else (np.full(2, -1.0), np.full(2, 1.0))
    if samples.shape[1] == 1:
        return _histogram(finite, view, centres)
    return _points(finite, view, centres)


def is_lines(samples: Array, centres: object) -> bool:
    """Tell whether samples are drawn as lines along their axes, as waveforms are: many axes, and no modes."""
    return samples.ndim == 2 and samples.shape[1] >= LONG and centres is None


def lines(samples: Array, view: Frame | None) -> NDArray[np.uint8]:
    """Return the first samples [n, d] as lines, colours of the palette [WAVES, SIDE / WAVES, SIDE].

    Each column spans all values from its first axis to that of the next; what has left the frame is on its border. A
    sample that is not finite, or that there is not, is empty.
    """
    low, high = (-1.0, 1.0) if view is None else (float(view[0][1]), float(view[1][1]))
    height = SIDE // WAVES
    canvas = np.full((WAVES, height, SIDE), WHITE, dtype=np.uint8)
    edges = np.linspace(0, samples.shape[1] - 1, SIDE + 1)
    for sheet, sample in zip(canvas, samples.astype(float), strict=False):
        if not np.isfinite(sample).all():
            continue
        row = np.clip((high - sample) / (high - low), 0, 1) * (height - 1)
        for column, (start, end) in enumerate(itertools.pairwise(edges)):
            within = row[int(start) : int(np.ceil(end)) + 1]
            sheet[round(within.min()) : round(within.max()) + 1, column] = POINT
    return canvas


def as_images(samples: Array, view: Frame | None) -> Array:
    """Return samples that are lines as grey images [WAVES, 1, SIDE / WAVES, SIDE] of -1 to 1, black on white."""
    return np.where(lines(samples, view) == WHITE, 1.0, -1.0)[:, None]


def _plane(points: Array) -> Array:
    points = np.asarray(points, dtype=float)
    return points[:, :2] if points.shape[1] > 1 else np.repeat(points, 2, axis=1)


def _paletted(canvas: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(canvas)
    image.putpalette(PALETTE)
    return image


def _points(samples: Array, view: Frame, centres: tuple[Array, float] | None) -> Image.Image:
    canvas = np.full((SIDE, SIDE), WHITE, dtype=np.uint8)
    low, high = view
    if centres is not None:
        # three standard deviations: what counts as high quality; at least 3 pixels, or small modes would be unseen
        radius = max(3.0, 3 * centres[1] / float(high[0] - low[0]) * (SIDE - 1))
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        circle = radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        _dot(canvas, (_pixels(_plane(centres[0]), view)[:, None] + circle[None]).reshape(-1, 2), RING)
    at = _pixels(_plane(samples), view)
    inside = ((at >= 0) & (at <= SIDE - 1)).all(axis=1)
    _dot(canvas, at[inside], POINT)
    # what has left the frame is drawn on its border: a blank picture would hide where the samples went
    _dot(canvas, np.clip(at[~inside], 0, SIDE - 1), CLIPPED)
    return _paletted(canvas[::-1])


def _pixels(points: Array, view: Frame) -> Array:
    at: Array = (points - view[0]) / (view[1] - view[0]) * (SIDE - 1)
    return at


def _dot(canvas: NDArray[np.uint8], at: Array, colour: int) -> None:
    column, row = np.clip(np.rint(at), 0, SIDE - 1).astype(int).T
    canvas[row, column] = colour


def _histogram(samples: Array, view: Frame, centres: tuple[Array, float] | None) -> Image.Image:
    canvas = np.full((SIDE // 2, SIDE), WHITE, dtype=np.uint8)
    bins = SIDE // 2
    if centres is not None:
        canvas[:, np.clip(np.rint(_pixels(_plane(centres[0]), view)[:, 0]), 0, SIDE - 1).astype(int)] = RING
    values = samples[:, 0]
    outside = (values < view[0][0]) | (values > view[1][0])
    counts, _ = np.histogram(np.clip(values, view[0][0], view[1][0]), bins, (view[0][0], view[1][0]))
    heights = np.rint(counts / max(counts.max(), 1) * (SIDE // 2 - 1)).astype(int)
    for at, height in enumerate(heights):
        edge = at in (0, bins - 1) and outside.any()
        canvas[SIDE // 2 - height :, 2 * at : 2 * at + 2] = CLIPPED if edge else POINT
    return _paletted(canvas)


def tiles(samples: Array) -> NDArray[np.uint8]:
    """Return images [n, c, h, w] in [-1, 1] as tiles [rows, columns, h, w, 1 or 3]: about 100 pixels a side at most."""
    n, channels, height, width = samples.shape
    across = min(6, max(2, 106 // (max(height, width) + 1)), max(1, int(np.sqrt(n))))
    # a sample that is not finite is a grey tile
    first = np.nan_to_num(samples[: across * across, : 3 if channels >= 3 else 1], nan=0.0)
    shown = np.clip((first + 1) * 127.5, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    rows = -(-len(shown) // across)
    found = np.full((rows * across, *shown.shape[1:]), 128, np.uint8)
    found[: len(shown)] = shown
    return found.reshape(rows, across, *shown.shape[1:])


def _images(samples: Array) -> Image.Image:
    """Return tiles as a picture, with a line between."""
    found = tiles(samples)
    rows, across, height, width, channels = found.shape
    canvas = np.full((rows, height + 1, across, width + 1, channels), 128, dtype=np.uint8)
    canvas[:, :height, :, :width] = found.transpose(0, 2, 1, 3, 4)
    whole = canvas.reshape(rows * (height + 1), across * (width + 1), channels)[:-1, :-1]
    if channels == 3:
        return Image.fromarray(whole)
    # sixteen greys are all that a thumbnail shows, and halve its size
    return Image.fromarray(whole[..., 0]).quantize(16)
