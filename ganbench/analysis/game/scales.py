"""What grows out of all scale, or stands where it began: losses, logits, gradients, spectral norms, other terms."""

from __future__ import annotations

import math

import numpy as np

from ganbench.analysis.game.course import Course, number, span, values
from ganbench.analysis.game.records import GameRule
from ganbench.arrays import Flags, Values
from ganbench.registry import Remedy

TIMES = 100.0
"""How many times its first size something is that explodes."""
LOG_TWO = math.log(2)
STUCK = 0.005
"""How near to the loss of a D that always says one half a loss is that is stuck there."""


def _sizes(course: Course, *names: str) -> Values:
    """Return the largest of some columns over their first sizes, or over 1 where that was less [probes]."""
    known = [name for name in names if name in course]
    return np.max([np.abs(course[name]) / max(course.start(name), 1.0) for name in known], axis=0)


BALANCED, BALANCE = 0.15, 3
"""How far from one half the share of pairs is at most that D ranks right, at the last probes, where nobody is ahead."""


def _runs_away(course: Course, times: float, *names: str) -> Flags:
    """Where the largest of some columns is so many times its first size, and it is not only D's scale that has grown.

    A critic without a bound on its slope may grow for ever and be as good as before: all is in its scale then.
    """
    away = course.at_least(_sizes(course, *names), times, times / 3)
    if "d_ranking" not in course or not any(name in course for name in LOGITS):
        return away
    ahead = np.abs(course["d_ranking"][course.trained][-BALANCE:] - 0.5)
    scale = 10 <= _sizes(course, *LOGITS)[-1] < np.inf
    return away & ~(scale & bool((ahead <= BALANCED).all()))


def _grown(course: Course, *names: str) -> str:
    """Return the column that has grown most, with its first and its last size."""
    known = [name for name in names if name in course]
    name = max(known, key=lambda one: abs(course.last(one)) / max(course.start(one), 1.0))
    text = f"{name.replace('_', ' ')} is {number(course.last(name))}, after {number(course.start(name))} at first"
    return f"{text[:1].upper()}{text[1:]}"


NORMS, LOGITS = ("g_gradient_norm", "d_gradient_norm"), ("real_logit", "fake_logit")
LOSSES = ("d_loss", "g_loss")
LOWER = Remedy(
    "Lower both rates, bound D (spectral normalization, gradient penalty), clip gradients while you look for the step "
    "before.", "Miyato et al. 2018; Gulrajani et al. 2017; Brock et al. 2019",
)  # fmt: skip
CAUSES = ("a learning rate that is too large", "a discriminator without a bound on its slope", "half precision")

EXPLODING = GameRule(
    name="gradients explode",
    meaning="a player's gradient is orders larger than it was",
    reads=("g_gradient_norm",),
    holds=lambda course: _runs_away(course, TIMES, *NORMS),
    evidence=lambda course, place: f"{_grown(course, *NORMS)}.",
    causes=CAUSES,
    remedy=LOWER,
    shown="problem=ring8 optimizer.adam.d_lr=0.1",
)

RUNAWAY = GameRule(
    name="logits run away",
    meaning="the discriminator's scores leave all scale",
    reads=LOGITS,
    holds=lambda course: _runs_away(course, TIMES, *LOGITS),
    evidence=lambda course, place: f"{_grown(course, *LOGITS)}; {values(course, ('d_ranking', 'd_spectral_norm'))}.",
    causes=("a discriminator without a bound on its slope", "a loss without one either, as Wasserstein's",
            "a learning rate that is too large"),
    remedy=Remedy("A gradient penalty, spectral normalization or R1; a small penalty on the logits themselves; a lower "
                  "rate for D.", "Gulrajani et al. 2017; Karras et al. 2018; Miyato et al. 2018"),
    shown="problem=ring8 loss=wasserstein",
)  # fmt: skip

LOSSES_EXPLODE = GameRule(
    name="losses explode",
    meaning="a player's loss is orders larger than it was",
    reads=LOSSES,
    holds=lambda course: _runs_away(course, TIMES, *LOSSES),
    evidence=lambda course, place: f"{_grown(course, *LOSSES)}.",
    causes=CAUSES,
    remedy=LOWER,
    shown="problem=ring8 loss=wasserstein",
)

SPECTRAL = GameRule(
    name="a spectral norm runs away",
    meaning="a layer of the discriminator stretches what passes it more and more",
    reads=("d_spectral_norm",),
    holds=lambda course: _runs_away(course, 10.0, "d_spectral_norm"),
    evidence=lambda course, place: f"{_grown(course, 'd_spectral_norm')}.",
    causes=("a discriminator without a bound on its slope", "a learning rate that is too large"),
    remedy=Remedy("Spectral normalization, R1 or a gradient penalty; watch the layer that is named first.",
                  "Miyato et al. 2018; Brock et al. 2019"),
    shown="problem=ring8 optimizer.adam.d_lr=0.1",
)  # fmt: skip


def _stuck(course: Course) -> Flags:
    d, g = course["d_loss"], course["g_loss"]
    off = np.minimum(np.abs(d - 2 * LOG_TWO), np.abs(d - LOG_TWO)) + np.abs(np.abs(g) - LOG_TWO)
    still = course.at_most(off, STUCK, 2 * STUCK)
    if "d_ranking" in course:
        # a D with a bound on its slope has such losses too, and ranks right all the same
        still &= np.abs(course["d_ranking"] - 0.5) <= 0.1
    # near its end a good game is there too: what is stuck has always been
    return still & bool(still[course.trained][: max(1, int(course.trained.sum()) // 2)].all())


STUCK_LOSSES = GameRule(
    name="losses are stuck",
    meaning="both losses stay at what a discriminator has that always says one half",
    reads=LOSSES,
    holds=_stuck,
    evidence=lambda course, place: (
        f"Always {values(course, LOSSES)}; log 2 is 0.693 and log 4 is 1.39, those of a D that cannot tell."
    ),
    causes=("D cannot learn: dead units, a rate of 0, a penalty or clipping that holds it",
            "a sigmoid applied twice", "real and fake batches that are the same"),
    remedy=Remedy("Train D alone against a G that stands: its loss has to fall within a few hundred steps.",
                  "Radford et al. 2016"),
    shown="problem=ring8 optimizer.adam.d_lr=0",
    lasting=3,
)  # fmt: skip


def _rotates(course: Course) -> Flags:
    size = np.maximum(course["game_eig_max_abs"], 1e-12)
    turns, pull = course["game_eig_max_imag"] / size, course["game_eig_min_real"] / size
    return course.at_least(turns, 0.9, 0.8) & course.at_most(pull, 0.05, 0.1)


ROTATES = GameRule(
    name="the game rotates",
    meaning="the players turn about each other instead of coming nearer",
    reads=("game_eig_max_imag", "game_eig_max_abs", "game_eig_min_real"),
    holds=_rotates,
    evidence=lambda course, place: (
        f"Of the game Jacobian's eigenvalues the largest imaginary part is {number(course.last('game_eig_max_imag'))} "
        f"of a modulus of {number(course.last('game_eig_max_abs'))}, the smallest real part "
        f"{number(course.last('game_eig_min_real'))}."
    ),
    causes=("a zero-sum game without damping", "momentum"),
    remedy=Remedy("R1 or instance noise, no or negative momentum, alternating, optimistic or extragradient updates.",
                  "Mescheder et al. 2018; Gidel et al. 2019; Daskalakis et al. 2018"),
    shown="suite=theory problem=dirac regularizer=none",
)  # fmt: skip


# ------------------------------------------------------------------------------------------ what loops report


WORSE, STILL_WORSE = 1.3, 1.15
"""Times the least error of reconstruction before the adversarial term began, at which it is lost, and until when."""
RECONSTRUCTIONS = ("rec", "recon", "l1", "mse", "mel", "nll")
WEIGHTS, MATCHED = ("adaptive_weight", "d_weight_adaptive", "disc_weight"), ("feature_match", "fm_loss", "feat")


def _first(course: Course, *starts: str) -> str:
    return next(iter(course.like(*starts)), "")


def _reconstruction(course: Course) -> str:
    """Return the error of reconstruction: of held-out samples where it is measured, or what a loop reports."""
    return "reconstruction_error" if "reconstruction_error" in course else _first(course, *RECONSTRUCTIONS)


def _began(course: Course) -> Flags:
    """Where the adversarial term has counted so far, by G's loss, or by its weight where that is measured alone."""
    name = next((name for name in ("g_loss", "adversarial_weight") if name in course), None)
    return np.logical_or.accumulate(np.abs(course[name]) > 0) if name else np.zeros(len(course), dtype=bool)


def _least_before(course: Course) -> float:
    """Return the least error of reconstruction before the adversarial term began, NaN where there was no before."""
    return span(course[_reconstruction(course)][course.trained & ~_began(course)])[0]


def _ruined(course: Course) -> Flags:
    name, began = _reconstruction(course), _began(course)
    if not name or not began.any():
        return np.zeros(len(course), dtype=bool)
    least = _least_before(course)
    return course.at_least(course[name], WORSE * least, STILL_WORSE * least) & began


RUINED = GameRule(
    name="reconstruction gets worse since the adversarial term began",
    meaning="what the generator had learned to reconstruct is lost since the discriminator takes part",
    reads=(),
    holds=_ruined,
    evidence=lambda course, place: (
        f"{_reconstruction(course).replace('_', ' ')} is {number(course.last(_reconstruction(course)))} and was "
        f"{number(_least_before(course))} before."
    ),
    causes=("the adversarial weight is too large", "D starts unprepared, or far ahead"),
    remedy=Remedy("A smaller or adaptive weight, capped; let D learn alone for a while before G hears it; start later.",
                  "Esser et al. 2021"),
    shown="",
)  # fmt: skip


def _weight(course: Course) -> Flags:
    name = _first(course, *WEIGHTS)
    empty = np.zeros(len(course), dtype=bool)
    return course.at_least(_sizes(course, name), TIMES, TIMES / 3) if name else empty


WEIGHT = GameRule(
    name="an adaptive weight runs away",
    meaning="the weight of the adversarial term leaves all scale",
    reads=(),
    holds=_weight,
    evidence=lambda course, place: f"{_grown(course, _first(course, *WEIGHTS))}.",
    causes=("D's gradient at the last layer is next to nothing, and the weight divides by it",),
    remedy=Remedy("Cap the weight (1e4 is the published cap, far too large for most), and find out why D is silent.",
                  "Esser et al. 2021"),
    shown="",
)  # fmt: skip


def _matching(course: Course) -> Flags:
    name = _first(course, *MATCHED)
    if not name:
        return np.zeros(len(course), dtype=bool)
    return course.at_least(np.abs(course[name]) / np.maximum(np.abs(course["g_loss"]), 1e-12), 10.0, 5.0)


MATCHING = GameRule(
    name="feature matching dominates",
    meaning="the generator follows the features and hardly the discriminator's scores",
    reads=("g_loss",),
    holds=_matching,
    evidence=lambda course, place: (
        f"{_first(course, *MATCHED)} is {number(course.last(_first(course, *MATCHED)))}, ten times and more "
        f"{values(course, ('g_loss',))}."
    ),
    causes=("a weight of feature matching made for features of another size",),
    remedy=Remedy("Weigh the terms by their gradients' norms at G's last layer; feature matching of 2 beside a "
                  "spectrogram term of 45 is published for one vocoder.", "Kong et al. 2020"),
    shown="",
)  # fmt: skip
