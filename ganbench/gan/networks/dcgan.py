"""The convolutional pair of Radford 2016, sized for the image."""

from functools import partial

from torch import nn

from ganbench.errors import UserError
from ganbench.gan.networks.layers import Body, apart, bodies
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import NOTHING_GIVEN, register

NEEDS = {"image": "a convolutional network needs images", NOTHING_GIVEN: "it takes no label: conditional_mlp does"}


@register(
    "network",
    needs=NEEDS,
    provides={"feature_maps", "batch_features", "hidden_features"},
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
