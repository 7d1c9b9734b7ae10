"""Mixtures: modes, exact standardisation, samples that follow both."""

import math

import pytest
import torch
from scipy.stats import chi2

from ganbench import registry
from ganbench.errors import UserError
from ganbench.problems.base import stream
from ganbench.problems.mixtures import Mixture

MIXTURES = [plugin for plugin in registry.plugins("problem") if "modes" in plugin.provides]
STANDARDISED = [plugin for plugin in MIXTURES if "raw" in plugin.hypers]
every_mixture = pytest.mark.parametrize("plugin", MIXTURES, ids=lambda plugin: plugin.name)
every_standardised = pytest.mark.parametrize("plugin", STANDARDISED, ids=lambda plugin: plugin.name)
COUNTS = {
    "line": 5, "ring8": 8, "grid25": 25, "ring8_imbalanced": 8, "ring8_metz": 8, "grid25_veegan": 25,
    "embedded_mixture": 9, "triangles": 516,
}  # fmt: skip


def variance_in_a_mode(modes):
    """Return the sum over the axes of a mode's variances."""
    d = modes.centres.shape[1]
    wide = d if modes.basis is None else modes.basis.shape[1]
    return wide * modes.std**2 + (d - wide) * modes.null_std**2


def shares(problem, n=20_000):
    samples = problem.sample(n, stream("test", 0)).double().flatten(1)
    nearest = torch.cdist(samples, problem.modes.centres).argmin(1)
    return torch.bincount(nearest, minlength=len(problem.modes.centres)).double() / n


@pytest.mark.parametrize("name", COUNTS)
def test_modes_are_as_many_as_the_name_says_and_distinct(name):
    centres = registry.get("problem", name)().modes.centres
    assert centres.shape[0] == COUNTS[name]
    apart = torch.cdist(centres, centres) + torch.eye(len(centres)) * 9
    assert apart.min() > 8 * registry.get("problem", name)().modes.std


def test_the_ring_is_regular():
    # public code builds it with linspace(0, 2 pi, 8): seven modes, one of double weight
    problem = registry.get("problem", "ring8")()
    centres = problem.modes.centres
    assert torch.allclose(problem.modes.weights, torch.full((8,), 1 / 8, dtype=torch.float64))
    angles = torch.atan2(centres[:, 1], centres[:, 0]).sort().values
    assert torch.allclose(angles.diff(), torch.full((7,), math.pi / 4, dtype=torch.float64))
    # radius 2 and std 0.1 have the variance 4/2 + 0.01 along each axis
    assert torch.allclose(centres.norm(dim=1), torch.full((8,), 2 / math.sqrt(2.01), dtype=torch.float64))
    assert problem.modes.std == pytest.approx(0.1 / math.sqrt(2.01))


@every_mixture
def test_samples_fall_on_the_modes_by_their_weights(plugin):
    problem = plugin()
    n, weights = 20_000, problem.modes.weights
    statistic = (n * (shares(problem, n) - weights).square() / weights).sum().item()
    assert statistic < chi2.ppf(0.999, len(weights) - 1)


@every_mixture
def test_weights(plugin):
    weights = plugin().modes.weights
    assert weights.sum().item() == pytest.approx(1, abs=1e-12)
    ratio = plugin.hypers.get("ratio", 1.0)
    assert (weights.max() / weights.min()).item() == pytest.approx(ratio)
    assert weights.dtype == plugin().modes.centres.dtype == torch.float64


@every_standardised
def test_variance_is_exactly_one(plugin):
    modes = plugin(raw=False).modes
    assert (modes.weights @ modes.centres).abs().max() < 1e-12
    d = modes.centres.shape[1]
    variance = (modes.weights @ modes.centres.square()).mean().item() + variance_in_a_mode(modes) / d
    assert variance == pytest.approx(1, abs=1e-12)


@every_standardised
def test_samples_have_that_mean_and_variance(plugin):
    n, samples = 100_000, plugin(raw=False).sample(100_000, stream("test", 0)).double()
    assert samples.mean(0).abs().max() < 5 / math.sqrt(n)
    # a variable of variance 1 has a variance of its square below 2 here: lighter tails than a Gaussian
    assert abs(samples.square().mean().item() - 1) < 5 * math.sqrt(2 / n)


@every_mixture
def test_samples_scatter_about_their_mode_by_its_std(plugin):
    problem = plugin()
    samples = problem.sample(20_000, stream("test", 0)).double().flatten(1)
    squared = torch.cdist(samples, problem.modes.centres).min(1).values.square()
    # squared radius over std^2 is chi-squared: mean d, variance 2 d
    d, whole = samples.shape[1], variance_in_a_mode(problem.modes) / problem.modes.std**2
    assert (squared.mean().item() / problem.modes.std**2 - whole) == pytest.approx(0, abs=5 * math.sqrt(2 * d / 20_000))


@every_standardised
def test_standardisation_keeps_the_geometry(plugin):
    # doubling every length changes nothing once standardised
    lengths = {k: 2 * value for k, value in plugin.hypers.items() if k in ("radius", "spacing", "std", "null_std")}
    one, two = plugin(raw=False).modes, plugin(raw=False, **lengths).modes
    torch.testing.assert_close(one.centres, two.centres)
    assert one.std == pytest.approx(two.std)


def test_own_weights_are_normalised():
    problem = Mixture("own", torch.tensor([[0.0, 0.0], [4.0, 0.0]]), 0.5, torch.tensor([3.0, 1.0]))
    # mean (1, 0); variance (3 x 1 + 1 x 9) / 4 = 3 on one axis of two, so 1.5 + .25
    scale = math.sqrt(1.75)
    assert problem.modes.weights.tolist() == [0.75, 0.25]
    torch.testing.assert_close(problem.modes.centres, torch.tensor([[-1.0, 0.0], [3.0, 0.0]]).double() / scale)
    assert problem.modes.std == pytest.approx(0.5 / scale)


SHIPPED = [plugin for plugin in registry.plugins("problem") if not plugin.declared("external")]
DISTRIBUTIONS = [plugin for plugin in SHIPPED if "game" not in plugin.provides]


@pytest.mark.parametrize("plugin", DISTRIBUTIONS, ids=lambda plugin: plugin.name)
class TestEveryDistribution:
    def test_a_generator_decides_the_samples(self, plugin):
        problem = plugin()
        first, again, other = (problem.sample(50, stream("test", seed)) for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert first.shape == (50, *problem.shape)
        assert first.dtype == torch.float32

    def test_the_stream_goes_on(self, plugin):
        problem, generator = plugin(), stream("test", 0)
        assert not torch.equal(problem.sample(50, generator), problem.sample(50, generator))

    def test_global_random_state_is_left_alone(self, plugin):
        state = torch.random.get_rng_state()
        problem = plugin()
        problem.sample(10, stream("test", 0))
        problem.reference(10)
        problem.oracle_samples(10)
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_reference_is_fixed_and_the_oracle_independent_of_it(self, plugin):
        problem = plugin()
        reference, oracle = problem.reference(200).flatten(1), problem.oracle_samples(200).flatten(1)
        assert torch.equal(reference, problem.reference(200).flatten(1))
        assert not torch.equal(oracle, problem.oracle_samples(200, seed=1).flatten(1))
        assert torch.cdist(reference.double(), oracle.double(), compute_mode="donot_use_mm_for_euclid_dist").min() > 0


@pytest.mark.parametrize("plugin", SHIPPED, ids=lambda plugin: plugin.name)
def test_capabilities_are_what_the_registry_says(plugin):
    problem = plugin()
    assert problem.capabilities == plugin.provides
    assert (problem.modes is not None) == ("modes" in problem.capabilities)
    assert (problem.labels is not None) == ("classes" in problem.capabilities)
    assert problem.name == plugin.name


@pytest.mark.parametrize(("name", "hypers"), [
    ("ring8", {"std": 0.0}), ("ring8", {"radius": -1.0}), ("line", {"modes": 0}), ("grid25", {"spacing": float("nan")}),
    ("ring8_imbalanced", {"ratio": 0.0}), ("ring8", {"samples": -1}), ("ring8", {"samples": 10**9}),
    ("line", {"within": -1.0}), ("embedded_mixture", {"intrinsic": 17}), ("embedded_mixture", {"dimension": 0}),
    ("embedded_mixture", {"null_std": 0.2}), ("embedded_mixture", {"null_std": 1e-9}), ("swiss_roll", {"noise": 0.0}),
    ("uniform_cube", {"dimension": 0}), ("noise_images", {"side": 1}), ("triangles", {"corners": 9}),
    ("triangles", {"side": 65}),
])  # fmt: skip
def test_impossible_parameters_are_named(name, hypers):
    (key,) = hypers
    with pytest.raises(UserError, match=f"'{name}'.*{key}"):
        registry.get("problem", name)(**hypers)


def test_streams_of_other_purposes_and_seeds_differ():
    draws = {torch.rand(1, generator=stream(p, s)).item() for p in ("a", "b") for s in (0, 1)}
    assert len(draws) == 4
