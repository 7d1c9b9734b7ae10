"""Two studies in one page, set against each other."""

from overriding import over
from typer.testing import CliRunner

import ganbench
from ganbench.cli import app
from ganbench.report import build
from ganbench.report.compare import LOOKS, _with_spread, comparisons
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
    assert nothing["rows"] == []
    assert nothing["told"].startswith("No variant is in both: ")
    assert comparisons([first]) == []
    html = build([first, again], tmp_path / "both.html").read_text()
    assert "id=compare" in html
    assert "smoke (1) and smoke (2)" in html
    # two seeds have a range, and no interval
    assert row["score"] == "0.00 (range 0.00 to 0.00)"
    assert "<small>range 0.00 to 0.00</small>" in html
    # whoever looks again whenever seeds were added is told, in the page and by the command
    assert LOOKS in html
    done = CliRunner().invoke(app, ["report", str(first.path), str(again.path), "-o", str(tmp_path / "again.html")])
    assert LOOKS in " ".join(done.output.split())


def test_from_five_seeds_on_a_difference_has_an_interval():
    row = {"score_difference": -0.1, "score_low": -0.2, "score_high": 0.05, "seeds_a": 20}
    assert _with_spread({**row, "seeds_b": 5}) == "-0.10 (-0.20 to 0.05)"
    assert _with_spread({**row, "seeds_b": 4}) == "-0.10 (range -0.20 to 0.05)"
    assert _with_spread({**row, "seeds_b": 1, "score_low": float("nan")}) == "-0.10"


def test_studies_measured_otherwise_are_told(tiny, tmp_path):
    settings = [*tiny, "loss=hinge", "normalization=none", "regularizer=none"]
    for name, samples in (("first", 64), ("second", 128)):
        ganbench.run("smoke", over([*settings, f"samples={samples}"]), out=tmp_path / name, workers=1)
    (found,) = comparisons([Study(tmp_path / "first"), Study(tmp_path / "second")])
    assert found["rows"] == []
    assert "samples 64" in found["told"]
    assert "cannot be compared" in found["told"]
