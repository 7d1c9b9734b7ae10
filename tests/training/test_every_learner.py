"""For every learner: where its tensors lie, and what its forward passes are differentiable in."""

import itertools
import math

import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.suite import resolve
from ganbench.training import losses
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner
from ganbench.training.population import Population
from ganbench.training.step import PlayedRound, train_step

PLAYS = [name for name in registry.names("model") if "optimizer" not in registry.get("model", name).declared("ignores")]
SMALL = ("seeds=2", "batch_size=8", "steps=20", "latent_dim=3", "samples=64", "neighbours=32", "probe_every=5")


def plan_of(*overrides):
    width = [] if any("network=" in one or "model=" in one for one in overrides) else ["network.mlp.width=8"]
    return resolve(None, over([*SMALL, *width, *overrides]))


def learner_of(*overrides, device="cpu"):
    runs = plan_of(*overrides).runs
    return make_learner(list(runs), make_problem(runs[0].variant), torch.device(device))


def players_of(learner):
    """Return what optimizers move: nothing of a model in closed form."""
    own = learner.players.values() if isinstance(learner, Population) else (getattr(learner, "player", None),)
    return [player for player in own if player is not None]


def tensors(state, path=""):
    if isinstance(state, torch.Tensor):
        yield path, state
    elif isinstance(state, dict):
        yield from itertools.chain.from_iterable(tensors(value, f"{path}/{key}") for key, value in state.items())


@pytest.mark.parametrize(
    "overrides",
    [[f"model={name}"] for name in registry.names("model")]
    + [["normalization=spectral", "trick=ema", "loss=hinge,wasserstein", "optimizer.adam.d_lr=1e-3,2e-3"],
       ["update=past_extragradient", "optimizer=optimistic_adam"], ["regularizer=weight_clipping"]],
    ids=",".join,
)  # fmt: skip
def test_all_of_it_lies_on_its_device(overrides, monkeypatch):
    # a device without numbers, which refuses what lies elsewhere; how a loss can be applied is found out with numbers
    found_out = losses.over_runs
    monkeypatch.setattr(losses, "over_runs", lambda loss, runs, device: found_out(loss, runs, torch.device("cpu")))
    learner = learner_of(*overrides, device="meta")
    found = dict(tensors(learner.state_dict()))
    assert {"/alive", "/diverged_step"} <= found.keys()
    assert {name for name, tensor in found.items() if tensor.device.type != "meta"} == set()
    assert learner.alive.device.type == learner.diverged_step.device.type == "meta"
    assert learner.seed_index.device.type == "meta"
    if "model=real" not in overrides:  # which draw comes next is read on the host
        latents = torch.zeros(len(learner.runs), 4, 3 + getattr(learner, "noise", 0), device="meta")
        assert learner.generate(latents).device.type == "meta"
    for stream in learner.streams.values():
        assert stream.at(0).device.type == "meta"
    for player in players_of(learner):
        assert {own.device.type for own in player.hypers.values() if isinstance(own, torch.Tensor)} <= {"meta"}
        # the optimizer's numbers are made on the host
        assert {own.device.type for own in player._hypers_on_host.values() if isinstance(own, torch.Tensor)} <= {"cpu"}


@pytest.mark.parametrize("name", registry.names("model"))
def test_it_begins_alive_at_step_0(name):
    learner = learner_of(f"model={name}")
    assert learner.step == 0
    assert learner.alive.dtype == torch.bool
    assert learner.alive.tolist() == [True, True]
    assert learner.diverged_step.dtype == torch.int64
    assert learner.diverged_step.tolist() == [-1, -1]
    learner.advance()
    assert (learner.step, learner.alive.tolist(), learner.diverged_step.tolist()) == (1, [True, True], [-1, -1])


@pytest.mark.parametrize("name", PLAYS)
def test_a_run_that_leaves_the_finite_numbers_is_frozen_at_its_step(name):
    rates = ["optimizer=sgd", "optimizer.sgd.g_lr=1e-3", "optimizer.sgd.d_lr=1e-3"]
    learner, twin = (learner_of(f"model={name}", *rates) for _ in range(2))
    for own in (learner, twin):
        own.advance()
    player = learner.players["g"] if isinstance(learner, Population) else learner.player
    other = twin.players["g"] if isinstance(twin, Population) else twin.player
    player.flat[0, 0] = math.nan
    frozen = player.flat[0].clone()
    for own in (learner, twin):
        own.advance()
        own.advance()
    assert learner.alive.tolist() == [False, True]
    assert learner.diverged_step.tolist() == [1, -1]
    torch.testing.assert_close(player.flat[0], frozen, equal_nan=True, rtol=0, atol=0)
    assert torch.equal(player.flat[1], other.flat[1])


@pytest.mark.parametrize("name", [name for name in registry.names("model") if name not in (*PLAYS, "real")])
def test_a_run_in_closed_form_that_leaves_the_finite_numbers_is_frozen_at_its_step(name):
    learner, twin = (learner_of(f"model={name}") for _ in range(2))
    for own in (learner, twin):
        own.advance()
    state = next(iter(learner.state.values()))
    state[0].view(-1)[0] = math.nan
    frozen = state[0].clone()
    for own in (learner, twin):
        own.advance()
        own.advance()
    assert learner.alive.tolist() == [False, True]
    assert learner.diverged_step.tolist() == [1, -1]
    torch.testing.assert_close(state[0], frozen, equal_nan=True, rtol=0, atol=0)
    assert all(torch.equal(learner.state[part][1], twin.state[part][1]) for part in learner.state)


def test_passes_are_differentiable_where_it_is_asked_for():
    own = learner_of()
    latents, samples = torch.zeros(2, 4, 3), torch.zeros(2, 4, 2)
    passes = {
        "generate": lambda **how: own.generate(latents, **how),
        "criticise": lambda **how: own.criticise(samples, **how),
        "features": lambda **how: own.features(samples, **how),
    }
    for name, go in passes.items():
        assert not go().requires_grad, name
        assert not go(trained=False).requires_grad, name
        trained = go(trained=True)
        assert trained.requires_grad, name
        assert torch.equal(trained, go()), name
        player = own.generator if name == "generate" else own.discriminator
        gradients = torch.autograd.grad(trained.sum(), list(player.trained.values()), allow_unused=True)
        assert any(one is not None and one.abs().sum() > 0 for one in gradients), name


@pytest.mark.parametrize("update", registry.names("update"))
def test_a_step_leaves_no_graph_behind(update):
    own = learner_of(f"update={update}")
    assert isinstance(own, Population)
    last = train_step(own)
    assert [loss.requires_grad for loss in last] == [False, False]
    assert all(loss.shape == (2,) and loss.isfinite().all() for loss in last)
    held = dict(tensors(own.state_dict()))
    assert {name for name, tensor in held.items() if tensor.requires_grad or tensor.grad_fn is not None} == set()
    assert not any(leaf.grad is not None for player in own.players.values() for leaf in player.trained.values())


def test_losses_of_a_round_are_numbers_from_the_moment_they_are_known():
    own = learner_of()
    played = PlayedRound(own, own.inputs(own.step), own.clock)
    assert all(loss.isnan().all() for loss in played.losses.values())
    for player in "dg":
        gradient = played.gradient(player)
        assert gradient.shape == own.players[player].flat.shape
        assert not played.losses[player].requires_grad
        assert not gradient.requires_grad
