"""Several domains: StarGAN's training by an ordinary loop, its terms by formula, and cycles of its translations."""

import pytest
import torch
from overriding import over
from torch.nn.functional import cross_entropy

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.conditioning import Untold
from ganbench.gan.terms import Scene
from ganbench.measure.diagnostics import Game
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

SGD = ["optimizer=sgd", "optimizer.sgd.d_lr=0.2", "optimizer.sgd.g_lr=0.1", "seeds=2", "steps=20", "batch_size=6",
       "problem=restyled_digits", "loss=least_squares"]  # fmt: skip
BOTH = ["term=domain_class+domain_cycle", "term.domain_class.weight=2", "term.domain_cycle.weight=7"]
NETWORKS = {
    "stargan": ["network=stargan", "network.stargan.width=2", "network.stargan.blocks=1", "g_normalization=instance"],
    "each pixel": ["network=stargan", "network.stargan.width=3", "network.stargan.each_pixel=true"],
    "perceptron": ["network=pictured_mlp", "network.pictured_mlp.width=6"],
}


def population(*overrides):
    runs = resolve(None, over([*SGD, *overrides])).runs
    return Population(list(runs), make_problem(runs[0].variant), torch.device("cpu"), torch.float64)


def plain(own, row):
    """Return G, of latents and what is given, and D, of samples alone, to [n, 1 + domains]."""
    generator, critic = (one.double() for one in build_networks(own.variant, own.problem, own.runs[row].seed))
    assert isinstance(critic, Untold)
    return generator, critic.body


def descend(module, loss, rate):
    weights = list(module.parameters())
    for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.data -= rate * slope


@pytest.mark.parametrize("network", NETWORKS)
def test_a_population_is_an_ordinary_stargan_loop(network):
    """Choi 2018, eqs. 2 to 6, with least squares (Mao 2017) in the place of their eq. 1, and SGD; weights 2 and 7."""
    own = population(*NETWORKS[network], *BOTH)
    every = [plain(own, row) for row in range(2)]
    for row, (g, d) in enumerate(every):
        for step in range(3):
            x, given, z = own.draw("data", step)[row], own.given("data", step)[row], own.draw("d latent", step)[row]
            domain = given[:, 3:6, 0, 0].argmax(1)
            real, fake = d(x), d(g(z, given).detach())
            loss = (real[:, 0] - 1).square().mean() / 2 + fake[:, 0].square().mean() / 2
            descend(d, loss + 2 * cross_entropy(real[:, 1:], domain), 0.2)
            given, z = own.given("g data", step)[row], own.draw("g latent", step)[row]
            picture, asked, came = given[:, :3], given[:, 3:6], given[:, 6:]
            made = g(z, given)
            back = g(z, torch.cat([made, came, asked], 1))
            fake = d(made)
            told = cross_entropy(fake[:, 1:], asked[:, :, 0, 0].argmax(1))
            descend(g, (fake[:, 0] - 1).square().mean() / 2 + 2 * told + 7 * (back - picture).abs().mean(), 0.1)
    for _ in range(3):
        train_step(own)
    for row, pair in enumerate(every):
        for player, module in zip((own.generator, own.discriminator), pair, strict=True):
            flat = torch.cat([weight.detach().flatten() for weight in module.parameters()])
            torch.testing.assert_close(player.flat[row], flat, atol=1e-10, rtol=0)


def test_stargan_sees_which_domain_is_asked_for_and_not_which_one_it_is():
    own = population(*NETWORKS["stargan"])
    g, critic = build_networks(own.variant, own.problem, 0)
    x, given = own.problem.draw(5, stream("test", 0))
    z, other = torch.zeros(5, 8), given.roll(1, 0)
    made = g(z, given)
    assert torch.equal(g(z, torch.cat([given[:, :6], other[:, 6:]], 1)), made)
    assert not torch.equal(g(z, torch.cat([given[:, :3], other[:, 3:6], given[:, 6:]], 1)), made)
    assert torch.equal(critic(x, given), critic(x, other)), "D is told nothing"


def test_a_pixel_alone_decides_what_becomes_of_it():
    own = population(*NETWORKS["each pixel"])
    g, _ = build_networks(own.variant, own.problem, 0)
    given = own.problem.draw(1, stream("test", 0)).given
    changed = given.clone()
    changed[:, :3, 2, 5] = 0.3
    moved = (g(torch.zeros(1, 8), changed) != g(torch.zeros(1, 8), given)).any(1)[0]
    assert moved.nonzero().tolist() == [[2, 5]]


class Samples:
    def __init__(self, rows, told=None):
        self.samples = torch.tensor(rows, dtype=torch.float64)
        self.told = None if told is None else torch.tensor(told, dtype=torch.float64)


def test_terms_are_their_formulas():
    """Two pictures of one grey pixel and two domains, of which G adds the number to what it is given."""
    given = torch.tensor([[[2.0, 0, 1, 1, 0], [5.0, 1, 0, 1, 0]]], dtype=torch.float64)[..., None, None]
    made = lambda other: other[..., :1, :, :] + other[..., 2:3, :, :]  # noqa: E731
    fake = Samples([[[[[3.0]]], [[[5.0]]]]], [[[0.0, 1.0], [2.0, 0.0]]])
    real = Samples([[[[[0.0]]], [[[0.0]]]]], [[[1.0, 1.0], [0.0, 1.0]]])
    # back from 3 it is asked for the first domain, which adds nothing: 1 from 2; from 5 it is 5
    scene = Scene("g", real, fake, given, None, made)
    assert registry.get("term", "domain_cycle")(scene, weight=10.0).tolist() == [10 * 0.5]
    surprise = lambda a: torch.tensor(a).exp().add(1).log().item()  # noqa: E731
    # asked for are the second and the first: logits 1 and 2 above the other one, of real samples 0 above and 1 below
    term = registry.get("term", "domain_class")
    assert term(scene, weight=3.0).item() == pytest.approx(3 * (surprise(-1.0) + surprise(-2.0)) / 2)
    scene = Scene("d", real, fake, given, None, made)
    assert term(scene, weight=3.0).item() == pytest.approx(3 * (surprise(0.0) + surprise(1.0)) / 2)


class Known:
    """What a population shows of itself whose G is a known map of what is given."""

    def __init__(self, made, given):
        self.made, self.given, self.origin = made, given, given[..., :3, :, :]

    def generate(self, latents, units):
        return self.made(self.given)

    def criticise(self, samples, units):
        return samples.flatten(2).sum(-1)

    def returned(self, latents, samples):
        return self.made(torch.cat([samples, self.given[..., 6:, :, :], self.given[..., 3:6, :, :]], -3))


def test_what_is_right_comes_back_and_so_does_what_stays():
    problem = registry.get("problem", "restyled_digits")()
    x, given = (part.double()[None] for part in problem.oracle(64))
    right = lambda given: problem.truth.answers(given[0])[None, :, 0]  # noqa: E731
    black = lambda given: torch.full_like(given[..., :3, :, :], -1)  # noqa: E731
    cycles = registry.get("diagnostic", "cycles")
    for made, error in ((right, 0.0), (lambda given: given[..., :3, :, :], 0.0),
                        (black, (given[..., :3, :, :] + 1).square().mean().sqrt().item())):  # fmt: skip
        found = cycles(Game(Known(made, given), x, torch.zeros(1, 64, 1)))
        assert found["cycle_error"].item() == pytest.approx(error, abs=1e-6)


def test_a_probe_measures_cycles_and_asks_no_d_that_is_not_told():
    own = population(*NETWORKS["stargan"])
    x, given, z = own.draw("data", 0), own.given("data", 0), own.draw("d latent", 0)
    g, _ = plain(own, 1)
    g.eval()
    with own.measuring():
        game = Game(own.game(given), x, z)
        found = registry.get("diagnostic", "cycles")(game)
        assert registry.get("diagnostic", "labels")(game) == {}
    made = g(z[1], given[1])
    back = g(z[1], torch.cat([made, given[1][:, 6:], given[1][:, 3:6]], 1))
    assert found["cycle_error"][1].item() == pytest.approx((back - given[1][:, :3]).square().mean().sqrt().item())


@pytest.mark.parametrize(("overrides", "reason"), [
    (["network=cyclegan"], "cyclegan with problem restyled_digits: it needs a problem of two domains"),
    ([*NETWORKS["stargan"], "term=cycle"], "cycle with problem restyled_digits: it needs a problem of two domains"),
    ([*NETWORKS["stargan"], "problem=outlines"], "stargan with problem outlines: it needs a problem that asks for one"),
    (["network=pix2pix", "term=domain_class"], "domain_class with network pix2pix: the network has no place"),
    (["problem=outlines", "network=pictured_mlp", "term=domain_cycle"],
     "domain_cycle with problem outlines: it needs a problem that asks for one of several domains"),
])  # fmt: skip
def test_what_is_not_for_several_domains_says_so(overrides, reason):
    with pytest.raises(UserError) as told:
        resolve(None, over([*SGD, *overrides]))
    assert reason in str(told.value)
