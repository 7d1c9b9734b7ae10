"""What numbers a hyper-parameter may be, as its annotation says: refused beyond its ends, of every plug-in there is."""

import math
from typing import Annotated

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt
from hypothesis import given
from hypothesis import strategies as st
from overriding import over
from pydantic import PositiveInt

from ganbench import kinds, registry
from ganbench.errors import UserError
from ganbench.ranges import AtLeastOne, BelowOne, NotNegative, Positive, PositiveShare, Share, bounds_of, outside
from ganbench.suite import resolve

ENDS = [
    (plugin, hyper, bound)
    for kind in kinds.KINDS
    for plugin in (registry.get(kind, name) for name in registry.names(kind))
    for hyper in plugin.hypers
    for bound in bounds_of(plugin.function, hyper)
]
CASES = [
    (Positive, "above 0", [1e-300], [0, -1]),
    (NotNegative, "at least 0", [0, 5], [-1e-300]),
    (AtLeastOne, "at least 1", [1], [0]),
    (Share, "at least 0 and at most 1", [0, 1], [-0.01, 1.01]),
    (PositiveShare, "above 0 and at most 1", [1, 0.01], [0, 1.01]),
    (BelowOne, "at least 0 and below 1", [0, 0.999], [1, -0.01]),
    (PositiveInt, "above 0", [1], [0]),
    (Annotated[int, Ge(2), Lt(5)], "at least 2 and below 5", [2, 4], [1, 5]),
    (Annotated[float, Gt(-1), Le(1)], "above -1 and at most 1", [-0.9, 1], [-1, 1.1]),
]


@pytest.mark.parametrize(("annotation", "words", "good", "bad"), CASES)
def test_an_annotation_says_what_a_number_has_to_be(annotation, words, good, bad):
    def plugin(*, x: annotation = 1): ...

    bounds = bounds_of(plugin, "x")
    assert [outside(bounds, value) for value in good] == [""] * len(good)
    assert [outside(bounds, value) for value in bad] == [words] * len(bad)


@pytest.mark.parametrize("annotation", [float, "float", "NotThere", "1 / 0", None, Annotated[float, "any"]])
def test_an_annotation_that_sets_no_range_allows_everything(annotation):
    def plugin(*, x=1): ...

    plugin.__annotations__["x"] = annotation
    assert bounds_of(plugin, "x") == ()
    assert bounds_of(plugin, "y") == ()
    assert outside((), -math.inf) == ""


@given(st.floats(allow_nan=False), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_number_is_refused_exactly_where_it_is_beyond_an_end(value, low, high):
    def plugin(*, x=1.0): ...

    plugin.__annotations__["x"] = Annotated[float, Interval(gt=low, le=high)]
    assert (outside(bounds_of(plugin, "x"), value) == "") == (low < value <= high)


@pytest.mark.parametrize(("plugin", "hyper", "bound"), ENDS, ids=lambda one: getattr(one, "name", str(one))[:30])
def test_every_plugin_is_refused_beyond_its_ends(plugin, hyper, bound):
    axis = plugin.kind
    key = f"{axis}.{plugin.name}.{hyper}"
    beyond = bound.number + (-1 if bound.word in ("above", "at least") else 1)
    with pytest.raises(UserError, match=f"^The key '{key}' must be .*{bound.word} {bound.number:g}.*, got {beyond:g}"):
        resolve(None, over([f"{axis}={plugin.name}", f"{key}={beyond:g}"]))


def test_there_are_ends_to_test():
    assert {plugin.kind for plugin, _, _ in ENDS} >= {"loss", "regularizer", "optimizer", "update", "trick", "model"}


def test_a_default_beyond_its_own_range_is_refused_where_it_is_registered():
    def shifted(real_logits, fake_logits, *, slope: NotNegative = -1.0):
        """Shifted."""

    with pytest.raises(UserError, match="'slope' of the loss 'shifted' must be at least 0, as its annotation says"):
        registry.register("loss")(shifted)
    assert "shifted" not in registry.names("loss")
