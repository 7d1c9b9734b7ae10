"""Frechet distance against SciPy, pytorch-fid and torchmetrics, closed forms, its floor and what it cannot see."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from ganbench.errors import InputError
from ganbench.metrics import (
    Reference,
    frechet_distance,
    frechet_floor,
    frechet_from_moments,
    frechet_infinity,
    moments,
    precision_recall,
    sliced_wasserstein,
)  # fmt: skip
from ganbench.metrics import distances as distances_module


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def samples(n, d, seed=0, dtype=torch.float64):
    """Correlated and shifted."""
    mix = normal(d, d, seed=100 + seed) / math.sqrt(d) + torch.eye(d)
    return (normal(n, d, seed=seed) @ mix + 0.3 * seed).to(dtype)


def by_definition(real, fake):
    a, b = (np.atleast_2d(np.cov(x.double().numpy(), rowvar=False)) for x in (real, fake))
    root = np.real(scipy.linalg.sqrtm(a @ b))
    apart = (real.double().mean(0) - fake.double().mean(0)).square().sum().item()
    return apart + np.trace(a) + np.trace(b) - 2 * np.trace(root)


@pytest.mark.parametrize("d", [1, 2, 3, 8, 65, 300])
def test_it_is_scipys_in_float64_and_float32(d):
    real, fake = samples(900, d), samples(700, d, seed=1)
    assert frechet_distance(real, fake).item() == pytest.approx(by_definition(real, fake), rel=1e-9)
    real, fake = real.float(), fake.float()
    assert frechet_distance(real, fake).item() == pytest.approx(by_definition(real, fake), rel=1e-5)


def test_arrays_and_references_are_equal_citizens():
    real, fake = samples(200, 5), samples(100, 5, seed=1)
    expected = frechet_distance(real, fake)
    assert expected.shape == ()
    assert expected.dtype == torch.float64
    assert torch.equal(frechet_distance(real.numpy(), fake.numpy()), expected)
    assert torch.equal(frechet_distance(Reference(real), fake), expected)
    assert torch.equal(frechet_distance(Reference(real.numpy()), fake.clone().requires_grad_()), expected)


@pytest.mark.parametrize(("d", "m"), [(2, 100), (5, 100), (40, 30)])
def test_runs_together_are_runs_one_by_one(d, m):
    real, fakes = samples(300, d), torch.stack([samples(m, d, seed=s) for s in range(6)]).reshape(2, 3, m, d)
    together = frechet_distance(real, fakes)
    assert together.shape == (2, 3)
    alone = torch.stack([frechet_distance(real, run) for run in fakes.flatten(0, 1)])
    # the root of an eigenvalue that is 0 but for rounding has half the digits
    torch.testing.assert_close(together.flatten(), alone, rtol=1e-8 if m < d else 1e-10, atol=1e-12)


def test_the_budget_of_memory_does_not_change_it(monkeypatch):
    real, fakes = samples(300, 20), torch.stack([samples(150, 20, seed=s) for s in range(3)])
    expected = frechet_distance(real, fakes)
    monkeypatch.setitem(distances_module.PAIRS, "cpu", 700)
    monkeypatch.setattr(moments, "PANEL", 6)
    torch.testing.assert_close(frechet_distance(real, fakes), expected, rtol=1e-11, atol=0)


def gaussian_pair(d):
    a, b = (normal(d, d, seed=s) / math.sqrt(d) for s in (1, 2))
    return a @ a.T + 0.1 * torch.eye(d), b @ b.T + 0.1 * torch.eye(d)


@pytest.mark.parametrize("d", [1, 2, 3, 20])
def test_from_moments_it_is_scipys(d):
    (a, b), m1, m2 = gaussian_pair(d), normal(d, seed=3), normal(d, seed=4)
    root = np.trace(np.real(scipy.linalg.sqrtm((a @ b).numpy())))
    expected = ((m1 - m2).square().sum() + torch.trace(a) + torch.trace(b)).item() - 2 * root
    assert frechet_from_moments(m1, a, m2, b).item() == pytest.approx(expected, rel=1e-9)
    batch = frechet_from_moments(m1.numpy(), a.numpy(), torch.stack([m2, m1]), torch.stack([b, a]))
    assert batch.tolist() == pytest.approx([expected, 0], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("d", [1, 2, 7])
def test_closed_forms_of_gaussians(d):
    zero, eye = torch.zeros(d), torch.eye(d, dtype=torch.float64)
    # commuting covariances: |m1 - m2|^2 + sum (s1 - s2)^2
    scales = torch.arange(1, d + 1, dtype=torch.float64)
    got = frechet_from_moments(zero, eye, zero + 3, torch.diag(scales**2))
    assert got.item() == pytest.approx(9 * d + (scales - 1).square().sum().item(), rel=1e-12)


@pytest.mark.parametrize("d", [1, 2, 5, 64])
def test_identical_and_collapsed(d):
    real = samples(500, d)
    assert frechet_distance(real, real).item() == pytest.approx(0, abs=1e-7)
    point = torch.full((100, d), 0.7, dtype=torch.float64)
    expected = (real.mean(0) - 0.7).square().sum() + real.var(0).sum()
    assert frechet_distance(real, point).item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(30, 20), (30, 500), (500, 20), (900, 40)])
def test_fewer_samples_than_dimensions(n, m):
    # tr (S1 S2)^(1/2) is the nuclear norm of X Y^T for centred X and Y over their numbers: no square root cancels
    real, fake = samples(n, 64), samples(m, 64, seed=1)
    x, y = ((s - s.mean(0)) / math.sqrt(len(s) - 1) for s in (real, fake))
    overlap = np.linalg.svd((x @ y.T).numpy(), compute_uv=False).sum()
    apart = (real.mean(0) - fake.mean(0)).square().sum() + x.square().sum() + y.square().sum()
    assert frechet_distance(real, fake).item() == pytest.approx(apart.item() - 2 * overlap, rel=5e-9)
    assert frechet_distance(real, real).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("m", [2, 4, 7])
def test_few_samples_are_measured_to_the_last_digits(m):
    """By the nuclear norm of one side's centred samples against the other's, which squares nothing."""
    rng = np.random.default_rng(m)
    real, fake = rng.normal(size=(67, 7)), 1.5 * rng.normal(size=(m, 7))
    a, b = (x - x.mean(0) for x in (real, fake))
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum() / math.sqrt((len(a) - 1) * (m - 1))
    spread = (a**2).sum() / (len(a) - 1) + (b**2).sum() / (m - 1) - 2 * overlap
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + spread
    assert float(frechet_distance(real, fake)) == pytest.approx(expected, rel=1e-13)


def test_a_feature_without_variance_changes_nothing():
    real, fake = samples(300, 12), samples(200, 12, seed=1)
    dead = [torch.cat([side, torch.zeros(len(side), 1)], 1) for side in (real, fake)]
    copied = [torch.cat([side, side[:, :1]], 1) for side in (real, fake)]
    assert frechet_distance(*dead).item() == pytest.approx(frechet_distance(real, fake).item(), rel=1e-6)
    assert frechet_distance(*copied).item() == pytest.approx(by_definition(*copied), rel=1e-5)


def test_far_from_the_origin_in_float32():
    # float32 moments at an offset of 100 are off by half a percent
    real, fake = samples(2000, 4).float() + 100, samples(2000, 4, seed=1).float() + 100
    assert frechet_distance(real, fake).item() == pytest.approx(by_definition(real, fake), rel=1e-6)


# ---- its floor and its extrapolation


@pytest.mark.parametrize("d", [1, 2, 5, 10])
def test_the_floor_of_a_standard_normal(d):
    # (1/N + 1/M)(d + d (d + 1) / 4), and the mean over seeds agrees
    n, m, runs = 400, 300, 300
    floor = frechet_floor(torch.eye(d), n, m).item()
    assert floor == pytest.approx((1 / n + 1 / m) * (d + d * (d + 1) / 4), rel=1e-12)
    got = torch.stack([frechet_distance(normal(n, d, seed=s), normal(m, d, seed=9999 + s)) for s in range(runs)])
    assert got.mean().item() == pytest.approx(floor, abs=4 * got.std().item() / math.sqrt(runs) + 0.02 * floor)


def test_the_floor_of_unequal_variances():
    scales = torch.tensor([3.0, 1.0, 0.2], dtype=torch.float64)
    n, runs = 500, 300
    floor = frechet_floor(torch.diag(scales**2), n, n).item()
    draws = [[normal(n, 3, seed=2 * s + side) * scales for side in (0, 1)] for s in range(runs)]
    got = torch.stack([frechet_distance(*draw) for draw in draws])
    assert got.mean().item() == pytest.approx(floor, abs=4 * got.std().item() / math.sqrt(runs))
    # no variance in a direction, no share of it in the floor
    assert frechet_floor(torch.diag(torch.tensor([9.0, 0.0])), n, n).item() == pytest.approx(2 / n * (9 + 4.5))


def test_infinity_removes_the_bias_of_the_fakes_number_only():
    d, n, m, runs = 8, 20_000, 1000, 40
    reference = Reference(normal(n, d))
    fakes = torch.stack([normal(m, d, seed=1 + s) for s in range(runs)])
    plain, infinite = frechet_distance(reference, fakes), frechet_infinity(reference, fakes)
    bias = d + d * (d + 1) / 4
    assert plain.mean().item() == pytest.approx(bias * (1 / n + 1 / m), rel=0.1)
    error = 4 * infinite.std().item() / math.sqrt(runs)
    assert error < bias / m / 3
    assert infinite.mean().item() == pytest.approx(bias / n, abs=error)


def test_infinity_is_the_line_through_its_subsets():
    # all subsets of fakes at one point score the same, so that the line is flat
    real = samples(100, 3)
    point = torch.full((50, 3), 2.0, dtype=torch.float64)
    assert frechet_infinity(real, point).item() == pytest.approx(frechet_distance(real, point).item(), rel=1e-9)
    fake = samples(400, 3, seed=1)
    assert torch.equal(frechet_infinity(real, fake), frechet_infinity(real, fake))
    assert not torch.equal(frechet_infinity(real, fake), frechet_infinity(real, fake, seed=1))


# ---- what it cannot see


def ring(modes, n, seed):
    """8 modes on a circle, of which some are kept."""
    angle = torch.tensor(modes, dtype=torch.float64) * (math.pi / 4)
    centres = 1.41 * torch.stack([angle.cos(), angle.sin()], 1)
    return centres[torch.arange(n) % len(modes)] + 0.07 * normal(n, 2, seed=seed)


def test_it_is_blind_to_symmetric_mode_dropping():
    real, half = ring(list(range(8)), 4000, 0), ring([0, 2, 4, 6], 4000, 1)
    perfect = ring(list(range(8)), 4000, 1)
    floor = frechet_floor(torch.cov(real.T), 4000, 4000).item()
    assert frechet_distance(real, half).item() < 2 * floor
    # others are not
    assert precision_recall(real, half).recall < 0.55
    assert sliced_wasserstein(real, half) > 5 * sliced_wasserstein(real, perfect)


def test_it_sees_dropped_modes_that_move_a_moment():
    real, side = ring(list(range(8)), 4000, 0), ring([0, 1, 2, 3], 4000, 1)
    assert frechet_distance(real, side).item() > 0.5


# ---- errors


def test_errors_name_the_argument():
    real = samples(50, 3)
    with pytest.raises(InputError, match="'fake' has dimension 4 and 'real' 3"):
        frechet_distance(real, samples(50, 4))
    with pytest.raises(InputError, match="'fake' has 1 samples, and this metric needs at least 2"):
        frechet_distance(real, real[:1])
    with pytest.raises(InputError, match="'real' has 1 samples"):
        frechet_distance(real[:1], real)
    with pytest.raises(InputError, match="'real' is constant"):
        frechet_distance(torch.ones(20, 3), real)
    with pytest.raises(InputError, match="'real_covariance' is not symmetric"):
        frechet_from_moments(torch.zeros(3), torch.arange(9.0).reshape(3, 3), torch.zeros(3), torch.eye(3))
    with pytest.raises(InputError, match=r"'fake_covariance' has the shape \[2, 2\].* must be \[3, 3\]"):
        frechet_from_moments(torch.zeros(3), torch.eye(3), torch.zeros(3), torch.eye(2))
    with pytest.raises(InputError, match="'real_mean' must be one mean"):
        frechet_from_moments(torch.zeros(2, 3), torch.eye(3).expand(2, 3, 3), torch.zeros(3), torch.eye(3))
    with pytest.raises(InputError, match="'smallest' must be below the number of fakes, 50"):
        frechet_infinity(real, real, smallest=50)
    with pytest.raises(InputError, match="'points' must be a whole number of 2 or more, got 1"):
        frechet_infinity(real, real, points=1)
    with pytest.raises(InputError, match=r"'covariance' must be \[..., d, d\]"):
        frechet_floor(torch.ones(2, 3), 10, 10)
    with pytest.raises(InputError, match="'n' must be a whole number of 2 or more"):
        frechet_floor(torch.eye(3), 1, 10)


def test_measuring_leaves_the_global_random_state_alone():
    state = torch.random.get_rng_state()
    frechet_infinity(samples(50, 3), samples(50, 3, seed=1))
    assert torch.equal(torch.random.get_rng_state(), state)


# ---- the field's implementations, where they are installed


@pytest.mark.filterwarnings("ignore")
def test_it_is_that_of_pytorch_fid(torchvision):
    peer = pytest.importorskip("pytorch_fid.fid_score", reason="pytorch-fid is not installed", exc_type=ImportError)
    real, fake = samples(900, 64), samples(700, 64, seed=1)
    moments_of = [(x.mean(0).numpy(), np.cov(x.numpy(), rowvar=False)) for x in (real, fake)]
    try:
        expected = peer.calculate_frechet_distance(*moments_of[0], *moments_of[1])
    except (TypeError, ValueError) as error:
        pytest.skip(f"pytorch-fid does not run with this SciPy: {error}")
    assert frechet_distance(real, fake).item() == pytest.approx(expected, rel=1e-9)
    got = frechet_from_moments(*moments_of[0], *moments_of[1])
    assert got.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_it_is_that_of_torchmetrics():
    peer = pytest.importorskip("torchmetrics.image.fid", reason="torchmetrics is not installed", exc_type=ImportError)
    (a, b), m1, m2 = gaussian_pair(64), normal(64, seed=3), normal(64, seed=4)
    expected = peer._compute_fid(m1, a, m2, b).item()
    assert frechet_from_moments(m1, a, m2, b).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_it_is_that_of_torch_fidelity(torchvision):
    peer = pytest.importorskip(
        "torch_fidelity.metric_fid", reason="torch-fidelity is not installed", exc_type=ImportError
    )
    real, fake = samples(900, 64), samples(700, 64, seed=1)
    statistics = [peer.fid_features_to_statistics(side) for side in (real, fake)]
    expected = peer.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, fake).item() == pytest.approx(expected, rel=1e-9)


def test_a_root_has_as_many_columns_as_there_are_directions_with_variance():
    assert moments.root(torch.zeros(3, 3, dtype=torch.float64)).shape == (3, 0)
    flat = torch.diag(torch.tensor([2.0, 0.0, 3.0], dtype=torch.float64))
    root = moments.root(flat)
    assert root.shape == (3, 2)
    torch.testing.assert_close(root @ root.T, flat)
    # a direction that rounding alone made counts for nothing, a small one for what it is
    for small, rank in ((1e-17, 2), (1e-13, 3)):
        assert moments.root(flat + torch.diag(torch.tensor([0.0, small, 0.0]).double())).shape == (3, rank)


@pytest.mark.parametrize(("beside", "apart", "refused"), [
    # a millionth of the largest number, and a hundred-thousandth of the number itself
    (0.0, 3.9e-6, False), (0.0, 4.1e-6, True), (1.0, 1.38e-5, False), (1.0, 1.43e-5, True), (-1.0, 1.38e-5, False),
])  # fmt: skip
def test_a_covariance_is_symmetric_up_to_the_rounding_of_float32(beside, apart, refused):
    covariance = torch.tensor([[4.0, beside], [beside + apart, 4.0]], dtype=torch.float64)
    mean = torch.zeros(2, dtype=torch.float64)
    for sides in ((mean, covariance, mean, torch.eye(2)), (mean, torch.eye(2), mean, covariance)):
        if refused:
            with pytest.raises(InputError, match="_covariance' is not symmetric"):
                frechet_from_moments(*sides)
        else:
            assert frechet_from_moments(*sides).isfinite()


@pytest.mark.parametrize("dimension", [1, 2, 3, 16])
@pytest.mark.parametrize("exponent", [-480, -200, -101, 100, 117, 150, 300, 490])
def test_the_distance_of_numbers_far_from_one_is_that_of_ordinary_ones(dimension, exponent):
    """Multiplied by 2^k, samples are as far apart as before, times 4^k: nothing overflows or underflows."""
    real, fake = samples(300, dimension), samples(300, dimension, seed=1)
    expected = frechet_distance(real, fake).item()
    found = frechet_distance(real * 2.0**exponent, fake * 2.0**exponent).item()
    assert found / 4.0**exponent == pytest.approx(expected, rel=1e-9)


def test_one_run_far_away_changes_no_other():
    real, fakes = (
        samples(200, 3),
        torch.stack([samples(200, 3, seed=1), 1e60 * samples(200, 3), samples(200, 3, seed=2)]),
    )
    found = frechet_distance(real, fakes)
    for place in (0, 2):
        assert found[place] == pytest.approx(frechet_distance(real, fakes[place]).item(), rel=1e-12)
    alone = by_definition(real / 1e60, fakes[1] / 1e60) * 1e120
    assert found[1].item() == pytest.approx(alone, rel=1e-6)


def test_nothing_but_zeros_is_at_its_place():
    assert frechet_distance(torch.tensor([[0.0], [2.0]]), torch.zeros(5, 1)).item() == pytest.approx(3.0)


def test_the_cubic_kernel_says_where_it_ends():
    from ganbench.metrics import kernel_distance

    real, fake = samples(100, 2), samples(100, 2, seed=1)
    assert kernel_distance(real * 1e48, fake * 1e48).isfinite()
    assert kernel_distance(real * 1e60, fake * 1e60, kernel="gaussian").isfinite()
    with pytest.raises(InputError, match=r"^The cubic kernel of numbers beyond 1e\+49 is infinite: scale both samples"):
        kernel_distance(real * 1e51, fake)


def test_a_covariance_has_no_negative_variance():
    # eigenvalues 3 and -1: the variance along (1, -1) would be -1
    odd = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    zero = torch.zeros(2)
    with pytest.raises(InputError, match="'fake_covariance' has a negative variance in some direction"):
        frechet_from_moments(zero, torch.eye(2), zero, odd)
    with pytest.raises(InputError, match="'covariance' has a negative variance in some direction"):
        frechet_floor(odd, 100, 100)
    with pytest.raises(InputError, match="'covariance' is not symmetric"):
        frechet_floor(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), 100, 100)
    # of fewer samples than axes, in float32: eigenvalues that are 0 come out on either side of it
    x = samples(5, 20).float()
    low = torch.cov(x.T)
    assert float(torch.linalg.eigvalsh(low)[0]) < 0
    assert float(frechet_from_moments(x.mean(0), low, x.mean(0), low)) == pytest.approx(0, abs=1e-3)
