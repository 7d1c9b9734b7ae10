"""How a loss is applied to all runs: directly or under vmap only where that gives what a loop over runs gives."""

import pytest
import torch
from torch.nn.functional import softplus

from ganbench import registry
from ganbench.binding import Bound
from ganbench.training.losses import over_runs

CPU = torch.device("cpu")
REAL, FAKE = (torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3).unbind()


def applied(loss, **hypers):
    """A loss found out for four runs, and its losses beside those of a loop."""
    plugin = registry._plugin("loss", loss, {}, frozenset(), {"boundary": 0.0})
    part = over_runs(Bound(plugin, hypers), slice(0, 4), CPU)
    each = [loss(real, fake, **hypers) for real, fake in zip(REAL, FAKE, strict=True)]
    for got, expected in zip(part(REAL, FAKE), zip(*each, strict=True), strict=True):
        torch.testing.assert_close(got, torch.stack(expected), rtol=1e-12, atol=1e-12)
    return part


def per_run(real, fake):
    return softplus(-real).mean(-1) + softplus(fake).mean(-1), softplus(-fake).mean(-1)


def test_a_mean_over_the_last_axis_is_applied_directly():
    assert applied(per_run).how == "direct"


def test_a_mean_over_everything_runs_under_vmap():
    def loss(real, fake):
        return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()

    assert applied(loss).how == "vmap"


@pytest.mark.parametrize("error", [0.01, 1e-4, -0.01])
@pytest.mark.parametrize("side", [0, 1])
def test_a_loss_that_is_a_little_off_for_many_runs_is_run_by_itself(error, side):
    def wrong(losses, factor):
        return tuple(loss * factor if place == side else loss for place, loss in enumerate(losses))

    def directly(real, fake):
        return wrong(per_run(real, fake), 1 + error * (real.dim() > 1))

    def batched(real, fake):
        strange = real.dim() > 1 or torch._C._functorch.is_batchedtensor(real)
        return wrong(per_run(real, fake), 1 + error * strange)

    assert applied(directly).how == "vmap"
    assert applied(batched).how == "looped"


def test_a_loss_that_looks_at_values_is_looped():
    def loss(real, fake):
        return (softplus(-real).mean(), softplus(-fake).mean()) if float(real.sum()) > 0 else (real.mean(), fake.mean())

    assert applied(loss).how == "looped"


def test_statistics_over_all_runs_are_none_of_a_run():
    def loss(real, fake):
        centred = real - real.mean()
        return softplus(-centred).mean(-1), softplus(-fake).mean(-1)

    assert applied(loss).how == "vmap"


@pytest.mark.parametrize(("weight", "paired"), [(0.0, False), (1e-3, True), (1.0, True)])
def test_whether_the_generators_loss_looks_at_real_logits(weight, paired):
    def loss(real, fake, *, weight=0.0):
        return softplus(fake - real).mean(-1), softplus(weight * real - fake).mean(-1)

    assert applied(loss, weight=weight).paired is paired


@pytest.mark.parametrize(("declared", "boundary"), [({}, 0.0), ({"boundary": None}, None), ({"boundary": 0.5}, 0.5)])
def test_the_boundary_is_the_losss_own(declared, boundary):
    plugin = registry._plugin("loss", per_run, {}, frozenset(), declared)
    assert over_runs(Bound(plugin, {}), slice(0, 4), CPU).boundary == boundary
