"""What a problem gives: labels that reach both players, the fakes of a batch with those of its real samples."""

import pytest
import torch
from overriding import over
from torch import nn
from torch.nn.functional import one_hot, softplus

from ganbench import api, registry
from ganbench.analysis.verdicts import judge
from ganbench.errors import UserError
from ganbench.measure.evaluate import Evaluator
from ganbench.problems.base import Batch, mapped, stacked, stream
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.loop import Prober
from ganbench.training.noise import Stream
from ganbench.training.population import Population
from ganbench.training.step import train_step

CPU = torch.device("cpu")
SMALL = ["problem=ring8_labelled", "network=conditional_mlp", "network.conditional_mlp.width=6", "seeds=2", "steps=20",
         "batch_size=16", "loss=nonsaturating", "optimizer=sgd", "optimizer.sgd.d_lr=0.2",
         "optimizer.sgd.g_lr=0.1"]  # fmt: skip


def population(*overrides, dtype=torch.float64):
    runs = resolve(None, over([*SMALL, *overrides])).runs
    return Population(list(runs), make_problem(runs[0].variant), CPU, dtype)


class PlainGenerator(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.layers = body

    def forward(self, z, label):
        return self.layers(torch.cat([z, one_hot(label, 8).double()], 1))


class PlainCritic(nn.Module):
    """As the papers write it: psi(phi(x)) + y V phi(x), or the label beside the sample."""

    def __init__(self, how, own):
        super().__init__()
        self.how, self.own = how, own

    def forward(self, x, label):
        if self.how == "concatenation":
            return self.own.body(torch.cat([x, one_hot(label, 8).double()], 1)).flatten()
        phi = self.own.body(x)
        return self.own.last(phi).flatten() + torch.einsum("nc,cf,nf->n", one_hot(label, 8).double(),
                                                           self.own.embedding.weight, phi)  # fmt: skip


@pytest.mark.parametrize("how", ["projection", "concatenation"])
@pytest.mark.parametrize("regularizer", ["none", "r1"])
def test_population_equals_loop(how, regularizer):
    """The ordinary loop of a conditional GAN: fakes for the labels of the real batch."""
    own = population(f"network.conditional_mlp.how={how}", f"regularizer={regularizer}")
    for row, run in enumerate(own.runs):
        alone = Population([run], own.problem, CPU, torch.float64)
        g, d = (module.double() for module in build_networks(run.variant, own.problem, run.seed))
        generator, critic = PlainGenerator(g.body), PlainCritic(how, d)
        for step in range(5):
            real, label = alone.draw("data", step)[0].requires_grad_(), alone.given("data", step)[0]
            fake = generator(alone.draw("d latent", step)[0], label).detach()
            logits = critic(real, label)
            d_loss = softplus(-logits).mean() + softplus(critic(fake, label)).mean()
            if regularizer == "r1":
                (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
                d_loss = d_loss + 0.1 / 2 * gradient.square().sum(1).mean()
            descend(d, d_loss, 0.2)
            label = alone.given("g data", step)[0]
            g_loss = softplus(-critic(generator(alone.draw("g latent", step)[0], label), label)).mean()
            descend(g, g_loss, 0.1)
        trained = Population([run], own.problem, CPU, torch.float64)
        for _ in range(5):
            train_step(trained)
        for player, module in ((trained.generator, g), (trained.discriminator, d)):
            flat = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
            assert (player.flat[0] - flat).abs().max() < 1e-10, (row, how)


def descend(module, loss, rate):
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(module.parameters(), gradients, strict=True):
            parameter -= rate * gradient


def test_labels_are_those_of_the_samples():
    own = population()
    for purpose in ("data", "g data"):
        x, label = own.draw(purpose, 3), own.given(purpose, 3)
        assert label.dtype == torch.int64
        assert torch.equal(torch.cdist(x, own.problem.modes.centres.double()).argmin(-1), label)


def test_digits_come_with_their_labels():
    problem = make_problem(resolve(None, ["problem=digits_labelled", "network=conditional_mlp"]).variants[0])
    batch = problem.draw(50, stream("test", 0))
    for image, label in zip(batch.x, batch.given, strict=True):
        places = (problem.images == image).flatten(1).all(1).nonzero().flatten()
        assert label in problem.labels[places]
    plain = make_problem(resolve(None, ["problem=digits"]).variants[0])
    assert torch.equal(batch.x, plain.sample(50, stream("test", 0))), "the same images in the same order"
    held = problem.oracle(40, seed=3)
    assert torch.equal(held.x, plain.oracle_samples(40, seed=3))


def test_groups_of_a_labelled_problem_are_weighted_with_their_labels():
    problem = make_problem(resolve(None, ["problem=ring8_labelled", "network=conditional_mlp"]).variants[0])
    weights = torch.tensor([0, 0, 0.5, 0, 0, 0.5, 0, 0], dtype=torch.float64)
    x, label = problem.draw_groups(weights, 1000, stream("test", 0))
    assert set(label.tolist()) == {2, 5}
    assert torch.equal(torch.cdist(x, problem.modes.centres.float()).argmin(-1), label)


def test_what_is_given_may_be_a_tuple():
    """A pytree goes through streams as one; whole numbers stay whole, others take the training's type."""

    def draw(n, generator):
        x = torch.rand(n, 2, generator=generator)
        return Batch(x, (torch.arange(n), (x + 1, torch.arange(n) % 3)))

    source = Stream("pairs", [0, 4], 5, draw, CPU, torch.float64)
    numbers, (image, label) = source.given(2)
    assert (numbers.shape, image.shape, label.shape) == ((2, 5), (2, 5, 2), (2, 5))
    assert (numbers.dtype, image.dtype, label.dtype) == (torch.int64, torch.float64, torch.int64)
    assert numbers.tolist() == [[10, 11, 12, 13, 14]] * 2
    torch.testing.assert_close(image, source.at(2) + 1, rtol=0, atol=1e-7)
    assert torch.equal(label, numbers % 3)
    assert mapped(lambda part: part + 1, None) is None
    assert stacked([None, None]) is None


@pytest.mark.usefixtures("own_registry")
def test_plain_modules_of_two_arguments_train_as_they_are():
    class Pair(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.table, self.layer = nn.Embedding(8, 4), nn.Linear(inputs + 4, outputs)

        def forward(self, x, label):
            return self.layer(torch.cat([x, self.table(label)], -1)).sin()

    @registry.register("network", needs={"label": "it takes labels"})
    def own_pair(spec):
        """A pair that nobody here knows."""
        return Pair(spec.latent_dim, 2), Pair(2, 1)

    run = resolve(None, over([*SMALL[:1], *SMALL[3:], "network=own_pair"])).runs[0]
    own = Population([run, run], make_problem(run.variant), CPU, torch.float64)
    g, d = (module.double() for module in build_networks(run.variant, own.problem, run.seed))
    x, label = own.draw("data", 0), own.given("data", 0)
    torch.testing.assert_close(own.criticise(x, label)[1], d(x[1], label[1]).flatten())
    train_step(own)
    assert own.alive.all()
    assert not torch.equal(own.generator.views(own.generator.flat)["table.weight"][0], g.table.weight)


@pytest.mark.parametrize(("overrides", "reason"), [
    (["problem=ring8_labelled"], "mlp with problem ring8_labelled: it takes nothing given"),
    (["network=conditional_mlp"], "conditional_mlp with problem ring8: it needs a problem that gives labels"),
    (["problem=digits_labelled", "network=dcgan"], "dcgan with problem digits_labelled: it takes nothing given"),
    ([*SMALL[:2], "trick=packing"], "packing with problem ring8_labelled: a pack of samples has no one label"),
])  # fmt: skip
def test_what_does_not_go_together_is_skipped_with_its_reason(overrides, reason):
    with pytest.raises(UserError) as told:
        resolve(None, overrides)
    assert reason in str(told.value)


def test_fidelity_of_a_perfect_sampler_and_of_one_that_ignores_its_labels():
    problem = make_problem(resolve(None, ["problem=ring8_labelled", "network=conditional_mlp"]).variants[0])
    evaluator = Evaluator(problem, samples=800, neighbours=64)
    draws = [problem.oracle(800, seed=seed) for seed in range(20)]
    fakes, label = torch.stack([draw.x for draw in draws]), torch.stack([draw.given for draw in draws])
    right = evaluator.measure(fakes, label)
    torch.testing.assert_close(right["label_fidelity"], right["high_quality"])
    others = evaluator.measure(fakes, (label + 1) % 8)
    assert not others["label_fidelity"].any()
    # labels that know nothing: one in eight by chance, within five standard errors of 16000 samples
    shuffled = label[:, torch.randperm(800, generator=torch.Generator().manual_seed(0))]
    found = evaluator.measure(fakes, shuffled)["label_fidelity"].mean().item()
    assert abs(found - 0.125 * right["high_quality"].mean().item()) < 5 * (0.125 * 0.875 / 16_000) ** 0.5
    by_label = [right[f"label_fidelity.{place}"] for place in range(8)]
    counts = torch.stack([(label == place).sum(1) for place in range(8)])
    torch.testing.assert_close((torch.stack(by_label) * counts).sum(0) / 800, right["label_fidelity"])
    assert evaluator.oracle()["label_fidelity"] == pytest.approx(1 - 2.718281828459045 ** (-4.5), abs=0.005)


def test_probes_measure_fakes_for_the_labels_that_they_were_made_for():
    own = population("steps=3", dtype=torch.float32)
    prober = Prober(own, Evaluator(own.problem, samples=64, neighbours=32), "medium")
    columns, samples = prober.probe()
    with torch.no_grad(), own.measuring():
        fakes = own.generate(prober.latents, prober.given)
    torch.testing.assert_close(samples, fakes[:, :400])
    want = prober.evaluator.measure(fakes, prober.given)
    torch.testing.assert_close(columns["label_fidelity"], want["label_fidelity"], equal_nan=True)
    assert "d_overfitting" not in columns, "held-out samples have labels of their own"
    assert columns["g_gradient_norm"].isfinite().all()


@pytest.mark.slow
def test_a_generator_that_ignores_its_label_is_told_so(own_registry, tmp_path):
    class Deaf(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, x, label):
            return self.body(x)

    @registry.register("network", needs={"label": "it needs a problem that gives labels"})
    def deaf(spec):
        """Perceptrons of which neither looks at its label."""
        sizes = ([spec.latent_dim, 32, 32, *spec.shape], [*spec.shape, 32, 32, 1])
        players = []
        for first, second, third, last in sizes:
            layers = [nn.Linear(first, second), nn.ReLU(), nn.Linear(second, third), nn.ReLU(), nn.Linear(third, last)]
            players.append(Deaf(nn.Sequential(*layers)))
        return tuple(players)

    plan = ["problem=ring8_labelled", "network=deaf,conditional_mlp", "regularizer=r1", "seeds=5", "steps=4000"]
    study = api.run(None, plan, out=tmp_path / "study", workers=1)
    found = judge(study).merge(study.runs[["run", "network"]], on="run").groupby("network")["verdict"].agg(list)
    assert found["deaf"] == ["ignoring labels"] * 5
    assert "ignoring labels" not in found["conditional_mlp"]
