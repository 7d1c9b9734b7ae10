"""The page Robustness: what it counts, its pictures, and that it is left out where nothing is tuned."""

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from ganbench.report import robustness
from ganbench.report.build import build
from ganbench.report.context import Context
from ganbench.report.robustness import robustness_page

G, D = "optimizer.adam.g_lr", "optimizer.adam.d_lr"
SETTINGS = [(1e-3, 1e-3), (1e-3, 4e-3), (4e-3, 4e-3), (1e-3, 1e-2), (4e-3, 1e-2), (1e-2, 1e-2)]


def tuned(fake: Any, tmp_path: Any, tuned: list[str] | None = None) -> Any:
    """Hinge survives everywhere but at the last setting, minimax only at the first two; two seeds each."""
    fates = []
    for loss, good in (("minimax", 2), ("hinge", 5)):
        for place, (g, d) in enumerate(SETTINGS):
            given = {"loss": loss, G: g, D: d}
            fates += [({**given, "seed": seed}, "converged" if place < good else "collapsed") for seed in (0, 1)]
    return fake.study_of(fates, tmp_path, axes=["loss", G, D], tuned=[G, D] if tuned is None else tuned)


@pytest.fixture
def page(fake: Any, tmp_path: Any) -> Any:
    return robustness_page(Context(tuned(fake, tmp_path)))


def test_methods_are_ranked_by_the_share_of_settings_that_they_survive(page: Any) -> None:
    (group,) = page
    told = [(row["method"], row["survived"], row["runs"], row["every"], row["never"]) for row in group["rows"]]
    assert told == [("hinge", 10, 12, 5, 1), ("minimax", 4, 12, 2, 4)]
    assert group["trials"] == [1, 5, 6]
    assert all(len(row["worth"]) == 3 for row in group["rows"])


def test_there_is_a_map_and_a_curve_a_problem(page: Any) -> None:
    names = [figure.name for figure in page[0]["figures"]]
    assert names == ["ring8-robustness", "ring8-best-of"]
    svg = page[0]["figures"][0].svg.decode()
    # the discriminator's rate lies across
    assert svg.index("d_lr (adam)") < svg.index("g_lr (adam)")


def test_the_report_has_the_page_and_says_so_first(fake: Any, tmp_path: Any) -> None:
    text = build(tuned(fake, tmp_path), tmp_path / "report.html").read_text()
    assert "id=robustness>" in text
    assert "of 6 settings x 2 seeds, 83 %" in text
    assert "No method was tuned" not in text
    assert (tmp_path / "figures" / "ring8-robustness.png").exists()


def test_rates_that_are_tuned_are_no_levels_to_compare(fake: Any, tmp_path: Any) -> None:
    findings = Context(tuned(fake, tmp_path)).findings
    assert [text for text in findings if text.startswith("Failures by loss")]
    assert not [text for text in findings if text.startswith("Failures by optimizer")]
    assert findings[1].startswith("Robustness on ring8")


def test_without_settings_there_is_no_page_and_the_findings_say_that_none_was_tuned(fake: Any, tmp_path: Any) -> None:
    study = tuned(fake, tmp_path, [])
    assert robustness_page(Context(study)) is None
    text = build(study, tmp_path / "report.html").read_text()
    assert "id=robustness>" not in text
    assert "No method was tuned" in text


@pytest.mark.parametrize("values", [
    [1e-4, 1e-3, 1e-2], [1e-4, 3e-4, 9e-4], [0.0, 5.0], [1.0, 1.0], [-2.0, 30.0], [0.0], [0.002, 0.05, 0.003],
])  # fmt: skip
def test_the_limits_of_an_axis_are_those_that_matplotlib_would_choose(values: list[float]) -> None:
    axis = Figure().subplots()
    axis.scatter(values, np.zeros(len(values)))
    low, high, logarithmic = robustness._ends(values)
    if logarithmic:
        axis.set_xscale("log")
    axis.margins(robustness.MARGIN)
    assert axis.get_xlim() == pytest.approx((low, high), rel=1e-12, abs=1e-12)
