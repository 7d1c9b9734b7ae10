"""Wasserstein distances against SciPy, closed forms, and the mode dropping that moments do not see."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from ganbench.errors import InputError
from ganbench.metrics import Reference, distances, sliced_wasserstein, wasserstein_1d
from ganbench.metrics.transport import directions


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 60), m=st.integers(1, 60), seed=st.integers(0, 99), ties=st.booleans())
def test_on_a_line_it_is_scipys_for_any_numbers(n, m, seed, ties):
    real, fake = normal(n, 1, seed=seed), normal(m, 1, seed=seed + 100) * 1.5 + 0.2
    if ties:
        real, fake = real.round(), fake.round()
        real[0] = 7
    expected = wasserstein_distance(real[:, 0].numpy(), fake[:, 0].numpy())
    assert wasserstein_1d(real, fake).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert sliced_wasserstein(real, fake).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_in_float32_it_is_scipys():
    real, fake = normal(700, 1, dtype=torch.float32), normal(500, 1, seed=1, dtype=torch.float32) + 0.1
    expected = wasserstein_distance(real[:, 0].double().numpy(), fake[:, 0].double().numpy())
    assert wasserstein_1d(real, fake).item() == pytest.approx(expected, rel=1e-9)
    # an offset costs the digits of float32 that the samples themselves have lost, and no more
    moved = wasserstein_distance((real + 100)[:, 0].double().numpy(), (fake + 100)[:, 0].double().numpy())
    assert wasserstein_1d(real + 100, fake + 100).item() == pytest.approx(moved, rel=1e-9)


def test_closed_forms():
    grid = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
    # a shift costs its length, a point mass the mean distance to it, a scale s the mean of |x| |s - 1|
    assert wasserstein_1d(grid, grid + 0.25).item() == pytest.approx(0.25, rel=1e-12)
    assert wasserstein_1d(grid, torch.zeros(1, 1)).item() == pytest.approx(0.5, rel=1e-12)
    assert wasserstein_1d(grid, 3 * grid).item() == pytest.approx(1.0, rel=1e-12)
    assert wasserstein_1d(grid, grid).item() == 0
    # two point masses of unlike weights: a quarter of the mass moves by 1
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    assert wasserstein_1d(ends, ends[[0, 1, 1, 1]]).item() == pytest.approx(0.25, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(100, 100), (90, 70)])
def test_sliced_is_the_mean_over_its_directions(n, m):
    real, fake = normal(n, 3), normal(m, 3, seed=1) + 1
    for count in (5, 32):
        along = directions(3, count)
        assert along.norm(dim=0).tolist() == pytest.approx([1.0] * count, abs=1e-6)
        each = [wasserstein_distance((real @ v).numpy(), (fake @ v).numpy()) for v in along.T]
        got = sliced_wasserstein(real, fake, projections=count)
        assert got.item() == pytest.approx(np.mean(each), rel=1e-9)


def test_sliced_of_a_shift_is_that_of_all_directions():
    # E |v . s| over the unit circle is 2 / pi |s|
    real = normal(50, 2)
    shift = torch.tensor([3.0, 4.0])
    got = sliced_wasserstein(real, real + shift, projections=4000)
    assert got.item() == pytest.approx(5 * 2 / math.pi, rel=0.03)


def test_it_is_symmetric_and_a_metric():
    a, b, c = normal(40, 4), normal(30, 4, seed=1) + 1, normal(50, 4, seed=2) * 2
    ab, bc, ac = (sliced_wasserstein(*sides).item() for sides in ((a, b), (b, c), (a, c)))
    assert sliced_wasserstein(b, a).item() == pytest.approx(ab, rel=1e-12)
    assert ac <= ab + bc


def test_it_sees_symmetric_mode_dropping():
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    centres = torch.stack([angle.cos(), angle.sin()], 1)
    real, perfect = (centres[torch.arange(2000) % 8] + 0.05 * normal(2000, 2, seed=s) for s in (0, 1))
    half = centres[::2][torch.arange(2000) % 4] + 0.05 * normal(2000, 2, seed=1)
    assert sliced_wasserstein(real, half) > 10 * sliced_wasserstein(real, perfect)


@pytest.mark.parametrize("m", [50, 35])
def test_runs_together_are_runs_one_by_one_in_any_budget(m, monkeypatch):
    reference, fakes = Reference(normal(50, 3)), normal(2, 3, m, 3, seed=1)
    together = sliced_wasserstein(reference, fakes)
    alone = torch.stack([sliced_wasserstein(reference.real.numpy(), run) for run in fakes.flatten(0, 1)])
    torch.testing.assert_close(together.flatten(), alone, rtol=1e-12, atol=0)
    monkeypatch.setitem(distances.PAIRS, "cpu", 60)
    torch.testing.assert_close(sliced_wasserstein(Reference(reference.real), fakes), together, rtol=1e-12, atol=0)


def test_a_reference_keeps_its_projections_apart():
    reference, fake = Reference(normal(50, 3)), normal(40, 3, seed=1)
    for count in (1, 7, 32, 7):
        got = sliced_wasserstein(reference, fake, projections=count)
        assert torch.equal(got, sliced_wasserstein(reference.real, fake, projections=count))


def test_errors_name_the_argument():
    with pytest.raises(InputError, match="'fake' has 2 dimensions and a line has one: use sliced_wasserstein"):
        wasserstein_1d(normal(50, 2), normal(50, 2))
    with pytest.raises(InputError, match=r"'fake' must be samples \[..., n, d\], got the shape \[50\]: add"):
        wasserstein_1d(normal(50, 1), normal(50))
    with pytest.raises(InputError, match="'projections' must be a whole number of 1 or more, got 0"):
        sliced_wasserstein(normal(50, 2), normal(50, 2), projections=0)
