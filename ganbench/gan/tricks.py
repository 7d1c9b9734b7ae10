"""Tricks: what papers change about training beside loss, normalization, regularizer and update rule; several compose.

A trick declares what it changes, `acts_on`, and that decides what it is a function of. Keyword-only parameters are its
hyper-parameters; samples are `[runs, batch, *shape]`, and other leading axes are runs.

- "batch": `(features) -> module` before D's last layer, from `[..., batch, features]` to `[..., batch,
  module.out_features]`. It lets D see its batch, and so `withholds` the independence of samples that penalties need.
- "packs": `(samples) -> packs` `[runs, fewer, *larger shape]`: all that D is ever shown, in probes too.
- "samples": `(samples, uniform) -> samples`, what D is shown in the updates of both players, before any instance noise
  and in front of any penalty; `uniform` holds as many numbers of U[0, 1) a sample as are declared by `draws`.
- "data": `(weights) -> weights` `[groups]` of the modes or classes in the training batches, of any sum.
- "features": `(real_features, fake_features) -> loss` `[...]`, in place of G's loss; features `[..., batch, f]` are the
  outputs of D's last activation.
- "logits": `(real_logits, fake_logits, progress) -> pair`, what G's loss is taken on, logits `[..., batch]`; `progress`
  is the share of the training that is over, in [0, 1), a tensor without axes. Where it decides how many logits come
  back, a trick declares as `phase` a function `(batch, progress, *, hypers)` of numbers of Python, called outside the
  step: what it returns, the same for stretches of the training, then comes in place of `progress`.
- "parameters": `(parameters, mean) -> penalty` `[...]` on each player's own `[..., size]`, added to its loss; the mean
  is over the places where the player was at the start and after each training step.
- "average": `(average, parameters) -> average` of G's parameters after each training step, G's first ones at the
  start. The average takes no part in training; probes measure it beside the trained G.

Losses and gradients at a probe are those of training for "packs" and "features"; the others are left out there.
"""

import math
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from ganbench.errors import UserError
from ganbench.ranges import AtLeastOne, BelowOne, NotNegative, PositiveShare, Share
from ganbench.registry import LOSS_OF_LOGITS, NOTHING_GIVEN, SINGLE_SAMPLES, register

INDEPENDENT = frozenset({"independent_samples"})
SEES_BATCH = {"batch_features": "the network has no place where its discriminator could see the batch"}


@register("trick", acts_on="nothing")
def none() -> None:
    """No trick."""


class MinibatchDiscrimination(nn.Module):
    """Adds sum_j exp(-|M_i - M_j|_1), M = x T, for each of some kernels to the features of sample i."""

    def __init__(self, features: int, kernels: int, dims: int) -> None:
        super().__init__()
        self.kernels, self.out_features = kernels, features + kernels
        self.tensor = nn.Parameter(torch.randn(features, kernels * dims) / math.sqrt(features))

    def forward(self, x: Tensor) -> Tensor:
        return self.beside(x, x @ self.tensor)

    def beside(self, x: Tensor, projected: Tensor) -> Tensor:
        """Return x [..., batch, features] with the kernels of its projection M [..., batch, kernels x dims] behind."""
        # the batch last: sums over a few dims are slow where these are innermost
        rows = projected.unflatten(-1, (self.kernels, -1)).movedim(-3, -1).contiguous()
        distances = (rows.unsqueeze(-1) - rows.unsqueeze(-2)).abs().sum(-3)
        return torch.cat([x, (-distances).exp().sum(-1).mT], dim=-1)


@register("trick", acts_on="batch", withholds=INDEPENDENT, needs=SEES_BATCH)
def minibatch_discrimination(features: int, *, kernels: AtLeastOne = 8, dims: AtLeastOne = 4) -> nn.Module:
    """Minibatch discrimination: D's last layer sees how close a sample is to its batch (Salimans 2016, sec. 3.2).

    `kernels` and `dims` are the paper's B and C. The sum runs over the whole batch, the sample itself included.
    """
    return MinibatchDiscrimination(features, kernels, dims)


class MinibatchStd(nn.Module):
    """Adds one feature, the same for all samples: the standard deviation over the batch, averaged over features."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.out_features = features + 1

    def forward(self, x: Tensor) -> Tensor:
        # the root has no gradient at zero, where a generator that has collapsed would put it
        spread = (x.var(-2, correction=0) + 1e-8).sqrt().mean(-1)
        return torch.cat([x, spread[..., None, None].expand(*x.shape[:-1], 1)], dim=-1)


@register("trick", acts_on="batch", withholds=INDEPENDENT, needs=SEES_BATCH)
def minibatch_std(features: int) -> nn.Module:
    """Minibatch standard deviation: one more feature tells D how much its batch varies (Karras 2018, sec. 3).

    Over the whole batch, with n in the denominator, and in front of D's last layer.
    """
    return MinibatchStd(features)


@register(
    "trick",
    acts_on="features",
    withholds={LOSS_OF_LOGITS},
    needs={"hidden_features": "it needs a discriminator with an activation that is known"},
)
def feature_matching(real_features: Tensor, fake_features: Tensor) -> Tensor:
    """Feature matching: G's loss is the squared distance of D's mean features, real to fake (Salimans 2016, sec. 3.1).

    It stands in place of the loss's own for G, whatever that is; D keeps its loss.
    """
    return (real_features.mean(-2) - fake_features.mean(-2)).square().sum(-1)


@register(
    "trick",
    acts_on="packs",
    withholds={SINGLE_SAMPLES},
    needs={NOTHING_GIVEN: "a pack of samples has no one label"},
)
def packing(samples: Tensor, *, m: Annotated[int, Ge(2)] = 2) -> Tensor:
    """Packing: D sees m samples at once, side by side, all real or all fake (PacGAN, Lin 2018).

    Points become m d-dimensional, images m C channels deep; logits, and the losses that compare them, are one a pack.
    D is a critic of packs, so a gradient penalty is taken in the whole pack, as for a critic of any one input, and
    random points between real and fake have one share a pack. `batch_size` counts samples, of which D sees batch_size /
    m packs; the paper's counts packs: its 100 is batch_size=100 m. UserError where the batch does not divide by m.
    """
    if samples.shape[1] % m:
        raise UserError(
            f"Packs of trick.packing.m={m} samples do not divide a batch of {samples.shape[1]}: choose a batch_size "
            f"that is a multiple of {m}."
        )
    return samples.unflatten(1, (-1, m)).flatten(2, 3)


@register("trick", acts_on="parameters")
def historical_averaging(parameters: Tensor, mean: Tensor, *, weight: NotNegative = 0.001) -> Tensor:
    """Historical averaging: weight |theta - mean of past theta|^2 for both players (Salimans 2016, sec. 3.3).

    The paper's term has weight 1, which holds Adam's steps near the start.
    """
    return weight * (parameters - mean).square().sum(-1)


@register("trick", acts_on="average")
def ema(average: Tensor, parameters: Tensor, *, decay: BelowOne = 0.99) -> Tensor:
    """Exponential moving average of G's weights, measured beside the trained G (Yazici 2019; Karras 2018).

    average <- decay average + (1 - decay) weights. It lags 1 / (1 - decay) steps behind; the papers, who train for far
    longer, take 0.999 and 0.9999. Its measures end in `_ema`; verdicts judge the trained G. What a network keeps in
    buffers (running statistics, a spectral norm's vector) is the trained G's.
    """
    return torch.lerp(parameters, average, decay)


@register("trick", acts_on="samples", draws=3, needs={"image": "it moves and brightens images"})
def augmentation(
    images: Tensor, uniform: Tensor, *, brightness: NotNegative = 0.5, translation: Share = 0.125
) -> Tensor:
    """Differentiable augmentation of all that D is shown, by brightness and translation (after Zhao 2020).

    Two of the five of DiffAugment; `diffaugment` has all. Each image gets a number of U[-brightness, brightness] added,
    in the units of its pixels, and is moved by a whole number of pixels, at most the share `translation` of its side
    either way, with 0 where nothing is left. Penalties are taken at the augmented images: D is shown no others.
    """
    return _moved(images + brightness * _signed(uniform[..., 0]), uniform[..., 1:], translation)


@register("trick", acts_on="samples", draws=7, needs={"image": "it changes images"})
def diffaugment(
    images: Tensor,
    uniform: Tensor,
    *,
    brightness: NotNegative = 0.5,
    saturation: NotNegative = 1.0,
    contrast: NotNegative = 0.5,
    translation: Share = 0.125,
    cutout: Share = 0.5,
) -> Tensor:
    """DiffAugment of all that D is shown, "color, translation, cutout" in this order (Zhao 2020, sec. 3.2).

    Color: a number of U[-brightness, brightness] is added, in the units of the pixels; then each pixel's distance from
    the mean of its channels is multiplied by one of U[1 - saturation, 1 + saturation], which does nothing in one
    channel, and each pixel's from the mean of the image by one of U[1 - contrast, 1 + contrast]. Translation is that of
    `augmentation`. Cutout: a rectangle of the share `cutout` of each side is 0, its middle anywhere in it: it may
    reach over the border. `translation` and `cutout` lie in [0, 1]; a strength of 0 leaves its part out.
    """
    light, color, depth = (_signed(numbers) for numbers in uniform[..., :3].unbind(-1))
    images = images + brightness * light
    images = _stretched(images, -3, 1 + saturation * color)
    images = _stretched(images, (-3, -2, -1), 1 + contrast * depth)
    return _cut(_moved(images, uniform[..., 3:5], translation), uniform[..., 5:], cutout)


def _signed(uniform: Tensor) -> Tensor:
    """Return numbers of U[-1, 1), one an image, from those of U[0, 1)."""
    return (2 * uniform - 1)[..., None, None, None]


def _stretched(images: Tensor, axes: int | tuple[int, ...], factor: Tensor) -> Tensor:
    """Return images whose distances from their mean over some axes are multiplied."""
    mean = images.mean(axes, keepdim=True)
    return mean + factor * (images - mean)


def _moved(images: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Return images moved by whole pixels, at most a share of each side, with 0 where nothing is left."""
    rows, columns = (
        _selector(side, share, numbers) for side, numbers in zip(images.shape[-2:], uniform.unbind(-1), strict=True)
    )
    # matrices of zeros and ones: exact, and differentiable any number of times
    return rows @ images @ columns.mT


def _cut(images: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Return images with a rectangle of 0, a share of each side long."""
    rows, columns = (
        _within(side, int(side * share + 0.5), numbers)
        for side, numbers in zip(images.shape[-2:], uniform.unbind(-1), strict=True)
    )
    return images * ~(rows[..., :, None] & columns[..., None, :]).unsqueeze(-3)


def _within(side: int, length: int, uniform: Tensor) -> Tensor:
    """Return which places [..., side] lie in a stretch whose middle is uniform over the side, ends included."""
    ends = side + 1 - length % 2
    first = (uniform * ends).floor().clamp(max=ends - 1) - length // 2
    place = torch.arange(side, device=uniform.device)
    return (place >= first[..., None]) & (place < first[..., None] + length)


def _selector(side: int, share: float, uniform: Tensor) -> Tensor:
    """Return matrices [..., 1, side, side] that move columns vectors by a random whole number of places."""
    most = int(side * share + 0.5)
    moves = (uniform * (2 * most + 1)).floor().clamp(max=2 * most) - most
    place = torch.arange(side, device=uniform.device)
    return (place - place[:, None] == moves[..., None, None]).to(uniform.dtype).unsqueeze(-3)


def logits_kept(batch: int, progress: float, *, share: float, until: float) -> int:
    """Return the k of a batch that `top_k` keeps after a share of the training."""
    # rounded up, but not for the rounding of the power
    return math.ceil(batch * share ** min(1.0, progress / until) - 1e-9)


@register(
    "trick",
    acts_on="logits",
    phase=logits_kept,
    needs={LOSS_OF_LOGITS: "it chooses logits, and G's loss is taken on features"},
)
def top_k(
    real_logits: Tensor, fake_logits: Tensor, k: int, *, share: PositiveShare = 0.5, until: PositiveShare = 0.5
) -> tuple[Tensor, Tensor]:
    """Top-k training: G's loss is taken on the k fakes that D scores highest (Sinha 2020, alg. 1).

    k falls geometrically from the batch to `share` of it, reached at the share `until` of the training, both in (0, 1].
    A loss that compares with real samples sees as many of them, those in the same places of the batch.
    """
    best = fake_logits.detach().topk(k, dim=-1).indices
    return real_logits.gather(-1, best), fake_logits.gather(-1, best)


@register(
    "trick",
    acts_on="data",
    needs={"unequal_groups": "it needs modes or classes, and changes nothing where all weigh the same"},
)
def weighted_sampling(weights: Tensor, *, power: NotNegative = 1.0) -> Tensor:
    """Weighted sampling: training batches hold modes or classes of weight w in proportion to w^(1 - power).

    power 0 is the data as they are, 1 draws all groups evenly. What metrics and diagnostics compare with stays the data
    as they are: a G that follows its batches is measured by how far these have moved from the data, in shares of modes
    above all, and better only where the rare groups would have been dropped.
    """
    # a group that is empty has nothing to draw
    return torch.where(weights > 0, weights ** (1 - power), 0.0)
