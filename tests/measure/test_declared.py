"""What every number that is measured declares: which way is better decides every verdict and every gate."""

import math

import pytest

from ganbench import registry

POSITIVE, SHARE, SIGNED, ANY = (0.0, math.inf), (0.0, 1.0), (-1.0, 1.0), (-math.inf, math.inf)
DECLARED = {
    "modes_hit": ("up", POSITIVE, {"unit": "modes", "blind": True}),
    "modes_covered": ("up", POSITIVE, {"unit": "modes", "role": "modes", "blind": True}),
    "high_quality": ("up", SHARE, {"role": "quality", "blind": True}),
    "mode_kl": ("down", POSITIVE, {"unit": "nats", "role": "divergence", "blind": True}),
    "mode_share": (None, SHARE, {"role": "shares"}),
    "classes_covered": ("up", POSITIVE, {"unit": "classes", "role": "modes", "blind": True}),
    "class_kl": ("down", POSITIVE, {"unit": "nats", "role": "divergence", "blind": True}),
    "confident": ("up", SHARE, {"blind": True}),
    "class_share": (None, SHARE, {"role": "shares"}),
    "stacked_hit": ("up", POSITIVE, {"unit": "modes", "role": "published", "blind": True}),
    "stacked_kl": ("down", POSITIVE, {"unit": "nats", "blind": True}),
    "factors_covered": ("up", POSITIVE, {"unit": "values", "blind": True}),
    "factor_kl": ("down", POSITIVE, {"unit": "nats", "blind": True}),
    "factor_share": (None, SHARE, {}),
    "label_fidelity": ("up", SHARE, {"role": "fidelity", "blind": True}),
    "class_fidelity": ("up", SHARE, {"role": "fidelity", "blind": True}),
    "truth_error": ("down", POSITIVE, {"blind": True}),
    "given_used": ("up", (-math.inf, 1.0), {}),
    "content_kept": ("up", SHARE, {}),
    "content_permuted": ("up", SHARE, {"blind": True}),
    "target_reached": ("up", SHARE, {"blind": True}),
    "target_used": ("up", (-math.inf, 1.0), {}),
    "choices_covered": ("up", SHARE, {}),
    "choice_spread": (None, POSITIVE, {"blind": True}),
    "consistency": ("down", POSITIVE, {}),
    "precision": ("up", SHARE, {"role": "quality", "blind": True}),
    "recall": ("up", SHARE, {"role": "diversity", "blind": True}),
    "density": ("up", POSITIVE, {"perfect": 1.0, "blind": True}),
    "coverage": ("up", SHARE, {"role": "covering", "blind": True}),
    "frechet": ("down", POSITIVE, {"perfect": 0.0, "scale": "log", "role": "distance", "blind": True}),
    "frechet_pixels": ("down", POSITIVE, {"perfect": 0.0}),
    "frechet_classifier": ("down", POSITIVE, {"perfect": 0.0, "blind": True}),
    "sliced_wasserstein": ("down", POSITIVE, {"perfect": 0.0}),
    "kernel_distance": ("down", ANY, {"perfect": 0.0, "blind": True}),
    "kid_mean": ("down", ANY, {"perfect": 0.0, "blind": True}),
    "kid_std": (None, POSITIVE, {"blind": True}),
    "cmmd": ("down", ANY, {"perfect": 0.0, "blind": True}),
    "authenticity": ("up", SHARE, {}),
    "mifid": ("down", POSITIVE, {"scale": "log", "blind": True}),
    "cosine_distance": ("up", SHARE, {"blind": True}),
    "bits_per_dim": ("down", ANY, {"unit": "bits", "blind": True}),
    "ms_per_sample": ("down", POSITIVE, {"unit": "ms", "scale": "log", "blind": True}),
    "reconstruction_error": ("down", POSITIVE, {"perfect": 0.0, "scale": "log", "blind": True}),
    "codebook_perplexity": ("up", POSITIVE, {"unit": "codes", "scale": "log", "blind": True}),
    "adversarial_weight": (None, POSITIVE, {"scale": "log"}),
    "sharpness": (None, POSITIVE, {"perfect": 1.0, "scale": "log", "blind": True}),
    "checkerboard": (None, POSITIVE, {"perfect": 1.0, "scale": "log", "blind": True}),
    "fid": ("down", POSITIVE, {"perfect": 0.0, "scale": "log", "blind": True}),
    "class_frechet": ("down", POSITIVE, {"perfect": 0.0, "scale": "log", "blind": True}),
    "class_recall": ("up", SHARE, {"blind": True}),
    "accuracy_from_fakes": ("up", SHARE, {"blind": True}),
    "accuracy_with_fakes": ("up", SHARE, {"blind": True}),
    "accuracy_from_reals": (None, SHARE, {}),
    "adapted_accuracy": ("up", SHARE, {"blind": True}),
    "source_only_accuracy": (None, SHARE, {}),
    "target_only_accuracy": (None, SHARE, {}),
    "sample_spread": (None, POSITIVE, {"role": "spread", "blind": True}),
    "mode_width": (None, POSITIVE, {"role": "width", "unit": "standard deviations", "blind": True}),
    "repeated": (None, SHARE, {"role": "repeats", "blind": True}),
    "d_loss": (None, ANY, {"role": "loss"}),
    "g_loss": (None, ANY, {"role": "loss"}),
    "g_gradient_norm": (None, POSITIVE, {"scale": "log", "role": "gradient"}),
    "d_gradient_norm": (None, POSITIVE, {}),
    "d_input_gradient_real": (None, POSITIVE, {}),
    "d_input_gradient_fake": (None, POSITIVE, {}),
    "d_input_gradient_ratio": (None, POSITIVE, {}),
    "real_logit": (None, ANY, {"role": "logit"}),
    "fake_logit": (None, ANY, {"role": "logit"}),
    "logit_margin": (None, ANY, {}),
    "d_real_accuracy": (None, SHARE, {}),
    "d_fake_accuracy": (None, SHARE, {}),
    "d_ranking": (None, SHARE, {"role": "lead", "blind": True}),
    "d_label_effect": (None, POSITIVE, {}),
    "d_label_ranking": (None, SHARE, {}),
    "cycle_error": ("down", POSITIVE, {"blind": True}),
    "cycle_noise_gain": (None, POSITIVE, {"blind": True}),
    "d_overfitting": ("down", ANY, {}),
    "d_train_sign": (None, SIGNED, {}),
    "saturation": ("down", SHARE, {"role": "saturated", "blind": True}),
    "output_saturation": ("down", SHARE, {}),
    "g_dead_units": ("down", SHARE, {}),
    "d_dead_units": ("down", SHARE, {}),
    "d_spectral_norm": (None, POSITIVE, {}),
    "g_weight_norm": (None, POSITIVE, {}),
    "d_weight_norm": (None, POSITIVE, {}),
    "equilibrium_distance": ("down", POSITIVE, {}),
    "nearness": ("up", SHARE, {"perfect": 1.0, "role": "quality"}),
    "displacement": (None, ANY, {}),
    "g_effective_rank": (None, SHARE, {}),
    "d_effective_rank": (None, SHARE, {}),
    "g_stable_rank": (None, SHARE, {}),
    "d_stable_rank": (None, SHARE, {}),
    "g_spectral_collapse": ("down", SHARE, {}),
    "d_spectral_collapse": ("down", SHARE, {}),
    "d_lipschitz": (None, POSITIVE, {}),
    "g_update_cosine": (None, SIGNED, {}),
    "d_update_cosine": (None, SIGNED, {}),
    "g_path_length": ("down", POSITIVE, {"scale": "log", "blind": True}),
    "g_log_condition": ("down", POSITIVE, {}),
    "game_eig_min_real": (None, ANY, {}),
    "game_eig_max_imag": (None, POSITIVE, {}),
    "game_eig_max_abs": (None, POSITIVE, {}),
    "g_hessian_min": (None, ANY, {}),
    "g_hessian_max": (None, ANY, {}),
    "d_hessian_min": (None, ANY, {}),
    "d_hessian_max": (None, ANY, {}),
    "duality_gap": (None, POSITIVE, {}),
}
COSTS = {
    "cheap": {
        "players",
        "input_gradients",
        "logits",
        "overfitting",
        "saturation",
        "units",
        "spectra",
        "weights",
        "equilibrium",
        "labels",
        "cycles",
    },
    "medium": {"ranks", "lipschitz", "update_cosines", "path_length"},
    "expensive": {"conditioning", "game_eigenvalues", "hessians", "duality_gap"},
}


def shipped(kind):
    return [one for one in registry.plugins(kind) if one.function.__module__.startswith("ganbench.measure.")]


MEASURES = {
    name: own
    for kind in ("metric", "diagnostic")
    for one in shipped(kind)
    for name, own in one.meta["measures"].items()
}


def test_every_measure_is_in_the_table():
    assert MEASURES.keys() == DECLARED.keys()


@pytest.mark.parametrize("name", DECLARED)
def test_a_measure_declares_what_its_number_means(name):
    measure, (direction, bounds, more) = MEASURES[name], DECLARED[name]
    assert (measure.direction, measure.bounds) == (direction, bounds)
    assert measure.unit == more.get("unit", "share" if bounds == SHARE else "")
    assert measure.perfect == more.get("perfect")
    assert measure.scale == more.get("scale", "linear")
    assert measure.role == more.get("role", "")
    # what a number does not see is told in whole sentences
    assert bool(measure.blind) == more.get("blind", False)
    assert not measure.blind or measure.blind.endswith(".")


def test_a_diagnostic_is_measured_from_its_class_of_cost_on():
    found = {cost: {one.name for one in shipped("diagnostic") if one.declared("cost") == cost} for cost in COSTS}
    assert found == COSTS
