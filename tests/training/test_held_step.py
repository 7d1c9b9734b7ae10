"""The device part of a step: written in place, without a number of Python that changes or a look at a tensor.

So a step could be recorded, once for each phase, and played again.
"""

import math

import pytest
import stepping
import torch
from overriding import over
from stepping import IMAGES, SMALL, plugins
from torch.utils._python_dispatch import TorchDispatchMode

from ganbench import registry
from ganbench.gan.optimizers import at_step, unbiased
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner
from ganbench.training.step import move, train_step

CPU = torch.device("cpu")
HOST = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique", "_unique2", "bincount",
        "set_", "resize_", "randn", "rand", "randint", "normal_", "uniform_", "bernoulli", "lift_fresh")  # fmt: skip
"""What reads a tensor on the host, gives shapes that depend on data, draws, or brings numbers of Python to a device."""


class OnDevice(TorchDispatchMode):
    """Refuses whatever a recording of the step could not hold."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in HOST, f"the step asks the host: {name}"
        return func(*args, **(kwargs or {}))


def population(*overrides, base=SMALL):
    return stepping.population("cpu", *overrides, base=base)


def tensors(state, path=""):
    """Return every tensor of a state by its path."""
    if isinstance(state, torch.Tensor):
        return {path: state}
    if not isinstance(state, dict):
        return {}
    return {name: own for key, inner in state.items() for name, own in tensors(inner, f"{path}/{key}").items()}


def places(own):
    """Return where everything lies that outlasts a step."""
    kept = tensors(own.state_dict()) | {
        f"leaf {p} {n}": t for p, q in own.players.items() for n, t in q.trained.items()
    }
    return {name: (tensor.data_ptr(), tensor.shape) for name, tensor in kept.items()}


def held(own, warm=6, steps=6):
    """Take steps as a recording would: each phase once as it is, then again on the device alone."""
    for _ in range(warm):
        train_step(own)
    before = places(own)
    for _ in range(steps):
        inputs = own.inputs(own.step)
        known = inputs.phase in own.recipes
        fetched = set(inputs.held)
        if known:
            with OnDevice():
                move(own, inputs, own.clock)
            assert set(inputs.held) == fetched, "the step draws what the host had not handed to it"
            assert list(inputs.recipe.wants) == list(own.recipes[inputs.phase].wants)
        else:
            move(own, inputs, own.clock)
        own.count(inputs)
        assert places(own) == before
    assert own.alive.all()


@pytest.mark.parametrize(("axis", "plugin"), list(plugins()))
def test_a_step_can_be_held(axis, plugin):
    if plugin.name == "instance" or {"image", "unequal_groups"} & set(plugin.needs):
        held(population(f"{axis}={plugin.name}", base=IMAGES), warm=3, steps=2)
    else:
        held(population(f"{axis}={plugin.name}"))


@pytest.mark.parametrize("overrides", [
    ["critic_steps=3", "regularizer=lazy_r1", "regularizer.lazy_r1.lazy=4"],
    ["loss=hinge,relativistic_pairing,wasserstein", "optimizer.adam.beta1=0.0,0.5", "optimizer.adam.decay=cosine"],
    ["update=lookahead", "update.lookahead.every=3", "trick=ema+top_k+historical_averaging", "regularizer=lecam"],
    ["problem=ring8_labelled", "network=conditional_mlp"],
    ["problem=ring8_labelled", "network=conditional_mlp", "term=auxiliary_class"],
    ["problem=outlines", "network=pictured_mlp", "network.pictured_mlp.width=4", "term=l1"],
    ["problem=dirac", "network=point", "update=symplectic"],
])  # fmt: skip
def test_steps_that_combine_can_be_held(overrides):
    plain = [own for own in SMALL if "mlp" not in own or not any("network=" in each for each in overrides)]
    held(population(*overrides, base=plain))


def test_the_mode_sees_what_it_is_for():
    """A rule that looks at a tensor, or binds what it remembers anew at other places, would be found."""
    own, rule = population(), registry.get("update", "alternating")

    def looks(round):
        if round.gradient("d").sum() > 0:
            round.descend("g", round.gradient("g"))

    own.update = looks
    with pytest.raises(AssertionError, match="the step asks the host"):
        held(own)

    def branches(round):
        if round.step % 2 == 0:
            rule(round)

    own = population()
    own.update = branches
    with pytest.raises(AssertionError, match="the step asks the host"):
        held(own)


def phases(own, warm, steps):
    """Return the phase of each step after some that warm up."""
    seen = []
    for step in range(warm + steps):
        inputs = own.inputs(own.step)
        if step >= warm:
            seen.append(inputs.phase)
        move(own, inputs, own.clock)
        own.count(inputs)
    return seen


@pytest.mark.parametrize("critics", [1, 2, 3])
@pytest.mark.parametrize("lazy", [1, 2, 3, 4, 6])
def test_phases_are_what_lazy_intervals_say(lazy, critics):
    own = population("regularizer=lazy_r1", f"regularizer.lazy_r1.lazy={lazy}", f"critic_steps={critics}")
    seen = phases(own, lazy, 3 * lazy)
    patterns = [tuple(index % lazy == 0 for index in range(step * critics, step * critics + critics))
                for step in range(lazy, 4 * lazy)]  # fmt: skip
    assert len(set(seen)) == len(set(patterns))
    # steps of one phase are those with the same penalties
    assert len(set(zip(seen, patterns, strict=True))) == len(set(seen))


def test_lazy_intervals_of_both_players_are_one_key():
    own = population("regularizer=lazy_r1", "regularizer.lazy_r1.lazy=2", "g_regularizer=path_length",
                     "regularizer.path_length.lazy=3")  # fmt: skip
    assert len(set(phases(own, 6, 12))) == 4


def test_a_rules_interval_is_a_phase_and_a_plain_training_has_one():
    assert len(set(phases(population("update=lookahead", "update.lookahead.every=4"), 4, 12))) == 2
    assert len(set(phases(population(), 2, 20))) == 1


def test_a_phase_of_top_k_lasts_while_as_many_are_kept():
    own = population("trick=top_k", "steps=20", "trick.top_k.until=1.0")
    seen = phases(own, 2, 18)
    kept = [math.ceil(8 * 0.5 ** (step / 20) - 1e-9) for step in range(2, 20)]
    assert len(set(seen)) == len(set(kept)) == len(set(zip(seen, kept, strict=True)))


def test_a_step_that_draws_late_is_a_step_that_draws_before():
    """What the host fetches ahead changes no number."""
    ahead, late = (population("regularizer=lazy_r1", "regularizer.lazy_r1.lazy=3", "critic_steps=2") for _ in range(2))
    for _ in range(8):
        train_step(ahead)
        late.recipes.clear()
        train_step(late)
    for name, player in ahead.players.items():
        assert torch.equal(player.flat, late.players[name].flat)


def test_a_vae_steps_in_place():
    runs = resolve(None, over([*SMALL, "model=vae"])).runs
    own = make_learner(list(runs), make_problem(runs[0].variant), CPU)
    own.advance()
    before = {name: tensor.data_ptr() for name, tensor in tensors(own.state_dict()).items()}
    for _ in range(3):
        own.advance()
    assert {name: tensor.data_ptr() for name, tensor in tensors(own.state_dict()).items()} == before
    inputs = own._inputs(own.step)
    with OnDevice():
        own._move(inputs, own.clock)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999])
def test_numbers_of_a_step_are_as_exact_as_pythons(beta):
    """A tensor without axes moves float32 numbers by the same bits as the number of Python that it holds."""
    adam, x = registry.get("optimizer", "adam"), torch.randn(64, generator=torch.Generator().manual_seed(0))
    hypers = {"beta1": beta, "beta2": 0.999}
    for step in (1, 2, 3, 7, 100, 12345):
        for tensor, number in zip(at_step(adam, step, hypers), unbiased(step, **hypers), strict=True):
            assert tensor.item() == number
            assert torch.equal(x * tensor, x * number)
            assert torch.equal(x / tensor, x / number)
    assert unbiased(step) == (1 - 0.5**step, (1 - 0.999**step) ** -0.5), "by default as Adam's own"
    column = torch.tensor([[beta], [0.3]])
    divisor, _ = at_step(adam, 3, {"beta1": column, "beta2": 0.999})
    assert torch.equal(divisor, 1 - column**3)
