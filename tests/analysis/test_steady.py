"""A generator that does not change has one verdict, and what differs from a good one has the right name."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganbench import registry
from ganbench.analysis.verdicts import judge_series
from ganbench.analysis.verdicts.levels import held, levels, of_share
from ganbench.measure.evaluate import Evaluator
from ganbench.problems.base import stream

ORACLE = {"precision": 0.91, "coverage": 0.97, "recall": 0.9}
QUALITY = 0.989


def named(columns, oracle=ORACLE, modes=None):
    series = pd.DataFrame(columns)
    series.insert(0, "step", np.arange(len(series)) * 100)
    return judge_series(series, oracle, modes)


# ------------------------------------------------------------------------------------------ by hand


@pytest.mark.parametrize(
    "precision", [[0, 0.2, 0.3, 0.35, 0.47, 0.44, 0.44], [0, 0.3, 0.4, 0.46, 0.45, 0.47, 0.45, 0.48, 0.45]]
)
def test_what_hovers_about_half_of_the_oracle_has_not_degraded(precision):
    # 0.455 is half of the oracle's; nothing falls by more than a probe's noise
    first = named({"precision": precision, "coverage": 0.97, "recall": 0.9})[0]
    assert first.verdict in ("never learned", "too short")


def test_an_infinite_first_gradient_is_no_scale():
    columns = {"precision": [0, 0.1, 0.2, 0.3, 0.35, 0.4], "coverage": 0.97, "recall": 0.9}
    columns["g_gradient_norm"] = [np.nan, np.inf, 0.5, 0.5, 0.5, 0.5]
    assert "vanished" not in [verdict.verdict for verdict in named(columns)]
    columns["g_gradient_norm"] = [np.nan, np.inf, 0.5, 0.5, 4e-4, 4e-4]
    assert (named(columns)[0].verdict, named(columns)[0].onset) == ("vanished", 400)


def test_a_gradient_that_never_was_there_is_gone():
    found = named({"precision": [0.0] * 6, "coverage": 0.0, "recall": 0.9, "g_gradient_norm": 1e-9})[0]
    assert (found.verdict, found.onset) == ("vanished", 0)
    assert found.evidence.endswith("g gradient norm 1e-09 (absent from the start).")


def test_a_hole_in_the_middle_is_told_with_its_step():
    found = named({"precision": [0, 0.9, np.nan, 0.9, 0.9], "coverage": 0.97, "recall": 0.9})[0]
    assert found.verdict == "converged"
    assert found.evidence.endswith(" Nothing finite was measured at step 200.")


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_state_holds_from_where_it_enters_for_as_long_as_it_stays(enters, stays):
    now, expected = False, []
    for begin, on in zip(enters, stays[: len(enters)], strict=True):
        now = begin or (now and on)
        expected.append(now)
    assert held(np.array(enters), np.array(stays[: len(enters)])).tolist() == expected


def test_levels_are_means_over_what_chance_explains():
    # 1000 samples of a share of a half: 0.0158 a probe, so that 0.02 apart is chance and 0.3 is not
    values = np.array([[0.0], [0.5], [0.52], [0.5], [0.52], [0.8], [0.81]])
    found = levels(values, of_share(1000), 2.5, first=1)[:, 0]
    assert found.tolist() == pytest.approx([0.0, 0.51, 0.51, 0.51, 0.51, 0.805, 0.805])
    assert np.array_equal(levels(values, None, 2.5), values)
    # each of 25 modes moves by two and a half deviations: jointly that is none of chance's doing
    halves = np.array([[1 / 13] * 13 + [0.0] * 12, [0.0] * 12 + [1 / 13] * 13])
    both = np.concatenate([halves, halves, halves])
    assert np.array_equal(levels(both, of_share(128), 2.5), both)


# ------------------------------------------------------------------------------------------ measured


@pytest.fixture(scope="module")
def ring():
    evaluator = Evaluator(registry.get("problem", "ring8").function(), 1000, 500)
    return evaluator, evaluator.oracle()


def played(ring, laws, seed=0):
    """The verdicts on samples that these functions of good ones (and their modes' centres) make, a probe each."""
    evaluator, oracle = ring
    problem = evaluator.problem
    fakes = []
    for place, law in enumerate(laws):
        source = stream("steady", 1000 * seed + place)
        index = torch.multinomial(problem.modes.weights, 1000, replacement=True, generator=source)
        noise = torch.randn(1000, 2, generator=source, dtype=torch.float64)
        fakes.append(law(problem.modes, index, noise, source).float())
    table = {name: values.numpy() for name, values in evaluator.measure(torch.stack(fakes)).items()}
    return judge_series(pd.DataFrame(table).assign(step=np.arange(len(laws)) * 100), oracle, evaluator.modes)


def good(modes, index, noise, source):
    return modes.centres[index] + modes.std * noise


def shifted(modes, index, noise, source):
    return good(modes, index, noise, source) + 8 * modes.std / 2**0.5


def turned(modes, index, noise, source):
    angle = torch.tensor(np.pi / 8)
    turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]], dtype=torch.float64)
    return good(modes, index, noise, source) @ turn.T


def narrowed(share):
    return lambda modes, index, noise, source: modes.centres[index] + share * modes.std * noise


def replayed(modes, index, noise, source):
    kept = torch.randn(256, 2, generator=stream("replayed", 0), dtype=torch.float64)
    points = modes.centres[torch.arange(256) % len(modes.centres)] + modes.std * kept
    return points[torch.randint(256, (len(index),), generator=source)]


def point(modes, index, noise, source):
    return torch.full_like(noise, 40.0)


def with_mode(share):
    """One mode has this share of samples, the others the rest."""

    def law(modes, index, noise, source):
        favoured = torch.rand(len(index), generator=source) < (share - 1 / 8) / (1 - 1 / 8)
        return good(modes, torch.where(favoured, 0, index), noise, source)

    return law


@pytest.mark.parametrize(
    ("then", "verdict"),
    [
        (good, "converged"),
        (shifted, "degraded"),
        (turned, "degraded"),
        (narrowed(0.2), "too tight"),
        (narrowed(0.5), "too tight"),
        (narrowed(0.9), "converged"),
        (replayed, "copies"),
        (point, "late collapse"),
        (with_mode(0.3), "wrong weights"),
    ],
)
def test_what_becomes_of_a_good_generator_has_its_name_and_onset(ring, then, verdict):
    found = played(ring, [good] * 5 + [then] * 5)[0]
    assert (found.verdict, found.onset) == (verdict, 100 if then is good or verdict == "converged" else 500)


def test_one_point_from_the_start_is_a_collapse(ring):
    assert [one.verdict for one in played(ring, [point] * 6)] == ["collapsed"]


def test_the_evidence_of_shape_is_in_numbers(ring):
    assert "mode width 0.2 (oracle 0.9" in played(ring, [good] + [narrowed(0.2)] * 4)[0].evidence
    assert "repeated 0.98 (oracle 0)" in played(ring, [good] + [replayed] * 4)[0].evidence
    text = played(ring, [good] + [with_mode(0.3)] * 4)[0].evidence
    assert "mode kl 0.1" in text
    assert "mode 0 has 30 % instead of 1" in text
    assert "sample spread 0 (oracle 1): all samples are as good as one" in played(ring, [point] * 3)[0].evidence


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 1 / 8 + 0.7 * 7 / 8])
def test_a_favoured_mode_has_one_verdict_whatever_the_seed(ring, share):
    found = Counter(played(ring, [with_mode(share)] * 10, seed)[0].verdict for seed in range(12))
    assert found == {"wrong weights": 12}


# ------------------------------------------------------------------------------------------ any law


def oracle_of(modes, samples):
    shares = {f"mode_share.{k}": QUALITY / modes for k in range(modes)}
    return {"high_quality": QUALITY, "modes_covered": float(modes), "mode_kl": (modes - 1) / 2 / samples, **shares}


def steady(weights, quality, samples, probes, rng):
    """Probes of a generator with these weights of its modes and this share of good samples, always the same."""
    modes = len(weights)
    counts = rng.multinomial(samples, [*(weights * quality), 1 - quality], size=probes)[:, :modes]
    histogram = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    kl = np.where(histogram > 0, histogram * np.log(np.maximum(histogram, 1e-12) * modes), 0.0).sum(1)
    columns = {f"mode_share.{k}": counts[:, k] / samples for k in range(modes)}
    covered = (counts >= 0.25 / modes * samples).sum(1)
    return pd.DataFrame({
        "step": np.arange(probes) * 100, "high_quality": counts.sum(1) / samples, "modes_covered": covered,
        "mode_kl": kl, **columns,
    })  # fmt: skip


def drawn(law, draws):
    """The verdicts of a random law in so many draws, and how many a further probe changes."""
    rng = np.random.default_rng([law, 7])
    modes, probes = int(rng.integers(2, 26)), int(rng.integers(5, 25))
    samples = int(rng.choice([250, 1000, 4000]))
    weights = rng.dirichlet(np.full(modes, 10 ** rng.uniform(-1, 2)))
    quality = float(rng.choice([QUALITY, rng.uniform(0, QUALITY)]))
    oracle, found, changed = oracle_of(modes, samples), Counter(), 0
    for _ in range(draws):
        series = steady(weights, quality, samples, probes + 1, rng)
        first = judge_series(series.iloc[:-1], oracle, modes)[0].verdict
        changed += first != judge_series(series, oracle, modes)[0].verdict
        found[first] += 1
    return found, changed


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_a_steady_law_neither_swings_nor_rotates_nor_degrades(law):
    found, _ = drawn(law, 4)
    assert not {"oscillating", "rotating", "degraded", "late collapse", "too short"} & set(found)


@pytest.mark.slow
def test_a_steady_law_has_one_verdict_in_nearly_all_draws():
    # a law whose truth lies on a bar is on either side of it; of random laws that is one in fifteen
    laws = [drawn(law, 20) for law in range(150)]
    shares = np.array([max(found.values()) / 20 for found, _ in laws])
    assert shares.mean() >= 0.975
    assert (shares >= 0.95).mean() >= 0.9
    assert sum(changed for _, changed in laws) <= 0.015 * 20 * 150


UNTRAINED = ("precision", 1.0), ("coverage", 0.99), ("recall", 0.0)


def test_noise_near_the_mean_of_many_dimensions_has_not_learned():
    found = named(
        dict(UNTRAINED) | {"sample_spread": [0.02] * 4}, {"precision": 0.99, "coverage": 0.99, "recall": 0.98}
    )
    assert [one.verdict for one in found] == ["never learned"]
    bare = named({**dict(UNTRAINED), "precision": [1.0] * 4}, {"precision": 0.99, "coverage": 0.99, "recall": 0.98})
    assert [one.verdict for one in bare] == ["never learned"]


@given(st.floats(0.5, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
@settings(deadline=None)
def test_what_covers_half_of_the_data_has_not_collapsed(coverage, recall, precision):
    columns = {
        "precision": [0.0, *[precision] * 4],
        "coverage": coverage * 0.97,
        "recall": recall,
        "sample_spread": 0.5,
    }
    assert not {"collapsed", "late collapse"} & {one.verdict for one in named(columns)}
