"""Each number of a suite at the last value that is taken and at the first that is not."""

import pytest

from ganbench import suite
from ganbench.errors import UserError
from ganbench.suite import resolve

BORDERS = [
    ("steps", 1, 10**9), ("batch_size", 1, 10**6), ("latent_dim", 1, 10**6), ("critic_steps", 1, 100),
    ("generator_steps", 1, 100), ("probe_every", 1, 10**9), ("samples", 16, 10**6), ("neighbours", 16, 10**6),
    ("time_limit", 0, 10**9), ("loss.hinge.margin", -(2**63) + 1, 2**63 - 1),
    ("network.mlp.width", -(2**63) + 1, 2**63 - 1),
]  # fmt: skip


@pytest.mark.parametrize(("key", "least", "most"), BORDERS)
def test_the_least_and_the_most_are_taken_and_nothing_beyond(key, least, most):
    for value in (least, most):
        (variant,) = resolve(None, ["loss=hinge", f"{key}={value}"]).variants
        if "." in key:
            assert dict(variant.hypers)[key] == pytest.approx(value, rel=1e-15)
    for value, said in ((least - 1, least), (most + 1, most)):
        with pytest.raises(UserError, match=rf"^The key '{key}' must be at (least|most) {abs(said)}|at most"):
            resolve(None, ["loss=hinge", f"{key}={value}"])


@pytest.mark.parametrize("axis", ["steps", "batch_size", "critic_steps"])
def test_of_several_numbers_each_counts(axis):
    for odd in (0, suite.LARGEST[axis] + 1):
        for values in ((1, odd), (odd, 1)):
            with pytest.raises(UserError, match=rf"^The key '{axis}' must be at"):
                resolve(None, [f"{axis}={values[0]},{values[1]}"])


def test_seeds_are_natural_numbers_that_torch_takes():
    assert resolve(None, ["seeds=1"]).seeds == (0,)
    assert resolve(None, ["seeds=10000"]).seeds == tuple(range(10_000))
    assert resolve(None, [f"seeds=[0, {2**63 - 1}]"]).seeds == (0, 2**63 - 1)
    for odd in ("0", "10001", "-1", "[-1, 3]", "[3, -1]", f"[{2**63}]", f"[0, {2**63}]", "[]", "[1, 1]", "true", "1.0"):
        with pytest.raises(UserError, match=r"^The key 'seeds'"):
            resolve(None, [f"seeds={odd}"])


def test_a_grid_may_be_as_large_as_its_limits(monkeypatch):
    assert (suite.MOST_VARIANTS, suite.MOST_RUNS) == (20_000, 200_000)
    words = ["loss=hinge,minimax", "loss.hinge.margin=1,2", "seeds=4"]
    for name, count in (("MOST_VARIANTS", 3), ("MOST_RUNS", 12)):
        with monkeypatch.context() as patch:
            patch.setattr(suite, name, count)
            assert len(resolve(None, words).runs) == 12
            patch.setattr(suite, name, count - 1)
            with pytest.raises(UserError, match=rf"^The grid has {count} .* holds at most {count - 1}: "):
                resolve(None, words)


def test_a_text_of_a_hyper_parameter_is_one_line_of_100_characters():
    for value, fits in (("x" * 100, True), ("x" * 101, False), ('"a\\nb"', False)):
        words = ["optimizer=sgd", f"optimizer.sgd.decay={value}"]
        if fits:
            assert dict(resolve(None, words).variants[0].hypers)["optimizer.sgd.decay"] == value
        else:
            with pytest.raises(UserError, match=r"takes a line of at most 100 characters"):
                resolve(None, words)
