"""Spectra and dynamics against closed forms, NumPy's dense eigenvalues and plain modules under torch.autograd."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from overriding import over
from torch import nn

from ganbench import registry
from ganbench.gan.losses import nonsaturating, wasserstein
from ganbench.measure import costly, dynamics, spectrum
from ganbench.measure.diagnostics import Game
from ganbench.measure.dynamics import DifferentiableGame
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population
from ganbench.training.snapshot import Snapshot
from ganbench.training.step import train_step

CPU = torch.device("cpu")
SMALL = ("batch_size=16", "steps=100", "latent_dim=3", "optimizer.adam.decay=none")
IMAGES = ("problem=digits", "network=dcgan", "network.dcgan.width=4")
points_and_images = pytest.mark.parametrize("images", [(), IMAGES], ids=["points", "images"])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream("test", seed), dtype=torch.float64)


def population(*overrides, steps=4):
    width = () if "network=dcgan" in overrides else ("network.mlp.width=8",)
    runs = resolve(None, over(["seeds=2", *SMALL, *width, *overrides])).runs
    own = Population(runs, make_problem(runs[0].variant), CPU, torch.float64)
    for _ in range(steps):
        train_step(own)
    return own


def probe_batch(own):
    """Return 12 real samples and latents, the same for every run."""
    real = own.problem.sample(12, stream("test", 1)).double()
    latents = normal(12, own.variant.latent_dim, seed=2)
    return [side.expand(len(own.runs), *side.shape) for side in (real, latents)]


def diagnose(name, own, **hypers):
    with own.measuring():
        return registry.get("diagnostic", name)(Game(Snapshot(own), *probe_batch(own)), **hypers)


def plain(own, row):
    """Return one run as plain modules with that run's present parameters."""
    run = own.runs[row]
    pair = [module.double() for module in build_networks(run.variant, own.problem, run.seed)]
    for module, player in zip(pair, (own.generator, own.discriminator), strict=True):
        tensors = {**player.frozen, **player.buffers}
        module.load_state_dict({name: tensors[name][row] for name in module.state_dict()})
    return [module.eval() for module in pair]


# ---- singular values and ranks


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10))
def test_singular_values_are_numpys(rows, columns, seed):
    matrices = normal(3, rows, columns, seed=seed)
    matrices[1] = float("nan")
    got = spectrum.singular_values(matrices)
    assert got[1].isnan().all()
    for row in (0, 2):
        expected = np.linalg.svd(matrices[row].numpy(), compute_uv=False)[::-1]
        assert got[row].tolist() == pytest.approx(expected.tolist(), rel=1e-6, abs=1e-7)


def test_ranks_of_known_spectra():
    values = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 3.0], [0.0, 1.0, 1.0, 2.0], [float("nan")] * 4])
    # of (2, 1, 1): shares 1/2, 1/4, 1/4 have the entropy 3/2 log 2; squares add up to 6 of 4
    assert spectrum.effective_rank(values)[:3].tolist() == pytest.approx([4, 1, 2**1.5])
    assert spectrum.stable_rank(values)[:3].tolist() == pytest.approx([4, 1, 1.5])
    assert spectrum.collapsed_share(values)[:3].tolist() == [0, 0.75, 0.25]
    for of in (spectrum.effective_rank, spectrum.stable_rank, spectrum.collapsed_share):
        assert of(values)[3].isnan()


def test_collapse_begins_below_a_hundredth():
    assert spectrum.collapsed_share(torch.tensor([0.0099, 0.0101, 0.5, 1.0])) == 0.25


@points_and_images
def test_ranks_of_layers_are_svds(images):
    own = population(*images)
    got = diagnose("ranks", own)
    for row in range(2):
        for player, module in zip("gd", plain(own, row), strict=True):
            layers = [part for part in module.modules() if isinstance(part, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
            effective, stable, collapsed = [], [], []
            for layer in layers:
                weight = layer.weight.detach().numpy()
                weight = weight.swapaxes(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
                values = np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)
                shares = values / values.sum()
                effective.append(np.exp(-(shares * np.log(shares)).sum()) / len(values))
                stable.append((values**2).sum() / values.max() ** 2 / len(values))
                collapsed.append((values < 0.01 * values.max()).mean())
            for measure, layered, worst in (
                ("effective_rank", effective, min), ("stable_rank", stable, min), ("spectral_collapse", collapsed, max)
            ):  # fmt: skip
                columns = [v[row].item() for k, v in got.items() if k.startswith(f"{player}_{measure}.")]
                assert columns == pytest.approx(layered, rel=1e-6)
                assert got[f"{player}_{measure}"][row].item() == pytest.approx(worst(layered), rel=1e-6)


# ---- extreme eigenvalues


def extremes(matrix):
    values = np.linalg.eigvals(matrix)
    return values.real.min(), values.imag.max(), abs(values).max()


@pytest.mark.parametrize("size", [5, 80])
@pytest.mark.parametrize("seed", range(3))
def test_extremes_are_those_of_dense_eigenvalues(size, seed):
    matrix = normal(size, size, seed=seed).numpy()
    radius = extremes(matrix)[2]
    assert spectrum.eigenvalue_extremes(matrix.__matmul__, size) == pytest.approx(extremes(matrix), abs=0.02 * radius)
    for symmetric in (matrix + matrix.T, matrix @ matrix.T, -matrix @ matrix.T):
        values = np.linalg.eigvalsh(symmetric)
        got = spectrum.symmetric_extremes(symmetric.__matmul__, size)
        assert got == pytest.approx((values[0], values[-1]), abs=0.02 * abs(values).max())


@pytest.mark.parametrize("size", [6, 90])
def test_extremes_of_operators_that_solvers_dislike(size):
    low_rank = np.zeros((size, size))
    low_rank[:3, :3] = np.diag([5.0, 4.0, 3.0])  # every other eigenvalue is zero: no relative tolerance is met there
    assert spectrum.symmetric_extremes(low_rank.__matmul__, size) == pytest.approx((0, 5), abs=1e-6)
    assert spectrum.eigenvalue_extremes(low_rank.__matmul__, size) == pytest.approx((0, 0, 5), abs=1e-6)
    for factor in (0.0, 1.0, -2.0):
        got = spectrum.symmetric_extremes(lambda x, factor=factor: factor * x, size)
        assert got == pytest.approx((factor, factor), abs=1e-9)
        got = spectrum.eigenvalue_extremes(lambda x, factor=factor: factor * x, size)
        assert got == pytest.approx((factor, 0, abs(factor)), abs=1e-9)
    for wrong in (float("nan"), float("inf")):
        assert np.isnan(spectrum.symmetric_extremes(lambda x, wrong=wrong: np.full_like(x, wrong), size)).all()
        assert np.isnan(spectrum.eigenvalue_extremes(lambda x, wrong=wrong: np.full_like(x, wrong), size)).all()


def test_a_bulk_near_zero_is_found_to_the_scale_of_the_spectrum():
    basis, values = torch.linalg.qr(normal(90, 90))[0].numpy(), np.geomspace(1e-9, 5, 90)
    matrix = basis @ np.diag(values) @ basis.T
    assert spectrum.eigenvalue_extremes(matrix.__matmul__, 90) == pytest.approx((0, 0, 5), abs=0.05)
    assert spectrum.symmetric_extremes(matrix.__matmul__, 90) == pytest.approx((0, 5), abs=0.05)


# ---- games with a closed form


def dirac(loss, g=0.0, d=0.0, gamma=0.0):
    """Dirac-GAN (Mescheder 2018): the data sit at 0, G at g, the logit of x is d x; R1 is gamma/2 d^2."""

    def losses(g, d):
        d_loss, g_loss = loss(0.0 * d, d * g)
        return d_loss + gamma / 2 * d.square().sum(1), g_loss

    return DifferentiableGame(*torch.tensor([[[g]], [[d]]], dtype=torch.float64), losses)


def bilinear(size, seed=0):
    """L_G = g A d = -L_D, singular values 1 to 3."""
    left, right = (torch.linalg.qr(normal(size, size, seed=seed + i))[0] for i in range(2))
    matrix = left @ torch.diag(torch.linspace(1, 3, size, dtype=torch.float64)) @ right

    def losses(g, d):
        value = (g @ matrix * d).sum(1)
        return -value, value

    return DifferentiableGame(normal(1, size, seed=8), normal(1, size, seed=9), losses)


def separable(g_curvature, d_curvature):
    """Two quadratics that do not meet: the Jacobian is the diagonal of both players' curvatures."""
    own = [torch.from_numpy(c)[None] for c in (g_curvature, d_curvature)]
    return DifferentiableGame(*own, lambda g, d: ((own[1] * d * d).sum(1) / 2, (own[0] * g * g).sum(1) / 2))


def matrix_of(operator, size):
    return np.stack([operator(unit) for unit in np.eye(size)], axis=1)


@pytest.mark.parametrize("deaf", ["g", "d"])
def test_a_player_that_decides_nothing_of_its_loss_stays(deaf):
    # one loss is a bowl of the other's parameters alone
    g, d = normal(2, 3), normal(2, 4, seed=1)
    bowl = (lambda g, d: d.square().sum(1)) if deaf == "g" else (lambda g, d: g.square().sum(1))
    field = dynamics.gradient_field(DifferentiableGame(g, d, lambda g, d: (bowl(g, d), bowl(g, d))))
    got = field(torch.cat([g, d], dim=1))
    assert torch.equal(got, torch.cat([0 * g, 2 * d] if deaf == "g" else [2 * g, 0 * d], dim=1))


def test_the_dirac_gan_rotates_at_its_equilibrium():
    # eigenvalues +-i f'(0): 1/2 for the logistic loss, 1 for Wasserstein's (Mescheder 2018, lemma 2.3)
    assert dynamics.game_eigenvalues(dirac(nonsaturating)) == pytest.approx((0, 0.5, 0.5), abs=1e-12)
    assert dynamics.game_eigenvalues(dirac(wasserstein, 0.3, 2.0)) == pytest.approx((0, 1, 1), abs=1e-12)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 2.0])
def test_r1_makes_the_dirac_gan_converge(gamma):
    # gamma/2 +- sqrt(gamma^2/4 - f'(0)^2), negated from the flow's (Mescheder 2018, sec. 4.1)
    root = np.emath.sqrt(gamma**2 / 4 - 0.25)
    values = np.array([gamma / 2 + root, gamma / 2 - root])
    expected = (values.real.min(), values.imag.max(), abs(values).max())
    assert dynamics.game_eigenvalues(dirac(nonsaturating, gamma=gamma)) == pytest.approx(expected, abs=1e-12)


def test_the_jacobian_of_the_dirac_gan_is_assembled_right():
    # v = (-d s(-d g), g s(d g)) for the non-saturating loss, s the logistic function
    g, d = 0.7, -1.3
    s = 1 / (1 + math.exp(-d * g))
    slope = s * (1 - s)
    expected = [[d * d * slope, -(1 - s) + d * g * slope], [s + d * g * slope, g * g * slope]]
    got = matrix_of(*dynamics.jacobian_operator(dirac(nonsaturating, g, d)))
    assert pytest.approx(np.array(expected), abs=1e-12) == got.T
    assert not np.allclose(got, expected)  # the operator is the transpose, as it says


@pytest.mark.parametrize("size", [1, 4, 60])
def test_eigenvalues_of_the_bilinear_game_are_imaginary(size):
    # those of [[0, A], [-A^T, 0]] are +-i times the singular values of A
    largest = 3 if size > 1 else 1
    assert dynamics.game_eigenvalues(bilinear(size)) == pytest.approx((0, largest, largest), abs=0.03)


@pytest.mark.parametrize("size", [2, 50])
def test_spectra_of_quadratics(size):
    g_curvature, d_curvature = np.linspace(-2, 5, size), np.linspace(0.5, 4, size)
    game = separable(g_curvature, d_curvature)
    assert dynamics.game_eigenvalues(game) == pytest.approx((-2, 0, 5), abs=0.05)
    assert dynamics.hessian_extremes(game, "g") == pytest.approx((-2, 5), abs=0.05)
    assert dynamics.hessian_extremes(game, "d") == pytest.approx((0.5, 4), abs=0.05)


def test_a_linear_player_has_no_curvature():
    game = bilinear(40)
    assert dynamics.hessian_extremes(game, "g") == (0, 0)
    assert dynamics.hessian_extremes(game, "d") == (0, 0)


# ---- path angle


def test_the_bilinear_game_turns_at_a_right_angle_all_the_way():
    def losses(g, d):
        return -(g * d).sum(1), (g * d).sum(1)

    game = DifferentiableGame(torch.zeros(2, 1), torch.zeros(2, 1), losses)
    start = torch.tensor([[1.0, 2.0], [-0.3, 0.1]])
    cosines = dynamics.path_angle(
        dynamics.gradient_field(game), start, torch.zeros(2, 2), torch.tensor([0.0, 0.3, 0.9, 1.2])
    )
    assert cosines.shape == (2, 4)
    assert cosines.abs().max() < 1e-6


def test_a_quadratic_attracts_from_both_sides():
    start, end, points = normal(3, 5), normal(3, 5, seed=1), torch.tensor([0.0, 0.5, 0.9, 1.1, 2.0])
    cosines = dynamics.path_angle(lambda x: 7 * (x - end), start, end, points)
    assert cosines.tolist() == [pytest.approx([-1, -1, -1, 1, 1])] * 3


@pytest.mark.parametrize("rotation", [0.2, 1.0, 5.0])
def test_attraction_with_rotation_has_the_angle_of_its_eigenvalues(rotation):
    # v = (a I + b S) x: the cosine with the path to 0 is -a / |a + ib| before the end, its opposite beyond
    field = torch.tensor([[1.0, rotation], [-rotation, 1.0]])
    cosines = dynamics.path_angle(
        lambda x: x @ field.T, torch.tensor([3.0, -1.0]), torch.zeros(2), torch.tensor([0.2, 1.5])
    )
    expected = 1 / math.hypot(1, rotation)
    assert cosines.tolist() == pytest.approx([-expected, expected])


def test_a_field_that_vanishes_has_no_angle():
    cosines = dynamics.path_angle(torch.zeros_like, torch.ones(2), torch.zeros(2), torch.tensor([0.5]))
    assert cosines.isnan().all()


# ---- duality gap


def value_game(value, g, d):
    """A zero-sum game in which D maximises value(g, d), [runs] from [runs, 1]."""
    start = [torch.tensor(x, dtype=torch.float64).reshape(-1, 1) for x in (g, d)]
    return DifferentiableGame(*start, lambda g, d: (-value(g, d).sum(1), value(g, d).sum(1)))


def gap(game, steps=400, rate=0.02, noise=1e-3):
    return sum(dynamics.worst_case(game, player, steps=steps, rate=rate, noise=noise) for player in "gd")


def test_the_gap_of_a_concave_convex_game():
    # V = g^2/2 + g d - d^2/2: the best replies are d = g and g = -d, the gap g^2 + d^2
    g, d = [0.0, 1.0, -0.5, 2.0], [0.0, 0.5, 1.5, -1.0]
    game = value_game(lambda g, d: g * g / 2 + g * d - d * d / 2, g, d)
    assert gap(game).tolist() == pytest.approx([0, 1.25, 2.5, 5], abs=1e-3)


def test_a_stationary_point_that_is_no_nash_equilibrium_has_a_gap():
    # V = cos g - d^2/2: at (0, 0) no gradient moves G, which sits at its worst place and could gain 2
    game = value_game(lambda g, d: g.cos() - d * d / 2, [0.0], [0.0])
    assert gap(game).tolist() == pytest.approx([2], abs=1e-3)
    assert gap(game, noise=0.0).tolist() == [0]  # without perturbation the worst-case generator never moves
    stuck = value_game(lambda g, d: g * g / 2 - d.cos(), [0.0], [0.0])
    assert gap(stuck).tolist() == pytest.approx([2], abs=1e-3)  # and neither does the discriminator
    assert gap(game, steps=20, rate=1e-3).item() > 1e-4  # with the steps and the rate of a probe, too


def test_the_gap_is_zero_at_a_nash_equilibrium():
    game = value_game(lambda g, d: g * g / 2 - d * d / 2, [0.0], [0.0])
    assert gap(game).tolist() == [0]


def test_a_run_that_is_not_finite_has_no_gap_and_harms_no_other():
    game = value_game(lambda g, d: g * g / 2 - d * d / 2, [1.0, float("nan"), 0.5], [1.0, 1.0, 0.0])
    alone = value_game(lambda g, d: g * g / 2 - d * d / 2, [1.0, 0.5], [1.0, 0.0])
    got = gap(game, steps=30)
    assert got[1].isnan()
    assert got[[0, 2]].tolist() == gap(alone, steps=30).tolist()


@pytest.mark.parametrize("normalization", ["none", "spectral"])
def test_the_gap_of_a_population_is_what_plain_modules_reach(normalization):
    own = population(f"normalization={normalization}", f"g_normalization={normalization}", "loss=hinge")
    steps, rate, noise = 3, 1e-2, 1e-3
    got = diagnose("duality_gap", own, steps=steps, rate=rate, noise=noise)["duality_gap"]
    (real, latents), loss = probe_batch(own), registry.get("loss", "hinge")
    for row in range(2):
        total = 0
        for moved in "gd":
            pair = dict(zip("gd", [module.train() for module in plain(own, row)], strict=True))
            sign = 1 if moved == "g" else -1

            def gain(pair=pair, row=row, sign=sign):
                fake_logits = pair["d"](pair["g"](latents[row])).flatten()
                return sign * loss(pair["d"](real[row]).flatten(), fake_logits)[0]

            parameters = list(pair[moved].parameters())
            best = gain().item()
            size = sum(p.numel() for p in parameters)
            draw = torch.randn(size, generator=stream("worst case", 0)).double()
            with torch.no_grad():
                for p, part in zip(parameters, draw.split([p.numel() for p in parameters]), strict=True):
                    p += noise * part.reshape(p.shape)
            adam = torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.999), maximize=True)
            for _ in range(steps):
                adam.zero_grad()
                reached = gain()
                reached.backward()
                adam.step()
                best = max(best, reached.item())
            total += max(best, gain().item())
        assert got[row].item() == pytest.approx(total, rel=1e-6)
    assert (got > 0).all()


# ---- populations against plain modules


def plain_field(own, row):
    """Return a function of all flat parameters of a run: both losses, by plain modules and functional_call."""
    pair, run = plain(own, row), own.runs[row]
    real, latents = (side[row] for side in probe_batch(own))
    loss = registry.get("loss", run.variant.loss)
    names = [[(name, p.shape) for name, p in module.named_parameters()] for module in pair]

    def losses(g, d):
        called = []
        for flat, shapes in zip((g, d), names, strict=True):
            parts = flat.split([shape.numel() for _, shape in shapes])
            called.append({name: part.reshape(shape) for (name, shape), part in zip(shapes, parts, strict=True)})
        fake = torch.func.functional_call(pair[0], called[0], (latents,))
        real_logits = torch.func.functional_call(pair[1], called[1], (real,)).flatten()
        return loss(real_logits, torch.func.functional_call(pair[1], called[1], (fake,)).flatten())

    start = [torch.cat([p.detach().flatten() for p in module.parameters()]) for module in pair]
    return losses, start


@pytest.mark.parametrize("setting", [
    ["loss=nonsaturating,wasserstein,relativistic_pairing", "seeds=1"],
    ["normalization=layer", "g_normalization=batch"],
    ["normalization=spectral", "g_normalization=weight", "network.mlp.depth=1"],
], ids=["losses", "activations", "weights"])  # fmt: skip
def test_eigenvalues_of_a_population_are_those_of_a_dense_jacobian(setting):
    own = population("network.mlp.width=5", "latent_dim=2", *setting)
    got = {**diagnose("game_eigenvalues", own), **diagnose("hessians", own)}
    for row in range(len(own.runs)):
        losses, (g, d) = plain_field(own, row)

        def field(g, d, losses=losses):
            d_loss, g_loss = losses(g, d)
            return torch.cat([
                torch.autograd.grad(g_loss, g, create_graph=True)[0],
                torch.autograd.grad(d_loss, d, create_graph=True)[0],
            ])  # fmt: skip

        jacobian = torch.cat(torch.autograd.functional.jacobian(field, (g, d)), dim=1).numpy()
        smallest, rotation, largest = extremes(jacobian)
        assert got["game_eig_max_abs"][row].item() == pytest.approx(largest, rel=1e-3)
        assert got["game_eig_min_real"][row].item() == pytest.approx(smallest, abs=0.01 * largest)
        assert got["game_eig_max_imag"][row].item() == pytest.approx(rotation, abs=0.01 * largest)
        for player, block in (("g", jacobian[: len(g), : len(g)]), ("d", jacobian[len(g) :, len(g) :])):
            values = np.linalg.eigvalsh((block + block.T) / 2)
            ends = [got[f"{player}_hessian_{end}"][row].item() for end in ("min", "max")]
            assert ends == pytest.approx([values[0], values[-1]], abs=0.01 * abs(values).max())


def test_moved_is_the_optimizers_next_step():
    own = population("normalization=spectral", "critic_steps=2")
    for player, made in (("g", own.step), ("d", 2 * own.step)):
        side = own.players[player]
        assert side.descents == made
        before, state = side.flat.clone(), {name: tensor.clone() for name, tensor in side.state.items()}
        gradient = normal(*before.shape)
        moved = Snapshot(own).moved(player, gradient)
        assert torch.equal(side.flat, before)
        assert all(torch.equal(side.state[name], tensor) for name, tensor in state.items())
        side.descend(gradient, own.alive, torch.ones(()), side.numbers())
        assert torch.equal(side.flat, moved)
        assert not torch.equal(before, moved)


def test_update_cosines_are_those_of_plain_modules():
    own = population("loss=hinge", "optimizer.adam.g_lr=0.05", "optimizer.adam.d_lr=0.1")
    got = diagnose("update_cosines", own)
    snapshot = Snapshot(own)

    def gradients(losses, g, d):
        d_loss, g_loss = losses(g, d)
        return torch.autograd.grad(g_loss, g, retain_graph=True)[0], torch.autograd.grad(d_loss, d)[0]

    fields = [plain_field(own, row) for row in range(2)]
    before = [gradients(losses, *[p.requires_grad_() for p in start]) for losses, start in fields]
    moved = [snapshot.moved(player, torch.stack([own[i] for own in before])) for i, player in enumerate("gd")]
    for row, (losses, _) in enumerate(fields):
        after = gradients(losses, *[side[row].clone().requires_grad_() for side in moved])
        for i, player in enumerate("gd"):
            cosine = nn.functional.cosine_similarity(before[row][i], after[i], dim=0).item()
            assert got[f"{player}_update_cosine"][row].item() == pytest.approx(cosine, rel=1e-9)
            assert cosine < 0.9999


def test_simultaneous_steps_turn_the_bilinear_game_by_a_known_angle():
    # for singular values of 1, one step of rate r multiplies both gradients by I + r rotation: cosine 1/sqrt(1 + r^2)
    def losses(g, d):
        return -(g * d).sum(1), (g * d).sum(1)

    rate, game = 0.4, DifferentiableGame(torch.tensor([[1.0]]), torch.tensor([[2.0]]), losses)
    field = dynamics.gradient_field(game)
    start = torch.tensor([[1.0, 2.0]])
    before = field(start)
    assert before.tolist() == [[2, -1]]
    cosine = dynamics.cosine(before, field(start - rate * before)).item()
    assert cosine == pytest.approx(1 / math.sqrt(1 + rate**2))


# ---- the generator's Jacobian, the critic's slope


@pytest.mark.parametrize("g_normalization", ["none", "batch", "spectral"])
@points_and_images
def test_the_generators_jacobian_is_autograds(images, g_normalization):
    own = population(*images, f"g_normalization={g_normalization}")
    with own.measuring():
        game = Game(Snapshot(own), *probe_batch(own))
        got = costly.generator_jacobians(game, 4)
        conditions = registry.get("diagnostic", "conditioning")(game, latents=4)["g_log_condition"]
    for row in range(2):
        g, latents = plain(own, row)[0], game.latents[row]
        logs = []
        for i in range(4):

            def sample(z, i=i, g=g, latents=latents):
                return g(torch.cat([latents[:i], z[None], latents[i + 1 :]]))[i].flatten()

            expected = torch.autograd.functional.jacobian(sample, latents[i])
            torch.testing.assert_close(got[row, i], expected)
            values = torch.linalg.svdvals(expected)
            logs.append(math.log(values[0] / values[-1]))
        assert conditions[row].item() == pytest.approx(np.mean(logs), rel=1e-4)


def test_a_generator_deaf_to_its_latents_is_ill_conditioned():
    own = population("seeds=2")
    own.generator.frozen["0.weight"][0] = 0
    conditions = diagnose("conditioning", own)["g_log_condition"]
    assert conditions[0].item() == pytest.approx(math.log(1e7))
    assert conditions[1] < 10


def test_a_run_far_away_does_not_hide_that_generators_mix_their_batch():
    own = population("g_normalization=batch")
    expected = diagnose("conditioning", own)["g_log_condition"]
    bias = [name for name in own.generator.frozen if name.endswith("bias")][-1]
    own.generator.frozen[bias][0] = 1e6
    assert diagnose("conditioning", own)["g_log_condition"][1] == expected[1]


def test_the_lipschitz_estimate_of_a_linear_critic_is_its_slope():
    own = population("network.mlp.depth=1")
    first, last = (own.discriminator.frozen[f"{layer}.weight"] for layer in (0, 2))
    own.discriminator.frozen["0.bias"].fill_(1e3)  # every unit is open: D is linear
    slope = (last @ first).squeeze(1).norm(dim=1)
    assert diagnose("lipschitz", own)["d_lipschitz"].tolist() == pytest.approx(slope.tolist(), rel=1e-9)


@points_and_images
def test_the_lipschitz_estimate_looks_between_real_and_fake(images):
    own = population(*images)
    got, (real, latents) = diagnose("lipschitz", own)["d_lipschitz"], probe_batch(own)
    for row in range(2):
        g, d = plain(own, row)
        fake, norms = g(latents[row]).detach(), []
        for i in range(12):
            for share in (0, (i + 0.5) / 12, 1):
                x = ((1 - share) * real[row, i] + share * fake[i]).requires_grad_()
                norms.append(torch.autograd.grad(d(x[None]).sum(), x)[0].norm().item())
        assert got[row].item() == pytest.approx(max(norms), rel=1e-9)


@pytest.mark.parametrize("size", [6, 400])
def test_one_number_that_is_not_finite_leaves_no_eigenvalue(size):
    matrix = np.diag(np.arange(1.0, size + 1))
    matrix[2, 3] = np.nan
    assert np.isnan(spectrum.eigenvalue_extremes(matrix.__matmul__, size)).all()
    assert np.isnan(spectrum.symmetric_extremes(matrix.__matmul__, size)).all()
