"""What conditional players make of their labels: recall within classes, D's use of the label, the finding about it."""

import numpy as np
import pandas as pd
import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.analysis.game import game_findings
from ganbench.gan.conditioning import Untold
from ganbench.measure.diagnostics import Game
from ganbench.measure.evaluate import Evaluator
from ganbench.metrics.reference import Reference, Training
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner
from ganbench.training.loop import Prober, evaluator_of
from ganbench.training.population import Population

CPU = torch.device("cpu")
SMALL = ["problem=ring8_labelled", "network=conditional_mlp", "network.conditional_mlp.width=6", "seeds=2", "steps=20",
         "batch_size=32", "samples=64", "neighbours=32"]  # fmt: skip


def prober(*overrides):
    plan = resolve(None, over([*SMALL, *overrides]))
    own = make_learner(list(plan.runs), make_problem(plan.runs[0].variant), CPU)
    return own, Prober(own, evaluator_of(own.problem, plan))


# ------------------------------------------------------------------------------------------ recall within classes


def recall(real, fake, k=3):
    """Return the share of real samples within some fake one's distance to its k-th other fake (NumPy)."""
    apart = lambda a, b: np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))  # noqa: E731
    radii = np.sort(apart(fake, fake), axis=1)[:, k]
    return (apart(real, fake) <= radii).any(1).mean()


def test_class_recall_is_that_of_each_class_alone():
    rng = np.random.default_rng(0)
    known, real = rng.integers(3, size=90), rng.normal(size=(90, 2))
    label, fake = np.arange(60) % 3, rng.normal(size=(2, 60, 2)) * np.array([1.0, 0.3])[:, None, None]
    training = Training(Reference(torch.tensor(real)), torch.tensor(known))
    reference = Reference(torch.tensor(real), training=lambda: training)
    got = registry.get("metric", "class_recall")(reference, torch.tensor(fake), torch.tensor(label))
    for run in range(2):
        each = [recall(real[known == c][:20], fake[run][label == c]) for c in range(3)]
        assert [got[f"class_recall.{c}"][run].item() for c in range(3)] == pytest.approx(each)
        assert got["class_recall"][run].item() == pytest.approx(np.mean(each))


def test_one_picture_a_class_has_no_recall():
    """It obeys labels in full, covers every mode, and collapses within each."""
    problem = make_problem(resolve(None, over(SMALL)).runs[0].variant)
    evaluator = Evaluator(problem, 256, 64, CPU, metrics=("class_recall",))
    fake, label = problem.oracle(evaluator.samples)
    centres = torch.stack([fake[label == c].mean(0) for c in range(8)])
    noise = torch.randn(fake.shape, generator=stream("tight", 0)) * 1e-6
    perfect = evaluator.measure(fake[None], label[None])
    collapsed = evaluator.measure((centres[label] + noise)[None], label[None])
    assert perfect["class_recall"].item() > 0.6
    assert collapsed["class_recall"].item() < 0.1
    assert collapsed["label_fidelity"].item() == 1.0


# ------------------------------------------------------------------------------------------ D's use of the label


def test_the_effect_of_labels_is_that_of_others_in_the_batch():
    """Logits x + s y of real and fake samples: other labels move them by s |y - y'| (NumPy)."""
    own, _ = prober()
    real, labels = torch.randn(2, 6, 2, generator=stream("real", 0)), torch.tensor([0, 1, 1, 4, 2, 0]).expand(2, 6)

    class Played:
        losses = own.objective.losses.slices
        matched = None

        def generate(self, latents, units):
            return latents

        def criticise(self, samples, units, given=labels):
            return samples[..., 0] + 0.5 * given

        def relabelled(self, samples):
            other = labels.roll(1, 1)
            return self.criticise(samples, {}, other), other != labels

    fake = torch.randn(2, 6, 2, generator=stream("fake", 0))
    got = registry.get("diagnostic", "labels")(Game(Played(), real, fake))
    y, other = labels[0].numpy(), np.roll(labels[0].numpy(), 1)
    differs = y != other
    for run in range(2):
        logits = np.concatenate([side[run, :, 0].numpy() + 0.5 * y for side in (real, fake)])
        wanted = np.mean(0.5 * np.abs(y - other)[differs]) / logits.std(ddof=1)
        assert got["d_label_effect"][run].item() == pytest.approx(wanted, rel=1e-5)
        assert got["d_label_ranking"][run].item() == pytest.approx(np.mean((y > other)[differs]))


@pytest.mark.parametrize("how", ["projection", "concatenation"])
def test_a_probe_tells_whether_d_hears_labels(how):
    own, watching = prober(f"network.conditional_mlp.how={how}")
    heard, _ = watching.probe()
    assert (heard["d_label_effect"] > 0).all()
    for name, view in own.discriminator.views(own.discriminator.flat).items():
        if how == "projection" and "embedding" in name:
            view.zero_()
        if how == "concatenation" and name.endswith("body.0.weight"):
            view[..., 2:] = 0
    deaf, _ = watching.probe()
    assert deaf["d_label_effect"].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert deaf["d_label_ranking"].tolist() == pytest.approx([0.5, 0.5], abs=0.51)


def test_a_d_that_is_told_nothing_has_no_use_of_it():
    for words in (["term=auxiliary_class"], ["problem=ring8", "network=mlp"]):
        plain = [own for own in SMALL if not words[0].startswith("problem") or "conditional" not in own]
        plan = resolve(None, over([*plain, *words]))
        own = Population(list(plan.runs), make_problem(plan.runs[0].variant), CPU)
        assert isinstance(own.discriminator.module, Untold) is (words[0] == "term=auxiliary_class")
        columns, _ = Prober(own, evaluator_of(own.problem, plan)).probe()
        assert "d_label_effect" not in columns


# ------------------------------------------------------------------------------------------ the finding


def course(effect):
    return pd.DataFrame({"step": np.arange(len(effect)) * 100, "d_label_effect": effect})


@pytest.mark.parametrize(("effect", "found"), [
    ([0.0] * 6, True), ([0.4, 0.01, 0.01, 0.01, 0.03, 0.04], True), ([0.001, 0.1, 0.3, 0.6, 0.8, 0.8], False),
    ([0.5, 0.3, 0.03, 0.03, 0.03, 0.03], False), ([0.5, 0.5, 0.5, 0.5, 0.01, 0.01], False),
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.2], False),
])  # fmt: skip
def test_a_d_that_stays_deaf_is_found(effect, found):
    said = [one for one in game_findings(course(effect)) if one.finding == "D ignores its condition"]
    assert bool(said) is found
    if found:
        assert said[0].onset == 100
        assert said[0].evidence.startswith("With other labels D's logits of real samples move by")
