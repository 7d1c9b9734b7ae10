"""What usually helps against each way of failing, with where it was shown: a place to start, not a promise."""

from __future__ import annotations

from typing import NamedTuple


class Remedy(NamedTuple):
    """Advice in a sentence or two, and the work that it rests on."""

    text: str
    source: str


_MODES = Remedy(
    "Penalise the discriminator's gradient at real samples (R1, gamma 0.1 to 10), or both sides with a relativistic "
    "loss; show the discriminator several samples at once (packing, minibatch statistics); larger batches.",
    "Mescheder et al. 2018; Huang et al. 2024; Lin et al. 2018; Salimans et al. 2016",
)
REMEDIES: dict[str, Remedy] = {
    "unconverged": Remedy("Train longer, or average the generator's weights over steps.", "Yazici et al. 2019"),
    "dropping modes": _MODES,
    "collapsed": _MODES,
    "late collapse": Remedy(
        "Keep checkpoints and stop before the onset; a discriminator that overfits needs augmentation, R1 or more "
        "data, one that outgrows the generator a lower learning rate.",
        "Brock et al. 2019; Karras et al. 2020; Mescheder et al. 2018",
    ),
    "oscillating": Remedy(
        "The game turns around its equilibrium: R1 or instance noise, no or negative momentum (beta1 of Adam at 0), "
        "lower learning rates, an optimistic or extragradient update; an average of the generator's weights hides it.",
        "Mescheder et al. 2018; Gidel et al. 2019; Daskalakis et al. 2018; Yazici et al. 2019",
    ),
    "rotating": Remedy(
        "The generator runs from mode to mode ahead of the discriminator: R1, an unrolled or more often trained "
        "discriminator, packing, no momentum.",
        "Metz et al. 2017; Mescheder et al. 2018; Lin et al. 2018",
    ),
    "degraded": Remedy(
        "Compare the best probe with the last: decay the learning rates, add R1, keep the best checkpoint or an "
        "average of weights.",
        "Mescheder et al. 2018; Yazici et al. 2019",
    ),
    "vanished": Remedy(
        "The discriminator has won: a loss that does not saturate (nonsaturating, hinge, relativistic), a gradient "
        "penalty or instance noise, fewer discriminator steps or a lower rate for it.",
        "Goodfellow et al. 2014; Arjovsky & Bottou 2017; Mescheder et al. 2018",
    ),
    "never learned": Remedy(
        "First the plumbing: data scaled as the generator's output, signs of the losses, learning rates within a "
        "factor of ten of a published recipe, no batch normalization in a discriminator with small batches. Then "
        "capacity.",
        "Radford et al. 2016; Gulrajani et al. 2017",
    ),
    "diverged": Remedy(
        "Lower both learning rates, bound the discriminator (spectral normalization, gradient penalty, a milder weight "
        "of the one that is there), and look at the gradient norms before the step named here.",
        "Miyato et al. 2018; Gulrajani et al. 2017; Heusel et al. 2017",
    ),
    "failed": Remedy("Read the reason: the program or the machine gave up, so nothing was measured of the method.", ""),
}
"""By verdict; a converged run needs none."""
