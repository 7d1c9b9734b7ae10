"""A network of one's own: plain modules, with the suite's normalization where the user wants it."""

import math

import torch
from torch import nn

from ganbench import register


class Residual(nn.Module):
    """A layer beside the identity."""

    def __init__(self, width, normalize):
        super().__init__()
        self.layer = normalize(nn.Linear(width, width))

    def forward(self, x):
        return x + torch.tanh(self.layer(x))


@register("network", needs={"nothing_given": "it takes no label"})
def residual_mlp(spec, *, width: int = 12):
    """Perceptrons with a residual block each."""
    size = math.prod(spec.shape)
    generator = [nn.Linear(spec.latent_dim, width), Residual(width, spec.g_norm), spec.g_weight(nn.Linear(width, size))]
    if spec.value_range:
        generator.append(nn.Tanh())
    discriminator = [nn.Flatten(), spec.d_weight(nn.Linear(size, width)), Residual(width, spec.d_norm)]
    discriminator.append(spec.d_weight(nn.Linear(width, 1)))
    return nn.Sequential(*generator, nn.Unflatten(1, spec.shape)), nn.Sequential(*discriminator)
