"""Every law can be broken: plug-ins with one fault each, and the law that finds it, with its number."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from ganbench import registry
from ganbench.contracts import laws
from ganbench.contracts.base import KINDS, judge
from ganbench.gan.losses import HELLINGER, JENSEN_SHANNON, LOGISTIC, Divergence
from ganbench.problems.base import stream

MUTANTS = []


def breaks(kind, law, told, *, needs=None, provides=(), **meta):
    """Take the decorated function as a plug-in of `kind` that breaks a law, told by a text."""

    def decorate(function):
        plugin = registry._plugin(kind, function, needs or {}, frozenset(provides), meta)
        MUTANTS.append(pytest.param(plugin, law, told, id=f"{law}-{function.__name__}"))
        return function

    return decorate


# ------------------------------------------------------------------------------------------ losses


@breaks("loss", "two_losses", "d_loss of 3 runs has the shape [3, 16], not [3]: reduce with .mean(-1)")
def unreduced(real, fake):
    return softplus(-real) + softplus(fake), softplus(-fake)


@breaks("loss", "two_losses", "g_loss of torch.float64 logits is torch.float32")
def rounded(real, fake):
    return (fake - real).mean(-1), -fake.float().mean(-1)


@breaks("loss", "two_losses", "raised ValueError: too many values to unpack (expected 2) (")
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


@breaks(
    "regularizer", "shape_is_kept", "Unknown thing that the regularizer 'misdirected' acts on 'input'.", acts_on="input"
)
def misdirected(critic, real, fake, uniform):
    return critic(real).square().mean(-1)


@breaks("regularizer", "shape_is_kept", "Did you mean 'normal'?", draws="normals")
def misdrawn(critic, real, fake, normals):
    return critic(real).square().mean(-1)


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
@breaks("normalization", "keeps_what_it_declares", "Did you mean 'row lengths'?", keeps="row length")
@breaks("normalization", "keeps_what_it_declares", "Did you mean 'pixels'?", keeps=("pixel",))
@breaks("normalization", "acts_where_it_says", "Did you mean 'weights'?", acts_on="weight")
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


# ------------------------------------------------------------------------------------------


def law_of(kind, name):
    return next(law for law in laws(kind) if law.name == name)


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


@pytest.mark.parametrize(("plugin", "law", "told"), MUTANTS)
def test_mutant_is_caught(plugin, law, told):
    result = judge(plugin, law_of(plugin.kind, law))
    assert result.status == "broken"
    assert told in result.detail


def test_every_law_has_a_mutant():
    caught = {(plugin.kind, law) for plugin, law, _ in (mutant.values for mutant in MUTANTS)}
    assert caught == {(kind, law.name) for kind in KINDS for law in laws(kind)}
