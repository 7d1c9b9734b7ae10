"""Are the GANs of ringgan as stable as they were? Trained anew and held against a baseline: gan_stability/README.md."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUITE, BASELINES = ROOT / "gan_stability/suite.yaml", ROOT / "gan_stability/baselines"
PLUGINS = [ROOT / "gan_stability/plugins.py"]


@pytest.mark.ganbench(str(SUITE), BASELINES, plugins=PLUGINS)
def test_nothing_trains_worse_than_it_did():
    """The marker trains and judges: a regression fails, what is not decided is skipped."""
