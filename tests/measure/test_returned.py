"""What a metric of somebody else returns is its columns, or a sentence that names it."""

import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.errors import UserError
from ganbench.measure.evaluate import Evaluator
from ganbench.measure.returned import columns_of
from ganbench.registry import Measure
from ganbench.suite import resolve
from ganbench.training.building import make_problem

RUNS = 3
GOOD = torch.arange(3.0)
RETURNED = {
    "returns a NoneType, not its columns by name": None,
    "returns a list, not its columns by name": [GOOD],
    "gives its column 'mine' a str, not a tensor [3].": {"mine": "a"},
    "gives its column 'mine' a float, not a tensor [3].": {"mine": 1.0},
    "gives its column 'mine' a ndarray, not a tensor [3].": {"mine": GOOD.numpy()},
    "gives its column 'mine' the shape [3, 2], not a number a run, [3].": {"mine": torch.ones(3, 2)},
    "gives its column 'mine' the shape [], not a number a run, [3].": {"mine": torch.ones(())},
    "gives its column 'mine' complex numbers, not real ones.": {"mine": GOOD + 1j},
}


def plugin(kind="metric", function=None):
    def named(real, fake):
        """A metric."""

    meta = {"measures": {"mine": Measure("what it is", "down", (0.0, 1.0))}}
    return registry._plugin(kind, function or named, {}, frozenset(), meta)


@pytest.mark.parametrize("said", RETURNED)
def test_what_is_no_column_is_told_with_its_metric(said):
    with pytest.raises(UserError) as refused:
        columns_of(plugin(), RETURNED[said], RUNS)
    assert str(refused.value).startswith(f"The metric 'named' {said}")


def test_a_column_is_declared_and_may_be_of_a_place():
    for columns in ({"mine": GOOD}, {"mine": GOOD.long()}, {"mine.g": GOOD}, {}):
        assert columns_of(plugin(), columns, RUNS) == columns
    with pytest.raises(UserError) as refused:
        columns_of(plugin("diagnostic"), {"mine": GOOD, "min": GOOD}, RUNS)
    assert str(refused.value) == (
        "Unknown column of the diagnostic 'named', which its 'measures' do not declare, 'min'. Did you mean 'mine'? "
        "Available: mine."
    )


@pytest.mark.parametrize("what", ["fake", "real"])
def test_a_metric_leaves_the_samples_as_they_are(own_registry, what):
    @registry.register("metric", measures={"edited": Measure("what is left", "down", (0.0, 1.0))})
    def editing(real, fake):
        """A metric that edits what it is given."""
        (fake if what == "fake" else real.real).mul_(0)
        return {"edited": fake.mean((-1, -2))}

    (variant,) = resolve(None, over(["problem=ring8", "seeds=1"])).variants
    problem = make_problem(variant)
    evaluator = Evaluator(problem, 64, 32)
    with pytest.raises(UserError, match=r"^The metric 'editing' edits samples in place, by which"):
        evaluator.measure(torch.randn(2, 64, 2))
