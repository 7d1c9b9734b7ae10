"""Every model that a loss trains, as a population: each run as the plain module that it is, and through the harness."""

import math

import pytest
import torch
from overriding import over
from torch.func import functional_call

import ganbench
from ganbench import registry
from ganbench.analysis.verdicts import judge
from ganbench.models.alone import Alone
from ganbench.models.fitted import Fitted
from ganbench.models.trained import Trained
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner

SMALL = ["optimizer=sgd", "optimizer.sgd.g_lr=0.05", "optimizer.sgd.decay=none", "seeds=3,5", "steps=10",
         "batch_size=8", "latent_dim=3"]  # fmt: skip
LEAST = {"ddpm": ["model.ddpm.levels=4"], "rbm": ["model.rbm.hidden=3", "model.rbm.sweeps=2"],
         "gaussian_mixture": ["model.gaussian_mixture.components=3"], "flow_matching": ["model.flow_matching.moves=2"],
         "tokenizer": ["model.tokenizer.width=4", "model.tokenizer.codes=5"],
         "kl_tokenizer": ["model.kl_tokenizer.width=4"],
         "kernel_density": ["model.kernel_density.points=32"], "copies": ["model.copies.points=32"]}  # fmt: skip


def learner(name, *overrides):
    ignored = registry.get("model", name).declared("ignores")
    others = "optimizer" in ignored or any(one.startswith("optimizer=") for one in overrides)
    own = [one for one in SMALL if not (others and one.startswith("optimizer"))]
    runs = resolve(None, over([f"model={name}", *own, *LEAST.get(name, []), *overrides])).runs
    return make_learner(list(runs), make_problem(runs[0].variant), torch.device("cpu"))


def of(form):
    """Return the models whose learner is of a form."""
    return [name for name in registry.names("model") if name != "gan" and isinstance(learner(name), form)]


ALONE, TRAINED, FITTED = of(Alone), of(Trained), of(Fitted)
LIKELY = [name for name in ALONE if registry.get("model", name).declared("likelihood")]
TOKENIZERS = ("tokenizer", "kl_tokenizer")
BY_ONE_LOSS = [name for name in TRAINED if name not in ("vae", "adversarial_autoencoder", *TOKENIZERS)]


class Method(torch.nn.Module):
    def __init__(self, of, name):
        super().__init__()
        self.of, self.name = of, name

    def forward(self, *inputs):
        return getattr(self.of, self.name)(*inputs)


def plain(own, row):
    """Return one run's parameters, as leaves, and a function that calls a method of its module with them."""
    views = {name: view[row].clone().requires_grad_() for name, view in own.player.views(own.player.flat).items()}
    views_and_buffers = {**views, **{name: buffer[row] for name, buffer in own.player.buffers.items()}}
    tensors = {f"of.{name}": value for name, value in views_and_buffers.items()}
    return views, lambda method, *inputs: functional_call(Method(own.module, method), tensors, inputs)


@pytest.mark.parametrize("problem", ["ring8", "digits"])
@pytest.mark.parametrize("name", BY_ONE_LOSS)
def test_a_step_of_a_population_is_that_of_each_module_alone(name, problem):
    own, twin = (learner(name, f"problem={problem}") for _ in range(2))
    twin.advance()
    for row in range(2):
        views, call = plain(own, row)
        x = own.streams["data"].at(0)[row].flatten(1)
        if "between values" in own.streams:
            assert problem == "digits"
            uniform = own.streams["between values"].at(0)[row]
            assert 0 <= uniform.min() < uniform.max() < 1
            x = x + 2 / 16 * (uniform - 0.5)
        normal = own.streams[f"{name} noise"].at(0)[row]
        assert normal.shape == (8, own.module.draws)
        gradients = torch.autograd.grad(call("loss", x, normal).mean(), list(views.values()))
        want = torch.cat([(view - 0.05 * step).flatten() for view, step in zip(views.values(), gradients, strict=True)])
        torch.testing.assert_close(twin.player.flat[row], want.detach(), rtol=1e-5, atol=1e-6)
        assert not torch.equal(twin.player.flat[row], own.player.flat[row])


@pytest.mark.parametrize("name", [name for name in TRAINED if name not in ("vae", "autoencoder", *TOKENIZERS)])
def test_samples_and_densities_of_a_population_are_those_of_each_module_alone(name):
    own = learner(name)
    latents = torch.randn(2, 6, 3 + own.noise, generator=torch.Generator().manual_seed(0))
    x = own.problem.oracle_samples(5)
    samples, density = own.generate(latents), own.log_density(x)
    assert own.noise == max(0, own.module.numbers - 3)
    assert samples.shape == (2, 6, 2)
    assert not samples.requires_grad
    for row in range(2):
        _, call = plain(own, row)
        torch.testing.assert_close(samples[row], call("sample", latents[row, :, : own.numbers]).detach())
        if own.module.density:
            normal = torch.randn(5, own.module.estimates, generator=stream("likelihood", 0))
            torch.testing.assert_close(density[row], call("log_density", x, normal).detach())
    assert (density is None) is not own.module.density


@pytest.mark.parametrize("name", FITTED)
def test_a_population_in_closed_form_is_each_of_its_runs_alone(name):
    own = learner(name, "problem=digits")
    states = [{name: view[row].clone() for name, view in own.state.items()} for row in range(2)]
    for step in range(3):
        for row in range(2):
            x = own.streams["data"].at(step)[row].flatten(1)
            if "between values" in own.streams:
                x = x + 2 / 16 * (own.streams["between values"].at(step)[row] - 0.5)
            states[row] = own.estimator.update(states[row], x, step)
        own.advance()
    latents = torch.randn(2, 6, 3 + own.noise, generator=torch.Generator().manual_seed(0))
    samples = own.generate(latents).flatten(2)
    for row in range(2):
        for part, view in own.state.items():
            torch.testing.assert_close(view[row], states[row][part], rtol=1e-4, atol=1e-5)
        alone = own.estimator.sample({part: view[row] for part, view in own.state.items()}, latents[row])
        torch.testing.assert_close(samples[row], alone[:, : samples.shape[2]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ALONE)
def test_it_plays_no_game_keeps_no_average_and_takes_samples_one_by_one(name):
    own = learner(name)
    assert own.game() is None
    assert own.generate_average(torch.zeros(2, 4, 3)) is None
    assert [own.whole(samples) for samples in (0, 1, 17)] == [0, 1, 17]
    assert list(own.looped) == []
    cost = own.costs()
    assert len(cost.flop) == 2
    assert own.step == 0


def test_numbers_of_a_sample_are_the_latents_as_far_as_they_go():
    own = learner("realnvp", "problem=digits")
    assert (own.numbers, own.noise) == (64, 61)
    latents = torch.arange(64.0)
    assert torch.equal(own.normals(latents.expand(2, 1, 64))[0, 0], latents)
    few = learner("realnvp")
    assert (few.numbers, few.noise) == (2, 0)
    assert torch.equal(few.normals(latents[:3].expand(2, 1, 3))[0, 0], latents[:2])
    # uniform latents are no numbers of N(0, 1): all of them stand behind
    uniform = learner("realnvp", "latent=uniform")
    assert (uniform.numbers, uniform.noise) == (2, 2)
    assert torch.equal(uniform.normals(latents[:5].expand(2, 1, 5))[0, 0], latents[3:5])


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=() if name in ("made", "gaussian_mixture") else pytest.mark.slow)
    for name in LIKELY if name != "real"
])  # fmt: skip
def test_likelihood_rises_with_training(name):
    adam = [] if name in FITTED else ["optimizer=adam", "optimizer.adam.g_lr=5e-3"]
    own = learner(name, *adam, "batch_size=64", "steps=100")
    x = own.problem.oracle_samples(300)
    before = own.log_density(x).mean()
    for _ in range(100):
        own.advance()
    after = own.log_density(x).mean(1)
    assert own.alive.all()
    assert (after > before + 0.3).all()
    # no density of a model is above that of the truth, but for chance
    assert (after < own.problem.log_density(x).mean() + 0.05).all()


def test_copies_are_of_what_was_seen_and_real_samples_of_none_of_it():
    own = learner("copies", "problem=digits")
    for _ in range(2):
        own.advance()
    latents = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0))
    seen = torch.cat([own.streams["data"].at(step) for step in range(2)], 1)
    for row in range(2):
        distance = torch.cdist(own.generate(latents)[row].flatten(1), seen[row].flatten(1))
        assert distance.min(1).values.max() == 0
    real = learner("real", "problem=digits")
    training = real.problem.images.flatten(1)
    first = real.generate(latents)
    assert torch.cdist(first[0].flatten(1), real.problem.held_out_images.flatten(1)).min(1).values.max() == 0
    assert torch.cdist(first[0].flatten(1), training).min(1).values.min() > 0
    assert not torch.equal(first[0], first[1])
    real.alive[1] = False
    real.advance()
    assert not torch.equal(real.generate(latents)[0], first[0])
    assert torch.equal(real.generate(latents)[1], first[1])


def test_codes_of_an_autoencoder_have_the_moments_of_the_gaussian_that_is_drawn_from():
    own = learner("autoencoder", "problem=digits")
    numbers = torch.randn(2, 20_000, 3, generator=torch.Generator().manual_seed(0))
    known = own.known[own.seed_index]
    codes = own.call("codes_like", numbers, known)
    for row in range(2):
        views = {name: view[row] for name, view in own.player.views(own.player.flat).items()}
        encoder = {name.removeprefix("encoder."): view for name, view in views.items() if name.startswith("encoder.")}
        own_codes = functional_call(own.module.encoder, encoder, (known[row],))
        torch.testing.assert_close(codes[row].mean(0), own_codes.mean(0), atol=0.01, rtol=0.05)
        torch.testing.assert_close(torch.cov(codes[row].T), torch.cov(own_codes.T), atol=0.002, rtol=0.1)


def test_the_suite_has_every_model_on_every_problem_and_skips_none():
    plan = resolve("models")
    assert plan.skipped == ()
    on = {name: {variant.model for variant in plan.variants if variant.problem == name}
          for name in ("ring8", "grid25", "digits")}  # fmt: skip
    assert all(models == set(registry.names("model")) for models in on.values())
    assert len(plan.variants) == 3 * len(registry.names("model"))


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["ring8", "digits"])
def test_all_of_them_go_through_a_study_and_stand_on_the_page_models(tmp_path, problem):
    overrides = [f"model={','.join(['gan', *ALONE])}", f"problem={problem}", "seeds=2", "steps=20", "probe_every=10",
                 "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "metrics=likelihood+latency",
                 "model.rbm.hidden=4", "model.ddpm.levels=4"]  # fmt: skip
    study = ganbench.run(overrides=overrides, out=tmp_path / "study", workers=1)
    runs = study.runs.set_index("run")
    assert (runs["status"] == "done").all()
    last = study.series[study.series["step"] == 20].set_index("run")
    bits, told = last["bits_per_dim"], {name: registry.get("model", name).declared("likelihood") for name in ALONE}
    for run, row in runs.iterrows():
        has = told.get(row["model"]) is not None and (row["model"] != "real" or problem == "ring8")
        assert math.isfinite(bits[run]) is has, row["model"]
    assert (last["ms_per_sample"] > 0).all()
    assert set(judge(study)["run"]) == set(runs.index)
    page = study.report().read_text(encoding="utf-8")
    assert ">Models</h2>" in page
    assert "≤ " in page
