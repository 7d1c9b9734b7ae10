"""What a measure declares of a perfect sampler with unlimited samples is what one comes to, and a bad one does not."""

from collections.abc import Callable

import pytest
import torch

from ganbench import registry
from ganbench.metrics import classes, density, diversity, gaussian, kernels, memorization, neighbours, prd, transport
from ganbench.problems.base import Modes, stream

# a score's distance from the declared value that chance alone makes at these sizes, with room to spare
ROOM = {
    "critic_gap": 1e-6, "critic_divergence": 0.02, "kl": 0.01, "reverse_kl": 0.01, "jsd": 0.01, "ndb": 0.04,
    "neighbour_radius_ratio": 0.05, "c_t_score": 1.0, "feature_likelihood_divergence": 1.0, "f8": 0.05, "f1_8": 0.05,
    "density": 0.05, "kernel_distance": 0.02, "gaussian_mmd": 0.01, "frechet": 0.02, "wasserstein": 0.1,
    "sliced_wasserstein": 0.1, "class_frechet": 0.01, "by_class": 0.02, "spatial_frechet": 0.02, "kid_mean": 0.02,
    "cmmd": 0.1,
}  # fmt: skip
MODULES = (classes, density, diversity, gaussian, kernels, memorization, neighbours, prd, transport)
RUNS, N = 6, 1000
COSTLY, FEW = ("critic_divergence", "gaussian_mmd", "feature_likelihood_divergence"), (2, 400)
CENTRES = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.5], [0.0, -1.5]], dtype=torch.float64)
MODES = Modes(CENTRES, 0.2, torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64))


def draw(n: int, seed: int) -> torch.Tensor:
    generator = stream("perfect", seed)
    place = torch.multinomial(MODES.weights, n, replacement=True, generator=generator)
    return CENTRES[place] + 0.2 * torch.randn(n, 2, generator=generator, dtype=torch.float64)


REAL, HELD_OUT = draw(N, 0), draw(N, 1)
PERFECT = torch.stack([draw(N, 2 + run) for run in range(RUNS)])
# one place beside all four modes
BAD = torch.stack([draw(N, 20 + run) * 0.1 + CENTRES[3] + 1.0 for run in range(RUNS)])


def counts(fake: torch.Tensor) -> torch.Tensor:
    place = torch.cdist(fake, CENTRES).argmin(-1)
    return torch.nn.functional.one_hot(place, 4).sum(-2)


def asked(fake: torch.Tensor) -> torch.Tensor:
    """The label that each sample was made for: its own mode, or any where all went to one."""
    place = torch.cdist(fake, CENTRES).argmin(-1)
    return place if (counts(fake) > 1).all() else torch.arange(N).expand(fake.shape[:-1]) % 4


GIVEN: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "negative_log_likelihood": lambda fake: density.negative_log_likelihood(MODES, fake),
    "critic_divergence": lambda fake: density.critic_divergence(MODES, fake),
    "critic_gap": lambda fake: density.critic_gap(MODES, fake, density.optimal_critic(MODES, fake)),
    "histogram_divergences": lambda fake: classes.histogram_divergences(counts(fake), MODES.weights),
    "class_frechet": lambda fake: gaussian.class_frechet(REAL, fake, real_labels=asked(REAL), fake_labels=asked(fake)),
    "spatial_frechet": lambda fake: gaussian.spatial_frechet(REAL[..., None, None], fake[..., None, None], channels=2),
    "c_t_score": lambda fake: memorization.c_t_score(REAL, fake, held_out=HELD_OUT),
    "prd_scores": lambda fake: prd.prd_scores(REAL, fake[:2], clusters=8, repeats=2),
    "feature_likelihood_divergence": lambda fake: memorization.feature_likelihood_divergence(
        REAL[:400], fake, held_out=HELD_OUT[:400], steps=15
    ),
    "frechet_from_moments": lambda fake: gaussian.frechet_from_moments(
        REAL.mean(0), REAL.T.cov(), fake.mean(1), torch.stack([one.T.cov() for one in fake])
    ),
    "wasserstein_1d": lambda fake: transport.wasserstein_1d(REAL[:, :1], fake[..., :1]),
}
DECLARED = [
    function
    for module in MODULES
    for name, function in vars(module).items()
    if getattr(function, "__module__", "") == module.__name__
    and any(measure.perfect is not None for measure in getattr(function, "measures", {}).values())
]


def scores(metric, fake):
    fake = fake[: FEW[0], : FEW[1]] if metric.__name__ in COSTLY else fake
    result = GIVEN[metric.__name__](fake) if metric.__name__ in GIVEN else metric(REAL, fake)
    named = result._asdict() if hasattr(result, "_asdict") else dict.fromkeys(metric.measures, result)
    return {name: values.mean().item() for name, values in named.items()}


@pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.__name__)
def test_a_perfect_sampler_scores_what_is_declared(metric):
    perfect, bad = scores(metric, PERFECT), scores(metric, BAD)
    for name, measure in metric.measures.items():
        if measure.perfect is None:
            continue
        assert perfect[name] == pytest.approx(measure.perfect, abs=ROOM[name]), name
        if name == "critic_gap":  # perfect is the critic, of whatever fakes: one that is always undecided is not
            bad[name] = density.critic_gap(MODES, BAD, torch.zeros(RUNS, 2 * N)).mean().item()
        assert abs(bad[name] - measure.perfect) > 3 * ROOM[name], name
        if measure.direction is not None:
            assert (bad[name] > perfect[name]) is (measure.direction == "down"), name


def test_none_is_left_out():
    assert len(DECLARED) >= 14
    assert {name for metric in DECLARED for name, m in metric.measures.items() if m.perfect is not None} == set(ROOM)


def test_a_study_declares_the_same_as_the_library():
    declared = {name: m.perfect for plugin in registry.plugins("metric") for name, m in plugin.meta["measures"].items()}
    zero = ("frechet", "frechet_pixels", "frechet_classifier", "sliced_wasserstein", "kernel_distance", "kid_mean",
            "cmmd", "class_frechet", "fid", "reconstruction_error")  # fmt: skip
    # everything else of a perfect sampler depends on the problem, and is measured as its oracle
    assert {name: value for name, value in declared.items() if value is not None} == dict.fromkeys(
        ("density", "sharpness", "checkerboard"), 1.0
    ) | dict.fromkeys(zero, 0.0)


def test_every_measure_is_declared_in_full():
    declared = {name: one for kind in ("metric", "diagnostic") for plugin in registry.plugins(kind)
                for name, one in plugin.meta["measures"].items()}  # fmt: skip
    declared |= {name: one for module in MODULES for function in vars(module).values()
                 for name, one in getattr(function, "measures", {}).items()}  # fmt: skip
    for name, one in declared.items():
        assert one.direction in (None, "up", "down"), name
        assert len(one.legend) > 10, name
        assert one.bounds[0] < one.bounds[1], name
        assert one.perfect is None or one.bounds[0] <= one.perfect <= one.bounds[1], name
