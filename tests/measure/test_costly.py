"""The costlier diagnostics on matrices and generators that are known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ganbench.measure import costly
from ganbench.measure.diagnostics import Game
from ganbench.problems.base import stream


def ranks_of(g, d):
    """The ranks of layers [runs, out, in] by name."""
    layers = {"g": g, "d": d}
    return costly.ranks(SimpleNamespace(population=SimpleNamespace(matrices=layers.__getitem__)))


def diagonal(*values):
    return torch.tensor([values, values]).double().diag_embed()


def test_the_worst_layer_counts_and_each_has_a_column():
    found = ranks_of(
        {"1_linear": diagonal(1, 1, 1, 1), "2_linear": diagonal(2, 0, 0, 0)}, {"1_linear": diagonal(3, 3, 0.001, 0)}
    )
    expected = {
        "g_effective_rank.1_linear": 1, "g_effective_rank.2_linear": 0.25, "g_effective_rank": 0.25,
        "g_stable_rank.1_linear": 1, "g_stable_rank.2_linear": 0.25, "g_stable_rank": 0.25,
        "g_spectral_collapse.1_linear": 0, "g_spectral_collapse.2_linear": 0.75, "g_spectral_collapse": 0.75,
        "d_stable_rank.1_linear": 0.5, "d_stable_rank": 0.5, "d_spectral_collapse.1_linear": 0.5,
        "d_spectral_collapse": 0.5,
    }  # fmt: skip
    assert found.keys() == expected.keys() | {"d_effective_rank", "d_effective_rank.1_linear"}
    for name, value in expected.items():
        assert found[name].tolist() == pytest.approx([value] * 2, abs=1e-6), name
    assert found["d_effective_rank"].tolist() == pytest.approx([0.5] * 2, abs=0.01)


def test_a_player_without_layers_has_no_columns():
    assert ranks_of({}, {}) == {}


def test_rounding_leads_no_share_above_1():
    bases = torch.randn(40, 9, 9, generator=stream("bases", 0), dtype=torch.float64)
    found = ranks_of({"1_linear": torch.linalg.qr(bases)[0]}, {})
    for name in ("g_effective_rank", "g_stable_rank"):
        assert found[name].max() <= 1
        assert found[name].min() > 1 - 1e-9


class Linear:
    """A population whose generators are matrices [runs, out, in]; its critics are half the squared length."""

    def __init__(self, matrices):
        self.matrices = matrices

    def generate(self, latents, units):
        return latents @ self.matrices.mT

    def criticise(self, samples, units):
        return samples.square().sum(-1) / 2


def game_of(matrices, real=None, latents=None):
    runs, out, into = matrices.shape
    if latents is None:
        latents = torch.randn(runs, 12, into, generator=stream("latents", 0), dtype=torch.float64)
    return Game(Linear(matrices), torch.zeros(runs, 12, out).double() if real is None else real, latents)


@pytest.mark.parametrize(("values", "expected"), [
    ((1.0, 1.0), 0.0), ((4.0, 2.0), math.log(2)), ((1.0, 1e-5), 5 * math.log(10)), ((1.0, 1e-9), 7 * math.log(10)),
    ((1.0, 0.0), 7 * math.log(10)), ((0.0, 0.0), 7 * math.log(10)),
])  # fmt: skip
def test_how_far_a_generator_squeezes_its_latents(values, expected):
    found = costly.conditioning(game_of(diagonal(*values)))
    assert found.keys() == {"g_log_condition"}
    assert found["g_log_condition"].tolist() == pytest.approx([expected] * 2, abs=1e-5)


@pytest.mark.parametrize("count", [1, 8, 12, 99])
def test_as_many_latents_are_looked_at_as_there_are(monkeypatch, count):
    asked, jacobians = [], costly.generator_jacobians
    monkeypatch.setattr(costly, "generator_jacobians", lambda game, few: [asked.append(few), jacobians(game, few)][1])
    costly.conditioning(game_of(diagonal(1, 2)), latents=count)
    assert asked == [min(count, 12)]


def test_the_steepest_place_of_a_critic_is_found_at_real_and_fake_samples():
    # the slope at x is x
    real, latents = torch.zeros(2, 2, 4, 2).double()
    real[0, 2] = torch.tensor([3.0, 4.0])
    latents[1, 1] = torch.tensor([-6.0, 8.0])
    found = costly.lipschitz(game_of(diagonal(1, 1), real, latents))
    assert found["d_lipschitz"].tolist() == pytest.approx([5, 10])


def test_a_population_that_is_not_played_has_no_dynamics():
    game = game_of(diagonal(1, 2))
    for diagnostic in (costly.update_cosines, costly.game_eigenvalues, costly.duality_gap, costly.hessians):
        assert diagnostic(game) == {}


class Deaf(Linear):
    """A generator that does not look at its latents."""

    def generate(self, latents, units):
        bias = torch.ones(self.matrices.shape[1], dtype=torch.float64, requires_grad=True)
        return bias.expand(*latents.shape[:2], -1) * 1


def test_a_generator_that_is_deaf_to_its_latents_is_without_rank():
    game = Game(Deaf(diagonal(1, 2)), torch.zeros(2, 12, 2).double(), torch.randn(2, 12, 2).double())
    assert costly.conditioning(game)["g_log_condition"].tolist() == pytest.approx([7 * math.log(10)] * 2)
    assert costly.generator_jacobians(game, 3).shape == (2, 3, 2, 2)


class Mixing(Linear):
    """A generator of samples of some size, which a large batch moves by a share of that."""

    def __init__(self, matrices, size, share):
        super().__init__(matrices)
        self.size, self.share, self.batches = size, share, []

    def generate(self, latents, units):
        self.batches.append(latents.shape[1])
        moved = 1 + self.share * (latents.shape[1] > 4)
        return super().generate(latents, units) + self.size * moved


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("share", "mixes"), [(0.0, False), (0.9e-4, False), (1.1e-4, True), (0.5, True)])
def test_latents_are_moved_one_by_one_where_a_batch_moves_its_samples_by_a_ten_thousandth(size, share, mixes):
    own = Mixing(diagonal(1, 1) * size * 1e-9, size, share)
    game = Game(own, torch.zeros(2, 12, 2).double(), torch.randn(2, 12, 2).double())
    own.batches.clear()
    found = costly.generator_jacobians(game, 3)
    assert own.batches[:2] == [3, 12]
    assert own.batches[2:] == ([12] * 3 if mixes else [3])
    torch.testing.assert_close(found, own.matrices.unsqueeze(1).expand(2, 3, 2, 2))


def test_path_length_is_its_formula():
    """Finite differences along great arcs between a latent and the next, by NumPy, for two linear generators."""
    latents = torch.randn(1, 9, 3, generator=stream("arcs", 0), dtype=torch.float64).expand(2, -1, -1)
    real = torch.randn(2, 9, 4, generator=stream("real", 0), dtype=torch.float64)
    matrices = torch.randn(2, 4, 3, generator=stream("matrices", 0), dtype=torch.float64)
    game = Game(Linear(matrices), real, latents, features=lambda samples: 2 * samples)
    got = costly.path_length(game, step=1e-3)["g_path_length"]
    z, x = latents[0].numpy(), real.numpy()

    def arc(a, b, t):
        angle = math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        return (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)

    for run, matrix in enumerate(matrices.numpy()):
        moves = []
        for i in range(9):
            t = (i + 0.5) / 9 * (1 - 1e-3)
            ends = [matrix @ arc(z[i], z[(i - 1) % 9], share) for share in (t, t + 1e-3)]
            moves.append(np.sum((ends[1] - ends[0]) ** 2) / 1e-6)
        apart = [np.sum((x[run, i] - x[run, (i - 1) % 9]) ** 2) for i in range(9)]
        assert got[run].item() == pytest.approx(np.mean(moves) / np.mean(apart), rel=1e-6)
    assert costly.path_length(Game(Linear(matrices), real, latents)) == {}


def test_latents_on_one_line_have_a_line_for_an_arc():
    one, other = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [-2.0]])
    got = costly.on_arc(one, other, torch.tensor([[0.5], [0.25]]))
    assert got.flatten().tolist() == [2.0, 1.0]
