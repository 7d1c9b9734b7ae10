"""Through which measures a problem of a study is judged and ranked, on tables of a few numbers."""

from types import SimpleNamespace

import pandas as pd
import pytest

from ganbench import registry
from ganbench.analysis.views import ranked_by, view_of
from ganbench.registry import share

NAN = float("nan")


def study(oracle, **columns):
    """Two runs of problem p and one of q, a probe each: a column has a number for each of the three."""
    runs = pd.DataFrame({"run": ["a", "b", "c"], "problem": ["p", "p", "q"]})
    return SimpleNamespace(runs=runs, series=pd.DataFrame({"run": ["a", "b", "c"], **columns}), oracle=oracle)


def test_the_oracle_decides_before_what_was_measured():
    measured = {"precision": [0.5, 0.5, 0.5], "recall": 0.5, "coverage": 0.5}
    known = study({"p": {"high_quality": 0.9, "modes_covered": 8.0}}, **measured)
    assert view_of(known, "p").quality == "high_quality"
    assert view_of(known, "q").quality == "precision"
    assert view_of(study({}, **measured), "p").quality == "precision"


def test_without_an_oracle_the_problems_own_runs_decide():
    mixed = study({"q": {}}, precision=[NAN, 0.5, NAN], recall=[NAN, 0.5, NAN], coverage=[NAN, 0.5, NAN],
                  high_quality=[NAN, NAN, 0.5], modes_covered=[NAN, NAN, 8.0])  # fmt: skip
    assert view_of(mixed, "p").quality == "precision"
    assert view_of(mixed, "q").quality == "high_quality"
    assert ranked_by(mixed, "p") == {"covered": "coverage", "quality": "precision"}
    assert ranked_by(mixed, "q") == {"covered": "modes_covered", "quality": "high_quality"}
    assert view_of(study({}, d_loss=1.0), "p") is None
    assert ranked_by(study({}, d_loss=1.0), "p") == {"covered": None, "quality": None}


@pytest.mark.usefixtures("own_registry")
def test_the_last_registered_of_ones_own_that_measures_the_problem_ranks_it():
    for name, role in (("first", "quality"), ("last", "quality"), ("unseen", "quality"), ("spread", "covering")):

        def own(real, fake):
            """A measure of my own."""

        own.__name__ = name
        registry.register("metric", measures={name: share("a measure of my own", "up", role=role)})(own)

    # a single number is enough; those of another problem are not
    oracle = {problem: {"high_quality": 0.9, "modes_covered": 8.0} for problem in "pq"}
    known = study(oracle, high_quality=0.5, modes_covered=8.0, first=0.5, last=[0.5, NAN, NAN], unseen=NAN,
                  spread=[NAN, NAN, 0.5])  # fmt: skip
    assert ranked_by(known, "p") == {"covered": "modes_covered", "quality": "last"}
    assert ranked_by(known, "q") == {"covered": "spread", "quality": "first"}
