"""For how long a verdict has to hold before it ends a watched loop."""

import numpy as np
import pytest

from ganbench.analysis.verdicts import view
from ganbench.monitor.checks import YOUNG, probes_to_wait, telling


@pytest.mark.parametrize(("coverage", "spread", "wait"), [
    # one point near the middle covers a seventh of the data; what it widens to covers less, and goes on widening
    ([0.098, 0.152, 0.016], [0.018, 0.019, 0.071], YOUNG * 2 + 1),
    # the same covering by samples that lay apart, or of which nobody knows how far
    ([0.098, 0.152, 0.016], [0.9, 0.9, 0.071], 2), ([0.098, 0.152, 0.016], None, 2),
    # a collapse is one whether or not it began at a point
    ([0.1, 0.9, 0.016], [0.018, 1.0, 0.02], 2), ([0.1, 0.9, 0.016], [0.018, 1.0, 1.0], 2),
    # nothing was ever wide
    ([0.0, 0.01, 0.01], [0.05, 0.05, 0.05], YOUNG * 2),
])  # fmt: skip
def test_samples_that_were_one_point_have_not_narrowed(coverage, spread, wait):
    flat = {"precision": 1.0, "recall": 0.0, "density": 1.0}
    series = {name: np.full(3, value) for name, value in flat.items()}
    series |= {"step": np.array([0, 100, 200]), "coverage": np.array(coverage)}
    if spread:
        series["sample_spread"] = np.array(spread)
    seen = view(series)
    assert probes_to_wait(telling(series, seen), seen, 2) == wait
    assert telling(series, None) is series


@pytest.mark.parametrize(("spread", "wait"), [
    # an untrained vocoder's samples differ as its input does
    ([0.15, 0.006, 0.006], YOUNG * 2), ([0.15, 0.006, 0.007], YOUNG * 2 + 1), ([0.15, 0.15, 0.006], 2),
    # one that has been trained before is not
    ([0.6, 0.006, 0.006], 2),
    # wider than the data is no more diverse than they
    ([0.1, 1.72, 0.7], YOUNG * 2), ([0.1, 1.72, 0.45], 2), ([0.1, 0.98, 0.45], 2),
])  # fmt: skip
def test_what_was_spread_before_training_has_not_narrowed(spread, wait):
    flat = {"precision": 1.0, "recall": 0.0, "density": 1.0, "coverage": 0.9}
    series = {name: np.full(3, value) for name, value in flat.items()}
    series |= {"step": np.array([0, 100, 200]), "sample_spread": np.array(spread)}
    seen = view(series)
    assert probes_to_wait(telling(series, seen), seen, 2) == wait
