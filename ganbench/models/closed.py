"""Baselines in closed form: mixtures of Gaussians, kernel densities, and copies of what was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganbench.models.alone import NO_LABELS, share_below
from ganbench.models.fitted import NO_LOSS, Fitted, State
from ganbench.plan import Run
from ganbench.problems.base import Problem
from ganbench.ranges import AtLeastOne, Positive
from ganbench.registry import register

FORGETS = 0.6
"""The power of the step's number by which older batches count less (Cappe & Moulines 2009: above a half, at most 1)."""
WIDTHS = tuple(10 ** (power / 6) for power in range(-18, 1))
"""Bandwidths that are tried, in standard deviations of the data."""


class Components:
    """A mixture of Gaussians with full covariances, by the moments of each component's samples.

    State: weight [k], first [k, size] and second [k, size, size] moments, each times the weight.
    """

    density = smooth = True

    def __init__(self, size: int, components: int, ridge: float) -> None:
        self.size, self.components, self.ridge, self.numbers = size, components, ridge, 1 + size

    def start(self) -> State:
        """Return N(0, 1) in every component."""
        weight = torch.full((self.components,), 1 / self.components)
        second = torch.eye(self.size).expand(self.components, -1, -1) / self.components
        return {"weight": weight, "first": torch.zeros(self.components, self.size), "second": second}

    def update(self, state: State, x: Tensor, step: int) -> State:
        """Make one step of expectation maximization on a batch (Cappe & Moulines 2009, eq. 15)."""
        if step == 0:
            return self._spread(x)
        share = self._by_component(state, x).softmax(-1)
        seen = {
            "weight": share.mean(0),
            "first": share.mT @ x / len(x),
            "second": torch.einsum("nk,ni,nj->kij", share, x, x) / len(x),
        }
        rate = (step + 1) ** -FORGETS
        return {name: own + rate * (seen[name] - own) for name, own in state.items()}

    def _spread(self, x: Tensor) -> State:
        """Return components at samples as far from each other as can be, as wide as their own samples lie."""
        chosen, distance = [x[0]], (x - x[0]).square().sum(-1)
        for _ in range(self.components - 1):
            chosen.append(x.index_select(0, distance.argmax().unsqueeze(0))[0])
            distance = torch.minimum(distance, (x - chosen[-1]).square().sum(-1))
        mean = torch.stack(chosen)
        variance = distance.mean() / self.size + self.ridge * x.var(0).mean()
        second = mean[:, :, None] * mean[:, None, :] + variance * torch.eye(self.size, device=x.device)
        weight = torch.full((self.components,), 1 / self.components, device=x.device)
        return {"weight": weight, "first": mean / self.components, "second": second / self.components}

    def _gaussians(self, state: State) -> tuple[Tensor, Tensor]:
        """Return means [k, size], and roots of the covariances [k, size, size] below the diagonal."""
        weight = state["weight"].clamp(min=1e-8)
        mean = state["first"] / weight[:, None]
        covariance = state["second"] / weight[:, None, None] - mean[:, :, None] * mean[:, None, :]
        whole = state["second"].sum(0).diagonal().sum() - state["first"].sum(0).square().sum()
        ridge = self.ridge * whole.clamp(min=1e-12) / self.size
        # a root that there is not is not a number, and freezes the run rather than the program
        return mean, torch.linalg.cholesky_ex(covariance + ridge * torch.eye(self.size, device=mean.device))[0]

    def _by_component(self, state: State, x: Tensor) -> Tensor:
        """Return the logarithm of each component's share in the density [n, k]."""
        mean, root = self._gaussians(state)
        away = torch.linalg.solve_triangular(root, (x - mean[:, None]).mT, upper=False)
        volume = root.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * self.size * math.log(2 * math.pi)
        return state["weight"].clamp(min=1e-8).log() - 0.5 * away.square().sum(-2).mT - volume

    def log_density(self, state: State, x: Tensor) -> Tensor:
        return self._by_component(state, x).logsumexp(-1)

    def sample(self, state: State, normal: Tensor) -> Tensor:
        mean, root = self._gaussians(state)
        chance, noise = normal.split([1, self.size], dim=-1)
        place = (state["weight"].cumsum(0) < share_below(chance)).sum(-1).clamp(max=self.components - 1)
        each = mean + torch.einsum("kij,nj->nki", root, noise)
        return each.gather(1, place[:, None, None].expand(-1, 1, self.size))[:, 0]


class Points:
    """The last samples that were seen; the first is at 0 while there is none.

    State: points [points, size], and how many there are.
    """

    density = smooth = False

    def __init__(self, size: int, points: int) -> None:
        self.size, self.points, self.numbers = size, points, 1

    def start(self) -> State:
        """Return none."""
        return {"points": torch.zeros(self.points, self.size), "count": torch.zeros(())}

    def update(self, state: State, x: Tensor, step: int) -> State:
        """Put a batch in the place of the oldest."""
        first, x = step * len(x), x[-self.points :]
        place = (first + torch.arange(len(x), device=x.device)) % self.points
        count = torch.full_like(state["count"], min(self.points, first + len(x)))
        return {"points": state["points"].index_copy(0, place, x), "count": count}

    def sample(self, state: State, normal: Tensor) -> Tensor:
        place = (share_below(normal[:, 0]) * state["count"]).long().clamp(max=self.points - 1)
        return state["points"].index_select(0, place)

    def log_density(self, state: State, x: Tensor) -> Tensor:
        raise NotImplementedError


class Kernels(Points):
    """A Gaussian around each of the last samples, as wide as makes each most likely by the others."""

    density = True

    def __init__(self, size: int, points: int) -> None:
        super().__init__(size, points)
        self.numbers = 1 + size

    def width(self, state: State) -> Tensor:
        """Return the standard deviation of the kernels: of those that are tried, the best at leaving one out.

        The same sample twice, as it comes of a finite set, says nothing of how far others are.
        """
        points, there = state["points"], self._there(state)
        mean = (points * there[:, None]).sum(0) / there.sum()
        spread = (((points - mean).square() * there[:, None]).sum() / there.sum() / self.size).sqrt()
        # by differences: from products a point would have a distance from itself
        squares = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
        others = (there[None] & there[:, None] & (squares > 0)).to(squares)
        found = torch.stack([self._left_out(squares, others, there, spread * width) for width in WIDTHS])
        best = spread * torch.tensor(WIDTHS, device=points.device).index_select(0, found.argmax().unsqueeze(0))[0]
        return torch.where(state["count"] > 1, best, 1.0)

    def _left_out(self, squares: Tensor, others: Tensor, there: Tensor, width: Tensor) -> Tensor:
        logits = (-0.5 * squares / width.square()).masked_fill(others == 0, -torch.inf)
        likely = logits.logsumexp(1) - others.sum(1).clamp(min=1).log() - self.size * width.log()
        return torch.where(there, likely, 0.0).sum()

    def _there(self, state: State) -> Tensor:
        return torch.arange(self.points, device=state["points"].device) < state["count"].clamp(min=1)

    def sample(self, state: State, normal: Tensor) -> Tensor:
        return super().sample(state, normal) + self.width(state) * normal[:, 1:]

    def log_density(self, state: State, x: Tensor) -> Tensor:
        width, there = self.width(state), self._there(state)
        squares = torch.cdist(x, state["points"]).square()
        logits = (-0.5 * squares / width.square()).masked_fill(~there, -torch.inf)
        volume = self.size * (width.log() + 0.5 * math.log(2 * math.pi))
        return logits.logsumexp(1) - there.sum().log() - volume


@register("model", ignores=NO_LOSS, needs=NO_LABELS, likelihood="exact")
def gaussian_mixture(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    components: AtLeastOne = 25,
    ridge: Positive = 1e-3,
) -> Fitted:
    """Mixture of Gaussians with full covariances, by expectation maximization batch by batch (Cappe & Moulines 2009).

    `ridge`, a share of the data's variance, is added to the variances in all directions.
    """
    return Fitted(runs, problem, device, Components(math.prod(problem.shape), components, ridge))


@register("model", ignores=NO_LOSS, needs=NO_LABELS, likelihood="exact")
def kernel_density(runs: Sequence[Run], problem: Problem, device: torch.device, *, points: AtLeastOne = 1024) -> Fitted:
    """Kernel density: Gaussians of one width around the last `points` samples, the width by leaving one out.

    Of 19 widths, from a thousandth to all of the data's standard deviation (Habbema 1974; Duin 1976).
    """
    return Fitted(runs, problem, device, Kernels(math.prod(problem.shape), points))


@register("model", ignores=NO_LOSS, needs=NO_LABELS)
def copies(runs: Sequence[Run], problem: Problem, device: torch.device, *, points: AtLeastOne = 1024) -> Fitted:
    """The training set copied: the last `points` samples, drawn with replacement. No model: what copying scores."""
    return Fitted(runs, problem, device, Points(math.prod(problem.shape), points))
