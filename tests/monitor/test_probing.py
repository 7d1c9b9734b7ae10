"""One probe of a loop: what it is measured against, at which borders it is refused, and what a probe finds."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from ganbench import UserError, registry
from ganbench.analysis.verdicts import view
from ganbench.measure.evaluate import Evaluator
from ganbench.monitor.inputs import RealSamples, real_samples
from ganbench.monitor.probing import LoopProber, Sizes, Target
from ganbench.problems.mixtures import ring8
from ganbench.training.loop import KEPT_SAMPLES

CPU = torch.device("cpu")
SIZES = Sizes(64, 32, 16)
POINTS = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
IMAGES = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def target(real=POINTS, problem=None, features=None, sizes=SIZES):
    return Target(real, problem, features, sizes, CPU)


class Twice(nn.Module):
    """A generator of points that doubles its latents."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.factor * x


def prober(generator=None, discriminator=None, latent=2, sizes=SIZES, real=POINTS, **options):
    return LoopProber(generator or Twice(), discriminator or nn.Linear(2, 1), target(real, sizes=sizes), latent, sizes,
                  **options)  # fmt: skip


def test_sizes_by_default_are_those_of_the_monitor():
    assert Sizes() == Sizes(samples=1000, neighbours=500, batch_size=64, diagnostics="cheap")


# ------------------------------------------------------------------------------------------ what it is measured against


def test_a_problem_alone_gives_its_own_real_samples():
    own = target(None, "ring8")
    assert (own.name, own.shape) == ("ring8", (2,))
    assert own.real.shape == (16, 2)
    assert torch.equal(own.real, target(None, "ring8").real)
    assert own.legend == registry.get("problem", "ring8").legend
    description, real = own.describe()
    assert description["oracle"] == Evaluator(ring8(), 64, 32, CPU).oracle()
    assert description["modes"] == 8
    assert np.array(description["centres"]) == pytest.approx(ring8().modes.centres.numpy())
    assert description["std"] == ring8().modes.std
    assert real.shape == (KEPT_SAMPLES["points"], 2)
    assert real.dtype == np.float32


def test_samples_of_ones_own_are_halved():
    own = target()
    assert own.name == "real"
    assert own.legend == "real samples of the loop's own, half of them held out as the oracle"
    kept = real_samples(POINTS, 128)
    assert torch.equal(own.real, kept[:16])
    halves = RealSamples("real", kept)
    description, real = own.describe()
    assert (description["modes"], description["centres"], description["std"]) == (None, None, None)
    assert real == pytest.approx(halves.reference(64).numpy())
    held_out = own.measure(halves.oracle_samples(64))
    assert description["oracle"] == own.measure_oracle() == held_out
    # what is measured are the reference samples: they are nearer to themselves than the held-out ones
    assert own.measure(halves.reference())["frechet"] < 1e-6 < held_out["frechet"]


def test_a_problem_of_ones_own_is_called_so():
    problem = ring8()
    problem.name = "mine"
    assert target(None, problem).legend == "a problem of the loop's own"


def test_what_is_kept_to_look_at():
    own = target(IMAGES, sizes=Sizes(128, 32, 16))
    assert own.kept == KEPT_SAMPLES["image"]
    shown = own.picture(IMAGES)
    assert shown.dtype == np.float16
    assert shown.shape == (KEPT_SAMPLES["image"], 1, 8, 8)
    assert shown == pytest.approx(IMAGES[: own.kept].half().numpy())
    points = target().picture(1e6 * torch.ones(2000, 2))
    assert points.dtype == np.float32
    assert points.shape == (KEPT_SAMPLES["points"], 2)
    assert (points == 1e6).all(), "beyond the range of half precision"
    series = target(torch.randn(400, 3, 5)).picture(torch.ones(2, 3, 5, requires_grad=True))
    assert series.shape == (2, 15)


@pytest.mark.parametrize(("low", "high", "fits"), [
    (-1.0, 1.0, True), (-1.009, 1.009, True), (-1.02, 0.5, False), (-0.5, 1.02, False), (0.0, 1.0, True),
])  # fmt: skip
def test_images_are_in_their_range_up_to_a_hundredth(low, high, fits):
    images = IMAGES.clone().clamp(low, high)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = low, high
    if fits:
        assert target(images).shape == (1, 8, 8)
    else:
        with pytest.raises(UserError, match=r"^'real' holds images in \[.*\], the features expect \[-1, 1\]: give"):
            target(images)
    # features of one's own make of them what they want, and points have no range
    assert target(images, features=lambda x: x.flatten(1)).shape == (1, 8, 8)
    assert target(100 * POINTS).shape == (2,)


def test_features_are_asked_in_batches_without_gradients_and_at_random_of_their_own():
    asked = []

    def features(x):
        asked.append((len(x), torch.is_grad_enabled()))
        return x.double() + torch.randn(x.shape)

    state = torch.get_rng_state()
    own = target(features=features)
    assert asked == [(16, False)] * 8, "128 real samples"
    assert torch.equal(torch.get_rng_state(), state)
    assert own.measure(POINTS[:64]) == own.measure(POINTS[:64])
    for wrong, told in ((lambda x: x[:5], r"\[5, 2\]"), (lambda x: x[0], r"\[2\]"), (lambda x: None, "NoneType")):
        with pytest.raises(UserError, match=rf"^'features' must map 16 samples to a tensor \[16, d\], got {told}\.$"):
            target(features=wrong)


@pytest.mark.parametrize(("share", "foreign"), [(0.4, True), (0.62, False)])
def test_real_samples_of_half_the_quality_are_of_another_problem(share, foreign):
    problem = ring8()
    real = problem.sample(128, torch.Generator().manual_seed(3))
    own = target(None, "ring8")
    oracle = own.measure_oracle()
    quality = view(oracle).quality
    # the first 64 are looked at: these are all of the problem but for so many
    looked_at = real_samples(real, 128)
    bad = (torch.arange(128) >= share * 64) & (torch.arange(128) < 64)
    order = torch.cdist(real, looked_at).argmin(0)
    real[order[bad]] = 0.0
    seen = own.measure(real_samples(real, 128)[:64])
    assert (seen[quality] < 0.5 * oracle[quality]) is foreign
    if foreign:
        with pytest.raises(UserError, match=r"^'real' does not look like the problem 'ring8': high quality 0\.\d\d, w"):
            target(real, "ring8")
    else:
        assert target(real, "ring8").name == "ring8"
    # in a space of one's own quality is another
    assert target(real, "ring8", features=lambda x: x).name == "ring8"


# ------------------------------------------------------------------------------------------ what a probe finds


def test_a_probe_measures_the_same_latents_in_one_and_in_many_batches():
    sizes = [Sizes(64, 32, batch) for batch in (16, 5, 64, 1000)]
    probes = [prober(sizes=size).probe() for size in sizes]
    latents = prober().latents
    assert latents.shape == (64, 2)
    expected = target().measure(2 * latents)
    for probe in probes:
        assert {name: probe.columns[name] for name in expected} == pytest.approx(expected)
        assert probe.picture == pytest.approx((2 * latents).numpy())
        assert probe.broken == ""
    assert "real_logit" in probes[0].columns


@pytest.mark.parametrize(("batch", "size"), [(16, 16), (100, 64)])
def test_the_game_is_asked_on_a_batch_of_as_many_fakes_as_reals(batch, size):
    discriminator = nn.Linear(2, 1)
    one = prober(discriminator=discriminator, sizes=Sizes(64, 32, batch))
    columns = one.probe().columns
    with torch.no_grad():
        assert columns["real_logit"] == pytest.approx(discriminator(one.target.real[:size]).mean().item(), abs=1e-6)
        assert columns["fake_logit"] == pytest.approx(discriminator(2 * one.latents[:size]).mean().item(), abs=1e-6)


class Told(nn.Module):
    """A generator of points that adds what is given."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x, given):
        return x + self.shift + given[:, None]


def test_a_last_batch_is_given_as_much_as_it_has_samples():
    """400 pairs are given and 50 samples measured, 16 at a time: two are left for the last batch."""
    sizes = Sizes(50, 32, 16)
    pairs = [(POINTS[i : i + 40], torch.arange(i, i + 40.0)) for i in range(0, 400, 40)]
    own = Target(pairs, None, None, sizes, CPU, 1)
    made = LoopProber(Told(), nn.Linear(2, 1), own, 2, sizes, forwards=(None, lambda d, x, _: d(x)))
    assert len(made.given) > len(made.latents) == 50
    assert made.probe().columns["frechet"] > 100


class TwoScales(nn.Module):
    """Scores by the first coordinate, as a map of two places, and by nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        first = self.weight * x[:, :1]
        return [torch.cat([first - 1, first + 1], 1), 0 * first]


def test_each_scale_of_a_discriminator_has_its_lead():
    columns = prober(discriminator=TwoScales(), real=POINTS + 1).probe().columns
    alone = prober(discriminator=nn.Linear(2, 1), real=POINTS + 1)
    alone.discriminator.load_state_dict({"weight": torch.tensor([[1.0, 0.0]]), "bias": torch.zeros(1)})
    assert columns["d_ranking.0"] == alone.probe().columns["d_ranking"] > 0.5
    assert columns["d_ranking.1"] == 0.5
    # half of the first scale's score is the mean of both
    assert columns["d_ranking"] == columns["d_ranking.0"]
    assert not any(name.startswith("d_ranking.") for name in prober().probe().columns)


def test_parameters_of_any_kind_are_asked_whether_they_are_finite():
    generator = Twice()
    generator.register_parameter("none", nn.Parameter(torch.empty(0, 3)))
    generator.register_parameter("whole", nn.Parameter(torch.arange(3), requires_grad=False))
    generator.register_parameter("large", nn.Parameter(torch.full((1000,), 3e38)))
    generator.register_parameter("narrow", nn.Parameter(torch.full((4,), 6e4, dtype=torch.float16)))
    own = prober(generator)
    assert own.broken() == ""
    generator.narrow.data[2] = math.inf
    assert own.broken() == "generator"


def test_whose_parameters_are_not_finite():
    one = prober()
    assert one.broken() == ""
    one.discriminator.bias.data[0] = math.inf
    assert one.broken() == "discriminator"
    one.generator.factor.data.fill_(math.nan)
    assert one.broken() == "generator"
    probe = one.probe()
    assert (probe.columns, probe.picture.size, probe.broken) == ({}, 0, "parameters of the generator")


def test_samples_that_are_not_finite_are_not_measured():
    class Late(Twice):
        scale = 1.0

        def forward(self, x):
            return torch.where(x > x.max() - 1e-6, self.scale * 2 * x, 2 * x)

    generator = Late()
    one = prober(generator)
    generator.scale = math.inf
    probe = one.probe()
    assert (probe.columns, probe.picture.size, probe.broken) == ({}, 0, "samples of the generator")


def test_the_gradients_norm_is_that_of_all_parameters_that_have_one():
    generator = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    one = prober(generator)
    assert math.isnan(one.gradient_norm())
    generator[0].weight.grad = torch.full((2, 2), 2.0)
    generator[1].bias.grad = torch.tensor([3.0, 0.0])
    assert one.gradient_norm() == pytest.approx(5.0)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_modes_of_the_networks(mode):
    class Told(Twice):
        seen = None

        def forward(self, x):
            type(self).seen = self.training
            return super().forward(x)

    generator = Told().train()
    one = prober(generator, mode=mode)
    assert Told.seen is (mode == "train")
    one.probe()
    assert Told.seen is (mode == "train")
    assert generator.training


def test_a_loss_that_is_named_has_its_boundary_and_a_sigmoid_has_its_own():
    assert prober().loss.boundary is None
    assert prober(discriminator=nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())).loss.boundary == 0.0
    for name in ("nonsaturating", "wasserstein"):
        declared = registry.get("loss", name).declared("boundary")
        assert prober(loss=name).loss.boundary == (None if declared is None else float(declared))
    own = lambda r, f: (r.mean(), f.mean())  # noqa: E731
    assert (prober(loss=own).loss.function, prober(loss=own).loss.boundary) == (own, None)


class Answers(nn.Module):
    """A discriminator that answers anything."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


@pytest.mark.parametrize(("answer", "told"), [
    (lambda x: x.sum(), r"The discriminator maps 16 samples to \[\]; it must give scores of each sample"),
    (lambda x: "a", "The discriminator maps 16 samples to str; it must give scores of each sample"),
    (lambda x: [], "The discriminator maps 16 samples to list; it must give scores of each sample"),
    (lambda x: x[:, 0].reshape(1, -1), r"The discriminator maps 16 samples to \[1, 16\]; it must give scores"),
    (lambda x: x[:7, :1], r"The discriminator maps 16 samples to \[7, 1\]; it must give scores"),
    (lambda x: 1 / 0, r"The discriminator does not take samples of shape \[16, 2\]: ZeroDivisionError: division by "),
])  # fmt: skip
def test_a_discriminator_gives_scores_of_each_sample(answer, told):
    with pytest.raises(UserError, match=f"^{told}"):
        prober(discriminator=Answers(answer))
    for fine in (lambda x: x[:, 0], lambda x: x[:, :1], lambda x: x[:, :1, None], lambda x: x, lambda x: (x,)):
        prober(discriminator=Answers(fine))


def test_a_generator_that_does_not_fit_is_told():
    with pytest.raises(
        UserError, match=r"^The generator does not take latents of shape \[16, 3\]: ZeroDivisionError: "
    ):
        prober(generator=Answers(lambda x: 1 / 0), latent=3)
    with pytest.raises(UserError, match=r"^The generator makes samples of shape \[3\], the real ones have \[2\]: both"):
        prober(latent=3)
