"""The convolutional pair of Radford 2016: small, sized for the image, and as the paper has it."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from torch import nn

from ganbench.errors import UserError
from ganbench.gan.conditioning import Concatenated, Projected
from ganbench.gan.networks.images import EITHER, Grid, Planes, classes_of, counts, grid
from ganbench.gan.networks.layers import Body, apart, bodies
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.ranges import NotNegativeInt
from ganbench.registry import NOTHING_GIVEN, register

NEEDS = {
    "image": "a convolutional network needs images",
    NOTHING_GIVEN: "it takes nothing given: conditional_mlp takes labels, pictured_mlp pictures",
}


PAPER = {"normalization": "batch", "g_normalization": "batch"}
LATER = (
    "g_width", "d_width", "g_activation", "d_activation", "init", "init_scale", "pooling", "hidden", "normalize_all",
)  # fmt: skip
"""The settings of `dcgan` that came when studies of it were made already."""


@register(
    "network",
    needs=NEEDS,
    provides={"feature_maps", "batch_features", "hidden_features"},
    paper=PAPER,
    later=LATER,
)
def dcgan(
    spec: NetworkSpec,
    *,
    width: int = 16,
    g_width: int = 0,
    d_width: int = 0,
    g_activation: str = "relu",
    d_activation: str = "leaky_relu",
    init: str = "default",
    init_scale: float = 1.0,
    pooling: bool = False,
    hidden: NotNegativeInt = 0,
    normalize_all: bool = False,
) -> tuple[nn.Module, nn.Module]:
    """DCGAN: strided 4 x 4 convolutions that halve the image down to 2 x 2, `width` channels at the finest scale.

    Normalizations of activations stand where the paper has them: in G behind all layers but the output, in D behind all
    but the first and the output. The paper's own pair is `normalization=batch g_normalization=batch
    network.dcgan.init=normal`, trained with Adam, both rates 2e-4, beta1 0.5, no decay, in batches of 128. What differs
    from it still: the paper's goes down to 4 x 4 pixels and has 128 channels at G's finest scale; its code also draws
    the gains of batch norm, from N(1, 0.02), and generates with running statistics, here with the batch's own. The
    settings of single players, activations (but for maxout) and initial weights are those of `mlp`.

    What the paper does away with comes back by the others: `pooling` has means over 2 x 2 pixels in D and pixels that
    are repeated in G, both beside 3 x 3 convolutions that keep the side; `hidden` so many fully connected units, in
    front of G's convolutions and behind D's; `normalize_all` the normalization of activations in D's first layer and
    G's last one, too.
    """
    channels, height, image_width = spec.shape
    if height != image_width or height < 8 or height & (height - 1):
        raise UserError(
            f"The network 'dcgan' takes square images of 8, 16, 32, ... pixels, not {height} x {image_width}."
        )
    stages = height.bit_length() - 2
    g, d = bodies("dcgan", (width, stages), (g_width, 0, g_activation), (d_width, 0, d_activation))
    spec, rules = spec.started("dcgan", init, init_scale), Rules(pooling, hidden, normalize_all)
    return apart(partial(_convolutions, spec, channels, rules), g, d)


@dataclass(frozen=True)
class Rules:
    """What a DCGAN does against its paper: pooling, so many hidden units, first and last layers normalized."""

    pooling: bool
    hidden: int
    normalize_all: bool

    def fall(self, inputs: int, outputs: int) -> tuple[nn.Module, list[nn.Module]]:
        """Return the convolution of a stage of D, and what comes behind its activation."""
        if self.pooling:
            return nn.Conv2d(inputs, outputs, 3, 1, 1), [nn.AvgPool2d(2)]
        return nn.Conv2d(inputs, outputs, 4, 2, 1), []

    def rise(self, inputs: int, outputs: int) -> tuple[list[nn.Module], nn.Module]:
        """Return what comes in front of the convolution of a stage of G, and the convolution."""
        if self.pooling:
            return [nn.Upsample(scale_factor=2)], nn.Conv2d(inputs, outputs, 3, 1, 1)
        return [], nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)


def _convolutions(spec: NetworkSpec, channels: int, rules: Rules, g: Body, d: Body) -> tuple[nn.Module, nn.Module]:
    critic = _critic(spec, channels, rules, d)
    return _generator(spec, channels, rules, g), critic


def _critic(spec: NetworkSpec, channels: int, rules: Rules, d: Body) -> nn.Sequential:
    widths = [channels, *(d.width * 2**stage for stage in range(d.depth))]
    layers: list[nn.Module] = []
    for stage, (inputs, outputs) in enumerate(pairwise(widths)):
        # no activation norm on the critic's first layer, as in the paper
        norm = spec.d_norm if stage or rules.normalize_all else spec.d_weight
        convolution, behind = rules.fall(inputs, outputs)
        layers += [norm(convolution), d.act(), *behind]
    layers.append(nn.Flatten())
    if rules.hidden:
        layers += [spec.d_norm(nn.Linear(widths[-1] * 4, rules.hidden)), d.act()]
    return nn.Sequential(*layers, spec.d_last(rules.hidden or widths[-1] * 4))


def _generator(spec: NetworkSpec, channels: int, rules: Rules, g: Body) -> nn.Sequential:
    widths = [channels, *(g.width * 2**stage for stage in range(g.depth))]
    layers: list[nn.Module] = []
    if rules.hidden:
        layers += [spec.g_norm(nn.Linear(spec.latent_dim, rules.hidden)), g.act()]
    inputs = rules.hidden or spec.latent_dim
    layers += [nn.Unflatten(1, (inputs, 1, 1)), spec.g_norm(nn.ConvTranspose2d(inputs, widths[-1], 2)), g.act()]
    for stage in reversed(range(g.depth)):
        norm = spec.g_norm if stage or rules.normalize_all else spec.g_weight
        front, convolution = rules.rise(widths[stage + 1], widths[stage])
        layers += [*front, norm(convolution), g.act() if stage else nn.Tanh()]
    return nn.Sequential(*layers)


@register(
    "network",
    needs={"image": NEEDS["image"]},
    provides={"feature_maps", "batch_features", "hidden_features", EITHER},
    paper=PAPER,
)
def dcgan_paper(
    spec: NetworkSpec, *, width: int = 16, kernel: int = 5, how: str = "projection"
) -> tuple[nn.Module, nn.Module]:
    """DCGAN by the paper, at any size: from 4 x 4 pixels by strided convolutions, weights N(0, 0.02) (Radford 2016).

    `width` channels beside the image, twice as many at each halving (the paper: 128); images of 8 pixels go down to
    2 x 2, so that D has a layer that the paper normalizes. Labels stand beside G's latents,
    and reach D as `how` says: projection, or concatenation as planes beside images (Mirza & Osindero 2014).
    """
    counts("dcgan_paper", width=width, kernel=kernel)
    if kernel < 3:
        raise UserError(f"The key 'network.dcgan_paper.kernel' must be at least 3, got {kernel}.")
    own, spec = grid("dcgan_paper", spec.shape, 2), spec.started("dcgan_paper", "normal", 1.0)
    classes, planes = classes_of("dcgan_paper", spec, how)
    generator = _paper_generator(spec, own, width, kernel, classes + planes)
    critic = _paper_critic(spec, own, width, kernel, (classes, planes))
    return (Concatenated(generator, classes + planes) if classes + planes else generator), critic


def _paper_generator(spec: NetworkSpec, own: Grid, width: int, kernel: int, beside: int) -> nn.Sequential:
    widths = [width * 2**stage for stage in reversed(range(own.stages))]
    layers: list[nn.Module] = [
        nn.Unflatten(1, (spec.latent_dim + beside, 1, 1)),
        spec.g_norm(nn.ConvTranspose2d(spec.latent_dim + beside, widths[0], own.base)),
    ]
    rise = partial(nn.ConvTranspose2d, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2)
    for inputs, outputs in pairwise(widths):
        layers += [nn.ReLU(), spec.g_norm(rise(inputs, outputs, kernel))]
    layers += [nn.ReLU(), spec.g_weight(rise(width, own.channels, kernel))]
    return nn.Sequential(*layers, *([nn.Tanh()] if spec.value_range else []))


def _paper_critic(spec: NetworkSpec, own: Grid, width: int, kernel: int, labels: tuple[int, int]) -> nn.Module:
    classes, planes = labels
    widths = [own.channels + planes, *(width * 2**stage for stage in range(own.stages))]
    layers: list[nn.Module] = []
    for stage, (inputs, outputs) in enumerate(pairwise(widths)):
        norm = spec.d_norm if stage else spec.d_weight
        layers += [norm(nn.Conv2d(inputs, outputs, kernel, 2, (kernel - 1) // 2)), nn.LeakyReLU(0.2)]
    features = widths[-1] * own.base**2
    body, last = nn.Sequential(*layers, nn.Flatten()), spec.d_last(features)
    if classes:
        return Projected(body, last, features, classes)
    whole = nn.Sequential(*body, last)
    return Planes(whole, planes) if planes else whole
