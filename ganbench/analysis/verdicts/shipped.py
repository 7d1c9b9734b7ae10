"""The verdicts that are shipped, one record each, from best to worst.

A record is all that is known of a verdict: its function tells whether it holds, the first line of the docstring what it
means, the decorator the rest. Remedies are a place to start, not a promise.
"""

from __future__ import annotations

import numpy as np

from ganbench.analysis.verdicts import wording
from ganbench.analysis.verdicts.case import Case, Ended, Held
from ganbench.analysis.verdicts.levels import since
from ganbench.arrays import Flags
from ganbench.registry import Remedy, Threshold, register


@register(
    "verdict", failure=False, rank=100, symbol="✓", evidence=wording.what_it_has,
    thresholds={
        "quality_bar": Threshold(0.85, "share of the oracle's quality: one sample in seven may lie between the modes"),
        "precision_bar": Threshold(
            0.75, "the same for precision, whose k-NN balls are noisier and stricter than a mode's radius"
        ),
        "diversity_bar": Threshold(0.5, "share of the oracle's coverage and recall that a converged run has"),
        "label_bar": Threshold(0.75, "of the oracle's fidelity to labels, beyond chance, where labels are given"),
    },
    scripts=("perfect", "learns"),
)  # fmt: skip
def converged(case: Case) -> Flags:
    """Covers every mode, up to chance, at the quality bar when training ends, and stays there."""
    return case.good & ~case.uneven & ~case.tight & ~case.replayed


@register(
    "verdict", failure=False, rank=98, symbol="W", evidence=wording.of_its_shape,
    remedy=Remedy(
        "Train longer, or weigh less what D prefers: R1, larger batches, an average of the generator's weights. Where "
        "the data's own classes are uneven, compare with their true weights first.",
        "Mescheder et al. 2018; Yazici et al. 2019",
    ),
    thresholds={
        "uneven": Threshold(
            0.06, "nats of the histogram's divergence beyond the oracle's: one of eight modes with a quarter of all"
        ),
    },
    scripts=("prefers a mode",),
)  # fmt: skip
def wrong_weights(case: Case) -> Flags:
    """Has good samples of every mode, but some modes far more often than the data."""
    return case.good & case.uneven


@register(
    "verdict", failure=False, rank=96, symbol="P", evidence=wording.of_its_shape,
    remedy=Remedy(
        "Let the discriminator see variety: packing or minibatch statistics; a milder penalty or instance noise until "
        "the modes are as wide as the data's; no truncated latents when samples are judged.",
        "Lin et al. 2018; Salimans et al. 2016; Brock et al. 2019",
    ),
    thresholds={
        "tight": Threshold(0.6, "of the oracle's width of modes: samples keep to the inner third of each mode's mass"),
    },
    scripts=("narrows its modes",),
)  # fmt: skip
def too_tight(case: Case) -> Flags:
    """Has good samples of every mode, but keeps far closer to the modes' centres than the data."""
    return case.good & case.tight


@register(
    "verdict", failure=True, rank=78, symbol="M", evidence=wording.of_its_shape,
    remedy=Remedy(
        "The generator replays samples: check that its latents are drawn anew, then give it more data or augmentation, "
        "and less capacity to remember.",
        "Karras et al. 2020; Arora & Zhang 2018",
    ),
    thresholds={
        "replayed": Threshold(
            0.5, "of the samples are the same as others: a continuous latent gives the same sample to nobody twice"
        ),
    },
    scripts=("replays samples",),
)  # fmt: skip
def copies(case: Case) -> Flags:
    """Makes decent samples, but the same ones again and again: it replays a few, as of the training set."""
    return case.decent & case.learned & case.replayed & ~case.narrow


@register(
    "verdict", failure=False, undecided=True, rank=105, symbol="T", evidence=wording.how_it_rises,
    remedy=Remedy("Train longer before anything else is changed: what comes out is not known.", "Lucic et al. 2018"),
    thresholds={
        "rise": Threshold(
            0.1, "of the oracle's quality gained over the last quarter: four deviations between probes of 1000 samples"
        ),
    },
    scripts=("learns slowly",),
)  # fmt: skip
def too_short(case: Case) -> Held | None:
    """Is below the quality bar, and its quality still rises when training ends: more steps would tell."""
    if case.good[-1] or not case.still_rising:
        return None
    return Held(int(case.steps[np.searchsorted(case.steps, 0.75 * case.steps[-1], side="right") - 1]))


@register(
    "verdict", acts_on="run", failure=False, rank=110, symbol="~", evidence=wording.what_it_lacks,
    remedy=Remedy("Train longer, or average the generator's weights over steps.", "Yazici et al. 2019"),
    scripts=("leaks",),
)  # fmt: skip
def unconverged(ended: Ended) -> Held | None:
    """Has learned every mode, up to chance, but is below the quality bar; no failure has a name for it."""
    case = ended.case
    if case is None:
        return Held()
    return None if case.good[-1] or case.still_rising else Held(since(case.learned & case.decent, case.steps))


MODES = Remedy(
    "Penalise the discriminator's gradient at real samples (R1, gamma 0.1 to 10), or both sides with a relativistic "
    "loss; show the discriminator several samples at once (packing, minibatch statistics); larger batches.",
    "Mescheder et al. 2018; Huang et al. 2024; Lin et al. 2018; Salimans et al. 2016",
)


@register(
    "verdict", failure=True, rank=80, symbol="D", evidence=wording.where_it_ended, remedy=MODES,
    thresholds={
        "few_diversity": Threshold(0.25, "a quarter of the oracle's diversity, where a problem has no modes to count"),
        "held": Threshold(
            0.25, "of a mode's true share, for it to be held at a probe: the same quota as modes_covered"
        ),
        "chance": Threshold(
            0.999,
            "of the probes of a generator with all modes miss no more of them than are tolerated (binomial counts)",
        ),
        "missed": Threshold(
            5, "probes in a row without a mode: no chance, even where one probe has too few samples to tell"
        ),
    },
    scripts=("drops modes", "loses one mode"),
)  # fmt: skip
def dropping_modes(case: Case) -> Flags:
    """Makes good samples, but leaves out some of the modes."""
    return case.dropping


@register(
    "verdict", failure=True, rank=75, symbol="I", evidence=wording.where_it_ended,
    remedy=Remedy(
        "Let the discriminator see the label as strongly as the generator does (a projection onto its embedding), and "
        "check that real and fake samples come with the labels they were drawn and made for.",
        "Miyato & Koyama 2018; Mirza & Osindero 2014",
    ),
    thresholds={
        "ignored": Threshold(
            0.25, "of the oracle's fidelity to labels, beyond chance, at the modes it has: three in four ignore theirs"
        ),
    },
    scripts=("ignores labels", "forgets labels"),
)  # fmt: skip
def ignoring_labels(case: Case) -> Flags:
    """Makes good samples, but hardly more often than by chance of the class that its label asks for."""
    return case.disobedient


@register(
    "verdict", failure=True, rank=60, symbol="L", evidence=wording.what_it_lost,
    remedy=Remedy(
        "Keep checkpoints and stop before the onset; a discriminator that overfits needs augmentation, R1 or more "
        "data, one that outgrows the generator a lower learning rate.",
        "Brock et al. 2019; Karras et al. 2020; Mescheder et al. 2018",
    ),
    thresholds={
        "most_modes": Threshold(0.75, "three quarters of the modes, or of the diversity: a run with them had covered"),
        "lost": Threshold(0.5, "half of the best: a run that covered and keeps no more than this has collapsed late"),
    },
    scripts=("collapses late",),
)  # fmt: skip
def late_collapse(case: Case) -> Flags:
    """Had covered most of the modes or of the diversity, and keeps at most half of them."""
    return case.lost


@register(
    "verdict", failure=True, rank=70, symbol="C", evidence=wording.what_is_left, remedy=MODES,
    thresholds={
        "no_diversity": Threshold(0.1, "a tenth of the oracle's coverage or recall: what one mode in ten would give"),
        "few_modes": Threshold(0.25, "a quarter of the modes: fewer is a collapse, more is modes being dropped"),
        "no_spread": Threshold(
            0.001, "of the reals' spread among themselves: samples that differ less are one, good or not"
        ),
        "little_spread": Threshold(
            0.05, "the same where samples once differed more: an untrained generator's may differ by a fiftieth"
        ),
        "spread_lost": Threshold(0.25, "of the highest spread before: so much is left where it has collapsed"),
    },
    scripts=("few modes", "one mode", "one point"),
)  # fmt: skip
def collapsed(case: Case) -> Flags:
    """Puts its samples on at most a quarter of the modes, on almost none of the data's diversity, or on one point."""
    return case.narrow


@register(
    "verdict", failure=True, rank=50, symbol="O", evidence=wording.oscillation,
    remedy=Remedy(
        "The game turns around its equilibrium: R1 or instance noise, no or negative momentum (beta1 of Adam at 0), "
        "lower learning rates, an optimistic or extragradient update; an average of the generator's weights hides it.",
        "Mescheder et al. 2018; Gidel et al. 2019; Daskalakis et al. 2018; Yazici et al. 2019",
    ),
    thresholds={
        "swing": Threshold(
            0.3, "of the oracle's quality or modes, up or down: ten standard deviations of one probe of 250 samples"
        ),
        "swings": Threshold(
            4, "falls and rises after the first peak: down and up, twice, for once could be an accident"
        ),
    },
    scripts=("swings in modes", "swings in quality", "swings between two sets"),
)  # fmt: skip
def oscillating(case: Case) -> Held | None:
    """Quality or coverage swings down and up again and again, or between two sets of modes."""
    movement = case.moving[0] if case.moving and case.moving[1] else case.swinging()
    return None if movement is None else Held(int(case.steps[movement.start]), movement)


@register(
    "verdict", failure=True, rank=40, symbol="R", evidence=wording.rotation,
    remedy=Remedy(
        "The generator runs from mode to mode ahead of the discriminator: R1, an unrolled or more often trained "
        "discriminator, packing, no momentum.",
        "Metz et al. 2017; Mescheder et al. 2018; Lin et al. 2018",
    ),
    thresholds={
        "rotation": Threshold(
            0.25,
            "of all modes (or as many as it holds) that the union over time adds to any single probe: no borderline",
        ),
        "moves": Threshold(
            3, "changes of the modes held, for a rotation: one could be a jump, and two a jump and back"
        ),
        "visible": Threshold(
            0.2, "of the oracle's quality: with fewer good samples their modes are a matter of chance"
        ),
        "same_histogram": Threshold(
            0.35, "of the samples on other modes make another set: uneven weights and chance move about a quarter"
        ),
    },
    scripts=("rotates slowly", "rotates fast"),
)  # fmt: skip
def rotating(case: Case) -> Held | None:
    """Holds few modes at a time, and other ones later: over time many more than at any single probe."""
    if case.moving is None or case.moving[1]:
        return None
    movement = case.moving[0]
    return Held(int(case.steps[movement.start]), movement)


@register(
    "verdict", failure=True, rank=90, symbol="G", evidence=wording.where_it_ended,
    remedy=Remedy(
        "Compare the best probe with the last: decay the learning rates, add R1, keep the best checkpoint or an "
        "average of weights.",
        "Mescheder et al. 2018; Yazici et al. 2019",
    ),
    scripts=("modes widen", "noise grows", "leaks badly"),
)  # fmt: skip
def degraded(case: Case) -> Flags:
    """Had learned, and ends below half of the oracle's quality."""
    return case.degraded


@register(
    "verdict", failure=True, rank=20, symbol="V", evidence=wording.gradient,
    remedy=Remedy(
        "The discriminator has won: a loss that does not saturate (nonsaturating, hinge, relativistic), a gradient "
        "penalty or instance noise, fewer discriminator steps or a lower rate for it.",
        "Goodfellow et al. 2014; Arjovsky & Bottou 2017; Mescheder et al. 2018",
    ),
    thresholds={
        "saturated": Threshold(
            0.95, "share of samples that send back under 1 % of the derivative where D is undecided"
        ),
        "gradient_gone": Threshold(
            1e-3, "generator gradient norm against its largest value in the first three probes"
        ),
        "no_gradient": Threshold(1e-7, "generator gradient norm that moves no weight, whatever it was before"),
    },
    scripts=("vanishes",),
)  # fmt: skip
def vanished(case: Case) -> Flags:
    """Bad samples, and a generator gradient that is gone: it cannot recover."""
    return case.vanished


@register(
    "verdict", failure=True, rank=30, symbol="N", evidence=wording.where_it_ended,
    remedy=Remedy(
        "First the plumbing: data scaled as the generator's output, signs of the losses, learning rates within a "
        "factor of ten of a published recipe, no batch normalization in a discriminator with small batches. Then "
        "capacity.",
        "Radford et al. 2016; Gulrajani et al. 2017",
    ),
    thresholds={
        "decent": Threshold(
            0.5, "half of the oracle's quality: most samples are recognisable, so something was learned"
        ),
        "margin": Threshold(
            0.05, "of the oracle's score between entering and leaving a state: three deviations of 1000 samples' share"
        ),
        "apart": Threshold(
            2.5, "deviations between two levels: a steady series that chance parts has two means, much the same"
        ),
        "hollow": Threshold(
            0.5, "of the reals' spread: samples that cover all data and recall none of it are noise near its mean"
        ),
    },
    scripts=("frozen at initialisation", "wanders"),
)  # fmt: skip
def never_learned(case: Case) -> Flags:
    """Never reached half of the oracle's quality, and does not come nearer to it any more."""
    return np.full(len(case.steps), not (case.learned[-1] or case.still_rising or case.constant[-1]))


@register(
    "verdict", acts_on="run", failure=True, rank=10, symbol="\u00d7", evidence=wording.last_finite,
    remedy=Remedy(
        "Lower both learning rates, bound the discriminator (spectral normalization, gradient penalty, a milder weight "
        "of the one that is there), and look at the gradient norms before the step named here.",
        "Miyato et al. 2018; Gulrajani et al. 2017; Heusel et al. 2017",
    ),
    scripts=("explodes",),
)  # fmt: skip
def diverged(ended: Ended) -> Held | None:
    """Left the finite numbers; frozen at that step."""
    return Held(ended.step) if ended.lost else None


@register(
    "verdict", acts_on="run", failure=True, rank=0, symbol="!", evidence=wording.reason,
    remedy=Remedy("Read the reason: the program or the machine gave up, so nothing was measured of the method."),
)  # fmt: skip
def failed(ended: Ended) -> Held | None:
    """The program or the machine failed: says nothing about the variant, but is not a success either."""
    return None if ended.reason is None else Held()
