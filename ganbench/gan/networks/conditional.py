"""Multilayer perceptrons that take a label or a picture."""

import math
from functools import partial

from torch import nn

from ganbench.errors import unknown
from ganbench.gan.conditioning import Concatenated, Flattened, Projected, Untold
from ganbench.gan.networks.images import counts
from ganbench.gan.networks.layers import PLAYERS_LATER, Body, apart, bodies
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.problems.base import Picture
from ganbench.registry import register

HOW = ("projection", "concatenation")


@register(
    "network",
    needs={"label": "it needs a problem that gives labels"},
    provides={"batch_features", "hidden_features"},
    later=PLAYERS_LATER,
)
def conditional_mlp(
    spec: NetworkSpec,
    *,
    width: int = 32,
    depth: int = 2,
    how: str = "projection",
    g_width: int = 0,
    d_width: int = 0,
    g_depth: int = 0,
    d_depth: int = 0,
    g_activation: str = "relu",
    d_activation: str = "leaky_relu",
    pieces: int = 5,
    init: str = "default",
    init_scale: float = 1.0,
) -> tuple[nn.Module, nn.Module]:
    """The perceptrons of `mlp` given labels: beside G's latents, and in D by projection or beside samples (`how`).

    Concatenation: Mirza & Osindero 2014. Projection: Miyato & Koyama 2018, eq. 5. The other settings are those of
    `mlp`; the rows by which labels project start as torch has them.
    """
    if how not in HOW:
        raise unknown("way of 'network.conditional_mlp.how'", how, HOW)
    sizes = (g_width, g_depth, g_activation), (d_width, d_depth, d_activation)
    g, d = bodies("conditional_mlp", (width, depth), *sizes, pieces)
    return apart(partial(_perceptrons, spec.started("conditional_mlp", init, init_scale), how), g, d)


def _perceptrons(spec: NetworkSpec, how: str, g: Body, d: Body) -> tuple[nn.Module, nn.Module]:
    # a player that is not told labels is built for a problem without
    classes, size = spec.given.classes if spec.given else 0, math.prod(spec.shape)
    beside = classes if how == "concatenation" else 0
    generator: list[nn.Module] = []
    body: list[nn.Module] = [nn.Flatten()] if len(spec.shape) > 1 and not beside else []
    for index in range(max(g.depth, d.depth)):
        if index < g.depth:
            generator += g.layer(spec.g_norm, g.width if index else spec.latent_dim + classes)
        if index < d.depth:
            body += d.layer(spec.d_norm, d.width if index else size + beside)
    generator.append(spec.g_weight(nn.Linear(g.width, size)))
    if spec.value_range:
        generator.append(nn.Tanh())
    if len(spec.shape) > 1:
        generator.append(nn.Unflatten(1, spec.shape))
    last = spec.d_last(d.width)
    if not classes:
        return nn.Sequential(*generator), nn.Sequential(*body, last)
    critic = Concatenated(nn.Sequential(*body, last), classes) if beside else (
        Projected(nn.Sequential(*body), last, d.width, classes)
    )  # fmt: skip
    return Concatenated(nn.Sequential(*generator), classes), critic


@register(
    "network",
    needs={"picture": "it needs a problem that gives pictures"},
    provides={"batch_features", "hidden_features"},
)
def pictured_mlp(
    spec: NetworkSpec, *, width: int = 64, depth: int = 2, told: bool = True
) -> tuple[nn.Module, nn.Module]:
    """Perceptrons that see a picture beside latents, and beside what D judges: the cheapest pair for translation.

    Concatenation of Mirza & Osindero 2014. told: whether D sees the picture (see `pix2pix`).
    """
    counts("pictured_mlp", width=width, depth=depth)
    size, beside = math.prod(spec.shape), math.prod(spec.given.shape) if isinstance(spec.given, Picture) else 0
    g, d = Body(width, depth, "relu", 1), Body(width, depth, "leaky_relu", 1)
    generator: list[nn.Module] = []
    told = told and isinstance(spec.given, Picture)
    critic: list[nn.Module] = [] if told else [nn.Flatten()]
    for index in range(depth):
        generator += g.layer(spec.g_norm, width if index else spec.latent_dim + beside)
        critic += d.layer(spec.d_norm, width if index else size + beside * told)
    generator += [spec.g_weight(nn.Linear(width, size)), *([nn.Tanh()] if spec.value_range else [])]
    judge = nn.Sequential(*critic, spec.d_last(width))
    translator = Flattened(nn.Sequential(*generator, nn.Unflatten(1, spec.shape)))
    if told:
        return translator, Flattened(judge)
    return translator, Untold(judge) if spec.given else judge
