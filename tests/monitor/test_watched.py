"""A watched pair of modules is measured as the same pair is in a population, and as closed forms say."""

import pytest
import torch
from overriding import over
from torch import nn

from ganbench.measure.diagnostics import Game, affordable
from ganbench.monitor.isolation import untouched, unwrapped
from ganbench.monitor.watched import NotKnown, Watched, WatchedLoss, WatchedPlayer, final_sigmoid, placed, settled_norms
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
    player, x = WatchedPlayer(module), torch.randn(3, 2)
    here = player(x)
    moved = player.flat() + 1
    away = player.at(moved, x)
    torch.testing.assert_close(away, x @ (module.weight + 1).T + module.bias + 1)
    assert torch.equal(player(x), here)
    assert torch.equal(player.flat(), moved - 1) or torch.allclose(player.flat(), moved - 1)
    with pytest.raises(RuntimeError):
        player.at(moved, torch.randn(3, 5))
    assert torch.equal(player(x), here)


def test_gradients_reach_the_stand_ins_alone():
    generator, discriminator = nn.Linear(2, 2), nn.Linear(2, 1)
    for own in discriminator.parameters():
        own.requires_grad_(False)
    watched = Watched(generator, discriminator, WatchedLoss(), None)
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    fake = watched.generate(x[None], {})
    assert fake.shape == (1, 8, 2)
    assert torch.equal(fake[0], generator(x))
    logits = watched.criticise(fake, {})
    assert logits.shape == (1, 8)
    gradients = watched.parameter_gradients(logits.sum(1), "d")
    assert {name: tuple(part.shape) for name, part in gradients.items()} == {"weight": (1, 1, 2), "bias": (1, 1)}
    assert gradients["weight"][0, 0] == pytest.approx(fake[0].sum(0).detach())
    assert gradients["bias"].tolist() == [[8.0]]
    # and once more, through G
    through = watched.parameter_gradients(logits.sum(1), "g")
    assert through["bias"][0] == pytest.approx(8 * discriminator.weight[0])
    # what a loss does not depend on has a gradient of 0
    assert watched.parameter_gradients(fake.sum((1, 2)), "d")["bias"].tolist() == [[0.0]]
    assert all(own.grad is None for module in (generator, discriminator) for own in module.parameters())
    assert not any(own.requires_grad for own in discriminator.parameters())


def test_parameters_that_are_whole_numbers_take_no_gradient():
    class Counting(nn.Linear):
        def __init__(self):
            super().__init__(2, 1)
            self.count = nn.Parameter(torch.tensor([3]), requires_grad=False)

    module = Counting()
    watched = Watched(nn.Linear(2, 2), module, WatchedLoss(), None)
    logits = watched.criticise(torch.randn(1, 4, 2), {})
    assert set(watched.parameter_gradients(logits.sum(1), "d")) == {"weight", "bias"}
    assert watched.players["d"].flat().shape == (1, 4)


def test_buffers_that_a_forward_pass_moves_are_copies():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).train()
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    WatchedPlayer(module)(5 + torch.randn(16, 2))
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())


def test_matrices_are_those_of_the_player_asked_for():
    generator, discriminator = nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    watched = Watched(generator, discriminator, WatchedLoss(), None)
    assert {name: tuple(one.shape) for name, one in watched.matrices().items()} == {
        "1_linear": (1, 4, 3), "2_linear": (1, 1, 4),
    }  # fmt: skip
    assert torch.equal(watched.matrices("g")["1_linear"][0], generator.weight)
    assert (watched.g_names, watched.d_names) == (layer_names(generator), layer_names(discriminator))


def test_a_game_is_a_function_of_both_players_parameters():
    generator, discriminator = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 1), nn.Dropout(0.5)).eval()
    loss = WatchedLoss(lambda real, fake: (fake.mean() - real.mean(), -fake.mean()))
    watched = Watched(generator, discriminator, loss, None)
    real, latents = torch.randn(2, 1, 8, 2, generator=torch.Generator().manual_seed(0)).unbind(0)
    game = watched.differentiable(real, latents)
    assert (game.g.shape, game.d.shape) == ((1, 6), (1, 3))
    with torch.no_grad():
        fake_logits, real_logits = discriminator(generator(latents[0])), discriminator(real[0])
    d_loss, g_loss = game.losses(game.g, game.d)
    assert d_loss.tolist() == pytest.approx([(fake_logits.mean() - real_logits.mean()).item()], abs=1e-6)
    assert g_loss.tolist() == pytest.approx([-fake_logits.mean().item()], abs=1e-6)
    # a bias of D more moves G's loss by as much
    moved = game.d + torch.tensor([[0.0, 0.0, 0.5]])
    assert game.losses(game.g, moved)[1].tolist() == pytest.approx([-fake_logits.mean().item() - 0.5], abs=1e-6)
    # dropout is at work in a game that is iterated, and the flags are what they were
    iterated = watched.differentiable(real, latents, iterate=True)
    assert len({iterated.losses(game.g, game.d)[1].item() for _ in range(4)}) > 1
    assert not discriminator.training
    silent = Watched(generator, discriminator, WatchedLoss(), None)
    with pytest.raises(NotKnown):
        silent.differentiable(real, latents)
    with pytest.raises(NotKnown):
        silent.losses[0](real, real)
    with pytest.raises(NotKnown):
        watched.moved("g", game.g)
    assert loss.runs == slice(0, 1)


def test_a_loss_sees_one_axis_and_answers_with_one():
    seen = []

    def function(real, fake):
        seen.append((tuple(real.shape), tuple(fake.shape)))
        return real.sum(), fake.sum().reshape(1, 1)

    d_loss, g_loss = WatchedLoss(function)(torch.ones(1, 4), torch.ones(1, 6))
    assert seen == [((4,), (6,))]
    assert (d_loss.tolist(), g_loss.tolist()) == ([4.0], [6.0])


def test_samples_are_placed_in_the_precision_of_the_parameters():
    x = torch.ones(2, 2)
    assert placed(x, nn.Linear(2, 1).double()).dtype == torch.float64
    assert placed(x, nn.ReLU()) is x
    assert WatchedPlayer(nn.Linear(2, 1).double())(x).dtype == torch.float32
    whole = nn.ReLU()
    whole.count = nn.Parameter(torch.tensor([1]), requires_grad=False)
    assert placed(x, whole).dtype == torch.float32


def test_what_a_sigmoid_is_looked_for_leaves_no_hook():
    ending = Gated(True)
    x = torch.randn(4, 2)
    final_sigmoid(ending, x)
    assert not any(part._forward_hooks for part in ending.modules())
    player = WatchedPlayer(ending, ending.end)
    player(x)
    assert not any(part._forward_hooks for part in ending.modules())
    # a sigmoid of another kind is none that could be left out
    assert final_sigmoid(nn.Sequential(nn.Linear(2, 1), nn.Hardsigmoid()), x) is None
    units: dict[nn.Module, torch.Tensor] = {}
    player(x, units)
    assert set(units) <= {ending.gate, ending.end}


def test_an_untrained_spectral_norm_divides_by_the_norm_and_not_by_chance():
    torch.manual_seed(0)
    d = nn.utils.spectral_norm(nn.Linear(64, 64))
    kept = [own.clone() for own in d.buffers()]
    largest = float(torch.linalg.matrix_norm(d.weight_orig.detach(), 2))
    found = settled_norms(d, dict(d.named_buffers()))
    reached = float(found["weight_u"] @ d.weight_orig.detach() @ found["weight_v"])
    assert 0.9 * largest < reached <= largest * 1.0001
    assert abs(float(kept[0] @ d.weight_orig.detach() @ kept[1])) < 0.5 * largest  # what torch begins with
    assert all(torch.equal(own, before) for own, before in zip(d.buffers(), kept, strict=True))
    for _ in range(20):
        d(torch.zeros(1, 64))
    assert settled_norms(d, dict(d.named_buffers())) == {}  # training has found them
