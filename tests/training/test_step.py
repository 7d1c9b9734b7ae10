"""A step as an update rule sees it: whose turn it is, what is due, where the players stand, and who stays."""

import math

import pytest
import torch
from overriding import over

from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.step import PlayedRound, move, train_step

CPU = torch.device("cpu")
SMALL = ("problem=ring8", "seeds=2", "steps=40", "batch_size=8", "network.mlp.width=4", "latent_dim=3")


def population(*overrides):
    runs = resolve(None, over([*SMALL, *overrides])).runs
    return Population(list(runs), make_problem(runs[0].variant), CPU)


def played(own):
    return PlayedRound(own, own.inputs(own.step), own.clock)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_every_so_many_steps_the_last_of_them_is_due(every):
    own, due = population(), []
    for step in range(12):
        inputs = own.inputs(step)
        due.append(PlayedRound(own, inputs, own.clock).is_due(every))
        assert isinstance(due[-1], bool)
        own.step += 1
    assert [step for step, one in enumerate(due) if one] == list(range(every - 1, 12, every))


def test_a_rule_is_told_step_turns_and_its_memory():
    own = population("critic_steps=3", "generator_steps=2")
    own.step = 7
    now = played(own)
    assert now.step.item() == 7
    assert now.turns == {"d": 3, "g": 2}
    assert now.memory is own.memory["update"]
    assert all(loss.isnan().all() and loss.shape == (2,) for loss in now.losses.values())
    assert all(loss.dtype == torch.float32 for loss in now.losses.values())


def test_each_gradient_is_of_the_players_next_batch():
    own, twin = population(), population()
    now, later = played(own), played(twin)
    first = [now.gradient("d"), now.gradient("d")]
    assert not torch.equal(*first)
    assert torch.equal(later.gradient("g"), now.gradient("g")), "G's batches are counted by themselves"
    assert now.inputs.recipe.batches == {"d": 2, "g": 1}
    own.count(now.inputs)
    assert (own.step, own.discriminator.batches, own.generator.batches) == (1, 2, 1)
    assert own.discriminator.descents == own.generator.descents == 0
    # nobody has moved: what comes next is the third batch
    twin.discriminator.batches = 2
    assert torch.equal(played(own).gradient("d"), played(twin).gradient("d"))


def test_steps_of_the_optimizer_are_counted_where_they_are_made():
    own = population()
    now = played(own)
    for player in "ddg":
        now.descend(player, torch.ones_like(own.players[player].flat))
    assert now.inputs.recipe.descents == {"d": 2, "g": 1}
    own.count(now.inputs)
    assert (own.discriminator.descents, own.generator.descents) == (2, 1)


def test_positions_are_copies_and_whoever_had_diverged_before_the_step_is_not_put_elsewhere():
    own = population()
    own.alive[1] = False
    now, frozen = played(own), own.generator.flat[1].clone()
    positions = now.positions()
    assert positions.keys() == {"d", "g"}
    for name, player in own.players.items():
        assert torch.equal(positions[name], player.flat)
        assert positions[name].data_ptr() != player.flat.data_ptr()
    own.alive[0] = False  # only now: it goes where the rule puts it
    now.place({name: torch.zeros_like(place) for name, place in positions.items()})
    assert not own.generator.flat[0].any()
    assert not own.discriminator.flat[0].any()
    assert torch.equal(own.generator.flat[1], frozen)


@pytest.mark.parametrize("player", ["d", "g"])
def test_a_run_freezes_at_the_step_at_which_its_gradient_is_not_finite(player):
    own = population()
    own.step = 3
    own.players[player].flat[0].fill_(math.nan)
    now = played(own)
    gradient = now.gradient(player)
    assert not gradient.requires_grad
    assert own.alive.tolist() == [False, True]
    assert own.diverged_step.tolist() == [3, -1]
    assert now.losses[player].isfinite().tolist() == [False, True]
    own.step = 5
    played(own).gradient(player)
    assert own.diverged_step.tolist() == [3, -1]


def test_only_what_a_rule_asks_for_has_a_loss():
    own = population()

    def critic_alone(round):
        round.descend("d", round.gradient("d"))

    own.update = critic_alone
    before = own.generator.flat.clone()
    d_loss, g_loss = train_step(own)
    assert d_loss.isfinite().all()
    assert g_loss.isnan().all()
    assert torch.equal(own.generator.flat, before)
    assert (own.step, own.discriminator.batches, own.generator.batches) == (1, 1, 0)


def test_losses_are_without_terms_and_gradients_with_them():
    plain, penalized = population("regularizer=none"), population("regularizer=r1", "regularizer.r1.gamma=5.0")
    rounds = played(plain), played(penalized)
    gradients = [now.gradient("d") for now in rounds]
    assert torch.equal(rounds[0].losses["d"], rounds[1].losses["d"])
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_unrolling_with_steps_that_lead_nowhere_is_gs_own_gradient(rate):
    own, twin = population("loss=wasserstein"), population("loss=wasserstein")
    unrolled, plain = played(own).unrolled_gradient(1, rate), played(twin).gradient("g")
    assert torch.allclose(unrolled, plain, rtol=1e-4, atol=1e-6) == (rate == 0)


def test_steps_that_d_only_would_make_leave_no_trace_in_its_spectral_vectors():
    own = population("normalization=spectral")
    before = {name: buffer.clone() for name, buffer in own.discriminator.buffers.items()}
    gradient = played(own).unrolled_gradient(3, 0.5)
    assert gradient.any(1).all()
    assert len(before) == 3
    assert all(torch.equal(own.discriminator.buffers[name], buffer) for name, buffer in before.items())
    played(own).gradient("d")
    changed = [not torch.equal(own.discriminator.buffers[name], buffer) for name, buffer in before.items()]
    assert any(changed), "D's own pass moves them"


def test_the_field_is_of_ds_next_batch_and_both_losses_are_known():
    own, twin = population(), population()
    now = played(own)
    field = now.field()
    assert torch.allclose(field.gradients["d"], played(twin).gradient("d"), rtol=1e-5, atol=1e-7)
    assert field.gradients["g"].shape == own.generator.flat.shape
    assert all(loss.isfinite().all() for loss in now.losses.values())
    assert now.inputs.recipe.batches == {"d": 1, "g": 0}


def test_moving_counts_nothing_until_it_is_counted():
    own = population()
    inputs = own.inputs(own.step)
    losses = move(own, inputs, own.clock)
    assert [loss.shape for loss in losses] == [(2,), (2,)]
    assert (own.step, own.discriminator.batches, own.generator.descents) == (0, 0, 0)
    assert own.recipes == {}
    own.count(inputs)
    assert (own.step, own.discriminator.batches, own.generator.descents) == (1, 1, 1)
    assert list(own.recipes) == [inputs.phase]
