"""Two studies in one page, set against each other."""

from overriding import over

import ganbench
from ganbench.report import build
from ganbench.report.compare import comparisons
from ganbench.results.study import Study


def test_a_study_against_itself_with_another_seed_and_with_nothing_in_common(tiny, tmp_path):
    def trained(name, *overrides):
        ganbench.run("smoke", over([*tiny, *overrides]), out=tmp_path / name, workers=1)
        return Study(tmp_path / name)

    first = trained("first", "loss=hinge,minimax", "normalization=none", "regularizer=none")
    again = trained("again", "loss=hinge", "normalization=none", "regularizer=none")
    other = trained("other", "loss=wasserstein", "normalization=none", "regularizer=none")
    same, nothing = comparisons([first, again, other])
    (row,) = same["rows"]
    assert row["label"] == "ring8: hinge"
    assert (row["rate_difference"], row["score_difference"], row["answer"]) == (0, 0, "not distinguishable")
    # both seeds of both never learn: 2 of 2 against 2 of 2
    assert (row["failures_a"], row["failures_b"], row["p"]) == ("2/2", "2/2", "1")
    assert same["told"] == "Of 1 variant that both have: 1 not distinguishable."
    assert (nothing["rows"], nothing["told"]) == ([], "No variant is in both.")
    assert comparisons([first]) == []
    html = build([first, again], tmp_path / "both.html").read_text()
    assert 'id="compare"' in html
    assert "smoke (1) and smoke (2)" in html


def test_studies_measured_otherwise_are_told(tiny, tmp_path):
    settings = [*tiny, "loss=hinge", "normalization=none", "regularizer=none"]
    for name, samples in (("first", 64), ("second", 128)):
        ganbench.run("smoke", over([*settings, f"samples={samples}"]), out=tmp_path / name, workers=1)
    (found,) = comparisons([Study(tmp_path / "first"), Study(tmp_path / "second")])
    assert found["rows"] == []
    assert "samples 64" in found["told"]
    assert "cannot be compared" in found["told"]
