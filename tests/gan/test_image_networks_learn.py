"""Each network for images learns digits a little within seconds, in one run, and is trained by the command."""

import pytest
import torch
from overriding import over

from ganbench import api, registry
from ganbench.gan.networks.images import EITHER
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner
from ganbench.training.loop import Prober, evaluator_of, steady_numerics

HINGE = ["loss=hinge", "normalization=paper", "g_normalization=paper"]
R1 = ["regularizer=r1", "g_normalization=paper"]
PAIRED = ["loss=relativistic_pairing", "regularizer=r1r2"]
WAYS = {
    "dcgan_paper": HINGE[1:], "sn_resnet": HINGE, "sagan": HINGE, "biggan": HINGE,
    "unet_gan": HINGE, "patchgan": ["loss=least_squares", "g_normalization=paper"],
    "wgan_gp_resnet": ["loss=wasserstein", "regularizer=gradient_penalty", *HINGE[1:]],
    "progressive": R1, "stylegan": [*R1, "loss=relativistic_pairing"], "stylegan2": R1, "r3gan": PAIRED,
    "fastgan": [*HINGE, "term=reconstruction"],
}  # fmt: skip
"""How each is trained: about as in its paper, without batch norm in D."""
STEPS = 300


def test_every_network_has_a_way():
    assert set(WAYS) == {plugin.name for plugin in registry.plugins("network") if EITHER in plugin.provides}


@pytest.mark.slow
def test_a_study_of_all_of_them(tmp_path):
    words = ["problem=digits,digits_labelled", f"network={','.join(WAYS)}", "normalization=paper", "steps=2", "seeds=2",
             "g_normalization=paper", "batch_size=8", "samples=64", "neighbours=32", "probe_every=1"]  # fmt: skip
    study = api.run(None, over([*words, *(f"network.{name}.width=4" for name in WAYS)]), out=tmp_path, workers=1)
    assert set(study.runs["status"]) == {"done"}
    assert len(study.runs) == 2 * 2 * len(WAYS)
    assert study.series["frechet"].notna().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_it_learns(name):
    words = ["problem=digits", f"network={name}", "latent_dim=16", "batch_size=64", "samples=500", "neighbours=128"]
    plan = resolve(None, over([*words, *WAYS[name], "seeds=1", f"steps={STEPS}"]))
    with steady_numerics():
        problem = make_problem(plan.runs[0].variant)
        own = make_learner(plan.runs, problem, torch.device("cpu"))
        prober = Prober(own, evaluator_of(problem, plan))
        before, _ = prober.probe()
        for _ in range(STEPS):
            own.advance()
        after, _ = prober.probe()
    assert own.alive.all()
    assert after["frechet"].item() < before["frechet"].item() / 2
    assert after["classes_covered"].item() >= 2
