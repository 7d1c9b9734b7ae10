"""Terms: losses of a player beside the game's own, on what D says of samples beside its logit; several compose.

A term is `(scene, *, hypers) -> penalty [runs]`, added to the losses of the `players` that it declares, D and G alike
where it declares none. In a `Scene` it finds real and fake samples as D is shown them, what is given with them, and the
code of the fakes. Three things it may ask for, the first two as functions of its hyper-parameters:

- `head`, `(problem, *, hypers) -> size`: so many numbers a sample that D says beside its logit, by a linear layer on
  what its last layer sees.
- `code`, `(*, hypers) -> Code`: numbers behind G's latents, with a law of their own, in probes too.
- `space`, the name of a feature space, in which it finds samples by `scene.features`.

With `untold=True` D is not told what is given: it has to find out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, one_hot

from ganbench.problems.base import Given, Picture, Problem, request, sent_back, swapped
from ganbench.ranges import AtLeastOne, NotNegative, NotNegativeInt
from ganbench.registry import SINGLE_SAMPLES, register

HEAD = {
    "batch_features": "the network has no place where its discriminator could say more than a logit",
    SINGLE_SAMPLES: "what D says of a pack belongs to no one sample",
}


@dataclass(frozen=True)
class Code:
    """The law of a code: one of `categories` as a row of zeros with a one (0: none), `continuous` numbers U(-1, 1)."""

    categories: int = 0
    continuous: int = 0

    @property
    def size(self) -> int:
        return self.categories + self.continuous

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n codes [n, size]."""
        numbers = torch.rand(n, self.continuous, generator=generator) * 2 - 1
        if not self.categories:
            return numbers
        rows = one_hot(torch.randint(self.categories, (n,), generator=generator), self.categories)
        return torch.cat([rows.to(numbers.dtype), numbers], dim=1)


class Seen(Protocol):
    """Samples before D; what is not asked for is not computed."""

    @property
    def samples(self) -> Tensor:
        """Samples [runs, batch, *shape] as D is shown them."""

    @property
    def logits(self) -> Tensor:
        """D's logits [runs, batch]."""

    @property
    def features(self) -> Tensor:
        """The outputs of D's last activation [runs, batch, f]."""

    @property
    def told(self) -> Tensor:
        """What D says of them in the term's own head [runs, batch, size]."""

    def beside(self, samples: Tensor) -> Seen:
        """Other samples [runs, batch, *shape] before the same D."""


def unmade(given: Given) -> Tensor:
    """Stand for G where there is none."""
    raise NotImplementedError("there is no G to make samples")


def unseen(samples: Tensor) -> Tensor:
    """Stand for the feature space of a term that asks for none."""
    raise NotImplementedError("the term declares no space")


@dataclass(frozen=True)
class Scene:
    """What a term looks at: of which player ("d" or "g") it is a loss, samples, what is given with them, fakes' code.

    given: with the real samples, and with the fakes of the same index. code: [runs, batch, size]; of size 0 where the
    term asks for none. made: G's samples for something else that is given, of the fakes' latents. features: from
    samples to their features [runs, batch, f] in the space that it declares. wanted: from pictures that are given to
    their classes [runs, batch], where they have some. In G's update no gradient of the real
    samples reaches D.
    """

    player: str
    real: Seen
    fake: Seen
    given: Given
    code: Tensor
    made: Callable[[Given], Tensor] = unmade
    features: Callable[[Tensor], Tensor] = unseen
    wanted: Callable[[Given], Tensor] = unmade


def _surprise(told: Tensor, label: Tensor) -> Tensor:
    """Return minus the mean log probability of labels [..., batch] under logits [..., batch, classes], in nats."""
    return -told.log_softmax(-1).gather(-1, label.unsqueeze(-1)).squeeze(-1).mean(-1)


@register("term")
def none(scene: Scene) -> Tensor:
    """No term."""
    return torch.zeros_like(scene.fake.logits[..., 0])


def _classes(problem: Problem, *, weight: float = 1.0) -> int:
    return problem.gives.classes if problem.gives else 0


@register("term", head=_classes, untold=True, needs={"label": "it needs a problem that gives labels", **HEAD})
def auxiliary_class(scene: Scene, *, weight: NotNegative = 1.0) -> Tensor:
    """AC-GAN: D, not told labels, tells those of real samples and fakes; so does G's loss of fakes (Odena 2017).

    weight times -L_C of both losses, L_C = E log P(c | real) + E log P(c | fake): G's has the fakes alone, the other
    half does not depend on it.
    """
    label = scene.given
    assert isinstance(label, Tensor)
    loss = _surprise(scene.fake.told, label)
    if scene.player == "d":
        loss = loss + _surprise(scene.real.told, label)
    return weight * loss


def _code(*, categories: int = 10, continuous: int = 2, weight: float = 1.0, continuous_weight: float = 0.1) -> Code:
    return Code(categories, continuous)


def _code_size(problem: Problem, *, categories: int = 10, continuous: int = 2, **weights: float) -> int:
    return categories + continuous


@register("term", head=_code_size, code=_code, needs=HEAD)
def information(
    scene: Scene,
    *,
    categories: NotNegativeInt = 10,
    continuous: NotNegativeInt = 2,
    weight: NotNegative = 1.0,
    continuous_weight: NotNegative = 0.1,
) -> Tensor:
    """InfoGAN: both losses less weight x E log Q(c | G(z, c)), Q a head of D; c, a code behind the latents (Chen 2016).

    c is one of `categories` and `continuous` numbers of U(-1, 1), which Q takes for normal, of variance 1, with
    `continuous_weight`; constants are left out. So I(c; G(z, c)) is at least log(categories) less the first part.
    """
    told, code = scene.fake.told, scene.code
    loss = torch.zeros_like(told[..., 0, 0])
    if categories:
        loss = loss + weight * _surprise(told[..., :categories], code[..., :categories].argmax(-1))
    if continuous:
        off = (code - told)[..., categories:].square().sum(-1).mean(-1)
        loss = loss + continuous_weight / 2 * off
    return loss


@register("term", players="g", needs={"pairs": "it needs a problem of pairs"})
def l1(scene: Scene, *, weight: NotNegative = 100.0) -> Tensor:
    """L1: G's loss has weight x the mean of |x - G(z, y)| of pairs beside the game's own (Isola 2017, eq. 3)."""
    return weight * (scene.fake.samples - scene.real.samples.detach()).abs().flatten(2).mean((1, 2))


@register(
    "term",
    players="g",
    space="classifier",
    needs={"pairs": "it needs a problem of pairs", "classes": "it needs a problem with classes"},
)
def perceptual(scene: Scene, *, weight: NotNegative = 1.0) -> Tensor:
    """Perceptual: G's loss has weight x the mean of (f(x) - f(G(z, y)))^2 of pairs (Johnson 2016; SRGAN, Ledig 2017).

    f is the hidden layer of the classifier that is trained on the problem's own labels, where the papers have layers of
    VGG, trained on ImageNet.
    """
    real, fake = (scene.features(samples) for samples in (scene.real.samples.detach(), scene.fake.samples))
    return weight * (real - fake).square().mean((1, 2))


@register(
    "term",
    players="g",
    space="spectrogram",
    needs={
        "waveform": "it needs a problem of waveforms",
        "reversible": "it needs what is given to follow from samples",
    },
)
def spectral(scene: Scene, *, weight: NotNegative = 45.0) -> Tensor:
    """Spectral: G's loss has weight x the mean of |mel(x) - mel(G(z, mel(x)))| (HiFi-GAN, Kong 2020, eqs. 5 and 6).

    mel(x) is what is given. The paper's spectrograms are finer, and logarithms of base e of magnitudes.
    """
    assert isinstance(scene.given, Tensor)
    found = scene.features(scene.fake.samples)
    return weight * (found - scene.given.flatten(2)).abs().mean((1, 2))


UNPAIRED = {"unpaired": "it needs a problem of two domains"}


@register("term", players="g", needs=UNPAIRED)
def cycle(scene: Scene, *, weight: NotNegative = 10.0) -> Tensor:
    """Cycle: G's loss has weight x E |F(G(a)) - a| of both ways, for pictures to come back (Zhu 2017, eq. 2).

    The paper's sum over both ways, like that of its two losses of the game, is a mean here.
    """
    back = scene.made(swapped(scene.fake.samples))
    return weight * (back - swapped(scene.given)).abs().flatten(2).mean((1, 2))


@register("term", players="g", needs=UNPAIRED)
def identity(scene: Scene, *, weight: NotNegative = 5.0) -> Tensor:
    """Identity: G's loss has weight x E |G(b) - b| of both ways: what is there already stays (Zhu 2017, sec. 5.2)."""
    own = swapped(scene.given)
    return weight * (scene.made(own) - own).abs().flatten(2).mean((1, 2))


TARGETS = {"targets": "it needs a problem that asks for one of several domains"}


def _domains(problem: Problem, *, weight: float = 1.0) -> int:
    return (problem.gives.shape[0] - problem.shape[0]) // 2 if isinstance(problem.gives, Picture) else 0


@register("term", head=_domains, untold=True, needs={**TARGETS, **HEAD})
def domain_class(scene: Scene, *, weight: NotNegative = 1.0) -> Tensor:
    """StarGAN: D tells the domain of real samples, and G's loss is what it tells of fakes (Choi 2018, eqs. 2 and 3).

    weight times -E log P(c | x) of real x and their domain c in D's loss, of fakes and the domain asked for in G's. A
    real sample is in the domain that is asked of the fake of its index.
    """
    seen = scene.real if scene.player == "d" else scene.fake
    asked = request(scene.given, seen.samples.shape[-3]).asked
    return weight * _surprise(seen.told, asked[..., 0, 0].argmax(-1))


@register("term", players="g", needs=TARGETS)
def domain_cycle(scene: Scene, *, weight: NotNegative = 10.0) -> Tensor:
    """StarGAN: G's loss has weight x E |a - G(G(a, c), c')|, c' the domain that a came from (Choi 2018, eq. 4)."""
    fake = scene.fake.samples
    back = scene.made(sent_back(fake, scene.given))
    return weight * (back - request(scene.given, fake.shape[-3]).picture).abs().flatten(2).mean((1, 2))


def _kinds(problem: Problem, *, weight: float = 1.0) -> int:
    return problem.truth.source.kinds if problem.truth and problem.truth.source else 0


@register(
    "term", head=_kinds, untold=True, needs={"source": "it needs a problem that gives pictures with classes", **HEAD}
)
def task(scene: Scene, *, weight: NotNegative = 1.0) -> Tensor:
    """PixelDA: D tells the class of pictures and of their translations, G's loss has these (Bousmalis 2017, eq. 3).

    weight times -E log P(c | G(y)) - E log P(c | y) of pictures y of class c, of which G's loss has the first: the
    other does not depend on it. The paper's classifier is a network of its own, here it is a head of D.
    """
    wanted, given = scene.wanted(scene.given), scene.given
    assert isinstance(given, Tensor)
    loss = _surprise(scene.fake.told, wanted)
    if scene.player == "d":
        loss = loss + _surprise(scene.fake.beside(given).told, wanted)
    return weight * loss


def _pixels(problem: Problem, *, side: int = 8, weight: float = 1.0) -> int:
    channels, height, width = problem.shape
    return channels * min(side, height) * min(side, width)


@register("term", head=_pixels, players="d", needs={"image": "it reconstructs images", **HEAD})
def reconstruction(scene: Scene, *, weight: NotNegative = 1.0, side: AtLeastOne = 8) -> Tensor:
    """Self-supervised D: it reconstructs real images, in `side` x `side` means, from its last features (Liu 2021).

    weight times the mean squared error of a pixel; images that are smaller stay as they are. The paper has convolutions
    in the decoder, a perceptual distance, and a part of an earlier map beside.
    """
    real = scene.real.samples.detach()
    height, width = (min(side, given) for given in real.shape[-2:])
    pixels = adaptive_avg_pool2d(real.flatten(0, 1), (height, width)).reshape(scene.real.told.shape)
    return weight * (scene.real.told - pixels).square().mean((1, 2))
