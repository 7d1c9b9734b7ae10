"""Variational autoencoders, which play no game: what a GAN is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.models.alone import NO_GAME, NO_LABELS, log_normal, perceptron
from ganbench.models.trained import Form, Trained
from ganbench.plan import Run
from ganbench.problems.base import Given, Problem
from ganbench.ranges import AtLeastOne, NotNegative, Positive
from ganbench.registry import register
from ganbench.training import batched

WEIGHED = 16
"""Codes of each sample by which its density is bounded from below."""


class Autoencoder(Form):
    """Encoder, decoder and the scale of the decoder's noise, as one module: its parameters are trained together.

    forward: samples and noise, side by side [batch, size + latent_dim], to the terms of the bound: squared error and
    Kullback-Leibler divergence of each sample [batch, 2].
    """

    density = encodes = True

    def __init__(self, shape: tuple[int, ...], latent_dim: int, settings: Mapping[str, Any], *, bounded: bool) -> None:
        super().__init__()
        self.size, self.latent_dim = math.prod(shape), latent_dim
        self.numbers = self.draws = latent_dim
        self.estimates = WEIGHED * latent_dim
        width, depth = int(settings["width"]), int(settings["depth"])
        self.encoder = perceptron(self.size, width, depth, 2 * latent_dim)
        body = perceptron(latent_dim, width, depth, self.size)
        self.decoder = nn.Sequential(*body, *([nn.Tanh()] if bounded else []))
        self.log_scale = nn.Parameter(torch.full((1,), math.log(settings["scale"])))
        self.beta = float(settings["beta"])

    def forward(self, x: Tensor) -> Tensor:
        samples, normal = x.split([self.size, self.latent_dim], dim=-1)
        mean, log_variance = self.encoder(samples).chunk(2, dim=-1)
        decoded = self.decoder(mean + (log_variance / 2).exp() * normal)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
        return torch.stack([(decoded - samples).square().sum(-1), divergence], dim=-1)

    def recoded(self, x: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(self.encoder(x).chunk(2, dim=-1)[0])
        return decoded

    def log_density(self, x: Tensor, normal: Tensor) -> Tensor:
        """Bound it from below by codes that the encoder weighs (Burda 2016); by one code it is the evidence bound."""
        mean, log_variance = (part.unsqueeze(-2) for part in self.encoder(x).chunk(2, dim=-1))
        normal = normal.unflatten(-1, (-1, self.latent_dim))
        code = mean + (log_variance / 2).exp() * normal
        of_x = log_normal(x.unsqueeze(-2), self.decoder(code), self.log_scale).sum(-1)
        weight = of_x + (log_normal(code, 0.0, 0.0) - log_normal(code, mean, log_variance / 2)).sum(-1)
        return weight.logsumexp(-1) - math.log(weight.shape[-1])


class Autoencoders(Trained):
    """The VAEs of all runs as one: parameters [runs, size], the bound's gradient of each run its own."""

    def losses(self, real: Tensor, normal: Tensor) -> Tensor:
        """Return minus the bound [runs], per element: beta KL + |x - x'|^2 / 2 s^2 + log s, one scale s a run."""
        terms = self.player(torch.cat([real.flatten(2), normal], dim=-1), trained=True)
        error, divergence = terms.unbind(-1)
        log_scale, beta = self.player.trained["log_scale"][:, 0], self.module.beta
        likelihood = error.mean(1) / (2 * self.size) * (-2 * log_scale).exp() + log_scale
        return likelihood + beta * divergence.mean(1) / self.size

    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        """Map latents [runs, n, latent_dim] to the decoder's means [runs, n, *shape]."""
        views = self.player.views(self.player.flat)
        own = {name.removeprefix("decoder."): view for name, view in views.items() if name.startswith("decoder.")}
        return batched.forward(self.module.decoder, own, latents).unflatten(2, self.problem.shape)


@register("model", ignores=NO_GAME, needs=NO_LABELS, likelihood="bound", provides={"reconstruction"})
def vae(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    width: AtLeastOne = 32,
    depth: AtLeastOne = 2,
    beta: NotNegative = 1.0,
    scale: Positive = 0.1,
) -> Autoencoders:
    """Variational autoencoder: N(x; decoder(z), s^2), s learned, KL weighed by beta (Kingma 2014; Higgins 2017).

    Perceptrons of `depth` hidden layers of `width` units; samples are the decoder's means. One s for all elements is
    learned with the rest (Rybkin 2021), from `scale`: where that is the scale of the data, the bound is content with a
    posterior that tells nothing. The optimizer's rate is that of G.
    """
    settings = {"width": width, "depth": depth, "beta": beta, "scale": scale}
    bounded = problem.value_range is not None

    def build() -> Autoencoder:
        return Autoencoder(problem.shape, runs[0].variant.latent_dim, settings, bounded=bounded)

    return Autoencoders(runs, problem, device, build)
