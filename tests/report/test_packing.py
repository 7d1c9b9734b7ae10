"""What keeps a page small: letters for bytes, tables without tags that may be left out, sheets of samples."""

import numpy as np
import pages
import pytest
from PIL import Image

from ganbench.report import frames
from ganbench.report.packing import LETTERS, as_json, lettered, shortened
from ganbench.report.thumbnails import in_sixteen, tiles


@pytest.mark.parametrize("size", [*range(14), 1000])
def test_letters_give_the_bytes_back(size: int) -> None:
    content = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    text = lettered(content)
    assert pages.bytes_of(text) == content
    assert as_json(text) == f'"{text}"', "no letter is escaped"
    assert len(text) <= 2 * -(-8 * size // 13)


def test_letters_are_those_of_ascii_that_need_no_escape() -> None:
    assert len(LETTERS) == 91
    assert sorted(LETTERS) == pages.LETTERS
    # by hand: 13 zeros are the first pair, 13 bits 1000000000000 are 4096 = 45 x 91 + 1, three bits left are 000
    assert lettered(b"\0\0") == LETTERS[0] * 3
    assert lettered(b"\x80\0") == LETTERS[45] + LETTERS[1] + LETTERS[0]


def test_a_table_says_the_same_without_its_optional_tags() -> None:
    page = (
        '<table><thead><tr><th class="n">a</th></tr></thead>\n<tbody><tr id="x y"><td title="1 &lt; 2">b</td></tr>\n'
        '<tr><td><a href="#v-1">c</a></td></tr></tbody></table><ul><li>d</li><li>e</li></ul><p class="f">g</p>'
        '<script type="application/json" id="data">{"td": "</td><td class="n">"}</script>'
    )
    assert shortened(page) == (
        '<table><thead><tr><th class=n>a<tbody><tr id="x y"><td title="1 &lt; 2">b'
        "<tr><td><a href=#v-1>c</a></table><ul><li>d<li>e</ul><p class=f>g</p>"
        '<script type="application/json" id="data">{"td": "</td><td class="n">"}</script>'
    )


def test_points_are_told_from_left_to_right() -> None:
    points = np.array([[[9, 1], [4, 2], [4, 0], [127, 127]], [[0, 3], [0, 3], [126, 5], [2, 2]]], np.uint8)
    across, up = np.frombuffer(frames._ordered(points), np.uint8).reshape(2, 2, 4)
    assert across.cumsum(axis=1).tolist() == [[4, 4, 9, 127], [0, 0, 2, 126]]
    assert up.tolist() == [[0, 2, 1, 127], [3, 3, 2, 5]]


@pytest.mark.parametrize(("channels", "gap"), [(1, 0), (3, 2)])
def test_a_sheet_holds_frames_side_by_side(channels: int, gap: int) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (3, 4, channels, 8, 8))
    like = tiles(images[0])
    assert like.shape == (2, 2, 8, 8, channels)
    sheet = np.asarray(frames._sheet([images[0], None, images[2]], like, gap, across=2).convert("RGB"))
    side = 2 * (8 + gap)
    assert sheet.shape == (2 * side, 2 * side, 3)
    assert (sheet[:side, side:] == 128).all()
    # the fourth image of the third frame: second row and column of its frame, which begins the second row of frames
    corner = side + 8 + gap, 8 + gap
    shown = sheet[corner[0] : corner[0] + 8, corner[1] : corner[1] + 8]
    np.testing.assert_allclose(shown, np.broadcast_to((images[2, 3].transpose(1, 2, 0) + 1) * 127.5, (8, 8, 3)), atol=1)


def test_sixteen_levels_of_a_colour_are_near_and_keep_both_ends() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    found = np.asarray(in_sixteen(Image.fromarray(ramp))).astype(int)
    assert sorted(set(found.ravel())) == [17 * place for place in range(16)]
    assert abs(found - ramp).max() == 8
