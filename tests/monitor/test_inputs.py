"""What a loop may bring along, and one sentence for each thing that cannot be watched."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from ganbench import Monitor, UserError
from ganbench.monitor.inputs import RealSamples, latent_samples, real_samples
from ganbench.problems.mixtures import grid25

SIZES = {"samples": 64, "neighbours": 32, "batch_size": 16}
POINTS = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
IMAGES = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield {"images": torch.randn(2), "labels": 3}


@pytest.mark.parametrize(
    "real",
    [
        POINTS,
        POINTS.double().numpy(),
        DataLoader(TensorDataset(POINTS, torch.zeros(400)), batch_size=30, shuffle=True),
        DataLoader(Endless(), batch_size=30),
        lambda n: torch.randn(n, 2),
    ],
    ids=["tensor", "array", "loader", "stream of dicts", "callable"],
)
def test_real_samples_come_as_anything_and_are_the_same_every_time(real):
    first, second = real_samples(real, 100), real_samples(real, 100)
    assert first.shape == (100, 2)
    assert first.dtype == torch.float32
    assert torch.equal(first, second)


def test_a_loaders_own_generator_is_given_back():
    draws = torch.Generator().manual_seed(4)
    loader = DataLoader(TensorDataset(POINTS), batch_size=30, shuffle=True, generator=draws)
    before = draws.get_state()
    real_samples(loader, 100)
    assert torch.equal(draws.get_state(), before)


def test_half_of_the_samples_are_held_out():
    problem = RealSamples("real", POINTS)
    reference, oracle = problem.reference(), problem.oracle_samples(1000)
    assert len(reference) == len(oracle) == 200
    together = torch.cat([reference, oracle])
    assert torch.equal(together.sort(0).values, POINTS.sort(0).values)
    assert problem.feature_spaces == ("data",)


def test_images_are_measured_in_convolutions_and_small_ones_in_pixels_too():
    assert RealSamples("real", IMAGES).feature_spaces == ("conv", "pixels")
    assert RealSamples("real", torch.rand(80, 3, 32, 32)).feature_spaces == ("conv",)


def test_latents_are_normal_or_as_drawn_and_the_same_every_time():
    assert torch.equal(latent_samples(5, 10), latent_samples(5, 10))
    drawn = latent_samples(lambda n: torch.rand(n, 3, 1, 1), 10)
    assert drawn.shape == (10, 3, 1, 1)
    assert torch.equal(drawn, latent_samples(lambda n: torch.rand(n, 3, 1, 1), 10))


def test_features_of_ones_own(tmp_path):
    """Measured in the space of the features, here against SciPy; the range of pixels is the features' own affair."""

    def features(images):
        return images.flatten(1)[:, :3] / 128

    generator = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Unflatten(1, (1, 8, 8)))
    nn.init.eye_(generator[1].weight)
    nn.init.zeros_(generator[1].bias)
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    monitor = Monitor(
        generator, discriminator, IMAGES * 128 + 128, lambda n: IMAGES[:n] * 128 + 128, out=tmp_path / "it",
        features=features, **SIZES,
    )  # fmt: skip
    assert "frechet_pixels" not in monitor.series
    real = RealSamples("real", features(real_samples(IMAGES * 128 + 128, 128))).reference().double()
    fake = features(IMAGES[:64] * 128 + 128).double()
    root = scipy.linalg.sqrtm(torch.cov(real.T).numpy() @ torch.cov(fake.T).numpy()).real
    traces = torch.cov(real.T).trace() + torch.cov(fake.T).trace() - 2 * root.trace()
    expected = (real.mean(0) - fake.mean(0)).square().sum() + traces
    assert monitor.series["frechet"][0] == pytest.approx(expected.item(), rel=1e-5)
    monitor.close()


GOOD = {"real": POINTS, "latent": 4}
G, D = nn.Linear(4, 2), nn.Linear(2, 1)
IMAGE_G = nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8)))
IMAGE_D = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))


class Patches(nn.Module):
    def forward(self, x):
        return x.reshape(len(x), -1)[:, :2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"real": None}, "Nothing to measure against: give 'real'"),
        ({"real": 3}, "'real' must be a tensor, an array, a DataLoader or a callable n -> samples, got int"),
        ({"real": POINTS[:, 0]}, r"'real' must hold samples \[n, d\] or \[n, C, H, W\], got the shape \[\d+\]"),
        ({"real": POINTS[:20]}, "'real' gives 20 samples; at least 64"),
        ({"real": POINTS * torch.nan}, "'real' holds NaN or infinity"),
        ({"real": POINTS * torch.tensor([1.0, torch.nan])}, "'real' holds NaN or infinity"),
        ({"real": torch.ones(100, 2)}, "'real' is constant"),
        ({"real": (POINTS * 10).byte()}, "'real' holds uint8; give it as the discriminator gets it"),
        ({"real": DataLoader(["a", "b"])}, "'real' is a DataLoader whose batches are list|tensor of samples"),
        ({"real": np.zeros((100, 1, 8, 8), dtype=np.int64)}, "'real' holds int64"),
        (
            {"real": (IMAGES + 1) * 127.5, "modules": (IMAGE_G, IMAGE_D)},
            r"'real' holds images in \[.*, 25\d.*\], the features expect \[-1, 1\]",
        ),
        ({"real": IMAGES}, r"The generator makes samples of shape \[2\], the real ones have \[1, 8, 8\]"),
        ({"latent": 0}, "'latent' must be a dimension of at least 1"),
        ({"latent": 3}, r"The generator does not take latents of shape \[16, 3\]"),
        ({"latent": "normal"}, "'latent' must be a dimension or a callable n -> latents, got str"),
        ({"latent": lambda n: torch.randn(3, 4)}, r"'latent' was asked for 64 latents and gave \[3, 4\]"),
        ({"modules": (G, Patches())}, r"maps 16 samples to \[16, 2\]; it must give one number a sample"),
        ({"modules": (G, nn.Linear(3, 1))}, r"The discriminator does not take samples of shape \[16, 2\]"),
        ({"problem": "ring9"}, "Unknown problem 'ring9'. Did you mean 'ring8'"),
        ({"problem": 3}, "'problem' must be a name or a Problem, got int"),
        ({"problem": "digits"}, r"'real' gives samples of shape \[2\]; the problem 'digits' has \[1, 8, 8\]"),
        ({"problem": "ring8"}, "'real' does not look like the problem 'ring8'"),
        ({"features": lambda x: x.sum()}, r"'features' must map 16 samples to a tensor \[16, d\], got \[\]"),
        ({"loss": "hingee"}, "Unknown loss 'hingee'. Did you mean 'hinge'"),
        ({"loss": 2.0}, "'loss' must be a name or a callable"),
        ({"stop_on": {"collapse"}}, "Unknown verdict in 'stop_on' 'collapse'. Did you mean 'collapsed'"),
        ({"stop_on": "failed"}, "Unknown verdict in 'stop_on' 'failed'"),
        ({"every": 0}, "'every' must be a whole number of at least 1, got 0"),
        ({"every": 2.5}, "'every' must be a whole number"),
        ({"patience": 0}, "'patience' must be"),
        ({"samples": 3}, "'samples' must be a whole number of at least 16"),
        ({"mode": "test"}, "Unknown mode 'test'. Available: eval, train"),
        ({"diagnostics": "all"}, "Unknown cost class of diagnostics 'all'"),
        ({"variant": "a/b"}, "The name of a variant is made of letters"),
        ({"seed": -1}, "'seed' must be a whole number of at least 0"),
    ],
)
def test_what_cannot_be_watched_is_said_in_one_sentence(tmp_path, options, message):
    options = {**GOOD, **SIZES, **options}
    modules = options.pop("modules", (G, D))
    with pytest.raises(UserError, match=message):
        Monitor(*modules, out=tmp_path / "it", **options)


def test_a_problem_of_ones_own_brings_its_modes(tmp_path):
    problem = grid25(std=0.1)
    real = problem.sample(400, torch.Generator().manual_seed(0))
    monitor = Monitor(G, D, real, 4, problem=problem, out=tmp_path / "it", **SIZES)
    assert "modes_covered" in monitor.series
    monitor.close()
