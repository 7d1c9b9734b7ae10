"""Charts in percent of a panel: places, ticks and holes that are worked out by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganbench.report.chart import Line, chart, dots, path

STEPS = np.array([0.0, 500.0, 1000.0])


def test_a_line_is_a_path_of_percents() -> None:
    # the values span 4, and 7 % of that is left free above and below: 4.56 in all
    made = chart(STEPS, [Line("quality", np.array([0.0, 2.0, 4.0]))], onset=500, oracle=4.0)
    low, high = 100 * 0.28 / 4.56, 100 * 4.28 / 4.56
    assert made["lines"][0]["path"] == f"M0.00 {100 - low:.2f}L50.00 50.00L100.00 {100 - high:.2f}"
    assert made["lines"][0]["dots"].count("h0") == 3
    assert made["lines"][0]["end"] == "4"
    assert made["onset"] == 50.0
    assert made["oracle"] == round(100 - high, 2)
    assert [text for _, text in made["y"]] == ["0", "2", "4"]
    assert made["x"] == [(0.0, "0"), (25.0, "250"), (50.0, "500"), (75.0, "750"), (100.0, "1000")]


def test_what_is_not_finite_breaks_the_line() -> None:
    broken = path(np.array([0.0, 1.0, 2.0, 3.0]), np.array([10.0, np.nan, 20.0, 30.0]))
    assert broken == "M0.00 90.00M2.00 80.00L3.00 70.00"
    made = chart(STEPS, [Line("loss", np.array([1.0, np.inf, 3.0]))])
    assert made["lines"][0]["path"].count("M") == 2
    assert made["lines"][0]["end"] == "3"


def test_losses_that_span_decades_are_logarithmic() -> None:
    made = chart(STEPS, [Line("d loss", np.array([1e-4, 1e-2, 1.0]))])
    assert made["log"]
    assert "L50.00 50.00" in made["lines"][0]["path"]
    assert [text for _, text in made["y"]] == ["0.0001", "0.01", "1"]
    # 0 and below have no place there, and keep a scale linear
    assert not chart(STEPS, [Line("d loss", np.array([0.0, 1e-2, 1.0]))])["log"]


def test_a_share_begins_at_0() -> None:
    made = chart(STEPS, [Line("precision", np.array([0.96, 0.98, 1.0]))], zero=True)
    assert [text for _, text in made["y"]] == ["0", "0.5", "1"]


def test_a_constant_is_drawn_in_the_middle_and_nothing_is_no_chart() -> None:
    assert chart(STEPS, [Line("rate", np.full(3, 0.001))])["lines"][0]["path"].count(" 50.00") == 3
    assert chart(STEPS, [Line("loss", np.full(3, np.nan))]) is None
    assert chart(STEPS, []) is None


def test_points_outside_of_the_frame_lie_on_its_border() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0], [9.0, 0.5], [np.nan, 0.0]])
    inside, outside = dots(points, np.zeros(2), np.ones(2))
    assert inside == "M2.0 98.0h0M98.0 2.0h0"
    assert outside == "M98.0 50.0h0"


@pytest.mark.filterwarnings("error")
@given(
    st.lists(st.floats(width=32), min_size=1, max_size=12),
    st.one_of(st.none(), st.integers(0, 10**6)), st.one_of(st.none(), st.floats(width=32)),
)  # fmt: skip
def test_whatever_was_measured_stays_in_its_panel(values: list[float], onset: Any, oracle: Any) -> None:
    steps = np.arange(len(values), dtype=float) * 100
    made = chart(steps, [Line("any", np.array(values, dtype=float))], onset=onset, oracle=oracle)
    if not np.isfinite(values).any():
        assert made is None
        return
    numbers = [float(n) for n in made["lines"][0]["path"].replace("M", " ").replace("L", " ").split()]
    numbers += [at for at, _ in (*made["x"], *made["y"])]
    numbers += [n for n in (made["onset"], made["oracle"]) if n is not None]
    assert all(-0.01 <= n <= 100.01 for n in numbers)
    assert 1 <= len(made["y"]) <= 10
