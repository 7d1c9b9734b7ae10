"""Pairs of players, trained against each other."""

from collections.abc import Sequence

import torch

from ganbench.plan import Run
from ganbench.problems.base import Problem
from ganbench.registry import register
from ganbench.training.population import Population


@register("model")
def gan(runs: Sequence[Run], problem: Problem, device: torch.device) -> Population:
    """Generative adversarial network: a generator against a discriminator (Goodfellow 2014)."""
    return Population(runs, problem, device)
