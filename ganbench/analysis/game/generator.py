"""What the generator does: it stands, has no gradient, or makes samples that no longer answer to it."""

from __future__ import annotations

import numpy as np

from ganbench.analysis.game.course import Course, number, span, values
from ganbench.analysis.game.discriminator import STANDS, growth, outgrown, standing, stands
from ganbench.analysis.game.records import GameRule
from ganbench.arrays import Flags
from ganbench.registry import Remedy

ABSENT = 1e-7
"""Norm of G's gradient that moves no weight of float32."""
GONE = 1e-3
"""Norm of G's gradient against its early size, at which it has vanished."""

WIDENED = 2.0
"""How many times as far apart as before training samples are, of a generator that must have moved."""


def _widened(course: Course) -> bool:
    """Tell whether samples have come apart, as where weights turn and their norm hardly changes."""
    if "sample_spread" not in course or course.path("g_weight_norm")[-1] <= STANDS:
        return False
    return course.last("sample_spread") > WIDENED * course.start("sample_spread") > 0


G_STANDS = GameRule(
    name="G is not moving",
    meaning="the generator's weights stay as they are",
    reads=("g_weight_norm",),
    holds=lambda course: stands("g", course) & (not _widened(course)),
    evidence=lambda course, place: standing("g", course),
    causes=(
        "its learning rate is 0 or orders too small", "its optimizer holds other parameters or its step is never taken",
        "fakes are detached in G's own loss", "its gradients are cleared between backward and step",
    ),
    remedy=Remedy(
        "Compare a weight of G before and after its step; fakes are detached for D's loss only; begin with a rate "
        "within a factor of ten of D's.", "Radford et al. 2016; Heusel et al. 2017",
    ),
    shown="problem=ring8 optimizer.adam.g_lr=0",
    lasting=3,
)  # fmt: skip


def _stopped(course: Course) -> Flags:
    norm = course["g_weight_norm"]
    change = np.abs(np.diff(norm, prepend=np.nan)) / np.maximum(np.abs(norm), np.finfo(float).tiny)
    moved = bool(course.path("g_weight_norm")[-1] > 0.05)
    return course.at_most(np.where(np.isnan(change), np.inf, change), STOPPED, 3 * STOPPED) & moved


STOPPED = 1e-4
"""Relative change of the norm of G's weights between probes, at which it no longer moves."""

G_STOPPED = GameRule(
    name="G has stopped moving",
    meaning="the generator's weights no longer change, though they once did",
    reads=("g_weight_norm",),
    holds=_stopped,
    evidence=lambda course, place: (
        f"The norm of G's weights is {number(course.last('g_weight_norm'))} since step {int(course.steps[place])}, and "
        f"was {number(course.start('g_weight_norm'))} before training; "
        f"{values(course, ('g_gradient_norm', 'g_dead_units', 'saturation'))}."
    ),
    causes=("a learning rate that has destroyed it: dead units, one point for every latent",
            "a gradient that no longer reaches it", "a learning rate that has decayed to nothing"),
    remedy=Remedy("A lower rate for G; look at the samples at the onset, and whether its gradient is gone.",
                  "Radford et al. 2016; Heusel et al. 2017"),
    shown="problem=ring8 optimizer.adam.g_lr=0.1",
    lasting=3,
)  # fmt: skip

G_OUTGROWN = GameRule(
    name="G's steps are too large",
    meaning="within few steps the generator's weights have become several times what they were",
    reads=("g_weight_norm",),
    holds=lambda course: outgrown("g", course),
    evidence=lambda course, place: growth("g", course),
    causes=("a learning rate that is too large for G", "a discriminator that gives it no direction to stay in"),
    remedy=Remedy("A lower rate for G; then see whether D learns anything.", "Heusel et al. 2017"),
    shown="problem=ring8 loss=wasserstein regularizer=gradient_penalty regularizer.gradient_penalty.weight=1e6",
)


def _finite(course: Course, name: str) -> Flags:
    return np.isfinite(course[name])


def _absent(course: Course) -> Flags:
    norm = course["g_gradient_norm"]
    never = (norm[course.trained & _finite(course, "g_gradient_norm")] <= 10 * ABSENT).all()
    return course.at_most(norm, ABSENT, 10 * ABSENT) & bool(never)


NO_GRADIENT = GameRule(
    name="G never had a gradient",
    meaning="the generator's gradient is next to nothing from the first step on",
    reads=("g_gradient_norm",),
    holds=_absent,
    evidence=lambda course, place: (
        f"The norm of G's gradient is {number(course.last('g_gradient_norm'))}, and was never above "
        f"{number(span(course['g_gradient_norm'][course.trained])[1])}."
    ),
    causes=("fakes are detached in G's own loss", "D is constant, or saturated from the start",
            "G's parameters do not require gradients, or the forward pass runs without them"),
    remedy=Remedy("Follow one fake from G's output through D to the loss: every step has to require gradients; then a "
                  "loss that does not saturate.", "Goodfellow et al. 2014; Arjovsky & Bottou 2017"),
    shown="problem=ring8 loss=minimax optimizer.adam.d_lr=0.1 optimizer.adam.g_lr=2e-5",
)  # fmt: skip


def _gone(course: Course) -> Flags:
    norm, early = course["g_gradient_norm"], course.early("g_gradient_norm")
    gone = course.at_most(norm, GONE * early, 3 * GONE * early) & bool(early > 10 * ABSENT)
    # at an equilibrium there is no gradient either: gone is what goes while D wins
    ahead = course.at_least(course["d_ranking"], 0.9, 0.8) if "d_ranking" in course else np.ones(len(norm), bool)
    return gone & ahead


VANISHING = GameRule(
    name="G's gradient vanishes",
    meaning="the generator's gradient goes to nothing while the discriminator wins",
    reads=("g_gradient_norm",),
    holds=_gone,
    evidence=lambda course, place: (
        f"The norm of G's gradient is {number(course.last('g_gradient_norm'))}, after "
        f"{number(course.early('g_gradient_norm'))} early on; {values(course, ('d_ranking', 'saturation'))}."
    ),
    causes=("a loss that saturates where D is sure", "a discriminator far ahead of its generator"),
    remedy=Remedy("A loss that does not saturate (nonsaturating, hinge, relativistic), a gradient penalty or instance "
                  "noise, a lower rate for D.", "Goodfellow et al. 2014; Arjovsky & Bottou 2017"),
    shown="problem=ring8 loss=minimax optimizer.adam.d_lr=0.02 critic_steps=5",
)  # fmt: skip

SATURATED = GameRule(
    name="G's loss is saturated",
    meaning="nearly all fakes lie where the generator's loss is flat",
    reads=("saturation",),
    holds=lambda course: course.at_least(course["saturation"], 0.9, 0.8),
    evidence=lambda course, place: (
        f"{100 * course.last('saturation'):.0f} % of fakes send back under 1 % of the derivative where D is undecided."
    ),
    causes=("a loss that saturates where D is sure", "a discriminator far ahead of its generator"),
    remedy=VANISHING.remedy,
    shown=VANISHING.shown,
)

PINNED = GameRule(
    name="G's outputs are pinned",
    meaning="nearly all outputs of the generator sit at the bound of its tanh",
    reads=("output_saturation",),
    holds=lambda course: course.at_least(course["output_saturation"], 0.9, 0.8),
    evidence=lambda course, place: (
        f"{100 * course.last('output_saturation'):.0f} % of G's outputs are within 1 % of the bound of its tanh."
    ),
    causes=("a generator that diverges behind its tanh", "real samples outside of [-1, 1]"),
    remedy=Remedy("Scale real samples to [-1, 1]; a lower rate for G, no weight decay towards large outputs.",
                  "Radford et al. 2016"),
    shown="problem=digits network=dcgan optimizer.adam.g_lr=0.2",
)  # fmt: skip

DEAD_G = GameRule(
    name="G's units are dead",
    meaning="nearly all rectified units of the generator are off for every latent",
    reads=("g_dead_units",),
    holds=lambda course: course.at_least(course["g_dead_units"], 0.9, 0.8),
    evidence=lambda course, place: f"{100 * course.last('g_dead_units'):.0f} % of G's units answer to no latent.",
    causes=("a learning rate that is too large",),
    remedy=Remedy("A lower rate for G, leaky rectifiers.", "Radford et al. 2016"),
    shown="problem=ring8 optimizer.adam.g_lr=0.1",
)
