"""Metrics against known answers, independent implementations, and what each is known not to see."""

import math

import numpy as np
import prdc
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from ganbench import registry
from ganbench.measure.evaluate import Evaluator
from ganbench.metrics.reference import Reference, neighbour_radii, squared_distances
from ganbench.metrics.transport import directions
from ganbench.problems.base import Modes, Picture, stream

WITHIN = 1 - math.exp(-9 / 2)  # .98889: a 2-D Gaussian within three standard deviations


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def metric(name, reference, fake, **hypers):
    return registry.get("metric", name)(reference, fake, **hypers)


def values(name, real, fake, **hypers):
    return {key: column.item() for key, column in metric(name, Reference(real), fake, **hypers).items()}


def problem(name, **hypers):
    return registry.get("problem", name)(**hypers)


# ---- Frechet


def frechet_by_definition(real, fake):
    real, fake = real.numpy().astype(float), fake.numpy().astype(float)
    a, b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (real, fake))
    root = np.real(scipy.linalg.sqrtm(a @ b))
    return ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * np.trace(root)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 64])
def test_frechet_is_scipys(d):
    mix = normal(d, d, seed=2) / math.sqrt(d) + torch.eye(d)
    real, fake = normal(400, d, seed=0), normal(300, d, seed=1) @ mix + 0.3
    assert values("frechet", real, fake)["frechet"] == pytest.approx(frechet_by_definition(real, fake), rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 8])
def test_frechet_floor(d):
    # P = Q = N(0, I): expectation (1/N + 1/M) (d + d (d + 1) / 4)
    n, m, runs = 1000, 500, 64
    reals, fakes = normal(runs, n, d, seed=0), normal(runs, m, d, seed=1)
    got = torch.tensor([values("frechet", *pair)["frechet"] for pair in zip(reals, fakes, strict=True)])
    expected = (1 / n + 1 / m) * (d + d * (d + 1) / 4)
    assert abs(got.mean().item() - expected) < 5 * got.std().item() / math.sqrt(runs)
    assert got.mean().item() == pytest.approx(expected, rel=0.5)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_frechet_of_a_shift_and_of_a_scale(d):
    real = normal(2000, d)
    # same covariance: the squared distance of the means; same mean: tr S (s - 1)^2
    assert values("frechet", real, real + 2.0)["frechet"] == pytest.approx(4 * d, rel=1e-9)
    scaled = (real - real.mean(0)) * 3 + real.mean(0)
    assert values("frechet", real, scaled)["frechet"] == pytest.approx(4 * real.var(0).sum().item(), rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 16])
def test_frechet_of_a_set_with_itself_is_zero(d):
    real = normal(500, d)
    assert values("frechet", real, real)["frechet"] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_frechet_of_a_collapsed_generator(d):
    # no covariance: |mean difference|^2 + tr S
    real = normal(500, d)
    point = torch.full((100, d), 0.7, dtype=torch.float64)
    expected = (real.mean(0) - 0.7).square().sum() + real.var(0).sum()
    assert values("frechet", real, point)["frechet"] == pytest.approx(expected.item(), rel=1e-9)


def test_frechet_far_from_the_origin_in_float32():
    # float32 moments at an offset of 100 are off by half a percent
    real, fake = normal(2000, 4, dtype=torch.float32) + 100, normal(2000, 4, seed=1, dtype=torch.float32) + 100.5
    assert values("frechet", real, fake)["frechet"] == pytest.approx(frechet_by_definition(real, fake), rel=1e-6)


def test_frechet_with_fewer_samples_than_dimensions():
    real, fake = normal(30, 64), normal(20, 64, seed=1)
    assert values("frechet", real, fake)["frechet"] == pytest.approx(frechet_by_definition(real, fake), rel=1e-5)


# ---- precision, recall, density, coverage


@pytest.mark.parametrize(("d", "n", "m"), [(1, 300, 300), (2, 300, 200), (3, 250, 250), (10, 300, 200), (64, 200, 200)])
def test_neighbours_are_those_of_the_prdc_package(d, n, m):
    real, fake = normal(n, d), normal(m, d, seed=1) * 0.8 + 0.3
    got = values("neighbours", real, fake, k=3, density_k=5)
    # (prdc has one k: precision and recall at 3, density and coverage at 5)
    at = {k: prdc.compute_prdc(real.numpy(), fake.numpy(), nearest_k=k) for k in (3, 5)}
    expected = {name: at[k][name] for name, k in {"precision": 3, "recall": 3, "density": 5, "coverage": 5}.items()}
    assert got == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(3))
def test_neighbours_of_ties_and_duplicates(d, seed):
    # small whole numbers about a mean of zero: distances are exact and many are equal, points coincide
    generator = torch.Generator().manual_seed(seed)
    half = torch.randint(-3, 4, (30, d), generator=generator).double()
    real, fake = torch.cat([half, -half]), torch.randint(-4, 5, (50, d), generator=generator).double()
    apart = (real[:, None] - fake).square().sum(-1)

    def radii(points, k):
        own = (points[:, None] - points).square().sum(-1)
        others = [torch.cat([row[:i], row[i + 1 :]]) for i, row in enumerate(own)]
        return torch.stack(others).sort(1).values[:, k - 1]

    ball = radii(real, 5)[:, None]
    expected = {
        "precision": (apart <= radii(real, 3)[:, None]).any(0), "recall": (apart <= radii(fake, 3)).any(1),
        "density": (apart < ball).double().sum(0) / 5, "coverage": (apart < ball).any(1),
    }  # fmt: skip
    expected = {name: column.double().mean().item() for name, column in expected.items()}
    assert values("neighbours", real, fake) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 8])
def test_a_perfect_samplers_density_and_coverage(d):
    n, m, runs, k = 200, 150, 100, 5
    reals, fakes = normal(runs, n, d), normal(runs, m, d, seed=1)
    got = [values("neighbours", real, fake) for real, fake in zip(reals, fakes, strict=True)]
    coverage = 1 - math.prod((n - j) / (n + m - j) for j in range(1, k + 1))
    for name, expected in (("density", 1.0), ("coverage", coverage)):
        column = torch.tensor([value[name] for value in got])
        assert abs(column.mean() - expected) < 4.5 * column.std() / math.sqrt(runs)
        assert column.mean().item() == pytest.approx(expected, abs=0.03)


def test_disjoint_supports_share_nothing():
    assert values("neighbours", normal(100, 2), normal(100, 2, seed=1) + 100) == {
        "precision": 0, "recall": 0, "density": 0, "coverage": 0,
    }  # fmt: skip


@pytest.mark.parametrize("d", [1, 2, 6])
def test_a_set_with_itself_shares_all(d):
    real = normal(150, d)
    got = values("neighbours", real, real)
    assert (got["precision"], got["recall"], got["coverage"]) == (1, 1, 1)
    # each ball holds its own centre and the 4 nearer ones of 5: strict <, so density is (1 + 4) / 5; in the product
    # form of a distance rounding may break a tie
    assert got["density"] == pytest.approx(1, abs=1e-12 if d <= 3 else 0.01)


def test_half_overlapping_intervals():
    # U[0, 1] against U[.5, 1.5]
    n = 2000
    real = torch.rand(n, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fake = torch.rand(n, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5
    expected = {"precision": 0.5, "recall": 0.5, "density": 0.5, "coverage": 0.4844}
    assert values("neighbours", real, fake) == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("dropped", [0, 3, 5])
def test_dropped_modes(dropped):
    # separated modes, fakes on 8 - dropped of them: recall is the share of modes hit, precision stays
    modes, n = 8, 800
    centres = torch.arange(modes, dtype=torch.float64)[:, None] * 1000
    kept = modes - dropped
    real = centres.repeat_interleave(n // modes, 0) + normal(n, 1)
    fake = centres[:kept].repeat(n // kept + 1, 1)[:n] + normal(n, 1, seed=1)
    got = values("neighbours", real, fake)
    assert got["precision"] == pytest.approx(1, abs=0.03)
    assert got["recall"] == pytest.approx(kept / modes, abs=0.03)
    # 1 - (1 + K w)^-5 on each mode hit
    assert got["coverage"] == pytest.approx(kept / modes * (1 - (1 + modes / kept) ** -5), abs=0.03)
    assert got["density"] == pytest.approx(1, abs=0.15)


def test_mass_on_no_mode_is_precision_and_density_lost():
    n = 400
    real, fake = normal(n, 2), normal(n, 2, seed=1)
    fake[: n // 4] += 1000
    got = values("neighbours", real, fake)
    near = values("neighbours", real, fake[n // 4 :])
    assert got["precision"] == pytest.approx(0.75 * near["precision"], abs=1e-12)
    assert got["density"] == pytest.approx(0.75 * near["density"], abs=1e-12)


def test_precision_and_recall_are_not_swapped():
    wide, tight = normal(500, 2) * 10, normal(500, 2, seed=1)
    got = values("neighbours", wide, tight)
    assert got["precision"] > 0.95
    assert got["recall"] < 0.1
    swapped = values("neighbours", tight, wide)
    assert swapped["precision"] < 0.1
    assert swapped["recall"] > 0.95


def test_collapse_onto_the_mean_in_high_dimension():
    # precision and coverage are blind to it, recall is not (docs: read them together)
    real, fake = normal(1000, 64), torch.zeros(1000, 64, dtype=torch.float64)
    got = values("neighbours", real, fake)
    assert got["precision"] == 1
    assert got["coverage"] > 0.95
    assert got["recall"] == 0
    assert got["density"] > 100


def test_neighbours_far_from_the_origin_in_float32():
    # the matrix form of a distance loses .23 at an offset of 10; 64 dimensions take that form
    for d in (2, 64):
        real, fake = normal(150, d, dtype=torch.float32), normal(150, d, seed=1, dtype=torch.float32)
        offset = values("neighbours", real + 64, fake + 64)
        rounded = values("neighbours", (real + 64) - 64, (fake + 64) - 64)
        assert offset == pytest.approx(rounded, abs=0.011)


def test_neighbours_of_data_far_from_the_origin_are_centred_first():
    # the squares of 1e8 leave a product form no digits for distances of order 1, in float64 either
    real, fake = normal(150, 40), normal(150, 40, seed=1)
    assert values("neighbours", real + 1e8, fake + 1e8) == pytest.approx(values("neighbours", real, fake), abs=1e-6)


@pytest.mark.parametrize("d", [1, 3, 4, 40])
def test_distances_and_radii(d):
    a, b = normal(2, 30, d), normal(2, 20, d, seed=1)
    direct = (a[:, :, None] - b[:, None]).square().sum(-1)
    torch.testing.assert_close(squared_distances(a, b), direct, rtol=1e-10, atol=1e-12)
    # a sample's own copy is a neighbour, the sample itself is not
    twins = torch.cat([a[0], a[0]])
    assert neighbour_radii(twins, 1).max() < 1e-12
    assert neighbour_radii(a[0], 1).min() > 0
    k_th = (a[0][:, None] - a[0][None]).square().sum(-1).sort(1).values[:, 4]
    torch.testing.assert_close(neighbour_radii(a[0], 4), k_th, rtol=1e-9, atol=1e-12)


# ---- sliced Wasserstein


def test_on_a_line_sliced_is_plain_wasserstein():
    for seed, (n, m) in enumerate([(200, 200), (1000, 500)]):
        real, fake = normal(n, 1, seed=seed), normal(m, 1, seed=9) * 1.5 + 0.2
        expected = wasserstein_distance(real[:, 0].numpy(), fake[:, 0].numpy())
        # quantiles at plotting positions: exact for equal numbers
        tolerance = 1e-12 if n == m else 0.01
        assert values("sliced_wasserstein", real, fake)["sliced_wasserstein"] == pytest.approx(expected, rel=tolerance)


def test_sliced_wasserstein_is_the_mean_over_its_directions():
    real, fake = normal(100, 3), normal(100, 3, seed=1) + 1
    assert directions(3, 32).norm(dim=0).tolist() == pytest.approx([1.0] * 32, abs=1e-6)
    each = [wasserstein_distance((real @ v).numpy(), (fake @ v).numpy()) for v in directions(3, 32).T]
    assert values("sliced_wasserstein", real, fake)["sliced_wasserstein"] == pytest.approx(sum(each) / 32, rel=1e-9)


# ---- modes


def mixture(d, modes=4, apart=1e6, std=0.5):
    # centres on a line in d dimensions, far from each other
    centres = torch.zeros(modes, d, dtype=torch.float64)
    centres[:, 0] = torch.arange(modes) * apart
    return Modes(centres, std, torch.full((modes,), 1 / modes, dtype=torch.float64))


def draw(modes, n, seed=0, weights=None):
    weights = modes.weights if weights is None else torch.as_tensor(weights, dtype=torch.float64)
    index = torch.multinomial(weights, n, replacement=True, generator=torch.Generator().manual_seed(seed))
    return modes.centres[index] + modes.std * normal(n, modes.centres.shape[1], seed=seed + 1)


def of_modes(modes, fake, **hypers):
    reference = Reference(modes.centres, modes=modes)
    return {key: value.item() for key, value in metric("mode_statistics", reference, fake, **hypers).items()}


@pytest.mark.parametrize("d", [1, 2, 10, 700])
def test_a_perfect_sampler_has_the_same_quality_in_every_dimension(d):
    # "within ten standard deviations" rejects every sample at d = 700, where the median radius is 26.5
    n = 4000
    got = of_modes(mixture(d, std=0.5), draw(mixture(d, std=0.5), n))["high_quality"]
    assert got == pytest.approx(WITHIN, abs=4 * math.sqrt(WITHIN * (1 - WITHIN) / n))


def test_in_two_dimensions_high_quality_is_three_standard_deviations():
    modes = mixture(2, std=1.0)
    at = lambda radius: of_modes(modes, modes.centres + torch.tensor([0.0, radius]))["high_quality"]  # noqa: E731
    assert at(2.999) == 1
    assert at(3.001) == 0


def test_kl_of_a_perfect_sampler_has_its_floor():
    # (K - 1) / (2 N) for finite samples; the published ring at N = 2500: .0014
    modes = mixture(2, modes=8)
    n, runs = 2500, 60
    kls = torch.tensor([of_modes(modes, draw(modes, n, seed=2 * run))["mode_kl"] for run in range(runs)])
    assert 7 / (2 * n) == pytest.approx(0.0014)
    # 2 N KL is chi-squared of 7 degrees, variance 14
    error = 4 * math.sqrt(14 / runs) / (2 * n)
    assert kls.mean().item() == pytest.approx(7 / (2 * WITHIN * n), abs=error)


def test_mode_statistics_of_known_histograms():
    modes = mixture(2, modes=4, std=1.0)
    counts = torch.tensor([50, 25, 6, 0])
    fake = modes.centres.repeat_interleave(counts, 0)
    junk = torch.full((19, 2), 500.0, dtype=torch.float64)
    got = of_modes(modes, torch.cat([fake, junk]))
    shares = counts[:3] / 81
    # a mode is covered by a quarter of its weight of all 100: 6.25 samples
    expected = {
        "modes_hit": 3, "modes_covered": 2, "high_quality": 0.81, "mode_kl": (shares * (4 * shares).log()).sum().item(),
    }  # fmt: skip
    assert got == pytest.approx(expected, rel=1e-6)
    assert of_modes(modes, torch.cat([fake, junk]), quota=0.24)["modes_covered"] == 3


def test_mode_kl_is_to_the_true_weights():
    modes = mixture(2, modes=2)
    skewed = Modes(modes.centres, modes.std, torch.tensor([0.9, 0.1], dtype=torch.float64))
    fake = modes.centres.repeat_interleave(torch.tensor([90, 10]), 0)
    assert of_modes(skewed, fake)["mode_kl"] == pytest.approx(0, abs=1e-12)
    assert of_modes(modes, fake)["mode_kl"] == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))


@pytest.mark.parametrize("count", [2, 3, 5, 7, 9, 25, 49])
def test_a_histogram_like_the_weights_has_no_divergence_and_none_below_zero(count):
    modes = mixture(2, modes=count)
    for times in (1, 3, 7):
        assert 0 <= of_modes(modes, modes.centres.repeat(times, 1))["mode_kl"] < 1e-12


def test_a_light_mode_is_covered_by_few_samples():
    modes = mixture(2, modes=2)
    skewed = Modes(modes.centres, modes.std, torch.tensor([0.9, 0.1], dtype=torch.float64))
    junk = torch.full((67, 2), 500.0, dtype=torch.float64)
    fake = torch.cat([modes.centres.repeat_interleave(torch.tensor([30, 3]), 0), junk])
    # a quarter of the true weights is 22.5 and 2.5 samples of 100; of equal weights it were 12.5
    assert of_modes(skewed, fake)["modes_covered"] == 2
    assert of_modes(modes, fake)["modes_covered"] == 1


def test_a_generator_off_every_mode():
    modes = mixture(2, modes=4, std=1.0)
    got = of_modes(modes, torch.full((50, 2), 500.0, dtype=torch.float64))
    # no histogram at all scores as the worst one: all mass on the lightest mode
    assert got == pytest.approx({"modes_hit": 0, "modes_covered": 0, "high_quality": 0, "mode_kl": math.log(4)})


# ---- all metrics of a problem


@pytest.fixture(scope="module")
def evaluators():
    return {plugin.name: Evaluator(plugin(), 300, 150) for plugin in SHIPPED}


def perfect(evaluator, runs, seed=100):
    own = evaluator.problem
    return torch.stack([own.oracle_samples(evaluator.samples, seed=seed + run) for run in range(runs)])


def measured(evaluator, fake, order=slice(None)):
    """Measure fakes [runs, n, ...], made for each label or picture in turn where the problem gives any."""
    gives, places = evaluator.problem.gives, torch.arange(fake.shape[1])
    if not gives:
        return evaluator.measure(fake, None)
    pictures = evaluator.problem.draw(64, stream("pictures", 0)).given
    known = pictures if isinstance(gives, Picture) else torch.arange(gives.classes)
    given = known[places % len(known)][order]
    return evaluator.measure(fake, given.expand(len(fake), *given.shape))


# of hundreds of pixels and modes, what they add is tested beside them
LARGE = ("factors", "stack")
SHIPPED = [
    plugin
    for plugin in registry.plugins("problem")
    if not plugin.declared("external") and not plugin.provides & set(LARGE)
]
DISTRIBUTIONS = [plugin.name for plugin in SHIPPED if "game" not in plugin.provides]
every_problem = pytest.mark.parametrize("name", DISTRIBUTIONS)


@every_problem
def test_runs_together_are_runs_one_by_one(evaluators, name):
    spread = torch.tensor([1.0, 0.9, 0.5, 0.0])
    fake = perfect(evaluators[name], 4)
    fake = fake * spread.reshape(-1, *(1,) * (fake.dim() - 1))
    fake = torch.cat([fake, fake[:1] + 0.3])
    together = measured(evaluators[name], fake)
    for run in range(5):
        for column, value in measured(evaluators[name], fake[run : run + 1]).items():
            torch.testing.assert_close(together[column][run : run + 1], value, rtol=1e-5, atol=2e-5, msg=column)


@every_problem
def test_a_run_that_is_not_finite_is_nan_and_alone_in_it(evaluators, name):
    clean = perfect(evaluators[name], 3)
    for bad in (float("nan"), float("inf")):
        broken = clean.clone()
        broken[1, 7].view(-1)[-1] = bad
        expected, got = measured(evaluators[name], clean), measured(evaluators[name], broken)
        for column in expected:
            assert got[column][1].isnan()
            assert torch.equal(got[column][[0, 2]], expected[column][[0, 2]]), column


@every_problem
def test_a_collapsed_generator_is_measured(evaluators, name):
    one = perfect(evaluators[name], 1)[:, :1]
    for constant in (one, torch.zeros_like(one), one * 1e4):
        columns = measured(evaluators[name], constant.expand(1, evaluators[name].samples, *one.shape[2:]))
        assert all(value.isfinite().all() for value in columns.values())
        assert columns["recall"].item() < 0.05


@every_problem
def test_measuring_leaves_the_global_random_state_alone(evaluators, name):
    fake, state = perfect(evaluators[name], 1), torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    measured(evaluators[name], fake)
    Evaluator(problem(name), 100, 50)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


@every_problem
def test_the_order_of_the_fakes_does_not_matter(evaluators, name):
    evaluator = evaluators[name]
    evaluator = Evaluator(evaluator.problem, 200, 10_000)  # all samples serve as neighbours
    fake = perfect(evaluator, 1)
    order = torch.randperm(fake.shape[1], generator=torch.Generator().manual_seed(0))
    expected, got = measured(evaluator, fake), measured(evaluator, fake[:, order], order)
    for column, value in expected.items():
        torch.testing.assert_close(got[column], value, rtol=1e-5, atol=1e-6, msg=column)


@every_problem
@settings(max_examples=15, deadline=None)
@given(
    scale=st.sampled_from([0.0, 1e-6, 0.3, 1.0, 3.0, 1e4, 1e25]),
    shift=st.floats(-5, 5, width=32),
    noise=st.sampled_from([0.0, 0.1, 10.0]),
    seed=st.integers(0, 50),
)
def test_every_measure_stays_within_its_bounds(evaluators, name, scale, shift, noise, seed):
    evaluator = evaluators[name]
    fake = perfect(evaluator, 2, seed=seed)
    fake = fake * scale + shift + noise * normal(*fake.shape, seed=seed, dtype=torch.float32)
    declared = registry.measures()
    for column, value in measured(evaluator, fake).items():
        low, high = declared[column.partition(".")[0]].bounds
        assert value.isfinite().all(), column
        assert (value >= low).all(), column
        assert (value <= high).all(), column


@every_problem
def test_every_declared_measure_is_there_where_its_metric_applies(evaluators, name):
    columns = {column.partition(".")[0] for column in measured(evaluators[name], perfect(evaluators[name], 1))}
    offered, beside = evaluators[name].problem.capabilities, evaluators[name].problem.feature_spaces[1:]
    expected = {
        measure
        for plugin in registry.plugins("metric")
        if set(plugin.needs) <= offered and not plugin.declared("asked")
        for measure in plugin.meta["measures"]
        if not measure.startswith("frechet_") or measure.removeprefix("frechet_") in beside
    }
    if (evaluators[name].modes or 0) > 32:  # nobody reads so many columns
        expected -= {"mode_share", "class_share"}
    assert columns == expected


def test_frechet_is_blind_to_symmetric_mode_dropping():
    ring = problem("ring8")
    evaluator = Evaluator(ring, 2000, 1000)
    half = Modes(ring.modes.centres[::2], ring.modes.std, torch.full((4,), 0.25, dtype=torch.float64))
    got = {k: v.item() for k, v in measured(evaluator, draw(half, 2000).float()[None]).items()}
    # the mean and the covariance of every other mode are those of the ring: (1/N + 1/M) (d + d (d+1) / 4), about
    assert got["frechet"] < 4 * (2 / 2000) * 3.5
    assert got["modes_covered"] == got["modes_hit"] == 4
    assert got["recall"] == pytest.approx(0.5, abs=0.05)
    assert got["coverage"] == pytest.approx(0.5 * (1 - 3**-5), abs=0.05)
    assert got["precision"] > 0.95
    assert got["mode_kl"] == pytest.approx(math.log(2), abs=0.01)
    assert got["sliced_wasserstein"] > 3 * evaluator.oracle()["sliced_wasserstein"]


@pytest.mark.parametrize("name", ["line", "ring8", "grid25", "ring8_imbalanced"])
def test_the_oracle_has_the_values_of_theory(evaluators, name):
    evaluator, modes = evaluators[name], evaluators[name].problem.modes
    oracle, n, k = evaluator.oracle(), 300, len(evaluators[name].problem.modes.centres)
    draws = 32
    assert oracle["high_quality"] == pytest.approx(WITHIN, abs=4 * math.sqrt(WITHIN * (1 - WITHIN) / (n * draws)))
    assert oracle["mode_kl"] == pytest.approx((k - 1) / (2 * n), rel=0.25)
    assert oracle["modes_hit"] == pytest.approx(k, abs=0.05)
    neighbours = 150
    coverage = 1 - math.prod((neighbours - j) / (2 * neighbours - j) for j in range(1, 6))
    assert oracle["coverage"] == pytest.approx(coverage, abs=0.04)
    assert oracle["density"] == pytest.approx(1, abs=0.15)
    assert oracle["frechet"] < 0.06
    assert modes.weights.min() * n > 5


def test_the_oracle_of_digits(evaluators):
    oracle = evaluators["digits"].oracle()
    assert oracle["classes_covered"] == 10
    assert oracle["confident"] > 0.8
    assert oracle["class_kl"] < 0.05
    assert oracle["precision"] > 0.6


def test_class_statistics_of_known_predictions():
    # features are one-hot logits: the head is sure of a class, or of none
    head = lambda features: torch.softmax(features, -1)  # noqa: E731
    reference = Reference(torch.eye(4, dtype=torch.float64), class_head=head)
    sure, torn = 20 * torch.eye(4, dtype=torch.float64), torch.zeros(4, 4, dtype=torch.float64)
    got = metric("class_statistics", reference, torch.cat([sure[[0] * 6], sure[[1] * 6], torn]))
    assert {key: value.item() for key, value in got.items()} == pytest.approx(
        {"classes_covered": 2, "class_kl": math.log(2), "confident": 0.75}
    )


@pytest.mark.parametrize(("on", "quota", "covered"), [
    # of 40 samples on 4 classes a fair share is 10: a quarter of it 2.5, a half 5, all of it 10
    ([2, 3, 17, 18], {}, 3), ([0, 2, 19, 19], {}, 2), ([5, 4, 15, 16], {"quota": 0.5}, 3), ([5, 5, 15, 15], {}, 4),
    ([10, 10, 10, 10], {"quota": 1.0}, 4), ([9, 11, 10, 10], {"quota": 1.0}, 3),
])  # fmt: skip
def test_a_class_and_a_mode_are_covered_by_their_share_of_all_samples(on, quota, covered):
    labels = torch.arange(4).repeat_interleave(torch.tensor(on))
    centres = 10 * torch.eye(4, dtype=torch.float64)
    reference = Reference(centres, class_head=lambda features: torch.softmax(9 * features, -1))
    assert metric("class_statistics", reference, centres[labels], **quota)["classes_covered"].item() == covered
    modes = Modes(centres, 0.1, torch.full((4,), 0.25, dtype=torch.float64))
    got = metric("mode_statistics", Reference(centres, modes=modes), centres[labels], **quota)
    assert got["modes_covered"].item() == covered


def test_a_mode_is_covered_by_its_own_weight():
    # of 40 samples a quarter of these weights' shares are 1, 2, 3 and 4
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    centres = 10 * torch.eye(4, dtype=torch.float64)
    reference = Reference(centres, modes=Modes(centres, 0.1, weights))
    for on, covered in (([1, 2, 3, 34], 4), ([1, 1, 3, 35], 3), ([0, 1, 2, 37], 1), ([30, 3, 4, 3], 3)):
        labels = torch.arange(4).repeat_interleave(torch.tensor(on))
        assert metric("mode_statistics", reference, centres[labels])["modes_covered"].item() == covered


@pytest.mark.parametrize(("classes", "columns"), [(2, 2), (32, 32), (33, 0)])
def test_shares_of_up_to_32_classes_have_columns(classes, columns):
    centres = 10 * torch.eye(classes, dtype=torch.float64)
    head = lambda features: torch.softmax(9 * features, -1)  # noqa: E731
    fake = centres[[0, 0, 0, 1]]
    own = Modes(centres, 0.1, torch.full((classes,), 1 / classes, dtype=torch.float64))
    shares = {"mode_shares": "mode_share", "class_shares": "class_share"}
    for name, column in shares.items():
        got = metric(name, Reference(centres, modes=own, class_head=head), fake)
        assert len(got) == columns
        wanted = {f"{column}.{place}": share for place, share in enumerate([0.75, 0.25, *[0] * 30][:columns])}
        assert {key: value.item() for key, value in got.items()} == wanted


def test_a_classifier_is_sure_from_its_confidence_on():
    # probabilities of 0.9 and 0.75 exactly, as the head gives them
    rows = torch.tensor([[0.9, 0.1], [0.75, 0.25], [0.2, 0.8]], dtype=torch.float64)
    reference = Reference(torch.eye(2, dtype=torch.float64), class_head=lambda features: features)
    for confidence, share in ((0.9, 1 / 3), (0.8, 2 / 3), (0.75, 1.0), (0.76, 2 / 3), (0.91, 0.0)):
        got = metric("class_statistics", reference, rows, confidence=confidence)["confident"].item()
        assert got == pytest.approx(share)
        assert sum(metric("class_shares", reference, rows, confidence=confidence).values()) == pytest.approx(share)
    assert metric("class_statistics", reference, rows)["confident"].item() == pytest.approx(1 / 3)


def test_fidelity_is_counted_in_all_and_by_label():
    centres = 10 * torch.eye(3, dtype=torch.float64)
    own = Modes(centres, 0.1, torch.full((3,), 1 / 3, dtype=torch.float64))
    head = lambda features: torch.softmax(features, -1)  # noqa: E731
    reference = Reference(centres, modes=own, class_head=head)
    label = torch.tensor([0, 0, 0, 0, 1, 1])
    fake = centres[[0, 0, 0, 1, 1, 2]]
    for name in ("label_fidelity", "class_fidelity"):
        got = {key: value.item() for key, value in metric(name, reference, fake, label=label).items()}
        assert math.isnan(got.pop(f"{name}.2"))  # nobody asked for it: no share
        assert got == pytest.approx({name: 4 / 6, f"{name}.0": 3 / 4, f"{name}.1": 1 / 2})
    # what is off its mode is not faithful, but a classifier takes it for its class
    off = fake.clone()
    off[0, 0] = 9
    assert metric("label_fidelity", reference, off, label=label)["label_fidelity"].item() == pytest.approx(3 / 6)
    assert metric("class_fidelity", reference, off, label=label)["class_fidelity"].item() == pytest.approx(4 / 6)


def test_digits_with_dropped_classes_lose_recall(evaluators):
    evaluator = evaluators["digits"]
    own = evaluator.problem
    few = own.held_out_images[own.held_out_labels < 5]
    columns = {k: v.item() for k, v in measured(evaluator, few[None]).items()}
    assert columns["classes_covered"] == 5
    assert columns["class_kl"] == pytest.approx(math.log(2), abs=0.1)
    assert columns["recall"] < evaluator.oracle()["recall"] - 0.2


def test_references_and_oracles_share_no_stream():
    a, b = (torch.rand(3, generator=stream(purpose, 0)) for purpose in ("reference", "oracle"))
    assert not torch.equal(a, b)
