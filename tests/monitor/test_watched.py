"""A watched pair of modules is measured as the same pair is in a population, and as closed forms say."""

import pytest
import torch
from overriding import over
from torch import nn

from ganbench.measure.diagnostics import Game, affordable
from ganbench.monitor.isolation import untouched, unwrapped
from ganbench.monitor.watched import NotKnown, Player, Watched, WatchedLoss, final_sigmoid
from ganbench.suite import resolve
from ganbench.training.batched import layer_names
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.snapshot import Snapshot


@pytest.mark.parametrize("normalization", ["none", "spectral", "layer"])
@pytest.mark.parametrize("loss", ["nonsaturating", "wasserstein"])
def test_diagnostics_equal_those_of_a_population_of_one(tiny, normalization, loss):
    run = resolve(None, over([*tiny, "seeds=1", f"normalization={normalization}", f"loss={loss}"])).runs[0]
    problem = make_problem(run.variant)
    population = Population([run], problem, torch.device("cpu"))
    generator, discriminator = population.generator.module, population.discriminator.module
    real, latents = torch.randn(2, 1, 16, 2, generator=torch.Generator().manual_seed(0)).unbind(0)
    latents = latents.repeat(1, 1, run.variant.latent_dim // 2)
    part = population.objective.losses.slices[0]
    own = WatchedLoss(lambda a, b: part.plugin(a, b), part.boundary)
    with untouched(generator, discriminator):
        pairs = [
            Game(Snapshot(population), real, latents),
            Game(Watched(generator, discriminator, own, None), real, latents),
        ]
        compared = 0
        for plugin in affordable("medium"):
            try:
                got = plugin(pairs[1], **plugin.hypers)
            except NotKnown:
                continue
            expected = plugin(pairs[0], **plugin.hypers)
            assert got.keys() == expected.keys()
            for name, value in expected.items():
                assert got[name].tolist() == pytest.approx(value.tolist(), rel=1e-4, abs=1e-6, nan_ok=True), name
                compared += 1
    assert compared > 20


def test_without_a_loss_only_what_needs_none_is_measured():
    generator, discriminator = nn.Linear(2, 2), nn.Linear(2, 1)
    game = Game(Watched(generator, discriminator, WatchedLoss(), None), torch.randn(1, 8, 2), torch.randn(1, 8, 2))
    measured = set()
    for plugin in affordable("expensive"):
        try:
            measured |= plugin(game, **plugin.hypers).keys()
        except NotKnown:
            continue
    assert {"d_input_gradient_real", "real_logit", "d_ranking", "g_dead_units", "d_spectral_norm"} <= measured
    assert not {"d_loss", "g_gradient_norm", "saturation"} & measured
    # D(x) = w x + b has the gradient w everywhere
    expected = discriminator.weight.detach().norm().item()
    plugin = next(p for p in affordable("cheap") if p.name == "input_gradients")
    assert plugin(game)["d_input_gradient_real"].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("wrap", [nn.utils.parametrizations.spectral_norm, nn.utils.parametrizations.weight_norm])
def test_weights_in_force_are_those_after_parametrization(wrap):
    torch.manual_seed(0)
    layer = wrap(nn.Conv2d(2, 3, 3, bias=False))
    module = nn.Sequential(layer, nn.Flatten(), nn.Linear(12, 1)).train()
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    matrices = Watched(nn.Linear(2, 2), module, WatchedLoss(), None).matrices()
    assert list(matrices) == ["1_conv2d", "2_linear"]
    module.eval()
    expected = torch.linalg.svdvals(layer.weight.detach().flatten(1).double())[0].item()
    assert torch.linalg.svdvals(matrices["1_conv2d"][0].double())[0].item() == pytest.approx(expected, rel=1e-6)
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())


def test_layers_are_named_by_rank_and_kind():
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 4)), nn.ReLU(), nn.BatchNorm1d(4))
    names = layer_names(module)
    assert names["0"] == names["0.parametrizations.weight"] == "1_linear"
    assert names["2"] == "2_batchnorm1d"
    assert layer_names(nn.Linear(2, 1)) == {"": "1_linear"}


class Gated(nn.Module):
    """A discriminator with a sigmoid inside and another one at its end, behind a change of shape."""

    def __init__(self, ends: bool) -> None:
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1)
        self.end = nn.Sigmoid() if ends else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.last(self.gate(self.first(x)))).view(-1)


def test_a_sigmoid_at_the_end_is_left_out_and_one_inside_is_not():
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    ending, open_ = Gated(True), Gated(False)
    open_.load_state_dict(ending.state_dict())
    assert final_sigmoid(ending, x) is ending.end
    assert final_sigmoid(open_, x) is None
    logits = Watched(nn.Linear(2, 2), ending, WatchedLoss(), ending.end).criticise(x[None], {})
    assert torch.allclose(logits[0], torch.logit(ending(x)), atol=1e-5)
    assert torch.equal(logits[0], open_(x))


def test_units_are_seen_before_a_later_layer_overwrites_them():
    module = nn.Sequential(nn.Linear(2, 4), nn.ReLU(inplace=True), nn.Hardtanh(-3, -2, inplace=True), nn.Linear(4, 1))
    units: dict[nn.Module, torch.Tensor] = {}
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    Watched(nn.Linear(2, 2), module, WatchedLoss(), None).criticise(x[None], units)
    assert torch.equal(units[module[1]][0], module[0](x).relu())
    assert not module[1]._forward_hooks


def test_wrappers_are_looked_through():
    inner = nn.Linear(2, 1)
    assert unwrapped(nn.DataParallel(inner)) is inner
    assert unwrapped(torch.compile(inner, backend="eager")) is inner
    assert unwrapped(inner) is inner


def test_a_player_at_other_parameters_is_back_at_its_own():
    module = nn.Linear(2, 1)
    player, x = Player(module), torch.randn(3, 2)
    here = player(x)
    moved = player.flat() + 1
    away = player.at(moved, x)
    torch.testing.assert_close(away, x @ (module.weight + 1).T + module.bias + 1)
    assert torch.equal(player(x), here)
    assert torch.equal(player.flat(), moved - 1) or torch.allclose(player.flat(), moved - 1)
    with pytest.raises(RuntimeError):
        player.at(moved, torch.randn(3, 5))
    assert torch.equal(player(x), here)
