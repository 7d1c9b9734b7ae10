"""What published tables name beside FID: KID with its spread, CMMD, MiFID, intra-FID, sFID, against NumPy and SciPy."""

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.spatial.distance import cdist

from ganbench.errors import InputError
from ganbench.metrics import (
    Reference,
    class_frechet,
    cmmd,
    frechet_distance,
    frechet_floor,
    kernel_distance,
    kernels,
    kid,
    mifid,
    spatial_frechet,
)  # fmt: skip
from ganbench.problems.base import stream


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream("published", seed), dtype=torch.float64)


def by_definition(real, fake, kernel):
    within = [np.where(np.eye(len(x)), 0, kernel(x, x)).sum() / (len(x) * (len(x) - 1)) for x in (real, fake)]
    return sum(within) - 2 * kernel(real, fake).mean()


def cubic(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def frechet(real, fake):
    spread = [np.atleast_2d(np.cov(side, rowvar=False)) for side in (real, fake)]
    root = scipy.linalg.sqrtm(spread[0] @ spread[1]).real
    return ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(spread[0] + spread[1] - 2 * root)


# ---- KID and its spread


def subsets(n, m, size, count, seed):
    generator = stream("kernel subsets", seed)
    return [[torch.randperm(all_, generator=generator)[:size].numpy() for all_ in (n, m)] for _ in range(count)]


# many subsets of few samples take the kernel of all pairs, few subsets of many one after the other
@pytest.mark.parametrize(("n", "m", "size", "count"), [(60, 50, 20, 12), (50, 60, 20, 12), (300, 200, 20, 3)])
@pytest.mark.parametrize("d", [2, 30])
def test_kid_is_the_mean_and_spread_of_the_subsets_distances(n, m, size, count, d):
    real, fakes = normal(n, d), normal(2, 2, m, d, seed=1) * 0.8 + 0.2
    found = kid(real, fakes, subsets=count, subset_size=size, seed=3)
    for i, j in ((0, 0), (1, 0), (1, 1)):
        x, y = real.numpy(), fakes[i, j].numpy()
        scores = [by_definition(x[own], y[other], cubic) for own, other in subsets(n, m, size, count, 3)]
        assert found.kernel_distance[i, j].item() == pytest.approx(by_definition(x, y, cubic), rel=1e-9)
        assert found.kid_mean[i, j].item() == pytest.approx(np.mean(scores), rel=1e-9)
        assert found.kid_std[i, j].item() == pytest.approx(np.std(scores), rel=1e-9)
    # the mean is what `kernel_distance` says of the same subsets
    same = kernel_distance(real, fakes, subsets=count, subset_size=size, seed=3)
    torch.testing.assert_close(found.kid_mean, same, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("n", "m", "size"), [(2, 2, 2), (5, 9, 2), (40, 31, 15), (2300, 2001, 1000), (2300, 1999, 999)]
)
def test_without_a_size_subsets_are_a_thousand_or_half(n, m, size):
    real, fake = normal(n, 1), normal(m, 1, seed=1)
    assert kid(real, fake, subsets=2) == kid(real, fake, subsets=2, subset_size=size)


@pytest.mark.parametrize("kernel", ["cubic", "gaussian"])
def test_subsets_at_once_are_subsets_one_by_one(kernel, monkeypatch):
    real, fake = normal(70, 5), normal(60, 5, seed=1) + 0.3
    widths = kernels._Widths(2.0, 3) if kernel == "gaussian" else None
    at_once = kernels._of_subsets(Reference(real), fake, widths, (9, 30, 0))
    rows = subsets(70, 60, 30, 9, 0)
    alone = [kernels._distance(Reference(real[own]), fake[other], widths) for own, other in rows]
    torch.testing.assert_close(at_once, torch.stack(alone), rtol=1e-9, atol=1e-14)


def test_the_spread_of_subsets_falls_with_their_size_and_not_with_the_number_of_samples():
    spread = {
        (n, size): kid(normal(n, 3), normal(n, 3, seed=1), subsets=60, subset_size=size).kid_std.item()
        for n, size in ((400, 25), (400, 100), (1600, 25))
    }
    assert spread[400, 25] > 2.5 * spread[400, 100]
    assert spread[1600, 25] == pytest.approx(spread[400, 25], rel=0.5)


def test_torch_fidelity_divides_as_we_do(torchvision):
    peer = pytest.importorskip(
        "torch_fidelity.metric_kid", reason="torch-fidelity is not installed", exc_type=ImportError
    )
    real, fake = normal(200, 8), normal(200, 8, seed=1) + 0.2
    options = {"kid_subsets": 200, "kid_subset_size": 100, "verbose": False}
    theirs = peer.kid_features_to_metric(real, fake, **options)
    ours = kid(real, fake, subsets=200, subset_size=100)
    assert ours.kid_std.item() == pytest.approx(theirs[peer.KEY_METRIC_KID_STD], rel=0.25)


# ---- CMMD


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def wide(x, y):
    return np.exp(-cdist(x, y, "sqeuclidean") / (2 * 10.0**2))


@pytest.mark.parametrize("d", [1, 2, 16, 300])
def test_cmmd_is_a_thousand_times_the_unbiased_distance_of_directions(d):
    real, fakes = normal(80, d) + 0.2, normal(3, 60, d, seed=1) * 3 + 0.7
    for run, score in zip(fakes, cmmd(real, fakes), strict=True):
        x, y = unit(real.numpy()), unit(run.numpy())
        assert score.item() == pytest.approx(1000 * by_definition(x, y, wide), rel=1e-6, abs=1e-9)
    # lengths do not count
    longer = cmmd(1e3 * real, 1e-3 * fakes)
    torch.testing.assert_close(longer, cmmd(real, fakes), rtol=1e-9, atol=1e-12)


def test_the_authors_programme_is_higher_by_the_pairs_of_a_sample_with_itself():
    real, fake = normal(80, 16), normal(60, 16, seed=1) + 0.5
    x, y = unit(real.numpy()), unit(fake.numpy())
    theirs = 1000 * (wide(x, x).mean() + wide(y, y).mean() - 2 * wide(x, y).mean())
    share = [(1 - np.where(np.eye(len(s)), 0, wide(s, s)).sum() / (len(s) * (len(s) - 1))) / len(s) for s in (x, y)]
    assert theirs - 1000 * sum(share) == pytest.approx(cmmd(real, fake).item(), rel=1e-6)
    assert 0 < 1000 * sum(share) < 20 * (1 / 80 + 1 / 60)


def test_cmmd_of_a_perfect_sampler_is_0_in_expectation_and_sees_little_but_mean_directions():
    scores = torch.stack([cmmd(normal(60, 4, seed=2 * s), normal(50, 4, seed=2 * s + 1)) for s in range(200)])
    assert abs(scores.mean()) < 4 * scores.std() / 200**0.5
    # opposite pairs of directions have a mean of 0, as the whole sphere has
    circle = normal(500, 2)
    cross = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double().repeat(250, 1)
    moved = circle + 0.5
    assert cmmd(circle, cross) < 0.05 * cmmd(circle, moved)


def test_a_sample_at_the_origin_stays_there():
    real = normal(30, 3)
    fake = torch.cat([normal(20, 3, seed=1), torch.zeros(2, 3, dtype=torch.float64)])
    x, y = unit(real.numpy()), np.concatenate([unit(fake[:20].numpy()), np.zeros((2, 3))])
    assert cmmd(real, fake).item() == pytest.approx(1000 * by_definition(x, y, wide), rel=1e-6)
    closest = [*(1 - np.abs(x @ y[:20].T)).min(0), 1, 1]
    assert mifid(real, fake).cosine_distance.item() == pytest.approx(np.mean(closest), rel=1e-9)


# ---- MiFID


def by_kaggle(real, fake, threshold=0.1):
    """The competition's definition, on features without rows of zeros."""
    x, y = unit(real), unit(fake)
    distance = (1 - np.abs(y @ x.T)).min(1).mean()
    return frechet(real, fake) / (distance + 1e-15 if distance < threshold else 1), distance


@pytest.mark.parametrize("d", [2, 6, 40])
@pytest.mark.parametrize("noise", [0.01, 0.1, 1.0])
def test_mifid_is_that_of_the_competition(d, noise):
    real = normal(90, d).abs()
    fakes = torch.stack([real[:70] + noise * normal(70, d, seed=s) for s in (1, 2)])
    for run, (score, distance) in enumerate(zip(*mifid(real, fakes), strict=True)):
        expected = by_kaggle(real.numpy(), fakes[run].numpy())
        assert (score.item(), distance.item()) == pytest.approx(expected, rel=1e-6)


def test_mifid_is_frechet_for_what_is_new_and_more_for_copies():
    real, held = normal(200, 40), normal(150, 40, seed=1)
    copies = real[:150] + 1e-3 * normal(150, 40, seed=2)
    new, copied = mifid(real, held), mifid(real, copies)
    assert new.cosine_distance > 0.1
    assert new.mifid.item() == pytest.approx(frechet_distance(real, held).item(), rel=1e-12)
    assert frechet_distance(real, copies) < frechet_distance(real, held)
    assert copied.mifid > 1000 * new.mifid
    # with the threshold above the distance all pay
    assert mifid(real, held, threshold=0.99).mifid.item() == pytest.approx(
        (new.mifid / new.cosine_distance).item(), rel=1e-9
    )
    with pytest.raises(InputError, match=r"'threshold' must be between 0 and 1, got 1\."):
        mifid(real, held, threshold=1)


@pytest.mark.filterwarnings("ignore")
def test_mifid_is_that_of_torchmetrics():
    peer = pytest.importorskip("torchmetrics.image.mifid", reason="torchmetrics is not installed", exc_type=ImportError)
    real, fake = normal(90, 40).abs(), normal(70, 40, seed=1).abs()
    moments = [(side.mean(0), torch.cov(side.T)) for side in (real, fake)]
    distance = peer._compute_cosine_distance(real, fake, 0.5)
    expected = peer._mifid_compute(*moments[0], real, *moments[1], fake, cosine_distance_eps=0.5)
    assert distance.item() < 0.5
    # its distance is the mean over real samples of the nearest fake: the other way round than the competition's
    ours = mifid(fake, real, threshold=0.5)
    assert ours.cosine_distance.item() == pytest.approx(distance.item(), rel=1e-9)
    assert ours.mifid.item() == pytest.approx(expected.item(), rel=1e-6)


# ---- within classes


@pytest.mark.parametrize("d", [1, 2, 8])
@pytest.mark.parametrize("own", [False, True])
def test_class_frechet_is_frechet_within_each_class(d, own):
    real_labels, labels = torch.arange(90) % 3, torch.arange(60) % 3
    real, fakes = normal(90, d) + real_labels[:, None], normal(2, 60, d, seed=1) * 1.2 + labels[:, None]
    given = torch.stack([labels, labels.flip(0)]) if own else labels
    found = class_frechet(real, fakes, real_labels=real_labels, fake_labels=given)
    for run in range(2):
        of = given[run] if own else given
        expected = [frechet(real[real_labels == c].numpy(), fakes[run][of == c].numpy()) for c in range(3)]
        assert found.by_class[run].tolist() == pytest.approx(expected, rel=1e-6)
        assert found.class_frechet[run].item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_it_sees_mixed_up_classes_which_frechet_does_not():
    labels = torch.arange(400) % 4
    centres = 4 * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]).double()
    real, fake = normal(400, 2) + centres[labels], normal(400, 2, seed=1) + centres[labels]
    right = class_frechet(real, fake, real_labels=labels, fake_labels=labels).class_frechet
    wrong = class_frechet(real, fake, real_labels=labels, fake_labels=(labels + 1) % 4).class_frechet
    assert wrong > 50 * right
    assert frechet_distance(real, fake) < 0.1


def test_its_bias_is_that_of_a_classs_few_samples():
    n, d, runs, labels = 200, 4, 40, torch.arange(200) % 4
    scores = [
        class_frechet(normal(n, d, seed=2 * s), normal(n, d, seed=2 * s + 1), real_labels=labels, fake_labels=labels)
        for s in range(runs)
    ]
    got = torch.stack([score.class_frechet for score in scores])
    floor = frechet_floor(torch.eye(d), n // 4, n // 4).item()
    assert got.mean().item() == pytest.approx(floor, rel=0.1)
    # fewer samples of a class than features: finite, and far above the whole's
    wide_, other = normal(40, 30), normal(40, 30, seed=1)
    few = torch.arange(40) % 4
    assert class_frechet(wide_, other, real_labels=few, fake_labels=few).class_frechet > frechet_distance(wide_, other)


def test_a_class_of_one_and_the_same_sample():
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    real = torch.cat([torch.zeros(3, 2), normal(3, 2)]).double()
    fake = normal(6, 2, seed=1)
    found = class_frechet(real, fake, real_labels=labels, fake_labels=labels)
    expected = (fake[:3].mean(0).square().sum() + torch.cov(fake[:3].T).trace()).item()
    assert found.by_class[0].item() == pytest.approx(expected, rel=1e-9)


def test_labels_that_do_not_fit():
    real, labels = normal(40, 2), np.arange(40) % 4
    for bad, told in (
        (labels[:-1], r"'fake_labels' must be \[40\], one for each sample, got the shape \[39\]"),
        (labels - 1, "'fake_labels' must be whole numbers from 0"), (labels + 0.5, "'fake_labels' must be whole"),
        (np.where(labels == 3, 0, labels), "The class 3 has fewer than 2 samples in 'real' or 'fake'"),
        (labels + 1, "The class 0 has fewer than 2 samples"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=told):
            class_frechet(real, normal(40, 2, seed=1), real_labels=labels, fake_labels=bad)
    with pytest.raises(InputError, match="'real_labels' must be"):
        class_frechet(real, real, real_labels=labels[:3], fake_labels=labels)


def test_a_reference_keeps_the_classes_of_each_labelling():
    reference, fake = Reference(normal(40, 2)), normal(40, 2, seed=1)
    for labels in (torch.arange(40) % 2, torch.arange(40) // 20):
        found = class_frechet(reference, fake, real_labels=labels, fake_labels=labels)
        expected = class_frechet(reference.real, fake, real_labels=labels, fake_labels=labels)
        assert torch.equal(found.by_class, expected.by_class)


# ---- in maps


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_spatial_frechet_is_frechet_of_the_first_channels_at_every_place(channels):
    real, fakes = normal(300, 9, 2, 3), normal(2, 200, 9, 2, 3, seed=1) * 1.3
    flat = [side[..., :channels, :, :].reshape(*side.shape[:-3], -1).numpy() for side in (real, fakes)]
    expected = [frechet(flat[0], run) for run in flat[1]]
    assert spatial_frechet(real, fakes, channels=channels).tolist() == pytest.approx(expected, rel=1e-6)
    # the order of the rest does not matter
    turned = [torch.cat([side[..., :7, :, :], side[..., 7:, :, :].flip(-3)], -3) for side in (real, fakes)]
    assert torch.equal(spatial_frechet(*turned), spatial_frechet(real, fakes))


def test_it_sees_where_something_is_which_means_over_places_do_not():
    places = torch.eye(4, dtype=torch.float64).reshape(4, 1, 2, 2).repeat(100, 1, 1, 1)
    corner = places[:1].expand(400, 1, 2, 2) + 1e-3 * normal(400, 1, 2, 2)
    pooled = [side.mean((-2, -1)) + 1e-3 * normal(400, 1, seed=2) for side in (places, corner)]
    assert spatial_frechet(places, corner, channels=1) > 0.5
    assert frechet_distance(*pooled) < 1e-4


def test_what_are_no_maps_is_refused():
    maps = normal(10, 9, 2, 2)
    with pytest.raises(
        InputError, match=r"'fake_maps' must be maps \[..., n, channels, h, w\], got the shape \[10, 9\]"
    ):
        spatial_frechet(maps, normal(10, 9))
    with pytest.raises(InputError, match="'channels' must be at most the 3 of 'fake_maps', got 7"):
        spatial_frechet(maps, normal(10, 3, 2, 2))
