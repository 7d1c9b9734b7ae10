"""Diffusion and flow matching on Gaussians, where the best that a network can say is known in closed form."""

import math

import pytest
import torch
from torch import nn

from ganbench.models.diffusion import Diffusion, Matching

MEAN, SCALE = 0.7, 1.6


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Known(nn.Module):
    """A field that somebody has worked out, in the place of a network."""

    def __init__(self, field):
        super().__init__()
        self.field = field

    def forward(self, x, time):
        return self.field(x, time)


def diffusion(levels=50, size=1, scale=SCALE):
    """Return a diffusion of N(MEAN, scale^2) whose network tells the mean of the noise given what is seen."""
    model = Diffusion(size, levels, 4, 1).double()

    def field(x, time):
        kept = model.kept[(time * levels).round().long() - 1]
        # noise and what is seen are jointly Gaussian
        return (1 - kept).sqrt() * (x - kept.sqrt() * MEAN) / (kept * scale**2 + 1 - kept)

    model.net = Known(field)
    return model


def matching(moves=20):
    """Return a matching of N(0, 1) to N(MEAN, SCALE^2) with the mean velocity given place and time."""
    model = Matching(1, moves, 4, 1).double()

    def field(x, time):
        variance = (1 - time) ** 2 + time**2 * SCALE**2
        return MEAN + (time * SCALE**2 - (1 - time)) / variance * (x - time * MEAN)

    model.net = Known(field)
    return model


def shifted(model, by):
    field = model.net.field
    return lambda x, time: field(x, time) + by(x, time)


@pytest.mark.parametrize("make", [diffusion, matching])
def test_no_field_has_less_loss_than_the_closed_form(make):
    """At the optimum the error is uncorrelated with whatever a network could add: no direction lowers the loss."""
    model = make()
    x, normal = MEAN + SCALE * numbers(20_000, 1), numbers(20_000, 2, seed=1)
    best = model.loss(x, normal)
    for by in (lambda x, t: x, lambda x, t: torch.ones_like(x), lambda x, t: t * x, lambda x, t: t**2, torch.mul):
        ends = []
        for near in (1e-3, -1e-3):
            other = make()
            other.net = Known(shifted(model, lambda x, t, by=by, near=near: near * by(x, t)))
            ends.append(other.loss(x, normal))
        slope = (ends[0] - ends[1]) / 2e-3
        assert abs(slope.mean().item()) < 4 * slope.std().item() / len(x) ** 0.5
        assert ends[0].mean() + ends[1].mean() > 2 * best.mean()


@pytest.mark.parametrize(("make", "count", "within"), [
    (lambda: diffusion(200), 200, 0.02), (lambda: matching(50), 1, 0.002), (lambda: matching(5), 1, 0.1),
])  # fmt: skip
def test_by_the_closed_form_samples_are_of_the_data(make, count, within):
    """Samples are linear in their numbers, so that their law follows from the map's Jacobian, without chance."""
    model = make()
    assert model.numbers == count
    start = torch.zeros(count, dtype=torch.float64)
    mean = model.sample(start[None])[0].item()
    slopes = torch.autograd.functional.jacobian(lambda one: model.sample(one[None])[0], start)[0]
    assert mean == pytest.approx(MEAN, abs=within)
    assert slopes.square().sum().sqrt().item() == pytest.approx(SCALE, rel=within)


def test_the_bound_of_a_diffusion_is_below_the_density_and_nears_it_with_the_levels():
    gaps = {}
    for scale, levels in ((SCALE, 25), (0.1, 25), (0.1, 100)):
        model = diffusion(levels, scale=scale)
        x = (MEAN + scale * numbers(200, 1)).repeat(20, 1)
        exact = torch.distributions.Normal(MEAN, scale).log_prob(x[:, 0])
        gap = exact - model.log_density(x, numbers(len(x), model.estimates, seed=levels))
        assert gap.mean().item() > -3 * gap.std().item() / len(x) ** 0.5
        gaps[scale, levels] = gap.mean().item()
    assert gaps[SCALE, 25] < 0.05
    assert gaps[0.1, 25] > gaps[0.1, 100] + 0.1
    assert gaps[0.1, 100] < 0.2


@pytest.mark.parametrize("levels", [2, 25, 50, 1000])
def test_noise_is_added_level_by_level_until_next_to_nothing_is_kept(levels):
    model = Diffusion(2, levels, 4, 1)
    assert (model.added > 0).all()
    assert (model.added <= 0.9).all()
    assert (model.kept[1:] < model.kept[:-1]).all()
    torch.testing.assert_close(model.kept, (1 - model.added.double()).cumprod(0).float())
    if levels >= 25:
        assert model.kept[-1] < 1e-3
    if levels == 1000:
        # Ho 2020, sec. 4
        assert model.added[[0, -1]].tolist() == pytest.approx([1e-4, 0.02])


def test_levels_are_drawn_alike():
    model, seen = Diffusion(1, 10, 4, 1), []
    model.net = Known(lambda x, time: seen.append(time) or x)
    model.loss(torch.zeros(20_000, 1), numbers(20_000, 2).float())
    counts = (seen[0][:, 0] * 10).round().long().bincount(minlength=11)
    assert counts[0] == 0
    assert ((counts[1:] - 2000).abs() < 4 * math.sqrt(2000)).all()


def test_of_images_what_the_network_stands_for_is_held_within_their_range():
    held, free = (Diffusion(2, 25, 4, 1, limits).double() for limits in ((-1.0, 1.0), None))
    for model in (held, free):
        model.net = Known(lambda x, time: -3 * torch.ones_like(x))  # far beyond the range, whatever is seen
    normal = numbers(50, 2 * 25)
    assert held.sample(normal).abs().max() <= 1
    assert free.sample(normal).abs().max() > 1
    # within it nothing is held

    def known(x, time):
        kept = held.kept[(time * 25).round().long() - 1]
        return (x - kept.sqrt() * 0.5) / (1 - kept).sqrt()

    for model in (held, free):
        model.net = Known(known)
    torch.testing.assert_close(held.sample(normal), free.sample(normal))
    # its schedule is in float32
    torch.testing.assert_close(held.sample(normal), torch.full((50, 2), 0.5).double(), atol=1e-5, rtol=0)
