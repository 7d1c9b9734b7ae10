"""Games in closed form: where they start, how far they are from their equilibrium, what they refuse."""

import math

import pytest
import torch
from overriding import over

from ganbench import api, registry
from ganbench.analysis.seeds import seed_results
from ganbench.errors import UserError
from ganbench.measure.diagnostics import Game as ProbedGame
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population
from ganbench.training.snapshot import Snapshot

GAMES = [plugin for plugin in registry.plugins("problem") if "game" in plugin.provides]
NETWORK = {"dirac": "point", "bilinear": "point", "covariance": "scale"}
every_game = pytest.mark.parametrize("name", [plugin.name for plugin in GAMES])


def variant_of(name, *overrides):
    return resolve(None, over([f"problem={name}", f"network={NETWORK[name]}", "seeds=3", *overrides]))


@every_game
def test_data_are_fixed_and_have_no_feature_space(name):
    problem = registry.get("problem", name)()
    first, other = (problem.sample(6, stream("test", seed)) for seed in (0, 1))
    assert torch.equal(first, other)
    assert first.shape == (6, *problem.shape)
    assert problem.feature_spaces == ()
    moments = first.mean(0), first.square().mean(0)
    assert moments[0].abs().max() == 0
    assert (moments[1] == (1 if name == "covariance" else 0)).all()


@every_game
def test_players_start_at_the_same_distance_in_directions_of_their_seed(name):
    plan = variant_of(name)
    population = Population(plan.runs, make_problem(plan.variants[0]), torch.device("cpu"))
    away = Snapshot(population).displacement()
    assert away.norm(dim=1).tolist() == pytest.approx([0.1] * 3, abs=1e-6)
    assert (torch.cosine_similarity(away[0], away[1], dim=0) - 1).abs() > 1e-3


def test_players_are_the_games_own():
    plan = variant_of("bilinear", "problem.bilinear.dimension=3", "network.point.condition=100")
    (variant,) = plan.variants
    g, d = build_networks(variant, make_problem(variant), 0)
    x, y = (next(player.parameters()).detach().flatten() for player in (g, d))
    assert torch.equal(g(torch.randn(2, 8)), x.expand(2, 3))
    s = torch.tensor([[1.0, 2.0, 3.0]])
    assert d(s).item() == pytest.approx((y * torch.tensor([1, 0.1, 0.01]) * s).sum().item(), rel=1e-6)

    (variant,) = variant_of("covariance").variants
    g, d = build_networks(variant, make_problem(variant), 0)
    v, w = (next(player.parameters()).item() for player in (g, d))
    assert (v - 1) ** 2 + w**2 == pytest.approx(0.01, rel=1e-4), (
        "it starts beside v = 1, the one of the two that is told"
    )
    latents = torch.tensor([[-3.0] * 8, [0.5] * 8])
    assert g(latents).flatten().tolist() == pytest.approx([-v, v])
    assert d(torch.tensor([[2.0], [-3.0]])).flatten().tolist() == pytest.approx([4 * w, 9 * w])


@pytest.mark.parametrize("name", NETWORK)
def test_players_start_where_they_are_told_to(name):
    network = NETWORK[name]
    both = variant_of(name, f"network.{network}.g_start=1", f"network.{network}.d_start=-0.5")
    population = Population(both.runs, make_problem(both.variants[0]), torch.device("cpu"))
    assert population.generator.flat.eq(1).all()
    assert population.discriminator.flat.eq(-0.5).all()
    # one that is not told starts as it would without the other
    one, none = (
        Population(plan.runs, make_problem(plan.variants[0]), torch.device("cpu"))
        for plan in (variant_of(name, f"network.{network}.d_start=0"), variant_of(name))
    )
    assert torch.equal(one.generator.flat, none.generator.flat)
    assert not one.discriminator.flat.any()


def test_a_start_stays_out_of_the_ids_of_variants_that_have_none():
    (plain,), (placed,) = variant_of("dirac").variants, variant_of("dirac", "network.point.g_start=0.5").variants
    assert plain.id != placed.id
    assert not [key for key in plain.filed if "start" in key]


def test_the_nearer_equilibrium_of_a_scale_counts():
    problem = registry.get("problem", "covariance")()
    v, w = torch.tensor([[1.25], [-0.5]]), torch.tensor([[0.5], [0.0]])
    assert problem.displacement(v, w).tolist() == [[0.25, 0.5], [-0.5, 0.0]]


def test_nearness_is_one_half_at_its_distance():
    plan = variant_of("dirac")
    population = Population(plan.runs, make_problem(plan.variants[0]), torch.device("cpu"))
    population.generator.flat.copy_(torch.tensor([[0.0], [0.006], [3.0]]))
    population.discriminator.flat.copy_(torch.tensor([[0.0], [0.008], [4.0]]))
    game = ProbedGame(Snapshot(population), torch.zeros(3, 4, 1), torch.zeros(3, 4, 8))
    columns = registry.get("diagnostic", "equilibrium")(game)
    assert columns["equilibrium_distance"].tolist() == pytest.approx([0, 0.01, 5])
    assert columns["nearness"].tolist() == pytest.approx([1, 0.5, 0.01 / 5.01])
    assert columns["displacement.1"].tolist() == pytest.approx([0, 0.008, 4])


@pytest.mark.parametrize(("overrides", "told"), [
    (["problem=dirac"], "dirac with network mlp: its equilibrium is known for the network 'point'"),
    (["problem=ring8", "network=point"], "point with problem ring8: it plays the games 'dirac' and 'bilinear'"),
    (["problem=covariance", "network=point"], "covariance with network point"),
    (["problem=dirac", "network=point", "normalization=spectral"], "point with normalization spectral: the players"),
    (["problem=dirac", "network=point", "g_normalization=layer"], "point with g_normalization layer: the players"),
])  # fmt: skip
def test_what_has_no_known_equilibrium_is_refused_with_its_reason(overrides, told):
    with pytest.raises(UserError, match="every combination is skipped") as raised:
        resolve(None, over(["loss=hinge", "seeds=1", *overrides]))
    assert told in str(raised.value)


def test_a_game_is_a_study_like_any_other(tmp_path):
    settings = ["loss=nonsaturating", "optimizer=sgd", "optimizer.sgd.d_lr=0.2", "optimizer.sgd.g_lr=0.2",
                "regularizer=none,r1", "regularizer.r1.gamma=1.0", "steps=200", "probe_every=20", "samples=16",
                "neighbours=16", "batch_size=2"]  # fmt: skip
    study = api.execute_plan(variant_of("dirac", *settings), out=tmp_path / "study")
    verdicts = study.runs.groupby("regularizer")["verdict"].agg(set).to_dict()
    assert verdicts["r1"] == {"converged"}
    assert "converged" not in verdicts["none"]
    last = study.series.groupby("run").last()
    assert last["nearness"].tolist() == pytest.approx((0.01 / (0.01 + last["equilibrium_distance"])).tolist(), rel=1e-5)
    assert study.ranking().iloc[0]["quality_of"] == "nearness"
    assert study.ranking().iloc[0]["covered_of"] is None
    assert math.isnan(study.ranking().iloc[0]["recall"])
    scores = {run["run"]: run["nearness"] for run in last.reset_index().to_dict("records")}
    for variant, results in seed_results([study]).items():
        runs = study.runs[study.runs["variant"] == variant].sort_values("seed")["run"]
        assert [result.score for result in results] == pytest.approx([scores[run] for run in runs], abs=1e-6)
