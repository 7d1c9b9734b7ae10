"""Precision, recall, density, coverage against prdc, scikit-learn and torch-fidelity, scenarios and blind spots."""

import math

import numpy as np
import prdc as package
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from ganbench.errors import InputError
from ganbench.metrics import (
    Reference,
    density_coverage,
    distances,
    expected_coverage,
    frechet_distance,
    kernel_distance,
    neighbours,
    prdc,
    precision_recall,
    sliced_wasserstein,
    unique_share,
)  # fmt: skip
from ganbench.metrics.distances import Points, close_pairs, neighbour_distances
from ganbench.metrics.neighbours import _by_pairs

NAMES = ("precision", "recall", "density", "coverage")


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def uniform(n, seed=0):
    return torch.rand(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def four(real, fake, **ks):
    return {name: column.item() for name, column in prdc(real, fake, **ks)._asdict().items()}


def by_package(real, fake, k, capsys):
    expected = package.compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=k)
    capsys.readouterr()
    return expected


def by_papers(real, fake, k, *, edge=True):
    """All distances, in rational numbers' order: whole coordinates have exact squares. edge: a ball holds its edge."""
    between = ((real[:, None] - fake[None]) ** 2).sum(-1)
    radii = [np.sort(((side[:, None] - side[None]) ** 2).sum(-1), 1)[:, k] for side in (real, fake)]
    reached = between <= radii[0][:, None] if edge else between < radii[0][:, None]
    held, inside = between <= radii[1] if edge else between < radii[1], between < radii[0][:, None]
    return {
        "precision": reached.any(0).mean(), "recall": held.any(1).mean(),
        "density": inside.sum() / (k * len(fake)), "coverage": inside.any(1).mean(),
    }  # fmt: skip


# ---- against independent implementations


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 16, 128])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_they_are_those_of_the_prdc_package(d, k, dtype, capsys):
    real, fake = normal(400, d).to(dtype), (normal(300, d, seed=1) * 0.8 + 0.3 / d).to(dtype)
    expected = by_package(real, fake, k, capsys)
    assert four(real, fake, k=k, density_k=k) == pytest.approx(expected, abs=1e-12)
    assert precision_recall(real, fake, k=k).recall.item() == pytest.approx(expected["recall"], abs=1e-12)
    assert density_coverage(real, fake, k=k).density.item() == pytest.approx(expected["density"], abs=1e-12)


@pytest.mark.parametrize("d", [2, 8])
def test_each_metric_has_its_papers_k(d):
    real, fake = normal(300, d), normal(250, d, seed=1) * 0.7
    together = prdc(real, fake)
    assert (*precision_recall(real, fake, k=3), *density_coverage(real, fake, k=5)) == tuple(together)
    assert (*precision_recall(real, fake), *density_coverage(real, fake)) == tuple(together)


def test_more_fakes_than_real_samples_all_count(capsys):
    for d in (2, 8):
        real, fake = normal(60, d), normal(500, d, seed=1)
        assert four(real, fake, k=3, density_k=3) == pytest.approx(by_package(real, fake, 3, capsys), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 64, 700])
def test_neighbours_are_those_of_scikit_learn(d, dtype):
    samples = normal(500, d).to(dtype)
    found = NearestNeighbors(n_neighbors=8, algorithm="brute").fit(samples.double().numpy())
    apart = found.kneighbors()[0]
    # (without an argument it leaves each sample out of its own neighbours)
    torch.testing.assert_close(neighbour_distances(samples, 8), torch.from_numpy(apart).square(), rtol=1e-9, atol=1e-13)


@pytest.mark.filterwarnings("ignore")
def test_precision_and_recall_are_those_of_torch_fidelity(torchvision):
    peer = pytest.importorskip(
        "torch_fidelity.metric_prc", reason="torch-fidelity is not installed", exc_type=ImportError
    )
    real, fake = normal(400, 16), normal(300, 16, seed=1) * 0.8 + 0.1
    expected = peer.prc_features_to_metric(fake, real, verbose=False)
    got = precision_recall(real, fake)
    assert got.precision.item() == pytest.approx(expected["precision"], abs=1e-6)
    assert got.recall.item() == pytest.approx(expected["recall"], abs=1e-6)


# ---- products in float32 propose, differences in float64 decide


def brute(samples, k):
    samples = samples.double()
    apart = (samples[:, None] - samples).square().sum(-1)
    apart.fill_diagonal_(math.inf)
    return apart.sort(1).values[:, :k]


HARD = {
    "far from the origin": lambda d: normal(120, d) + 1e6,
    "tight clusters far apart": lambda d: 1e-4 * normal(120, d) + 10.0 * (torch.arange(120)[:, None] % 3),
    "tight cluster and an outlier": lambda d: torch.cat([1e-5 * normal(119, d), torch.full((1, d), 50.0)]),
    "copies": lambda d: normal(12, d).repeat(10, 1),
    "a grid": lambda d: torch.randint(-2, 3, (120, d), generator=torch.Generator().manual_seed(0)).double(),
    "tiny": lambda d: 1e-25 * normal(120, d),
    "huge": lambda d: 1e30 * normal(120, d),
    "all scales": lambda d: normal(120, d) * torch.logspace(-12, 12, 120, dtype=torch.float64)[:, None],
}


@pytest.mark.parametrize("scene", HARD)
@pytest.mark.parametrize("d", [2, 5, 60])
@pytest.mark.parametrize("pairs", [50, 2_000, 1_000_000])
def test_neighbours_of_hard_samples(scene, d, pairs, monkeypatch):
    monkeypatch.setitem(distances.PAIRS, "cpu", pairs)
    samples = HARD[scene](d)
    expected = brute(samples, 4)
    torch.testing.assert_close(neighbour_distances(samples, 4), expected, rtol=1e-9, atol=0)
    batch = torch.stack([samples, normal(120, d), samples.flip(0)])
    torch.testing.assert_close(neighbour_distances(batch, 4)[2].flip(0), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("scene", HARD)
@pytest.mark.parametrize("d", [2, 60])
@pytest.mark.parametrize("pairs", [50, 5_000, 1_000_000])
def test_close_pairs_are_all_found_and_rightly_judged(scene, d, pairs, monkeypatch):
    monkeypatch.setitem(distances.PAIRS, "cpu", pairs)
    real = HARD[scene](d)
    fakes = torch.stack([real + real.std() * 1e-3 * normal(120, d, seed=2), real.flip(0), normal(120, d, seed=3)])
    ball, own = brute(real, 3)[:, 2], torch.stack([brute(run, 2)[:, 1] for run in fakes])
    apart = (fakes[:, :, None] - real).square().sum(-1)
    found = torch.zeros(3, 3, 120, 120, dtype=torch.bool)
    for run, row, column, squared in close_pairs(
        Points(fakes, real.mean(0)), Points(real[None], real.mean(0)), own, [ball]
    ):
        for place, hit in enumerate((squared <= ball[column], squared < ball[column], squared <= own[run, row])):
            found[place, run[hit], row[hit], column[hit]] = True
    expected = torch.stack([apart <= ball, apart < ball, apart <= own[:, :, None]])
    # copies and grids: sums in another order may differ in the last digit of equal distances
    blurred = torch.minimum((apart - ball).abs() / ball, (apart - own[:, :, None]).abs() / own[:, :, None]) < 1e-9
    assert ((found == expected) | blurred).all()
    assert blurred.double().mean() < 0.6


def test_float32_products_are_not_trusted_beyond_their_digits(monkeypatch):
    # what the bounds of a product leave open is decided by differences: without them the answer changes
    real, fake = 1e-3 * normal(200, 20) + 10 * (torch.arange(200)[:, None] % 2), 1e-3 * normal(200, 20, seed=1)
    expected = four(real, fake)
    assert expected["precision"] > 0.4
    monkeypatch.setattr(distances, "UNSURE", 0.0)  # always by products in float64
    assert four(real, fake) == pytest.approx(expected, abs=1e-12)


def test_rounded_products_of_float32_are_not_used():
    samples = normal(50, 20)
    assert Points(samples[None], samples.mean(0)).fast
    before = torch.backends.mkldnn.matmul.fp32_precision
    try:
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        assert not Points(samples[None], samples.mean(0)).fast
        torch.testing.assert_close(neighbour_distances(samples, 4), brute(samples, 4), rtol=1e-9, atol=0)
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"
        assert Points(samples[None], samples.mean(0)).fast
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


def test_autocast_does_not_reach_the_products():
    real, fake = normal(300, 20, dtype=torch.float32), normal(200, 20, seed=1, dtype=torch.float32)
    expected = prdc(real, fake)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert prdc(real, fake) == expected


@pytest.mark.parametrize("pairs", [300, 30_000])
def test_the_budget_of_memory_does_not_change_them(pairs, monkeypatch):
    real, fakes = normal(150, 6), torch.stack([normal(100, 6, seed=s) * (0.5 + s / 4) for s in range(4)])
    expected = prdc(real, fakes)
    monkeypatch.setitem(distances.PAIRS, "cpu", pairs)
    assert all(torch.equal(a, b) for a, b in zip(prdc(real, fakes), expected, strict=True))


@pytest.mark.parametrize("d", [2, 6])
def test_runs_together_are_runs_one_by_one(d):
    reference, fakes = Reference(normal(150, d)), torch.stack([normal(100, d, seed=s) for s in range(6)])
    together = prdc(reference, fakes.reshape(2, 3, 100, d))
    for name in NAMES:
        alone = [getattr(prdc(reference.real, run), name) for run in fakes]
        assert torch.equal(getattr(together, name).flatten(), torch.stack(alone))


@settings(max_examples=40, deadline=None)
@given(
    d=st.integers(1, 5), n=st.integers(6, 40), m=st.integers(6, 40), seed=st.integers(0, 99), levels=st.integers(1, 4)
)
def test_trees_and_pairs_are_one_definition(d, n, m, seed, levels):
    generator = torch.Generator().manual_seed(seed)
    real, fake = (torch.randint(-levels, levels + 1, (count, d), generator=generator).double() for count in (n, m))
    if (real == real[0]).all():
        return
    apart, k, j = (fake[:, None] - real).square().sum(-1), 2, 3
    manifold, ball, own = brute(real, k)[:, -1], brute(real, j)[:, -1], brute(fake, k)[:, -1]
    expected = {
        "precision": (apart <= manifold).any(1), "recall": (apart <= own[:, None]).any(0),
        "density": (apart < ball).double().sum(1) / j, "coverage": (apart < ball).any(0),
    }  # fmt: skip
    expected = [column.double().mean().item() for column in expected.values()]
    assert [x.item() for x in prdc(real, fake, k=k, density_k=j)] == pytest.approx(expected, abs=1e-12)
    assert _by_pairs(Reference(real), fake[None], k, j)[:, 0].tolist() == pytest.approx(expected, abs=1e-12)


# ---- scenarios


@pytest.mark.parametrize("d", [1, 2, 6])
def test_identical_sets_share_all(d):
    real = normal(150, d)
    # each ball holds its own centre and 4 of its 5 neighbours: strict <, so that density is (1 + 4) / 5
    assert four(real, real.clone()) == pytest.approx(dict.fromkeys(NAMES, 1), abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 6])
def test_disjoint_supports_share_nothing(d):
    assert four(normal(100, d), normal(100, d, seed=1) + 100) == dict.fromkeys(NAMES, 0)


def test_half_overlapping_intervals():
    # U[0, 1] against U[.5, 1.5]: half of each, and coverage half of 1 - 2^-5
    assert four(uniform(4000), uniform(4000, 1) + 0.5) == pytest.approx(
        {"precision": 0.5, "recall": 0.5, "density": 0.5, "coverage": 0.4844}, abs=0.03
    )


def modes(which, n, seed, d=1):
    centres = 1000.0 * torch.tensor(which, dtype=torch.float64)
    return centres.repeat(-(-n // len(which)))[:n, None] * torch.eye(1, d) + normal(n, d, seed=seed)


@pytest.mark.parametrize("kept", [8, 5, 1])
def test_mode_dropping(kept):
    got = four(modes(range(8), 1600, 0), modes(range(kept), 1600, 1))
    assert got["precision"] == pytest.approx(1, abs=0.02)
    assert got["density"] == pytest.approx(1, abs=0.12)
    assert got["recall"] == pytest.approx(kept / 8, abs=0.02)
    # a share of the modes hit, each at 8 / kept times its number of fakes
    assert got["coverage"] == pytest.approx(kept / 8 * (1 - (1 + 8 / kept) ** -5), abs=0.03)


def test_mode_invention():
    # half of the fakes on modes that do not exist: precision and density are the share of the others
    got = four(modes(range(4), 1600, 0), modes([0, 1, 2, 3, 100, 101, 102, 103], 1600, 1))
    assert got["precision"] == pytest.approx(0.5, abs=0.02)
    assert got["density"] == pytest.approx(0.5, abs=0.07)
    assert got["recall"] == pytest.approx(1, abs=0.02)
    assert got["coverage"] == pytest.approx(1 - 1.5**-5, abs=0.03)


def test_an_outlier_among_the_fakes_costs_its_share():
    real, fake = normal(400, 4), normal(400, 4, seed=1)
    clean, outlier = four(real, fake[:-1]), four(real, torch.cat([fake[:-1], torch.full((1, 4), 60.0)]))
    assert outlier["precision"] == pytest.approx(clean["precision"] * 399 / 400, abs=1e-12)
    assert outlier["density"] == pytest.approx(clean["density"] * 399 / 400, abs=1e-12)
    assert outlier["coverage"] == clean["coverage"]
    # its ball ends at its third neighbour among the fakes, so that it takes in no more real samples than that
    assert outlier["recall"] == pytest.approx(clean["recall"], abs=0.02)


def test_one_real_outlier_lifts_precision_of_shifted_fakes():
    # blind spot: its ball reaches across; coverage, which counts balls, is not fooled
    real, fake = normal(1000, 64), normal(1000, 64, seed=1) + 1.0
    lifted = torch.cat([real[:-1], torch.full((1, 64), 3.0)])
    clean, fooled = four(real, fake), four(lifted, fake)
    assert clean["precision"] < 0.05
    assert fooled["precision"] > 0.8
    assert fooled["density"] > clean["density"] + 0.1
    assert fooled["coverage"] == pytest.approx(clean["coverage"], abs=0.002)


def test_tight_fakes_in_wide_reals_are_precise_and_not_diverse():
    wide, tight = normal(500, 2) * 10, normal(500, 2, seed=1)
    got, swapped = four(wide, tight), four(tight, wide)
    assert got["precision"] > 0.95
    assert got["recall"] < 0.1
    assert swapped["precision"] < 0.1
    assert swapped["recall"] > 0.95


# ---- blind spots


def test_collapse_onto_the_mean_in_high_dimension_looks_covered():
    real, point = normal(1000, 64), torch.zeros(1000, 64, dtype=torch.float64)
    got = four(real, point)
    assert got["precision"] == 1
    assert got["coverage"] > 0.95
    assert got["density"] > 100
    # what sees it: recall, and the share of unique fakes
    assert got["recall"] == 0
    assert unique_share(real, point).item() <= 0.001
    assert unique_share(real, normal(1000, 64, seed=1)).item() == 1


def test_recall_misses_modes_of_a_thousandth_of_their_mass():
    n, heavy = 9000, torch.zeros(9000, dtype=torch.long)
    heavy[:90] = torch.arange(90) % 9 + 1  # nine of ten modes: 10 fakes each
    real = modes(range(10), n, 0)
    fake = 1000.0 * heavy[:, None] + normal(n, 1, seed=1)
    got = four(real, fake)
    assert got["recall"] > 0.95
    assert got["precision"] > 0.97
    # mean over modes of 1 - (1 + K w)^-5
    expected = (1 - (1 + 10 * 8910 / n) ** -5 + 9 * (1 - (1 + 10 * 10 / n) ** -5)) / 10
    assert got["coverage"] == pytest.approx(expected, abs=0.03)
    assert got["coverage"] < 0.2


def test_precision_and_recall_of_a_perfect_sampler_fall_with_the_dimension():
    at = {d: precision_recall(normal(1000, d), normal(1000, d, seed=1)) for d in (2, 128)}
    assert at[2].precision > 0.97
    assert at[2].recall > 0.97
    assert 0.5 < at[128].precision < 0.75
    assert 0.5 < at[128].recall < 0.75


def test_they_see_the_symmetric_mode_dropping_that_two_or_three_moments_do_not():
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    centres = 1.41 * torch.stack([angle.cos(), angle.sin()], 1)

    def ring(step, seed):
        mode = step * torch.randint(8 // step, (1500,), generator=torch.Generator().manual_seed(seed))
        return centres[mode] + 0.07 * normal(1500, 2, seed=seed + 1)

    real = ring(1, 0)
    perfect, half = (
        torch.stack([ring(1, 2 * s) for s in range(1, 9)]),
        torch.stack([ring(2, 2 * s) for s in range(9, 17)]),
    )
    for blind in (frechet_distance, kernel_distance):
        score, floor = blind(real, half), blind(real, perfect)
        assert abs(score.mean() - floor.mean()) < 3 * floor.std()
    score, floor = sliced_wasserstein(real, half), sliced_wasserstein(real, perfect)
    assert score.mean() > floor.mean() + 3 * floor.std()
    got = prdc(real, half)
    assert got.recall.mean().item() == pytest.approx(0.5, abs=0.03)
    assert got.coverage.mean().item() == pytest.approx(0.5 * (1 - 3**-5), abs=0.03)


# ---- what a perfect sampler scores


@pytest.mark.parametrize(("d", "n", "m", "k"), [(1, 200, 150, 5), (2, 100, 300, 3), (8, 150, 150, 5), (32, 60, 100, 1)])
def test_a_perfect_samplers_density_and_coverage(d, n, m, k):
    runs = 150
    got = [density_coverage(normal(n, d, seed=s), normal(m, d, seed=5000 + s), k=k) for s in range(runs)]
    for name, expected in (("density", 1.0), ("coverage", expected_coverage(n, m, k))):
        column = torch.stack([getattr(value, name) for value in got])
        assert abs(column.mean().item() - expected) < 4.5 * column.std().item() / math.sqrt(runs)
        assert column.mean().item() == pytest.approx(expected, abs=0.04)


def test_expected_coverage():
    # one neighbour, one fake: it falls into the ball with 1/n
    assert expected_coverage(10, 1, 1) == pytest.approx(1 / 10)
    assert expected_coverage(10**6, 10**6) == pytest.approx(1 - 2**-5, abs=1e-5)
    assert expected_coverage(2, 1, 1) == pytest.approx(1 / 2)
    assert expected_coverage(6, 1) == pytest.approx(5 / 6)
    with pytest.raises(InputError, match="'k' must be below the number of real samples, 5, got 5"):
        expected_coverage(5, 5)
    with pytest.raises(InputError, match="'n' must be a whole number of 2 or more, got 1"):
        expected_coverage(1, 5)
    for wrong in ((5, 0, 1), (5, 5, 0)):
        with pytest.raises(InputError, match="must be a whole number of 1 or more, got 0"):
            expected_coverage(*wrong)


# ---- errors


def test_errors_name_the_argument():
    real = normal(50, 3)
    with pytest.raises(InputError, match="'fake' has 5 samples, and this metric needs at least 6"):
        prdc(real, real[:5])
    with pytest.raises(InputError, match="'real' has 3 samples, and this metric needs at least 4"):
        precision_recall(real[:3], real)
    with pytest.raises(InputError, match="'real' has 3 samples, and this metric needs at least 4"):
        precision_recall(Reference(real[:3]), real)
    with pytest.raises(InputError, match="'neighbours' of the Reference is 4, and k \\+ 1 are 6: raise it"):
        density_coverage(Reference(real, neighbours=4), real)
    with pytest.raises(InputError, match="'k' must be a whole number of 1 or more, got 0"):
        precision_recall(real, real, k=0)
    with pytest.raises(InputError, match=r"'density_k' must be a whole number of 1 or more, got 2.5"):
        prdc(real, real, density_k=2.5)
    with pytest.raises(InputError, match="'fake' has dimension 2 and 'real' 3"):
        prdc(real, normal(50, 2))
    assert prdc(real[:6], real[:6]).coverage.item() == 1


def test_measuring_changes_no_argument():
    real, fake = normal(60, 6), normal(60, 6, seed=1)
    for sides in ((real, fake), (real[:, :2], fake[:, :2]), (real[:, :1].contiguous(), fake[:, :1])):
        held = sides[0].clone(), sides[1].clone()
        prdc(*sides)
        frechet_distance(*sides)
        kernel_distance(*sides)
        sliced_wasserstein(*sides)
        assert all(torch.equal(a, b) for a, b in zip(sides, held, strict=True))


def test_numpy_arrays_of_any_layout():
    real, fake = np.random.default_rng(0).normal(size=(2, 60, 4))
    expected = prdc(real.copy(), fake.copy())
    frozen = fake.copy()
    frozen.flags.writeable = False
    assert prdc(np.asfortranarray(real), frozen) == expected
    assert prdc(real[::-1].copy()[::-1], fake) == expected


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_ties_cost_no_more_than_their_number(dimension, monkeypatch):
    """Of rectified normals 2^-d are the same point: each as a ball of its own would list all of them."""
    real, fake = (normal(3000, dimension, seed=seed).clamp(min=0) for seed in (0, 1))
    listed = []

    plain = prdc(real, fake)
    union = neighbours._union

    def counted(lists, total):
        listed.append(sum(map(len, lists)))
        return union(lists, total)

    monkeypatch.setattr(neighbours, "_union", counted)
    assert prdc(real, fake) == plain
    heavy = 3000 / 2**dimension
    assert len(listed) == 2
    assert max(listed) < 40 * 3000 + 40 * heavy < heavy**2
    monkeypatch.setattr(neighbours, "TREE", 0)
    for one, other in zip(prdc(real, fake), plain, strict=True):
        assert one.item() == pytest.approx(other.item(), abs=1e-12)


def test_some_neighbours_are_random_ones_whatever_the_order():
    """Samples in order: the first rows are of one mode, and of the other nothing is near them."""
    modes = torch.tensor([[-8.0, 0.0], [8.0, 0.0]]).repeat_interleave(1000, 0)
    real, fake = modes + normal(2000, 2), modes + normal(2000, 2, seed=1)
    whole = precision_recall(real, fake)
    for one, other in zip(precision_recall(Reference(real, neighbours=500), fake.flip(0)), whole, strict=True):
        assert one.item() == pytest.approx(other.item(), abs=0.06)
    first = Reference(real, neighbours=500, shuffled=True)
    assert precision_recall(first, fake.flip(0)).precision.item() == 0
    assert torch.equal(first.some(real), real[:500])


def test_the_random_neighbours_are_always_the_same():
    real, fake = normal(300, 3), normal(2, 200, 3, seed=1)
    one, other = (Reference(real, neighbours=50) for _ in range(2))
    assert torch.equal(one.close, other.close)
    assert len({tuple(row) for row in one.close.tolist()} & {tuple(row) for row in real.tolist()}) == 50
    assert all(torch.equal(a, b) for a, b in zip(prdc(one, fake), prdc(other, fake), strict=True))
    assert torch.equal(one.some(fake)[0], one.some(fake[0])), "every run is measured at the same places"
    assert one.some(fake[:, :50]).shape == (2, 50, 3)


# ---- ties


@settings(max_examples=40, deadline=None)
@given(
    d=st.sampled_from([1, 2, 3, 4, 9]), n=st.integers(8, 40), m=st.integers(8, 40), k=st.integers(1, 5),
    seed=st.integers(0, 999), levels=st.integers(2, 6),
)  # fmt: skip
def test_of_equal_distances_a_manifold_holds_its_edge_and_a_ball_does_not(d, n, m, k, seed, levels):
    """Kynkaanniemi's eq. 1 has <=, Naeem's eq. 3 and 5 have <; on a grid most distances are equal to others."""
    drawn = np.random.default_rng(seed)
    real, fake = (drawn.integers(0, levels, (count, d)).astype(float) for count in (n, m))
    if (real == real[0]).all():
        return
    assert four(real, fake, k=k, density_k=k) == pytest.approx(by_papers(real, fake, k), abs=1e-12)


@pytest.mark.parametrize("d", [2, 8])
def test_the_package_leaves_the_edge_out_of_precision_and_recall_too(d, capsys):
    """On the page: of copies, such as those that a rectifier makes, it counts none; the rest agrees."""
    real, fake = (normal(600, d, seed=s).relu() for s in (0, 1))
    theirs, ours = by_package(real, fake, 5, capsys), four(real, fake, k=5, density_k=5)
    assert ours == pytest.approx(by_papers(real.numpy(), fake.numpy(), 5), abs=1e-12)
    assert theirs == pytest.approx(by_papers(real.numpy(), fake.numpy(), 5, edge=False), abs=1e-12)
    assert (ours["density"], ours["coverage"]) == pytest.approx((theirs["density"], theirs["coverage"]), abs=1e-12)
    if d == 2:  # a quarter of all samples is at the origin
        assert ours["precision"] > 0.98
        assert theirs["precision"] < 0.8
