"""What every diagnostic promises: nothing moves, every column is declared, and a diverged run is alone in it."""

import random

import numpy as np
import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.errors import UserError
from ganbench.measure.diagnostics import COSTS, Game, affordable
from ganbench.measure.evaluate import Evaluator
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.loop import Prober
from ganbench.training.population import Population
from ganbench.training.snapshot import Snapshot
from ganbench.training.step import train_step

CPU = torch.device("cpu")
SMALL = ("batch_size=16", "steps=100", "latent_dim=4", "network.mlp.width=8", "network.dcgan.width=4")
IMAGES = ("problem=digits", "network=dcgan")


def population(*overrides):
    keys = {setting.partition("=")[0] for setting in overrides}
    network = next((setting.partition("=")[2] for setting in overrides if setting.startswith("network=")), "mlp")
    shared = [s for s in SMALL if s.partition("=")[0] not in keys]
    shared = [s for s in shared if not s.startswith("network.") or s.startswith(f"network.{network}.")]
    runs = resolve(None, over(["seeds=2", *shared, *overrides])).runs
    return Population(runs, make_problem(runs[0].variant), CPU)


def measure(own, cost):
    """Return every column of the diagnostics up to a cost class, as a probe asks for them."""
    variant, runs = own.variant, len(own.runs)
    latents = torch.randn(24, variant.latent_dim + own.noise, generator=stream("test", 0))
    sides = (own.problem.sample(16, stream("test", 1)), latents[:16], own.problem.oracle_samples(16))
    with own.measuring():
        game = Game(Snapshot(own), *[side.expand(runs, *side.shape) for side in sides])
        return {k: v for plugin in affordable(cost) for k, v in plugin(game, **plugin.hypers).items()}


def state(own):
    players = {"g": own.generator, "d": own.discriminator}
    return {
        f"{side}.{name}": tensor.clone()
        for side, player in players.items()
        for name, tensor in {"flat": player.flat, **player.buffers, **player.state}.items()
    }


def randomness():
    return torch.random.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002


VARIANTS = {
    "spectral": ["normalization=spectral", "g_normalization=spectral"],
    "batch": ["normalization=batch", "g_normalization=batch", "loss=hinge,wasserstein", "seeds=1"],
    "r1": ["regularizer=r1", "normalization=weight", "g_normalization=layer", "loss=relativistic_pairing", "seeds=1"],
    "images": [*IMAGES, "normalization=spectral", "g_normalization=batch", "seeds=1"],
}


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_measuring_changes_no_training_bit(settings, cost):
    trained = []
    for probing in (False, True):
        own = population(*settings)
        before, untrained = randomness(), state(own)
        for step in range(7):
            if probing and step % 5 == 0:
                measure(own, cost)
                assert own.generator.module.training
                assert own.discriminator.module.training
            train_step(own)
        assert randomness() == before
        trained.append(state(own))
    plain, probed = trained
    assert plain.keys() == probed.keys()
    for name, tensor in plain.items():
        assert torch.equal(tensor, probed[name]), name
    assert not torch.equal(plain["g.flat"], untrained["g.flat"])
    # power iterations went on; the vector of an only output has nowhere to go
    iterated = [name for name, before in untrained.items() if name.endswith(".u") and before.shape[1] > 1]
    assert all(not torch.equal(plain[name], untrained[name]) for name in iterated)


def test_a_measurement_is_a_function_of_the_state_alone():
    own = population(*VARIANTS["spectral"], "seeds=1")
    for _ in range(3):
        train_step(own)
    first, torch_state = measure(own, "expensive"), torch.random.get_rng_state()
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    again = measure(own, "expensive")
    torch.random.set_rng_state(torch_state)
    assert first.keys() == again.keys()
    for name, column in first.items():
        torch.testing.assert_close(column, again[name], rtol=0, atol=0, equal_nan=True, msg=name)


def combinations():
    """Every network with every normalization on both sides that can be trained."""
    for network in registry.names("network"):
        problem = "problem=digits" if "image" in registry.get("network", network).needs else "problem=ring8"
        for normalization in registry.names("normalization"):
            settings = [problem, f"network={network}", f"normalization={normalization}"]
            settings += [f"g_normalization={normalization}", "loss=nonsaturating,wasserstein", "seeds=1"]
            try:
                resolve(None, settings)
            except UserError:
                continue
            # networks of megabytes take seconds
            large = problem == "problem=digits" and network != "dcgan"
            yield pytest.param(settings, marks=[pytest.mark.slow] * large, id=f"{network}-{normalization}")


@pytest.mark.parametrize("settings", list(combinations()))
def test_every_column_is_declared_and_within_its_bounds(settings):
    own = population(*settings)
    for _ in range(5):
        train_step(own)
    columns, bounds = measure(own, "expensive"), registry.measures()
    for name, column in columns.items():
        low, high = bounds[name.partition(".")[0]].bounds
        assert column.shape == (2,), name
        # without a boundary a critic has no accuracy, without a tanh no output saturates
        defined = column[:1] if name in BOUNDED else column
        if name != "output_saturation" or "problem=digits" in settings:
            assert defined.isfinite().all(), name
        finite = column[column.isfinite()]
        assert ((finite >= low) & (finite <= high)).all(), name
    seen = {name.partition(".")[0] for name in columns}
    early = [plugin for plugin in registry.plugins("diagnostic") if not plugin.declared("late")]
    declared = {m for plugin in early for m in plugin.meta["measures"]}
    assert seen == declared - set(registry.get("diagnostic", "equilibrium").meta["measures"])


BOUNDED = {"d_real_accuracy", "d_fake_accuracy", "d_train_sign"}


@pytest.mark.parametrize(("wrong", "variant"), [(float("nan"), "batch"), (float("inf"), "spectral"), (1e30, "batch")])
def test_a_broken_run_is_alone_in_it(wrong, variant):
    clean, broken = population(*VARIANTS[variant]), population(*VARIANTS[variant])
    for player in (broken.generator, broken.discriminator):
        player.flat[0] = wrong
    expected, got = measure(clean, "expensive"), measure(broken, "expensive")
    assert expected.keys() == got.keys()
    for name, column in got.items():
        torch.testing.assert_close(column[1:], expected[name][1:], rtol=0, atol=0, equal_nan=True, msg=name)
    if wrong != wrong:
        # NaN passes no comparison: what counts them is left to the probe, which knows the runs that diverged
        counts = {"saturation", "d_real_accuracy", "d_fake_accuracy", "d_ranking", "g_dead_units", "d_dead_units"}
        assert [name for name, column in got.items() if not column[0].isnan() and name not in counts] == []


def test_a_probe_is_nan_where_a_run_has_diverged():
    own = population("loss=wasserstein")
    own.generator.flat[0, 3] = float("nan")
    train_step(own)
    assert own.alive.tolist() == [False, True]
    columns = Prober(own, Evaluator(own.problem, 40, 32)).probe()[0]
    assert [name for name, column in columns.items() if not column[0].isnan()] == []
    undefined = {*BOUNDED, "output_saturation"}
    assert [name for name, column in columns.items() if column[1].isnan() and name not in undefined] == []
