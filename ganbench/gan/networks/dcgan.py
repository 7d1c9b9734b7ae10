"""The convolutional pair of Radford 2016, sized for the image."""

from torch import nn

from ganbench.errors import UserError
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import NOTHING_GIVEN, register

NEEDS = {"image": "a convolutional network needs images", NOTHING_GIVEN: "it takes no label: conditional_mlp does"}


@register("network", needs=NEEDS, provides={"feature_maps", "batch_features", "hidden_features"})
def dcgan(spec: NetworkSpec, *, width: int = 16) -> tuple[nn.Module, nn.Module]:
    """DCGAN: strided 4 x 4 convolutions that halve the image down to 2 x 2, `width` channels at the finest scale."""
    channels, height, image_width = spec.shape
    if height != image_width or height < 8 or height & (height - 1):
        raise UserError(
            f"The network 'dcgan' takes square images of 8, 16, 32, ... pixels, not {height} x {image_width}."
        )
    stages = height.bit_length() - 2
    widths = [channels, *(width * 2**stage for stage in range(stages))]
    discriminator: list[nn.Module] = []
    for stage in range(stages):
        # no activation norm on the critic's first layer, as in the paper
        norm = spec.d_norm if stage else spec.d_weight
        discriminator += [norm(nn.Conv2d(widths[stage], widths[stage + 1], 4, 2, 1)), nn.LeakyReLU(0.2)]
    discriminator += [nn.Flatten(), spec.d_last(widths[-1] * 4)]
    generator: list[nn.Module] = [
        nn.Unflatten(1, (spec.latent_dim, 1, 1)),
        spec.g_norm(nn.ConvTranspose2d(spec.latent_dim, widths[-1], 2)),
        nn.ReLU(),
    ]
    for stage in reversed(range(stages)):
        norm = spec.g_norm if stage else spec.g_weight
        generator.append(norm(nn.ConvTranspose2d(widths[stage + 1], widths[stage], 4, 2, 1)))
        generator.append(nn.ReLU() if stage else nn.Tanh())
    return nn.Sequential(*generator), nn.Sequential(*discriminator)
