"""What a probe says of a variant with a trick: averages beside the trained G, losses as they were trained."""

import math

import numpy as np
import pytest
import torch
from overriding import over

from ganbench import api, registry
from ganbench.analysis.scores import scores
from ganbench.analysis.verdicts import judge
from ganbench.measure.diagnostics import Game
from ganbench.measure.evaluate import Evaluator
from ganbench.registry import averaged
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.loop import Prober
from ganbench.training.population import Population
from ganbench.training.snapshot import Snapshot
from ganbench.training.step import train_step

CPU = torch.device("cpu")
MLP = ("problem=ring8", "network.mlp.width=8")
IMAGES = ("problem=digits", "network=dcgan", "network.dcgan.width=4")


def population(*overrides, steps=6, dtype=torch.float64):
    runs = resolve(None, over(["seeds=2", "batch_size=16", "latent_dim=4", "loss=hinge", *overrides])).runs
    own = Population(runs, make_problem(runs[0].variant), CPU, dtype)
    for _ in range(steps):
        train_step(own)
    return own


# ---- the average of G's weights


@pytest.mark.parametrize(("name", "column"), [
    ("frechet", "frechet_ema"), ("frechet_pixels", "frechet_pixels_ema"), ("mode_share.3", "mode_share_ema.3"),
])  # fmt: skip
def test_names_of_averages(name, column):
    assert averaged(name) == column
    plain, average = (registry.measures()[key.partition(".")[0]] for key in (name, column))
    assert average.legend == f"{plain.legend}; of the average of G's weights"
    assert (average.direction, average.bounds, average.unit) == (plain.direction, plain.bounds, plain.unit)


@pytest.mark.parametrize("own", [MLP, IMAGES], ids=["points", "images"])
def test_metrics_of_the_average_are_those_of_a_generator_with_these_weights(own):
    trained = population(*own, "trick=ema", "trick.ema.decay=0.5", dtype=torch.float32)
    evaluator = Evaluator(trained.problem, 64, 32)
    prober = Prober(trained, evaluator)
    columns, kept = prober.probe()
    plain, _ = Prober(population(*own, dtype=torch.float32), evaluator).probe()
    assert {name for name in columns if "_ema" in name} == {averaged(n) for n in evaluator.oracle()}
    # the trained G itself is that of training without the trick, and so is all else that is measured of it
    assert all(torch.equal(columns[name], plain[name]) or columns[name].isnan().any() for name in plain)
    assert {name for name in columns if "_ema" not in name} == set(plain)
    for row, run in enumerate(trained.runs):
        g, _ = build_networks(run.variant, trained.problem, run.seed)
        flat = trained.memory["trick.ema"]["g"][row]
        torch.nn.utils.vector_to_parameters(flat, g.parameters())
        with torch.no_grad():
            expected = evaluator.measure(g(prober.latents[row]).unsqueeze(0))
        for name, value in expected.items():
            assert columns[averaged(name)][row].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-5), name
    assert not torch.allclose(columns["sliced_wasserstein"], columns["sliced_wasserstein_ema"])
    torch.testing.assert_close(kept, trained.generate(prober.latents)[:, : kept.shape[1]])


def test_without_the_trick_nothing_is_measured_twice():
    own = population(*MLP, dtype=torch.float32)
    columns, _ = Prober(own, Evaluator(own.problem, 64, 32)).probe()
    assert not [name for name in columns if "_ema" in name]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study in which variants with and without an average train well and diverge."""
    overrides = ["problem=ring8", "steps=20", "seeds=2", "batch_size=16", "probe_every=10", "samples=64",
                 "neighbours=32", "network.mlp.width=8", "trick=none,ema", "loss=hinge",
                 "optimizer.adam.d_lr=1e30,2e-3"]  # fmt: skip
    return api.run(None, overrides, out=tmp_path_factory.mktemp("averages") / "study", workers=1)


def test_results_know_the_average(study):
    assert study.oracle["ring8"]["frechet_ema"] == study.oracle["ring8"]["frechet"]
    rows = study.series.merge(study.runs[["run", "trick", "status"]], on="run")
    measured = rows.groupby(["trick", "status"])["frechet_ema"].count().to_dict()
    assert measured == {("none", "done"): 0, ("none", "diverged"): 0, ("ema", "done"): 6, ("ema", "diverged"): 2}
    assert study.export(formats=["csv"])[0].read_text().count("frechet_ema_final") == 1
    assert "frechet_ema" in study.report().read_text()


def test_runs_without_an_average_have_no_score_of_one(study):
    table = scores(study, ["frechet", "frechet_ema"]).merge(study.runs[["run", "trick", "status"]], on="run")
    assert sorted(table["measure"]) == ["frechet"] * 8 + ["frechet_ema"] * 4
    averages = table[table["measure"] == "frechet_ema"]
    assert set(averages["trick"]) == {"ema"}
    assert np.isinf(averages.loc[averages["status"] == "diverged", "final"]).all()
    assert np.isfinite(averages.loc[averages["status"] == "done", "final"]).all()


def test_verdicts_judge_the_trained_generator(study):
    before = judge(study).set_index("run")["verdict"]
    tricks = study.runs.set_index("run")["trick"]
    # of the same seeds and rates, one verdict whether an average is kept or not
    assert sorted(before[tricks == "ema"]) == sorted(before[tricks == "none"])


# ---- feature matching


@pytest.mark.parametrize("own", [MLP, IMAGES], ids=["points", "images"])
def test_losses_of_feature_matching_are_those_that_it_trains(own):
    trained = population(*own, "trick=feature_matching")
    real, latents = trained.draw("data", 90), trained.draw("d latent", 90)
    with trained.measuring():
        game = Game(Snapshot(trained), real, latents)
        got = registry.get("diagnostic", "players")(game)
        playing = Snapshot(trained).differentiable(real, latents)
        losses = playing.losses(playing.g, playing.d)
    for row, run in enumerate(trained.runs):
        g, d = (module.double() for module in build_networks(run.variant, trained.problem, run.seed))
        for module, player in ((g, trained.generator), (d, trained.discriminator)):
            torch.nn.utils.vector_to_parameters(player.flat[row], module.parameters())
        fake = g(latents[row])
        real_logits, fake_logits = d(real[row]), d(fake)
        features = [d[:-1](x).flatten(1).mean(0) for x in (real[row], fake)]
        g_loss = (features[0] - features[1]).pow(2).sum()
        d_loss = torch.relu(1 - real_logits).mean() + torch.relu(1 + fake_logits).mean()
        norm = torch.cat([part.flatten() for part in torch.autograd.grad(g_loss, list(g.parameters()))]).norm()
        assert got["g_loss"][row].item() == pytest.approx(g_loss.item(), rel=1e-9)
        assert got["d_loss"][row].item() == pytest.approx(d_loss.item(), rel=1e-9)
        assert got["g_gradient_norm"][row].item() == pytest.approx(norm.item(), rel=1e-8)
        assert [side[row].item() for side in losses] == pytest.approx([d_loss.item(), g_loss.item()], rel=1e-9)


def test_no_logit_of_feature_matching_saturates():
    own = population(*MLP, "trick=feature_matching", dtype=torch.float32)
    columns, _ = Prober(own, Evaluator(own.problem, 64, 32), "expensive").probe()
    assert columns["saturation"].isnan().all()
    assert columns["game_eig_max_abs"].isfinite().all()
    assert math.isfinite(columns["d_ranking"].sum())


# ---- packing


def test_diagnostics_of_packs_are_those_of_the_critic_of_packs():
    trained = population(*MLP, "trick=packing")
    real, latents = trained.draw("data", 90), trained.draw("d latent", 90)
    with trained.measuring():
        game = Game(Snapshot(trained), real, latents)
        got = {name: registry.get("diagnostic", name)(game) for name in ("players", "logits", "input_gradients")}
        playing = Snapshot(trained).differentiable(real, latents)
        losses = playing.losses(playing.g, playing.d)
    for row, run in enumerate(trained.runs):
        g, d = (module.double() for module in build_networks(run.variant, trained.problem, run.seed))
        for module, player in ((g, trained.generator), (d, trained.discriminator)):
            torch.nn.utils.vector_to_parameters(player.flat[row], module.parameters())
        sides = [x.detach().requires_grad_() for x in (real[row], g(latents[row]))]
        logits = [d(torch.cat([x[0::2], x[1::2]], 1)).flatten() for x in sides]
        d_loss = torch.relu(1 - logits[0]).mean() + torch.relu(1 + logits[1]).mean()
        slopes = [torch.autograd.grad(y.sum(), x, retain_graph=True)[0].norm(dim=1).mean() for x, y in
                  zip(sides, logits, strict=True)]  # fmt: skip
        assert got["players"]["d_loss"][row].item() == pytest.approx(d_loss.item(), rel=1e-9)
        assert got["logits"]["real_logit"][row].item() == pytest.approx(logits[0].mean().item(), rel=1e-9)
        ranking = (logits[0][:, None] > logits[1]).double().mean().item()
        assert got["logits"]["d_ranking"][row].item() == pytest.approx(ranking)
        for side, slope in zip(("real", "fake"), slopes, strict=True):
            assert got["input_gradients"][f"d_input_gradient_{side}"][row].item() == pytest.approx(slope.item())
        assert losses[0][row].item() == pytest.approx(d_loss.item(), rel=1e-9)
