"""Digits and the spaces in which images are compared."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ganbench import registry
from ganbench.errors import UserError
from ganbench.problems import classifiers, features
from ganbench.problems.base import stream


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """The problem, with an empty cache of classifiers in memory and on disk."""
    monkeypatch.setenv("GANBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(classifiers, "_classifiers", {})
    return registry.get("problem", "digits")()


def class_probabilities(problem, images):
    space = features.extractor(problem, "classifier")
    return space.class_head(space(images))


def rows(images):
    return {tuple(image) for image in images.flatten(1).tolist()}


def test_pixels_are_seventeen_levels_from_minus_one_to_one(digits):
    assert digits.value_range == (-1.0, 1.0)
    images = torch.cat([digits.images, digits.held_out_images])
    assert sorted(images.unique().tolist()) == [level / 8 - 1 for level in range(17)]


def test_split(digits):
    assert digits.images.shape == (1297, 1, 8, 8)
    assert digits.held_out_images.shape == (500, 1, 8, 8)
    assert len(digits.labels) == 1297
    # stratified: every class within one image of its share
    for labels, size in ((digits.labels, 1297), (digits.held_out_labels, 500)):
        counts = torch.bincount(labels, minlength=10)
        total = torch.bincount(torch.cat([digits.labels, digits.held_out_labels]), minlength=10)
        assert (counts - total * size / 1797).abs().max() <= 1


def test_no_held_out_image_is_trained_on(digits):
    assert not rows(digits.images) & rows(digits.held_out_images)


def test_training_draws_come_from_the_training_images(digits):
    drawn = digits.sample(3000, stream("test", 0))
    assert rows(drawn) <= rows(digits.images)
    # with replacement: 3000 draws of 1297 hit a share 1 - exp(-3000/1297) = .90 of them
    assert len(rows(drawn)) / 1297 == pytest.approx(0.90, abs=0.03)


def test_references_are_training_images_and_oracles_held_out_ones(digits):
    assert rows(digits.reference()) == rows(digits.images)
    assert rows(digits.oracle_samples(10_000)) == rows(digits.held_out_images)
    few = digits.oracle_samples(100)
    assert len(rows(few)) == 100
    assert rows(few) <= rows(digits.held_out_images)
    assert len(digits.reference(7)) == 7


def test_the_classifier_knows_images_it_has_not_seen(digits):
    probabilities = class_probabilities(digits, digits.held_out_images)
    assert probabilities.shape == (500, 10)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(500))
    accuracy = (probabilities.argmax(1) == digits.held_out_labels).double().mean().item()
    assert accuracy >= 0.95


def test_classifier_is_the_same_whenever_it_is_trained(digits, tmp_path, monkeypatch):
    first = features.extractor(digits, "classifier")(digits.held_out_images)
    for file in tmp_path.iterdir():
        file.unlink()
    monkeypatch.setattr(classifiers, "_classifiers", {})
    torch.randn(5)
    assert torch.equal(features.extractor(digits, "classifier")(digits.held_out_images), first)


@pytest.mark.parametrize(("side", "stride"), [(4, 1), (8, 1), (15, 1), (16, 2), (64, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_random_convolutions_are_those_of_plain_layers(side, stride, channels):
    """The first brings an image to a side of about 8, the second halves it, and quadrants are averaged."""
    weights = features._convolutions((channels, side, side), "conv")
    layers = [nn.Conv2d(channels, 16, 2 * stride + 1, stride, stride), nn.Conv2d(16, 16, 3, 2, 1)]
    for layer, weight, bias in zip(layers, weights[::2], weights[1::2], strict=True):
        layer.weight.data, layer.bias.data = weight, bias
        fan_in = weight[0].numel()
        # He's variance: of n numbers within five standard errors sqrt(2 / n)
        within = 5 * math.sqrt(2 / weight.numel())
        assert weight.square().mean().item() * fan_in / 2 == pytest.approx(1, abs=within)
        assert bias.square().mean().item() * 4 == pytest.approx(1, abs=5 * math.sqrt(2 / 16))
    images = torch.randn(5, channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = nn.functional.relu(layers[1](nn.functional.relu(layers[0](images))))
    rows, columns = maps.shape[2:]
    top, left = slice(0, -(-rows // 2)), slice(0, -(-columns // 2))
    bottom, right = slice(rows // 2, None), slice(columns // 2, None)
    quadrants = [maps[:, :, down, along].mean((2, 3)) for down in (top, bottom) for along in (left, right)]
    plugins = [registry.get("feature_space", name) for name in ("conv", "conv_maps")]
    got, placed = (plugin(SimpleNamespace(shape=(channels, side, side)))(images) for plugin in plugins)
    torch.testing.assert_close(placed, maps[:, :7].flatten(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got, torch.stack(quadrants, dim=2).flatten(1), rtol=1e-5, atol=1e-6)
    assert got.shape == (5, 64)


def test_the_classifier_is_a_plain_perceptron_that_is_trained_as_anybody_would():
    """The same in torch's own words: He's initial weights, AdamW, a rate that falls to 0, noise on the pixels."""
    images = torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 3
    generator = stream("classifier", 0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 128), nn.SiLU(), nn.Linear(128, 32), nn.SiLU(), nn.Linear(32, 3))
    for layer in model[1::2]:
        std = math.sqrt(2 / layer.in_features)
        layer.weight.data = std * torch.randn(layer.weight.shape, generator=generator)
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=400)
    for _ in range(400):
        chosen = torch.randint(50, (128,), generator=generator)
        noisy = images[chosen] + 0.2 * torch.randn(128, 1, 4, 4, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(noisy), labels[chosen]).backward()
        optimizer.step()
        schedule.step()
    trained = classifiers._train(images, labels)
    assert not any(weight.requires_grad for weight in trained)
    for own, plain in zip(trained, model.parameters(), strict=True):
        # the last step is 1 / 400 of the first one, 8e-6: what one more would change is well above rounding
        torch.testing.assert_close(own, plain.detach(), rtol=0, atol=2e-6)


def test_a_cached_classifier_is_not_trained_again(digits, tmp_path, monkeypatch):
    first = features.extractor(digits, "classifier")(digits.held_out_images)
    assert [file.name[:18] for file in tmp_path.iterdir()] == ["classifier-digits-"]
    monkeypatch.setattr(classifiers, "_classifiers", {})
    monkeypatch.setattr(torch.optim, "AdamW", None)  # training would raise
    assert torch.equal(features.extractor(digits, "classifier")(digits.held_out_images), first)


@pytest.mark.parametrize("content", [b"", b"not a file of torch", "list", "nan"])
def test_a_corrupt_cache_is_trained_again(digits, tmp_path, monkeypatch, content):
    first = features.extractor(digits, "classifier")(digits.held_out_images[:20])
    (file,) = tmp_path.iterdir()
    if content == "list":
        torch.save([torch.zeros(3)], file)
    elif content == "nan":
        torch.save([torch.full((3,), float("nan"))] * 6, file)
    else:
        file.write_bytes(content)
    monkeypatch.setattr(classifiers, "_classifiers", {})
    assert torch.equal(features.extractor(digits, "classifier")(digits.held_out_images[:20]), first)
    assert len(classifiers.load(file, 6)) == 6  # mended on disk too


def test_an_unwritable_cache_costs_nothing_but_time(digits, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GANBENCH_CACHE", str(tmp_path / "file" / "below"))
    assert features.extractor(digits, "classifier")(digits.held_out_images[:3]).shape == (3, 32)


def test_features_leave_the_global_random_state_alone(digits):
    state = torch.random.get_rng_state()
    for space in digits.feature_spaces:
        features.extractor(digits, space)(digits.images[:3])
    class_probabilities(digits, digits.images[:3])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("space", ["conv", "pixels", "classifier"])
def test_features_of_many_runs_are_those_of_each(digits, space):
    extract = features.extractor(digits, space)
    images = digits.images[:700].unflatten(0, (2, 350))  # more than one chunk, cut across the runs
    together = extract(images)
    assert together.shape[:2] == (2, 350)
    for run in range(2):
        torch.testing.assert_close(together[run], extract(images[run]), rtol=1e-5, atol=1e-5)


def test_spaces_see_what_they_should(digits):
    # a classifier is nearly blind to pixel noise, random convolutions are not: relative shift of the features
    images = digits.held_out_images
    noisy = images + 0.2 * torch.randn(images.shape, generator=stream("test", 0))
    shift = {}
    for space in digits.feature_spaces:
        extract = features.extractor(digits, space)
        a, b = extract(images), extract(noisy)
        shift[space] = ((a - b).square().sum() / (a - a.mean(0)).square().sum()).item()
    assert shift["classifier"] < shift["pixels"]
    assert min(shift.values()) > 0.005


def test_unknown_space_names_those_that_there_are(digits):
    with pytest.raises(UserError, match=r"'convs'.*'conv'.*classifier"):
        features.extractor(digits, "convs")


def test_a_problem_without_labels_has_no_classifier():
    ring = registry.get("problem", "ring8")()
    with pytest.raises(UserError, match="no labels"):
        features.extractor(ring, "classifier")
