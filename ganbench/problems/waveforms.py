"""Waveforms that are given with a spectrogram, as a vocoder is: no phase is told, and every phase is right."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from ganbench.errors import UserError
from ganbench.problems.base import Given, Picture, Truth
from ganbench.problems.known import KnownLaw
from ganbench.problems.rendered import combinations
from ganbench.problems.translation import nearest
from ganbench.registry import register

TOLD = {"waveform", "picture", "pairs", "truth", "reversible", "several"}
"""What problems provide whose samples are waveforms [n], each given with the spectrogram that all right ones have."""

LENGTH, FRAME, HOP, BANDS = 256, 64, 32, 8
FLOOR = 1e-4
"""What is added to energies before their logarithm, as a silent frame has none. A whole tone has about .01."""
MIDDLE, HALF = -2.6, 1.4
"""Log energies to base 10 are told less the first and over the second, which brings them to about -1 to 1."""
RATE = 8000
"""Samples a second that the waveforms are taken to have, by which bands follow the mel scale."""


# ------------------------------------------------------------------------------------------ spectrograms


def _window(length: int) -> Tensor:
    """Return a Hann window [length] that sums to 1, float64."""
    window = torch.hann_window(length, periodic=True, dtype=torch.float64)
    return window / window.sum()


@cache
def _waves(length: int) -> Tensor:
    """Return what makes a frame's real and imaginary parts of it, [length, 2 x (length / 2 + 1)], windowed."""
    bins, at = torch.arange(length // 2 + 1, dtype=torch.float64), torch.arange(length, dtype=torch.float64)
    turn = 2 * math.pi / length * at[:, None] * bins
    return torch.cat([turn.cos(), turn.sin()], 1) * _window(length)[:, None]


def power(x: Tensor) -> Tensor:
    """Return the energy of every frequency in every frame of waveforms [..., LENGTH], [..., frames, FRAME / 2 + 1].

    Frames of FRAME samples, every HOP samples, under a Hann window that sums to 1, so that a cosine of amplitude a has
    a^2 / 4 at its frequency. The first is around the middle of the first HOP samples; what is beyond an end comes from
    the other one, as if the waveform were repeated.
    """
    beyond = (FRAME - HOP) // 2
    around = torch.cat([x[..., -beyond:], x, x[..., :beyond]], -1)
    parts = around.unfold(-1, FRAME, HOP) @ _waves(FRAME).to(x)
    real, imaginary = parts.chunk(2, -1)
    return real.square() + imaginary.square()


@cache
def mel_bands(bands: int = BANDS) -> Tensor:
    """Return triangles over frequencies [FRAME / 2 + 1, bands], evenly spaced in mel, float64.

    Mel of f Hertz: 2595 log10(1 + f / 700). Each is 1 at its middle and 0 at the middles beside it.
    """
    highest = 2595 * math.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, highest, bands + 2, dtype=torch.float64) / 2595) - 1)
    at = torch.arange(FRAME // 2 + 1, dtype=torch.float64)[:, None] * RATE / FRAME
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    return torch.minimum((at - low) / (middle - low), (high - at) / (high - middle)).clamp(min=0)


def told(energies: Tensor) -> Tensor:
    """Return energies as they are told: their logarithms, of about -1 to 1."""
    return ((energies + FLOOR).log10() - MIDDLE) / HALF


def spectrogram(x: Tensor) -> Tensor:
    """Return log energies in bands of waveforms [..., LENGTH] as pictures [..., 1, BANDS, frames]."""
    return told(power(x) @ mel_bands().to(x)).mT.unsqueeze(-3)


def _given_of(x: Tensor) -> Tensor:
    # squares of large numbers are beyond float32, their logarithms are not
    return spectrogram(x.double())


# ------------------------------------------------------------------------------------------ the problem

PITCHES = (16, 24, 32, 40)
"""Cycles of the fundamental in a waveform. Each has whole ones in HOP samples, so that a network which does the same in
every frame can make them, and its partials are at least four frequencies of a frame apart, where a Hann window hides
each from the others."""
TIMBRES = ((1.0, 0.5, 0.25), (0.5, 0.75, 1.0), (1.0, 0.0, 0.7))
"""How loud the first three partials are: dull, bright, and hollow."""
PEAKS = (None, 0.25, 0.75)
"""Where in the waveform it is loudest; None: equally loud throughout."""
SWING, LOUDNESS = 0.9, 0.65
ANSWERS = 16
"""How many of the right waveforms stand for all of them."""


class Waveforms(KnownLaw):
    """Tones of known pitch, timbre and envelope, whose three partials have any phases: all of them are right.

    What is given is the logarithm of the energy that is expected over phases and noise, in bands and frames: a picture
    [1, BANDS, frames], so that whatever takes pictures takes it. It is one of 36, so that each is seen often. Samples
    are rows of numbers [LENGTH], of no channel and no side: nothing that is for images takes them for some.

    An envelope's square is 1 + SWING cos(a turn), which has no frequency but that of one cycle; so the partials of a
    tone are orthogonal, whatever their phases, and how far any x is from the nearest right waveform is known exactly:
    |x|^2 + |tone|^2 - 2 sum_h |<x, e_h>|, e_h being the h-th partial as a complex wave.
    """

    name, shape = "waveforms", (LENGTH,)
    capabilities = frozenset(TOLD)
    value_range = (-1.0, 1.0)
    # pixels: the numbers of a waveform as they are
    feature_spaces = ("bins", "pixels")

    def __init__(self, noise: float, samples: int) -> None:
        self._noise = noise
        self._factors = combinations(PITCHES, TIMBRES, PEAKS)
        self._partials = torch.stack([_partials(*own) for own in self._factors.tolist()])
        expected = (power(self._partials.real) + power(self._partials.imag)) / 2
        # of white noise every frequency has its variance times the energy of the window
        floor = noise**2 * _window(FRAME).square().sum()
        heard = (expected.sum(1) + floor) @ mel_bands()
        self._pictures = told(heard).mT[:, None].float()
        self.gives = Picture(tuple(self._pictures.shape[1:]))
        self.truth = Truth(self._answers, self._content, len(PITCHES), _given_of, away=self._away)
        self.keep(samples)

    def fresh(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kind = torch.randint(len(self._factors), (n,), generator=generator)
        turns = torch.rand(n, self._partials.shape[1], dtype=torch.float64, generator=generator)
        clean = _sounding(self._partials[kind], turns)
        noise = self._noise * torch.randn(n, LENGTH, dtype=torch.float64, generator=generator)
        return (clean + noise).clamp_(*self.value_range).float(), kind

    def given_with(self, group: Tensor | None) -> Given:
        assert group is not None
        return self._pictures[group]

    def _of(self, given: Tensor) -> Tensor:
        """Return the partials [n, partials, LENGTH] of what is given [n, 1, BANDS, frames]."""
        return self._partials.to(given.device)[nearest(given, self._pictures)]

    def _answers(self, given: Tensor) -> Tensor:
        partials = self._of(given)
        # odd numbers of turns: every partial goes through all ANSWERS phases, and their mean is silence
        odd = torch.arange(partials.shape[1], device=given.device) * 2 + 1
        turns = torch.arange(ANSWERS, device=given.device)[:, None] * odd / ANSWERS
        return _sounding(partials[:, None], turns.double()).float()

    def _away(self, x: Tensor, given: Tensor) -> Tensor:
        """Return root mean square differences of x [n, LENGTH] from the nearest that is right for given [u, ...]."""
        partials, x = self._of(given), x.double()
        along = (x.to(partials.dtype) @ partials.flatten(0, 1).mT).abs().unflatten(1, partials.shape[:2]).sum(2)
        own = partials.abs().square().sum((1, 2)) / 2
        square = x.square().sum(1, keepdim=True) + own - 2 * along
        return (square.clamp(min=0) / LENGTH).sqrt()

    def _content(self, x: Tensor) -> Tensor:
        """Return the pitch [n] of the nearest tone."""
        return self._factors.to(x.device)[self._away(x, self._pictures.to(x.device)).argmin(1), 0]


def _partials(pitch: int, timbre: int, peak: int) -> Tensor:
    """Return the partials of a tone [3, LENGTH] as complex waves of phase 0, under their envelope; complex128."""
    at = torch.arange(LENGTH, dtype=torch.float64) / LENGTH
    place, loud = PEAKS[peak], torch.tensor(TIMBRES[timbre], dtype=torch.float64)
    swing = torch.zeros_like(at) if place is None else SWING * (2 * math.pi * (at - place)).cos()
    cycles = PITCHES[pitch] * torch.arange(1, len(loud) + 1, dtype=torch.float64)
    waves = torch.polar(torch.ones(len(loud), LENGTH, dtype=torch.float64), 2 * math.pi * cycles[:, None] * at)
    return LOUDNESS * (loud / loud.sum())[:, None] * (1 + swing).sqrt() * waves


def _sounding(partials: Tensor, turns: Tensor) -> Tensor:
    """Return waveforms [..., LENGTH] of partials [..., h, LENGTH] that start after some turns [..., h]."""
    shift = torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
    return (partials * shift[..., None]).real.sum(-2)


@register("problem", gives="picture", provides=TOLD)
def waveforms(*, noise: float = 0.01, samples: int = 0) -> Waveforms:
    """Tones of 256 samples, each given its log energies in 8 mel bands of 8 frames: no phase is told, all are right."""
    if not 0 <= noise <= 0.1:
        raise UserError(f"The problem 'waveforms' takes 0 to .1 as 'noise', got {noise}.")
    return Waveforms(noise, samples)
