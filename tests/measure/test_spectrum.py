"""Singular values and their summaries on matrices of known spectra, and what is told of an eigenvalue not found."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import ArpackNoConvergence

from ganbench.measure import spectrum
from ganbench.problems.base import stream


def with_values(rows, columns, values, seed=0):
    """A matrix [rows, columns] of these singular values."""
    draw = torch.randn(2, max(rows, columns), max(rows, columns), generator=stream("bases", seed), dtype=torch.float64)
    left, right = (torch.linalg.qr(own)[0] for own in draw)
    k = len(values)
    return left[:rows, :rows][:, :k] @ torch.tensor(values, dtype=torch.float64).diag() @ right[:columns, :columns][:k]


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 6), (6, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_singular_values_are_those_of_an_svd_ascending(shape, dtype):
    matrices = torch.randn(2, 3, *shape, generator=stream("matrices", 0), dtype=dtype).requires_grad_()
    got = spectrum.singular_values(matrices)
    assert got.dtype == torch.float64
    assert not got.requires_grad
    expected = np.linalg.svd(matrices.detach().double().numpy(), compute_uv=False)[..., ::-1]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 2)])
def test_a_matrix_that_is_not_finite_has_none_and_its_neighbours_have_theirs(wrong, place):
    matrices = torch.randn(3, 2, 4, generator=stream("matrices", 1))
    expected = spectrum.singular_values(matrices)
    matrices[(1, *place)] = wrong
    got = spectrum.singular_values(matrices)
    assert got[1].isnan().all()
    assert torch.equal(got[[0, 2]], expected[[0, 2]])


def test_a_matrix_of_zeros_has_zeros():
    assert spectrum.singular_values(torch.zeros(2, 3)).tolist() == [0, 0]
    # what rounding makes of a rank of one is no negative square
    outer = torch.tensor([[0.1], [0.7], [1 / 3]]) @ torch.tensor([[0.3, 1 / 7, 0.9]])
    values = spectrum.singular_values(outer)
    assert values.isfinite().all()
    assert values[:2].max() < 1e-7 * values[2]


@pytest.mark.parametrize(("values", "effective", "stable"), [
    ([1.0], 1, 1), ([2.0, 2.0, 2.0], 3, 3), ([0.0, 0.0, 5.0], 1, 1), ([0.0, 3.0, 3.0], 2, 2),
    ([1.0, 3.0], math.exp(-0.25 * math.log(0.25) - 0.75 * math.log(0.75)), 10 / 9),
])  # fmt: skip
def test_ranks_of_a_spectrum(values, effective, stable):
    for scale in (1.0, 7.0):
        own = scale * torch.tensor([values, values], dtype=torch.float64)
        assert spectrum.effective_rank(own).tolist() == pytest.approx([effective] * 2, rel=1e-12)
        assert spectrum.stable_rank(own).tolist() == pytest.approx([stable] * 2, rel=1e-12)


@pytest.mark.parametrize(("below", "share"), [(0.25, 0.25), (0.2500001, 0.5), (0.5, 0.5), (0.51, 0.75), (1.0, 0.75)])
def test_what_is_under_a_share_of_the_largest_has_collapsed(below, share):
    assert spectrum.collapsed_share(torch.tensor([[0.5, 1.0, 2.0, 4.0]]).double(), below).tolist() == [share]


def test_the_share_is_a_hundredth_and_undefined_where_a_value_is():
    own = torch.tensor([[0.0099, 0.0101, 0.5, 1.0], [0.0, 0.0, 0.0, 2.0], [1.0, 1.0, math.nan, 1.0]]).double()
    got = spectrum.collapsed_share(own).tolist()
    assert got[:2] == [0.25, 0.75]
    assert math.isnan(got[2])


@pytest.mark.parametrize("size", [spectrum.DENSE - 1, spectrum.DENSE, spectrum.DENSE + 1, 60])
def test_extremes_on_both_sides_of_the_size_from_which_they_are_sought(size):
    # of a rotation by blocks: 0.5 +- 3i, and reals from -2 to 1
    matrix = np.diag(np.linspace(-2, 1, size))
    matrix[:2, :2] = [[0.5, 3.0], [-3.0, 0.5]]
    matrix[2, 2] = -2
    expected = (-2, 3, math.hypot(0.5, 3))
    assert spectrum.eigenvalue_extremes(matrix.__matmul__, size) == pytest.approx(expected, abs=0.03)
    symmetric = np.diag(np.linspace(-2, 5, size))
    assert spectrum.symmetric_extremes(symmetric.__matmul__, size) == pytest.approx((-2, 5), abs=0.05)
    assert spectrum.symmetric_extremes((-symmetric).__matmul__, size) == pytest.approx((-5, 2), abs=0.05)


@pytest.mark.parametrize(("ends", "expected"), [((-1, 4), (math.nan, 4)), ((-4, 1), (-4, math.nan))])
def test_an_end_that_is_not_found_is_no_number_and_the_other_is_where_it_belongs(monkeypatch, ends, expected):
    solve, asked = spectrum.eigsh, []

    def second_fails(*arguments, **hypers):
        asked.append(hypers)
        if len(asked) == 2:
            raise ArpackNoConvergence("no convergence", np.empty(0), np.empty((0, 0)))
        return solve(*arguments, **hypers)

    monkeypatch.setattr(spectrum, "eigsh", second_fails)
    matrix = np.diag(np.linspace(*ends, 50))
    assert spectrum.symmetric_extremes(matrix.__matmul__, 50) == pytest.approx(expected, abs=0.04, nan_ok=True)
    assert len(asked) == 2


@pytest.mark.parametrize("fails", [0, 1, 2])
def test_one_extreme_that_is_not_found_is_no_number_and_the_others_are(monkeypatch, fails):
    solve, order = spectrum.eigs, ("LM", "SR", "LI")

    def one_fails(*arguments, which, **hypers):
        if which == order[fails]:
            raise ArpackNoConvergence("no convergence", np.empty(0), np.empty((0, 0)))
        return solve(*arguments, which=which, **hypers)

    monkeypatch.setattr(spectrum, "eigs", one_fails)
    matrix = np.diag(np.linspace(-2, 1, 50))
    matrix[:2, :2] = [[0.5, 3.0], [-3.0, 0.5]]
    matrix[2, 2] = -2
    smallest, imaginary, largest = spectrum.eigenvalue_extremes(matrix.__matmul__, 50)
    # the others are sought at a distance of the largest, and not at all without it
    found = {0: (), 1: (imaginary, largest), 2: (smallest, largest)}[fails]
    assert [math.isnan(one) for one in (smallest, imaginary, largest)].count(True) == 3 - len(found)
    exact = {0: (), 1: (3, math.hypot(0.5, 3)), 2: (-2, math.hypot(0.5, 3))}[fails]
    assert found == pytest.approx(exact, abs=0.04)


def test_no_eigenvalue_is_below_the_tolerance_of_the_spectrum_asked_for(monkeypatch):
    asked = []

    def noting(operator, **hypers):
        asked.append((operator.shape, hypers["which"], hypers["k"], hypers["return_eigenvectors"], hypers["v0"]))
        return np.array([1.0])

    monkeypatch.setattr(spectrum, "eigsh", noting)
    spectrum.symmetric_extremes(np.diag(np.arange(50.0)).__matmul__, 50)
    assert [one[:4] for one in asked] == [((50, 50), "LM", 1, False)] * 2
    assert np.array_equal(asked[0][4], asked[1][4]), "the same start each time, so that numbers repeat"
