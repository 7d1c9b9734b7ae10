"""Every law can be broken: plug-ins with one fault each, and the law that finds it, with its number."""

import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from ganbench import registry
from ganbench.contracts import laws
from ganbench.contracts.base import judge
from ganbench.gan.linear import alternating as alternating_map
from ganbench.gan.losses import HELLINGER, JENSEN_SHANNON, LOGISTIC, Divergence
from ganbench.kinds import KINDS
from ganbench.problems.base import Modes, Problem, stream
from ganbench.registry import Remedy, positive
from ganbench.training.population import Population
from ganbench.training.step import train_step

MUTANTS = []


def breaks(kind, law, told, *, needs=None, provides=(), **meta):
    """Take the decorated function as a plug-in of `kind` that breaks a law, told by a text."""

    def decorate(function):
        plugin = registry._plugin(kind, function, needs or {}, frozenset(provides), meta)
        MUTANTS.append(pytest.param(plugin, law, told, id=f"{law}-{function.__name__}"))
        return function

    return decorate


# ------------------------------------------------------------------------------------------ losses


@breaks("loss", "two_losses", "The loss 'unreduced' gives D a tensor of shape (16,), not one number a batch")
def unreduced(real, fake):
    return softplus(-real) + softplus(fake), softplus(-fake)


@breaks("loss", "two_losses", "g_loss of torch.float64 logits is torch.float32")
def rounded(real, fake):
    return (fake - real).mean(-1), -fake.float().mean(-1)


@breaks("loss", "two_losses", "returns a tuple of 3, not the pair of D's loss and G's")
def three(real, fake):
    return fake.mean(), -fake.mean(), 0


@breaks("loss", "finite_at_extremes", "d_loss is inf at real logits -10000 and fake logits -10000 in torch.float32")
def overflowing(real, fake):
    return ((-real).exp() + 1).log().mean() + softplus(fake).mean(), softplus(-fake).mean()


@breaks("loss", "precise_in_float32", "d_loss is 18.42 in float32 and 17.5 in float64 at real logits")
@breaks("loss", "never_goes_flat", "the slope of d_loss by a real logit is 0.171 at -20 and 0 at -10000")
# sigmoid(-20) = 2.061e-9, so that the slope is 2.061e-9 / (2.061e-9 + 1e-8)
@breaks(
    "loss",
    "teaches_as_declared",
    "slope of g_loss by a fake logit is 0.171 at -20, below the 0.5 at 0",
    saturates=False,
)
def with_epsilon(real, fake):
    real, fake = torch.sigmoid(real), torch.sigmoid(fake)
    return -((real + 1e-8).log() + (1 - fake + 1e-8).log()).mean(), -(fake + 1e-8).log().mean()


@breaks("loss", "never_goes_flat", "the slope of d_loss by a real logit is 1 at -20 and 0 at -10000")
def clamped(real, fake):
    real, fake = real.clamp(-50, 50), fake.clamp(-50, 50)
    return (fake - real).mean(-1), -fake.mean(-1)


@breaks("loss", "critic_falls", "the slope of d_loss by a real logit is 1 at logits of 0, and should be below 0")
@breaks("loss", "generator_falls", "the slope of g_loss by a fake logit is 1 at logits of 0, and should be below 0")
def flipped(real, fake):
    return real.mean(-1) - fake.mean(-1), fake.mean(-1)


@breaks("loss", "critic_falls", "the slope of d_loss by a fake logit is 0 at logits of 0, and should be above 0")
def blind_to_fakes(real, fake):
    return softplus(-real).mean(-1) + 0 * fake.mean(-1), softplus(-fake).mean(-1)


@breaks("loss", "critic_falls", "goes from -0.25 to -0.09 as real - fake grows from 0.5 to 0.9")
def turning(real, fake):
    return ((real - fake).square() - (real - fake)).mean(-1), -fake.mean(-1)


@breaks("loss", "generator_falls", "g_loss around logits of 0 goes from 0.1 to 0.1 as fake grows from -1 to -0.4")
def flat_below(real, fake):
    return (fake - real).mean(-1), -fake.clamp(min=-0.1).mean(-1)


@breaks(
    "loss",
    "teaches_as_declared",
    "not saturating, the slope of g_loss by a fake logit is 2.06e-09 at -20",
    saturates=False,
)
def minimax_without_saying_so(real, fake):
    return (softplus(-real) + softplus(fake)).mean(-1), -softplus(fake).mean(-1)


@breaks(
    "loss",
    "teaches_as_declared",
    "declared as saturating, the slope of g_loss by a fake logit is 1 at -20",
    saturates=True,
)
@breaks("loss", "optimum_is_the_divergence", "d_loss is 1.1", boundary=0.0, divergence=JENSEN_SHANNON)
@breaks(
    "loss",
    "equals_leave_the_boundary",
    "the declared critic is 0 where p = q, and the boundary 1",
    boundary=1.0,
    divergence=LOGISTIC,
)
@breaks("loss", "equals_leave_the_boundary", "d_loss is 1.38629 where p = q, not 0", boundary=0.0, divergence=HELLINGER)
@breaks(
    "loss",
    "equals_leave_the_boundary",
    "the declared divergence of a Gaussian to itself is 1",
    boundary=0.0,
    divergence=Divergence("p", lambda ratio: ratio, lambda p, q: p, -1.0),
)
@breaks(
    "loss",
    "no_critic_is_better",
    "d_loss is 1.38629 at the declared critic, and 1.38625 0.01 x cos",
    boundary=0.0,
    divergence=Divergence("nothing", torch.zeros_like, lambda p, q: 0 * p, 1.0, 2 * math.log(2)),
)
def nonsaturating(real, fake):
    return (softplus(-real) + softplus(fake)).mean(-1), softplus(-fake).mean(-1)


@breaks("loss", "optimum_is_the_divergence", "d_loss is no sum of a term of real", boundary=None, divergence=LOGISTIC)
def comparing(real, fake):
    return softplus(fake - real).mean(-1), softplus(real - fake).mean(-1)


@breaks("loss", "order_is_free", "with the batch in another order")
def by_place(real, fake):
    share = torch.linspace(0.5, 1.5, real.shape[-1], dtype=real.dtype)
    return (share * (fake - real)).mean(-1), -(share * fake).mean(-1)


@breaks("loss", "size_is_free", "with every sample twice")
def summed(real, fake):
    return (fake - real).sum(-1), -fake.sum(-1)


seen = torch.zeros((), dtype=torch.float64)


@breaks("loss", "repeatable", "at the second call with the same logits")
def remembering(real, fake):
    seen.add_(1)
    return fake.mean(-1) - real.mean(-1) + seen.to(real), -fake.mean(-1)


@breaks("loss", "runs_are_alone", "where another run's logits are 10000")
def sharing_a_scale(real, fake):
    scale = real.detach().abs().max().clamp(min=100) / 100
    return (fake.mean(-1) - real.mean(-1)) / scale, -fake.mean(-1) / scale


@breaks("loss", "slopes_are_the_values", "the gradient of d_loss by a real logit of")
def half_detached(real, fake):
    return (softplus(-real) * softplus(-real).detach() + softplus(fake)).mean(-1), softplus(-fake).mean(-1)


@breaks("loss", "rests_at_its_boundary", "d_loss is 0.5 at the declared 0 and 0.25 at 0.5", boundary=0.0)
@breaks("loss", "rests_at_its_boundary", "declared as None, d_loss varies by 12.2", boundary=None)
def squares(real, fake):
    return ((real - 1).square() + fake.square()).mean(-1) / 2, (fake - 1).square().mean(-1) / 2


# ------------------------------------------------------------------------------------------ regularizers

PER_SAMPLE = {"independent_samples": "gradients"}


def gradient_of(critic, samples, **how):
    return torch.autograd.grad(critic(samples).sum(), samples, **(how or {"create_graph": True}))[0]


@breaks("regularizer", "shape_is_kept", "3 runs come back in the shape [], not [3]: take the mean over the last axis")
def mean_of_all(critic, real, fake, uniform):
    return critic(real).square().mean()


@breaks("regularizer", "shape_is_kept", "3 runs come back in the shape [3, 10], not [3, 20]", acts_on="weights")
def halving(weights):
    return weights[:, ::2]


@breaks("regularizer", "shape_is_kept", "3 runs come back in the shape [3, 10, 4], not [3, 11, 4]", acts_on="samples")
def dropping(samples, normal, progress):
    return samples[:, 1:]


@breaks("regularizer", "shape_is_kept", "3 runs come back in the shape [], not [3]", acts_on="matrices")
def mean_of_matrices(matrices):
    return matrices[0].square().mean()


@breaks("regularizer", "finite", "its gradient in weights is nan at weights of 0", needs=PER_SAMPLE)
def root_of_zero(critic, real, fake, uniform):
    return (gradient_of(critic, real).square().sum(-1).sqrt() - 1).square().mean(-1)


@breaks("regularizer", "finite", "it is nan at samples that are all 1", acts_on="samples")
def whitening(samples, normal, progress):
    return (samples - samples.mean(1, keepdim=True)) / samples.std(1, keepdim=True)


own_numbers = stream("mutant", 0)


@breaks("regularizer", "repeatable", "at a second call with the same inputs")
def drawing(critic, real, fake, uniform):
    noise = torch.randn(real.shape, generator=own_numbers, dtype=real.dtype)
    return (critic(real + noise) - critic(real)).square().mean(-1)


@breaks("regularizer", "runs_are_alone", "where another run's weights and samples are 5")
def shared(critic, real, fake, uniform):
    return critic(real).square().mean().expand(len(real))


@breaks("regularizer", "runs_are_alone", "where another run's weights and samples are inf", acts_on="weights")
def clipping_all(weights):
    return weights / weights.abs().max().clamp(min=10)


@breaks("regularizer", "order_is_free", "with the batch in another order")
def neighbouring(critic, real, fake, uniform):
    return (critic(real) - critic(real).roll(1, -1)).square().mean(-1)


@breaks("regularizer", "shape_of_samples_is_free", "for samples of shape [2, 3, 3] instead of [18]", needs=PER_SAMPLE)
def by_row(critic, real, fake, uniform):
    return gradient_of(critic, real).square().sum(-1).flatten(1).mean(-1)


@breaks("regularizer", "never_negative", "it is -", needs=PER_SAMPLE)
def rewarding(critic, real, fake, uniform):
    return -gradient_of(critic, real).square().sum(-1).mean(-1)


@breaks("regularizer", "never_negative", "it is -", acts_on="matrices")
def growing_weights(matrices):
    return -matrices[0].square().sum((-2, -1))


@breaks("regularizer", "gradient_is_the_values", "it has no gradient in weights", needs=PER_SAMPLE)
def without_graph(critic, real, fake, uniform):
    return gradient_of(critic, real, retain_graph=True).square().sum(-1).mean(-1)


@breaks("regularizer", "gradient_is_the_values", "along weights it changes by")
def half_a_gradient(critic, real, fake, uniform):
    return (critic(real) * critic(real).detach()).mean(-1)


@breaks("regularizer", "needs_are_declared", "and needs={'independent_samples': ...} is missing")
def undeclared(critic, real, fake, uniform):
    return gradient_of(critic, real).flatten(2).square().sum(-1).mean(-1)


# ------------------------------------------------------------------------------------------ normalizations

INDEPENDENT = {"independent_samples"}


class Scaled(nn.Module):
    """A layer whose outputs pass through a function of the layer and the outputs."""

    def __init__(self, layer, function):
        super().__init__()
        self.layer, self.function = layer, function
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        return self.function(self, self.layer(x))


def features(layer):
    return getattr(layer, "out_features", None) or layer.out_channels


@breaks(
    "normalization",
    "keeps_what_it_declares",
    "the largest singular value is 2 after 100 batches",
    acts_on="weights",
    keeps="spectral norm 1",
)
def twice_spectral(layer):
    spectral = registry.get("normalization", "spectral")(layer)
    return Scaled(spectral, lambda module, out: 2 * out)


@breaks("normalization", "keeps_what_it_declares", "a mean over batch and pixels is", keeps=("batch", "pixels"))
def over_the_wrong_axis(layer):
    return nn.Sequential(layer, nn.GroupNorm(1, features(layer)))


@breaks(
    "normalization",
    "keeps_what_it_declares",
    "a variance over batch and pixels is off 1 by 0.75",
    keeps=("batch", "pixels"),
)
def half_as_wide(layer):
    return Scaled(registry.get("normalization", "batch")(layer), lambda module, out: out / 2)


@breaks("normalization", "keeps_what_it_declares", "a row's length changes by 6 of it", keeps="row lengths")
def nothing(layer):
    return layer


@breaks("normalization", "keeps_what_it_declares", "it returns another module than the layer", keeps="the layer")
def wrapped(layer):
    return nn.Sequential(layer)


@breaks("normalization", "shape_is_the_layers", "outputs are [16, 72] instead of [16, 8, 3, 3] at a convolution")
def flattening(layer):
    return nn.Sequential(layer, nn.Flatten())


@breaks("normalization", "finite", "not all outputs and gradients are finite for equal samples at a linear layer")
def without_epsilon(layer):
    return Scaled(layer, lambda module, out: out / out.std(0, keepdim=True))


@breaks("normalization", "finite", "no parameter has a gradient at a linear layer")
def frozen(layer):
    return layer.requires_grad_(False)


@breaks("normalization", "measuring_moves_nothing", "the buffer calls moves at a linear layer")
def counting(layer):
    return Scaled(layer, lambda module, out: out + 0 * module.calls.add_(1))


@breaks("normalization", "measuring_moves_nothing", "outputs change by 1 at a linear layer")
def growing(layer):
    return Scaled(layer, lambda module, out: out + module.calls.add_(1))


@breaks(
    "normalization",
    "samples_are_as_independent_as_declared",
    "of it with the others at a linear layer",
    provides=INDEPENDENT,
)
def mixing(layer):
    return Scaled(layer, lambda module, out: out - out.mean(0))


@breaks("normalization", "a_population_is_its_runs", "of them off in eval at a linear layer", provides=INDEPENDENT)
def by_its_first_weight(layer):
    # a tensor that is no buffer is not stacked: all runs would divide by the first one's
    first = layer.weight.detach().norm().clone()
    return Scaled(layer, lambda module, out: out / first)


# ------------------------------------------------------------------------------------------ optimizers


def optimizer(law, told):
    return breaks("optimizer", law, told)


@optimizer("rates_are_declared", "it has no keyword-only parameter g_lr, decay")
def one_rate(parameters, gradient, state, step, lr, *, d_lr=0.1):
    parameters.sub_(gradient * lr)


@optimizer("rates_are_declared", "Unknown decay of the learning rate 'cosin'. Did you mean 'cosine'?")
def unknown_decay(parameters, gradient, state, step, lr, *, g_lr=0.1, d_lr=0.1, decay="cosin"):
    parameters.sub_(gradient * lr)


@optimizer("moves_in_place", "x its length, and should be below 0")
@optimizer("descends_a_bowl", "it ends at a distance of")
def ascending(parameters, gradient, state, step, lr):
    parameters.add_(gradient * lr)


@optimizer("moves_in_place", "the first step along the gradient is 0 x its length")
@optimizer("descends_a_bowl", "it ends at a distance of 3, 3, 3")
def returning(parameters, gradient, state, step, lr):
    return parameters - gradient * lr


@optimizer("moves_in_place", "it writes into the gradient")
def scaling(parameters, gradient, state, step, lr):
    parameters.sub_(gradient.mul_(lr))


@optimizer("rate_of_zero_freezes", "a run with rate 0 moves by 0.182 in 20 steps")  # 1 - 0.99^20
def decaying(parameters, gradient, state, step, lr):
    parameters.mul_(0.99).sub_(gradient * lr)


@optimizer("rate_of_zero_freezes", "a run with rate 0.01 does not move in 20 steps")
def patient(parameters, gradient, state, step, lr):
    if step > 100:
        parameters.sub_(gradient * lr)


@optimizer("runs_are_alone", "where another run's gradients are 5")
def clipped_together(parameters, gradient, state, step, lr):
    parameters.sub_(gradient / gradient.norm() * lr)


velocities = {}


@optimizer("memory_is_in_its_state", "where it goes on from copies of its state")
def remembering_by_name(parameters, gradient, state, step, lr):
    velocity = velocities[id(parameters)] = velocities.get(id(parameters), 0) * 0.9 + gradient
    parameters.sub_(velocity * lr)


@optimizer("memory_is_in_its_state", "state['steps'] is a int, and not a tensor")
def counting_steps(parameters, gradient, state, step, lr):
    state["steps"] = state.get("steps", 0) + 1
    parameters.sub_(gradient * lr)


@optimizer("finite", "a parameter is nan at gradients of 0")
def by_sign(parameters, gradient, state, step, lr):
    parameters.sub_(gradient / gradient.abs() * lr)


@optimizer("numbers_may_differ", "raised")
def branching(parameters, gradient, state, step, lr, *, momentum=0.0):
    if momentum < 0.5:
        parameters.sub_(gradient * lr)


@optimizer("numbers_may_differ", "where its numbers are tensors")
def truncating(parameters, gradient, state, step, lr, *, factor=1.0):
    factor = factor if isinstance(factor, float) else factor.long() // 2 + 0.25
    parameters.sub_(factor * gradient * lr)


# ------------------------------------------------------------------------------------------ problems


class Points(Problem):
    """Two modes on a line, right in every respect."""

    name, shape, capabilities = "points", (1,), frozenset({"modes"})
    modes = Modes(
        torch.tensor([[-1.0], [1.0]], dtype=torch.float64), 0.1, torch.tensor([0.5, 0.5], dtype=torch.float64)
    )

    def sample(self, n, generator):
        side = torch.randint(2, (n, 1), generator=generator) * 2.0 - 1
        return side + 0.1 * torch.randn(n, 1, generator=generator)


def problem(law, told, provides=("modes",), **overrides):
    """Take a problem with one thing overridden as a plug-in that breaks a law."""

    def mutant():
        return type("Mutant", (Points,), overrides)()

    mutant.__name__ = "-".join(overrides) or "undeclared"
    breaks("problem", law, told, provides=provides)(mutant)


def times(factor, plus=0.0):
    return lambda self, n, generator: factor * Points.sample(self, n, generator) + plus


shape, stream_law = "samples_have_its_shape", "samples_follow_their_stream"
problem(shape, "64 samples have the shape [64, 1], not [64, 2]", shape=(2,))
problem(shape, "samples are torch.float64", sample=lambda self, n, g: Points.sample(self, n, g).double())
problem(shape, "a sample holds nan", sample=times(float("nan")))
problem(shape, "samples lie in [-1.", value_range=(-1.0, 1.0))
problem(stream_law, "samples of equal streams differ", sample=lambda self, n, g: Points.sample(self, n, own_numbers))
problem(stream_law, "samples of two streams are the same", sample=lambda self, n, g: torch.ones(n, 1))
problem(stream_law, "torch's global generator", sample=lambda self, n, g: Points.sample(self, n, g) + 0 * torch.rand(1))
apart = "reference_and_oracle_stand_apart"
problem(apart, "reference(64) has the shape [64], not [64, 1]", reference=lambda self, n, seed: torch.ones(n))
problem(
    apart, "oracle_samples differs from call to call", oracle_samples=lambda self, n, seed: self.sample(n, own_numbers)
)
problem(apart, "the oracle's samples are those of the reference", oracle_samples=Points.reference)
there = "capabilities_are_there"
problem(there, "provides=[], and its capabilities are ['modes']", provides=())
problem(there, "it says 'modes' and has not modes", modes=None)
problem(
    there, "it says 'unpaired' and has not samples that are what is given", provides=("modes", "unpaired"),
    capabilities=frozenset({"modes", "unpaired"}),
)  # fmt: skip
lie = "samples_lie_on_the_modes"
problem(
    lie, "samples lie 0.2", sample=lambda self, n, g: Points.sample(self, n, g) + 0.2 * torch.randn(n, 1, generator=g)
)
problem(lie, "mode 0 is nearest to 0 of the samples, its weight is 0.5", sample=times(0.1, plus=1.0))


# ------------------------------------------------------------------------------------------ networks


def pair(spec, generator=(), discriminator=(), size=None):
    """Return a right pair, with modules at the ends of its players."""
    size = size or spec.shape[-1]
    return (
        nn.Sequential(spec.g_norm(nn.Linear(spec.latent_dim, size)), *generator),
        nn.Sequential(spec.d_norm(nn.Linear(size, 1)), *discriminator),
    )


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@breaks("network", "shapes_fit", "7 latents become [7, 3], not [7, 2]")
def too_wide(spec):
    return pair(spec, size=3)


@breaks("network", "shapes_fit", "7 samples become logits [7, 2], not [7] or [7, 1]")
def two_logits(spec):
    return pair(spec, discriminator=[Apply(lambda x: x.expand(-1, 2))])


@breaks("network", "shapes_fit", "samples or logits are not finite at the start")
def exploding(spec):
    return pair(spec, discriminator=[Apply(lambda x: x / 0)])


@breaks("network", "players_see_their_input", "the generator's outputs are all the same")
def blind(spec):
    return pair(spec, generator=[Apply(lambda x: 0 * x)])


@breaks("network", "weights_follow_the_seed", "weights of two seeds are the same")
def constant(spec):
    players = pair(spec)
    for player in players:
        nn.init.ones_(player[0].weight), nn.init.zeros_(player[0].bias)
    return players


@breaks("network", "weights_follow_the_seed", "weights built twice from one seed differ")
def seeded_elsewhere(spec):
    players = pair(spec)
    nn.init.normal_(players[0][0].weight, generator=own_numbers)
    return players


@breaks("network", "a_population_is_its_runs", "the discriminator's outputs are off by")
def with_a_loose_tensor(spec):
    players = pair(spec)
    loose = torch.randn(1, dtype=torch.float64)
    return players[0], nn.Sequential(players[1], Apply(lambda x: x * loose))


class Told(nn.Module):
    def __init__(self, module, function):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, x, label):
        return self.module(x) + self.function(label)[:, None]


@breaks(
    "network", "labels_are_seen", "the discriminator gives the same for other labels", needs={"label": "it is told"}
)
def deaf_to_labels(spec):
    generator, discriminator = pair(spec)
    return Told(generator, lambda label: label), Told(discriminator, torch.zeros_like)


@breaks(
    "network", "labels_are_seen", "the generator gives the same for other pictures", needs={"picture": "it is given"}
)
def blind_to_pictures(spec):
    return tuple(Told(player, lambda picture: torch.zeros(len(picture), dtype=picture.dtype)) for player in pair(spec))


@breaks("network", "labels_go_with_their_samples", "the generator's outputs are off by", needs={"label": "it is told"})
def by_the_labels_before(spec):
    generator, discriminator = pair(spec)
    return Told(generator, lambda label: label.cumsum(0)), Told(discriminator, lambda label: label)


@breaks("network", "images_stay_in_range", "away from 0, the range is [-1, 1]", needs={"image": "pixels"})
def without_tanh(spec):
    generator, discriminator = pair(spec, size=64)
    return nn.Sequential(generator, nn.Unflatten(1, (1, 8, 8))), nn.Sequential(nn.Flatten(), discriminator)


# ------------------------------------------------------------------------------------------ models


def moves_everybody(own, by=0.01):
    own.generator.flat.add_(by)


@breaks("model", "trains", "samples are what they were 4 steps before")
def idle(runs, problem, device):
    own = Population(runs, problem, device)
    own.advance = lambda: setattr(own, "step", own.step + 1)
    return own


@breaks("model", "repeatable", "when the training is repeated")
def begun_by_chance(runs, problem, device):
    own = Population(runs, problem, device)
    moves_everybody(own, torch.rand(1, generator=own_numbers).item())
    return own


@breaks("model", "runs_do_not_mix", "from what it is alone")
def sociable(runs, problem, device):
    own = Population(runs, problem, device)
    own.advance = lambda: (train_step(own), moves_everybody(own, own.generator.flat.mean()))
    return own


@breaks("model", "measuring_moves_nothing", "from what it is where nobody looks")
def shy(runs, problem, device):
    own = Population(runs, problem, device)
    generate = own.generate
    own.generate = lambda *given, **how: (how or moves_everybody(own), generate(*given, **how))[1]
    return own


@breaks("model", "diverged_runs_stay", "a sample of a diverged run has moved by")
def restless(runs, problem, device):
    own = Population(runs, problem, device)
    own.advance = lambda: (train_step(own), moves_everybody(own))
    return own


@breaks("model", "goes_on_after_an_interruption", "from that of a training without interruption")
def without_a_state(runs, problem, device):
    own = Population(runs, problem, device)
    own.load_state_dict = lambda state: setattr(own, "step", state["step"])
    return own


# ------------------------------------------------------------------------------------------ metrics, diagnostics

WIDTH = {"width": positive("width")}


def width(real, fake):
    return fake.std(-2).mean(-1)


def measures(kind, law, told, function, measures=WIDTH, **meta):
    mutant = lambda *given: function(*given)  # noqa: E731 - a name of its own for each
    mutant.__name__ = f"{kind}-{len(MUTANTS)}"
    breaks(kind, law, told, **({"measures": measures} if measures is not None else {}), **meta)(mutant)


declared, alone = "columns_are_declared", "runs_are_alone"
measures("metric", declared, "it declares no measures", lambda r, f: {"width": width(r, f)}, None)
measures("metric", declared, "it returns with, and declares width", lambda r, f: {"with": width(r, f)})
measures("metric", declared, "it declares width, and does not return it", lambda r, f: {})
measures("metric", declared, "width of 3 runs has the shape [], not [3]", lambda r, f: {"width": width(r, f).mean()})
measures("metric", declared, "width is -0.", lambda r, f: {"width": -width(r, f)})
measures("metric", "repeatable", "at a second call", lambda r, f: {"width": width(r, f) + seen.add_(1)})
measures(
    "metric", "repeatable", "torch's global generator", lambda r, f: {"width": width(r, f) + torch.rand(1).double()}
)
measures("metric", alone, "where another run's samples", lambda r, f: {"width": width(r, f) / f.abs().max()})
measures("metric", "samples_are_left_alone", "it writes into", lambda r, f: {"width": f.mul_(2).std(-2).mean(-1)})


def spread(game):
    return game.fake_logits.detach().std(-1)


def moving(game):
    game.population._population.discriminator.flat.add_(1)
    return {"width": spread(game)}


measures("diagnostic", declared, "it returns with, and declares width", lambda game: {"with": spread(game)})
measures("diagnostic", "repeatable", "at a second call", lambda game: {"width": spread(game) + seen.add_(1)})
measures("diagnostic", "measuring_moves_nothing", "it moves the parameters of the discriminator", moving)
measures("diagnostic", "measuring_moves_nothing", "global", lambda game: {"width": spread(game) + torch.rand(1)})


# ------------------------------------------------------------------------------------------ feature spaces


def space(law, told, mapped, *, needs=None, provides=()):
    """Take a map of samples as a feature space that breaks a law."""

    def mutant(problem):
        """A mutant."""
        return mapped

    breaks("feature_space", law, told, needs=needs, provides=provides)(mutant)


def half_written(x):
    x[:, :1] = 0.0
    return x.flatten(1)


class Headed:
    def __init__(self, head):
        self.head = head

    def __call__(self, x):
        return x.flatten(1)


LABELLED = {"needs": {"classes": "its head tells them"}, "provides": {"classes"}}
shaken = torch.Generator().manual_seed(0)

space("features_of_each_sample", "are torch.int64", lambda x: x.flatten(1).long())
space("features_of_each_sample", "was given 24 samples and gave [24, 2, 1]; it must return features [n, d]",
      lambda x: x.unsqueeze(-1))  # fmt: skip
space("features_of_each_sample", "was given 24 samples and gave [1, 2]", lambda x: x.mean(0, keepdim=True))
space("features_of_each_sample", "gave tuple", lambda x: (x, x))
space("features_of_each_sample", "no problem that is known here provides ears", lambda x: x,
      needs={"ears": "it listens"})  # fmt: skip
space("repeatable", "off at a second call", lambda x: x.flatten(1) + torch.rand(1, generator=shaken))
space("repeatable", "it draws from torch's global generator", lambda x: x.flatten(1) + 0 * torch.rand(1))
space(
    "samples_are_alone", "in batches of 1 a feature of 'ring8' is 1 off", lambda x: x.flatten(1) - x.flatten(1).mean(0)
)
space("order_is_kept", "in reverse order a feature of 'ring8' is ", lambda x: x.flatten(1).cumsum(0))
space("finite", "samples of 'ring8' that are a hundred times larger have a feature inf", lambda x: x.flatten(1).exp())
space("finite", "that are equal have a feature nan", lambda x: x.flatten(1) / x.flatten(1).norm(dim=1, keepdim=True))
space("tells_samples_apart", "24 samples of 'ring8' have the same features", lambda x: 0 * x.flatten(1))
space("samples_are_left_alone", "it writes into the samples", half_written)
space("modes_are_where_they_are", "a sample of 'ring8' moves by ", lambda x: 2 * x.flatten(1), provides={"modes"})
space("modes_are_where_they_are", "samples of 'ring8' of 2 numbers have 1 features", lambda x: x.flatten(1)[:, :1],
      provides={"modes"})  # fmt: skip
space("head_gives_probabilities", "its map has no method 'head'", lambda x: x.flatten(1), **LABELLED)
space("head_gives_probabilities", "24 samples of 'digits' have probabilities [24, 64]",
      Headed(lambda x: x.softmax(-1)), **LABELLED)  # fmt: skip
space(
    "head_gives_probabilities",
    "a probability is 1; they sum to [10, 10]",
    Headed(lambda x: torch.ones(len(x), 10)),
    **LABELLED,
)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_network_that_normalizations_do_not_reach_is_told(player):
    def deaf(spec):
        same = lambda layer: layer  # noqa: E731
        return pair(replace(spec, **{f"{player[0]}_norm": same}))

    plugin = registry._plugin("network", deaf, {}, frozenset(), {})
    result = judge(plugin, law_of("network", "normalizations_reach_it"))
    assert result.status == "not declared"
    assert result.detail.startswith(f"normalizations of the {player}: ")


# ------------------------------------------------------------------------------------------


def law_of(kind, name):
    return next(law for law in laws(kind) if law.name == name)


@breaks("normalization", "keeps_what_it_declares", "the root mean square over channels is", keeps="root mean square 1")
def lengthened(layer):
    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x / x.square().mean(1, keepdim=True).sqrt()

    return nn.Sequential(layer, Twice())


# ------------------------------------------------------------------------------------------ tricks


@breaks("trick", "trains", "G is where it was after 6 steps", acts_on="logits")
def deaf(real_logits, fake_logits, progress):
    return real_logits, fake_logits.detach() + 0 * fake_logits


@breaks("trick", "runs_do_not_mix", "from what it is alone", acts_on="logits")
def pooled(real_logits, fake_logits, progress):
    return real_logits, fake_logits + fake_logits.sum(0)


@breaks("trick", "repeatable", "when the training is repeated", acts_on="samples")
@breaks("trick", "random_numbers_are_its_own", "it draws from torch's global generator", acts_on="samples")
def noisy(samples, uniform):
    return samples + torch.randn_like(samples)


@breaks("trick", "diverged_runs_stay", "a diverged run has moved by", acts_on="average")
def reaching(average, parameters):
    parameters[1] += 1
    return average


_counted = {}


@breaks("trick", "goes_on_after_an_interruption", "a run that was interrupted is", acts_on="parameters")
def ever_stronger(parameters, mean):
    key = parameters.data_ptr()
    _counted[key] = _counted.get(key, 0) + 1
    return _counted[key] * parameters.square().sum(-1)


# ------------------------------------------------------------------------------------------ terms


@breaks("term", "trains", "D is where it was after 6 steps")
def boundless(scene):
    return scene.fake.logits.mean(-1) * math.inf


@breaks("term", "counts", "D trains as without it")
def silent_term(scene):
    return 0 * scene.fake.logits.mean(-1)


@breaks("term", "runs_do_not_mix", "from what it is alone")
def pooled_term(scene):
    logits = scene.fake.logits.mean(-1)
    return logits + logits.sum(0)


@breaks("term", "repeatable", "when the training is repeated")
@breaks("term", "random_numbers_are_its_own", "it draws from torch's global generator")
def noisy_term(scene):
    return scene.fake.logits.mean(-1) * torch.rand(())


# ------------------------------------------------------------------------------------------ update rules


@breaks("update", "moves_both_players", "G is where it was after 12 steps")
def lonely(round):
    round.descend("d", round.gradient("d"))


@breaks("update", "rests_at_the_equilibrium", "from the equilibrium that they began at")
@breaks("update", "runs_do_not_mix", "from its way alone")
def mixed(round):
    for player in "dg":
        gradient = round.gradient(player)
        round.descend(player, gradient + gradient.mean(0) + 1e-3 * len(gradient))


@breaks("update", "arrives_where_every_descent_does", "of the distance is left, and should be below 0.3")
def uphill(round):
    for player in "dg":
        gradient = round.gradient(player)
        round.descend(player, gradient if player == "g" else -gradient)


# alternating descent contracts by sqrt(1 - rate gamma) = 0.97468
@breaks("update", "goes_as_its_linear_map_says", "distance on, and `linear` 0.97468", linear=alternating_map)
def twice_as_fast(round):
    for player in "dg":
        round.descend(player, 2 * round.gradient(player))


@breaks("update", "diverged_runs_stay", "a diverged run has moved by 0.0")
def pulling(round):
    round.descend("d", round.gradient("d"))
    round.descend("g", round.gradient("g"))
    for player in round.population.players.values():
        player.flat.mul_(0.99)


_kept = {}


@breaks("update", "goes_on_after_an_interruption", "a run that was interrupted is")
def forgetful(round):
    kept = _kept.setdefault(id(round.population), {"steps": 0})
    kept["steps"] += 1
    for player in "dg":
        round.descend(player, round.gradient(player) * (1 + kept["steps"] % 7))


@breaks("update", "moves_both_players", "raised KeyError: 'x' (test_mutants.py, line")
def misspelled(round):
    round.descend("x", round.gradient("d"))


# ------------------------------------------------------------------------------------------ verdicts


def said(case, held):
    return "It is so."


FAULTY = {"failure": True, "rank": 5, "symbol": "Z", "evidence": said, "remedy": Remedy("Look again.")}


@breaks("verdict", "record_is_complete", "it has no legend", **FAULTY)
def wordless(case):
    return case.narrow


@breaks("verdict", "record_is_complete", "its symbol 'C' is that of 'collapsed'", **{**FAULTY, "symbol": "C"})
@breaks("verdict", "record_is_complete", "it is a failure without a remedy", **{**FAULTY, "remedy": None})
@breaks("verdict", "silent_on_perfect_samplers", "it holds for a perfect sampler of ring8 since step 0", **FAULTY)
def always(case):
    """Is a run like any other."""
    return case.steps >= 0


@breaks("verdict", "found_on_its_scripts", "does not hold on the script 'drops modes'", scripts=("drops modes",),
        **FAULTY)  # fmt: skip
@breaks("verdict", "found_on_its_scripts", "Unknown scripted generator 'one mod'. Did you mean 'one mode'?",
        scripts=("one mod",), **FAULTY)  # fmt: skip
@breaks("verdict", "evidence_is_a_sentence", "its evidence on the script 'few modes' is 'collapsed'",
        **{**FAULTY, "evidence": lambda case, held: "collapsed"})  # fmt: skip
@breaks("verdict", "evidence_is_a_sentence", "The evidence of the verdict 'few' is no text but None",
        **{**FAULTY, "evidence": lambda case, held: None})  # fmt: skip
def few(case):
    """Has few modes."""
    return case.narrow


@breaks("verdict", "found_on_its_scripts", "its onset is +", scripts=("one mode",), **FAULTY)
def tardy(case):
    """Sees a collapse at the end only."""
    return case.narrow & (case.steps == case.steps[-1])


@breaks("verdict", "asking_changes_nothing", "it changes the column 'high_quality' of the script 'perfect'", **FAULTY)
def meddling(case):
    """Is below the bar, and then some."""
    case.columns["high_quality"][:] *= 0.5
    return case.quality < 0


_asked = []


@breaks("verdict", "asking_changes_nothing", "asked again about the script 'perfect' it says something else", **FAULTY)
def fickle(case):
    """Holds every other time."""
    _asked.append(case)
    return case.steps >= 0 if len(_asked) % 2 else None


@breaks("verdict", "judges_any_run", "The verdict 'narrow_minded' raised IndexError: ", **FAULTY)
def narrow_minded(case):
    """Compares the second probe with the first."""
    return case.quality < case.quality[1] - case.quality[0] - 9


@breaks("verdict", "judges_any_run", "answers array([1.]), not a flag for every probe, a Held or None", **FAULTY)
def numeric(case):
    """Answers with a number."""
    return case.quality


# ------------------------------------------------------------------------------------------ executors


@breaks("executor", "can_run", "what it makes has no method run")
@breaks("executor", "says_how_many_work", "workers is 0")
def unmanned():
    """Has nobody who works."""
    return SimpleNamespace(workers=0)


@breaks("executor", "can_run", "run takes tasks, device")
@breaks("executor", "says_how_many_work", "workers is True")
def greedy():
    """Wants more than the tasks."""
    return SimpleNamespace(workers=True, run=lambda tasks, device: None)


@breaks("executor", "waits_to_be_asked", "it starts the thread early")
def early():
    """Starts before it is asked."""
    threading.Thread(target=time.sleep, args=(0.2,), name="early", daemon=True).start()
    return SimpleNamespace(workers=1, run=lambda tasks: None)


@pytest.mark.parametrize(("plugin", "law", "told"), MUTANTS)
def test_mutant_is_caught(plugin, law, told):
    result = judge(plugin, law_of(plugin.kind, law))
    assert result.status == "broken"
    assert told in result.detail


def test_every_law_has_a_mutant():
    caught = {(plugin.kind, law) for plugin, law, _ in (mutant.values for mutant in MUTANTS)}
    every = {(kind, law.name) for kind in KINDS for law in laws(kind)}
    # that one only tells, and is tested above
    assert caught == every - {("network", "normalizations_reach_it")}
