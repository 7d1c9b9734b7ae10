"""Predictions against the formulas that the papers print, rates read off paths whose rate is known."""

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given as drawn_from
from hypothesis import strategies as st
from overriding import over

from ganbench import registry
from ganbench.analysis import courses, theory
from ganbench.analysis.courses import contraction, course
from ganbench.analysis.theory import behaviour, linear_games, predict
from ganbench.binding import Bound
from ganbench.suite import resolve

ETA = 0.2
GAME = ["optimizer=sgd", f"optimizer.sgd.g_lr={ETA}", f"optimizer.sgd.d_lr={ETA}", "seeds=1"]
BILINEAR = ["problem=bilinear", "network=point", "problem.bilinear.dimension=1", "loss=wasserstein"]
DIRAC = ["problem=dirac", "network=point", "loss=nonsaturating"]


def radius(*overrides):
    (variant,) = resolve(None, over([*GAME, *overrides])).variants
    return predict(variant).radius


# x' = x - eta y, y' = y + eta x as one complex number: each rule is a polynomial in i eta
IETA = 1j * ETA
FORMULAS = {
    "simultaneous": math.sqrt(1 + ETA**2),  # Gidel 2019, prop. 2
    "alternating": 1.0,
    "generator_first": 1.0,
    "extragradient": abs(1 + IETA + IETA**2),  # Gidel 2019, prop. 4
    # Popov: l^2 - (1 + 2 i eta) l + i eta = 0, the same recursion as optimism
    "past_extragradient": np.abs(np.roots([1, -(1 + 2 * IETA), IETA])).max(),
    "consensus": abs(1 + IETA - ETA),  # J^T J is the identity
    "symplectic": abs(1 + IETA - ETA),  # J is antisymmetric: A^T J is J^T J
}


@pytest.mark.parametrize("rule", FORMULAS)
def test_rules_on_the_bilinear_game_are_their_formulas(rule):
    assert radius(*BILINEAR, f"update={rule}") == pytest.approx(FORMULAS[rule], abs=1e-12)


def test_lookahead_on_the_bilinear_game_is_its_formula():
    # an alternating step turns by phi and keeps the length: cos phi = 1 - eta^2 / 2 (Chavdarova 2021, app. on eq. 5)
    turn = np.exp(1j * math.acos(1 - ETA**2 / 2))
    for every, share in ((5, 0.5), (3, 0.8)):
        given = [f"update.lookahead.every={every}", f"update.lookahead.share={share}"]
        known = abs(1 - share + share * turn**every) ** (1 / every)
        assert radius(*BILINEAR, "update=lookahead", *given) == pytest.approx(known, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 5])
def test_an_unrolled_critic_on_the_bilinear_game_is_its_formula(steps):
    # D has no curvature: psi_k = psi - k r theta for G's loss - psi_k theta, after D's own step
    rate = 0.1
    step_d = np.array([[1, 0], [-ETA, 1]])
    step_g = np.array([[1 - ETA * 2 * steps * rate, ETA], [0, 1]])
    known = np.abs(np.linalg.eigvals(step_g @ step_d)).max()
    given = [f"update.unrolled.steps={steps}", f"update.unrolled.rate={rate}"]
    assert radius(*BILINEAR, "update=unrolled", *given) == pytest.approx(known, abs=1e-12)


def walked(rule, eta, weight, steps=400):
    """By how much two numbers approach 0 in a step of consensus or of the adjustment on x y, without any matrix."""
    x = y = 1.0
    for _ in range(steps):
        # gradients y and -x; the slope of half their squares is (x, y), and A^T xi the same for the antisymmetric J
        of_x, of_y = y + weight * x, -x + weight * y
        x, y = x - eta * of_x, y - eta * of_y
    return (math.hypot(x, y) / math.sqrt(2)) ** (1 / steps)


@cache
def bilinear():
    return linear_games(resolve(None, over([*GAME, *BILINEAR])).variants[0])[0]


@pytest.mark.parametrize("rule", ["consensus", "symplectic"])
@drawn_from(st.floats(0.02, 2.0), st.floats(0.02, 2.0))
def test_consensus_and_the_adjustment_converge_only_at_a_rate_below_their_bound(rule, eta, weight):
    plugin, sgd = registry.get("update", rule), registry.get("optimizer", "sgd")
    rates = Bound(sgd, {**sgd.hypers, "g_lr": eta, "d_lr": eta})
    got = theory.factor(bilinear(), Bound(plugin, {**plugin.hypers, "weight": weight}), rates, {"g": 1, "d": 1})
    assert got == pytest.approx(walked(rule, eta, weight), rel=1e-9)
    if abs(margin := eta * (weight**2 + 1) - 2 * weight) > 1e-3:
        assert (got < 1) is (margin < 0)


@pytest.mark.parametrize(("every", "share"), [(2, 0.5), (5, 0.5), (5, 0.8), (10, 0.5), (2, 0.4)])
def test_lookahead_over_simultaneous_steps_is_its_formula(every, share):
    given = [f"update.simultaneous_lookahead.{key}={value}" for key, value in (("every", every), ("share", share))]
    known = abs(1 - share + share * (1 + IETA) ** every) ** (1 / every)
    assert radius(*BILINEAR, "update=simultaneous_lookahead", *given) == pytest.approx(known, abs=1e-12)
    # to the second order in eta, (k (1 - a) - 1) a k eta^2 / 2 is gained in a round
    small = [f"optimizer.sgd.{player}_lr=0.01" for player in "gd"]
    slow = radius(*small, *BILINEAR, "update=simultaneous_lookahead", *given)
    gained = (every * (1 - share) - 1) * share * 0.01**2 / 2
    assert 1 - slow == pytest.approx(gained, abs=2e-7)


def test_constant_noise_has_a_rate_where_it_is_not_sampled():
    given = [*DIRAC, "regularizer=constant_noise", "regularizer.constant_noise.sigma=0.8"]
    (sampled,) = resolve(None, over([*GAME, *given])).variants
    (exact,) = resolve(None, over([*GAME, *given, "regularizer.constant_noise.sampled=false"])).variants
    assert predict(sampled) is None
    (game,) = linear_games(exact)
    assert game.penalty == pytest.approx([0.8**2 / 2])
    assert not predict(exact).scheduled
    # 1 - eta / 2 (0.32 +- root(0.32^2 - 1)) of the simultaneous step
    simultaneous = radius(*given, "regularizer.constant_noise.sampled=false", "update=simultaneous")
    assert simultaneous == pytest.approx(abs(1 - ETA / 2 * (0.32 + 1j * math.sqrt(1 - 0.32**2))), abs=1e-9)


def test_optimism_is_popovs_recursion():
    own = ["optimizer=optimistic_sgd", *(f"optimizer.optimistic_sgd.{p}_lr={ETA}" for p in "gd"), "seeds=1"]
    (variant,) = resolve(None, over([*own, *BILINEAR, "update=simultaneous"])).variants
    assert predict(variant).radius == pytest.approx(FORMULAS["past_extragradient"], abs=1e-12)


@pytest.mark.parametrize("momentum", [-0.5, 0.5])
def test_momentum_of_simultaneous_steps_is_its_formula(momentum):
    # Gidel 2019b, sec. 4: l^2 - (1 + m + i eta) l + m
    known = np.abs(np.roots([1, -(1 + momentum + IETA), momentum])).max()
    got = radius(*BILINEAR, "update=simultaneous", f"optimizer.sgd.momentum={momentum}")
    assert got == pytest.approx(known, abs=1e-12)
    assert known > 1


def test_negative_momentum_converges_when_alternating_alone():
    signs = {(rule, m): behaviour(radius(*BILINEAR, f"update={rule}", f"optimizer.sgd.momentum={m}"))
             for rule in ("alternating", "simultaneous") for m in (-0.3, 0.0, 0.3)}  # fmt: skip
    assert signs == {
        ("alternating", -0.3): "converges", ("alternating", 0.0): "cycles", ("alternating", 0.3): "leaves",
        ("simultaneous", -0.3): "leaves", ("simultaneous", 0.0): "leaves", ("simultaneous", 0.3): "leaves",
    }  # fmt: skip


@pytest.mark.parametrize(("regularizer", "shares"), [("r1", 1), ("r2", 1), ("r1r2", 2)])
def test_zero_centred_penalties_on_dirac_are_their_formula(regularizer, shares):
    # eigenvalues of the flow: -(gamma / 2) +- sqrt(gamma^2 / 4 - f'(0)^2), f'(0) = 1/2 (Mescheder 2018, sec. 4.1)
    for gamma in (0.2, 1.0, 3.0):
        given = [*DIRAC, f"regularizer={regularizer}", f"regularizer.{regularizer}.gamma={gamma / shares}"]
        (variant,) = resolve(None, over([*GAME, *given, "update=simultaneous"])).variants
        half = -gamma / 2
        root = np.sqrt(complex(half**2 - 0.25))
        (game,) = linear_games(variant)
        assert np.sort_complex(-np.linalg.eigvals(game.field)) == pytest.approx(
            np.sort_complex(np.array([half + root, half - root])), abs=1e-7
        )
        assert radius(*given, "update=simultaneous") == pytest.approx(
            max(abs(1 + ETA * (half + root)), abs(1 + ETA * (half - root))), abs=1e-7
        )


def test_the_critical_gamma_is_the_fastest():
    gammas = np.arange(0.2, 3, 0.1)
    radii = [radius(*DIRAC, "regularizer=r1", f"regularizer.r1.gamma={g:.1f}", "update=simultaneous") for g in gammas]
    # 2 |f'(0)| = 1, up to the size of a step: a simultaneous one is fastest a little above
    assert gammas[int(np.argmin(radii))] == pytest.approx(1.0, abs=0.15)


def test_consensus_on_dirac_is_its_formula():
    # J = [[0, -1/2], [1/2, 0]]: the added J^T J is a quarter of the identity
    got = radius(*DIRAC, "update=consensus", "update.consensus.weight=2.0")
    assert got == pytest.approx(abs(1 + ETA * (0.5j - 0.5)), abs=1e-12)


def test_instance_noise_adds_half_its_variance_to_ds_curvature():
    given = [*DIRAC, "regularizer=instance_noise", "regularizer.instance_noise.sigma=0.8"]
    (variant,) = resolve(None, over([*GAME, *given])).variants
    games = linear_games(variant)
    assert games[0].penalty == pytest.approx([0.8**2 / 2])
    assert games[100].penalty == pytest.approx([0.4**2 / 2])
    assert predict(variant).behaviour == "converges"


def test_logistic_losses_converge_on_the_covariance_game_and_wasserstein_cycles():
    base = ["problem=covariance", "network=scale"]
    (variant,) = resolve(None, over([*GAME, *base, "loss=nonsaturating"])).variants
    (game,) = linear_games(variant)
    # slopes 1/2 by the square's slope of 2; D's curvature is that of softplus at 0, 1/4, on both sides
    assert game.field == pytest.approx(np.array([[0, -1], [1, 0.5]]))
    assert predict(variant).behaviour == "converges"
    assert radius(*base, "loss=wasserstein") == pytest.approx(1.0, abs=1e-12)
    penalized = [*base, "loss=wasserstein", "regularizer=r1", "regularizer.r1.gamma=0.1"]
    (variant,) = resolve(None, over([*GAME, *penalized])).variants
    assert linear_games(variant)[0].field == pytest.approx(np.array([[0, -2], [2, 0.4]]))


def test_condition_slows_the_slowest_direction():
    given = ["problem.bilinear.dimension=3", "network.point.condition=10"]
    got = radius(*BILINEAR[:2], "loss=wasserstein", *given, "update=extragradient")
    slow = 1j * ETA / 10
    assert got == pytest.approx(abs(1 + slow + slow**2), abs=1e-12)


@pytest.mark.parametrize(
    "given",
    [
        [*GAME, *DIRAC, "regularizer=lazy_r1"], [*GAME, *DIRAC, "trick=ema"],
        [*GAME, *DIRAC, "optimizer.sgd.decay=linear"], [*DIRAC, "seeds=1"],
        ["problem=ring8", "optimizer=sgd", "seeds=1"],
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_known_is_not_said(given):
    (variant,) = resolve(None, given).variants
    assert predict(variant) is None


def test_methods_without_a_rate_are_known_not_to_converge():
    for loss, regularizer in (("wasserstein", "gradient_penalty"), ("wasserstein", "weight_clipping")):
        (variant,) = resolve(None, over([*GAME, *DIRAC, f"loss={loss}", f"regularizer={regularizer}"])).variants
        assert (predict(variant).radius, predict(variant).behaviour) == (None, "does not converge")


def test_every_built_in_rule_has_its_theory():
    assert all(plugin.declared("linear") for plugin in registry.plugins("update"))


@pytest.mark.parametrize("factor", [0.9, 0.99, 1.0, 1.01])
@pytest.mark.parametrize("every", [1, 10])
def test_the_factor_of_a_spiral_is_read_off_its_path(factor, every):
    steps = np.arange(0, 400, every)
    angle = 0.3 * steps
    path = factor ** steps[:, None] * np.stack([np.cos(angle), 2 * np.sin(angle)], axis=1)
    assert contraction(path, every) == pytest.approx(factor, abs=1e-9)
    known = "cycles" if factor == 1 else "converges" if factor < 1 else "leaves"
    assert course(np.linalg.norm(path, axis=1)) == known


def test_each_pair_of_neighbours_weighs_the_same_however_small():
    # of the 41 positions the last 21 count: ten factors of .5 and ten of .9, of which the small positions have as many
    ratios = np.tile([0.5, 0.9], 20)
    path = np.concatenate([[1.0], np.cumprod(ratios)])[:, None]
    assert contraction(path, 1) == pytest.approx(0.7)


def test_rounding_at_the_end_of_a_path_is_left_out():
    steps = np.arange(300)
    path = 0.9 ** steps[:, None] * np.stack([np.cos(steps), np.sin(steps)], axis=1)
    noisy = path + 1e-7 * np.random.default_rng(0).normal(size=path.shape)
    assert contraction(noisy, 1, 1e-5) == pytest.approx(0.9, abs=1e-3)
    assert course(np.linalg.norm(noisy, axis=1), 1e-6) == "converges"


def test_a_direction_that_has_died_out_has_no_factor():
    steps = np.arange(200)
    path = np.stack([0.95**steps, 0.5**steps], axis=1)
    noisy = path * (1 + 1e-7 * np.random.default_rng(0).normal(size=path.shape))
    noisy[:, 1] += 1e-8 * noisy[:, 0] * np.random.default_rng(1).normal(size=len(path))
    assert contraction(noisy, 1) == pytest.approx(0.95, abs=1e-6)
    assert math.isnan(contraction(path[:3], 1))


def test_a_path_that_leaves_the_finite_numbers():
    assert course(np.array([1.0, 2.0, np.inf])) == "leaves"


@pytest.mark.parametrize(("distances", "from_start", "where"), [
    # quarters of two probes: the largest of the last against the largest of the second
    ([9, 9, 1, 1, 5, 5, 0.79, 0.1], False, "converges"), ([9, 9, 1, 1, 5, 5, 0.81, 0.1], False, "cycles"),
    ([9, 9, 1, 1, 5, 5, 0.1, 1.24], False, "cycles"), ([9, 9, 1, 1, 5, 5, 1.26, 0.1], False, "leaves"),
    ([9, 9, 0.1, 1, 5, 5, 0.1, 0.79], False, "converges"),
    # ... or of the first
    ([1, 1, 9, 9, 5, 5, 0.79, 0.1], True, "converges"), ([1, 1, 0.1, 0.1, 5, 5, 1.26, 1], True, "leaves"),
    ([1, 1, 9, 9, 5, 5, 1.26, 1], True, "leaves"),
    # nearer than the second quarter, and not than the start
    ([0.5, 0.5, 9, 9, 5, 5, 0.6, 0.6], False, "cycles"),
    # all of the last quarter below the floor
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e-19, 1e-19], False, "converges"),
    ([1e-19] * 7 + [2e-18], False, "leaves"), ([1e-19] * 6 + [2e-18, 1e-19], False, "leaves"),
    ([1.0, 1.0, math.inf], False, "leaves"), ([1.0, 1.0, math.nan], False, "leaves"),
    ([2.0, 1.0], True, "converges"), ([2.0, 1.0], False, "cycles"), ([1.0, 1.0, 1.0, 1.0], False, "cycles"),
])  # fmt: skip
def test_where_a_run_went_by_its_quarters(distances, from_start, where):
    assert course(np.array(distances, dtype=float), from_start=from_start) == where


def spiral(variant, factor, probes=40, every=5, seeds=2):
    """A study of one variant whose displacements turn and shrink by a factor a step."""
    angle = np.arange(probes) * 0.3
    length = factor ** (every * np.arange(probes))
    path = {"displacement.0": length * np.cos(angle), "displacement.1": length * np.sin(angle)}
    parts = [pd.DataFrame({"run": f"r{seed}", "step": every * np.arange(probes), **path}) for seed in range(seeds)]
    runs = pd.DataFrame({"run": [f"r{seed}" for seed in range(seeds)], "variant": variant.id})
    return SimpleNamespace(series=pd.concat(parts, ignore_index=True), runs=runs, variants=[variant])


@pytest.mark.parametrize(("share", "agrees"), [(1.0, True), (1.09, True), (0.91, True), (1.12, False), (0.88, False)])
def test_a_rate_agrees_within_a_tenth(share, agrees):
    (variant,) = resolve(None, over([*GAME, *BILINEAR, "update=extragradient"])).variants
    rate = predict(variant).radius
    assert rate < 1
    (row,) = courses.table(spiral(variant, rate**share)).to_dict("records")
    assert row["radius"] == pytest.approx(rate**share, rel=1e-6)
    assert row["radius_low"] == pytest.approx(row["radius_high"])
    assert row["went"] == {"converges": 2}
    assert row["distance"] == pytest.approx(rate ** (share * 5 * 39), rel=1e-6)
    assert row["agrees"] is agrees
    text = f"Theory: {int(agrees)} of 1 variants with a prediction went as it says"
    assert courses.sentences(courses.table(spiral(variant, rate**share))) == [
        f"{text}." if agrees else f"{text}, not {variant.id}."
    ]


@pytest.mark.parametrize(("factor", "agrees"), [(0.9, False), (1.0, True), (1.1, True)])
def test_what_cannot_converge_must_not(factor, agrees):
    (variant,) = resolve(None, over([*GAME, *BILINEAR, "update=simultaneous"])).variants
    assert predict(variant).behaviour != "converges"
    (row,) = courses.table(spiral(variant, factor)).to_dict("records")
    assert row["agrees"] is agrees


def agrees(variant, factor, **how):
    (row,) = courses.table(spiral(variant, factor, **how)).to_dict("records")
    return row["agrees"]


def test_of_what_theory_is_silent_on_nothing_is_said():
    (variant,) = resolve(None, over([*GAME, *DIRAC, "trick=ema"])).variants
    rows = courses.table(spiral(variant, 0.9))
    assert rows[["agrees", "theory"]].iloc[0].tolist() == [None, None]
    assert courses.sentences(rows) == []
    assert courses.sentences(rows.iloc[:0]) == []


def test_of_a_schedule_and_of_a_short_path_only_the_way_counts():
    noise = [*DIRAC, "regularizer=instance_noise", "regularizer.instance_noise.sigma=0.8"]
    (scheduled,) = resolve(None, over([*GAME, *noise])).variants
    assert predict(scheduled).scheduled
    # the mean rate of a schedule is no rate of its later half
    assert [agrees(scheduled, factor) for factor in (0.9, 0.99, 1.0, 1.01)] == [True, True, False, False]
    (constant,) = resolve(None, over([*GAME, *BILINEAR, "update=extragradient"])).variants
    assert agrees(constant, 0.5) is False
    # three probes of a plane have no factor
    assert agrees(constant, 0.5, probes=3) is True
    assert agrees(constant, 1.5, probes=3) is False


@pytest.mark.parametrize(("eta", "held_to_its_way"), [(0.2, True), (0.06, True), (0.03, False)])
def test_a_factor_above_0999_is_held_to_its_rate_alone(eta, held_to_its_way):
    rates = [f"optimizer.sgd.{player}_lr={eta}" for player in "gd"]
    (variant,) = resolve(None, over([*GAME, *BILINEAR, "update=extragradient", *rates])).variants
    # |1 + i eta - eta^2| is about 1 - eta^2 / 2: 0.98, 0.9982 and 0.99955
    known = abs(1 + 1j * eta - eta**2)
    assert predict(variant).radius == pytest.approx(known)
    assert (known < 0.999) is held_to_its_way
    # a dozen probes, one a step: from the second quarter to the last the distance hardly falls
    wanders = spiral(variant, known, probes=12, every=1)
    (row,) = courses.table(wanders).to_dict("records")
    assert row["went"] == {"cycles": 2}
    assert row["agrees"] is not held_to_its_way


@pytest.mark.parametrize("probes", [20, 21])
def test_a_factor_is_read_off_the_later_half(probes):
    angle = np.arange(probes) * 0.3
    path = (0.8 ** np.arange(probes))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    disturbed = path.copy()
    disturbed[: probes // 2] += np.random.default_rng(0).normal(size=(probes // 2, 2))
    assert contraction(disturbed, 1) == pytest.approx(0.8, rel=1e-9)
    disturbed[probes // 2] += 0.1
    assert contraction(disturbed, 1) != pytest.approx(0.8, rel=1e-3)


def test_without_a_rate_to_read_where_it_went_decides():
    (variant,) = resolve(None, over([*GAME, *BILINEAR, "update=extragradient"])).variants
    # three probes of two displacements are too few for a factor
    for factor, agrees in ((0.5, True), (1.0, False), (1.5, False)):
        (row,) = courses.table(spiral(variant, factor, probes=3)).to_dict("records")
        assert math.isnan(row["radius"])
        assert row["agrees"] is agrees


def test_of_a_schedule_the_rate_is_not_asked():
    (variant,) = resolve(None, over([*GAME, *DIRAC, "regularizer=instance_noise"])).variants
    known = predict(variant)
    assert (known.scheduled, known.behaviour) == (True, "converges")
    for factor, agrees in ((0.9, True), (0.99, True), (1.0, False)):
        (row,) = courses.table(spiral(variant, factor)).to_dict("records")
        assert row["agrees"] is agrees


def test_a_slow_rate_is_asked_where_the_way_cannot_be_seen():
    (variant,) = resolve(None, over([*GAME, *BILINEAR, "update=extragradient", "optimizer.sgd.g_lr=0.02",
                                     "optimizer.sgd.d_lr=0.02"])).variants  # fmt: skip
    rate = predict(variant).radius
    assert 0.999 < rate < 1
    for factor, agrees in ((rate, True), (1.001, False), (0.99, False)):
        (row,) = courses.table(spiral(variant, factor)).to_dict("records")
        assert row["agrees"] is agrees
    assert courses.table(spiral(variant, rate))["went"].tolist() == [{"cycles": 2}]


@pytest.mark.parametrize(("regularizer", "key", "times"), [
    ("zero_gradient_penalty", "weight", 2), ("r1", "gamma", 1), ("r1r2", "gamma", 2),
])  # fmt: skip
def test_a_penalty_is_weaker_where_the_interaction_is(regularizer, key, times):
    # D(s) = y A s: its squared slope in s is |A y|^2, of which the penalty takes so many halves
    given = ["problem.bilinear.dimension=2", "network.point.condition=4", f"regularizer={regularizer}",
             f"regularizer.{regularizer}.{key}=3"]  # fmt: skip
    (variant,) = resolve(None, over([*GAME, *BILINEAR, *given])).variants
    (game,) = linear_games(variant)
    assert game.penalty == pytest.approx(times * 3 * np.array([1, 1 / 16]))
    assert game.push == pytest.approx([1, 1 / 4])


def test_a_relativistic_loss_has_no_curvature_where_both_logits_move_alike(own_registry):
    @registry.register("loss")
    def paired(real_logits, fake_logits):
        """Of the difference of logits alone."""
        gap = real_logits - fake_logits
        return torch.nn.functional.softplus(-gap), torch.nn.functional.softplus(gap)

    (variant,) = resolve(None, over([*GAME, "problem=covariance", "network=scale", "loss=paired"])).variants
    (game,) = linear_games(variant)
    # d^2/dw^2 of softplus(-(w - w v^2)) at v = 1 is 0; f'(0) = 1/2, and v^2 has slope 2
    assert game.own == pytest.approx([0.0], abs=1e-12)
    assert (game.push, game.pull) == (pytest.approx([1.0]), pytest.approx([1.0]))


@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
@pytest.mark.parametrize("turns", [1, 4])
def test_an_unrolled_critic_on_the_covariance_game_is_that_of_its_derivatives(loss, turns):
    softplus = torch.nn.functional.softplus

    def of_d(v, w):
        return softplus(-w) + softplus(w * v**2)

    def of_g(v, w):
        # less what D has on real samples: what D gains there by a step ahead is G's loss
        of_fake = softplus(-w * v**2) if loss == "nonsaturating" else -softplus(w * v**2)
        return of_fake - softplus(-w)

    def slope(value, at):
        return torch.autograd.grad(value, at, create_graph=True)[0]

    def step(state):
        v, w = state
        w = w - ETA * slope(of_d(v, w), w)
        # what G sees of D's reaction are the steps ahead, not the one that D has made
        own, ahead = v.clone(), w
        for _ in range(turns):
            ahead = ahead - 0.1 * slope(of_d(own, ahead), ahead)
        return torch.stack([v - ETA * slope(of_g(own, ahead), own), w])

    jacobian = torch.autograd.functional.jacobian(step, torch.tensor([1.0, 0.0], dtype=torch.float64))
    known = np.abs(np.linalg.eigvals(jacobian.numpy())).max()
    given = ["problem=covariance", "network=scale", f"loss={loss}", "update=unrolled", "update.unrolled.rate=0.1"]
    assert radius(*given, f"update.unrolled.steps={turns}") == pytest.approx(known, abs=1e-9)


def test_a_schedule_is_followed_from_its_start():
    # it has arrived before the second quarter, where it no longer moves: a constant game would cycle there
    noise = [*DIRAC, "regularizer=instance_noise", "regularizer.instance_noise.sigma=0.8"]
    for given, went in ((noise, {"converges": 2}), ([*BILINEAR, "update=extragradient"], {"cycles": 2})):
        (variant,) = resolve(None, over([*GAME, *given])).variants
        study = spiral(variant, 1.0, probes=40)
        early = study.series["step"] < 5 * 10
        study.series[["displacement.0", "displacement.1"]] *= np.where(early, 1.0, 0.1)[:, None]
        (row,) = courses.table(study).to_dict("records")
        assert row["went"] == went


def test_a_table_has_the_variants_that_were_trained_in_the_plans_order():
    variants = resolve(None, over([*GAME, *BILINEAR, "update=extragradient,simultaneous,alternating"])).variants
    first, second, third = (spiral(variant, factor) for variant, factor in zip(variants, (0.9, 1.0, 1.1), strict=True))
    for place, one in enumerate((first, second, third)):
        for table in (one.series, one.runs):
            table["run"] += f"-{place}"
    series = pd.concat([third.series, first.series], ignore_index=True)
    # a probe that has no displacement, as of another problem, is none of a path
    series = pd.concat([series, pd.DataFrame({"run": ["r0-0"], "step": [999]})], ignore_index=True)
    runs = pd.concat([third.runs, second.runs, first.runs], ignore_index=True)
    found = courses.table(SimpleNamespace(series=series, runs=runs, variants=variants))
    assert found["variant"].tolist() == [variants[0].id, variants[2].id]
    assert found["problem"].tolist() == ["bilinear"] * 2
    assert found["distance"].tolist() == pytest.approx([0.9 ** (5 * 39), 1.1 ** (5 * 39)])
    nothing = courses.table(
        SimpleNamespace(series=pd.DataFrame({"run": ["r"], "step": [0]}), runs=runs, variants=variants)
    )
    assert nothing.empty
    assert list(nothing.columns) == list(found.columns)


def test_seeds_are_told_by_their_range_and_counted_by_where_they_went():
    (variant,) = resolve(None, over([*GAME, *BILINEAR, "update=extragradient"])).variants
    parts = [spiral(variant, factor, seeds=1).series.assign(run=f"r{place}")
             for place, factor in enumerate((0.9, 1.0, 1.1, 0.95, 0.8))]  # fmt: skip
    runs = pd.DataFrame({"run": [f"r{place}" for place in range(5)], "variant": variant.id})
    (row,) = courses.table(
        SimpleNamespace(series=pd.concat(parts, ignore_index=True), runs=runs, variants=[variant])
    ).to_dict("records")
    assert [row[name] for name in ("radius_low", "radius", "radius_high")] == pytest.approx([0.8, 0.95, 1.1])
    assert row["went"] == {"converges": 3, "cycles": 1, "leaves": 1}
    assert list(row["went"]) == ["converges", "cycles", "leaves"]
    assert row["distance"] == pytest.approx(0.95 ** (5 * 39))
    assert row["agrees"] is False


@pytest.mark.parametrize(("wrong", "told"), [
    ([], "."), (["a"], ", not a."), (["a", "b", "c"], ", not a, b, c."),
    (["a", "b", "c", "d"], ", not a, b, c and others."),
])  # fmt: skip
def test_at_most_three_that_went_elsewhere_are_named(wrong, told):
    rows = pd.DataFrame({"variant": [*wrong, "good", "silent"], "agrees": [*[False] * len(wrong), True, None]})
    assert courses.sentences(rows) == [
        f"Theory: 1 of {len(wrong) + 1} variants with a prediction went as it says{told}"
    ]


def test_a_path_keeps_a_parameter_that_is_lost_on_the_way():
    """A run that leaves the numbers has its path until then; what a game has no parameter for is no axis of it."""
    run = pd.DataFrame({"step": [0, 1], "displacement.0": [1.0, np.nan], "displacement.1": [np.nan, np.nan]})
    np.testing.assert_array_equal(courses.displacements(run), [[1.0], [np.nan]])
