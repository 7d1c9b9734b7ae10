"""Faults that the suite `faults` plants in the engine: how many are named, and how many good runs are accused."""

import pytest

from ganbench import api
from ganbench.analysis.game import game_findings
from ganbench.suite import resolve

HEALTHY = 4
"""The first settings of the suite are good ones."""
RIGHT = [
    {"G is not moving"},
    {"D is not moving"},
    {"G is not moving"},
    {"D is not moving"},
    {"D's steps are too large"},
    {"G has stopped moving", "G's units are dead", "G's steps are too large"},
    {"D's steps are too large", "D separates perfectly"},
    {"D's weights are held at next to nothing", "D knows nothing"},
    {"D knows nothing"},
    {"a gradient penalty rules everything", "logits run away"},
    {"the lead swings", "logits run away", "losses explode"},
    {"D's steps are too large"},
]
"""What is right to find of each of the others, in their order."""
PROBE = 125


def test_every_planted_fault_has_a_right_name():
    assert len(resolve("faults").variants) == HEALTHY + len(RIGHT)


@pytest.mark.slow
def test_planted_faults_are_named_and_good_games_are_not(tmp_path):
    """The rules were settled on other seeds; docs/verdicts.md quotes what is found of these."""
    study = api.run("faults", ["seeds=51..62"], out=tmp_path / "study")
    series = dict(list(study.series.groupby("run", sort=False)))
    named, late, accused = [], [], []
    for place, variant in enumerate(study.variants):
        for run in study.runs.loc[study.runs["variant"] == variant.id, "run"]:
            found = game_findings(series[run])
            if place < HEALTHY:
                accused.append(bool(found))
                continue
            right = [one for one in found[:2] if one.finding in RIGHT[place - HEALTHY]]
            named.append(bool(right))
            late += [right[0].onset / PROBE - 1] if right else []
    print(f"named {sum(named)} of {len(named)}, within two probes {sum(x <= 2 for x in late)} of {len(late)}, "
          f"accused {sum(accused)} of {len(accused)}")  # fmt: skip
    assert sum(named) >= 0.9 * len(named)
    assert not any(accused)
    assert sum(x <= 2 for x in late) >= 0.9 * len(late)
