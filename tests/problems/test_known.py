"""Published constants and protocols, finite sets of samples, null dimensions, and problems without modes."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given as varied
from hypothesis import settings
from hypothesis import strategies as st
from scipy.stats import chi, chi2, kstest, multivariate_normal

from ganbench import api, metrics, registry
from ganbench.analysis.verdicts import judge_series
from ganbench.errors import InputError, UserError
from ganbench.measure.diagnostics import Game
from ganbench.measure.evaluate import Evaluator
from ganbench.metrics.density import log_density
from ganbench.metrics.memorization import authenticity, c_t_score, expected_authenticity
from ganbench.metrics.reference import Reference
from ganbench.problems.base import stream
from ganbench.problems.mixtures import Mixture
from ganbench.problems.shapes import GREY, NOISE, triangle_images
from ganbench.suite import resolve
from ganbench.training.noise import Places, source

CPU = torch.device("cpu")
WITHIN = 1 - math.exp(-9 / 2)
ENDLESS = [plugin for plugin in registry.plugins("problem") if not plugin.declared("external")]
FINITE = [plugin for plugin in ENDLESS if "samples" in plugin.hypers and plugin().table is None]
every_finite = pytest.mark.parametrize("plugin", FINITE, ids=lambda plugin: plugin.name)


def problem(name, **hypers):
    return registry.get("problem", name)(**hypers)


def statistics(own, fake):
    """Return what the metric says of fakes [n, *shape] on a problem's modes."""
    reference = Reference(own.reference(100).flatten(1), modes=own.modes)
    columns = registry.get("metric", "mode_statistics")(reference, fake.flatten(1)[None])
    return {name: column.item() for name, column in columns.items()}


# ---- constants


def test_the_published_ring():
    modes = problem("ring8_metz").modes
    angles = [k * math.pi / 4 for k in range(8)]
    expected = torch.tensor([[2 * math.cos(a), 2 * math.sin(a)] for a in angles], dtype=torch.float64)
    torch.testing.assert_close(modes.centres, expected)
    assert modes.std == 0.02
    pacgan = problem("ring8_metz", radius=1.0, std=0.01, samples=100_000)
    torch.testing.assert_close(pacgan.modes.centres, expected / 2)
    assert pacgan.modes.std == 0.01
    assert pacgan.table.rows.shape == (100_000, 2)


def test_the_published_grid():
    modes = problem("grid25_veegan").modes
    assert {tuple(centre) for centre in modes.centres.tolist()} == set(itertools.product((-4, -2, 0, 2, 4), repeat=2))
    assert modes.std == 0.05


@pytest.mark.parametrize(("name", "divided"), [("ring8_metz", 1.414), ("grid25_veegan", 2.828), ("swiss_roll", 7.5)])
def test_the_scale_of_the_toys_of_wgan_gp(name, divided):
    """Gulrajani et al. divide by the data's standard deviation, to three digits, but the swiss roll by more."""
    raw, ours = (problem(name, raw=is_raw).sample(50, stream("test", 0)) for is_raw in (True, False))
    scale = ((raw - raw.mean(0)) / (ours - ours.mean(0))).median().item()
    assert scale == pytest.approx(divided, rel=0.1 if name == "swiss_roll" else 1e-3)


@pytest.mark.parametrize(("name", "told", "hypers"), [
    ("ring8", ("std/radius .05", "has .01", "ring8_metz"), {"radius": 2.0, "std": 0.1}),
    ("grid25", ("std .2 at spacing 2", "has .05", "grid25_veegan"), {"spacing": 2.0, "std": 0.2}),
])  # fmt: skip
def test_ours_keep_their_numbers_and_say_which_others_are_published(name, told, hypers):
    plugin = registry.get("problem", name)
    assert all(words in plugin.legend for words in told)
    assert {key: plugin.hypers[key] for key in hypers} == hypers


@pytest.mark.parametrize(("overrides", "known"), [
    (["problem=ring8"], "ring8-nonsaturating-none-e3f66f"), (["problem=grid25"], "grid25-nonsaturating-none-3d091d"),
    (["problem=line"], "line-nonsaturating-none-305c94"),
    (["problem=ring8_imbalanced"], "ring8_imbalanced-nonsaturating-none-55724d"),
    (["problem=ring8_labelled", "network=conditional_mlp"], "ring8_labelled-nonsaturating-none-da1c1a"),
])  # fmt: skip
def test_what_came_later_is_in_no_older_id(overrides, known):
    assert [variant.id for variant in resolve(None, overrides).variants] == [known]
    assert resolve(None, [*overrides, f"{overrides[0].replace('=', '.')}.samples=9"]).variants[0].id != known


# ---- the protocol of published tables


def by_protocol(centres, std, fake):
    """Count as PacGAN does: within 3 std of the nearest mode; a mode counts with one such sample; KL to uniform."""
    distance = np.linalg.norm(fake[:, None] - centres, axis=2)
    near, good = distance.argmin(1), distance.min(1) <= 3 * std
    shares = np.bincount(near[good], minlength=len(centres)) / max(1, good.sum())
    kl = sum(share * math.log(share * len(centres)) for share in shares if share > 0)
    return {"modes_hit": (shares > 0).sum(), "high_quality": good.mean(), "mode_kl": kl}


@settings(max_examples=15, deadline=None)
@varied(
    name=st.sampled_from(["ring8_metz", "grid25_veegan"]),
    kept=st.integers(1, 8),
    width=st.sampled_from([0.2, 1.0, 2.0]),
    seed=st.integers(0, 99),
)
def test_in_two_dimensions_modes_and_quality_are_counted_as_published(name, kept, width, seed):
    own, rng = problem(name), np.random.default_rng(seed)
    centres = own.modes.centres.numpy()
    fake = centres[rng.integers(kept, size=500)] + width * own.modes.std * rng.standard_normal((500, 2))
    expected, got = by_protocol(centres, own.modes.std, fake), statistics(own, torch.from_numpy(fake))
    assert {column: got[column] for column in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("name", "modes", "kl"), [("ring8_metz", 8, 0.0014), ("grid25_veegan", 25, 0.0048)])
def test_a_perfect_sampler_of_the_published_protocol(name, modes, kl):
    """With 2500 points, as PacGAN prints it: 98.9 % of high quality, the KL divergence (modes - 1) / 5000."""
    oracle = Evaluator(problem(name), 2500, 16).oracle()
    assert oracle["modes_hit"] == modes
    assert oracle["high_quality"] == pytest.approx(0.989, abs=0.001)
    # of 32 draws: the standard error of a mean of chi-squared numbers
    assert oracle["mode_kl"] == pytest.approx(kl, abs=4 * math.sqrt(2 * (modes - 1) / 32) / 5000 + 5e-5)


def test_the_threshold_is_the_quantile_or_as_many_deviations_as_are_asked_for():
    n, share = 20_000, 2 * multivariate_normal.cdf(3) - 1
    for within, expected in ((0.0, WITHIN), (3.0, share), (10.0, 1.0)):
        own = problem("line", within=within)
        got = statistics(own, own.oracle_samples(n))["high_quality"]
        assert got == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n) + 1e-12)
    # ten standard deviations as a norm reject every sample of 700 dimensions, whose median radius is 26.5
    veegan = {"dimension": 1200, "intrinsic": 700, "modes": 10}
    wide = problem("embedded_mixture", **veegan, within=10.0)
    assert statistics(wide, wide.oracle_samples(200))["high_quality"] == 0


# ---- finite sets of samples


@every_finite
def test_a_finite_set_is_all_that_is_trained_on(plugin):
    endless, own, again = plugin(), plugin(samples=40), plugin(samples=40)
    assert endless.table is None
    rows = own.table.rows
    assert len(rows) == 40
    assert torch.equal(rows, again.table.rows)
    drawn = own.sample(2000, stream("test", 0)).flatten(1)
    known = {tuple(row) for row in rows.flatten(1).tolist()}
    assert {tuple(row) for row in drawn.tolist()} == known
    # each as often: chi-squared of 39 degrees
    counts = torch.tensor([(drawn == row).all(1).sum() for row in rows.flatten(1)])
    assert ((counts - 50).double().square() / 50).sum() < chi2.ppf(0.9999, 39)
    assert isinstance(source(own, CPU), Places)


@every_finite
def test_what_is_measured_against_is_the_law(plugin):
    endless, own = plugin(), plugin(samples=40)
    assert torch.equal(own.reference(50), endless.reference(50))
    assert torch.equal(own.oracle_samples(50, 3), endless.oracle_samples(50, 3))
    known = {tuple(row) for row in own.table.rows.flatten(1).tolist()}
    for fresh in (own.reference(500), own.oracle_samples(500)):
        assert not known & {tuple(row) for row in fresh.flatten(1).tolist()}


def test_labels_go_with_their_samples():
    own = problem("ring8_labelled", samples=30)
    batch = own.draw(100, stream("test", 0))
    nearest = torch.cdist(batch.x.double(), own.modes.centres).argmin(1)
    assert torch.equal(nearest, batch.given)
    oracle = own.oracle(200)
    assert torch.equal(torch.cdist(oracle.x.double(), own.modes.centres).argmin(1), oracle.given)


def test_a_group_without_a_sample_leaves_its_weight_to_the_others():
    own = problem("ring8_imbalanced", samples=5)
    there = own.group_weights() > 0
    assert own.group_weights().sum() == pytest.approx(1)
    assert 0 < there.sum() <= 5
    even = torch.full((8,), 1 / 8, dtype=torch.float64)
    drawn = own.sample_groups(even, 4000, stream("test", 0)).double()
    groups = torch.cdist(drawn, own.modes.centres).argmin(1).bincount(minlength=8)
    expected = 4000 * there / there.sum()
    assert (groups[~there] == 0).all()
    assert (groups - expected).abs().max() < 5 * math.sqrt(4000 / 4)
    assert isinstance(source(own, CPU, even), Places)
    absent = torch.where(there, 0.0, even)
    with pytest.raises(UserError, match="none of the groups"):
        own.sample_groups(absent / absent.sum(), 10, stream("test", 0))


class _Critic:
    """A population of one whose discriminator is a function; G draws far from all data."""

    def __init__(self, critic):
        self.critic = critic
        self.losses = [SimpleNamespace(runs=slice(0, 1), boundary=0.0)]

    def generate(self, latents, units):
        return 3 * latents + 20

    def criticise(self, samples, units):
        return self.critic(samples)


def overfitting(own, critic):
    """Return the diagnostic of a critic on the batches that a probe takes."""
    real, held_out = own.draw(256, stream("probe data", 0)).x[None], own.oracle_samples(256)[None]
    latents = torch.randn(1, 256, 2, generator=stream("test", 0))
    columns = registry.get("diagnostic", "overfitting")(Game(_Critic(critic), real, latents, held_out))
    return columns["d_overfitting"].item()


def test_a_critic_that_knows_the_training_set_by_heart_is_told_from_one_that_knows_the_law():
    own = problem("ring8", samples=50)

    def by_heart(x):
        # a logit of 5 on a training sample, -5 beside it
        return 10 * torch.exp(-1e4 * torch.cdist(x, own.table.rows).min(-1).values) - 5

    def law(x):
        return torch.logsumexp(-torch.cdist(x, own.modes.centres.float()).square(), -1)

    assert overfitting(own, by_heart) == pytest.approx(1, abs=0.02)
    assert abs(overfitting(own, law)) < 0.01


def test_a_generator_that_copies_the_training_set_is_told_from_a_perfect_one():
    own = problem("ring8", samples=1000)
    rows, held_out = own.table.rows, own.reference(1000)
    copies, perfect = own.sample(1000, stream("test", 0)), own.oracle_samples(1000)
    assert authenticity(rows, copies) == 0
    assert authenticity(rows, perfect).item() == pytest.approx(expected_authenticity(2), abs=0.06)
    assert c_t_score(rows, copies, held_out=held_out) < -30
    assert abs(c_t_score(rows, perfect, held_out=held_out)) < 3
    # what looks at samples of the law alone sees nothing of it
    assert statistics(own, copies)["high_quality"] == pytest.approx(WITHIN, abs=0.02)
    assert metrics.precision_recall(held_out, copies).precision > 0.9


@pytest.mark.slow
def test_a_discriminator_overfits_a_few_samples_and_not_endless_ones(tmp_path):
    sizes = ["seeds=5", "steps=600", "probe_every=600", "samples=200", "neighbours=100"]
    eager = ["network.mlp.width=64", "optimizer.adam.d_lr=5e-3"]
    plan = resolve(None, ["problem=ring8", "problem.ring8.samples=[0,16]", *sizes, *eager])
    study = api.execute_plan(plan, out=tmp_path / "study")
    problems = study.runs.set_index("run")["problem"]
    last = study.series.groupby("run").last()["d_overfitting"]
    endless, few = (last[problems[last.index] == f"ring8(samples={n})"] for n in (0, 16))
    assert few.median() > 0.25 > 0.15 > endless.abs().median()


# ---- null dimensions


@pytest.mark.parametrize(("dimension", "intrinsic"), [(2, 1), (2, 2), (16, 2), (64, 64), (256, 100), (1024, 2)])
def test_a_perfect_sampler_has_the_same_quality_in_every_dimension(dimension, intrinsic):
    own, n = problem("embedded_mixture", dimension=dimension, intrinsic=intrinsic), 4000
    got = statistics(own, own.oracle_samples(n))
    assert got["modes_covered"] == 9
    assert got["high_quality"] == pytest.approx(WITHIN, abs=4 * math.sqrt(WITHIN * (1 - WITHIN) / n))


@pytest.mark.parametrize("raw", [True, False])
def test_its_modes_have_the_covariance_that_they_declare(raw):
    own = problem("embedded_mixture", dimension=6, intrinsic=2, modes=1, null_std=0.03, raw=raw)
    modes, n = own.modes, 100_000
    assert modes.basis.shape == (6, 2)
    torch.testing.assert_close(modes.basis.T @ modes.basis, torch.eye(2, dtype=torch.float64))
    assert modes.std / modes.null_std == pytest.approx(0.1 / 0.03)
    expected = modes.null_std**2 * torch.eye(6) + (modes.std**2 - modes.null_std**2) * modes.basis @ modes.basis.T
    got = torch.cov(own.sample(n, stream("test", 0)).double().T)
    assert (got - expected).abs().max() < 5 * math.sqrt(2 / n) * modes.std**2


def test_quality_is_counted_in_standard_deviations_of_each_direction():
    """Against the exponent of the density itself, SciPy's, with fakes in and beside the null directions."""
    own = problem("embedded_mixture", dimension=5, intrinsic=2, modes=4)
    modes = own.modes
    cov = modes.null_std**2 * np.eye(5) + (modes.std**2 - modes.null_std**2) * (modes.basis @ modes.basis.T).numpy()
    rng = np.random.default_rng(0)
    fake = modes.centres.numpy()[rng.integers(4, size=400)] + 1.3 * rng.multivariate_normal(np.zeros(5), cov, size=400)
    fake[:50] += 0.2 * rng.standard_normal((50, 5))
    logs = [multivariate_normal(centre, cov).logpdf(fake) for centre in modes.centres.numpy()]
    squared = 2 * (multivariate_normal(np.zeros(5), cov).logpdf(np.zeros(5)) - np.max(logs, axis=0))
    expected = (squared <= chi.ppf(WITHIN, 5) ** 2).mean()
    assert 0.3 < expected < 0.9
    assert statistics(own, torch.from_numpy(fake))["high_quality"] == pytest.approx(expected, abs=1e-12)


def test_a_fake_that_leaves_the_subspace_is_no_good_and_the_density_of_isotropic_modes_is_not_for_it():
    own = problem("embedded_mixture", dimension=64, intrinsic=2)
    off = (
        own.modes.null_std * 5 * torch.nn.functional.normalize(torch.randn(64, generator=stream("test", 0)), dim=0) * 3
    )
    assert statistics(own, own.modes.centres.float() + off)["high_quality"] == 0
    # the same distance within the subspace is less than two of its standard deviations
    along = own.modes.basis[:, 0].float() * off.norm() * 0.6
    assert statistics(own, own.modes.centres.float() + along)["high_quality"] == 1
    with pytest.raises(InputError, match="one std in all directions"):
        log_density(own.modes, own.oracle_samples(3))


@pytest.mark.parametrize("intrinsic", [1, 2, 3, 9, 100])
def test_modes_stand_on_a_lattice(intrinsic):
    own = problem("embedded_mixture", dimension=100, intrinsic=intrinsic, modes=25, raw=True)
    apart = torch.cdist(own.modes.centres, own.modes.centres) + 99 * torch.eye(25)
    torch.testing.assert_close(apart.min(1).values, torch.full((25,), 2.0, dtype=torch.float64))


# ---- without modes


def test_the_swiss_roll_is_a_noisy_spiral():
    n = 20_000
    x = problem("swiss_roll", raw=True, noise=0.01).sample(n, stream("test", 0)).double()
    radius, angle = x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])
    # on the spiral the radius is the angle, up to whole turns
    turns = (radius - angle) / (2 * math.pi)
    assert (turns - turns.round()).abs().max() * 2 * math.pi < 6 * 0.01
    assert kstest(radius, "uniform", args=(1.5 * math.pi, 3 * math.pi)).pvalue > 1e-3
    t = np.linspace(1.5 * math.pi, 4.5 * math.pi, 200_001)
    roll = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    scale = math.sqrt(roll.var(0).mean() + 0.25**2)
    own, raw = (problem("swiss_roll", raw=is_raw).sample(50, stream("test", 0)).numpy() for is_raw in (False, True))
    np.testing.assert_allclose(own, (raw - roll.mean(0)) / scale, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dimension", [1, 2, 64])
def test_the_cube_is_uniform(dimension):
    x = problem("uniform_cube", dimension=dimension).sample(5000, stream("test", 0)).double()
    assert x.shape == (5000, dimension)
    for axis in {0, dimension - 1}:
        assert kstest(x[:, axis], "uniform", args=(-math.sqrt(3), 2 * math.sqrt(3))).pvalue > 1e-3
    if dimension > 1:
        assert (torch.corrcoef(x.T) - torch.eye(dimension)).abs().max() < 5 / math.sqrt(5000)


def test_noise_has_no_structure():
    x = problem("noise_images").sample(5000, stream("test", 0)).double().flatten(1)
    assert kstest(x.flatten()[:20_000], "uniform", args=(-1, 2)).pvalue > 1e-3
    assert (torch.corrcoef(x.T) - torch.eye(64)).abs().max() < 5 / math.sqrt(5000)


# ---- triangles


def area(a, b, c):
    return abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) / 2


@pytest.mark.parametrize(("side", "corners"), [(8, 2), (8, 3), (16, 4)])
def test_every_triangle_of_the_lattice_is_there_once(side, corners):
    step = side / (corners - 1)
    lattice = [(step * i, step * j) for i in range(corners) for j in range(corners)]
    areas = [area(*three) for three in itertools.combinations(lattice, 3)]
    expected = sorted(value for value in areas if value > 1e-9)
    images = triangle_images(side, corners)
    assert len(images) == len(expected)
    assert 0 <= images.min() <= images.max() == 1
    # an edge is wrong by at most a tenth of a pixel a row: where it falls between points
    np.testing.assert_allclose(sorted(images.sum(1).tolist()), expected, atol=0.15 * side)
    assert len(images.unique(dim=0)) == len(images)


def test_a_triangle_lies_where_its_corners_are():
    """The lower left half of the image, of corners (0, 0), (side, 0) and (0, side)."""
    images = triangle_images(8, 2).unflatten(1, (8, 8))
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    half = (rows + columns < 7).double()
    assert any(((image - half).abs()[rows + columns != 7] == 0).all() for image in images)


def test_no_sample_is_near_two_triangles():
    modes = problem("triangles").modes
    apart = torch.cdist(modes.centres, modes.centres) + 1e9 * torch.eye(len(modes.centres))
    assert apart.min() > 2 * modes.std * chi.ppf(WITHIN, 256)


def test_precision_and_recall_of_triangles_are_exact():
    own = problem("triangles")
    centres = own.modes.centres
    whole = centres.float()
    assert statistics(own, whole)["modes_hit"] == 516
    assert statistics(own, whole)["high_quality"] == 1
    between = (whole[:-1] + whole[1:]) / 2
    some = torch.cat([whole[:100], whole[:100], between])
    got = statistics(own, some)
    assert got["modes_hit"] == 100
    assert got["high_quality"] == pytest.approx(200 / 715)
    square = torch.full((1, 16, 16), -GREY)
    square[:, 4:12, 4:12] = GREY
    assert statistics(own, square[None])["high_quality"] == 0
    assert own.sample(100, stream("test", 0)).abs().max() <= GREY + 6 * NOISE


# ---- oracles


LARGE = [
    ("embedded_mixture", {"dimension": 1024}), ("uniform_cube", {"dimension": 1024}), ("noise_images", {"side": 32}),
    ("triangles", {}), ("triangles", {"corners": 5}), ("swiss_roll", {"raw": True}),
    ("ring8_labelled", {"samples": 50}),
]  # fmt: skip
SMALL = [
    ("ring8_metz", {}), ("grid25_veegan", {}), ("embedded_mixture", {}), ("swiss_roll", {}), ("uniform_cube", {}),
    ("uniform_cube", {"dimension": 64}), ("noise_images", {}), ("triangles", {"side": 8, "corners": 3}),
    ("ring8", {"samples": 20}),
]  # fmt: skip


def judged(name, hypers, samples):
    """Return the verdicts on a generator that is noise at first and perfect then."""
    evaluator = Evaluator(problem(name, **hypers), samples, samples // 2)
    noise = 0.05 * torch.randn(1, samples, *evaluator.problem.shape, generator=stream("test", 0))
    draws = [evaluator.problem.oracle(samples, seed) for seed in range(100, 107)]
    given = draws[0].given
    rows = [evaluator.measure(noise, None if given is None else given[None])]
    rows += [evaluator.measure(one.x[None], None if one.given is None else one.given[None]) for one in draws]
    series = pd.DataFrame([{name: column.item() for name, column in row.items()} for row in rows])
    return [
        one.verdict for one in judge_series(series.assign(step=range(0, 800, 100)), evaluator.oracle(), evaluator.modes)
    ]


@pytest.mark.parametrize(("name", "hypers"), SMALL)
def test_a_perfect_sampler_has_converged(name, hypers):
    assert judged(name, hypers, 256) == ["converged"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "hypers"), [*SMALL, *LARGE])
def test_a_perfect_sampler_has_converged_by_a_thousand_samples_and_on_large_problems(name, hypers):
    assert judged(name, hypers, 1000) == ["converged"]


def test_a_mixture_of_ones_own_may_be_finite_raw_and_of_another_threshold():
    own = Mixture("own", torch.tensor([[0.0], [5.0]]), 0.5, samples=7, raw=True, within=2.0)
    assert own.table.rows.shape == (7, 1)
    assert own.modes.centres.tolist() == [[0], [5]]
    assert own.modes.within == 2.0
