"""Terms: what D says beside its logit, by formula, by an ordinary loop, and with the laws of codes."""

import math

import numpy as np
import pytest
import torch
from overriding import over
from torch.nn.functional import softplus

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.conditioning import Headed, Projected, Untold
from ganbench.gan.networks import NetworkSpec
from ganbench.gan.terms import Code, Scene
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training import batched
from ganbench.training.building import build_networks, make_problem
from ganbench.training.loop import Prober, evaluator_of
from ganbench.training.parts import latents_of, parts_of
from ganbench.training.population import Population
from ganbench.training.step import train_step

CPU = torch.device("cpu")
SGD = ["loss=nonsaturating", "optimizer=sgd", "optimizer.sgd.d_lr=0.2", "optimizer.sgd.g_lr=0.1", "seeds=2", "steps=20",
       "batch_size=16"]  # fmt: skip
LABELS = [*SGD, "problem=ring8_labelled", "network=conditional_mlp", "network.conditional_mlp.width=6"]
POINTS = [*SGD, "problem=ring8", "network.mlp.width=6", "latent_dim=3"]
SMALL_CODE = ["term=information", "term.information.categories=4", "term.information.continuous=1"]


class Samples:
    """Samples whose D has spoken."""

    def __init__(self, told):
        self.told = torch.tensor(told, dtype=torch.float64)


def scene(player="d", *, real=None, fake=None, given=None, code=None):
    told = [Samples(one) if one is not None else None for one in (real, fake)]
    code = torch.zeros(1, 2, 0) if code is None else torch.tensor(code, dtype=torch.float64)
    return Scene(player, *told, None if given is None else torch.tensor(given), code)


def population(*overrides, base=POINTS, rows=slice(None)):
    runs = list(resolve(None, over([*base, *overrides])).runs)[rows]
    return Population(runs, make_problem(runs[0].variant), CPU, torch.float64)


# ------------------------------------------------------------------------------------------ formulas


def surprise(told, label):
    """Return minus the mean of log softmax(told)[label] for rows."""
    return -np.mean([row[k] - math.log(sum(math.exp(x) for x in row)) for row, k in zip(told, label, strict=True)])


def test_auxiliary_class_is_its_formula():
    """Odena 2017, eqs. 2 and 3, for two runs of three samples of three classes."""
    rng = np.random.default_rng(0)
    real, fake, label = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3, 3)), np.array([[0, 2, 1], [1, 1, 2]])
    term = registry.get("term", "auxiliary_class")
    for player, sides in (("d", (real, fake)), ("g", (fake,))):
        got = term(scene(player, real=real, fake=fake, given=label), weight=0.5)
        wanted = [0.5 * sum(surprise(side[run], label[run]) for side in sides) for run in range(2)]
        assert got.tolist() == pytest.approx(wanted, rel=1e-12)


def test_information_is_its_formula():
    """-E log Q(c|x) for a categorical code, half the squared error for continuous ones (Chen 2016, eq. 5)."""
    rng = np.random.default_rng(1)
    told, label, numbers = rng.normal(size=(2, 4, 5)), rng.integers(3, size=(2, 4)), rng.uniform(-1, 1, (2, 4, 2))
    code = np.concatenate([np.eye(3)[label], numbers], axis=2)
    got = registry.get("term", "information")(
        scene(fake=told, code=code), categories=3, continuous=2, weight=0.7, continuous_weight=0.2
    )
    wanted = [
        0.7 * surprise(told[run, :, :3], label[run])
        + 0.2 * np.mean(np.sum((numbers[run] - told[run, :, 3:]) ** 2, 1)) / 2
        for run in range(2)
    ]
    assert got.tolist() == pytest.approx(wanted, rel=1e-12)


def test_of_a_perfect_q_nothing_is_left():
    told = [[[40.0, 0.0, 0.3], [0.0, 40.0, -0.9]]]
    code = [[[1.0, 0.0, 0.3], [0.0, 1.0, -0.9]]]
    term = registry.get("term", "information")
    assert term(scene(fake=told, code=code), categories=2, continuous=1).item() == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------------------------------ codes


def test_codes_have_their_law():
    """Categories are equally likely (a chi-squared test at 1e-4), numbers uniform in [-1, 1) (Kolmogorov at 1e-4)."""
    from scipy import stats

    drawn = Code(5, 2).draw(4000, stream("code law", 0))
    rows, numbers = drawn[:, :5], drawn[:, 5:]
    assert torch.equal(rows.sum(1), torch.ones(4000))
    assert set(rows.unique().tolist()) == {0.0, 1.0}
    assert stats.chisquare(rows.sum(0).numpy()).pvalue > 1e-4
    for column in numbers.T.numpy():
        assert stats.kstest(column, stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert Code(0, 3).draw(4, stream("code law", 0)).shape == (4, 3)


def test_a_code_stands_behind_the_latents_and_in_probes_too():
    own = population(*SMALL_CODE)
    (part,) = [part for part in own.objective.parts if part.code]
    assert part.code_place == slice(3, 8)
    assert own.generator.module[0].in_features == 8
    plan = resolve(None, over([*POINTS, *SMALL_CODE, "samples=64", "neighbours=32"]))
    prober = Prober(own, evaluator_of(own.problem, plan))
    for latents in (own.draw("d latent", 0), prober.latents):
        assert torch.equal(latents[..., 3:7].sum(-1), torch.ones(latents.shape[:2], dtype=latents.dtype))
    draw = latents_of(own.variant, own.objective.parts, 2)
    assert draw(6, stream("layout", 0)).shape == (6, 3 + 5 + 2)


def test_latents_without_a_code_are_what_they_were():
    plain = population("term=none")
    generator = stream("d latent:0", 0)
    wanted = torch.randn(32 * 16, 3, generator=generator)[:16]
    assert torch.equal(plain.draw("d latent", 0)[0].float(), wanted)
    assert not [part for part in parts_of(plain.variant) if part.code or part.untold]


# ------------------------------------------------------------------------------------------ heads


def spec(heads=(), batch=None):
    as_is = lambda layer: layer  # noqa: E731
    return NetworkSpec((2,), None, 3, as_is, as_is, as_is, as_is, d_batch=batch, d_heads=heads)


def test_a_head_leaves_the_other_weights_where_they_start():
    def players(*heads):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return registry.get("network", "mlp")(spec(heads), width=6, depth=2)

    for plain, headed in zip(players(), players(4, 2), strict=True):
        states = headed.state_dict()
        for name, weight in plain.state_dict().items():
            assert torch.equal(weight, states.get(name, states.get(name.replace("4.", "4.last."))))
    _, critic = players(4, 2)
    assert isinstance(critic[-1], Headed)
    assert critic(torch.zeros(5, 2)).shape == (5, 1 + 4 + 2)


def test_a_projection_adds_to_the_logit_alone():
    torch.manual_seed(0)
    last = Headed(torch.nn.Linear(4, 1), [torch.nn.Linear(4, 3)])
    critic = Projected(torch.nn.Identity(), last, 4, 5)
    x, label = torch.randn(6, 4), torch.arange(6) % 5
    out = critic(x, label)
    wanted = last.last(x) + (x * critic.embedding.weight[label]).sum(1, keepdim=True)
    assert torch.allclose(out[:, :1], wanted)
    assert torch.equal(out[:, 1:], last.heads[0](x))
    state = {name: value.detach().expand(2, *value.shape) for name, value in critic.named_parameters()}
    together = batched.forward(critic, state, x.expand(2, 6, 4), given=label.expand(2, 6))
    assert torch.allclose(together[1], out, atol=1e-6)


@pytest.mark.parametrize("network", [p.name for p in registry.plugins("network") if "batch_features" in p.provides
                                     and "image" in p.needs and "picture" not in p.needs])  # fmt: skip
def test_every_network_with_an_end_of_its_own_has_heads(network):
    variant = resolve(None, ["problem=digits", f"network={network}", "term=information", "seeds=1"]).variants[0]
    generator, critic = build_networks(variant, make_problem(variant), 0)
    latents = latents_of(variant, parts_of(variant), getattr(generator, "noise", 0))(2, stream("heads", 0))
    assert critic(generator(latents)).shape == (2, 1 + 12)


# ------------------------------------------------------------------------------------------ training


def descend(module, loss, rate):
    for weight, slope in zip(module.parameters(), torch.autograd.grad(loss, list(module.parameters())), strict=True):
        weight.data -= rate * slope


def log_likelihood(told, label):
    return told.log_softmax(1)[torch.arange(len(label)), label].mean()


def assert_same(own, row, *modules):
    for player, module in zip((own.generator, own.discriminator), modules, strict=True):
        flat = torch.cat([weight.detach().flatten() for weight in module.parameters()])
        assert torch.allclose(player.flat[row], flat, atol=1e-10, rtol=0)


def test_acgan_equals_an_ordinary_loop():
    """D sees no label and tells it; both players' losses as Odena 2017 has them, by SGD, float64."""
    own = population("term=auxiliary_class", "term.auxiliary_class.weight=0.7", base=LABELS)
    pairs = [build_networks(run.variant, own.problem, run.seed) for run in own.runs]
    for row, (generator, untold) in enumerate(pairs):
        generator, critic = generator.double(), untold.double().body
        assert isinstance(untold, Untold)
        assert len(list(critic.modules())) < 12
        for step in range(4):
            real, label = own.draw("data", step)[row], own.given("data", step)[row]
            fake = generator(own.draw("d latent", step)[row], label).detach()
            (real_logit, real_told), (fake_logit, fake_told) = (critic(x).split([1, 8], 1) for x in (real, fake))
            told = log_likelihood(real_told, label) + log_likelihood(fake_told, label)
            descend(critic, softplus(-real_logit).mean() + softplus(fake_logit).mean() - 0.7 * told, 0.2)
            label = own.given("g data", step)[row]
            logit, told = critic(generator(own.draw("g latent", step)[row], label)).split([1, 8], 1)
            descend(generator, softplus(-logit).mean() - 0.7 * log_likelihood(told, label), 0.1)
    for _ in range(4):
        train_step(own)
    for row, (generator, untold) in enumerate(pairs):
        assert_same(own, row, generator, untold.body)


@pytest.mark.parametrize("loss", ["nonsaturating", "relativistic_pairing"])
def test_infogan_equals_an_ordinary_loop(loss):
    own = population(*SMALL_CODE, f"loss={loss}")
    pairs = [build_networks(run.variant, own.problem, run.seed) for run in own.runs]

    def information(told, code):
        off = (told[:, 4] - code[:, 4]).square().mean()
        return log_likelihood(told[:, :4], code[:, :4].argmax(1)) - 0.1 / 2 * off

    def d_loss(real, fake):
        pair = real - fake
        return softplus(-pair).mean() if loss != "nonsaturating" else softplus(-real).mean() + softplus(fake).mean()

    for row, (generator, critic) in enumerate(pairs):
        generator, critic = generator.double(), critic.double()
        for step in range(4):
            latents = own.draw("d latent", step)[row]
            real, fake = critic(own.draw("data", step)[row]), critic(generator(latents).detach())
            total = d_loss(real[:, 0], fake[:, 0]) - information(fake[:, 1:], latents[:, 3:])
            descend(critic, total, 0.2)
            latents = own.draw("g latent", step)[row]
            fake, real = critic(generator(latents)), critic(own.draw("g data", step)[row]).detach()
            g_loss = softplus(-fake[:, 0]).mean() if loss == "nonsaturating" else d_loss(fake[:, 0], real[:, 0])
            descend(generator, g_loss - information(fake[:, 1:], latents[:, 3:]), 0.1)
    for _ in range(4):
        train_step(own)
    for row, pair in enumerate(pairs):
        assert_same(own, row, *pair)


@pytest.mark.parametrize("overrides", [
    ["update=extragradient"], ["update=unrolled", "update.unrolled.steps=2"], ["update=consensus"],
    ["regularizer=r1", "normalization=spectral"], ["trick=minibatch_std"], ["trick=feature_matching"], ["trick=top_k"],
])  # fmt: skip
def test_terms_go_with_whatever_else_there_is(overrides):
    """In company as alone, and otherwise than without its loss."""
    together, alone = population(*SMALL_CODE, *overrides), population(*SMALL_CODE, *overrides, rows=slice(0, 1))
    silent = population(*SMALL_CODE, *overrides, "term.information.weight=0", "term.information.continuous_weight=0")
    for own in (together, alone, silent):
        for _ in range(3):
            train_step(own)
    for name, player in together.players.items():
        assert torch.allclose(player.flat[0], alone.players[name].flat[0], atol=1e-9)
        assert not torch.allclose(player.flat, silent.players[name].flat, atol=1e-6)


def test_a_term_of_ones_own_sees_samples(own_registry):
    """One of G alone, on samples: the squared distance of means, whose gradient reaches G and not D."""

    @registry.register("term", players="g")
    def centred(scene, *, weight: float = 1.0):
        return weight * (scene.real.samples.mean(1) - scene.fake.samples.mean(1)).square().sum(-1)

    own, plain = population("term=centred"), population()
    (part,) = own.objective.parts[-1:]
    before = [one.discriminator.flat.clone() for one in (own, plain)]
    assert torch.equal(*before)
    assert part.head(own.problem) == 0
    assert own.heads == ()
    train_step(own), train_step(plain)
    assert torch.equal(own.discriminator.flat, plain.discriminator.flat)
    assert not torch.equal(own.generator.flat, plain.generator.flat)


# ------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(("overrides", "reason"), [
    (["term=information", "trick=packing"], "information with trick packing: what D says of a pack belongs to no one"),
    (["term=auxiliary_class"], "auxiliary_class with problem ring8: it needs a problem that gives labels"),
    (["problem=digits", "network=patchgan", "term=information"], "information with network patchgan: the network has"),
    (["model=vae", "term=information"], "term information with model vae: it has none"),
])  # fmt: skip
def test_what_cannot_be_combined_is_skipped_with_the_reason(overrides, reason):
    with pytest.raises(UserError, match=reason):
        resolve(None, overrides)


def test_the_default_stays_out_of_ids_and_plans():
    plain, said = resolve(None, ["seeds=1"]), resolve(None, ["seeds=1", "term=none"])
    assert plain.hash == said.hash
    assert "term" not in plain.to_dict()["variants"][0]
    assert "-information-" in resolve(None, ["term=information"]).variants[0].id


def test_a_discriminator_reconstructs_what_it_is_shown():
    """The mean squared error of means over blocks of pixels, of real images alone (NumPy)."""
    rng = np.random.default_rng(2)
    images, told = rng.uniform(-1, 1, (2, 3, 1, 8, 8)), rng.normal(size=(2, 3, 16))
    seen = Samples(told)
    seen.samples = torch.tensor(images)
    got = registry.get("term", "reconstruction")(Scene("d", seen, None, None, None), weight=3.0, side=4)
    means = images.reshape(2, 3, 4, 2, 4, 2).mean((3, 5)).reshape(2, 3, 16)
    assert got.tolist() == pytest.approx((3 * ((told - means) ** 2).mean((1, 2))).tolist(), rel=1e-12)
    own = population("problem=digits", "network=dcgan", "network.dcgan.width=2", "term=reconstruction", base=SGD)
    assert own.heads == (64,)


def test_the_absence_of_terms_is_no_plug_in_of_a_plan():
    """Plans that were made before there were terms keep their hashes, which count the plug-ins that are listed."""
    assert not [key for key in resolve(None, ["seeds=1"]).versions if key.startswith("term.")]
    assert "term.information" in resolve(None, ["term=information", "seeds=1"]).versions


# ------------------------------------------------------------------------------------------ pairs


PICTURES = [*SGD, "problem=outlines", "network=pictured_mlp", "network.pictured_mlp.width=6", "latent_dim=3"]


def test_l1_is_its_formula():
    """Isola 2017, eq. 3, for two runs of one pair: means of 3 and 1, of 0 and 4 away."""

    class Images:
        def __init__(self, rows):
            self.samples = torch.tensor(rows, dtype=torch.float64)[:, :, None, None]

    own = Scene("g", Images([[[1.0, -1.0]], [[0.0, 2.0]]]), Images([[[4.0, 0.0]], [[0.0, -2.0]]]), None, None)
    assert registry.get("term", "l1")(own, weight=10.0).tolist() == [20.0, 20.0]


def test_l1_moves_g_alone_and_by_the_gradient_of_an_ordinary_loop():
    """At weight 7, beside the game's own loss: plain torch on the pair of one run."""
    both = [population(*more, base=PICTURES) for more in ([], ["term=l1", "term.l1.weight=7"])]
    plain, own = both
    generator, _ = build_networks(own.variant, own.problem, own.runs[0].seed)
    generator.double()
    latents, x, given = own.draw("g latent", 0)[0], own.draw("g data", 0)[0], own.given("g data", 0)[0]
    loss = 7 * (generator(latents, given) - x).abs().mean()
    wanted = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(generator.parameters()))])
    for one in both:
        train_step(one)
    torch.testing.assert_close(plain.discriminator.flat, own.discriminator.flat)
    # plain gradient descent: one step apart by the rate times the term's own gradient
    torch.testing.assert_close(plain.generator.flat[0] - own.generator.flat[0], 0.1 * wanted)


def test_l1_needs_pairs():
    with pytest.raises(UserError, match="l1 with problem ring8: it needs a problem of pairs"):
        resolve(None, [*SGD, "problem=ring8", "term=l1"])


# ------------------------------------------------------------------------------------------ a feature space


PAIRED = [*SGD, "problem=upscaled_digits", "network=pictured_mlp", "network.pictured_mlp.width=6",
          "loss=least_squares"]  # fmt: skip


class Shown:
    def __init__(self, rows):
        self.samples = torch.tensor(rows, dtype=torch.float64)


def test_perceptual_is_the_squared_distance_of_features():
    """Features 2 x and x^2 of samples of one number: 1 and 2 are (2, 1) and (4, 4), 0 and 1 (0, 0) and (2, 1)."""
    real, fake = Shown([[[1.0], [0.0]]]), Shown([[[2.0], [1.0]]])
    one = Scene("g", real, fake, None, torch.zeros(1, 2, 0), features=lambda x: torch.cat([2 * x, x * x], -1))
    assert registry.get("term", "perceptual")(one, weight=3.0).tolist() == [3 * (4 + 9 + 4 + 1) / 4]


def test_a_population_with_a_perceptual_term_is_an_ordinary_loop():
    """SRGAN's content loss (Ledig 2017, eq. 5) of the problem's classifier, by its own layers, with least squares."""
    own = population("term=perceptual+l1", "term.perceptual.weight=4", "term.l1.weight=2", base=PAIRED)
    space = registry.get("feature_space", "classifier")(own.problem)
    pairs = [[one.double() for one in build_networks(own.variant, own.problem, run.seed)] for run in own.runs]
    for row, (g, d) in enumerate(pairs):
        for step in range(2):
            x, given, z = (own.draw("data", step)[row], own.given("data", step)[row], own.draw("d latent", step)[row])
            loss = (d(x, given) - 1).square().mean() / 2 + d(g(z, given).detach(), given).square().mean() / 2
            _descend(d, loss, 0.2)
            x, given, z = own.draw("g data", step)[row], own.given("g data", step)[row], own.draw("g latent", step)[row]
            made = g(z, given)
            apart = (space(x) - space(made)).double().square().mean()
            game = (d(made, given) - 1).square().mean() / 2
            _descend(g, game + 4 * apart + 2 * (x - made).abs().mean(), 0.1)
    for _ in range(2):
        train_step(own)
    for row, pair in enumerate(pairs):
        for player, module in zip((own.generator, own.discriminator), pair, strict=True):
            flat = torch.cat([weight.detach().flatten() for weight in module.parameters()])
            # features are float32
            torch.testing.assert_close(player.flat[row], flat, atol=1e-6, rtol=0)


def _descend(module, loss, rate):
    weights = list(module.parameters())
    for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.data -= rate * slope


def test_perceptual_wants_pairs_and_classes():
    for words, reason in ((["problem=outlines"], "it needs a problem with classes"),
                          (["problem=digits", "network=mlp"], "it needs a problem of pairs")):  # fmt: skip
        with pytest.raises(UserError, match=reason):
            resolve(None, over([*PAIRED[:-2], *words, "term=perceptual"]))
