"""What every metric keeps: declared columns within bounds, runs measured as if alone, errors that say what to do."""

import inspect
import itertools
import math

import pytest
import torch

from ganbench.errors import InputError
from ganbench.metrics import (
    classes,
    density,
    distances,
    diversity,
    gaussian,
    kernels,
    memorization,
    neighbours,
    pairwise,
    prd,
    transport,
)
from ganbench.metrics.reference import Reference
from ganbench.problems.base import Modes, stream

pytestmark = pytest.mark.usefixtures("own_generators")

METRICS = [
    function
    for module in (classes, density, diversity, gaussian, kernels, memorization, neighbours, prd, transport)
    for name, function in vars(module).items()
    if hasattr(function, "measures") and function.__module__ == module.__name__ and not name.startswith("_")
]
of_fakes = [metric for metric in METRICS if "fake" in inspect.signature(metric).parameters]
comparing = [metric for metric in of_fakes if {"real", "modes"} & inspect.signature(metric).parameters.keys()]
of_real = [metric for metric in METRICS if "real" in inspect.signature(metric).parameters]
M, D = 60, 2


def normal(*shape, seed):
    return torch.randn(*shape, generator=stream("contract", seed), dtype=torch.float64)


def arguments(metric, fake=None):
    """Return what a metric asks for, for two runs or those in `fake`."""
    d = 1 if metric is transport.wasserstein_1d else D
    fake = normal(2, M, d, seed=1) if fake is None else fake
    known = {
        "real": normal(80, d, seed=0),
        "real_mean": torch.zeros(D),
        "real_covariance": torch.eye(D),
        "fake_mean": torch.ones(2, D),
        "fake_covariance": 4 * torch.eye(D).expand(2, D, D),
        "fake": fake,
        "held_out": normal(50, D, seed=2),
        "modes": Modes(torch.eye(2, dtype=torch.float64), 0.5, torch.tensor([0.4, 0.6], dtype=torch.float64)),
        "logits": normal(2, 2 * M, seed=3)[: len(fake)] if fake.dim() > 2 else normal(2, 2 * M, seed=3)[0],
        "real_labels": torch.arange(80) % 3,
        "fake_labels": torch.arange(M) % 3,
        "real_maps": normal(40, 7, 2, 2, seed=10),
        "fake_maps": normal(2, 30, 7, 2, 2, seed=11),
        "subset_size": 20,
        "probabilities": normal(2, 9, 4, seed=4).softmax(-1),
        "counts": torch.tensor([[3, 4, 0], [0, 0, 0]]),
        "bins": 6,
    }
    return {name: known[name] for name in inspect.signature(metric).parameters if name in known}


def columns(metric, result):
    if hasattr(result, "_asdict"):
        return result._asdict()
    (name,) = metric.measures
    return {name: result}


def test_all_are_found():
    assert len(METRICS) >= 16


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
def test_columns_are_declared_and_within_bounds(metric):
    got = columns(metric, metric(**arguments(metric)))
    assert got.keys() == metric.measures.keys()
    for name, values in got.items():
        low, high = metric.measures[name].bounds
        assert values.shape[0] == 2
        assert values.dtype == torch.float64
        assert ((values >= low) & (values <= high)).all(), name


@pytest.mark.parametrize("metric", of_fakes, ids=lambda metric: metric.__name__)
def test_runs_are_measured_as_if_alone(metric):
    both = arguments(metric)
    together = columns(metric, metric(**both))
    for run in range(2):
        alone = {**both, "fake": both["fake"][run]} | ({"logits": both["logits"][run]} if "logits" in both else {})
        for name, values in columns(metric, metric(**alone)).items():
            assert torch.allclose(together[name][run], values, rtol=1e-12, atol=1e-12), name


@pytest.mark.parametrize("metric", of_fakes, ids=lambda metric: metric.__name__)
def test_arrays_do_as_well_as_tensors(metric):
    given = arguments(metric)
    arrays = {name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in given.items()}
    for name, values in columns(metric, metric(**arrays)).items():
        assert torch.equal(values, columns(metric, metric(**given))[name])


@pytest.mark.parametrize("metric", of_fakes, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_an_error(metric, value):
    given = arguments(metric)
    given["fake"][1, 3, 0] = value
    with pytest.raises(InputError, match="'fake' holds NaN or infinity"):
        metric(**given)


@pytest.mark.parametrize("metric", comparing, ids=lambda metric: metric.__name__)
def test_another_dimension_is_an_error(metric):
    with pytest.raises(InputError, match="'fake' has dimension 3"):
        metric(**arguments(metric, normal(2, M, 3, seed=1)))


@pytest.mark.parametrize("metric", of_real, ids=lambda metric: metric.__name__)
def test_a_reference_stands_for_its_samples(metric):
    given = arguments(metric)
    prepared = columns(metric, metric(**{**given, "real": Reference(given["real"])}))
    for name, values in columns(metric, metric(**given)).items():
        assert torch.equal(values, prepared[name])


@pytest.mark.parametrize("metric", of_real, ids=lambda metric: metric.__name__)
def test_unusable_real_samples_are_an_error(metric):
    given = arguments(metric)
    with pytest.raises(InputError, match="'real' is constant"):
        metric(**{**given, "real": torch.ones(80, D)})
    with pytest.raises(InputError, match="'real' holds NaN"):
        metric(**{**given, "real": torch.full((80, D), float("nan"))})


@pytest.mark.parametrize("metric", of_fakes, ids=lambda metric: metric.__name__)
def test_integers_are_an_error(metric):
    with pytest.raises(InputError, match="'fake' holds int64"):
        metric(**arguments(metric, torch.ones(2, M, D, dtype=torch.long)))


@pytest.mark.parametrize("metric", of_fakes, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("d", [1, 3, 7])
def test_runs_on_a_grid_are_measured_as_if_alone(metric, d):
    """Sizes that all differ, so that no axis can stand for another."""
    if metric is transport.wasserstein_1d and d > 1:
        return
    fakes = normal(2, 3, 41, d, seed=5) * torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)[:, None, None]
    logits = normal(2, 3, 82, seed=6)
    given = {
        "real": normal(67, d, seed=0), "held_out": normal(53, d, seed=2), "bins": 5, "subset_size": 20,
        "real_labels": torch.arange(67) % 3, "fake_labels": torch.arange(41) % 3,
        "modes": Modes(torch.eye(4, d, dtype=torch.float64), 0.5, torch.full((4,), 0.25, dtype=torch.float64)),
    }  # fmt: skip
    wanted = inspect.signature(metric).parameters
    given = {name: value for name, value in given.items() if name in wanted}

    def measured(fake, logits):
        own = {"fake": fake} | ({"logits": logits} if "logits" in wanted else {})
        return columns(metric, metric(**given, **own))

    together = measured(fakes, logits)
    for i in range(2):
        for j in range(3):
            for name, value in measured(fakes[i, j], logits[i, j]).items():
                assert together[name][i, j].shape == value.shape
                assert torch.allclose(together[name][i, j], value, rtol=1e-9, atol=1e-9), name


SHARE, POSITIVE, ANY, FROM_1 = (0.0, 1.0), (0.0, math.inf), (-math.inf, math.inf), (1.0, math.inf)
LN_2 = (0.0, math.log(2))
# direction, bounds, unit, what a perfect sampler scores
DECLARED = {
    "class_frechet": ("down", POSITIVE, "", 0.0), "by_class": ("down", POSITIVE, "", 0.0),
    "spatial_frechet": ("down", POSITIVE, "", 0.0), "kid_mean": ("down", ANY, "", 0.0),
    "kid_std": (None, POSITIVE, "", None), "cmmd": ("down", ANY, "", 0.0), "mifid": ("down", POSITIVE, "", None),
    "cosine_distance": ("up", SHARE, "share", None),
    "authenticity": ("up", SHARE, "share", None), "support": ("up", FROM_1, "samples", None),
    "batch": ("up", FROM_1, "samples", None), "c_t_score": (None, ANY, "standard deviations", 0.0),
    "critic_divergence": ("down", LN_2, "nats", 0.0), "critic_gap": ("down", SHARE, "share", 0.0),
    "density": ("up", POSITIVE, "", 1.0), "coverage": ("up", SHARE, "share", None),
    "feature_likelihood_divergence": ("down", ANY, "", 0.0), "frechet": ("down", POSITIVE, "", 0.0),
    "frechet_infinity": ("down", ANY, "", None), "gaussian_mmd": ("down", (-2.0, 2.0), "", 0.0),
    "kl": ("down", POSITIVE, "nats", 0.0), "reverse_kl": ("down", POSITIVE, "nats", 0.0),
    "jsd": ("down", LN_2, "nats", 0.0), "inception_score": ("up", FROM_1, "", None),
    "kernel_distance": ("down", ANY, "", 0.0), "ndb": ("down", SHARE, "share", 0.05),
    "negative_log_likelihood": ("down", ANY, "nats", None), "neighbour_radius_ratio": (None, POSITIVE, "", 1.0),
    "f8": ("up", SHARE, "share", 1.0), "f1_8": ("up", SHARE, "share", 1.0), "precision": ("up", SHARE, "share", None),
    "recall": ("up", SHARE, "share", None), "sliced_wasserstein": ("down", POSITIVE, "", 0.0),
    "statistically_different_modes": ("down", POSITIVE, "modes", None), "unique_share": ("up", SHARE, "share", None),
    "vendi_score": ("up", FROM_1, "samples", None), "wasserstein": ("down", POSITIVE, "", 0.0),
}  # fmt: skip
ROLES = {"precision": "quality", "recall": "diversity", "coverage": "covering", "frechet": "distance"}


# what studies measure where they are asked to
PUBLISHED = (kernels.kid, kernels.cmmd, memorization.mifid, gaussian.class_frechet, gaussian.spatial_frechet)
LOG = ("mifid", "class_frechet", "by_class", "spatial_frechet")


def test_what_each_column_means():
    found = set()
    for metric in METRICS:
        for name, measure in metric.measures.items():
            direction, *rest = DECLARED[name]
            # points of the curve between precision and recall are no scores
            direction = None if metric is prd.prd_curve else direction
            assert (measure.direction, measure.bounds, measure.unit, measure.perfect) == (direction, *rest), name
            of_samples = metric not in (prd.prd_curve, gaussian.frechet_from_moments)
            assert measure.role == (ROLES.get(name, "") if of_samples else ""), name
            assert measure.scale == ("log" if metric is gaussian.frechet_distance or name in LOG else "linear")
            told = metric in PUBLISHED and name not in ("by_class", "authenticity")
            assert bool(measure.blind) == (told or (of_samples and name in ("density", *ROLES))), name
            found.add(name)
    assert found == DECLARED.keys()


@pytest.mark.parametrize("d", [1, 2, 4])
def test_what_is_computed_of_moments_takes_a_grid_of_them(d):
    factors = normal(2, 3, d, 11, seed=7)
    spread, means = factors @ factors.transpose(-1, -2) / 11, normal(2, 3, d, seed=8)
    real = normal(d, 13, seed=9)
    real = real @ real.T / 13
    floors = gaussian.frechet_floor(spread, 50, 70)
    apart = gaussian.frechet_from_moments(torch.ones(d), real, means, spread)
    counts = torch.arange(2 * 3 * 5).reshape(2, 3, 5)
    probabilities = normal(2, 3, 13, 4, seed=10).softmax(-1)
    scores = classes.inception_score(probabilities, splits=3)
    for i in range(2):
        for j in range(3):
            one = gaussian.frechet_from_moments(torch.ones(d), real, means[i, j], spread[i, j])
            assert apart[i, j].item() == pytest.approx(one.item(), rel=1e-9)
            assert floors[i, j].item() == pytest.approx(gaussian.frechet_floor(spread[i, j], 50, 70).item(), rel=1e-12)
            assert scores[i, j].item() == pytest.approx(classes.inception_score(probabilities[i, j], splits=3).item())
            for both, alone in zip(
                classes.histogram_divergences(counts), classes.histogram_divergences(counts[i, j]), strict=True
            ):
                assert both[i, j].item() == pytest.approx(alone.item())


@pytest.mark.parametrize("metric", of_fakes, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("budget", [1, 300])
def test_how_much_is_held_at_a_time_changes_no_score(metric, budget, monkeypatch):
    given = arguments(metric, normal(2, 31, 1 if metric is transport.wasserstein_1d else D, seed=5))
    if "logits" in given:
        given["logits"] = normal(2, 62, seed=6)
    if "fake_labels" in given:
        given["fake_labels"] = torch.arange(31) % 3
    expected = columns(metric, metric(**given))
    monkeypatch.setitem(distances.PAIRS, "cpu", budget)
    monkeypatch.setitem(distances.NUMBERS, "cpu", budget)
    monkeypatch.setattr(pairwise, "BLOCK", budget)
    for name, values in columns(metric, metric(**given)).items():
        assert torch.allclose(values, expected[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize(("runs", "rows", "columns", "block"), [
    (1, 10, 3, 12), (5, 2, 3, 12), (5, 2, 3, 13), (3, 7, 100, 12), (4, 1, 1, 1), (4, 3, 2, 6), (2, 5, 1, 10**6),
])  # fmt: skip
def test_blocks_cover_every_row_once_and_hold_no_more_than_a_block(runs, rows, columns, block, monkeypatch):
    monkeypatch.setattr(pairwise, "BLOCK", block)
    seen = torch.zeros(runs, rows)
    sizes = []
    for run, row in pairwise.blocks(runs, rows, columns):
        seen[run, row] += 1
        sizes.append(seen[run, row].numel() * columns)
    assert (seen == 1).all()
    assert max(sizes) <= max(block, columns)
    if runs * rows * columns <= block:
        assert len(sizes) == 1
    # as many at a time as there may be
    assert all(a + b > block for a, b in itertools.pairwise(sizes[:-1])) or columns > block // 2
