"""The laws of metrics, on three runs' fakes of a small mixture with modes and classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganbench.contracts.base import Breach, Outcome, law
from ganbench.measure.of_models import Seen
from ganbench.metrics.reference import Reference, Training
from ganbench.problems.base import Modes, Source, Targets, Truth, stream
from ganbench.registry import Plugin

RUNS = 3
CENTRES = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]], dtype=torch.float64)
TWO = torch.tensor([[0.1, 0.0], [-0.1, 0.0]], dtype=torch.float64)
"""What is right beside a centre, for a label that is given."""


def normal(name: str, *shape: int) -> Tensor:
    """Return normal numbers of a name's own stream, float64."""
    return torch.randn(*shape, generator=stream(f"metric contract {name}", 0), dtype=torch.float64)


def _mixture(name: str, *shape: int) -> Tensor:
    noise = normal(name, *shape, 2)
    return CENTRES[torch.arange(shape[-1]) % len(CENTRES)] + 0.2 * noise


def reference() -> Reference:
    """Return real samples of a mixture of three modes, which are the classes too."""
    factors = torch.tensor([[0, 0], [0, 1], [1, 0]])
    modes = Modes(CENTRES, 0.2, torch.full((3,), 1 / 3, dtype=torch.float64), factors=factors)
    real = _mixture("real", 200)
    return Reference(
        real,
        modes=modes,
        class_head=lambda x: (-torch.cdist(x.double(), CENTRES)).softmax(-1),
        truth=Truth(
            answers=lambda label: CENTRES[label][:, None] + TWO,
            content=_mode_of,
            kinds=len(CENTRES),
            given_of=lambda x: _mode_of(x)[:, None],
            targets=Targets(torch.zeros_like, lambda x: _mode_of(x) % 2, _asked_both),
            source=_Labels(CENTRES, torch.arange(len(CENTRES))),
        ),
        training=lambda: Training(Reference(real), torch.arange(len(real)) % len(CENTRES)),
        labels=torch.arange(len(real)) % len(CENTRES),
        held_out=lambda: Training(Reference(_mixture("held out", 100)), torch.arange(100) % len(CENTRES)),
    )


class _Labels(Source):
    """Classes that are given as such."""

    def __call__(self, given: Tensor) -> Tensor:
        return given

    def to(self, device: torch.device) -> Source:
        return self


def _asked_both(label: Tensor) -> Tensor:
    return torch.stack([label, (label + 1) % len(CENTRES)], 1)


def _mode_of(x: Tensor) -> Tensor:
    return torch.cdist(x.double(), CENTRES).argmin(1)


def fakes() -> Tensor:
    """Return fakes [runs, 150, 2]: a good run, a narrow one and one that is far off."""
    good = _mixture("fake", RUNS, 150)
    return torch.stack([good[0], 0.1 * good[1], good[2] + 5])


def seen(real: Reference, fake: Tensor) -> Seen:
    """Return a Gaussian around each run's fakes as a model, and a shift by their mean as its codec."""

    def log_density(x: Tensor) -> Tensor:
        away = x - fake.mean(1, keepdim=True)
        spread = fake.std(1, keepdim=True)
        return (-0.5 * (away / spread).square() - spread.log() - 0.5 * math.log(2 * math.pi)).sum(-1)

    def reconstruct(x: Tensor) -> Tensor:
        return x + fake.mean(1, keepdim=True)

    def tokens(x: Tensor) -> tuple[Tensor, int]:
        return torch.cdist(reconstruct(x).double(), CENTRES.double()).argmin(-1), len(CENTRES)

    word = fake.abs().mean((1, 2))
    return Seen(log_density, real.real, 0.0, len(fake), fake.shape[1], 1.0, reconstruct, tokens, word)


def asked(plugin: Plugin, real: Reference, fake: Tensor) -> Any:
    """Return what a metric says of fakes, told the mode of each where it takes labels."""
    if plugin.kind == "metric" and plugin.declared("acts_on") == "models":
        return plugin(seen(real, fake), **plugin.hypers)
    label = torch.arange(fake.shape[1]) % len(CENTRES)
    beside = (label.expand(len(fake), -1),) if plugin.kind == "metric" and plugin.declared("labelled") else ()
    return plugin(real, fake, *beside, **plugin.hypers)


def check_columns(plugin: Plugin, columns: Mapping[str, Any], runs: int) -> Outcome:
    """Return where columns are not those declared in `measures`, one number a run each, within their bounds."""
    declared = plugin.meta.get("measures")
    if declared is None:
        return Breach("it declares no measures={column: Measure(...)}")
    roots = {name: name.partition(".")[0] for name in columns}
    if stray := sorted(set(roots.values()) - set(declared)):
        return Breach(f"it returns {', '.join(stray)}, and declares {', '.join(sorted(declared)) or 'nothing'}")
    # in a feature space other than its own, the engine adds the space's name to a column's
    elsewhere = tuple(f"{name}_" for name in roots) if plugin.kind == "metric" and plugin.declared("spaces") else ()
    missing = sorted(name for name in set(declared) - set(roots.values()) if not name.startswith(elsewhere))
    if missing:
        return Breach(f"it declares {', '.join(missing)}, and does not return it")
    for name, values in columns.items():
        if tuple(values.shape) != (runs,):
            return Breach(f"{name} of {runs} runs has the shape {list(values.shape)}, not [{runs}]")
        low, high = declared[roots[name]].bounds
        outside = values[(values < low) | (values > high)]
        if len(outside):
            return Breach(f"{name} is {outside[0].item():.4g}, outside of [{low:g}, {high:g}]")
    return None


def check_same(before: Mapping[str, Tensor], after: Mapping[str, Tensor], where: str, within: float) -> Outcome:
    """Return which column changes by more than a share of it."""
    for name, values in before.items():
        then = after[name].to(values)
        if not torch.allclose(then, values, rtol=within, atol=within, equal_nan=True):
            at = int((then - values).abs().nan_to_num(nan=torch.inf).argmax())
            return Breach(f"{name} goes from {values[at].item():.6g} to {then[at].item():.6g} {where}")
    return None


@law
def columns_are_declared(plugin: Plugin) -> Outcome:
    """Its columns are those declared in `measures`, one number a run each, within the declared bounds."""
    return check_columns(plugin, asked(plugin, reference(), fakes()), RUNS)


@law
def repeatable(plugin: Plugin) -> Outcome:
    """The same samples give the same numbers, and no random numbers are drawn from torch's global generator."""
    state, real, fake = torch.random.get_rng_state(), reference(), fakes()
    first, again = asked(plugin, real, fake), asked(plugin, real, fake)
    if not torch.equal(state, torch.random.get_rng_state()):
        return Breach("it draws from torch's global generator")
    return check_same(first, again, "at a second call with the same samples", 0.0)


@law
def runs_are_alone(plugin: Plugin) -> Outcome:
    """A run's numbers do not change when another run's samples do."""
    real, fake = reference(), fakes()
    moved = fake.clone()
    moved[1] = 50 * moved[1] - 20
    both = [asked(plugin, real, x) for x in (fake, moved)]
    before, after = ({name: values[[0, 2]] for name, values in columns.items()} for columns in both)
    return check_same(before, after, "where another run's samples are others", 1e-9)


@law
def samples_are_left_alone(plugin: Plugin) -> Outcome:
    """It does not write into the samples that it is given."""
    fake = fakes()
    given = fake.clone()
    asked(plugin, reference(), given)
    return None if torch.equal(fake, given) else Breach("it writes into the samples")
