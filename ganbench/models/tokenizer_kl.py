"""Tokenizers without a codebook: autoencoders of Gaussian codes, sharpened late by a discriminator of patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganbench.models.alone import NO_GAME, NO_LABELS
from ganbench.models.autoencoder import CODES, like
from ganbench.models.tokenizer import Late, Passed, Sharpened, coders
from ganbench.models.trained import Form
from ganbench.plan import Run
from ganbench.problems.base import Given, Problem
from ganbench.ranges import AtLeastOne, NotNegative, NotNegativeInt, Positive
from ganbench.registry import register
from ganbench.training.batched import Tensors

LOG_VARIANCES = (-30.0, 20.0)
"""Between which the logarithm of a code's variance is held (as published with the code of Rombach et al. 2022)."""


@dataclass(frozen=True)
class Settings(Late):
    """The hyper-parameters of a tokenizer of Gaussian codes."""

    kl: float


class Codes(Form):
    """Encoder and decoder; encoders give mean and logarithm of the variance of a code in each place."""

    def __init__(self, shape: tuple[int, ...], size: int, settings: Settings, *, bounded: bool) -> None:
        super().__init__()
        self.code_size = size
        self.grid, self.encoder, decoder = coders(shape, 2 * size, size, settings)
        self.last = f"decoder.{len(decoder) - 1}.weight"
        self.decoder = nn.Sequential(*decoder, *([nn.Tanh()] if bounded else []))
        self.numbers = self.draws = size * math.prod(self.grid)


class GaussianTokenizers(Sharpened):
    """The tokenizers of all runs, whose codes are Gaussian: in training they are drawn, else they are the means."""

    def told(self, x: Tensor, tensors: Tensors) -> tuple[Tensor, Tensor]:
        """Return means and logarithms of variances [runs, n x places, size] of codes of samples [runs, n, *shape]."""
        mean, log_variance = self.encoded(x, tensors).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def passed(self, real: Tensor, normal: Tensor, tensors: Tensors) -> Passed:
        mean, log_variance = self.told(real, tensors)
        made = self.decoded(mean + (log_variance / 2).exp() * normal.reshape(mean.shape), tensors)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        # an element of samples, as the error is
        return made, (self.settings.kl * divergence.flatten(1).sum(1) / real[0].numel(),), ()

    def remade(self, real: Tensor, normal: Tensor) -> Tensor:
        return self.passed(real, normal, self.frozen)[0]

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decoded(self.told(x.expand(len(self.runs), *x.shape), self.frozen)[0])

    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        """Decode codes drawn as the means of training samples lie, each sample's together."""
        known = self.told(self.known[self.seed_index], self.frozen)[0].unflatten(1, (CODES, -1)).flatten(2)
        codes = like(known, self.normals(latents)).unflatten(2, (-1, self.module.code_size))
        return self.decoded(codes.flatten(1, 2))


@register("model", ignores=NO_GAME, needs=NO_LABELS, provides={"reconstruction"})
def kl_tokenizer(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    width: AtLeastOne = 16,
    halvings: NotNegativeInt = 1,
    kl: NotNegative = 1e-6,
    start: NotNegativeInt = 1000,
    ahead: NotNegativeInt = 0,
    weight: NotNegative = 0.8,
    adaptive: bool = True,
    cap: Positive = 1e4,
    gamma: NotNegative = 0.0,
) -> GaussianTokenizers:
    """Autoencoder of Gaussian codes that a discriminator of patches sharpens from a step on (Rombach 2022, app. G).

    As `tokenizer`, without a codebook: encoders tell mean and variance of each code, of which training draws one, and
    `kl` weighs their divergence from N(0, 1), both divided by a sample's elements as the squared error is. The paper
    has the perceptual distance beside it.
    """
    own = Settings(width, halvings, start, ahead, weight, adaptive, cap, gamma, kl)
    size, bounded = runs[0].variant.latent_dim, problem.value_range is not None
    return GaussianTokenizers(runs, problem, device, lambda: Codes(problem.shape, size, own, bounded=bounded), own)
