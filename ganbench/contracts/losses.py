"""The laws of losses, each through the adapter that the engine trains with: logits [runs, batch], one loss a run."""

from __future__ import annotations

import torch
from torch import Tensor

from ganbench.binding import Bound
from ganbench.contracts.base import Breach, NotDeclared, Outcome, law
from ganbench.problems.base import stream
from ganbench.registry import Plugin
from ganbench.training.losses import LossSlice, over_runs

BATCH = 8
EXTREME = 1e4
SURE = 20.0
SLOPES = ("d_loss by a real logit", "d_loss by a fake logit", "g_loss by a fake logit")


def engine(plugin: Plugin) -> LossSlice:
    """Return the loss as the engine applies it: logits [runs, batch] to two losses [runs]."""
    return over_runs(Bound(plugin, plugin.hypers), slice(None), torch.device("cpu"))


def drawn(*shape: int, seed: int = 0, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return real and fake logits, float64."""
    real, fake = torch.randn(2, *shape, generator=stream("loss contract", seed), dtype=torch.float64) * scale
    return real, fake


def constant(*logits: float, batch: int = BATCH) -> Tensor:
    """Return one run for each number, its whole batch at that logit [runs, batch]."""
    return torch.tensor(logits, dtype=torch.float64).unsqueeze(1).repeat(1, batch)


def slopes(loss: LossSlice, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return batch times the slopes of the losses, named as in SLOPES, each [runs, batch]; 0 where there is none."""
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    d_loss, g_loss = loss(real, fake)
    (d_real, d_fake), (g_fake,) = _grad(d_loss, real, fake), _grad(g_loss, fake)
    return d_real * real.shape[-1], d_fake * real.shape[-1], g_fake * real.shape[-1]


def _grad(value: Tensor, *inputs: Tensor) -> list[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    # runs are independent, so the gradient of the sum holds each run's own
    return list(torch.autograd.grad(value.sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True))


def resting_logit(loss: LossSlice) -> float:
    """Return the best constant logit on equal real and fake data, 0 where none between -3 and 3 is best."""
    constants = torch.linspace(-3, 3, 601, dtype=torch.float64)
    values = loss(*[constant(*constants.tolist())] * 2)[0]
    # the middle of a flat bottom, like the hinge's
    best = torch.nonzero(values <= values.min() + 1e-9).flatten()
    first, last = int(best[0]), int(best[-1])
    return 0.0 if first == 0 or last == 600 else (first + last - 600) / 200


def undecided(plugin: Plugin, loss: LossSlice) -> float:
    """Return the declared boundary, 0 where a loss declares to have none, else the logit where its critic rests."""
    if "boundary" in plugin.meta:
        return float(plugin.meta["boundary"] or 0.0)
    return resting_logit(loss)


@law
def two_losses(plugin: Plugin) -> Outcome:
    """Two losses come back, each one number a run in the precision of the logits."""
    loss = engine(plugin)
    for dtype in (torch.float32, torch.float64):
        real, fake = drawn(3, 16)
        for name, value in zip(("d_loss", "g_loss"), loss(real.to(dtype), fake.to(dtype)), strict=True):
            if value.shape != (3,):
                return Breach(f"{name} of 3 runs has the shape {list(value.shape)}, not [3]: reduce with .mean(-1)")
            if value.dtype != dtype:
                return Breach(f"{name} of {dtype} logits is {value.dtype}")
    return None


@law
def finite_at_extremes(plugin: Plugin) -> Outcome:
    """Values and slopes are finite at logits of 1e4, whichever side is wrong."""
    loss = engine(plugin)
    real, fake = constant(-EXTREME, -EXTREME, EXTREME, EXTREME), constant(-EXTREME, EXTREME, -EXTREME, EXTREME)
    for dtype in (torch.float32, torch.float64):
        pair = real.to(dtype), fake.to(dtype)
        parts = dict(zip(("d_loss", "g_loss"), loss(*pair), strict=True))
        parts |= {f"the slope of {name}": slope for name, slope in zip(SLOPES, slopes(loss, *pair), strict=True)}
        for name, values in parts.items():
            for run, value in enumerate(values.detach().reshape(4, -1)):
                if not value.isfinite().all():
                    where = f"real logits {real[run, 0]:g} and fake logits {fake[run, 0]:g}"
                    return Breach(f"{name} is {value[0].item():g} at {where} in {dtype}")
    return None


@law
def precise_in_float32(plugin: Plugin) -> Outcome:
    """Losses and slopes in float32 are those in float64, at logits between -30 and 30, to 0.1 %."""
    loss = engine(plugin)
    points = torch.tensor([-30.0, -18.0, -9.0, -3.0, 0.0, 3.0, 9.0, 18.0, 30.0])
    real, fake = (part.unsqueeze(1).repeat(1, BATCH) for part in torch.cartesian_prod(points, points).unbind(1))
    both = [[*loss(*pair), *slopes(loss, *pair)] for pair in ((real, fake), (real.double(), fake.double()))]
    for name, single, double in zip(("d_loss", "g_loss", *SLOPES), *both, strict=True):
        single, double = (part.detach().double().reshape(len(real), -1)[:, 0] for part in (single, double))
        error = (single - double).abs() - 1e-3 * double.abs()
        if not bool((error < 1e-4).all()):
            at = int(error.nan_to_num(nan=torch.inf).argmax())
            return Breach(
                f"{'the slope of ' * (name in SLOPES)}{name} is {single[at]:.4g} in float32 and {double[at]:.4g} in "
                f"float64 at real logits {real[at, 0]:g} and fake logits {fake[at, 0]:g}"
            )
    return None


@law
def critic_falls(plugin: Plugin) -> Outcome:
    """The critic's loss falls when real logits rise above fake ones."""
    loss = engine(plugin)
    rest = undecided(plugin, loss)
    d_real, d_fake, _ = slopes(loss, constant(rest), constant(rest))
    for name, rise in ((SLOPES[0], d_real.max()), (SLOPES[1], -d_fake.min())):
        if not rise < 0:
            wrong, sign = (rise, "below") if name == SLOPES[0] else (-rise, "above")
            return Breach(f"the slope of {name} is {wrong:.3g} at logits of {rest:g}, and should be {sign} 0")
    gaps = (-1.0, -0.5, 0.0, 0.5, 0.9)
    real, fake = (constant(*(rest + side * gap / 2 for gap in gaps)) for side in (1, -1))
    return _falling(loss(real, fake)[0], gaps, f"d_loss around logits of {rest:g}", "real - fake")


@law
def generator_falls(plugin: Plugin) -> Outcome:
    """The generator's loss falls when fakes score higher."""
    loss = engine(plugin)
    rest = undecided(plugin, loss)
    slope = slopes(loss, constant(rest), constant(rest))[2].max().item()
    if not slope < 0:
        return Breach(f"the slope of {SLOPES[2]} is {slope:.3g} at logits of {rest:g}, and should be below 0")
    rises = (-1.0, -0.4, 0.0, 0.4)
    fake = constant(*(rest + rise for rise in rises))
    return _falling(loss(torch.full_like(fake, rest), fake)[1], rises, f"g_loss around logits of {rest:g}", "fake")


def _falling(values: Tensor, at: tuple[float, ...], what: str, along: str) -> Outcome:
    for before, after, start, end in zip(values, values[1:], at, at[1:], strict=False):
        if not after < before:
            return Breach(
                f"{what} goes from {before.item():.4g} to {after.item():.4g} as {along} grows from {start:g} to {end:g}"
            )
    return None


@law
def teaches_as_declared(plugin: Plugin) -> Outcome:
    """A generator whose fakes are rejected (logit -20) learns nothing where `saturates`, else no less than before."""
    if "saturates" not in plugin.meta:
        return NotDeclared("`saturates`, whether a rejected generator stops learning")
    loss = engine(plugin)
    rest = undecided(plugin, loss)
    fake = constant(rest, -SURE)
    before, rejected = slopes(loss, torch.full_like(fake, rest), fake)[2].abs().amin(1).tolist()
    where = f"the slope of {SLOPES[2]} is {rejected:.3g} at {-SURE:g}"
    if plugin.meta["saturates"]:
        return Breach(f"declared as saturating, {where}, not below 1e-6") if not rejected < 1e-6 else None
    if not rejected >= before * (1 - 1e-6):
        return Breach(f"declared as not saturating, {where}, below the {before:.3g} at {rest:g}")
    return None


@law
def never_goes_flat(plugin: Plugin) -> Outcome:
    """What is corrected at a logit 20 on the wrong side still is at 1e4: no epsilon, no clamp makes the loss flat."""
    loss = engine(plugin)
    rest = undecided(plugin, loss)
    for index, (name, side) in enumerate(zip(SLOPES, (-1, 1, -1), strict=True)):
        moved, still = constant(side * SURE, side * EXTREME), constant(rest, rest)
        pair = (moved, still) if index == 0 else (still, moved)
        near, far = slopes(loss, *pair)[index].abs().amin(1).tolist()
        if near > 1e-3 and not far > 1e-9:
            return Breach(f"the slope of {name} is {near:.3g} at {side * SURE:g} and {far:.3g} at {side * EXTREME:g}")
    return None


@law
def order_is_free(plugin: Plugin) -> Outcome:
    """The order of the batch does not matter."""
    loss = engine(plugin)
    real, fake = drawn(1, 32)
    order = torch.randperm(32, generator=stream("loss contract", 1))
    return _same(loss(real, fake), loss(real[:, order], fake[:, order]), "with the batch in another order", 1e-9)


@law
def size_is_free(plugin: Plugin) -> Outcome:
    """The losses are means: every sample twice gives the same losses, to 5 %."""
    loss = engine(plugin)
    real, fake = drawn(1, 64)
    return _same(loss(real, fake), loss(real.repeat(1, 2), fake.repeat(1, 2)), "with every sample twice", 0.05)


@law
def repeatable(plugin: Plugin) -> Outcome:
    """The same logits give the same losses: no memory, no random numbers of its own."""
    loss = engine(plugin)
    pair = drawn(2, 16)
    first = loss(*pair)
    return _same(first, loss(*pair), "at the second call with the same logits", 0.0)


@law
def runs_are_alone(plugin: Plugin) -> Outcome:
    """A run's losses do not change when another run's logits do, to whatever values."""
    loss = engine(plugin)
    real, fake = drawn(3, 16)
    alone = loss(real, fake)
    for other in (5.0, EXTREME, float("inf"), float("nan")):
        moved = [part.index_fill(0, torch.tensor([1]), other) for part in (real, fake)]
        kept = [[part[[0, 2]] for part in pair] for pair in (alone, loss(*moved))]
        if breach := _same(kept[0], kept[1], f"where another run's logits are {other:g}", 1e-12):
            return breach
    return None


def _same(first: tuple[Tensor, ...] | list[Tensor], then: tuple[Tensor, ...] | list[Tensor], where: str,
          within: float) -> Outcome:  # fmt: skip
    for name, before, after in zip(("d_loss", "g_loss"), first, then, strict=True):
        error = (after - before).abs() - within * before.abs().clamp(min=1e-3)
        if not bool((error <= 0).all()):
            at = int(error.nan_to_num(nan=torch.inf).argmax())
            return Breach(f"{name} goes from {before[at].item():.6g} to {after[at].item():.6g} {where}")
    return None


@law
def slopes_are_the_values(plugin: Plugin) -> Outcome:
    """Gradients are those of the values, by finite differences in float64."""
    loss, step, batch = engine(plugin), 1e-6, 7
    real, fake = drawn(1, batch)
    moves = torch.cat([torch.eye(2 * batch, dtype=torch.float64)] * 2) * step
    moves[2 * batch :] *= -1
    values = loss(real + moves[:, :batch], fake + moves[:, batch:])
    pair = real.clone().requires_grad_(), fake.clone().requires_grad_()
    for name, value, moved in zip(("d_loss", "g_loss"), loss(*pair), values, strict=True):
        differences = (moved[: 2 * batch] - moved[2 * batch :]) / (2 * step)
        analytic = torch.cat([part[0] for part in _grad(value, *pair)])
        error = (analytic - differences).abs() - 1e-4 * differences.abs()
        if not bool((error < 1e-5).all()):
            at = int(error.nan_to_num(nan=torch.inf).argmax())
            logit = torch.cat([real[0], fake[0]])[at]
            side = "real" if at < batch else "fake"
            return Breach(
                f"the gradient of {name} by a {side} logit of {logit:.3g} is {analytic[at].item():.4g}, and its finite "
                f"difference {differences[at].item():.4g}"
            )
    return None


@law
def rests_at_its_boundary(plugin: Plugin) -> Outcome:
    """On equal real and fake data the best constant logit is the `boundary`; where it is None, all are equal."""
    loss = engine(plugin)
    if "boundary" not in plugin.meta:
        rest = resting_logit(loss)
        found = f", and its best constant logit is {rest:g}" * (abs(rest) > 1e-2)
        return NotDeclared(f"`boundary`, the logit of an undecided critic or None; 0 is taken for it{found}")
    boundary, constants = plugin.meta["boundary"], torch.linspace(-3, 3, 601, dtype=torch.float64)
    values = loss(*[constant(*constants.tolist())] * 2)[0]
    if boundary is None:
        spread = (values.max() - values.min()).item()
        return (
            Breach(f"declared as None, d_loss varies by {spread:.3g} over constant logits") if spread > 1e-9 else None
        )
    at_boundary = loss(*[constant(float(boundary))] * 2)[0].item()
    if not at_boundary <= values.min().item() + 1e-12:
        best = constants[values.argmin()].item()
        return Breach(f"d_loss is {at_boundary:.6g} at the declared {boundary:g} and {values.min():.6g} at {best:g}")
    return None
