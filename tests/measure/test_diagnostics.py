"""Diagnostics against plain modules and torch.autograd, and the promise that measuring changes nothing."""

import pytest
import torch
from overriding import over
from torch import nn

from ganbench import registry
from ganbench.errors import UserError
from ganbench.measure.diagnostics import COSTS, Game, affordable
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.losses import loss_slice
from ganbench.training.population import Population
from ganbench.training.snapshot import Snapshot
from ganbench.training.step import train_step

CPU = torch.device("cpu")
LOSSES = registry.names("loss")
SMALL = ("batch_size=16", "steps=100", "seeds=2")
IMAGES = ["problem=digits", "network=dcgan", "network.dcgan.width=4"]
points_and_images = pytest.mark.parametrize("settings", [[], IMAGES], ids=["points", "images"])


def population(*overrides, dtype=torch.float64):
    width = [] if "network=dcgan" in overrides else ["network.mlp.width=8"]
    runs = resolve(None, over([*SMALL, *width, *overrides])).runs
    return Population(runs, make_problem(runs[0].variant), CPU, dtype)


def probe_batch(own, batch=24):
    """Return real samples and latents, the same for every run, as [runs, batch, ...]."""
    generator = torch.Generator().manual_seed(5)
    dtype, runs = own.generator.flat.dtype, len(own.runs)
    real = own.problem.sample(batch, generator).to(dtype)
    latents = torch.randn(batch, own.variant.latent_dim, generator=generator).to(dtype)
    return real.expand(runs, *real.shape), latents.expand(runs, *latents.shape)


def diagnose(name, own):
    with own.measuring():
        return registry.get("diagnostic", name)(Game(Snapshot(own), *probe_batch(own)))


def plain(own, row):
    """Return one run as plain modules with that run's present parameters."""
    run = own.runs[row]
    pair = [module.double() for module in build_networks(run.variant, own.problem, run.seed)]
    for module, player in zip(pair, (own.generator, own.discriminator), strict=True):
        tensors = {**player.frozen, **player.buffers}
        module.load_state_dict({name: tensors[name][row] for name in module.state_dict()})
    return [module.eval() for module in pair]


class Scores:
    """A game whose samples are their own logits."""

    g_names, d_names, matrices = {}, {}, dict

    def __init__(self, loss, runs=1):
        (variant,) = resolve(None, [f"loss={loss}"]).variants
        self.losses = [loss_slice(variant, slice(0, runs), CPU)]

    def generate(self, latents, units):
        return latents

    def criticise(self, samples, units):
        return samples.flatten(1) * 1.0


def scored(diagnostic, loss, real, fake, held_out=None):
    """Return a diagnostic's columns for one run with the given logits."""
    sides = [
        x if x is None else torch.as_tensor(x, dtype=torch.float64).reshape(1, -1, 1) for x in (real, fake, held_out)
    ]
    game = Game(Scores(loss), *sides)
    return {name: value.item() for name, value in registry.get("diagnostic", diagnostic)(game).items()}


# ---- gradients


@pytest.mark.parametrize("settings", [
    [f"loss={','.join(LOSSES)}"], IMAGES,
    ["normalization=spectral", "g_normalization=weight"], ["normalization=layer", "g_normalization=batch"],
], ids=["losses", "images", "weights", "activations"])  # fmt: skip
def test_losses_and_gradient_norms_are_autograds(settings):
    own = population(*settings)
    for _ in range(3):
        train_step(own)
    got = diagnose("players", own)
    real, latents = probe_batch(own)
    for row, run in enumerate(own.runs):
        g, d = plain(own, row)
        loss = registry.get("loss", run.variant.loss)
        real_logits = d(real[row]).flatten()
        d_loss = loss(real_logits, d(g(latents[row]).detach()).flatten())[0]
        g_loss = loss(real_logits.detach(), d(g(latents[row])).flatten())[1]
        assert got["d_loss"][row].item() == pytest.approx(d_loss.item(), rel=1e-9)
        assert got["g_loss"][row].item() == pytest.approx(g_loss.item(), rel=1e-9)
        for player, module, value in (("d", d, d_loss), ("g", g, g_loss)):
            parameters = dict(module.named_parameters())
            norms = [part.norm() for part in torch.autograd.grad(value, list(parameters.values()))]
            total = torch.stack(norms).norm().item()
            assert got[f"{player}_gradient_norm"][row].item() == pytest.approx(total, rel=1e-8)
            owners = list(dict.fromkeys(name.rpartition(".")[0] for name in parameters))
            columns = [name for name in got if name.startswith(f"{player}_gradient_norm.")]
            layers = {name: [] for name in owners}
            for name, norm in zip(parameters, norms, strict=True):
                layers[name.rpartition(".")[0]].append(norm)
            expected = [torch.stack(layers[name]).norm().item() for name in owners]
            assert sorted(got[name][row].item() for name in columns) == pytest.approx(sorted(expected), rel=1e-8)


def test_layers_are_named_by_rank_and_type():
    columns = diagnose("players", population(*IMAGES))
    names = [name.partition(".")[2] for name in columns if name.startswith("d_gradient_norm.")]
    assert names == ["1_conv2d", "2_conv2d", "3_linear"]


def inputs(batch):
    return [sample.detach().clone().requires_grad_() for sample in batch]


@points_and_images
def test_input_gradients_are_autograds(settings):
    own = population(*settings)
    got = diagnose("input_gradients", own)
    real, latents = probe_batch(own)
    for row in range(len(own.runs)):
        g, d = plain(own, row)
        for side, batch in (("real", real[row]), ("fake", g(latents[row]))):
            each = [torch.autograd.grad(d(x[None]).sum(), x)[0].norm() for x in inputs(batch)]
            assert got[f"d_input_gradient_{side}"][row].item() == pytest.approx(
                torch.stack(each).mean().item(), rel=1e-9
            )
    real, fake = got["d_input_gradient_real"], got["d_input_gradient_fake"]
    assert got["d_input_gradient_ratio"].tolist() == pytest.approx((real / fake).tolist())


def test_a_critic_that_is_flat_at_fakes_has_no_gradient_ratio():
    own = population("seeds=2")
    own.discriminator.frozen["4.weight"][0] = 0
    ratio = diagnose("input_gradients", own)["d_input_gradient_ratio"]
    assert ratio.isnan().tolist() == [True, False]


# ---- logits


@pytest.mark.parametrize(("loss", "logit", "expected"), [
    ("minimax", -20.0, 1.0), ("minimax", 0.0, 0.0), ("nonsaturating", -20.0, 0.0), ("nonsaturating", 20.0, 1.0),
    ("hinge", -20.0, 0.0), ("hinge", 20.0, 0.0), ("wasserstein", -20.0, 0.0), ("wasserstein", 1e4, 0.0),
    ("least_squares", -20.0, 0.0), ("least_squares", 1.0, 1.0),
])  # fmt: skip
def test_saturation_of_known_slopes(loss, logit, expected):
    assert scored("saturation", loss, [0.0] * 4, [logit] * 4) == {"saturation": expected}


def test_saturation_counts_fakes():
    # sigmoid(x) < .005 below -5.3, a hundredth of sigmoid(0) = 1/2
    assert scored("saturation", "minimax", [0.0] * 4, [-6.0, -5.4, -5.2, 3.0]) == {"saturation": 0.5}


def test_saturation_of_a_loss_with_another_boundary_and_no_largest_slope():
    # e^(x - 1) against 1 at the boundary 1: below 1 - 4.6
    assert scored("saturation", "fgan_kl", [1.0] * 4, [-3.7, -3.5, 1.0, 20.0]) == {"saturation": 0.25}
    # |x - 1| / 1 against 1/2 at the boundary 1/2: between .995 and 1.005
    assert scored("saturation", "least_squares", [1.0] * 4, [0.0, 0.99, 0.996, 1.004]) == {"saturation": 0.5}


def test_saturation_of_a_loss_that_compares():
    for shift in (0.0, 30.0):  # only differences count
        assert scored("saturation", "relativistic_pairing", [shift] * 3, [shift + 20] * 3) == {"saturation": 1.0}
        assert scored("saturation", "relativistic_pairing", [shift] * 3, [shift - 20] * 3) == {"saturation": 0.0}


def test_ranking_is_the_share_of_pairs_in_order():
    real, fake = [0.0, 1.0, 1.0, 2.0, -3.0], [0.5, 1.0, -3.0, 7.0, 0.0]
    pairs = [1.0 if r > f else 0.5 if r == f else 0.0 for r in real for f in fake]
    got = scored("logits", "wasserstein", real, fake)
    assert got["d_ranking"] == pytest.approx(sum(pairs) / 25)
    assert got["real_logit"] == pytest.approx(0.2)
    assert got["fake_logit"] == pytest.approx(1.1)
    assert got["logit_margin"] == pytest.approx(-0.9)


@pytest.mark.parametrize(("loss", "boundary"), [("nonsaturating", 0.0), ("hinge", 0.0), ("least_squares", 0.5)])
def test_accuracies_are_about_the_boundary_of_the_loss(loss, boundary):
    got = scored(
        "logits", loss, [boundary + 0.1, boundary - 0.1, boundary + 2, boundary + 1], [boundary - 0.1, boundary + 3] * 2
    )
    assert got["d_real_accuracy"] == 0.75
    assert got["d_fake_accuracy"] == 0.5


@pytest.mark.parametrize("loss", ["wasserstein", "relativistic_pairing"])
def test_a_critic_without_boundary_has_no_accuracy(loss):
    got = scored("logits", loss, [1.0, 2.0], [0.0, -1.0])
    assert got["d_real_accuracy"] != got["d_real_accuracy"]  # NaN
    assert got["d_fake_accuracy"] != got["d_fake_accuracy"]
    assert got["d_ranking"] == 1


@pytest.mark.parametrize(("held_out", "r_v"), [([2.0, 4.0], 0.0), ([-1.0, -1.0], 1.0), ([1.0], 0.5)])
def test_overfitting_is_the_share_of_the_margin_that_held_out_samples_lose(held_out, r_v):
    # E D(train) = 3, E D(fake) = -1
    got = scored("overfitting", "nonsaturating", [7.0, 4.0, 2.0, -1.0], [0.0, -2.0], held_out)
    assert got == {"d_overfitting": pytest.approx(r_v), "d_train_sign": 0.5}


def test_the_sign_of_training_samples_is_about_the_boundary_of_the_loss():
    real = [0.5, 0.6, 0.4, 0.3]
    assert scored("overfitting", "least_squares", real, [0.0], [0.0])["d_train_sign"] == -0.25
    sign = scored("overfitting", "wasserstein", real, [0.0], [0.0])["d_train_sign"]
    assert sign != sign  # NaN: a critic's score has no boundary


def test_overfitting_needs_held_out_samples_and_a_margin():
    assert scored("overfitting", "nonsaturating", [1.0], [0.0]) == {}
    r_v = scored("overfitting", "nonsaturating", [1.0], [1.0], [0.5])["d_overfitting"]
    assert r_v != r_v


# ---- units and weights


def alive_but(player, dead):
    """Open every rectified unit of a depth-2 perceptron wide, but those of run 0 named in `dead`."""
    for layer in ("0", "2"):
        player.frozen[f"{layer}.bias"].fill_(1e3)
    player.frozen["0.weight"].clamp_(-1, 1)
    player.frozen["2.weight"].abs_()
    for layer, unit in dead:
        player.frozen[f"{layer}.weight"][0, unit] = 0
        player.frozen[f"{layer}.bias"][0, unit] = -1.0


def test_dead_units_are_counted():
    own = population()
    alive_but(own.generator, [("0", 1), ("0", 5), ("2", 7)])
    alive_but(own.discriminator, [("2", 0)])
    # fakes reach +-1e4 or so with such biases: keep them near the origin for D
    own.generator.frozen["4.weight"].mul_(1e-6)
    got = diagnose("units", own)
    assert got["g_dead_units"].tolist() == [3 / 16, 0]
    assert got["d_dead_units"].tolist() == [1 / 16, 0]
    assert got["output_saturation"].isnan().all()  # no tanh on a mixture


def rectified(module, x):
    """Return the outputs [batch, units] of a plain module's rectifiers, side by side."""
    seen = []
    for child in module.modules():
        if isinstance(child, (nn.ReLU, nn.LeakyReLU)):
            child.register_forward_hook(lambda child, args, out: seen.append(out.flatten(1)))
    module(x)
    return torch.cat(seen, dim=1)


@points_and_images
def test_a_unit_that_one_sample_activates_is_alive(settings):
    own = population(*settings)
    for player in (own.generator, own.discriminator):
        bias = next(name for name in player.frozen if name.endswith("bias"))
        player.frozen[bias].sub_(0.6)  # so that some units are dead, some alive for a few samples only
    got, (_, latents) = diagnose("units", own), probe_batch(own)
    for row in range(len(own.runs)):
        g, d = plain(own, row)
        g_active, d_active = rectified(g, latents[row]) > 0, rectified(d, g(latents[row])) > 0
        assert got["g_dead_units"][row].item() == pytest.approx((~g_active.any(0)).double().mean().item())
        assert got["d_dead_units"][row].item() == pytest.approx((~d_active.any(0)).double().mean().item())
        assert (g_active.any(0) & ~g_active.all(0)).any()


@pytest.mark.parametrize(("gain", "expected"), [(0.0, 0.0), (1e9, 1.0)])
def test_output_saturation_of_a_tanh(gain, expected):
    own = population("problem=digits")
    own.generator.frozen["4.weight"].mul_(gain)
    own.generator.frozen["4.bias"].mul_(gain)
    assert diagnose("units", own)["output_saturation"].tolist() == pytest.approx([expected] * 2, abs=0.01)


@points_and_images
@pytest.mark.parametrize("normalization", ["none", "weight"])
def test_spectral_norms_are_svds(settings, normalization):
    own = population(*settings, f"normalization={normalization}")
    got = diagnose("spectra", own)
    for row in range(len(own.runs)):
        _, d = plain(own, row)
        layers = [m for m in d.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
        # at its start weight normalization changes no weight
        norms = [torch.linalg.svdvals(layer.weight.flatten(1))[0].item() for layer in layers]
        assert [v[row].item() for k, v in got.items() if "." in k] == pytest.approx(norms, rel=1e-6)
        assert got["d_spectral_norm"][row].item() == pytest.approx(max(norms), rel=1e-6)


@points_and_images
def test_spectral_norm_is_one_under_spectral_normalization(settings):
    own = population(*settings, "normalization=spectral")
    real, _ = probe_batch(own)
    for _ in range(300):
        own.criticise(real)  # one power iteration each
    norms = diagnose("spectra", own)
    assert len(norms) > 1
    for norm in norms.values():
        assert norm.tolist() == pytest.approx([1.0] * 2, abs=1e-3)


# ---- cost classes


def test_a_cost_class_holds_the_cheaper_ones():
    held = [{plugin.name for plugin in affordable(cost)} for cost in COSTS]
    assert held[0] < held[1] < held[2] == set(registry.names("diagnostic"))
    assert {"players", "logits"} <= held[0]
    assert {plugin.declared("cost") for plugin in affordable("medium")} == {"cheap", "medium"}


def test_an_unknown_cost_class_is_an_error():
    with pytest.raises(UserError, match=r"Unknown class of diagnostics 'expensiv'\. Did you mean 'expensive'\?"):
        affordable("expensiv")
