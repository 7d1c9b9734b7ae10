"""Kernel distances against their definition, torch-fidelity and torchmetrics, and what they can and cannot see."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from ganbench.errors import InputError
from ganbench.metrics import Reference, distances, gaussian_mmd, kernel_distance, kernels


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_definition(real, fake, kernel):
    """Off-diagonal means of the kernel within each side, less twice its mean across."""
    real, fake = real.double().numpy(), fake.double().numpy()
    within = [np.where(np.eye(len(x)), 0, kernel(x, x)).sum() / (len(x) * (len(x) - 1)) for x in (real, fake)]
    return within[0] + within[1] - 2 * kernel(real, fake).mean()


def cubic(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def gaussian(width):
    return lambda x, y: np.exp(-((x[:, None] - y) ** 2).sum(-1) / (2 * width**2))


# 12 and 40 dimensions of 60 samples: moments and all pairs
@pytest.mark.parametrize(("n", "m"), [(60, 60), (60, 45), (30, 70)])
@pytest.mark.parametrize("d", [1, 2, 3, 12, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_unbiased_mmd_of_the_cubic_kernel(d, n, m, dtype):
    real, fake = normal(n, d).to(dtype), (normal(m, d, seed=1) * 0.7 + 0.5).to(dtype)
    expected = by_definition(real, fake, cubic)
    assert kernel_distance(real, fake).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 12, 40])
@pytest.mark.parametrize("bandwidth", [0.5, 3.0])
def test_with_a_gaussian_kernel(d, bandwidth):
    real, fake = normal(60, d), normal(45, d, seed=1) * 0.7 + 0.5
    expected = by_definition(real, fake, gaussian(bandwidth))
    assert gaussian_mmd(real, fake, bandwidth=bandwidth).item() == pytest.approx(expected, rel=1e-9)
    assert kernel_distance(real, fake, kernel="gaussian", bandwidth=bandwidth).item() == pytest.approx(
        expected, rel=1e-9
    )


def test_the_default_bandwidths_are_of_the_median_distance_of_real_samples():
    real, fake = normal(301, 4), normal(50, 4, seed=1)
    apart = torch.pdist(real).sort().values
    assert len(apart) % 2 == 0
    # the lower of the two in the middle
    median = apart[len(apart) // 2 - 1].item()
    each = [gaussian_mmd(real, fake, bandwidth=median / part).item() for part in (1, 2, 4, 8)]
    assert gaussian_mmd(real, fake).item() == pytest.approx(np.mean(each), rel=1e-11)
    # the unit of the features does not matter
    assert gaussian_mmd(10 * real, 10 * fake).item() == pytest.approx(gaussian_mmd(real, fake).item(), rel=1e-9)


def test_the_median_alone_is_blind_to_symmetric_mode_dropping():
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    centres = 1.41 * torch.stack([angle.cos(), angle.sin()], 1)

    def ring(step, seed):
        mode = step * torch.randint(8 // step, (1000,), generator=torch.Generator().manual_seed(seed))
        return centres[mode] + 0.07 * normal(1000, 2, seed=seed + 1)

    reference = Reference(ring(1, 0))
    perfect, half = (torch.stack([ring(step, 50 * step + 2 * s) for s in range(1, 9)]) for step in (1, 2))
    median = torch.pdist(reference.real).median().item()
    blind = [gaussian_mmd(reference, side, bandwidth=median) for side in (perfect, half)]
    sees = [gaussian_mmd(reference, side) for side in (perfect, half)]
    assert blind[1].mean() < blind[0].mean() + 3 * blind[0].std()
    assert sees[1].min() > sees[0].mean() + 20 * sees[0].std()


def test_far_from_the_origin_the_gaussian_kernel_keeps_its_digits():
    real, fake = normal(100, 8), normal(80, 8, seed=1) + 0.4
    moved = gaussian_mmd(real + 1e6, fake + 1e6, bandwidth=2.0).item()
    assert moved == pytest.approx(gaussian_mmd(real, fake, bandwidth=2.0).item(), rel=1e-6)


@pytest.mark.parametrize("pairs", [37, 1000])
@pytest.mark.parametrize("d", [2, 9, 40])
def test_the_budget_of_memory_does_not_change_it(pairs, d, monkeypatch):
    real, fakes = normal(50, d), normal(3, 60, d, seed=1) * 1.2
    expected = [metric(real, fakes) for metric in (kernel_distance, gaussian_mmd)]
    monkeypatch.setitem(distances.PAIRS, "cpu", pairs)
    for metric, value in zip((kernel_distance, gaussian_mmd), expected, strict=True):
        torch.testing.assert_close(metric(real, fakes), value, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("metric", [kernel_distance, gaussian_mmd])
@pytest.mark.parametrize("d", [2, 40])
def test_runs_together_are_runs_one_by_one(metric, d):
    reference, fakes = Reference(normal(50, d)), normal(2, 3, 40, d, seed=1) * 1.3
    together = metric(reference, fakes)
    assert together.shape == (2, 3)
    alone = torch.stack([metric(reference.real.numpy(), run) for run in fakes.flatten(0, 1)])
    torch.testing.assert_close(together.flatten(), alone, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("metric", [kernel_distance, gaussian_mmd])
def test_a_perfect_sampler_scores_zero_in_expectation(metric):
    got = torch.stack([metric(normal(60, 3, seed=s), normal(80, 3, seed=1000 + s)) for s in range(300)])
    assert abs(got.mean()) < 4 * got.std() / math.sqrt(300)
    assert (got < 0).any()


@pytest.mark.parametrize(("kernel", "d"), [("cubic", 2), ("cubic", 40), ("gaussian", 3)])
def test_subsets_estimate_the_same_with_more_noise(kernel, d):
    real, fake = normal(400, d), normal(300, d, seed=1) * 1.2
    exact = kernel_distance(real, fake, kernel=kernel).item()
    options = {"kernel": kernel, "subset_size": 100}
    subsets = torch.stack([kernel_distance(real, fake, subsets=1, seed=s, **options) for s in range(120)])
    error = subsets.std().item() / math.sqrt(120)
    assert subsets.mean().item() == pytest.approx(exact, abs=4 * error)
    many = kernel_distance(real, fake, subsets=40, **options)
    assert abs(many.item() - exact) < 5 * subsets.std().item() / math.sqrt(40)
    assert torch.equal(many, kernel_distance(real, fake, subsets=40, **options))
    # all of both is no subset
    everything = kernel_distance(real[:300], fake, kernel=kernel, subsets=2, subset_size=300)
    assert everything.item() == pytest.approx(kernel_distance(real[:300], fake, kernel=kernel).item(), rel=1e-9)


def test_subsets_draw_from_their_own_generator():
    state, legacy = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    kernel_distance(normal(50, 2), normal(50, 2, seed=1), subsets=3, subset_size=20)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (np.random.get_state()[1] == legacy).all()  # noqa: NPY002


def test_the_cubic_kernel_sees_three_moments_and_no_more():
    # points at the corners of a square and of the same square turned by 45 degrees share three moments, not four
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    turned = math.sqrt(2) * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    # what is left is the share that the missing diagonal takes: -(mean k(x, x) - mean k) / (n - 1) of either side
    n = 4 * 500
    real, fake = corners.repeat(500, 1), turned.repeat(500, 1)
    within = cubic(corners.numpy(), corners.numpy())
    left = -2 * (np.diag(within).mean() - within.mean()) / (n - 1)
    assert kernel_distance(real, fake).item() == pytest.approx(left, rel=1e-6)
    assert gaussian_mmd(real, fake, bandwidth=1.0).item() > 0.05


def test_errors_name_the_argument():
    real = normal(50, 3)
    with pytest.raises(InputError, match="'kernel' must be 'cubic' or 'gaussian', got 'rbf'"):
        kernel_distance(real, real, kernel="rbf")
    for width in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="'bandwidth' must be above 0, and its square finite"):
            gaussian_mmd(real, real, bandwidth=width)
    with pytest.raises(InputError, match="'subset_size' must be from 2 to 40, the fewest samples given, got 1000"):
        kernel_distance(real, real[:40], subsets=10)
    with pytest.raises(InputError, match="'subsets' must be a whole number of 1 or more, got 0"):
        kernel_distance(real, real, subsets=0)
    with pytest.raises(InputError, match="'fake' has 1 samples, and this metric needs at least 2"):
        kernel_distance(real, real[:1])
    copies = torch.cat([torch.zeros(49, 3), torch.ones(1, 3)])
    with pytest.raises(InputError, match="'real' consists mostly of copies: pass the 'bandwidth'"):
        gaussian_mmd(copies, real)


# ---- the field's implementations, where they are installed


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("d", [2, 64])
def test_it_is_that_of_torch_fidelity(torchvision, d):
    peer = pytest.importorskip(
        "torch_fidelity.metric_kid", reason="torch-fidelity is not installed", exc_type=ImportError
    )
    real, fake = normal(300, d), normal(300, d, seed=1) * 0.8 + 0.2
    # one subset of all: nothing is left to chance
    options = {"kid_subsets": 1, "kid_subset_size": 300, "verbose": False}
    expected = peer.kid_features_to_metric(real, fake, **options)[peer.KEY_METRIC_KID_MEAN]
    assert kernel_distance(real, fake).item() == pytest.approx(expected, rel=1e-9)
    expected = peer.kid_features_to_metric(real, fake, kid_kernel="rbf", kid_kernel_rbf_sigma=2.0, **options)
    got = gaussian_mmd(real, fake, bandwidth=2.0)
    assert got.item() == pytest.approx(expected[peer.KEY_METRIC_KID_MEAN], rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_it_is_that_of_torchmetrics():
    peer = pytest.importorskip("torchmetrics.image.kid", reason="torchmetrics is not installed", exc_type=ImportError)
    real, fake = normal(300, 64), normal(300, 64, seed=1) * 0.8 + 0.2
    expected = peer.poly_mmd(real, fake, degree=3, gamma=None, coef=1.0).item()
    assert kernel_distance(real, fake).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "every"), [(7, 1), (1000, 1), (1001, 2), (2000, 2), (2001, 3)])
def test_the_median_distance_is_that_of_at_most_a_thousand_samples_spread_evenly(n, every):
    real = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    distances = np.sort(pdist(real[::every].numpy()))
    # the lower one of two in the middle
    assert kernels._median_distance(real) == pytest.approx(distances[(len(distances) - 1) // 2], rel=1e-12)
