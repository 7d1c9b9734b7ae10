"""BigGAN of Brock 2019, small."""

from itertools import pairwise

from ganbench.errors import UserError
from ganbench.gan.networks.images import EITHER, counts, grid
from ganbench.gan.networks.layers import Pair
from ganbench.gan.networks.residual import PROVIDES, Chunks, Falls, Layers, Residual, doubly, falling, orthogonal
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import register


@register(
    "network",
    needs={"image": "a residual network needs images"},
    provides={*PROVIDES, "hidden_features", EITHER},
    paper={"normalization": "spectral", "g_normalization": "batch"},
)
def biggan(
    spec: NetworkSpec, *, width: int = 8, row: int = 16, truncation: float = 0.0, g_spectral: bool = True
) -> Pair:
    """BigGAN: latents in a part for each block, gains by these and a label's shared row, attention (Brock 2019).

    `width` channels beside the image, doubled at each halving (the paper: 96, and `row` 128), attention at half the
    image's side in both. `g_spectral` normalizes the weights of G; the orthogonal regularization is
    `g_regularizer=orthogonal`. With `truncation` samples that are measured are made of latents within +- so much.
    """
    counts("biggan", width=width, row=row)
    own = grid("biggan", spec.shape)
    if spec.latent_dim <= own.stages:
        raise UserError(
            f"The network 'biggan' splits latents into {own.stages + 1} parts at {own.side} pixels: the key "
            f"'latent_dim' must be at least that, got {spec.latent_dim}."
        )
    if truncation < 0:
        raise UserError(f"The key 'network.biggan.truncation' must be at least 0, got {truncation:g}.")
    classes, side = spec.given.classes if spec.given else 0, own.halvings[1]
    weigh = doubly(spec.g_weight, also=g_spectral)
    doubled = [width * 2**stage for stage in range(own.stages)]
    context = Chunks(spec.latent_dim, classes, own.stages, row, truncation)
    generator = Residual(
        spec, own, Layers(weigh, spec.g_norm, orthogonal), [doubled[-1], *reversed(doubled)], context, attention=side
    )
    blocks = [(own.channels, width, Falls(image=True, wide=True))]
    blocks += [(inputs, outputs, Falls(wide=True)) for inputs, outputs in pairwise(doubled)]
    blocks += [(doubled[-1], doubled[-1], Falls(shrinks=False, wide=True))]
    layers = Layers(spec.d_weight, spec.d_norm, orthogonal)
    return generator, falling(layers, spec, blocks, (classes, 0), attention=0)
