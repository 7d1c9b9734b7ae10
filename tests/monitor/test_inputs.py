"""What a loop may bring along, and one sentence for each thing that cannot be watched."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from ganbench import Monitor, UserError
from ganbench.monitor.inputs import RealSamples, latent_samples, real_batch, real_samples
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
        return x.reshape(len(x), -1)[:7, :2]


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
        ({"modules": (G, Patches())}, r"maps 16 samples to \[7, 2\]; it must give scores of each sample"),
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


@pytest.mark.parametrize(("size", "spaces"), [(32, ("conv", "pixels")), (33, ("conv",))])
def test_pixels_are_a_space_up_to_a_thousand_of_them(size, spaces):
    problem = RealSamples("real", torch.rand(64, 1, 32, size))
    assert problem.feature_spaces == spaces
    assert problem.capabilities == {"image"}
    assert RealSamples("real", POINTS).capabilities == frozenset()


def test_samples_are_of_the_reference_and_the_first_ones_alone_are_given():
    problem = RealSamples("mine", POINTS)
    assert (problem.name, problem.shape) == ("mine", (2,))
    reference = problem.reference()
    drawn = problem.sample(1000, torch.Generator().manual_seed(0))
    assert drawn.shape == (1000, 2)
    rows, every = set(map(tuple, drawn.tolist())), set(map(tuple, reference.tolist()))
    # with replacement, and all of them: a thousand draws miss one of 200 with 0.7 %
    assert rows <= every
    assert len(rows) > 190
    assert torch.equal(problem.sample(9, torch.Generator().manual_seed(5)),
                       problem.sample(9, torch.Generator().manual_seed(5)))  # fmt: skip
    assert torch.equal(problem.reference(7), reference[:7])
    assert torch.equal(problem.oracle_samples(7), problem.oracle_samples(200)[:7])
    odd = RealSamples("odd", POINTS[:65])
    assert (len(odd.reference()), len(odd.oracle_samples(99))) == (32, 33)
    # halves are not the first and the second half: what is ordered would make two sets
    ordered = RealSamples("ordered", torch.arange(400.0)[:, None])
    assert abs(ordered.reference().mean() - ordered.oracle_samples(200).mean()) < 60


def test_a_part_of_many_is_a_fair_one():
    ordered = torch.arange(1000.0)[:, None]
    part = real_samples(ordered, 100)
    assert part.shape == (100, 1)
    assert len(set(part.flatten().tolist())) == 100
    assert abs(part.mean() - 499.5) < 100
    assert real_samples(ordered, 5000).shape == (1000, 1)
    assert real_samples(ordered.numpy(), 100).tolist() == part.tolist()


@pytest.mark.parametrize(("count", "enough"), [(63, False), (64, True)])
def test_the_fewest_samples(count, enough):
    if enough:
        assert len(real_samples(POINTS[:count], 1000)) == count
    else:
        with pytest.raises(UserError, match=r"^'real' gives 63 samples; at least 64 are needed"):
            real_samples(POINTS[:count], 1000)


def test_real_samples_are_detached_and_may_hold_a_constant_column():
    grown = (POINTS * torch.tensor([1.0, 0.0])).requires_grad_()
    found = real_samples(lambda n: grown[:n], 100)
    assert (found.requires_grad, found.dtype, found.shape) == (False, torch.float32, (100, 2))
    assert real_samples(POINTS.half(), 100).dtype == torch.float32
    with pytest.raises(UserError, match=r"^'real' must hold samples .* got the shape \[\]"):
        real_samples(torch.tensor(1.0), 100)


@pytest.mark.parametrize(("batch", "read"), [
    (lambda i: POINTS[i], "points"), (lambda i: (POINTS[i], 3), "points"), (lambda i: [[POINTS[i]], 3], "points"),
    (lambda i: {"x": {"y": POINTS[i]}, "z": 1}, "points"), (lambda i: {}, "dict"),
])  # fmt: skip
def test_batches_begin_with_the_samples(batch, read):
    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, i):
            return batch(i)

    loader = DataLoader(Data(), batch_size=30)
    if read == "points":
        assert torch.equal(real_samples(loader, 70), POINTS[:70])
        assert torch.equal(real_samples(loader, 90), POINTS[:90])
        assert torch.equal(real_samples(loader, 1000), POINTS[:100])
    else:
        with pytest.raises(
            UserError, match=f"^'real' is a DataLoader whose batches are {read if read != 'list' else '.'}"
        ):
            real_samples(loader, 70)


def test_a_loader_is_read_no_further_than_asked():
    read = []

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 400

        def __getitem__(self, i):
            read.append(i)
            return POINTS[i]

    real_samples(DataLoader(Data(), batch_size=35), 70)
    assert len(read) == 70
    with pytest.raises(UserError, match=r"^'real' is a DataLoader without a single batch"):
        real_samples(DataLoader(TensorDataset(POINTS[:10]), batch_size=30, drop_last=True), 70)


def test_what_is_given_with_samples_of_batches_ends_with_them():
    batches = [(POINTS[first : first + 30], torch.arange(first, first + 30)) for first in range(0, 390, 30)]
    real = real_batch(batches, 100, 1)
    assert torch.equal(real.x, POINTS[:100])
    assert real.given.tolist() == list(range(100))


def test_every_generator_that_a_loader_draws_from_is_seeded_and_given_back():
    sampler = torch.utils.data.RandomSampler(range(400), generator=torch.Generator().manual_seed(3))
    batches = torch.utils.data.BatchSampler(
        torch.utils.data.RandomSampler(range(400), generator=torch.Generator().manual_seed(4)), 50, drop_last=False
    )
    for options, drawn in (({"sampler": sampler, "batch_size": 50}, sampler), ({"batch_sampler": batches},
                                                                               batches.sampler)):  # fmt: skip
        loader = DataLoader(TensorDataset(POINTS), **options)
        before = drawn.generator.get_state()
        first = real_samples(loader, 100)
        assert torch.equal(drawn.generator.get_state(), before)
        drawn.generator.manual_seed(77)
        assert torch.equal(real_samples(loader, 100), first)


def test_latents_of_a_dimension_are_standard_normal():
    drawn = latent_samples(3, 2000)
    assert drawn.shape == (2000, 3)
    assert drawn.mean(0).abs().max() < 0.1
    assert (drawn.std(0) - 1).abs().max() < 0.1
    assert latent_samples(1, 5).shape == (5, 1)
    grown = latent_samples(lambda n: torch.zeros(n, requires_grad=True), 4)
    assert (grown.shape, grown.requires_grad) == ((4,), False)
    for wrong, got in ((True, "bool"), (None, "NoneType")):
        with pytest.raises(UserError, match=f"^'latent' must be a dimension or a callable n -> latents, got {got}"):
            latent_samples(wrong, 4)
    for wrong, got in ((lambda n: torch.zeros(()), r"\[\]"), (lambda n: [0.0] * n, "list")):
        with pytest.raises(
            UserError, match=f"^'latent' was asked for 4 latents and gave {got}; it must return a tensor"
        ):
            latent_samples(wrong, 4)
