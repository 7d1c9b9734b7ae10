"""The ends of what every setting may be: what lies just within trains a step, what lies just without is refused."""

import pytest
import torch
from overriding import over

from ganbench.errors import UserError
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner

IMAGES = ["problem=digits", "batch_size=4"]
RANGES = {
    "trick.minibatch_discrimination.kernels": ([], [1], [0]),
    "trick.minibatch_discrimination.dims": ([], [1], [0]),
    "trick.packing.m": ([], [2, 4, 8], [1, 3]),
    "trick.ema.decay": ([], [0.0, 0.999], [1.0, -0.01]),
    "trick.augmentation.translation": (IMAGES, [0.0, 1.0], [-0.01, 1.01]),
    "trick.diffaugment.translation": (IMAGES, [0.0, 1.0], [-0.01, 1.01]),
    "trick.diffaugment.cutout": (IMAGES, [0.0, 1.0], [-0.01, 1.01]),
    "trick.top_k.share": ([], [1.0, 0.01], [0.0, 1.01]),
    "trick.top_k.until": ([], [1.0, 0.01], [0.0, 1.01]),
    "regularizer.instance_noise.until": ([], [1.0, 0.01], [0.0, 1.01]),
    "regularizer.constant_noise.sampled": (["problem=dirac", "network=point", "batch_size=256"], ["true", "false"], []),
    "regularizer.lazy_r1.lazy": ([], [1], [0]),
    "update.lookahead.share": ([], [1.0, 0.01], [0.0, 1.01]),
    "update.lookahead.every": ([], [1], [0]),
    "update.simultaneous_lookahead.share": ([], [1.0, 0.01], [0.0, 1.01]),
    "update.simultaneous_lookahead.every": ([], [1], [0]),
    "update.consensus.order": ([], ["alternating", "generator_first"], ["both"]),
    "update.unrolled.steps": ([], [1], [0]),
    "problem.line.modes": ([], [1, 2], [0]),
    "problem.line.spacing": ([], [0.01], [0.0, float("inf")]),
    "problem.line.std": ([], [0.01], [0.0, float("inf")]),
    "problem.ring8.radius": ([], [0.01], [0.0, float("inf")]),
    "problem.ring8_labelled.radius": (["network=conditional_mlp"], [0.01], [0.0]),
    "problem.grid25.spacing": ([], [0.01], [0.0]),
    "problem.ring8_imbalanced.radius": ([], [0.01], [0.0]),
    "problem.ring8_imbalanced.ratio": ([], [0.01, 1.0], [0.0]),
    "problem.bilinear.dimension": (["network=point"], [1], [0]),
    "network.point.g_start": (["problem=dirac"], [1, -1.5], ["true", "near"]),
    "network.scale.d_start": (["problem=covariance"], [1, -1.5], ["true", "near"]),
    "network.point.condition": (["problem=bilinear"], [1.0], [0.99]),
    "model.vae.width": ([], [1], [0]),
    "model.vae.depth": ([], [1], [0]),
    "model.vae.scale": ([], [0.01], [0.0]),
}


def step_with(key, value):
    axis, name, _ = key.split(".")
    settings = ["seeds=1", "batch_size=8", "steps=2", "latent_dim=2", f"{axis}={name}", *RANGES[key][0]]
    runs = resolve(None, over([*settings, f"{key}={value}"])).runs
    learner = make_learner(list(runs), make_problem(runs[0].variant), torch.device("cpu"))
    learner.advance()
    return learner


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (_, good, _) in RANGES.items() for value in good])
def test_the_ends_of_a_range_train(key, value):
    learner = step_with(key, value)
    assert learner.step == 1
    assert learner.alive.all()


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, (_, _, bad) in RANGES.items() for value in bad])
def test_what_is_beyond_a_range_is_refused_by_its_name(key, value):
    with pytest.raises(UserError) as raised:
        step_with(key, value)
    assert key.split(".")[1] in str(raised.value)
    assert key.split(".")[2] in str(raised.value)
