"""The laws that scripted generators draw from: what is meant is known, and samples follow it exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganbench.problems.base import Batch, Problem
from ganbench.problems.images import LabelledImages


@dataclass(frozen=True)
class SampleLaw:
    """What a generator draws from at one probe: mostly from some modes (or classes) of the problem, each perfectly.

    modes: those it uses, None: all; width: times the modes' standard deviation; stray: share of samples far from all
    modes; bridge: share of samples midway between neighbouring modes; uneven: log standard deviation of the modes'
    weights, drawn anew at every probe; stuck: a single point away from all modes; finite: whether the samples are
    numbers at all; obedient: share of samples that follow their label, where it is one of the modes used; extra: share
    of samples on the first of those modes beside its own; distinct: how many different samples there are, which are
    repeated, 0: as many as are drawn.
    """

    modes: tuple[int, ...] | None = None
    width: float = 1.0
    stray: float = 0.0
    bridge: float = 0.0
    uneven: float = 0.0
    stuck: bool = False
    finite: bool = True
    obedient: float = 1.0
    extra: float = 0.0
    distinct: int = 0


def draw(problem: Problem, law: SampleLaw, n: int, generator: torch.Generator) -> Batch:
    """Draw fakes [n, *shape] from a scripted law, each with the label it was made for where the problem gives any."""
    of = _mixture if problem.modes else _images
    true = problem.group_weights()
    weights = _weights(law, len(true), generator)
    if law.extra and law.modes:
        total = (weights * true).sum()
        weights[law.modes[0]] += law.extra / (1 - law.extra) * total / true[law.modes[0]]
    samples, mode = of(problem, law, weights, n, generator)
    samples = samples if law.finite else torch.full_like(samples, float("nan"))
    if law.distinct:
        again = torch.randint(law.distinct, (n,), generator=generator)
        samples, mode = samples[again], mode[again]
    return Batch(samples, _labels(problem, law, weights, mode, generator) if problem.gives else None)


def _labels(problem: Problem, law: SampleLaw, used: Tensor, mode: Tensor, generator: torch.Generator) -> Tensor:
    """Draw what the samples of these modes [n] were asked for: their own mode, or one that cannot or will not be made.

    A generator that follows its labels makes something else only of those whose mode it does not use.
    """
    asked, n = problem.group_weights(), len(mode)
    anything = torch.multinomial(asked, n, replacement=True, generator=generator)
    heard, lacking = mode, torch.where(used > 0, 0.0, asked)
    if lacking.any():
        others = torch.multinomial(lacking, n, replacement=True, generator=generator)
        heard = torch.where(torch.rand(n, generator=generator) < lacking.sum(), others, mode)
    return torch.where(torch.rand(n, generator=generator) < law.obedient, heard, anything)


def _mixture(
    problem: Problem, law: SampleLaw, used: Tensor, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    assert problem.modes is not None
    modes = problem.modes
    index = torch.multinomial(modes.weights * used, n, replacement=True, generator=generator)
    noise = torch.randn(n, *problem.shape, generator=generator, dtype=torch.float64)
    samples = modes.centres[index] + law.width * modes.std * noise
    # the middle fifth of the way to the nearest other mode is beyond three standard deviations of both
    nearest = torch.cdist(modes.centres, modes.centres).fill_diagonal_(float("inf")).argmin(1)
    way = torch.full((n, 1), 0.5) if law.stuck else 0.4 + 0.2 * torch.rand(n, 1, generator=generator)
    origin = torch.zeros_like(index) if law.stuck else index
    between = modes.centres[origin].lerp(modes.centres[nearest[origin]], way.double()) + 0.2 * modes.std * noise
    far = 6 * torch.randn(n, *problem.shape, generator=generator, dtype=torch.float64)
    chance = torch.rand(n, 1, generator=generator)
    bridge = 1.0 if law.stuck else law.bridge
    samples = torch.where(chance < law.stray + (1 - law.stray) * bridge, between, samples)
    return torch.where(chance < law.stray, far, samples).float(), index


def _weights(law: SampleLaw, modes: int, generator: torch.Generator) -> Tensor:
    """Return what each mode's true weight is multiplied by, [modes]: 0 for those that a law does not use."""
    uneven = (law.uneven * torch.randn(modes, generator=generator, dtype=torch.float64)).exp()
    used = torch.ones(modes, dtype=torch.bool)
    if law.modes is not None:
        used = torch.isin(torch.arange(modes), torch.tensor(law.modes))
    return torch.where(used, uneven, 0.0)


def _images(
    problem: Problem, law: SampleLaw, used: Tensor, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw held-out images: distinct ones where there are enough; repeated ones are told apart by a little noise."""
    assert isinstance(problem, LabelledImages)
    pool, labels = problem.held_out_images, problem.held_out_labels
    weights = used[labels]
    distinct = n <= int((weights > 0).sum())
    places = torch.multinomial(weights, n, replacement=not distinct, generator=generator)
    samples = pool[places]
    if not distinct:
        samples = samples + 0.1 * torch.randn(samples.shape, generator=generator)
    low, high = problem.value_range or (-1.0, 1.0)
    far = torch.empty(samples.shape).uniform_(low, high, generator=generator)
    if law.stuck:
        samples = far[:1] + 0.02 * torch.randn(samples.shape, generator=generator)
    chance = torch.rand(n, *[1] * len(problem.shape), generator=generator)
    return torch.where(chance < law.stray, far, samples).clamp(low, high), labels[places]
