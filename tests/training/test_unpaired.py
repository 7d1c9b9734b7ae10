"""Two domains: translators and critics that see their own alone, and CycleGAN's training, by an ordinary loop."""

import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.terms import Scene
from ganbench.measure.diagnostics import Game
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

SGD = ["optimizer=sgd", "optimizer.sgd.d_lr=0.2", "optimizer.sgd.g_lr=0.1", "seeds=2", "steps=20", "batch_size=6"]
DOMAINS = [*SGD, "problem=coloured_digits", "loss=least_squares"]
NETWORKS = {
    "unpaired_mlp": ["network=unpaired_mlp", "network.unpaired_mlp.width=6"],
    "linear": ["network=unpaired_mlp", "network.unpaired_mlp.linear=true"],
    "cyclegan": ["network=cyclegan", "network.cyclegan.width=2", "g_normalization=instance", "normalization=instance"],
}
BOTH = ["term=cycle+identity", "term.cycle.weight=7", "term.identity.weight=3"]


def population(*overrides):
    runs = resolve(None, over(list(overrides))).runs
    return Population(list(runs), make_problem(runs[0].variant), torch.device("cpu"), torch.float64)


def plain(own, row):
    """Return G_AB, G_BA, D_B and D_A of a run, each a module of one domain's pictures."""
    generator, critic = (pair.double() for pair in build_networks(own.variant, own.problem, own.runs[row].seed))
    return generator.body.left, generator.body.right, critic.body.left, critic.body.right


@pytest.mark.parametrize("network", NETWORKS)
def test_each_domain_has_a_translator_and_a_critic_of_its_own(network):
    own = population(*DOMAINS, *NETWORKS[network])
    x, given, z = own.draw("data", 0), own.given("data", 0), own.draw("d latent", 0)
    g_ab, g_ba, d_b, d_a = plain(own, 1)
    a, b = given[1, ..., :8], given[1, ..., 8:]
    torch.testing.assert_close(own.generate(z, given)[1], torch.cat([g_ab(a), g_ba(b)], -1))
    wanted = torch.cat([d_b(x[1, ..., :8]).flatten(1), d_a(x[1, ..., 8:]).flatten(1)], 1)
    torch.testing.assert_close(own.criticise(x, given)[1], wanted.flatten())
    # the other domain's picture changes nothing
    other = given.clone()
    other[..., 8:] = 0.3
    assert torch.equal(own.generate(z, other)[..., :8], own.generate(z, given)[..., :8])


def descend(modules, loss, rate):
    weights = [weight for module in modules for weight in module.parameters()]
    for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.data -= rate * slope


@pytest.mark.parametrize("network", NETWORKS)
def test_a_population_is_an_ordinary_cyclegan_loop(network):
    """Zhu 2017, eqs. 1 to 3 and sec. 5.2 with four plain modules, least squares (Mao 2017) and SGD; weights 7 and 3.

    Losses of both domains are means here, where the paper adds them: half of its loss, of the game and of the terms.
    """
    own = population(*DOMAINS, *NETWORKS[network], *BOTH)
    every = [plain(own, row) for row in range(2)]
    for row, (g_ab, g_ba, d_b, d_a) in enumerate(every):
        for step in range(3):
            given = own.given("data", step)[row]
            a, b = given[..., :8], given[..., 8:]
            ways = ((d_b, b, g_ab(a).detach()), (d_a, a, g_ba(b).detach()))
            losses = [(d(real) - 1).square().mean() / 2 + d(fake).square().mean() / 2 for d, real, fake in ways]
            descend((d_b, d_a), sum(losses) / 2, 0.2)
            given = own.given("g data", step)[row]
            a, b = given[..., :8], given[..., 8:]
            game = ((d_b(g_ab(a)) - 1).square().mean() + (d_a(g_ba(b)) - 1).square().mean()) / 2
            cycle = (g_ba(g_ab(a)) - a).abs().mean() + (g_ab(g_ba(b)) - b).abs().mean()
            identity = (g_ab(b) - b).abs().mean() + (g_ba(a) - a).abs().mean()
            descend((g_ab, g_ba), (game + 7 * cycle + 3 * identity) / 2, 0.1)
    for _ in range(3):
        train_step(own)
    for row, (g_ab, g_ba, d_b, d_a) in enumerate(every):
        for player, modules in ((own.generator, (g_ab, g_ba)), (own.discriminator, (d_b, d_a))):
            flat = torch.cat([weight.detach().flatten() for module in modules for weight in module.parameters()])
            torch.testing.assert_close(player.flat[row], flat, atol=1e-10, rtol=0)


class Images:
    def __init__(self, rows):
        self.samples = torch.tensor(rows, dtype=torch.float64)


def test_terms_are_their_formulas():
    """Pictures of one pixel, G_AB(a) = 2 a and G_BA(b) = b + 1: from a = 1, b = 4 to 2 and 5."""
    made = lambda given: torch.cat([2 * given[..., :1], given[..., 1:] + 1], -1)  # noqa: E731
    given, fake = torch.tensor([[[[[1.0, 4.0]]]]], dtype=torch.float64), [[[[[2.0, 5.0]]]]]
    scene = Scene("g", Images([[[[[4.0, 1.0]]]]]), Images(fake), given, None, made)
    # G_BA(2) = 3 is 2 from a, G_AB(5) = 10 is 6 from b
    assert registry.get("term", "cycle")(scene, weight=10.0).tolist() == [10 * (2 + 6) / 2]
    # G_AB(4) = 8 is 4 from b, G_BA(1) = 2 is 1 from a
    assert registry.get("term", "identity")(scene, weight=5.0).tolist() == [5 * (4 + 1) / 2]


class Known:
    """What a population shows of itself whose G is a known map of pictures [a | b], and whose D says nothing."""

    def __init__(self, made, given):
        self.made, self.given = made, given

    def generate(self, latents, units):
        return self.made(self.given)

    def criticise(self, samples, units):
        return samples.flatten(2).sum(-1)

    def returned(self, latents, samples):
        return self.made(samples.roll(8, -1))


def hiding(given):
    """Show a grey and hide the way it would have been coloured in a hundredth of it, as a CycleGAN may (Chu 2017)."""
    a, b = given[..., :8], given[..., 8:]
    grey, shown = a.amax(-3, keepdim=True), b.amax(-3, keepdim=True)
    return torch.cat([grey + (a - grey) / 100, shown + 100 * (b - shown)], -1)


@pytest.mark.parametrize(("name", "made", "error", "gain"), [
    ("inverted_digits", lambda given: -given, 0.0, (0.99, 1.01)),
    ("rotated_digits",
     lambda given: torch.cat([given[..., :8].rot90(1, (-2, -1)), given[..., 8:].rot90(-1, (-2, -1))], -1),
     0.0, (0.99, 1.01)),
    ("coloured_digits", hiding, 0.0, (85, 95)),
])  # fmt: skip
def test_noise_on_translations_grows_where_they_hide_something(name, made, error, gain):
    """Isometries hand it back as large; what is hidden in a hundredth comes back a hundred times as large, one way.

    Of three normal numbers n with the largest m, E (n - m)^2 = 1 + E m^2 - 2 / 3 = 1.61: a gain of 127 in one half, and
    about 1 in the other.
    """
    problem = registry.get("problem", name)()
    x, given = (part.double()[None] for part in problem.draw(64, stream("test", 0)))
    game = Game(Known(made, given), x, torch.zeros(1, 64, 1))
    found = registry.get("diagnostic", "cycles")(game)
    assert found["cycle_error"].item() == pytest.approx(error, abs=1e-6)
    assert gain[0] < found["cycle_noise_gain"].item() < gain[1]


def test_a_probe_measures_cycles_of_two_domains_alone():
    own = population(*DOMAINS, *NETWORKS["unpaired_mlp"])
    x, given, z = own.draw("data", 0), own.given("data", 0), own.draw("d latent", 0)
    g_ab, g_ba, _, _ = plain(own, 1)
    with own.measuring():
        found = registry.get("diagnostic", "cycles")(Game(own.game(given), x, z))
        # critics are told nothing beside their samples, so that none ignores it
        assert registry.get("diagnostic", "labels")(Game(own.game(given), x, z)) == {}
    a, b = given[1, ..., :8], given[1, ..., 8:]
    off = torch.cat([g_ab(g_ba(b)) - b, g_ba(g_ab(a)) - a])
    assert found["cycle_error"][1].item() == pytest.approx(off.square().mean().sqrt().item())
    other = population(*SGD, "problem=ring8", "network.mlp.width=4")
    with other.measuring():
        assert (
            registry.get("diagnostic", "cycles")(Game(other.game(), other.draw("data", 0), other.draw("d latent", 0)))
            == {}
        )


@pytest.mark.parametrize(("overrides", "reason"), [
    (["network=pictured_mlp"], "pictured_mlp with problem coloured_digits: its G could hand on the other picture"),
    (["network=pix2pix"], "pix2pix with problem coloured_digits: its G could hand on the other picture"),
    (["network=mlp"], "mlp with problem coloured_digits: it takes nothing given"),
    ([*NETWORKS["cyclegan"], "problem=outlines"], "cyclegan with problem outlines: it needs a problem of two domains"),
    ([*NETWORKS["cyclegan"], "term=l1"], "l1 with problem coloured_digits: it needs a problem of pairs"),
    (["problem=outlines", "network=pictured_mlp", "term=cycle"],
     "cycle with problem outlines: it needs a problem of two domains"),
])  # fmt: skip
def test_what_is_not_for_two_domains_says_so(overrides, reason):
    with pytest.raises(UserError) as told:
        resolve(None, over([*DOMAINS, *overrides]))
    assert reason in str(told.value)
