"""The page Classes: medians over seeds by class, lost runs counted, and the page left out where nothing has classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganbench.registry import Measure
from ganbench.report import build
from ganbench.report.classes import classes
from ganbench.report.colours import STEPS
from ganbench.report.context import Context

SHARES = [0.5, 0.25, 0.25]


def with_classes(fake: Any, path: Path, fates: list[str]) -> Any:
    """Return a study of one variant on digits whose three classes are told apart, seed by seed more of the first."""
    given = [({"problem": "digits", "seed": seed, "loss": "hinge"}, fate) for seed, fate in enumerate(fates)]
    study = fake.study_of(given, path)
    for place in range(3):
        study.series[f"class_fidelity.{place}"] = np.nan
        study.series[f"class_share.{place}"] = np.nan
    for seed, run in enumerate(study.runs["run"]):
        rows = study.series["run"] == run
        # only the last probe counts
        last = rows & (study.series["step"] == study.series.loc[rows, "step"].max())
        for place, share in enumerate(SHARES):
            study.series.loc[rows, [f"class_fidelity.{place}", f"class_share.{place}"]] = 0.01
            study.series.loc[last, f"class_fidelity.{place}"] = share + 0.1 * seed
            study.series.loc[last, f"class_share.{place}"] = 2 * share
    study.series["class_fidelity"] = 0.5
    oracle = {f"class_{name}.{place}": share for name in ("share", "fidelity") for place, share in enumerate(SHARES)}
    study.oracle = {**study.oracle, "digits": {**study.oracle["digits"], **oracle, "class_fidelity": 1.0}}
    share = Measure("share of samples on the class", None, (0.0, 1.0))
    right = Measure("share of samples that are what was asked for", "up", (0.0, 1.0))
    study.measures = {**study.measures, "class_share": share, "class_fidelity": right}
    return study


def test_medians_over_seeds_beside_the_oracle(fake: Any, tmp_path: Path) -> None:
    (group,) = classes(Context(with_classes(fake, tmp_path, ["converged"] * 3))) or []
    assert group["problem"] == "digits"
    fidelity, share = group["tables"]
    assert (fidelity["title"], share["title"]) == ("class fidelity", "class share")
    assert fidelity["columns"] == ["0", "1", "2"]
    assert fidelity["oracle"] == ["0.5", "0.25", "0.25"]
    ((first, second, third),) = [row["cells"] for row in fidelity["rows"]]
    assert [cell["text"] for cell in (first, second, third)] == ["0.6", "0.35", "0.35"]
    # above the oracle's: no worse where more is better, twice the share as bad as half of it
    assert first["shade"] == second["shade"] == STEPS
    (cells,) = [row["cells"] for row in share["rows"]]
    assert {cell["shade"] for cell in cells} == {STEPS // 2}


@pytest.mark.parametrize(("fates", "median"), [(["converged", "failed", "diverged"], "0"), (["converged"] * 2, "0.55")])
def test_what_is_lost_counts_as_nothing(fake: Any, tmp_path: Path, fates: list[str], median: str) -> None:
    study = with_classes(fake, tmp_path, fates)
    (group,) = classes(Context(study)) or []
    (cells,) = [row["cells"] for row in group["tables"][0]["rows"]]
    assert cells[0]["text"] == median


def test_the_page_is_there_only_with_classes(fake: Any, tmp_path: Path) -> None:
    without = fake.study_of([({"seed": 0}, "converged")], tmp_path / "without")
    assert classes(Context(without)) is None
    assert "#classes" not in build(without).read_text()
    html = build(with_classes(fake, tmp_path / "with", ["converged"])).read_text()
    assert html.count("id=classes>") == 1
    assert "<a href=#classes>Classes</a>" in html
