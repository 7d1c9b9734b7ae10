"""Every default of a hyper-parameter, and why: a changed one changes every study that does not name it."""

import inspect

import pytest

from ganbench import Monitor, metrics, registry
from ganbench.analysis.gate import Policy
from ganbench.monitor.probing import Sizes
from ganbench.suite import resolve

OURS = "ours: chosen on the shipped suites, where training lasts 2000 steps"
ADAMS = ("adam", "adamw", "optimistic_adam")
MIXTURES = ("line", "ring8", "ring8_labelled", "grid25", "ring8_imbalanced", "ring8_metz", "grid25_veegan",
            "embedded_mixture")  # fmt: skip
IMAGE_NETWORKS = ("biggan", "patchgan", "unet_gan", "progressive", "r3gan", "sn_resnet", "sagan", "wgan_gp_resnet",
                  "stylegan", "stylegan2", "fastgan")  # fmt: skip
LABELLED = ("digits", "digits_labelled", "fashion", "fashion_labelled", "mnist", "cifar10", "cifar10_labelled", "svhn")
STACKED, RENDERED = ("stacked_mnist", "stacked_fashion"), ("shapes", "glyphs")
FILES = ("folder", "folder_labelled", "npz", "npz_labelled")
SHAPES = ("swiss_roll", "uniform_cube", "noise_images", "triangles")
DEFAULTS = {
    "problem.bilinear.dimension": (2, "a plane for each player"),
    "problem.line.modes": (5, OURS), "problem.line.spacing": (2.0, "as on the grid"),
    "problem.line.std": (0.2, "ten standard deviations between modes"),
    "problem.ring8.radius": (2.0, OURS), "problem.ring8.std": (0.1, "neighbours 15 standard deviations apart"),
    "problem.grid25.spacing": (2.0, OURS), "problem.grid25.std": (0.2, "ten standard deviations apart"),
    "problem.ring8_labelled.radius": (2.0, "as ring8"), "problem.ring8_labelled.std": (0.1, "as ring8"),
    "problem.ring8_imbalanced.radius": (2.0, "as ring8"), "problem.ring8_imbalanced.std": (0.1, "as ring8"),
    "problem.ring8_imbalanced.ratio": (8.0, OURS),
    "problem.ring8_metz.radius": (2.0, "Metz 2017, app. A"), "problem.ring8_metz.std": (0.02, "Metz 2017, app. A"),
    "problem.grid25_veegan.spacing": (2.0, "Lin 2018, PacGAN"), "problem.grid25_veegan.std": (0.05, "Lin 2018, PacGAN"),
    "problem.embedded_mixture.dimension": (16, OURS), "problem.embedded_mixture.intrinsic": (2, "a plane"),
    "problem.embedded_mixture.modes": (9, "3 x 3 in a plane"), "problem.embedded_mixture.spacing": (2.0, "as grid25"),
    "problem.embedded_mixture.std": (0.1, "neighbours 20 standard deviations apart"),
    "problem.embedded_mixture.null_std": (0.02, "a fifth of a mode's"),
    "problem.swiss_roll.noise": (0.25, "Gulrajani 2017, as published with the code"),
    "problem.swiss_roll.raw": (False, "unit variance, as all that is ours"),
    "problem.uniform_cube.dimension": (2, "a square"), "problem.noise_images.side": (8, "as digits"),
    "problem.triangles.side": (16, OURS), "problem.triangles.corners": (4, "516 triangles, most in 1000 samples"),
    **{f"problem.{name}.tail": (1.0, "classes as they are") for name in (*LABELLED, "folder_labelled", "npz_labelled")},
    **{f"problem.{name}.samples": (0, "all there are") for name in (*LABELLED, *FILES, "tabular")},
    **{f"problem.{name}.samples": (0, "no end") for name in (*RENDERED, "stacked_digits", *STACKED)},
    **{f"problem.{name}.side": (16, OURS) for name in RENDERED},
    **{f"problem.{name}.size": (28, "as published") for name in STACKED},
    **{f"problem.{name}.size": (size, "as published") for name, size in
       {"fashion": 28, "fashion_labelled": 28, "mnist": 28, "cifar10": 32, "cifar10_labelled": 32, "svhn": 32}.items()},
    **{f"problem.{name}.{key}": (value, "as they are") for name in FILES for key, value in
       (("size", 0), ("channels", 0), ("crop", False), ("skip_corrupt", False))
       if key not in ("crop", "skip_corrupt") or "npz" not in name},
    **{f"problem.{name}.root": ("", "a user's own") for name in (*FILES, "tabular")},
    "problem.tabular.columns": ("", "all"),
    **{f"problem.{name}.root": ("", "below GANBENCH_DATA") for name in (*LABELLED[2:], *STACKED)},
    **{f"problem.{name}.samples": (0, "data without end") for name in (*MIXTURES, *SHAPES)},
    **{f"problem.{name}.within": (0.0, "the quantile of chi") for name in MIXTURES},
    **{f"problem.{name}.raw": (name in ("ring8_metz", "grid25_veegan"), "unit variance, but for published data")
       for name in MIXTURES},
    "network.dcgan.width": (16, OURS), "network.point.condition": (1.0, "A is the identity"),
    **{f"network.{name}.{player}_start": (None, "as drawn") for name in ("point", "scale") for player in "gd"},
    "network.mlp.width": (32, OURS), "network.mlp.depth": (2, OURS),
    "network.conditional_mlp.width": (32, "as mlp"), "network.conditional_mlp.depth": (2, "as mlp"),
    "network.conditional_mlp.how": ("projection", "Miyato & Koyama 2018"),
    **{f"network.{name}.{player}_{what}": (0, "that of both players") for name in ("mlp", "conditional_mlp")
       for player in "gd" for what in ("width", "depth")},
    **{f"network.dcgan.{player}_width": (0, "that of both players") for player in "gd"},
    **{f"network.{name}.{key}": (value, source) for name in ("mlp", "conditional_mlp", "dcgan")
       for key, value, source in (
           ("g_activation", "relu", "Radford 2016"), ("d_activation", "leaky_relu", "Radford 2016"),
           ("init", "default", "torch's own"), ("init_scale", 1.0, "as they are drawn"))},
    **{f"network.dcgan.{key}": (value, "Radford 2016, sec. 3") for key, value in
       (("pooling", False), ("hidden", 0), ("normalize_all", False))},
    **{f"network.{name}.pieces": (5, "Lin 2018, as published with the code") for name in ("mlp", "conditional_mlp")},
    **{f"network.{name}.width": (8, "ours: small, for a CPU") for name in IMAGE_NETWORKS},
    "network.dcgan_paper.width": (16, "as dcgan"), "network.dcgan_paper.kernel": (5, "Radford 2016, fig. 1"),
    **{f"network.{name}.how": ("projection", "Miyato & Koyama 2018")
       for name in ("dcgan_paper", "sn_resnet", "sagan", "wgan_gp_resnet")},
    "network.sagan.g_spectral": (True, "Zhang 2019, sec. 4"), "network.biggan.g_spectral": (True, "Brock 2019, sec. 3"),
    "network.biggan.row": (16, "an eighth of the paper's"), "network.biggan.truncation": (0.0, "none"),
    **{f"network.{name}.{key}": (value, source) for name in ("stylegan", "stylegan2") for key, value, source in (
        ("depth", 8, "Karras 2019, fig. 1"), ("style", 0, "as many as latents"),
        ("mixing", 0.9, "Karras 2019, app. C"), ("truncation", 1.0, "none"))},
    "network.progressive.until": (0.7, OURS), "network.r3gan.blocks": (1, "half of the paper's"),
    "network.r3gan.group": (0, "ours: full convolutions are faster on a CPU"),
    "network.patchgan.halvings": (0, "as many as leave 4 pixels, 3 as in Isola 2017"),
    **{f"network.{name}.told": (True, "the cGAN of Isola 2017") for name in ("pix2pix", "pictured_mlp")},
    "network.pix2pix.width": (8, "as patchgan"), "network.pix2pix.halvings": (0, "as patchgan"),
    "network.cyclegan.width": (8, "as patchgan"), "network.cyclegan.blocks": (2, "6 at 128 pixels: Zhu 2017, app. 7.2"),
    "network.cyclegan.halvings": (1, "patches of 16 pixels see all of 8"),
    "network.unpaired_mlp.width": (64, "as pictured_mlp"), "network.unpaired_mlp.depth": (2, "as mlp"),
    "network.unpaired_mlp.linear": (False, "a perceptron"),
    "network.stargan.width": (8, "as cyclegan"), "network.stargan.blocks": (2, "6 at 128 pixels: Choi 2018, app. 7"),
    "network.stargan.each_pixel": (False, "the paper's convolutions"),
    "problem.restyled_digits.styles": ("red+green+blue", "ours: the fewest of which two others are no answer"),
    "term.domain_class.weight": (1.0, "Choi 2018, app. 7.1"), "term.domain_cycle.weight": (10.0, "Choi 2018, app. 7.1"),
    "network.vocoder.width": (16, "ours: small, for a CPU"), "network.vocoder.blocks": (2, "3: Kong 2020, sec. 2.2"),
    "network.vocoder.d_width": (4, "32: Kong 2020, as published with the code"),
    "network.vocoder.periods": ("2+3+5", "the first of Kong 2020, sec. 2.3"),
    "network.vocoder.scales": (2, "3: Kumar 2019, sec. 2.2"),
    "network.vocoder.told": (True, "as pix2pix; Kong 2020 has none"),
    "problem.waveforms.noise": (0.01, "a hundredth of the largest"), "problem.waveforms.samples": (0, "no end"),
    "term.spectral.weight": (45.0, "Kong 2020, sec. 2.4"),
    "term.perceptual.weight": (1.0, "Johnson 2016"),
    "term.task.weight": (1.0, "ours: as much as the game; Bousmalis 2017 tunes it on labelled samples"),
    "term.cycle.weight": (10.0, "Zhu 2017, sec. 4"), "term.identity.weight": (5.0, "Zhu 2017, sec. 5.2"),
    "network.pictured_mlp.width": (64, OURS), "network.pictured_mlp.depth": (2, "as mlp"),
    "problem.outlines.side": (8, "as digits"), "problem.outlines.samples": (0, "no end"),
    "problem.upscaled_digits.factor": (2, "four pixels of one"), "term.l1.weight": (100.0, "Isola 2017, app. 6.2"),
    "model.vae.width": (32, "as mlp"), "model.vae.depth": (2, "as mlp"), "model.vae.beta": (1.0, "Kingma 2014"),
    "model.vae.scale": (0.1, OURS),
    **{f"model.{name}.{key}": (value, "as vae") for name in ("autoencoder", "adversarial_autoencoder")
       for key, value in (("width", 32), ("depth", 2))},
    "model.adversarial_autoencoder.weight": (0.1, OURS),
    **{f"model.tokenizer.{key}": (value, source) for key, value, source in (
        ("width", 16, "as dcgan"), ("halvings", 1, "4 x 4 codes of digits"), ("codes", 64, OURS),
        ("commitment", 0.25, "van den Oord 2017, sec. 3.2"), ("decay", 0.99, "van den Oord 2017, app. A.1"),
        ("start", 1000, "ours: half of the usual training"), ("ahead", 0, "none"),
        ("weight", 0.8, "Esser 2021, as published with the code"), ("adaptive", True, "Esser 2021, eq. 7"),
        ("cap", 1e4, "Esser 2021, as published with the code"), ("gamma", 0.0, "none"))},
    "model.kl_tokenizer.kl": (1e-6, "Rombach 2022, app. G, as published with the code"),
    **{f"model.kl_tokenizer.{key}": (value, "as tokenizer") for key, value in (
        ("width", 16), ("halvings", 1), ("start", 1000), ("ahead", 0), ("weight", 0.8), ("adaptive", True),
        ("cap", 1e4), ("gamma", 0.0))},
    "model.realnvp.couplings": (8, OURS), "model.realnvp.width": (32, "as mlp"), "model.realnvp.depth": (2, "as mlp"),
    "model.realnvp.limit": (2.0, OURS),
    "model.made.width": (64, OURS), "model.made.depth": (2, "as mlp"), "model.made.components": (8, OURS),
    "model.ddpm.levels": (50, OURS), "model.flow_matching.moves": (20, OURS),
    **{f"model.{name}.{key}": (value, OURS) for name in ("ddpm", "flow_matching")
       for key, value in (("width", 64), ("depth", 3))},
    "model.rbm.hidden": (12, "the most whose states are summed"), "model.rbm.chain": (5, OURS),
    "model.rbm.sweeps": (100, OURS), "model.rbm.scale": (0.5, "half the data's"),
    "model.gaussian_mixture.components": (25, "as many as grid25 has"), "model.gaussian_mixture.ridge": (1e-3, OURS),
    "model.kernel_density.points": (1024, OURS), "model.copies.points": (1024, "as kernel_density"),
    **{f"loss.{name}.label_smoothing": (0.0, "none") for name in ("minimax", "nonsaturating", "least_squares")},
    "loss.hinge.margin": (1.0, "the hinge at 1 and -1"), "loss.focal.gamma": (2.0, "Lin 2017"),
    **{f"loss.fgan_{name}.nonsaturating": (False, "the saddle point of eq. 6, not the heuristic of sec. 3.2")
       for name in ("kl", "reverse_kl", "pearson", "hellinger", "jensen_shannon")},
    "normalization.group.groups": (4, OURS),
    "regularizer.weight_clipping.clip": (0.01, "Arjovsky 2017, alg. 1"),
    "regularizer.gradient_penalty.weight": (10.0, "Gulrajani 2017, alg. 1"),
    **{f"regularizer.{name}.gamma": (0.1, OURS) for name in ("r1", "r2", "r1r2", "lazy_r1")},
    "regularizer.lazy_r1.lazy": (16, "Karras 2020, app. B"),
    "regularizer.zero_gradient_penalty.weight": (10.0, "as the penalty at 1"),
    "regularizer.zero_gradient_penalty.lazy": (1, "every update"),
    "regularizer.consistency.real_weight": (10.0, OURS),
    "regularizer.consistency.fake_weight": (10.0, OURS),
    "regularizer.consistency.scale": (0.05, OURS), "regularizer.dragan.weight": (10.0, "as the penalty of WGAN-GP"),
    "regularizer.dragan.scale": (0.5, OURS), "regularizer.dragan.lazy": (1, "every update"),
    "regularizer.lecam.weight": (0.3, OURS), "regularizer.lecam.decay": (0.99, OURS),
    "regularizer.path_length.weight": (2.0, "Karras 2020, as published with the code"),
    "regularizer.path_length.decay": (0.99, "Karras 2020, as published with the code"),
    "regularizer.path_length.lazy": (4, "Karras 2020, as published with the code"),
    "regularizer.instance_noise.sigma": (0.1, OURS), "regularizer.instance_noise.until": (1.0, "the end"),
    "regularizer.constant_noise.sigma": (0.1, "as instance_noise"),
    "regularizer.constant_noise.sampled": (True, "noise"),
    "regularizer.orthogonal.beta": (1e-4, "Brock 2019, sec. 3.1"),
    "regularizer.orthonormal.beta": (1e-4, "as orthogonal"),
    **{f"optimizer.{name}.{player}_lr": (rate, OURS) for player in "gd" for name, rate in
       (("sgd", 0.01), ("optimistic_sgd", 0.01), ("rmsprop", 5e-4), ("adam", 2e-3), ("adamw", 2e-3),
        ("optimistic_adam", 2e-3))},
    **{f"optimizer.{name}.weight_decay": (0.0, "none")
       for name in ("sgd", "optimistic_sgd", "rmsprop", "adam", "optimistic_adam")},
    "optimizer.adamw.weight_decay": (0.01, "torch.optim.AdamW"),
    **{f"optimizer.{name}.decay": ("none", OURS) for name in ("sgd", "optimistic_sgd", "rmsprop")},
    **{f"optimizer.{name}.decay": ("sqrt", OURS) for name in ADAMS},
    "optimizer.sgd.momentum": (0.0, "none"), "optimizer.rmsprop.alpha": (0.99, "torch.optim.RMSprop"),
    **{f"optimizer.{name}.eps": (1e-8, "Kingma 2015; torch.optim") for name in ("rmsprop", *ADAMS)},
    **{f"optimizer.{name}.beta1": (0.5, "Radford 2016") for name in ADAMS},
    **{f"optimizer.{name}.beta2": (0.999, "Kingma 2015") for name in ADAMS},
    **{f"update.{name}.every": (5, OURS) for name in ("lookahead", "simultaneous_lookahead")},
    **{f"update.{name}.share": (0.5, "half of the way") for name in ("lookahead", "simultaneous_lookahead")},
    "update.consensus.order": ("simultaneous", "Mescheder 2017"),
    "update.consensus.weight": (1.0, OURS), "update.symplectic.weight": (1.0, "the adjustment as it is"),
    "update.symplectic.align": (True, "Balduzzi 2018, alg. 1"), "update.unrolled.steps": (5, OURS),
    "update.unrolled.rate": (0.1, OURS), "update.unrolled.penalties": (False, "the paper's D has no terms"),
    "trick.minibatch_discrimination.kernels": (8, OURS), "trick.minibatch_discrimination.dims": (4, OURS),
    "trick.packing.m": (2, "Lin 2018, PacGAN2"), "trick.historical_averaging.weight": (0.001, OURS),
    "trick.ema.decay": (0.99, OURS), "trick.augmentation.brightness": (0.5, OURS),
    "trick.augmentation.translation": (0.125, "an eighth of a side"),
    **{f"trick.diffaugment.{name}": (value, "Zhao 2020, as published with the code") for name, value in
       (("brightness", 0.5), ("saturation", 1.0), ("contrast", 0.5), ("translation", 0.125), ("cutout", 0.5))},
    "trick.top_k.share": (0.5, "half of the batch"),
    "term.auxiliary_class.weight": (1.0, "Odena 2017, eqs. 2 and 3"),
    "term.information.categories": (10, "Chen 2016, sec. 7.2"), "term.information.continuous": (2, "the same"),
    "term.information.weight": (1.0, "Chen 2016, sec. 6"),
    "term.information.continuous_weight": (0.1, "ours: smaller than for categories, as Chen 2016, sec. 6"),
    "term.reconstruction.weight": (1.0, "Liu 2021, eq. 4"), "term.reconstruction.side": (8, OURS),
    "trick.top_k.until": (0.5, OURS), "trick.weighted_sampling.power": (1.0, "all groups evenly"),
    "metric.mode_statistics.quota": (0.25, "as the verdicts' threshold for a mode that is held"),
    "metric.class_statistics.quota": (0.25, "as for modes"), "metric.class_statistics.confidence": (0.9, OURS),
    "metric.stacked_modes.confidence": (0.729, "0.9 in each of three channels"),
    "metric.factor_statistics.quota": (0.25, "as for modes"),
    "metric.class_shares.confidence": (0.9, "as for classes that are covered"),
    "metric.neighbours.k": (3, "Kynkaanniemi 2019"), "metric.neighbours.density_k": (5, "Naeem 2020"),
    "metric.kid.subsets": (100, "Binkowski 2018, as published with the code"),
    "diagnostic.path_length.step": (1e-2, OURS),
    "diagnostic.conditioning.latents": (8, OURS), "diagnostic.duality_gap.steps": (20, OURS),
    "executor.local.workers": (0, "a core each"), "executor.dask.address": ("", "a cluster of this machine"),
    "executor.dask.scheduler_file": ("", "as above"), "executor.dask.workers": (1, OURS),
    "executor.slurm.partition": ("", "Slurm's own default"), "executor.slurm.minutes": (240, OURS),
    "executor.slurm.memory_gb": (4, "twice a population's memory on a CPU"), "executor.slurm.gpus": (0, OURS),
    "executor.slurm.jobs": (500, OURS), "executor.slurm.cluster": ("slurm", "submitit"),
    "executor.slurm.seconds": (5.0, OURS), "executor.ray.address": ("", "a cluster of this machine"),
    "executor.ray.gpus": (0.0, OURS), "executor.ray.workers": (1, OURS),
    "diagnostic.duality_gap.rate": (1e-3, OURS), "diagnostic.duality_gap.noise": (1e-3, OURS),
}  # fmt: skip
SHIPPED = {
    f"{kind}.{plugin.name}.{key}": value
    for kind in registry.KINDS
    for plugin in registry.plugins(kind)
    for key, value in plugin.hypers.items()
}


def test_every_hyper_parameter_has_its_place_here():
    assert set(SHIPPED) == set(DEFAULTS)


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_default_is_what_its_source_says(key):
    value, source = DEFAULTS[key]
    assert SHIPPED[key] == value, source
    assert type(SHIPPED[key]) is type(value)


def test_a_study_without_a_single_setting():
    plan = resolve(None, [])
    (variant,) = plan.variants
    chosen = {axis: getattr(variant, axis) for axis in ("problem", "network", "loss", "optimizer", "update", "latent")}
    assert chosen == {"problem": "ring8", "network": "mlp", "loss": "nonsaturating", "optimizer": "adam",
                      "update": "alternating", "latent": "normal"}  # fmt: skip
    assert {getattr(variant, a) for a in ("normalization", "g_normalization", "regularizer", "trick")} == {"none"}
    assert (variant.steps, variant.batch_size, variant.critic_steps, variant.generator_steps) == (2000, 128, 1, 1)
    assert variant.latent_dim == 8
    # five seeds are the fewest with which the gate passes anything; a quarter of the steps between probes
    assert plan.seeds == (0, 1, 2, 3, 4)
    assert (plan.probe_every, plan.samples, plan.neighbours, plan.diagnostics) == (500, 1000, 500, "cheap")


def test_the_gates_margins_and_risks():
    assert Policy() == Policy(failure_rate=0.2, score=0.1, alpha=0.05, pooled=0.2)


def test_a_monitor_measures_as_a_study_does():
    options = {name: one.default for name, one in inspect.signature(Monitor.__init__).parameters.items()}
    assert (options["samples"], options["neighbours"], options["every"]) == (1000, 500, 500)
    assert Sizes() == Sizes(options["samples"], options["neighbours"], options["batch_size"], options["diagnostics"])
    assert (options["batch_size"], options["diagnostics"], options["mode"]) == (64, "cheap", "eval")
    # a loop that is started again is another run
    assert (options["patience"], options["start"], options["seed"], options["fresh"]) == (2, 0, None, False)
    assert list(options["stop_on"]) == []


@pytest.mark.parametrize(("metric", "defaults"), [
    ("precision_recall", {"k": 3}), ("density_coverage", {"k": 5}), ("prdc", {"k": 3, "density_k": 5}),
    ("prd_curve", {"clusters": 20, "angles": 1001, "repeats": 10}), ("prd_scores", {"clusters": 20, "repeats": 10}),
    ("ndb", {"bins": 100, "level": 0.05}), ("neighbour_radius_ratio", {"k": 3}), ("c_t_score", {"cells": 1}),
    ("sliced_wasserstein", {"projections": 32}), ("inception_score", {"splits": 1}),
    ("frechet_infinity", {"points": 15}),
    ("kid", {"subset_size": None, "subsets": 100}), ("mifid", {"threshold": 0.1}), ("spatial_frechet", {"channels": 7}),
    ("kernel_distance", {"subset_size": 1000, "subsets": None}), ("statistically_different_modes", {"level": 0.05}),
])  # fmt: skip
def test_metrics_take_their_papers_numbers(metric, defaults):
    parameters = inspect.signature(getattr(metrics, metric)).parameters
    assert {name: parameters[name].default for name in defaults} == defaults
