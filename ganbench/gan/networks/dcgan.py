"""The convolutional pair of Radford 2016: small, sized for the image, and as the paper has it."""

from functools import partial
from itertools import pairwise

from torch import nn

from ganbench.errors import UserError
from ganbench.gan.conditioning import Concatenated, Projected
from ganbench.gan.networks.images import EITHER, Grid, Planes, classes_of, counts, grid
from ganbench.gan.networks.layers import Body, apart, bodies
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import NOTHING_GIVEN, register

NEEDS = {"image": "a convolutional network needs images", NOTHING_GIVEN: "it takes no label: conditional_mlp does"}


PAPER = {"normalization": "batch", "g_normalization": "batch"}


@register(
    "network",
    needs=NEEDS,
    provides={"feature_maps", "batch_features", "hidden_features"},
    paper=PAPER,
    later=("g_width", "d_width", "g_activation", "d_activation", "init", "init_scale"),
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
) -> tuple[nn.Module, nn.Module]:
    """DCGAN: strided 4 x 4 convolutions that halve the image down to 2 x 2, `width` channels at the finest scale.

    Normalizations of activations stand where the paper has them: in G behind all layers but the output, in D behind all
    but the first and the output. The paper's own pair is `normalization=batch g_normalization=batch
    network.dcgan.init=normal`, trained with Adam, both rates 2e-4, beta1 0.5, no decay, in batches of 128. What differs
    from it still: the paper's goes down to 4 x 4 pixels and has 128 channels at G's finest scale; its code also draws
    the gains of batch norm, from N(1, 0.02), and generates with running statistics, here with the batch's own. The
    settings of single players, activations (but for maxout) and initial weights are those of `mlp`.
    """
    channels, height, image_width = spec.shape
    if height != image_width or height < 8 or height & (height - 1):
        raise UserError(
            f"The network 'dcgan' takes square images of 8, 16, 32, ... pixels, not {height} x {image_width}."
        )
    stages = height.bit_length() - 2
    g, d = bodies("dcgan", (width, stages), (g_width, 0, g_activation), (d_width, 0, d_activation))
    return apart(partial(_convolutions, spec.started("dcgan", init, init_scale), channels), g, d)


def _convolutions(spec: NetworkSpec, channels: int, g: Body, d: Body) -> tuple[nn.Module, nn.Module]:
    widths = [channels, *(d.width * 2**stage for stage in range(d.depth))]
    discriminator: list[nn.Module] = []
    for stage in range(d.depth):
        # no activation norm on the critic's first layer, as in the paper
        norm = spec.d_norm if stage else spec.d_weight
        discriminator += [norm(nn.Conv2d(widths[stage], widths[stage + 1], 4, 2, 1)), d.act()]
    discriminator += [nn.Flatten(), spec.d_last(widths[-1] * 4)]
    widths = [channels, *(g.width * 2**stage for stage in range(g.depth))]
    generator: list[nn.Module] = [
        nn.Unflatten(1, (spec.latent_dim, 1, 1)),
        spec.g_norm(nn.ConvTranspose2d(spec.latent_dim, widths[-1], 2)),
        g.act(),
    ]
    for stage in reversed(range(g.depth)):
        norm = spec.g_norm if stage else spec.g_weight
        generator.append(norm(nn.ConvTranspose2d(widths[stage + 1], widths[stage], 4, 2, 1)))
        generator.append(g.act() if stage else nn.Tanh())
    return nn.Sequential(*generator), nn.Sequential(*discriminator)


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
