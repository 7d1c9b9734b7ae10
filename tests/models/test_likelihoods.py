"""What models say of how likely samples are, against integrals, closed forms and distributions written out."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from ganbench import registry
from ganbench.models.closed import Components, Kernels
from ganbench.models.made import Autoregression
from ganbench.models.rbm import Machine
from ganbench.models.realnvp import Flow, kept_by
from ganbench.models.vae import Autoencoder
from ganbench.problems.mixtures import Mixture, NullDirections

SETTINGS = {"width": 4, "depth": 1, "beta": 1.0, "scale": 0.5}


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(build, seed=0):
    """Return a model with weights of its own, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().double()


def integral(log_density, reach=7.0, points=201):
    """Return the integral of a density over a square, by the trapezoidal rule, which is exact beyond its smoothness."""
    line = torch.linspace(-reach, reach, points, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).flatten(0, 1)
    return log_density(grid).exp().sum().item() * (line[1] - line[0]).item() ** 2


def nothing(x):
    return x.new_empty(len(x), 0)


# ------------------------------------------------------------------------------------------ bounds


def linear_gaussian(latents=2, size=4):
    """Return a VAE whose decoder is linear with orthogonal columns, and x ~ N(b, W W^T + s^2) that is its evidence."""
    module = drawn(lambda: Autoencoder((size,), latents, SETTINGS, bounded=False))
    columns = torch.linalg.qr(numbers(size, latents))[0] * torch.tensor([1.5, 0.5], dtype=torch.float64)
    decoder = nn.Linear(latents, size).double()
    with torch.no_grad():
        decoder.weight.copy_(columns)
        decoder.bias.copy_(numbers(size, seed=1))
    module.decoder = decoder
    covariance = columns @ columns.T + 0.25 * torch.eye(size, dtype=torch.float64)
    evidence = torch.distributions.MultivariateNormal(decoder.bias.detach(), covariance)
    # the posterior's covariance is diagonal where the columns are orthogonal
    precision = 1 + columns.square().sum(0) / 0.25

    def encode(x):
        mean = (x - decoder.bias) @ columns / 0.25 / precision
        return torch.cat([mean, -precision.log().expand_as(mean)], -1)

    return module, evidence, encode


class Encoder(nn.Module):
    def __init__(self, encode):
        super().__init__()
        self.encode = encode

    def forward(self, x):
        return self.encode(x)


def test_by_the_true_posterior_the_bound_is_the_evidence_whatever_the_codes():
    module, evidence, encode = linear_gaussian()
    module.encoder = Encoder(encode)
    x = evidence.sample((20,))
    for codes in (1, 5):
        torch.testing.assert_close(module.log_density(x, numbers(20, 2 * codes)), evidence.log_prob(x))


def test_by_any_other_it_is_less_and_rises_with_the_codes():
    module, evidence, encode = linear_gaussian()
    module.encoder = Encoder(lambda x: encode(x) + torch.tensor([0.3, -0.2, 0.5, 0.4], dtype=torch.float64))
    x = evidence.sample((1,)).expand(4000, -1)
    exact = evidence.log_prob(x[0]).item()
    found = [module.log_density(x, numbers(4000, 2 * codes, seed=codes)) for codes in (1, 4, 32)]
    means, errors = [one.mean().item() for one in found], [one.std().item() / 4000**0.5 for one in found]
    assert all(mean < exact + 3 * error for mean, error in zip(means, errors, strict=True))
    assert means[0] + 3 * errors[0] < means[1] - 3 * errors[1] < means[2]
    # by one code it is the evidence bound: the divergence of the codes from the posterior is what it lacks
    mean, log_variance = (part[0] for part in module.encoder(x).chunk(2, -1))
    true_mean, true_log_variance = (part[0] for part in encode(x).chunk(2, -1))
    lacks = 0.5 * (
        (log_variance - true_log_variance).exp() - 1 - (log_variance - true_log_variance)
        + (mean - true_mean).square() / true_log_variance.exp()
    ).sum()  # fmt: skip
    assert means[0] == pytest.approx(exact - lacks.item(), abs=4 * errors[0])


# ------------------------------------------------------------------------------------------ exact


def flow(size=2, couplings=4):
    return drawn(lambda: Flow(size, couplings, 8, 2, 2.0))


def test_a_flows_density_integrates_to_1_and_its_map_can_be_inverted():
    model = flow()
    assert integral(lambda x: model.log_density(x, nothing(x))) == pytest.approx(1, abs=1e-3)
    x = 3 * numbers(200, 2)
    back = model.sample(model.normalized(x)[0])
    assert (back - x).abs().max().item() < 1e-5
    single = drawn(lambda: Flow(64, 8, 16, 2, 2.0)).float()
    images = numbers(50, 64).float()
    assert (single.sample(single.normalized(images)[0]) - images).abs().max().item() < 1e-5


def test_a_flows_volume_is_the_determinant_of_its_jacobian():
    model, x = flow(size=3), numbers(5, 3)
    for row in x:
        jacobian = torch.autograd.functional.jacobian(lambda one: model.normalized(one[None])[0][0], row)
        volume = model.normalized(row[None])[1][0]
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], volume)


@pytest.mark.parametrize("size", [2, 3, 8, 64])
def test_couplings_keep_about_a_half_and_every_element_is_moved(size):
    masks = torch.stack([kept_by(place, size) for place in range(8)])
    assert ((masks == 0) | (masks == 1)).all()
    assert (masks.mean(0) < 1).all()
    assert (masks.mean(1) > 0).all()
    assert torch.equal(masks[0] + masks[1], torch.ones(size))


def made(size=4, components=2):
    return drawn(lambda: Autoregression(size, 16, 2, components))


def test_what_made_says_of_an_element_depends_on_those_before_it_alone():
    model = made()
    x = numbers(4)
    for part in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda one, part=part: model.mixtures(one[None])[part][0].square().sum(-1), x
        )
        assert torch.equal(jacobian.triu(), torch.zeros(4, 4, dtype=torch.float64))
        assert (jacobian.tril(-1).abs().sum(1)[1:] > 0).all()


def test_mades_density_integrates_to_1_and_its_samples_are_of_it():
    model = made(size=2)
    assert integral(lambda x: model.log_density(x, nothing(x))) == pytest.approx(1, abs=1e-3)
    samples = model.sample(numbers(20_000, 4)).detach()
    # by the distribution function of each element given those before it, samples become uniform
    weight, mean, scale = (part.detach() for part in model.mixtures(samples))
    below = (weight.exp() * torch.special.ndtr((samples[..., None] - mean) / scale.exp())).sum(-1)
    for element in range(2):
        assert stats.kstest(below[:, element].numpy(), "uniform").pvalue > 0.01
    assert abs(np.corrcoef(below.numpy().T)[0, 1]) < 0.03


def machine(hidden=3, size=2):
    model = drawn(lambda: Machine(size, hidden, 5, 100, 0.7))
    with torch.no_grad():
        for number, own in enumerate((model.weight, model.visible_bias, model.hidden_bias)):
            own.copy_(0.6 * numbers(*own.shape, seed=number))
    return model


def enumerated(model, x):
    """Return the densities [n] of an RBM as the mixture of Gaussians over its hidden states that it is, in NumPy."""
    weight, a, c = (own.detach().numpy() for own in (model.weight, model.visible_bias, model.hidden_bias))
    variance, masses, found = math.exp(2 * model.log_scale.item()), [], []
    for state in range(2 ** len(c)):
        on = np.array([state >> unit & 1 for unit in range(len(c))])
        mean = a + weight @ on
        masses.append(math.exp(c @ on + (mean @ mean - a @ a) / (2 * variance)))
        found.append(stats.multivariate_normal(mean, variance).pdf(x))
    return np.array(masses) @ np.array(found) / sum(masses)


def test_an_rbms_density_is_that_of_its_hidden_states_summed():
    model, x = machine(), numbers(30, 2)
    found = model.log_density(x, nothing(x)).detach().exp().numpy()
    np.testing.assert_allclose(found, enumerated(model, x.numpy()), rtol=1e-10)
    assert integral(lambda x: model.log_density(x, nothing(x))) == pytest.approx(1, abs=1e-6)


def test_an_rbms_gradient_is_that_of_its_likelihood_where_chains_are_long():
    """d/dw of the mean of -log p, by differences of the enumeration, against contrastive divergence by long chains."""
    model, few = machine(), 0.8 * numbers(1000, 2) + 0.5
    x = few.repeat(20, 1)
    model.chain = 30
    model.draws = 30 * (3 + 2)
    found = torch.autograd.grad(model.loss(x, numbers(len(x), model.draws, seed=9)).mean() * model.size,
                                list(model.parameters()))  # fmt: skip
    for own, gradient in zip(model.parameters(), found, strict=True):
        flat, near = own.data.view(-1), 1e-4
        for place in range(flat.numel()):
            ends = []
            for by in (near, -near):
                flat[place] += by
                ends.append(-np.log(enumerated(model, few.numpy())).mean())
                flat[place] -= by
            wanted = (ends[0] - ends[1]) / (2 * near)
            assert gradient.flatten()[place].item() == pytest.approx(wanted, abs=0.06)


def test_chains_of_an_rbm_come_to_its_density():
    model = machine()
    end = model.swept(2 * numbers(20_000, 2), numbers(20_000, 30 * 5, seed=3)).detach().numpy()
    line = np.linspace(-8, 8, 401)
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    mass = enumerated(model, grid)
    mean = mass @ grid / mass.sum()
    np.testing.assert_allclose(end.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(end.T), (grid - mean).T @ ((grid - mean) * mass[:, None]) / mass.sum(), atol=0.08)


# ------------------------------------------------------------------------------------------ in closed form


def seen(model, batches=30, size=64):
    """Return the state of an estimator after some batches of three Gaussians in a plane, float64, with what it saw."""
    centres = torch.tensor([[3.0, 0.0], [-3.0, 1.0], [0.0, -3.0]], dtype=torch.float64)
    state = {name: own.double() for name, own in model.start().items()}
    for step in range(batches):
        x = centres[torch.arange(size) % 3] + 0.3 * numbers(size, 2, seed=step)
        state = model.update(state, x, step)
    return state, centres


@pytest.mark.parametrize("model", [Components(2, 3, 1e-3), Kernels(2, 64)], ids=["mixture", "kernels"])
def test_densities_in_closed_form_integrate_to_1(model):
    assert integral(lambda x: model.log_density({name: own.double() for name, own in model.start().items()}, x)) == (
        pytest.approx(1, abs=1e-3)
    )
    state, _ = seen(model)
    assert integral(lambda x: model.log_density(state, x)) == pytest.approx(1, abs=1e-3)


def test_the_mixture_finds_its_components():
    model = Components(2, 3, 1e-3)
    state, centres = seen(model)
    mean, root = model._gaussians(state)
    order = torch.cdist(centres, mean).argmin(1)
    assert sorted(order.tolist()) == [0, 1, 2]
    torch.testing.assert_close(mean[order], centres, atol=0.05, rtol=0)
    torch.testing.assert_close(root[order] @ root[order].mT, (0.09 * torch.eye(2)).double().expand(3, -1, -1),
                               atol=0.03, rtol=0)  # fmt: skip
    torch.testing.assert_close(state["weight"], torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.02, rtol=0)


def test_a_step_of_the_mixture_is_expectation_maximization():
    """What a step mixes into the moments are those of an E- and an M-step, written out (Bishop 2006, sec. 9.2.2)."""
    model = Components(2, 2, 1e-9)
    batch = torch.cat([numbers(60, 2) - 1, 0.5 * numbers(40, 2, seed=1) + 1])
    state = model.update({}, batch, 0)
    mean, root = (own.numpy() for own in model._gaussians(state))
    x = batch.numpy()
    each = np.array([0.5 * stats.multivariate_normal(m, r @ r.T).pdf(x) for m, r in zip(mean, root, strict=True)])
    share = each / each.sum(0)
    moved, rate = model.update(state, batch, 1), 2**-0.6
    whole = {name: ((moved[name] - (1 - rate) * state[name]) / rate).numpy() for name in state}
    np.testing.assert_allclose(whole["weight"], share.sum(1) / 100)
    mean = share @ x / share.sum(1, keepdims=True)
    np.testing.assert_allclose(whole["first"], mean * share.sum(1, keepdims=True) / 100)
    for place, own in enumerate(share):
        spread = (x - mean[place]).T @ ((x - mean[place]) * own[:, None]) / own.sum()
        found = whole["second"][place] / whole["weight"][place] - np.outer(mean[place], mean[place])
        np.testing.assert_allclose(found, spread, rtol=1e-5, atol=1e-6)


def test_kernels_are_the_average_of_gaussians_of_a_width_that_leaves_one_out_well():
    model = Kernels(2, 64)
    state, _ = seen(model, batches=3)
    width, points = model.width(state).item(), state["points"].numpy()
    x = numbers(10, 2)
    wanted = np.mean([stats.multivariate_normal(point, width**2).pdf(x.numpy()) for point in points], axis=0)
    np.testing.assert_allclose(model.log_density(state, x).exp().numpy(), wanted, rtol=1e-6)

    def left_out(width):
        squares = ((points[:, None] - points) ** 2).sum(-1)
        each = np.exp(-squares / (2 * width**2)) / (2 * np.pi * width**2)
        np.fill_diagonal(each, 0.0)
        return np.log(each.sum(1) / (len(points) - 1)).sum()

    best = left_out(width)
    assert all(left_out(width * 10 ** (step / 6)) <= best for step in (-1, 1))


def test_repeated_points_do_not_make_kernels_narrow():
    model, x = Kernels(2, 128), numbers(64, 2)
    once, twice = (model.update({n: own.double() for n, own in model.start().items()}, batch, 0)
                   for batch in (x, x.repeat(2, 1)))  # fmt: skip
    assert model.width(twice).item() == pytest.approx(model.width(once).item(), rel=0.5)


# ------------------------------------------------------------------------------------------ the truth


@pytest.mark.parametrize("flat", [False, True])
def test_a_mixtures_own_density(flat):
    centres = numbers(3, 4)
    basis = torch.linalg.qr(numbers(4, 2, seed=5))[0] if flat else None
    weights = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    null = NullDirections(basis, 0.05) if flat else None
    problem = Mixture("own", centres, 0.4, weights, raw=True, null=null)
    x = problem.sample(20, torch.Generator().manual_seed(0))
    covariance = 0.16 * np.eye(4)
    if flat:
        covariance = 0.0025 * np.eye(4) + (0.16 - 0.0025) * (basis @ basis.T).numpy()
    each = [stats.multivariate_normal(centre, covariance).pdf(x.double().numpy()) for centre in centres.numpy()]
    np.testing.assert_allclose(problem.log_density(x).exp().numpy(), weights.numpy() @ np.array(each), rtol=1e-6)


def test_models_say_whether_their_likelihood_is_exact():
    told = {name: registry.get("model", name).declared("likelihood") for name in registry.names("model")}
    assert {name for name, kind in told.items() if kind == "bound"} == {"vae", "ddpm"}
    exact = {"realnvp", "made", "rbm", "gaussian_mixture", "kernel_density", "real"}
    assert {name for name, kind in told.items() if kind == "exact"} == exact
