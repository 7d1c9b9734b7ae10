"""A population against the ordinary loop: one GAN, plain modules, torch.optim.Adam, written from the papers."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import relu

from ganbench import registry
from ganbench.plan import Run
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.grouping import group
from ganbench.training.population import Population
from ganbench.training.step import train_step

CPU = torch.device("cpu")
STEPS = 20


def minimax(real, fake):
    return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake)), -bce(fake, torch.zeros_like(fake))


def nonsaturating(real, fake):
    return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake)), bce(fake, torch.ones_like(fake))


def least_squares(real, fake):
    return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2, ((fake - 1) ** 2).mean() / 2


def hinge(real, fake):
    return relu(1 - real).mean() + relu(1 + fake).mean(), -fake.mean()


def wasserstein(real, fake):
    return -real.mean() + fake.mean(), -fake.mean()


def relativistic_pairing(real, fake):
    ones = torch.ones_like(real)
    return bce(real - fake, ones), bce(fake - real, ones)


def relativistic_average(real, fake):
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    over_fake, over_real = real - fake.mean(), fake - real.mean()
    return bce(over_fake, ones) + bce(over_real, zeros), bce(over_real, ones) + bce(over_fake, zeros)


def focal(real, fake):
    def towards_real(x):
        return -((1 - torch.sigmoid(x)) ** 2 * torch.log(torch.sigmoid(x))).mean()

    return towards_real(real) + towards_real(-fake), towards_real(fake)


def f_gan(output, conjugate):
    """The loss of Nowozin 2016, eq. 6, from the two columns of Table 2."""

    def loss(real, fake):
        on_fake = conjugate(output(fake)).mean()
        return on_fake - output(real).mean(), -on_fake

    return loss


def logistic_output(v):
    return math.log(2) - torch.log(1 + torch.exp(-v))


BY_NAME = (minimax, nonsaturating, least_squares, hinge, wasserstein, relativistic_pairing, relativistic_average, focal)
LOSSES = {f.__name__: f for f in BY_NAME} | {
    "fgan_kl": f_gan(lambda v: v, lambda t: torch.exp(t - 1)),
    "fgan_reverse_kl": f_gan(lambda v: -torch.exp(-v), lambda t: -1 - torch.log(-t)),
    "fgan_pearson": f_gan(lambda v: v, lambda t: t**2 / 4 + t),
    "fgan_hellinger": f_gan(lambda v: 1 - torch.exp(-v), lambda t: t / (1 - t)),
    "fgan_jensen_shannon": f_gan(logistic_output, lambda t: -torch.log(2 - torch.exp(t))),
    "fgan_total_variation": f_gan(lambda v: torch.tanh(v) / 2, lambda t: t),
}


def squared_gradient(logits, x):
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.flatten(1).pow(2).sum(1)


ROOT = 1e-12
"""What keeps the root of a squared slope differentiable at 0; where slopes are small, it is seen at 1e-8."""


def regularization(name, d, batches, logits, draw, hypers, memory):
    if name in ("gradient_penalty", "zero_gradient_penalty"):
        share = draw("uniform").view(-1, *[1] * (batches[0].dim() - 1))
        between = (share * batches[0] + (1 - share) * batches[1]).detach().requires_grad_()
        squared = squared_gradient(d(between), between)
        return hypers["weight"] * (((squared + ROOT).sqrt() - 1) ** 2 if name == "gradient_penalty" else squared).mean()
    if name == "dragan":
        around = (batches[0] + hypers["scale"] * batches[0].std() * draw("normal")).detach().requires_grad_()
        return hypers["weight"] * (((squared_gradient(d(around), around) + ROOT).sqrt() - 1) ** 2).mean()
    if name == "consistency":
        jittered = [d(batch.detach() + hypers["scale"] * draw("normal")).flatten() for batch in batches]
        weights = hypers["real_weight"], hypers["fake_weight"]
        return sum(w * ((a - b) ** 2).mean() for w, a, b in zip(weights, logits, jittered, strict=True))
    if name == "lecam":
        for side, own in zip(("real", "fake"), logits, strict=True):
            mean = own.detach().mean()
            memory[side] = hypers["decay"] * memory.get(side, mean) + (1 - hypers["decay"]) * mean
        real, fake = logits
        return hypers["weight"] * (((real - memory["fake"]) ** 2).mean() + ((fake - memory["real"]) ** 2).mean())
    sides = {"r1": [0], "lazy_r1": [0], "r2": [1], "r1r2": [0, 1]}[name]
    return sum(hypers["gamma"] / 2 * squared_gradient(logits[side], batches[side]).mean() for side in sides)


class Numbers:
    """The random numbers of one run, taken from a population that holds it alone."""

    def __init__(self, run, dtype):
        self.population = Population([run], make_problem(run.variant), CPU, dtype)

    def __call__(self, purpose, index):
        return self.population.draw(purpose, index)[0]


def plain_loop(run: Run, dtype: torch.dtype, steps: int = STEPS) -> tuple[nn.Module, nn.Module]:
    """Train one GAN the way a PyTorch user does."""
    variant, draw = run.variant, Numbers(run, dtype)
    g, d = (module.to(dtype) for module in build_networks(variant, make_problem(variant), run.seed))
    settings = {"betas": (0.5, 0.999), "eps": 1e-8}
    g_adam, d_adam = torch.optim.Adam(g.parameters(), **settings), torch.optim.Adam(d.parameters(), **settings)
    loss, regularizer = LOSSES[variant.loss], variant.regularizer
    hypers, memory = variant.hypers_of("regularizer", regularizer), {}

    def noisy(x, purpose, index):
        if regularizer == "constant_noise":
            return x + hypers["sigma"] * draw(purpose, index)
        if regularizer != "instance_noise":
            return x
        return x + hypers["sigma"] * max(0, 1 - step / (hypers["until"] * variant.steps)) * draw(purpose, index)

    for step in range(steps):
        for optimizer in (g_adam, d_adam):
            optimizer.param_groups[0]["lr"] = 2e-3 * math.sqrt(1 - step / variant.steps)
        for index in range(step * variant.critic_steps, (step + 1) * variant.critic_steps):
            real = noisy(draw("data", index), "d real noise", index)
            fake = noisy(g(draw("d latent", index)).detach(), "d fake noise", index)
            real.requires_grad_()
            fake.requires_grad_()
            real_logits, fake_logits = d(real).flatten(), d(fake).flatten()
            total = loss(real_logits, fake_logits)[0]
            lazy = hypers.get("lazy", 1)
            if registry.get("regularizer", regularizer).meta["acts_on"] == "inputs" and index % lazy == 0:
                logits, numbers = (real_logits, fake_logits), partial(draw, index=index)
                total = total + lazy * regularization(regularizer, d, (real, fake), logits, numbers, hypers, memory)
            if regularizer in ("orthogonal", "orthonormal"):
                weights = [m.weight.flatten(1) for m in d.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
                for gram in (w @ w.T for w in weights):
                    kept = gram.diag().diag() if regularizer == "orthogonal" else torch.eye(len(gram))
                    total = total + hypers["beta"] * (gram - kept).pow(2).sum()
            d_adam.zero_grad()
            total.backward()
            d_adam.step()
            if regularizer == "weight_clipping":
                for parameter in d.parameters():
                    parameter.data.clamp_(-hypers["clip"], hypers["clip"])
        for index in range(step * variant.generator_steps, (step + 1) * variant.generator_steps):
            fake_logits = d(noisy(g(draw("g latent", index)), "g fake noise", index)).flatten()
            g_real = noisy(draw("g data", index), "g real noise", index)
            real_logits = d(g_real).flatten() if variant.loss.startswith("relativistic") else fake_logits
            g_adam.zero_grad()
            loss(real_logits, fake_logits)[1].backward()
            g_adam.step()
    return g, d


def largest_difference(population: Population, row: int, g: nn.Module, d: nn.Module) -> float:
    pairs = [
        (player.frozen[name][row], parameter.detach())
        for player, module in ((population.generator, g), (population.discriminator, d))
        for name, parameter in module.named_parameters()
    ]
    return max((a - b).abs().max().item() for a, b in pairs)


def trained(runs, dtype: torch.dtype = torch.float32, steps: int = STEPS) -> Population:
    population = Population(runs, make_problem(runs[0].variant), CPU, dtype)
    for _ in range(steps):
        train_step(population)
    return population


DCGAN = ["problem=digits", "network=dcgan", "network.dcgan.width=4", "steps=200", "batch_size=8"]


def plans():
    everything = {kind: ",".join(registry.names(kind)) for kind in ("loss", "normalization", "regularizer")}
    grid = [f"{kind}={names}" for kind, names in everything.items()]
    norms = everything["normalization"]
    # every loss with every normalization, every regularizer with every normalization, not all three at once: minutes
    mixture = ["problem=ring8", "steps=200", "batch_size=16", "seeds=2"]
    yield pytest.param([*grid[:2], "regularizer=none,r1", *mixture[:-1], "seeds=1"], id="losses")
    yield pytest.param(["loss=hinge", *grid[1:], *mixture], id="normalizations")
    images = ["loss=nonsaturating,relativistic_average", grid[1], *DCGAN, "seeds=1", "regularizer=none,r1"]
    yield pytest.param(images, id="images")
    yield pytest.param([f"g_normalization={norms}", *DCGAN, "seeds=2"], id="generator")
    penalties = [
        "loss=hinge,relativistic_pairing",
        "normalization=none,spectral",
        grid[2],
        "critic_steps=2",
        "batch_size=16",
    ]
    penalties += ["regularizer.instance_noise.until=0.05"]  # the half of these steps
    penalties += ["regularizer.orthogonal.beta=0.1", "regularizer.orthonormal.beta=0.1"]
    yield pytest.param([*penalties, "steps=200"], id="regularizers")
    yield pytest.param(["loss=hinge", grid[2], *DCGAN, "seeds=1"], id="regularizers on images")
    critic = ["loss=hinge,wasserstein", "critic_steps=3", "latent=uniform", "steps=200", "batch_size=16"]
    yield pytest.param(critic, id="critic")
    more = ["loss=hinge,relativistic_pairing,relativistic_average", "generator_steps=3", "steps=200", "batch_size=16"]
    yield pytest.param(more, id="generator steps")


def differences(overrides, dtype):
    """Yield id and largest parameter difference of the first and the last run of each loss."""
    for runs in group(resolve(None, overrides).runs, "cpu"):
        population = trained(runs, dtype)
        assert population.alive.all()
        for part in population.objective.losses.slices:
            for row in sorted({part.runs.start, part.runs.stop - 1}):
                yield runs[row], largest_difference(population, row, *plain_loop(runs[row], dtype))


@pytest.mark.parametrize("overrides", list(plans()))
def test_population_equals_loop(overrides):
    # float64: Adam divides a gradient by its own size, so where the true gradient is zero (a hinge critic inside its
    # margins) float32 rounding alone would move a parameter by a full learning rate, differently in any two programs
    for run, difference in differences(overrides, torch.float64):
        assert difference < 1e-8, run.id
