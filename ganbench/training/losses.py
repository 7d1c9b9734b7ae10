"""Losses over slices of the runs of a population: how each is applied to many runs at once, and whose fault it is."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from ganbench import registry
from ganbench.binding import Bound, bind
from ganbench.errors import UserError
from ganbench.plan import Run, Variant
from ganbench.problems.base import stream
from ganbench.schedules import Schedule
from ganbench.training.named import building
from ganbench.training.process_state import NUMERIC, Names, ProcessState, torch_names

Values = Mapping[Schedule, Tensor]
"""What schedules stand for at the present step, without axes."""


def loss_of(run: Run) -> tuple[str, str]:
    """Return what runs share that share a slice: a loss and its hyper-parameters."""
    loss = bind(run.variant, "loss")
    return loss.name, str({**loss.hypers, **loss.schedules})


class GuiltyError(Exception):
    """A loss that failed in a population: the places of its runs; its cause is what it raised."""

    def __init__(self, runs: slice) -> None:
        super().__init__("a loss failed")
        self.runs = runs


@dataclass(frozen=True)
class LossSlice:
    """Runs next to each other that share a loss and its hyper-parameters."""

    runs: slice
    plugin: registry.Plugin
    function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    paired: bool
    how: str
    names: Names | None = None

    def __call__(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of D and G, both [runs], for logits [runs, batch]; GuiltyError where it cannot go on."""
        if self.plugin.is_own:
            return self.function(real_logits, fake_logits)
        try:
            return self._guarded(real_logits, fake_logits)
        except BaseException as error:  # a plug-in may raise anything, SystemExit too
            raise GuiltyError(self.runs) from error

    def _guarded(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Call a loss that this package does not ship: its neighbours must get their numbers whatever it does."""
        with _unchanged(self.names):
            losses = self.function(real_logits, fake_logits)
        for player, loss in zip("DG", losses, strict=True):
            if loss.shape != real_logits.shape[:1] or not loss.is_floating_point():
                raise ValueError(f"its loss of {player} is {tuple(loss.shape)} {loss.dtype}, not one number a run")
        return losses

    @property
    def boundary(self) -> float | None:
        """The logit at which D is undecided, None where the loss has none."""
        boundary = self.plugin.declared("boundary")
        return None if boundary is None else float(boundary)


class Losses:
    """The losses of a population, each over its slice of the runs."""

    def __init__(self, slices: Sequence[LossSlice]) -> None:
        self.slices = list(slices)

    def __call__(self, real_logits: Tensor, fake_logits: Tensor, places: range | None = None) -> tuple[Tensor, Tensor]:
        """Return the losses of D and of G, both [runs], from logits [runs, batch] of all runs or of some neighbours."""
        own = [part for part in self.slices if places is None or _common(part.runs, places)]
        sizes = [len(_common(part.runs, places or range(part.runs.start, part.runs.stop))) for part in own]
        # split rather than sliced: its backward joins the parts once instead of padding and adding each
        pairs = zip(own, real_logits.split(sizes), fake_logits.split(sizes), strict=True)
        parts = [part(real, fake) for part, real, fake in pairs]
        return torch.cat([d for d, _ in parts]), torch.cat([g for _, g in parts])

    @property
    def paired(self) -> list[slice]:
        """The runs whose loss of G compares fake logits with real ones."""
        return [part.runs for part in self.slices if part.paired]


def _common(runs: slice, places: range) -> range:
    return range(max(runs.start, places.start), min(runs.stop, places.stop))


def losses_of(runs: Sequence[Run], device: torch.device, values: Values = MappingProxyType({})) -> Losses:
    """Return the losses of runs that are ordered by `loss_of`; values: what schedules stand for."""
    slices, start = [], 0
    for _, members in itertools.groupby(runs, loss_of):
        size = len(list(members))
        # a population is called by its first variant, and another's loss may be to blame
        with building(runs[start].variant):
            slices.append(loss_slice(runs[start].variant, slice(start, start + size), device, values))
        start += size
    return Losses(slices)


def loss_slice(variant: Variant, runs: slice, device: torch.device, values: Values = MappingProxyType({})) -> LossSlice:
    """Return a variant's loss over a slice of runs."""
    return over_runs(bind(variant, "loss").following(values), runs, device)


def over_runs(loss: Bound, runs: slice, device: torch.device) -> LossSlice:
    """Find out how a loss can be applied to logits [runs, batch]: directly, under vmap, or run by run."""

    def alone(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        d_loss, g_loss = loss(real, fake)
        return d_loss, g_loss

    def looped(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        each = [alone(*pair) for pair in zip(real, fake, strict=True)]
        return torch.stack([d for d, _ in each]), torch.stack([g for _, g in each])

    # runs far apart, so that what is computed over all of them cannot pass for their own
    places = torch.tensor([0.0, 30.0, -30.0, 3.0, -3.0]).reshape(5, 1)
    real, fake = (torch.randn(2, 5, 16, generator=stream("loss check", 0)) + places).to(device)
    plugin = loss.plugin
    names = None if plugin.is_own else torch_names()
    with nullcontext() if plugin.is_own else _unchanged(names):
        if not plugin.is_own:
            _refuse_unfit(loss.name, loss, real[0], fake[0])
        expected = looped(real, fake)
        function, how = looped, "looped"
        # vmap refuses what reads a value, such as a branch on one: of all runs at once it would be none's own
        reads = not plugin.is_own and not _agrees(vmap(alone), real, fake, expected)
        for candidate, name in () if reads else ((alone, "direct"), (vmap(alone), "vmap")):
            if _agrees(candidate, real, fake, expected):
                function, how = candidate, name
                break
        # whether the generator's loss looks at the real logits decides whether its step computes them
        paired = not torch.equal(expected[1], looped(real + 1, fake)[1])
    return LossSlice(runs, plugin, function, paired, how, names)


@contextmanager
def _unchanged(names: Names | None) -> Iterator[None]:
    """Raise RuntimeError where a block changes what later numbers depend on, which is put back first."""
    state = ProcessState(NUMERIC, names)
    try:
        yield
    finally:
        # told first: what is raised besides may be a consequence
        if changes := state.changes():
            state.restore()
            raise RuntimeError(f"it changed {', '.join(changes)} for the whole process")


def _refuse_unfit(name: str, loss: Callable[..., Any], real: Tensor, fake: Tensor) -> None:
    """Raise UserError where a loss cannot train anybody: no pair of real numbers, or no gradient for a player."""
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    with warnings.catch_warnings():
        # a loss that reads a number from its logits is looped, and warned of where it trains
        warnings.simplefilter("ignore")
        losses = _pair(name, loss(real, fake))
    for player, value, inputs in zip("DG", losses, ([real, fake], [fake]), strict=True):
        what = f"The loss '{name}' gives {player}"
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise UserError(f"{what} {_kind(value)}, not one number a batch.")
        if not value.is_floating_point():
            raise UserError(f"{what} a loss of type {str(value.dtype).removeprefix('torch.')}, not real numbers.")
        if not value.isfinite().all():
            raise UserError(f"{what} the loss {value.item()} on ordinary logits, no finite number.")
        slopes = (
            torch.autograd.grad(value.sum(), inputs, allow_unused=True, retain_graph=True)
            if value.requires_grad
            else ()
        )
        if not any(slope is not None and slope.any() for slope in slopes):
            raise UserError(f"{what} no gradient: it does not depend on the logits, or was detached from them.")


def _pair(name: str, losses: Any) -> tuple[Any, Any]:
    """Return what a loss returns as the pair that it has to be, in whatever holds it but names."""
    found: Any = () if isinstance(losses, str | bytes | Mapping | set) else losses
    try:
        d_loss, g_loss = found
    except (TypeError, ValueError) as error:
        raise UserError(f"The loss '{name}' returns {_kind(losses)}, not the pair of D's loss and G's.") from error
    return d_loss, g_loss


def _kind(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _agrees(candidate: Callable[..., Any], real: Tensor, fake: Tensor, expected: tuple[Tensor, Tensor]) -> bool:
    try:
        got = candidate(real, fake)
    except (RuntimeError, ValueError, TypeError, IndexError):
        # what vmap or a leading axis cannot do; the run-by-run result above is the judge of errors
        return False
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(got, expected, strict=True)
    )
