"""Runs that explode while their numbers are still finite: daily business of a suite about divergence."""

import pytest
import torch

from ganbench import registry
from ganbench.measure.evaluate import Evaluator
from ganbench.measure.metrics import neighbours
from ganbench.metrics.neighbours import _by_pairs
from ganbench.metrics.reference import Reference
from ganbench.problems.base import stream


def test_images_whose_features_overflow_are_nan_and_alone_in_it():
    problem = registry.get("problem", "digits")()
    evaluator = Evaluator(problem, 100, 100)
    fakes = problem.sample(300, stream("test", 0)).unflatten(0, (3, 100))
    wild = fakes.clone()
    wild[1] *= 1e38
    assert wild.isfinite().all()
    clean, measured = evaluator.measure(fakes), evaluator.measure(wild)
    for name, column in measured.items():
        assert column[1].isnan()
        assert torch.equal(column[[0, 2]], clean[name][[0, 2]])


@pytest.mark.parametrize("d", [1, 2, 64])
def test_fakes_beyond_the_root_of_float32_recall_nothing(d):
    # squared, 1e25 is infinite in float32, where infinite <= infinite would be a recall of 1
    real = torch.randn(300, d, generator=stream("test", 0))
    fake = 1e25 * (1 + 0.01 * torch.rand(300, d, generator=stream("test", 1)))
    assert {name: column.item() for name, column in neighbours(Reference(real), fake).items()} == {
        "precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("scene", ["perfect", "wide", "one mode", "one point", "tripled", "the real set", "line"])
def test_trees_and_pairs_agree(d, scene):
    real = torch.randn(200, d, generator=stream("test", 0))
    noise = torch.randn(200, d, generator=stream("test", 1))
    fake = {
        "perfect": noise,
        "wide": 9 * noise,
        "one mode": 0.05 * noise + 1,
        "one point": real[:1].expand(200, -1),
        "tripled": noise[:70].repeat(3, 1),
        "the real set": real.clone(),
        "line": torch.linspace(-2, 2, 200)[:, None].expand(-1, d),
    }[scene]
    reference = Reference(real, neighbours=200)
    pairs = _by_pairs(reference, reference.some(fake)[None], 3, 5).squeeze(1)
    assert list(neighbours(reference, fake).values()) == pytest.approx(pairs.tolist(), abs=1e-12)
