"""Tokenizers: autoencoders whose codes are places in a codebook, sharpened late by a discriminator of patches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.errors import UserError
from ganbench.gan.losses import hinge
from ganbench.gan.regularizers import squared_input_gradient
from ganbench.models import quantization
from ganbench.models.alone import NO_GAME, NO_LABELS, perceptron
from ganbench.models.autoencoder import CODES, like
from ganbench.models.trained import Form, Trained
from ganbench.plan import Run
from ganbench.problems.base import Given, Problem, stream
from ganbench.ranges import AtLeastOne, BelowOne, NotNegative, NotNegativeInt, Positive
from ganbench.registry import register
from ganbench.training import batched
from ganbench.training.batched import Tensors
from ganbench.training.cost import StepCost, measured
from ganbench.training.host import Clock
from ganbench.training.players import Player


@dataclass(frozen=True)
class Late:
    """The hyper-parameters of an autoencoder with a late discriminator, as its plug-in describes them."""

    width: int
    halvings: int
    start: int
    ahead: int
    weight: float
    adaptive: bool
    cap: float
    gamma: float

    def learns(self, step: int) -> bool:
        """Tell whether the discriminator is trained in a step, for whose word nobody asks where it counts nothing."""
        return self.weight > 0 and step >= self.start - self.ahead

    def hears(self, step: int) -> bool:
        """Tell whether the discriminator's word counts in a step."""
        return self.weight > 0 and step >= self.start


@dataclass(frozen=True)
class Settings(Late):
    """The hyper-parameters of a tokenizer."""

    codes: int
    commitment: float
    decay: float


class Tokens(Form):
    """Encoder, codebook, decoder. A vector has one code, an image one in each place of the grid that halvings leave.

    Encoders give codes [n, size, *grid]; `book` [codes, size] is trained by its loss, or a buffer, beside the
    `counts` and `sums` that it is the average of.
    """

    def __init__(self, shape: tuple[int, ...], size: int, settings: Settings, *, bounded: bool) -> None:
        super().__init__()
        self.code_size = size
        self.grid, self.encoder, decoder = coders(shape, size, size, settings)
        self.last = f"decoder.{len(decoder) - 1}.weight"
        self.decoder = nn.Sequential(*decoder, *([nn.Tanh()] if bounded else []))
        self.numbers = size * math.prod(self.grid)
        book = torch.empty(settings.codes, size).uniform_(-1 / settings.codes, 1 / settings.codes)
        if settings.decay:
            self.register_buffer("book", book)
            self.register_buffer("counts", torch.ones(settings.codes))
            self.register_buffer("sums", book.clone())
        else:
            self.book = nn.Parameter(book)


def coders(
    shape: tuple[int, ...], told: int, size: int, settings: Late
) -> tuple[tuple[int, ...], nn.Sequential, nn.Sequential]:
    """Return the grid of places, an encoder that says `told` numbers of each, and a decoder of codes of a size."""
    width, count = settings.width, math.prod(shape)
    if len(shape) == 3:
        return halved(shape[1:], settings.halvings), *_convolutions(shape[0], (told, size), width, settings.halvings)
    return (), perceptron(count, width, 2, told), perceptron(size, width, 2, count)


def halved(sides: Sequence[int], times: int) -> tuple[int, ...]:
    """Return the sides of an image after some halvings; UserError where they leave a rest."""
    if any(side % 2**times for side in sides):
        each = " x ".join(map(str, sides))
        raise UserError(
            f"The tokenizer cannot halve images of {each} pixels {times} times: set 'model.tokenizer.halvings'."
        )
    return tuple(side // 2**times for side in sides)


def _convolutions(
    channels: int, sizes: tuple[int, int], width: int, halvings: int
) -> tuple[nn.Sequential, nn.Sequential]:
    """Return encoder and decoder of images; sizes: what the one says of a place, and the other takes."""
    told, size = sizes
    down = [part for _ in range(halvings) for part in (nn.Conv2d(width, width, 4, 2, 1), nn.ReLU())]
    up = [part for _ in range(halvings) for part in (nn.ConvTranspose2d(width, width, 4, 2, 1), nn.ReLU())]
    encoder = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1), nn.ReLU(), *down, nn.Conv2d(width, told, 1))
    decoder = nn.Sequential(nn.Conv2d(size, width, 3, 1, 1), nn.ReLU(), *up, nn.Conv2d(width, channels, 3, 1, 1))
    return encoder, decoder


def patches(shape: tuple[int, ...], width: int) -> nn.Sequential:
    """Return a discriminator that judges overlapping patches of images, a logit each (Isola 2017), or whole vectors."""
    if len(shape) != 3:
        return perceptron(math.prod(shape), width, 2, 1)
    widths = [shape[0], width, 2 * width]
    layers = [
        part
        for stride, (inputs, outputs) in zip((2, 1), pairwise(widths), strict=True)
        for part in (nn.Conv2d(inputs, outputs, 4 if stride == 2 else 3, stride, 1), nn.LeakyReLU(0.2))
    ]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, 1, 1))


Passed = tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]
"""What comes back of samples [runs, batch, *shape], the losses of their codes, each [runs], and what follows these."""


class Sharpened(Trained):
    """Autoencoders of all runs, and the discriminators that tell what they decode from samples."""

    def __init__(
        self,
        runs: Sequence[Run],
        problem: Problem,
        device: torch.device,
        build: Callable[[], Form],
        settings: Any,
    ) -> None:
        self.settings = settings
        self.critics: dict[int, nn.Module] = {}
        super().__init__(runs, problem, device, build)
        self.critic = Player([self.critics[run.seed] for run in runs], runs, "d_lr", self.clock, torch.float32)
        self.word = torch.zeros(len(runs), device=device)
        drawn = [problem.sample(CODES, stream("codes", seed)) for seed in self.seeds]
        self.known = torch.stack(drawn).to(device)

    def _built(self, seed: int) -> Any:
        def both() -> Any:
            # the discriminator last: without it the rest would have the same weights
            module = self.build()
            self.critics[seed] = patches(self.problem.shape, self.settings.width)
            return module

        return self.drawn(seed, both)

    def advance(self) -> None:
        """Train the discriminators once their time has come, then the tokenizers, on the same batch."""
        learns = self.settings.learns(self.step)
        super().advance()
        self.critic.descents += learns

    def _inputs(self, step: int) -> dict[str, Any]:
        return {**super()._inputs(step), "critic": self.critic.numbers(), "step": step}

    def _move(self, inputs: Mapping[str, Any], clock: Clock) -> None:
        (real, normal), own = self.batch(inputs), self.settings
        if own.learns(inputs["step"]):
            with torch.no_grad():
                made = self.remade(real, normal)
            self.descend(self.critic, self.told_apart(real, made), clock, inputs["critic"])
        tensors = {**self.player.trained, **self.player.buffers}
        made, extra, kept = self.passed(real, normal, tensors)
        error = loss = (made - real).square().flatten(1).mean(1)
        for part in extra:
            loss = loss + part
        if own.hears(inputs["step"]):
            loss = loss + self.heard(error, made, tensors)
        self.descend(self.player, loss, clock, inputs["numbers"])
        self.follow(*kept)

    def passed(self, real: Tensor, normal: Tensor, tensors: Tensors) -> Passed:
        """Return what comes back of samples in training, by numbers of N(0, 1) [runs, batch, draws]."""
        raise NotImplementedError

    def remade(self, real: Tensor, normal: Tensor) -> Tensor:
        """Return what the discriminator is shown of samples [runs, batch, *shape] in its own update."""
        raise NotImplementedError

    def follow(self, *kept: Tensor) -> None:
        """Move what follows the codes of a step rather than a gradient."""

    def heard(self, error: Tensor, made: Tensor, tensors: Tensors) -> Tensor:
        """Return the discriminator's word on what came back [runs], weighed beside the error [runs]; goes to `word`."""
        own, against = self.settings, -self.critic(made).flatten(1).mean(1)
        weight = torch.full_like(error, own.weight)
        if own.adaptive:
            weight = own.weight * quantization.adaptive_weight(error, against, tensors[self.module.last], own.cap)
        self.word.copy_(torch.where(self.alive, weight, self.word))
        return weight * against

    def told_apart(self, real: Tensor, made: Tensor) -> Tensor:
        """Return the discriminators' loss [runs]: the hinge over patches, and the penalty R1."""

        def critic(x: Tensor) -> Tensor:
            return self.critic(x, trained=True).flatten(2)

        loss: Tensor = hinge(critic(real).flatten(1), critic(made).flatten(1))[0]
        if self.settings.gamma:
            # the slope of the mean over patches: a logit a sample, as R1 is written for
            slope = squared_input_gradient(lambda x: critic(x).mean(-1), real)
            loss = loss + self.settings.gamma / 2 * slope.mean(-1)
        return loss

    @property
    def frozen(self) -> Tensors:
        """All that samples go through, without a graph."""
        return {**self.player.frozen, **self.player.buffers}

    def encoded(self, x: Tensor, tensors: Tensors | None = None) -> Tensor:
        """Return what the encoder says of samples [runs, n, *shape], [runs, n x places, told]."""
        found = batched.forward(self.module.encoder, tensors or self.frozen, x, "encoder.")
        return found.flatten(3).mT.flatten(1, 2) if self.module.grid else found

    def decoded(self, codes: Tensor, tensors: Tensors | None = None) -> Tensor:
        """Return samples [runs, n, *shape] of codes [runs, n x places, size]."""
        module, tensors = self.module, tensors or self.frozen
        if module.grid:
            codes = codes.unflatten(1, (-1, math.prod(module.grid))).mT.unflatten(3, module.grid)
        found = batched.forward(module.decoder, tensors, codes, "decoder.")
        return found.reshape(*found.shape[:2], *self.problem.shape)

    def costs(self) -> StepCost:
        """Count what a step costs, a mean over those without the discriminator and those with it."""
        own, steps = self.again(), self.variant.steps
        kinds = [(self.settings.learns(step), self.settings.hears(step)) for step in range(steps)]
        flop, peak = 0.0, 0
        for kind in dict.fromkeys(kinds):
            for _ in range(2):  # what an optimizer makes the first time is there in every later step
                own.step = kinds.index(kind)
                meter = measured(own.advance)
            flop, peak = flop + meter.flop * kinds.count(kind) / steps, max(peak, meter.peak_bytes)
        return StepCost((flop / len(self.runs),) * len(self.runs), peak)

    def again(self) -> Sharpened:
        return type(self)(self.runs, self.problem, self.device, self.build, self.settings)

    def held(self) -> dict[str, Any]:
        return {**super().held(), "critic": self.critic.state_dict(), "word": self.word}

    def restore(self, held: Mapping[str, Any]) -> None:
        super().restore(held)
        self.critic.load_state_dict(held["critic"])
        self.word.copy_(held["word"])


class Tokenizers(Sharpened):
    """The tokenizers of all runs, whose codes are those of a codebook."""

    def passed(self, real: Tensor, normal: Tensor, tensors: Tensors) -> Passed:
        own = self.settings
        codes = self.encoded(real, tensors)
        places = quantization.nearest(codes, tensors["book"])
        chosen = quantization.looked_up(places, tensors["book"])
        made = self.decoded(quantization.straight_through(codes, chosen), tensors)
        held = own.commitment * quantization.commitment_loss(codes, chosen)
        drawn = () if own.decay else (quantization.codebook_loss(codes, chosen),)
        return made, (held, *drawn), (codes.detach(), places)

    def remade(self, real: Tensor, normal: Tensor) -> Tensor:
        return self.decoded(self.tokens_of(real)[0])

    def follow(self, *kept: Tensor) -> None:
        if self.settings.decay:
            self._average(*kept)

    def _average(self, codes: Tensor, places: Tensor) -> None:
        """Move the codebooks of the runs that are alive, averages that forget (van den Oord 2017, app. A.1)."""
        buffers, decay = self.player.buffers, self.settings.decay
        counts, sums = quantization.gathered(codes, places, self.settings.codes)
        counts, sums = (decay * buffers[name] + (1 - decay) * new for name, new in (("counts", counts), ("sums", sums)))
        moved = {"counts": counts, "sums": sums, "book": quantization.averaged(counts, sums)}
        for name, new in moved.items():
            alive = self.alive.view(-1, *[1] * (new.dim() - 1))
            buffers[name].copy_(torch.where(alive, new, buffers[name]))

    def tokens_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes of the book [runs, n x places, size] that samples [runs, n, *shape] come to, and where."""
        book = self.frozen["book"]
        places = quantization.nearest(self.encoded(x), book)
        return quantization.looked_up(places, book), places

    def tokens(self, x: Tensor) -> tuple[Tensor, int]:
        """Return the places in the codebook [runs, n] that samples [n, *shape] come to, and how many there are."""
        return self.tokens_of(x.expand(len(self.runs), *x.shape))[1], self.settings.codes

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decoded(self.tokens_of(x.expand(len(self.runs), *x.shape))[0])

    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        """Decode codes drawn as those of training samples lie, each sample's together, from the codebook."""
        known = self.encoded(self.known[self.seed_index]).unflatten(1, (CODES, -1)).flatten(2)
        codes = like(known, self.normals(latents)).unflatten(2, (-1, self.module.code_size)).flatten(1, 2)
        book = self.frozen["book"]
        return self.decoded(quantization.looked_up(quantization.nearest(codes, book), book))


@register("model", ignores=NO_GAME, needs=NO_LABELS, provides={"reconstruction"})
def tokenizer(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    width: AtLeastOne = 16,
    halvings: NotNegativeInt = 1,
    codes: AtLeastOne = 64,
    commitment: NotNegative = 0.25,
    decay: BelowOne = 0.99,
    start: NotNegativeInt = 1000,
    ahead: NotNegativeInt = 0,
    weight: NotNegative = 0.8,
    adaptive: bool = True,
    cap: Positive = 1e4,
    gamma: NotNegative = 0.0,
) -> Tokenizers:
    """Vector-quantized autoencoder that a discriminator of patches sharpens from a step on (VQGAN, Esser 2021).

    Convolutions of `width` channels leave a code of `latent_dim` numbers in each place of images whose sides they halve
    `halvings` times; vectors have one code, by perceptrons. A code goes to the nearest of a codebook of `codes`, which
    are averages that keep `decay` of their past, or at 0 trained by the codebook's loss; `commitment` is the weight of
    what holds codes to it (van den Oord 2017).

    From the step `start` the hinge's word counts `weight` times, `adaptive`: times the ratio of the gradients of
    squared error and word at the decoder's last layer, at most `cap`. The discriminator learns from `ahead` steps
    before, with the penalty R1 of `gamma`. The autoencoder's rate is that of G, the discriminator's that of D.
    """
    own = Settings(width, halvings, start, ahead, weight, adaptive, cap, gamma, codes, commitment, decay)
    size, bounded = runs[0].variant.latent_dim, problem.value_range is not None
    return Tokenizers(runs, problem, device, lambda: Tokens(problem.shape, size, own, bounded=bounded), own)
