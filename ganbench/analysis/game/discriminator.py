"""What the discriminator does: it stands, is flat, is turned round, wins outright, or remembers its samples."""

from __future__ import annotations

import numpy as np

from ganbench.analysis.game.course import Course, number, span, values
from ganbench.analysis.game.records import GameRule
from ganbench.analysis.verdicts.levels import held
from ganbench.analysis.verdicts.movements import swings
from ganbench.arrays import Flags, Values
from ganbench.registry import Remedy

STANDS = 1e-9
"""Of the norm of a player's weights: a change so small is none, for the last digits of float32 are 1e-7."""
HARDLY, OUTDONE = 0.01, 20.0
"""Of that norm, all ways up and down together: who has moved less than this hardly moves, where the other one has moved
so many times as much."""
SEPARATES, SEPARATED = 0.98, 0.95
"""Share of pairs of which D scores the real sample higher, where it has won, and until it has no more."""
FLAT, FLATTER = 0.1, 0.05
"""Of D's gradient at samples before it was trained, at which it tells G next to nothing: since when, and what
it has to come to."""
DEAD_FLAT, TAUGHT = 0.01, 0.5
"""Of that gradient, at which D tells nothing even if samples are good; coverage of samples that were learned from D."""
EARLY_SHARE = 0.25
"""Of the probes, within which a D that knows nothing has become flat: at an equilibrium it does so later."""


def stands(player: str, course: Course) -> Flags:
    """Where a player has not moved so far, or hardly in comparison with the other one."""
    path, other = course.path(f"{player}_weight_norm"), f"{'d' if player == 'g' else 'g'}_weight_norm"
    still = path <= STANDS
    if other in course:
        # what stands until the end has stood all the time
        still |= (path <= HARDLY) & (course.path(other) >= OUTDONE * path)
    return course.trained & bool(still[-1])


def standing(player: str, course: Course) -> str:
    """Return how little the norm of a player's weights has changed."""
    path, other = float(course.path(f"{player}_weight_norm")[-1]), "G" if player == "d" else "D"
    how = "has not changed" if path <= STANDS else f"has changed by {number(100 * path)} % in all"
    beside = f"{other.lower()}_weight_norm"
    rest = f", {other}'s by {number(100 * float(course.path(beside)[-1]))} %" if beside in course else ""
    return f"The norm of {player.upper()}'s weights, {number(course.last(f'{player}_weight_norm'))}, {how}{rest}."


D_STANDS = GameRule(
    name="D is not moving",
    meaning="the discriminator's weights stay as they are",
    reads=("d_weight_norm",),
    holds=lambda course: stands("d", course),
    evidence=lambda course, place: standing("d", course),
    causes=(
        "its learning rate is 0 or orders too small", "its optimizer holds other parameters or its step is never taken",
        "its gradients are cleared between backward and step", "its parameters do not require gradients",
    ),
    remedy=Remedy(
        "Compare a weight of D before and after its step; begin with a rate within a factor of ten of G's.",
        "Radford et al. 2016; Heusel et al. 2017",
    ),
    shown="problem=ring8 optimizer.adam.d_lr=0",
    lasting=3,
)  # fmt: skip


def _swapped(course: Course) -> Flags:
    wrong = course.at_most(course["d_ranking"], 0.1, 0.2)
    return wrong & (course["d_loss"] < 0.7 * max(course.early("d_loss"), 1e-12)) if "d_loss" in course else wrong


SWAPPED = GameRule(
    name="labels look swapped",
    meaning="the discriminator scores fakes above real samples, and takes that for right",
    reads=("d_ranking", "d_loss"),
    holds=_swapped,
    evidence=lambda course, place: (
        f"D scores a real sample above a fake in {100 * course.last('d_ranking'):.0f} % of pairs, and its loss falls "
        f"to {number(course.last('d_loss'))} all the same."
    ),
    causes=(
        "targets of 1 for fakes and 0 for real samples", "a sign turned round in D's loss",
        "real and fake batches in each other's place",
    ),
    remedy=Remedy("D's loss has to fall as real logits rise: check targets and signs of both players.",
                  "Goodfellow et al. 2014"),
    shown="problem=ring8 loss=wasserstein optimizer.adam.g_lr=0.1",
    lasting=3,
)  # fmt: skip


def _slope(course: Course) -> Values:
    """The larger of D's gradients at real and fake samples, over that before training."""
    names = ("d_input_gradient_real", "d_input_gradient_fake")
    first = max(course.start(name) for name in names)
    return np.maximum(*(course[name] for name in names)) / max(first, np.finfo(float).tiny)


def _flat(course: Course) -> Flags:
    slope = _slope(course)
    flat = course.at_most(slope, FLAT, 1.5 * FLAT)
    if "coverage" in course:
        # weights clipped as published make D flat too, and G learns from it
        flat &= (slope <= DEAD_FLAT) | (course["coverage"] < TAUGHT)
    early = np.flatnonzero(course.trained)[: max(3, round(EARLY_SHARE * len(course)))]
    return flat & bool(flat[early].any() and slope[-1] <= FLATTER)


FLAT_D = GameRule(
    name="D knows nothing",
    meaning="the discriminator is as good as constant: it tells the generator nothing",
    reads=("d_input_gradient_real", "d_input_gradient_fake"),
    holds=_flat,
    evidence=lambda course, place: (
        f"At its samples D is {number(float(_slope(course)[-1]))} times as steep as before training: its gradient is "
        f"{number(course.last('d_input_gradient_real'))} at real samples and "
        f"{number(course.last('d_input_gradient_fake'))} at fakes"
        + (f", its logits are {number(course.last('logit_margin'))} apart." if "logit_margin" in course else ".")
    ),
    causes=(
        "weights clipped to next to nothing", "a penalty on D's gradient or weights orders too large",
        "dead units, or a sigmoid that is saturated", "a learning rate that has destroyed D",
    ),
    remedy=Remedy(
        "Take the bound on D away and see whether it learns to tell real from fake; then a penalty of a published size "
        "(R1 gamma 0.1 to 10, gradient penalty 10, clip 0.01).",
        "Arjovsky et al. 2017; Gulrajani et al. 2017; Mescheder et al. 2018",
    ),
    shown="problem=ring8 loss=wasserstein regularizer=weight_clipping regularizer.weight_clipping.clip=1e-4",
)  # fmt: skip


DEAD_D = GameRule(
    name="D's units are dead",
    meaning="nearly all rectified units of the discriminator are off for every fake",
    reads=("d_dead_units",),
    holds=lambda course: course.at_least(course["d_dead_units"], 0.9, 0.8),
    evidence=lambda course, place: f"{100 * course.last('d_dead_units'):.0f} % of D's units answer to no fake.",
    causes=("a learning rate that is too large", "inputs far outside of the range that D was made for"),
    remedy=Remedy("A lower rate for D, leaky rectifiers, inputs scaled to about unit size.", "Radford et al. 2016"),
    shown="problem=ring8 optimizer.adam.d_lr=0.1",
)


def _separates(course: Course) -> Flags:
    wins = course.at_least(course["d_ranking"], SEPARATES, SEPARATED)
    loses = np.zeros(len(course), dtype=bool)
    if "saturation" in course:
        loses |= course.at_least(course["saturation"], 0.5, 0.4)
    if "g_loss" in course:
        # against G's loss before D had learned anything, or at the first probe that a loop tells it at
        first = course["g_loss"][np.isfinite(course["g_loss"])][:1]
        grown, size = course["g_loss"] - (first[0] if len(first) else np.nan), max(course.start("g_loss"), 1.0)
        loses |= course.at_least(grown, size, 0.5 * size)
    return wins & loses


SEPARATING = GameRule(
    name="D separates perfectly",
    meaning="the discriminator tells nearly every fake from real samples, and the generator loses ground",
    reads=("d_ranking",),
    holds=_separates,
    evidence=lambda course, place: (
        f"D scores the real sample higher in {100 * course.last('d_ranking'):.0f} % of pairs; now "
        f"{values(course, ('d_loss', 'g_loss', 'saturation'))}."
    ),
    causes=(
        "a discriminator that learns too fast for its generator, or is trained too often",
        "real and fake differ in something trivial: range, size, normalisation, dequantisation",
        "D has remembered a small training set",
    ),
    remedy=Remedy(
        "First check that real and fake samples have the same range; then R1 or a gradient penalty, instance noise, a "
        "lower rate or fewer steps for D, a loss that does not saturate.",
        "Arjovsky & Bottou 2017; Mescheder et al. 2018; Heusel et al. 2017",
    ),
    shown="problem=ring8 loss=minimax optimizer.adam.d_lr=0.02 critic_steps=5",
)  # fmt: skip


def _overfits(course: Course) -> Flags:
    lost = course.at_least(course["d_overfitting"], 0.5, 0.35)
    return lost & course.at_least(course["d_ranking"], 0.7, 0.6) if "d_ranking" in course else lost


OVERFITTING = GameRule(
    name="D overfits its training samples",
    meaning="the discriminator knows its training samples by heart: held-out ones score like fakes",
    reads=("d_overfitting",),
    holds=_overfits,
    evidence=lambda course, place: (
        f"Held-out real samples lose {100 * course.last('d_overfitting'):.0f} % of the margin that training samples "
        f"have over fakes."
    ),
    causes=("too few training samples for D's capacity", "training that goes on for too long"),
    remedy=Remedy("Augment what D sees, real and fake alike (adaptive, or differentiable), R1, more data, an earlier "
                  "checkpoint.", "Karras et al. 2020; Zhao et al. 2020"),
    shown="problem=digits network=dcgan steps=20000",
    lasting=3,
)  # fmt: skip


def _dead_parts(course: Course) -> list[str]:
    """The discriminators of several that cannot tell, while another one can."""
    parts = course.parts("d_ranking")
    known = {part: np.abs(course[part][course.trained][-EVEN:] - 0.5) for part in parts}
    dead = [part for part, off in known.items() if (off <= 0.02).all()]
    return dead if any((off >= 0.1).all() for off in known.values()) else []


EVEN = 3
"""Probes over which one of several discriminators is compared with the others."""

DEAD_PART = GameRule(
    name="one of several discriminators is dead",
    meaning="one of the discriminators cannot tell real from fake, while another one can",
    reads=(),
    holds=lambda course: course.trained & bool(_dead_parts(course)),
    evidence=lambda course, place: f"No telling for {values(course, _dead_parts(course))}; the others tell.",
    causes=("its loss is left out of the sum, or its optimizer misses it", "its scale holds nothing that differs"),
    remedy=Remedy("Compare the gradient norms of the discriminators, and sum their losses with equal weights.",
                  "Kong et al. 2020"),
    shown="",
    lasting=EVEN,
)  # fmt: skip


LEAPS, GROWN, OUTGROWN = 0.18, 3.0, 2.5
"""Growth of the norm of a player's weights, as times of the untrained ones and over the square root of the steps, at
which its steps are too large; how many times it has to be, and until when it is."""


def outgrown(player: str, course: Course) -> Flags:
    """Where a player's weights have become several times what they were, and within few steps.

    A good game's grow as well, threefold and more if it is long enough, about as the square root of the steps.
    """
    norm = f"{player}_weight_norm"
    grown = course[norm] / max(course.start(norm), np.finfo(float).tiny)
    leaps = (grown - 1) / np.sqrt(np.maximum(course.steps, 1)) >= LEAPS
    return held(course.trained & (grown >= GROWN) & leaps, grown >= OUTGROWN)


def growth(player: str, course: Course) -> str:
    """Return by how much a player's weights have grown."""
    norm = f"{player}_weight_norm"
    return (
        f"The norm of {player.upper()}'s weights has grown from {number(course.start(norm))} to "
        f"{number(course.last(norm))}; now {values(course, ('d_spectral_norm', 'd_input_gradient_fake', 'd_ranking'))}."
    )


D_OUTGROWN = GameRule(
    name="D's steps are too large",
    meaning="within few steps the discriminator's weights have become several times what they were",
    reads=("d_weight_norm",),
    holds=lambda course: outgrown("d", course),
    evidence=lambda course, place: growth("d", course),
    causes=("a learning rate that is too large for D", "no bound on D's slope, and G cannot follow"),
    remedy=Remedy("A lower rate for D; R1, a gradient penalty or spectral normalization keep it in bounds.",
                  "Heusel et al. 2017; Miyato et al. 2018; Mescheder et al. 2018"),
    shown="problem=ring8 optimizer.adam.d_lr=0.1",
)  # fmt: skip


SWING, SWINGS = 0.3, 3
"""Of all pairs that D ranks right, up or down again, and how often."""
FOOLED, OFTEN, OFTEN_SHARE = 0.4, 3, 0.15
"""Of all pairs, under which D is fooled; at how many probes at least, and at which share of them."""


def _swings(course: Course) -> Flags:
    ranking = course["d_ranking"][course.trained]
    turns, fooled = swings(ranking, SWING), ranking <= FOOLED
    often = int(fooled.sum()) >= max(OFTEN, OFTEN_SHARE * len(ranking))
    # a good game's D is fooled once or twice at most, and in the beginning
    on = len(turns) >= SWINGS and often and bool(fooled[len(ranking) // 2 :].any())
    first = int(np.argmax(course.trained))
    return np.arange(len(course)) >= first + turns[0] if on else np.zeros(len(course), dtype=bool)


LEAD_SWINGS = GameRule(
    name="the lead swings",
    meaning="the discriminator wins and is fooled by turns",
    reads=("d_ranking",),
    holds=_swings,
    evidence=lambda course, place: (
        f"Since then D scores the real sample higher in {100 * span(course['d_ranking'][place:])[0]:.0f} to "
        f"{100 * span(course['d_ranking'][place:])[1]:.0f} % of pairs, by turns."
    ),
    causes=("G overshoots what D has learned: a rate too large for it, or D too slow to follow",
            "a critic without a bound on its slope, or a penalty that holds it down", "no damping: momentum, no R1"),
    remedy=Remedy("Lower G's rate or raise D's, more steps for D; R1 of a published size; no momentum.",
                  "Heusel et al. 2017; Mescheder et al. 2018; Gidel et al. 2019"),
    shown="problem=ring8 loss=wasserstein regularizer=gradient_penalty regularizer.gradient_penalty.weight=1e6",
)  # fmt: skip


CLIPPED_D = GameRule(
    name="D's weights are held at next to nothing",
    meaning="the discriminator's weights are a small part of what they were before training",
    reads=("d_weight_norm",),
    holds=lambda course: course.at_most(course["d_weight_norm"] / max(course.start("d_weight_norm"), 1e-12), 0.05, 0.1),
    evidence=lambda course, place: (
        f"The norm of D's weights is {number(course.last('d_weight_norm'))}, and was "
        f"{number(course.start('d_weight_norm'))} before training."
    ),
    causes=("weights clipped to next to nothing", "weight decay, or a penalty on weights, orders too large"),
    remedy=Remedy("Clip at 0.01, the published value, or put a gradient penalty in its place.",
                  "Arjovsky et al. 2017; Gulrajani et al. 2017"),
    shown="problem=ring8 loss=wasserstein regularizer=weight_clipping regularizer.weight_clipping.clip=1e-4",
)  # fmt: skip


def _penalised(course: Course) -> Flags:
    at_target = course.at_most(np.abs(course["d_input_gradient_fake"] - 1), 0.01, 0.05)
    # a good penalty has it near 1 as well, but does not let G run away
    return at_target & outgrown("g", course)


PENALTY_RULES = GameRule(
    name="a gradient penalty rules everything",
    meaning="the discriminator does nothing but keep its gradient at the penalty's target",
    reads=("d_input_gradient_fake", "g_weight_norm"),
    holds=_penalised,
    evidence=lambda course, place: (
        f"D's gradient at fakes is {number(course.last('d_input_gradient_fake'))}, and within 5 % of 1 ever since; "
        f"{values(course, ('d_ranking', 'fake_logit', 'g_gradient_norm'))}."
    ),
    causes=("a penalty weight orders too large", "a penalty that is summed over the batch instead of averaged"),
    remedy=Remedy("A weight of 10, the published one; then half and twice of it.", "Gulrajani et al. 2017"),
    shown="problem=ring8 loss=wasserstein regularizer=gradient_penalty regularizer.gradient_penalty.weight=1e6",
    lasting=5,
)  # fmt: skip
