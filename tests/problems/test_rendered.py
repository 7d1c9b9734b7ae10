"""Images of known factors and stacked images: what they hold, how they are counted, and that they can be seen."""

import math

import pytest
import torch

from ganbench import registry
from ganbench.measure.evaluate import Evaluator
from ganbench.metrics.reference import Reference
from ganbench.problems.base import stream
from ganbench.problems.rendered import CHARACTERS, COLOURS, PLACES, SHAPES, characters, fonts, scenes


def problem(name, **hypers):
    return registry.get("problem", name)(**hypers)


def measured(own, fake, metric):
    reference = Reference(own.reference(100).flatten(1), modes=own.modes)
    return {k: v.item() for k, v in registry.get("metric", metric)(reference, fake.flatten(1)[None]).items()}


@pytest.mark.parametrize("side", [32, 64])
def test_scenes_have_the_areas_of_geometry(side):
    images, factors = scenes(side)
    assert images.shape == (128, 3, side, side)
    for small in (8, side):
        assert len(factors.unique(dim=0)) == len(scenes(small)[0].flatten(1).unique(dim=0)) == 128
    areas = {"disc": math.pi, "square": 1.8**2, "triangle": 1.8 * 1.8 / 2}
    areas["cross"] = 2 * (2 * 0.6) - 0.36
    for image, (shape, colour, place, radius) in zip(images, factors.tolist(), strict=True):
        mask = image.amax(0)
        # as many of 4 x 4 points a pixel as lie within: off by about the points along its edge
        expected = areas[SHAPES[shape]] * (side * (0.13, 0.22)[radius]) ** 2
        assert mask.sum().item() == pytest.approx(expected, rel=0.08)
        assert torch.equal(image, mask * torch.tensor(COLOURS[colour], dtype=torch.float64)[:, None, None])
        at = torch.arange(side, dtype=torch.float64) + 0.5
        y, x = ((mask.sum(axis) * at).sum() / mask.sum() / side for axis in (1, 0))
        # a triangle's centre of mass lies a third of its height above its base
        drop = (0.3 if SHAPES[shape] == "triangle" else 0) * (0.13, 0.22)[radius]
        assert (y - drop, x) == pytest.approx(PLACES[place], abs=0.02)


def test_every_glyph_is_there_and_no_two_are_alike():
    for side in (8, 16, 32):
        images, factors = characters(side)
        own = images.flatten(1)
        assert own.amax(1).min() > 0.5, "a font without letters is blank"
        apart = torch.cdist(own, own) + 10 * torch.eye(len(own), dtype=torch.float64)
        assert apart.min() > 0.5, "ten standard deviations of the noise"
        assert factors[:, 0].bincount().tolist() == [len(images) // 10] * 10
    assert len(characters(16)[0]) >= 100
    assert not [font for font in fonts() if "Display" in font.name]
    # capitals and digits are about .7 of a font's size, and the font is a tenth larger than the image
    rows = images.amax((1, 3)) > 0.5
    heights = (rows * torch.arange(1, 33)).amax(1) - 32 + (rows * torch.arange(32, 0, -1)).amax(1)
    assert 0.6 < heights.double().median() / 32 < 0.9
    # a 1 has less ink than an 8 in every font
    ink = images.sum((1, 2, 3)).unflatten(0, (10, -1))
    assert (ink[CHARACTERS.index("1")] < ink[CHARACTERS.index("8")]).all()


@pytest.mark.parametrize("name", ["shapes", "glyphs"])
def test_a_perfect_sampler_is_seen_as_one(name):
    own = problem(name)
    oracle = {}
    for seed in range(4):
        for metric in ("mode_statistics", "factor_statistics"):
            for column, value in measured(own, own.oracle_samples(1000, seed), metric).items():
                oracle[column] = oracle.get(column, 0) + value / 4
    values = sum(int(column.max()) + 1 for column in own.modes.factors.unbind(1))
    assert oracle["factors_covered"] == values
    assert oracle["modes_covered"] > 0.97 * len(own.modes.centres)
    assert oracle["high_quality"] > 0.97
    most = max(int(column.max()) for column in own.modes.factors.unbind(1))
    # the worst of some factors is about the mean of the largest
    assert 0.5 * most / 2000 < oracle["factor_kl"] < 2.5 * most / 2000


def test_a_lost_attribute_is_seen():
    own = problem("shapes")
    images, mode = own.fresh(2000, stream("test", 0))
    factors = own.modes.factors[mode]
    no_green = images[factors[:, 1] != 1]
    got = measured(own, no_green, "factor_statistics")
    assert got["factors_covered"] == 13
    assert got["factor_kl"] == pytest.approx(math.log(4 / 3), abs=0.01)
    assert [got[f"factor_share.{k}"] for k in (4, 5, 6, 7)] == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.05)
    # a value is held from a quarter of its true share on, here one sample in sixteen
    green, others = images[factors[:, 1] == 1], no_green[:480]
    for few, held in ((28, 13), (36, 14)):
        assert measured(own, torch.cat([others, green[:few]]), "factor_statistics")["factors_covered"] == held
    # what is not one of the images counts for no factor
    blank = measured(own, torch.zeros(50, 3, 16, 16), "factor_statistics")
    assert blank["factors_covered"] == 0


# ---- stacked images


@pytest.fixture(scope="module")
def stacked():
    return problem("stacked_digits")


def test_channels_are_digits_drawn_one_by_one(stacked):
    digits = problem("digits")
    known = [
        {tuple(row): label for row, label in zip(images.flatten(1).tolist(), labels.tolist(), strict=True)}
        for images, labels in ((digits.images, digits.labels), (digits.held_out_images, digits.held_out_labels))
    ]
    images, mode = stacked.fresh(500, stream("test", 0))
    for image, label in zip(images, mode.tolist(), strict=True):
        assert [known[0][tuple(channel.flatten().tolist())] for channel in image] == [int(c) for c in f"{label:03d}"]
    held_out = stacked.oracle_samples(200)
    assert all(tuple(channel.flatten().tolist()) in known[1] for image in held_out for channel in image)
    assert stacked.fresh(10_000, stream("reference", 0))[1].tolist() == stacked.labels.tolist()
    assert len(mode.unique()) == pytest.approx(1000 * (1 - math.exp(-0.5)), abs=30)


def test_a_thousand_modes_are_counted_by_confident_triples(stacked):
    evaluator = Evaluator(stacked, 5000, 16)
    assert evaluator.modes == 1000
    perfect = evaluator.measure(stacked.oracle_samples(5000)[None])
    assert perfect["stacked_hit"].item() > 980
    assert perfect["classes_covered"].item() > 950
    # (modes - 1) / (2 samples) of those that count, about .8 of 5000, is .125
    assert 0.1 < perfect["stacked_kl"].item() < 0.2
    noise = evaluator.measure(torch.rand(1, 5000, 3, 8, 8, generator=stream("test", 0)) * 2 - 1)
    p = evaluator.spaces["classifier"](torch.rand(1, 5000, 3, 8, 8, generator=stream("test", 0)) * 2 - 1)
    by_arg_max = evaluator.spaces["classifier"].class_head(p).argmax(-1).unique()
    assert len(by_arg_max) > 3 * noise["stacked_hit"].item(), "what an untrained generator hits by chance"
    few = stacked.oracle_samples(200).repeat(25, 1, 1, 1)
    assert evaluator.measure(few[None])["stacked_hit"].item() <= 200


def test_shapes_are_red_green_blue_and_yellow():
    named = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}
    assert sorted(COLOURS) == sorted(named.values())
