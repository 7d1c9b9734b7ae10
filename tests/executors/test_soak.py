"""A process that works for long does not grow: a short look; the hour is `python tests/benchmarks/soak.py 3600`."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "soak.py"
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the processes of Linux")


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("ganbench_soak", SCRIPT)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_growth_is_from_the_second_fifth_to_the_last(soak):
    looks = [soak.Look(second, 100 + 2 * (second > 4) * second, 5 + (second == 9)) for second in range(11)]
    memory, files = soak.growth(looks)
    assert (memory, files) == (pytest.approx(0.2), 1)
    assert soak.growth([soak.Look(float(second), 100, 5) for second in range(11)]) == (0.0, 0)


@pytest.mark.slow
def test_a_process_that_trains_and_reads_does_not_grow(soak):
    memory, files = soak.growth(soak.soak(60.0))
    assert memory <= soak.MOST_GROWTH
    assert files <= 0
