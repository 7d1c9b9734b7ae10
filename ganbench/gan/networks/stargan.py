"""A pair for several domains: one translator that is told which is asked for, and a D that tells which it sees."""

from __future__ import annotations

from torch import Tensor, nn

from ganbench.gan.conditioning import Untold
from ganbench.gan.networks.images import counts, grid
from ganbench.gan.networks.layers import Pair
from ganbench.gan.networks.patches import patched
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.gan.networks.unpaired import bounded, residual_translator
from ganbench.problems.base import Picture
from ganbench.registry import register


class Asked(nn.Module):
    """A body that sees the picture that is given beside the domain asked for, not the one that it is in."""

    def __init__(self, body: nn.Module, seen: int) -> None:
        super().__init__()
        self.body, self.seen = body, seen

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        out: Tensor = self.body(given[..., : self.seen, :, :])
        return out


@register(
    "network",
    needs={
        "image": "it translates images",
        "picture": "it needs a problem that gives pictures",
        "targets": "it needs a problem that asks for one of several domains",
    },
    provides={"feature_maps", "batch_features", "hidden_features"},
    paper={"normalization": "none", "g_normalization": "instance"},
)
def stargan(spec: NetworkSpec, *, width: int = 8, blocks: int = 2, each_pixel: bool = False) -> Pair:
    """StarGAN: a residual translator of pictures beside planes of the domain asked for, and a D (Choi 2018, app. 7).

    The paper: width 64, 6 blocks at a quarter of the side, a D of six halvings, a logit a patch. Here blocks are at a
    half of it, and D, which is not told what is given, has the mean of its patches' features. each_pixel: G is a
    perceptron that sees each pixel alone, so that all stays where it is.
    """
    own = grid("stargan", spec.shape)
    counts("stargan", width=width, blocks=blocks)
    seen = own.channels + (spec.given.shape[0] - own.channels) // 2 if isinstance(spec.given, Picture) else own.channels
    body = _pixels if each_pixel else residual_translator
    translator = Asked(body(spec, seen, width, blocks), seen)
    d: list[nn.Module] = [spec.d_weight(patched(own.channels, width, 2)), nn.LeakyReLU(0.01)]
    d += [spec.d_norm(patched(width, 2 * width, 1)), nn.LeakyReLU(0.01), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    critic = nn.Sequential(*d, spec.d_last(2 * width))
    return translator, Untold(critic) if spec.given else critic


def _pixels(spec: NetworkSpec, inputs: int, width: int, blocks: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(blocks + 1):
        layers += [spec.g_norm(nn.Conv2d(width if index else inputs, width, 1)), nn.ReLU()]
    return nn.Sequential(*layers, spec.g_weight(nn.Conv2d(width, spec.shape[0], 1)), *bounded(spec))
