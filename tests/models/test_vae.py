"""The VAE against plain modules and the bound as the paper writes it; and through the harness, as any model."""

import pytest
import torch
from overriding import over
from torch.distributions import Independent, Normal, kl_divergence

import ganbench
from ganbench import registry
from ganbench.analysis.verdicts import judge
from ganbench.errors import UserError
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner

BASE = ["model=vae", "problem=ring8", "model.vae.width=6", "latent_dim=3", "seeds=2", "steps=10", "batch_size=16"]
SMALL = [*BASE, "optimizer=sgd", "optimizer.sgd.g_lr=0.05", "optimizer.sgd.decay=none"]  # fmt: skip


def learner(*overrides, base=SMALL):
    runs = resolve(None, over([*base, *overrides])).runs
    return make_learner(list(runs), make_problem(runs[0].variant), torch.device("cpu"))


@pytest.mark.parametrize("own", [["model.vae.beta=1.0"], ["model.vae.beta=4.0", "problem=digits"]])
def test_a_step_is_gradient_descent_on_minus_the_bound(own):
    """-ELBO = -E log N(x; decoder(z), s^2) + beta KL(q || N(0, 1)), a mean over samples and elements."""
    model = learner(*own)
    module, beta = model.player.module, float(own[0].split("=")[1])
    for row in range(2):
        views = {
            name: view[row].clone().requires_grad_() for name, view in model.player.views(model.player.flat).items()
        }
        real = model.streams["data"].at(0)[model.seed_index[row]].flatten(1)
        normal = model.streams["vae noise"].at(0)[model.seed_index[row]]

        def part(name, x, views=views):
            own = {key.removeprefix(f"{name}."): value for key, value in views.items() if key.startswith(f"{name}.")}
            return torch.func.functional_call(getattr(module, name), own, (x,))

        mean, log_variance = part("encoder", real).chunk(2, -1)
        posterior = Independent(Normal(mean, (log_variance / 2).exp()), 1)
        decoded = part("decoder", mean + (log_variance / 2).exp() * normal)
        likelihood = Independent(Normal(decoded, views["log_scale"].exp()), 1).log_prob(real)
        prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
        bound = (likelihood - beta * kl_divergence(posterior, prior)).mean() / real.shape[1]
        gradients = torch.autograd.grad(-bound, list(views.values()))
        want = torch.cat([(view - 0.05 * gradient).flatten() for view, gradient in zip(views.values(), gradients,
                                                                                       strict=True)])  # fmt: skip
        twin = learner(*own)
        twin.advance()
        torch.testing.assert_close(twin.player.flat[row], want.detach(), rtol=1e-5, atol=1e-6)


def test_it_learns_the_digits():
    study = resolve(None, ["model=vae", "problem=digits", "seeds=1", "steps=400", "latent_dim=4"])
    model = make_learner(list(study.runs), make_problem(study.runs[0].variant), torch.device("cpu"))
    latents = torch.randn(1, 200, 4, generator=torch.Generator().manual_seed(0))
    digit, far, spread = model.problem.images.mean(0), [], []
    for steps in (0, 400):
        for _ in range(steps):
            model.advance()
        with torch.no_grad():
            fake = model.generate(latents)[0]
        far.append((fake.mean(0) - digit).abs().mean().item())
        spread.append(fake.std(0).mean().item())
    assert far[1] < far[0] / 2, "the mean sample comes to the mean digit"
    assert spread[1] > 2 * spread[0], "and samples become different ones"


@pytest.mark.parametrize(("override", "reason"), [
    ("loss=hinge", "loss hinge with model vae: it has none"),
    ("regularizer=r1", "regularizer r1 with model vae: it has none"),
    ("trick=ema", "trick ema with model vae: it has none"),
    ("network=dcgan", "network dcgan with model vae: it has none"),
    ("problem=ring8_labelled", "it takes nothing given"),
])  # fmt: skip
def test_what_means_nothing_to_it_is_skipped_with_its_reason(override, reason):
    with pytest.raises(UserError) as told:
        resolve(None, ["model=vae", override])
    assert reason in str(told.value)


@pytest.mark.parametrize(("override", "told"), [
    ("model.vae.width=0", "'model.vae.width' must be at least 1, got 0"),
    ("model.vae.depth=0", "'model.vae.depth' must be at least 1, got 0"),
    ("model.vae.scale=0.0", "'model.vae.scale' must be above 0"),
    ("model.vae.scale=-0.1", "'model.vae.scale' must be above 0"),
])  # fmt: skip
def test_values_that_make_no_sense_are_refused(override, told):
    with pytest.raises(UserError, match=told):
        learner(override)


def test_the_least_values_are_taken_and_the_usual_ones_are_known():
    least = learner("model.vae.width=1", "model.vae.depth=1", "model.vae.scale=1e-6")
    assert [tuple(shape) for name, shape in least.player.shapes.items() if name.startswith("decoder.")] == [
        (1, 3), (1,), (2, 1), (2,),
    ]  # fmt: skip
    plugin = registry.get("model", "vae")
    assert dict(plugin.hypers) == {"width": 32, "depth": 2, "beta": 1.0, "scale": 0.1}


@pytest.mark.parametrize(("problem", "bounded"), [("ring8", False), ("digits", True)])
@pytest.mark.parametrize("depth", [1, 3])
def test_its_networks_layer_by_layer(problem, bounded, depth):
    module = learner(f"problem={problem}", f"model.vae.depth={depth}", "model.vae.scale=0.25").player.module
    size, hidden = (64 if bounded else 2), [("Linear", 6, 6), ("ReLU",)] * (depth - 1)

    def told(layers):
        return [
            (type(one).__name__, *((one.in_features, one.out_features) if hasattr(one, "in_features") else ()))
            for one in layers
        ]

    assert told(module.encoder) == [("Linear", size, 6), ("ReLU",), *hidden, ("Linear", 6, 2 * 3)]
    assert told(module.decoder) == [("Linear", 3, 6), ("ReLU",), *hidden, ("Linear", 6, size), *[("Tanh",)] * bounded]
    assert module.log_scale.exp().item() == pytest.approx(0.25)


def test_runs_share_their_weights_by_seed_and_samples_are_the_decoders_means():
    model = learner("seeds=3,1", "problem=digits", "optimizer.sgd.g_lr=0.05,0.1")
    seeds = [run.seed for run in model.runs]
    for row, seed in enumerate(seeds):
        for other, another in enumerate(seeds):
            assert torch.equal(model.player.flat[row], model.player.flat[other]) == (seed == another)
    latents = torch.randn(len(seeds), 5, 3, generator=torch.Generator().manual_seed(0))
    fake = model.generate(latents)
    assert fake.shape == (len(seeds), 5, 1, 8, 8)
    assert not fake.requires_grad
    for row in range(len(seeds)):
        views = {name: view[row] for name, view in model.player.views(model.player.flat).items()}
        own = {name.removeprefix("decoder."): view for name, view in views.items() if name.startswith("decoder.")}
        alone = torch.func.functional_call(model.player.module.decoder, own, (latents[row],))
        torch.testing.assert_close(fake[row].flatten(1), alone)


def test_building_it_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    learner()
    assert torch.equal(torch.get_rng_state(), state)


def test_it_plays_no_game_and_keeps_no_average():
    model = learner()
    assert model.game() is None
    assert model.generate_average(torch.zeros(2, 4, 3)) is None
    assert [model.whole(samples) for samples in (0, 1, 17)] == [0, 1, 17]
    assert list(model.looped) == []
    with model.measuring():
        pass


def test_its_rate_decays_and_its_optimizer_counts_its_steps():
    model = learner("optimizer.adam.g_lr=0.01", "optimizer.adam.decay=sqrt", "steps=8", base=BASE)
    for step in range(3):
        assert (model.step, model.player.descents) == (step, step)
        model.advance()
        assert model.clock.step.item() == step
        assert model.clock.rate.item() == pytest.approx((1 - step / 8) ** 0.5)


def test_a_step_costs_what_its_layers_do():
    model = learner("seeds=3")
    before = {name: value.clone() for name, value in model.player.state_dict().items() if torch.is_tensor(value)}
    found = model.costs()
    # encoder and decoder on a batch of 16: forward, by weight for every layer, by input for all but the first
    layers = [2 * 16 * a * b for a, b in ((2, 6), (6, 6), (6, 6), (3, 6), (6, 6), (6, 2))]
    assert list(found.flop) == pytest.approx([3 * sum(layers) - layers[0]] * 3, rel=0.01)
    assert found.peak_bytes > 4 * 2 * model.player.flat.numel()
    assert model.step == 0
    assert all(torch.equal(model.player.state_dict()[name], value) for name, value in before.items())


def test_it_goes_on_where_it_was():
    straight, other = learner(base=BASE), learner("seeds=5,6", base=BASE)
    for _ in range(3):
        straight.advance()
    straight.alive[1] = False
    straight.diverged_step[1] = 2
    state = straight.state_dict()
    assert state.keys() == {"step", "alive", "diverged_step", "player"}
    other.load_state_dict(state)
    assert (other.step, other.alive.tolist(), other.diverged_step.tolist()) == (3, [True, False], [-1, 2])
    assert torch.equal(other.player.flat, straight.player.flat)
    assert other.player.descents == 3
    assert other.player.state.keys() == straight.player.state.keys() != set()


def test_models_share_a_study_and_everything_behind_it(tmp_path):
    """Trained, probed, judged, gated, reported beside a GAN by the same harness."""
    overrides = ["model=gan,vae", "problem=digits", "seeds=2", "steps=20", "probe_every=10", "batch_size=16",
                 "samples=64", "neighbours=32", "network.mlp.width=8"]  # fmt: skip
    study = ganbench.run(overrides=overrides, out=tmp_path / "study", workers=1)
    runs = study.runs.set_index("run")
    assert (runs["status"] == "done").all()
    assert sorted(runs["model"]) == ["gan", "gan", "vae", "vae"]
    assert (runs["gflop"] > 0).all()
    last = study.series[study.series["step"] == 20].set_index("run")
    of_vae = last.loc[runs.index[runs["model"] == "vae"]]
    assert of_vae["precision"].notna().all()
    assert of_vae["d_loss"].isna().all(), "no game is played"
    verdicts = judge(study).set_index("run")["verdict"]
    assert set(verdicts.index) == set(runs.index)
    assert "vae" in study.report().read_text(encoding="utf-8")
