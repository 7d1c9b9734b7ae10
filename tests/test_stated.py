"""What shipped plug-ins need, provide and have got later: a change is a decision, for plans and ids depend on it."""

import re

import pytest

from ganbench import registry
from ganbench.analysis.verdicts import rules

NEEDS = {
    "problem.dirac": "point",
    "problem.bilinear": "point",
    "problem.covariance": "scale",
    **{
        f"model.{name}": "nothing_given"
        for name in (
            "vae",
            "autoencoder",
            "adversarial_autoencoder",
            "realnvp",
            "made",
            "ddpm",
            "flow_matching",
            "rbm",
            "gaussian_mixture",
            "kernel_density",
            "copies",
            "real",
        )
    },
    "network.conditional_mlp": "label",
    "network.dcgan": "image nothing_given",
    "network.point": "game_of_points plain",
    "network.scale": "game_of_scales plain",
    "network.mlp": "nothing_given",
    "normalization.instance": "feature_maps",
    "regularizer.gradient_penalty": "independent_samples",
    "regularizer.r1": "independent_samples",
    "regularizer.r2": "independent_samples",
    "regularizer.r1r2": "independent_samples",
    "regularizer.lazy_r1": "independent_samples",
    "regularizer.zero_gradient_penalty": "independent_samples",
    "regularizer.dragan": "independent_samples",
    "regularizer.path_length": "independent_samples",
    "update.simultaneous": "one_turn_each",
    "update.extragradient": "one_turn_each",
    "update.past_extragradient": "one_turn_each",
    "update.simultaneous_lookahead": "one_turn_each",
    "update.consensus": "one_turn_each",
    "update.symplectic": "one_turn_each",
    "trick.minibatch_discrimination": "batch_features",
    "trick.minibatch_std": "batch_features",
    "trick.feature_matching": "hidden_features",
    "trick.packing": "nothing_given",
    "trick.augmentation": "image",
    "trick.diffaugment": "image",
    "trick.top_k": "loss_of_logits",
    "trick.weighted_sampling": "unequal_groups",
    "term.auxiliary_class": "batch_features label single_samples",
    "term.information": "batch_features single_samples",
    "term.reconstruction": "batch_features image single_samples",
    "metric.mode_statistics": "modes",
    "metric.mode_shares": "modes",
    "metric.class_statistics": "classes",
    "metric.class_shares": "classes",
    "metric.label_fidelity": "label modes",
    "metric.class_fidelity": "classes label",
    "metric.memorization": "training_samples",
    "metric.class_frechet": "label",
    "metric.class_recall": "label",
    "metric.classification_accuracy": "label",
    "feature_space.pixels": "image",
    "feature_space.conv": "image",
    "feature_space.conv_maps": "image",
    "feature_space.classifier": "classes",
    "diagnostic.equilibrium": "game",
    "diagnostic.labels": "label",
}
PROVIDES = {
    "problem.dirac": "game game_of_points",
    "problem.bilinear": "game game_of_points",
    "problem.covariance": "game game_of_scales",
    "problem.digits": "classes image unequal_groups",
    "problem.digits_labelled": "classes image label unequal_groups",
    "problem.line": "modes",
    "problem.ring8": "modes",
    "problem.ring8_labelled": "label modes",
    "problem.grid25": "modes",
    "problem.ring8_imbalanced": "modes unequal_groups",
    "problem.ring8_metz": "modes",
    "problem.grid25_veegan": "modes",
    "problem.embedded_mixture": "modes",
    "problem.noise_images": "image",
    "problem.triangles": "image modes",
    "network.conditional_mlp": "batch_features hidden_features",
    "network.dcgan": "batch_features feature_maps hidden_features",
    "network.point": "point",
    "network.scale": "scale",
    "network.mlp": "batch_features hidden_features",
    "normalization.none": "independent_samples plain",
    "normalization.layer": "independent_samples",
    "normalization.instance": "independent_samples",
    "normalization.group": "independent_samples",
    "normalization.pixel": "independent_samples",
    "normalization.spectral": "independent_samples",
    "normalization.weight": "independent_samples",
    "feature_space.data": "modes",
    "feature_space.classifier": "classes",
}
LATER = {
    "problem.line": "raw samples within",
    "problem.ring8": "raw samples within",
    "problem.ring8_labelled": "raw samples within",
    "problem.grid25": "raw samples within",
    "problem.ring8_imbalanced": "raw samples within",
    "network.conditional_mlp": "d_activation d_depth d_width g_activation g_depth g_width init init_scale pieces",
    "network.dcgan": "d_activation d_width g_activation g_width init init_scale",
    "network.point": "d_start g_start",
    "network.scale": "d_start g_start",
    "network.mlp": "d_activation d_depth d_width g_activation g_depth g_width init init_scale pieces",
    "optimizer.sgd": "weight_decay",
    "optimizer.rmsprop": "weight_decay",
    "optimizer.optimistic_sgd": "weight_decay",
    "optimizer.adam": "weight_decay",
    "optimizer.optimistic_adam": "weight_decay",
    "update.consensus": "order",
    "update.unrolled": "penalties",
}


def plugin_of(name):
    return registry.get(*name.split("."))


@pytest.mark.parametrize("name", NEEDS)
def test_what_a_plugin_needs(name):
    needs = plugin_of(name).needs
    assert set(needs) == set(NEEDS[name].split())
    assert all(reason.strip() for reason in needs.values())


@pytest.mark.parametrize("name", PROVIDES)
def test_what_a_plugin_provides(name):
    assert plugin_of(name).provides == set(PROVIDES[name].split())


@pytest.mark.parametrize("name", LATER)
def test_what_came_later_stays_out_of_ids(name):
    assert set(plugin_of(name).later) >= set(LATER[name].split())


def test_a_remedy_says_what_to_do_and_names_the_work_that_it_rests_on():
    remedies = [rule.remedy for rule in rules() if rule.remedy]
    assert len(remedies) > 5
    for remedy in remedies:
        assert re.search(r"\b(19|20)\d\d\b", remedy.source) or not remedy.source
        assert not re.search(r"\b(19|20)\d\d\b", remedy.text)
        assert len(remedy.text) > len(remedy.source)
