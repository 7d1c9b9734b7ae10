"""The page Images: what is drawn of which runs, tiles pixel by pixel, and no page where there are no images."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganbench.report import build
from ganbench.report import images as module
from ganbench.report.context import Context
from ganbench.report.images import images, sheet_of


def digits(fake: Any, path: Path, losses: int, fate: str = "converged", seeds: int = 1) -> Any:
    given = [
        ({"problem": "digits", "seed": seed, "loss": f"loss{number:02d}"}, fate)
        for number in range(losses) for seed in range(seeds)
    ]  # fmt: skip
    return fake.study_of(given, path)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two variants of a ranking are drawn, and the last one."""
    monkeypatch.setattr(module, "FIRST", 2)
    monkeypatch.setattr(module, "LAST", 1)


def test_a_sheet_has_every_pixel_where_it_belongs() -> None:
    shown = np.linspace(-1, 1, 2 * 3 * 4).reshape(2, 3, 1, 2, 2)
    shown[1, 2, 0, 1, 1] = np.nan
    sheet = np.asarray(sheet_of(shown))
    assert sheet.shape == (2 * 3 - 1, 3 * 3 - 1)
    assert (sheet[2] == 128).all(), "a line between"
    for row in range(2):
        for column in range(3):
            tile = sheet[3 * row : 3 * row + 2, 3 * column : 3 * column + 2]
            expected = np.floor((np.nan_to_num(shown[row, column, 0]) + 1) * 127.5)
            assert (tile == expected).all()


def test_colours_stay_and_a_second_channel_alone_is_left_out() -> None:
    red = np.full((1, 1, 3, 2, 2), -1.0)
    red[:, :, 0] = 1
    assert np.asarray(sheet_of(red)).reshape(-1, 3).tolist() == [[255, 0, 0]] * 4
    assert np.asarray(sheet_of(red[:, :, :2])).tolist() == [[255, 255]] * 2


def test_first_and_last_variants_with_their_median_seed(fake: Any, tmp_path: Path, few: None) -> None:
    study = digits(fake, tmp_path, 5, seeds=3)
    context = Context(study)
    (group,) = images(context) or []
    ranked = list(context.ranking["variant"])
    assert [row["run"]["variant"] for row in group["rows"]] == [*ranked[:2], ranked[-1]]
    assert (group["between"], group["first"]) == (2, 2)
    (row, *_) = group["rows"]
    last = study.series.groupby("run").tail(1).set_index("run")["precision"]
    mine = study.runs.loc[study.runs["variant"] == row["run"]["variant"], "run"]
    assert row["run"]["run"] == last[mine].sort_values().index[1]
    titles = [picture["title"] for picture in row["pictures"]]
    assert titles[0] == "samples at step 4000"
    assert len(titles) == 3


def test_pictures_are_of_the_runs_own_samples(fake: Any, tmp_path: Path) -> None:
    study = digits(fake, tmp_path, 1)
    (group,) = images(Context(study)) or []
    samples, near, ways = (picture["uri"] for picture in group["rows"][0]["pictures"])
    run = study.runs["run"][0]
    own, drawn = study.samples(run), study.pictures(run)
    grid = own[max(own)].reshape(8, 8, 1, 8, 8)
    beside = np.stack([own[max(own)][:8], drawn["neighbours"]])
    for uri, expected in ((samples, grid), (near, beside), (ways, drawn["interpolations"])):
        found = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("L"), dtype=float)
        wanted = np.asarray(sheet_of(expected), dtype=float)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).mean() < 12


def test_the_page_is_there_only_with_images(fake: Any, tmp_path: Path, few: None) -> None:
    without = fake.study_of([({"seed": 0}, "converged")], tmp_path / "without")
    assert images(Context(without)) is None
    html = build(digits(fake, tmp_path / "with", 4)).read_text()
    assert html.count("id=images>") == 1
    assert "<a href=#images>Images</a>" in html
    assert "1 variant between" in html


def test_a_study_without_what_is_drawn_at_the_end_shows_its_samples(fake: Any, tmp_path: Path) -> None:
    study = digits(fake, tmp_path, 1)
    study.pictures = lambda run: {}
    (group,) = images(Context(study)) or []
    assert [picture["title"] for picture in group["rows"][0]["pictures"]] == ["samples at step 4000"]


def test_problems_whose_runs_have_not_ended_have_real_images(fake: Any, tmp_path: Path) -> None:
    (group,) = images(Context(digits(fake, tmp_path, 2, "pending"))) or []
    assert group["rows"] == []
    assert group["real"]["uri"].startswith("data:image/webp;base64,")


def test_what_was_asked_for_stands_above_the_samples(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = digits(fake, tmp_path, 1)
    run = study.runs["run"][0]
    asked, own = np.linspace(-1, 1, 2 * 8 * 64).reshape(2, 8, 1, 8, 8), study.samples(run)
    monkeypatch.setattr(type(study), "pictures", lambda self, run: {"asked": asked})
    (group,) = images(Context(study)) or []
    _, shown = group["rows"][0]["pictures"]
    assert shown["title"] == "above: what is given; in the middle: one that is right; below: samples"
    found = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(shown["uri"].partition(",")[2]))).convert("L"), dtype=float
    )
    wanted = np.asarray(sheet_of(np.stack([*asked, own[max(own)][:8]])), dtype=float)
    assert np.abs(found - wanted).mean() < 8
