"""Inception score and divergences of histograms: definitions by SciPy, closed forms, exact expectations."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, multinomial

from ganbench.errors import InputError
from ganbench.metrics.classes import histogram_divergences, inception_score, kl_floor
from ganbench.problems.base import stream

pytestmark = pytest.mark.usefixtures("own_generators")


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sure_and_even_predictions_score_the_number_of_classes(classes, dtype):
    one_hot = torch.eye(classes, dtype=dtype).repeat(3, 1)
    assert inception_score(one_hot).item() == pytest.approx(classes, rel=1e-12)


def test_a_collapsed_generator_scores_exactly_one():
    assert inception_score(torch.eye(10)[3].expand(100, 10)) == 1
    assert inception_score(torch.full((100, 8), 1 / 8)) == 1


def test_inception_score_is_its_definition():
    p = (3 * torch.randn(200, 7, generator=stream("is", 0), dtype=torch.float64)).softmax(-1)
    definition = math.exp(np.mean(entropy(p.numpy(), p.numpy().mean(0, keepdims=True), axis=1)))
    assert inception_score(p).item() == pytest.approx(definition, rel=1e-12)
    halves = [inception_score(p[:100]).item(), inception_score(p[100:]).item()]
    assert inception_score(p, splits=2).item() == pytest.approx(sum(halves) / 2, rel=1e-12)
    assert inception_score(p[:199], splits=2).item() != pytest.approx(sum(halves) / 2, rel=1e-6)


def test_inception_score_of_two_mirrored_predictions():
    a = 0.9
    score = inception_score(torch.tensor([[a, 1 - a], [1 - a, a]], dtype=torch.float64)).item()
    assert score == pytest.approx(2 * a**a * (1 - a) ** (1 - a), rel=1e-12)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.tensor([[2.0, -1.0]]), "softmax"),
        (torch.tensor([[0.5, 0.4]]), "softmax"),
        (torch.tensor([[0.5, float("nan")]]), "'probabilities' holds NaN"),
    ],
)
def test_what_are_no_probabilities(value, message):
    with pytest.raises(InputError, match=message):
        inception_score(value)


def test_more_splits_than_samples():
    with pytest.raises(InputError, match=r"'probabilities' has 4 samples.* 5"):
        inception_score(torch.full((4, 2), 0.5), splits=5)


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any), st.lists(st.integers(1, 20), min_size=4))
@settings(max_examples=50, deadline=None)
def test_divergences_are_scipys(counts, weights):
    h, w = np.array(counts) / sum(counts), np.array(weights[:4]) / sum(weights[:4])
    got = histogram_divergences(torch.tensor(counts), torch.tensor(weights[:4]))
    assert got.kl.item() == pytest.approx(entropy(h, w), abs=1e-12)
    assert got.reverse_kl.item() == pytest.approx(entropy(w, h), abs=1e-12)
    assert got.jsd.item() == pytest.approx(jensenshannon(h, w) ** 2, abs=1e-12)
    assert got.kl <= -math.log(w.min()) + 1e-12


def test_half_of_the_modes():
    got = histogram_divergences(torch.tensor([[5, 5, 0, 0], [3, 3, 3, 3], [9, 0, 0, 0], [0, 0, 0, 0]]))
    assert got.kl.tolist() == pytest.approx([math.log(2), 0, math.log(4), math.log(4)])
    assert got.reverse_kl.tolist() == [math.inf, 0, math.inf, math.inf]
    half = (math.log(2) + math.log(2 / 3) + 2 * math.log(4 / 3)) / 4
    assert got.jsd[:2].tolist() == pytest.approx([half, 0])
    assert got.jsd[3].item() == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("counts", "weights", "message"),
    [
        ([1, -1], None, "'counts'"),
        ([1.0, float("nan")], None, "'counts'"),
        ([1, 2], [1.0, 0.0], "'weights'"),
        ([1, 2], [0.5, 0.25, 0.25], "2 entries and 'weights' 3"),
    ],
)
def test_unusable_histograms(counts, weights, message):
    with pytest.raises(InputError, match=message):
        histogram_divergences(counts, weights)


@pytest.mark.parametrize("weights", [[1 / 3, 1 / 3, 1 / 3], [0.2, 0.2, 0.6], [0.5, 0.5]])
def test_floor_is_the_sum_over_all_histograms(weights):
    n = 7
    exact = 0.0
    for counts in itertools.product(range(n + 1), repeat=len(weights)):
        if sum(counts) == n:
            exact += multinomial.pmf(counts, n, weights) * entropy(np.array(counts) / n, weights)
    assert kl_floor(weights, n) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(("modes", "n", "floor"), [(8, 2500, 0.0014), (25, 2500, 0.0048), (1000, 26_000, 0.0194)])
def test_floors_quoted_in_the_field(modes, n, floor):
    assert kl_floor(modes, n) == pytest.approx(floor, abs=1e-4)


def test_floor_tends_to_the_rule_of_thumb():
    assert kl_floor(8, 100_000) == pytest.approx(7 / 200_000, rel=1e-3)
    assert kl_floor(torch.tensor([0.1, 0.2, 0.7]), 100_000) == pytest.approx(2 / 200_000, rel=1e-3)


def test_a_perfect_sampler_is_at_its_floor():
    weights = [0.05, 0.15, 0.3, 0.5]
    counts = np.random.default_rng(0).multinomial(200, weights, size=4000)
    kl = histogram_divergences(counts, weights).kl
    assert abs(kl.mean().item() - kl_floor(weights, 200)) < 4 * kl.std().item() / math.sqrt(len(kl))


def test_no_floor_of_no_samples():
    with pytest.raises(InputError, match="'n'"):
        kl_floor(8, 0)
    with pytest.raises(InputError, match="'weights'"):
        kl_floor(0, 10)
