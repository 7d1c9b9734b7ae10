import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganbench.report.context import number
from ganbench.report.thumbnails import CLIPPED, POINT, RING, SIDE, WHITE, as_images, data_uri, frame, picture, png_uri


def indices(image: Image.Image) -> Any:
    return np.asarray(image)


def test_points_land_where_they_are_and_outside_ones_on_the_border() -> None:
    view = (np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    canvas = indices(picture(np.array([[0.0, 0.0], [1.0, 1.0], [5.0, 0.5]]), view))
    # the picture's first row is the top
    assert canvas[SIDE - 1, 0] == POINT
    assert canvas[0, SIDE - 1] == POINT
    assert (canvas[:, SIDE - 1] == CLIPPED).sum() == 1
    assert (canvas == POINT).sum() == 2


def test_modes_are_circles_in_the_frame_of_the_real_data() -> None:
    centres = np.array([[-1.0, 0.0], [1.0, 0.0]])
    view = frame(centres, centres)
    canvas = indices(picture(np.full((5, 2), np.nan), view, (centres, 0.02)))
    assert (canvas == RING).sum() > 20
    assert (canvas == POINT).sum() == 0
    assert np.allclose(view[1] - view[0], 2.4)


def test_one_dimension_is_a_histogram() -> None:
    samples = np.repeat([[0.0], [1.0]], [30, 10], axis=0)
    canvas = indices(picture(samples, frame(samples), (np.array([[0.5]]), 0.1)))
    heights = (canvas == POINT).sum(axis=0)
    assert heights.max() > 2 * heights[heights > 0].min()
    assert (canvas == RING).any()


def test_samples_of_many_axes_without_modes_are_lines_on_one_scale() -> None:
    """Four of 25 rows each, in a frame from -1.2 to 1.2: 1 is a twelfth of the height from its upper border, row 2."""
    real = np.concatenate([np.full((2, 200), 1.0), np.full((2, 200), -1.0)])
    view = frame(real)
    assert np.allclose([view[0], view[1]], [[-1.2, -1.2], [1.2, 1.2]])
    step = np.repeat([[1.0, -1.0]], 100, axis=1)
    canvas = indices(picture(np.concatenate([np.zeros((1, 200)), step, np.full((1, 200), np.nan)]), view))
    assert canvas.shape == (100, SIDE)
    assert [np.flatnonzero(column).tolist() for column in (canvas[:25] == POINT).T] == [[12]] * SIDE
    # up to the middle high, then low, and one column from one to the other
    rows = [np.flatnonzero(column).tolist() for column in (canvas[25:50] == POINT).T]
    assert (rows[0], rows[48], rows[51], rows[-1]) == ([2], [2], [22], [22])
    assert list(range(2, 23)) in rows
    assert (canvas[50:] == WHITE).all()
    images = as_images(step, view)
    assert images.shape == (4, 1, 25, SIDE)
    assert np.array_equal(images[0, 0] == -1, canvas[25:50] == POINT)


@pytest.mark.parametrize(("shape", "mode"), [((64, 1, 8, 8), "P"), ((9, 3, 16, 16), "RGB"), ((1, 1, 28, 28), "P")])
def test_images_become_a_grid(shape: tuple[int, ...], mode: str) -> None:
    image = picture(np.random.default_rng(0).uniform(-1, 1, shape), None)
    assert image.mode == mode
    assert max(image.size) <= 107
    assert len(data_uri(image)) < 12000


def test_lines_keep_their_colours_in_the_embedded_figure() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 120, 3)).astype(np.uint8)
    pixels[:60] = 255
    pixels[70:75] = (0, 114, 178)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    image = Image.open(io.BytesIO(base64.b64decode(png_uri(buffer.getvalue()).split(",")[1]))).convert("RGB")
    assert image.getpixel((3, 72)) == (0, 114, 178)
    assert image.getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize(("value", "text"), [(0.98889, "0.989"), (8.0, "8"), (float("nan"), "\u2013"), (None, "\u2013"),
                                             (float("inf"), "∞"), (1.4e-5, "1.4e-5"), (123456.0, "1.2e5"), (5, "5"),
                                             (0.0014, "0.0014")])  # fmt: skip
def test_numbers_are_rounded_sensibly(value: Any, text: str) -> None:
    assert number(value) == text
