"""Each reason why a combination cannot be trained, with the part that is named, and its neighbours that can."""

import pytest

from ganbench import registry
from ganbench.combining import impossible
from ganbench.plan import Variant
from ganbench.suite import resolve

pytestmark = pytest.mark.usefixtures("own_registry")
TURNS = "the rule moves both players at once: it has no turns to count (critic_steps=1, generator_steps=1)"
MIXED = "a gradient penalty is defined per sample, and batch statistics mix the samples"
PIXELS = "instance normalization takes its statistics over the pixels of a feature map"
NO_LABEL = "it takes nothing given: conditional_mlp takes labels, pictured_mlp pictures"


def said(**changes):
    return impossible(Variant(**{**resolve(None).variants[0].values, **changes}))


@pytest.mark.parametrize(("changes", "reason"), [
    ({}, ""),
    # the network of both players
    ({"network": "dcgan"}, "dcgan with problem ring8: a convolutional network needs images"),
    ({"network": "dcgan", "problem": "digits"}, ""),
    ({"network": "point"}, "point with problem ring8: it plays the games 'dirac' and 'bilinear'"),
    ({"problem": "dirac"}, "dirac with network mlp: its equilibrium is known for the network 'point'"),
    ({"problem": "dirac", "network": "point"}, ""),
    # what the problem gives
    ({"problem": "ring8_labelled"}, f"mlp with problem ring8_labelled: {NO_LABEL}"),
    ({"problem": "ring8_labelled", "network": "conditional_mlp"}, ""),
    ({"network": "conditional_mlp"}, "conditional_mlp with problem ring8: it needs a problem that gives labels"),
    ({"problem": "ring8_labelled", "network": "conditional_mlp", "trick": "packing"},
     "packing with problem ring8_labelled: a pack of samples has no one label"),
    ({"trick": "packing"}, ""),
    # one update of each player
    ({"update": "simultaneous"}, ""),
    ({"update": "simultaneous", "critic_steps": 2},
     f"simultaneous with critic_steps 2 and generator_steps 1: {TURNS}"),
    ({"update": "simultaneous", "generator_steps": 3},
     f"simultaneous with critic_steps 1 and generator_steps 3: {TURNS}"),
    ({"update": "simultaneous", "critic_steps": 2, "generator_steps": 2},
     f"simultaneous with critic_steps 2 and generator_steps 2: {TURNS}"),
    ({"critic_steps": 2}, ""),
    # which player's
    ({"regularizer": "r1", "normalization": "batch"}, f"r1 with normalization batch: {MIXED}"),
    ({"regularizer": "r1", "g_normalization": "batch"}, ""),
    ({"g_regularizer": "path_length", "normalization": "batch"}, ""),
    ({"g_regularizer": "path_length", "g_normalization": "batch"},
     "path_length with g_normalization batch: G's Jacobian is defined per sample, and batch statistics mix the "
     "samples"),
    ({"normalization": "instance", "problem": "digits"}, f"instance with network mlp: {PIXELS}"),
    ({"g_normalization": "instance", "problem": "digits"}, f"instance with network mlp: {PIXELS}"),
    ({"g_normalization": "instance", "problem": "digits", "network": "dcgan"}, ""),
    # what tricks withhold, of D alone
    ({"regularizer": "r1", "trick": "minibatch_std"}, f"r1 with trick minibatch_std: {MIXED}"),
    ({"g_regularizer": "path_length", "trick": "minibatch_std"}, ""),
    ({"trick": "feature_matching+top_k"},
     "top_k with trick feature_matching: it chooses logits, and G's loss is taken on features"),
    ({"trick": "top_k"}, ""),
    ({"trick": "ema+top_k"}, ""),
    # where they stand
    ({"regularizer": "path_length"},
     "path_length as regularizer: it acts on latents, which belong to the other player"),
    ({"g_regularizer": "r1"}, "r1 as g_regularizer: it acts on inputs, which belong to the other player"),
    ({"g_regularizer": "weight_clipping"}, ""),
    # what a model has none of
    ({"model": "vae"}, ""),
    ({"model": "vae", "loss": "hinge"}, "loss hinge with model vae: it has none"),
    ({"model": "vae", "normalization": "layer"}, "normalization layer with model vae: it has none"),
    ({"model": "vae", "problem": "ring8_labelled", "network": "conditional_mlp"},
     "network conditional_mlp with model vae: it has none"),
    ({"model": "vae", "problem": "ring8_labelled"}, "vae with problem ring8_labelled: it takes nothing given"),
])  # fmt: skip
def test_every_combination_has_its_reason_or_none(changes, reason):
    assert said(**changes) == reason


def test_at_most_one_trick_keeps_an_average():
    @registry.register("trick", acts_on="average")
    def other_average(average, parameters):
        """Keeps another average."""
        return average

    told = "other_average with trick ema: a variant has at most one average"
    assert said(trick="other_average+ema") == told
    assert said(trick="other_average+top_k") == ""
    assert said(trick="other_average") == ""
    # of a kind that is not limited there may be several
    assert said(trick="top_k+weighted_sampling", problem="ring8_imbalanced") == ""


def test_who_is_named_is_one_that_others_of_its_axis_could_stand_for():
    @registry.register("optimizer", provides={"calm"})
    def calm(parameters, gradient, state, step, lr, *, g_lr: float = 0.1, d_lr: float = 0.1):
        """Plain descent."""
        return parameters - lr * gradient, state

    @registry.register("loss", needs={"calm": "it is shy", "one_turn_each": "it counts"})
    def shy(real_logits, fake_logits):
        """A loss."""
        return fake_logits.mean() - real_logits.mean(), -fake_logits.mean()

    @registry.register("loss", needs={"company": "it is lonely"})
    def lonely(real_logits, fake_logits):
        """A loss."""
        return fake_logits.mean() - real_logits.mean(), -fake_logits.mean()

    @registry.register("loss", provides={"company"})
    def friendly(real_logits, fake_logits):
        """A loss, of which a variant has one."""
        return fake_logits.mean() - real_logits.mean(), -fake_logits.mean()

    assert said(loss="shy") == "shy with optimizer adam: it is shy"
    assert said(loss="shy", optimizer="calm") == ""
    assert said(loss="shy", optimizer="calm", generator_steps=2) == (
        "shy with critic_steps 1 and generator_steps 2: it counts"
    )
    assert said(loss="lonely") == "lonely with this variant: it is lonely"


def test_the_other_players_normalization_is_not_to_blame():
    def alone(layer):
        """A normalization that wants what only others of its kind give."""
        return layer

    def giving(layer):
        """A normalization that gives it."""
        return layer

    registry.register("normalization", needs={"company": "it is lonely"})(alone)
    registry.register("normalization", provides={"company"})(giving)
    assert said(normalization="alone") == "alone with this variant: it is lonely"
    assert said(g_normalization="alone") == "alone with this variant: it is lonely"
    assert said(normalization="alone", g_normalization="giving") == "alone with this variant: it is lonely"
