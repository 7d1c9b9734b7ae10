"""Multilayer perceptrons that take a label."""

import math

from torch import nn

from ganbench.errors import UserError, unknown
from ganbench.gan.conditioning import Concatenated, Projected
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import register

HOW = ("projection", "concatenation")


@register(
    "network", needs={"label": "it needs a problem that gives labels"}, provides={"batch_features", "hidden_features"}
)
def conditional_mlp(
    spec: NetworkSpec, *, width: int = 32, depth: int = 2, how: str = "projection"
) -> tuple[nn.Module, nn.Module]:
    """The perceptrons of `mlp` given labels: beside G's latents, and in D by projection or beside samples (`how`).

    Concatenation: Mirza & Osindero 2014. Projection: Miyato & Koyama 2018, eq. 5.
    """
    if how not in HOW:
        raise unknown("way of 'network.conditional_mlp.how'", how, HOW)
    if width < 1 or depth < 1:
        raise UserError(
            f"The network 'conditional_mlp' needs a width and a depth of at least 1, got {width} and {depth}."
        )
    assert spec.given is not None
    classes, size = spec.given.classes, math.prod(spec.shape)
    beside = classes if how == "concatenation" else 0
    generator: list[nn.Module] = []
    body: list[nn.Module] = [nn.Flatten()] if len(spec.shape) > 1 and not beside else []
    for index in range(depth):
        generator += [spec.g_norm(nn.Linear(width if index else spec.latent_dim + classes, width)), nn.ReLU()]
        body += [spec.d_norm(nn.Linear(width if index else size + beside, width)), nn.LeakyReLU(0.2)]
    generator.append(spec.g_weight(nn.Linear(width, size)))
    if spec.value_range:
        generator.append(nn.Tanh())
    if len(spec.shape) > 1:
        generator.append(nn.Unflatten(1, spec.shape))
    last = spec.d_last(width)
    critic = Concatenated(nn.Sequential(*body, last), classes) if beside else (
        Projected(nn.Sequential(*body), last, width, classes)
    )  # fmt: skip
    return Concatenated(nn.Sequential(*generator), classes), critic
