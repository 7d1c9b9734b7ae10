"""Autoencoders whose codes are drawn from a Gaussian that is fitted on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.models.alone import NO_GAME, NO_LABELS, perceptron
from ganbench.models.trained import Form, Trained
from ganbench.plan import Run
from ganbench.problems.base import Given, Problem, stream
from ganbench.ranges import AtLeastOne
from ganbench.registry import register

CODES = 1024
"""Training samples on whose codes the Gaussian is fitted."""
RIDGE = 1e-6
"""Of the codes' mean variance, added to it in all directions: what makes a root exist where some have none."""


class Coder(Form):
    """Encoder and decoder that are trained to give samples back."""

    encodes = True

    def __init__(self, size: int, latent_dim: int, width: int, depth: int, *, bounded: bool) -> None:
        super().__init__()
        self.numbers = latent_dim
        self.encoder = perceptron(size, width, depth, latent_dim)
        self.decoder = nn.Sequential(*perceptron(latent_dim, width, depth, size), *([nn.Tanh()] if bounded else []))

    def loss(self, x: Tensor, normal: Tensor) -> Tensor:
        """Return the mean squared error of what comes back [n]."""
        return (self.recoded(x) - x).square().mean(-1)

    def sample_like(self, normal: Tensor, known: Tensor) -> Tensor:
        """Return samples [n, size] whose codes are drawn as those of known samples lie."""
        decoded: Tensor = self.decoder(self.codes_like(normal, known))
        return decoded

    def codes_like(self, normal: Tensor, known: Tensor) -> Tensor:
        """Return codes [n, latent_dim] of the Gaussian with the moments of the codes of known samples."""
        return like(self.encoder(known), normal)

    def recoded(self, x: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(self.encoder(x))
        return decoded


def like(codes: Tensor, normal: Tensor) -> Tensor:
    """Return codes [..., n, size] of the Gaussian with the moments of known ones, made of numbers of N(0, 1)."""
    mean = codes.mean(-2, keepdim=True)
    covariance = (codes - mean).mT @ (codes - mean) / (codes.shape[-2] - 1)
    ridge = RIDGE * covariance.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-12)
    # of what is not finite the root is no number, where the plain function would raise for all runs
    root = torch.linalg.cholesky_ex(covariance + torch.diag_embed(ridge[..., None].expand(covariance.shape[:-1])))[0]
    return mean + normal @ root.mT


class Coders(Trained):
    """The autoencoders of all runs, with the training samples of each seed whose codes a Gaussian is fitted on."""

    def __init__(self, *made: Any) -> None:
        super().__init__(*made)
        drawn = [self.problem.sample(CODES, stream("codes", seed)) for seed in self.seeds]
        self.known = torch.stack(drawn).flatten(2).to(self.device)

    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        samples: Tensor = self.call("sample_like", self.normals(latents), self.known[self.seed_index])
        return samples.unflatten(2, self.problem.shape)


@register("model", ignores=NO_GAME, needs=NO_LABELS, provides={"reconstruction"})
def autoencoder(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    width: AtLeastOne = 32,
    depth: AtLeastOne = 2,
) -> Coders:
    """Autoencoder trained by squared error, with a Gaussian fitted on its codes to draw from (Ghosh 2020, there GMM).

    Perceptrons of `depth` hidden layers of `width` units, a code of as many numbers as there are latents. The
    optimizer's rate is that of G.
    """
    size, latents, bounded = math.prod(problem.shape), runs[0].variant.latent_dim, problem.value_range is not None
    return Coders(runs, problem, device, lambda: Coder(size, latents, width, depth, bounded=bounded))
