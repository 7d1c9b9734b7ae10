"""How samples lie among themselves: spread, width of modes, repetition; against plain NumPy and by hand."""

import math

import numpy as np
import pytest
import torch

from ganbench.measure.shape import MOST, dispersion, mode_widths, repeats
from ganbench.metrics.reference import Reference
from ganbench.problems.base import Modes


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reach(samples):
    """The distance from the lower median of each coordinate within which most samples lie."""
    ordered = np.sort(samples, axis=0)
    distance = np.linalg.norm(samples - ordered[(len(samples) - 1) // 2], axis=1)
    return np.sort(distance)[math.ceil(MOST * len(samples)) - 1]


def test_spread_is_how_far_most_samples_reach_over_the_reals():
    real, fake = normal(300, 5), torch.stack([3 * normal(2500, 5, seed=1), normal(2500, 5, seed=2) + 40])
    found = dispersion(Reference(real), fake)["sample_spread"]
    expected = [reach(one.numpy()) / reach(real.numpy()) for one in fake]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    # wherever they lie
    assert found[1] == pytest.approx(1, abs=0.2)


def test_a_few_stray_samples_do_not_hide_a_point():
    real, fake = normal(500, 2), torch.zeros(1, 100, 2, dtype=torch.float64)
    assert dispersion(Reference(real), fake)["sample_spread"].item() == 0
    fake[0, :15] = 1000 * normal(15, 2)
    assert dispersion(Reference(real), fake)["sample_spread"].item() == 0
    fake[0, :16] = 1000.0
    assert dispersion(Reference(real), fake)["sample_spread"].item() > 100


def test_of_reals_that_are_mostly_one_point_no_spread_is_told():
    real = torch.zeros(100, 1, dtype=torch.float64)
    real[:3] = 1.0
    assert dispersion(Reference(real), normal(1, 50, 1))["sample_spread"].isnan().all()


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_width_is_in_standard_deviations_of_the_modes(share):
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0]], dtype=torch.float64)
    modes = Modes(centres, 0.1, torch.tensor([0.5, 0.5], dtype=torch.float64))
    index, noise = torch.arange(20_000) % 2, normal(20_000, 2)
    fake = (centres[index] + share * 0.1 * noise)[None]
    # squared distances of a plane's normal are exponential: cut off at three deviations they are 1 - 9/2 e / (1 - e)
    cut = 9 / 2 / share**2
    expected = share * math.sqrt(1 - cut * math.exp(-cut) / (1 - math.exp(-cut)))
    found = mode_widths(Reference(normal(100, 2), modes=modes), fake)["mode_width"].item()
    assert found == pytest.approx(expected, rel=0.02)
    # far samples say nothing of the width; where all are far it is the largest that counts, three deviations
    far = mode_widths(Reference(normal(100, 2), modes=modes), torch.full((1, 9, 2), 5.0))["mode_width"]
    assert far.tolist() == pytest.approx([3 / math.sqrt(2)])


@pytest.mark.parametrize("dimension", [1, 2, 50])
def test_repeated_samples_are_counted_in_any_order(dimension):
    fake = normal(2, 200, dimension).float()
    assert repeats(Reference(normal(100, dimension)), fake)["repeated"].tolist() == [0, 0]
    # ten groups of three, and what is only close is another one
    fake[0, 100:110] = fake[0, 110:120] = fake[0, 120:130]
    fake[0, 130] = fake[0, 131] + 1e-3
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    found = repeats(Reference(normal(100, dimension)), fake[:, order])["repeated"]
    assert found.tolist() == [30 / 200, 0]
