"""Checkpoints: training goes on from one as if nothing had happened, bit for bit."""

import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.executors.blame import LANES
from ganbench.suite import resolve
from ganbench.training import checkpoint
from ganbench.training.building import make_problem
from ganbench.training.grouping import group
from ganbench.training.loop import steady_numerics
from ganbench.training.population import Population
from ganbench.training.step import train_step

CPU = torch.device("cpu")


def build(overrides):
    runs = resolve(None, over(["batch_size=8", "steps=100", "seeds=2", *overrides])).runs
    return Population(runs, make_problem(runs[0].variant), CPU)


def advance(population, steps):
    for _ in range(steps):
        train_step(population)


def everything(population):
    tensors = {"alive": population.alive, "diverged_step": population.diverged_step}
    for name in ("generator", "discriminator"):
        player = getattr(population, name)
        tensors[f"{name} weights"] = player.flat
        tensors |= {f"{name} optimizer {key}": value for key, value in player.state.items()}
        tensors |= {f"{name} buffer {key}": value for key, value in player.buffers.items()}
    return tensors


def grids():
    mlp, pixels = ["network.mlp.width=8"], ["problem=digits", "network=dcgan", "network.dcgan.width=4", "seeds=1"]
    for name in registry.names("normalization"):
        yield pytest.param([*pixels, f"normalization={name}", f"g_normalization={name}"], id=f"images-{name}")
        if name != "instance":
            yield pytest.param([*mlp, "loss=hinge,relativistic_pairing", f"normalization={name}"], id=f"mixture-{name}")
    yield pytest.param([*mlp, "regularizer=weight_clipping", "critic_steps=3"], id="clipping")
    yield pytest.param([*mlp, "optimizer.adam.d_lr=1e30,2e-3"], id="diverged")


@pytest.mark.parametrize("overrides", list(grids()))
def test_training_goes_on_bit_for_bit(overrides, tmp_path):
    straight, first, second = (build(overrides) for _ in range(3))
    advance(straight, 9)
    advance(first, 5)
    clock = {"train": 1.5, "probe": 0.25}
    checkpoint.save(first, clock, tmp_path / "checkpoint.pt")
    advance(first, 2)  # what was done after the checkpoint is lost
    read = {"train": 0.0, "probe": 0.0}
    assert checkpoint.restore(second, read, tmp_path / "checkpoint.pt")
    assert read == clock
    assert second.step == 5
    advance(second, 4)
    want, got = everything(straight), everything(second)
    assert want.keys() == got.keys()
    for name, tensor in want.items():
        assert torch.equal(tensor, got[name]), name


def parts():
    mlp = ["network.mlp.width=8", "loss=hinge,wasserstein,relativistic_pairing"]
    keeping = [p for p in registry.plugins("regularizer") if p.declared("remembers")]
    of_g = [plugin.name for plugin in keeping if plugin.declared("acts_on") == "latents"]
    of_d = [plugin.name for plugin in keeping if plugin.name not in of_g]
    names = {axis: registry.names(axis) for axis in ("optimizer", "trick", "update")}
    names["trick"] = [name for name in names["trick"] if name not in ("augmentation", "weighted_sampling")]
    for axis, those in {
        **names,
        "regularizer": of_d,
        "g_regularizer": of_g,
        "normalization": ["batch", "spectral"],
    }.items():
        for name in those:
            yield pytest.param([*mlp, f"{axis}={name}"], id=f"{axis}-{name}")
    yield pytest.param([*mlp[:1], "loss=hinge,relativistic_pairing", "optimizer.adam.d_lr=1e30,2e-3"], id="diverged")


@pytest.mark.parametrize("overrides", list(parts()))
def test_a_part_goes_on_as_if_it_had_always_been_alone(overrides, tmp_path):
    # as many seeds as a vector register has numbers: without a loss, the others' places move by whole registers
    (runs,) = group(resolve(None, [*overrides, "batch_size=8", "steps=100", f"seeds={LANES}"]).runs, "cpu")
    whole = Population(runs, make_problem(runs[0].variant), CPU)
    # the loss in the middle goes
    kept = [row for row, run in enumerate(runs) if run.variant.loss != "relativistic_pairing"]
    assert 0 < len(kept) < len(runs)
    alone = Population([whole.runs[row] for row in kept], make_problem(runs[0].variant), CPU)
    with steady_numerics():
        advance(whole, 5)
        advance(alone, 9)
    checkpoint.save(whole, {"train": 1.5, "probe": 0.25}, tmp_path / "whole.pt")
    checkpoint.part(tmp_path / "whole.pt", tmp_path / "part.pt", kept)
    parted = Population(alone.runs, make_problem(runs[0].variant), CPU)
    assert checkpoint.restore(parted, {"train": 0.0, "probe": 0.0}, tmp_path / "part.pt")
    assert parted.step == 5
    with steady_numerics():
        advance(parted, 4)
    want, got = everything(alone), everything(parted)
    assert want.keys() == got.keys()
    for name, tensor in want.items():
        assert torch.equal(tensor, got[name]), name
    for owner, memory in alone.memory.items():
        for name, tensor in memory.items():
            assert torch.equal(tensor, parted.memory[owner][name]), (owner, name)


def test_nothing_to_restore(tmp_path):
    population, clock = build([]), {"train": 0.0}
    assert not checkpoint.restore(population, clock, tmp_path / "checkpoint.pt")
    assert population.step == 0


def test_measuring_moves_nothing(tmp_path):
    overrides = ["normalization=spectral", "loss=hinge,wasserstein", "regularizer=r1"]
    probed, plain = build(overrides), build(overrides)
    from ganbench.measure.evaluate import Evaluator
    from ganbench.training.loop import Prober

    prober = Prober(probed, Evaluator(probed.problem, 64, 32))
    for _ in range(5):
        prober.probe()
        train_step(probed)
        train_step(plain)
    want, got = everything(plain), everything(probed)
    for name, tensor in want.items():
        assert torch.equal(tensor, got[name]), name
