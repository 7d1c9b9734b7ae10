"""Checkpoints: training goes on from one as if nothing had happened, bit for bit."""

import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.suite import resolve
from ganbench.training import checkpoint
from ganbench.training.population import Population, make_problem
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
