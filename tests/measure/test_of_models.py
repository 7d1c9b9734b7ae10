"""Measures of models: bits of distributions that are known, and how long samples take."""

import math

import pytest
import torch

from ganbench import registry
from ganbench.measure.evaluate import Evaluator
from ganbench.measure.of_models import Seen, seen_of
from ganbench.suite import resolve
from ganbench.training.building import make_problem


def problem(name, *settings):
    return make_problem(resolve(None, [f"problem={name}", *settings]).variants[0])


def bits(seen):
    plugin = registry.get("metric", "likelihood")
    return plugin(seen)


def seen(density, held_out, grain=0.0, runs=2):
    return Seen(density, held_out, grain, runs, 10, 0.5)


def test_of_a_gaussian_they_are_its_entropy():
    """log2 of sigma sqrt(2 pi e) an element (Cover & Thomas 2006, theorem 8.4.1)."""
    x = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    normal = torch.distributions.Normal(0.0, torch.tensor([0.5, 1.0]))
    found = bits(seen(lambda x: normal.log_prob(x.unsqueeze(-1)).sum(1).T, x))["bits_per_dim"]
    assert found[0].item() == pytest.approx(math.log2(0.5 * math.sqrt(2 * math.pi * math.e)), abs=0.01)
    # what a wrong code costs more is its divergence: log 2 - 3/8 nats, from N(0, 1/4) to N(0, 1)
    assert (found[1] - found[0]).item() == pytest.approx((math.log(2) - 3 / 8) / math.log(2), abs=0.01)


def test_of_values_in_steps_they_are_those_of_the_values():
    """A density that is even over the cells of 17 values has log2 17 bits, whatever noise is added within a cell."""
    digits = problem("digits")
    assert digits.grain == 2 / 16
    even = -64 * math.log(17 * digits.grain)

    def density(x):
        assert ((x >= -1 - digits.grain / 2) & (x <= 1 + digits.grain / 2)).all()
        assert (x * 8 != (x * 8).round()).any()
        return torch.full((2, len(x)), even)

    found = bits(seen(density, digits.oracle_samples(50), digits.grain))["bits_per_dim"]
    assert found.tolist() == pytest.approx([math.log2(17)] * 2)


def test_who_has_no_density_has_no_bits_and_who_was_not_timed_no_time():
    assert bits(seen(lambda x: None, torch.zeros(4, 2))) == {}
    latency = registry.get("metric", "latency")
    assert latency(seen_of(problem("ring8"), torch.zeros(4, 2))) == {}
    found = latency(Seen(lambda x: None, torch.zeros(4, 2), 0.0, 5, 20, 0.3))
    assert found["ms_per_sample"].tolist() == pytest.approx([3.0] * 5)


@pytest.mark.parametrize("name", ["ring8", "grid25", "ring8_imbalanced", "line"])
def test_of_the_truth_of_a_mixture_they_are_its_entropy(name):
    """Modes far apart have the entropy of their weights and of one of them."""
    own = problem(name)
    found = bits(seen_of(own, own.oracle_samples(50_000)))["bits_per_dim"]
    weights, size = own.modes.weights, own.shape[0]
    of_a_mode = size * math.log2(own.modes.std * math.sqrt(2 * math.pi * math.e))
    entropy = of_a_mode - (weights * weights.log2()).sum().item()
    assert found.tolist() == pytest.approx([entropy / size], abs=0.02)


def test_the_oracles_are_those_of_the_truth_on_the_samples_that_models_see():
    own = problem("ring8")
    evaluator = Evaluator(own, 64, 32, metrics=("likelihood", "latency"))
    oracle = evaluator.oracle()
    known = seen(lambda x: own.log_density(x).expand(2, -1), own.oracle_samples(64))
    assert evaluator.measure_models(known)["bits_per_dim"].tolist() == [oracle["bits_per_dim"]] * 2
    assert "ms_per_sample" not in oracle


def test_what_is_not_known_of_images_is_no_oracle():
    evaluator = Evaluator(problem("digits"), 64, 32, metrics=("likelihood",))
    assert "bits_per_dim" not in evaluator.oracle()


def test_nobody_measures_them_who_was_not_asked():
    evaluator = Evaluator(problem("ring8"), 64, 32)
    assert evaluator.of_models == []
    assert "bits_per_dim" not in evaluator.oracle()
    with_all = Evaluator(problem("ring8"), 64, 32, metrics=("likelihood", "latency"))
    assert [metric.name for metric in with_all.of_models] == ["likelihood", "latency"]
    assert {metric.declared("acts_on") for metric in with_all.metrics} == {"samples"}


def test_errors_of_reconstruction_are_of_what_comes_back_and_perplexities_of_shares():
    """Half of the codes at two places and half at one: exp(ln 2 / 2 + ln 4 / 2) = 2 sqrt 2 in use; one alone: 1."""
    x = torch.zeros(4, 1, 2, 2)
    back = torch.stack([x + 0.5, x])
    back[1, 0, 0, 0, 0] = 4.0
    places = torch.tensor([[0, 0, 0, 0, 5, 5, 2, 2], [3] * 8])
    own = Seen(lambda _: None, x, 0.0, 2, 4, 0.1, lambda _: back, lambda _: (places, 6), torch.tensor([0.0, 2.0]))
    found = registry.get("metric", "reconstruction")(own)
    assert found["reconstruction_error"].tolist() == [0.25, 1.0]
    assert found["codebook_perplexity"].tolist() == pytest.approx([2 * math.sqrt(2), 1.0])
    assert found["adversarial_weight"].tolist() == [0.0, 2.0]


def test_who_encodes_nothing_gives_nothing_back():
    assert registry.get("metric", "reconstruction")(seen(lambda x: None, torch.zeros(4, 2))) == {}
