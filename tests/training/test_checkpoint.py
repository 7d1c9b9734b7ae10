"""Checkpoints: training goes on from one as if nothing had happened, bit for bit."""

import os

import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.executors.blame import LANES
from ganbench.suite import resolve
from ganbench.training import checkpoint, grouping
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
    names["trick"] = [
        name for name in names["trick"] if name not in ("augmentation", "diffaugment", "weighted_sampling")
    ]
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
def test_a_part_goes_on_as_if_it_had_always_been_alone(overrides, tmp_path, monkeypatch):
    monkeypatch.setitem(grouping.FEWEST, "cpu", 1)  # as one population
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


CLOCK = {"train": 1.5, "probe": 0.25}


@pytest.fixture
def saved(tmp_path):
    """A learner at step 5 of 100, and the file of its checkpoint."""
    own = build(["network.mlp.width=4", "regularizer=lecam"])
    advance(own, 5)
    checkpoint.save(own, dict(CLOCK), tmp_path / "checkpoint.pt")
    return own, tmp_path / "checkpoint.pt"


def fresh(*overrides):
    return build(["network.mlp.width=4", "regularizer=lecam", *overrides])


def other(file, **changes):
    """Write a checkpoint with other values."""
    state = torch.load(file, weights_only=True)
    for path, value in changes.items():
        own = state
        *parents, last = path.split("__")
        for name in parents:
            own = own[name]
        if value is None:
            del own[last]
        else:
            own[last] = value
    torch.save(state, file)


def refused(file, learner, recorded=None, clock=CLOCK):
    """What is told of a checkpoint that is not used; nothing of the learner has moved."""
    told, before = [], {name: tensor.clone() for name, tensor in everything(learner).items()}
    read = dict.fromkeys(clock, 0.0)
    assert checkpoint.restore(learner, read, file, recorded, told.append) is False
    assert read == dict.fromkeys(clock, 0.0)
    assert learner.step == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in everything(learner).items())
    return [text.removeprefix(f"The checkpoint '{file}' cannot be used: ").removesuffix(".") for text in told]


ELSE = "it holds something else than these networks"


@pytest.mark.parametrize("changes", [
    {"step": 5.0}, {"step": -1}, {"step": 101}, {"step": None}, {"alive": None}, {"alive": torch.ones(3).bool()},
    {"alive": torch.ones(2)}, {"clock": None}, {"clock": {"train": 1.0}}, {"clock": [1.0, 2.0]}, {"players": {}},
    {"clock": {"train": 1.0, "probe": 1.0, "more": 1.0}}, {"players__g__flat": torch.zeros(2, 3)},
    {"players__g__flat": torch.zeros(2)}, {"players__d__batches": "5"}, {"players__d__batches": None},
    {"players__d__state": torch.zeros(2)}, {"memory": 3}, {"surplus": 1}, {"players__d__state": {3: torch.zeros(2)}},
    {"players__d__state": {"a": 3}}, {"memory__update": [torch.zeros(2)]},
])  # fmt: skip
def test_what_has_another_form_is_not_used(saved, changes):
    _, file = saved
    other(file, **changes)
    assert refused(file, fresh()) == [ELSE]


@pytest.mark.parametrize("step", [0, 1, 99, 100])
def test_every_step_of_the_training_can_be_gone_on_from(saved, step):
    _, file = saved
    other(file, step=step)
    learner, read = fresh(), dict.fromkeys(CLOCK, 0.0)
    assert checkpoint.restore(learner, read, file, {step})
    assert (learner.step, read) == (step, CLOCK)


@pytest.mark.parametrize("recorded", [set(), {4, 6}, {0}])
def test_a_checkpoint_whose_probe_is_lost_is_not_used(saved, recorded):
    _, file = saved
    assert refused(file, fresh(), recorded) == ["the probe of its step, 5, is lost"]
    assert checkpoint.restore(fresh(), dict(CLOCK), file, {5})


@pytest.mark.parametrize("overrides", [["seeds=3"], ["seeds=1"], ["seeds=5,6"], ["loss=hinge"], ["steps=99"]])
def test_a_checkpoint_of_other_runs_is_not_used(saved, overrides):
    _, file = saved
    assert refused(file, fresh(*overrides)) == ["it belongs to other runs"]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "list", "text"])
def test_a_damaged_checkpoint_is_told(saved, damage):
    _, file = saved
    raw = bytearray(file.read_bytes())
    if damage == "list":
        torch.save([1, 2], file)
    else:
        middle = len(raw) // 2
        raw[middle] ^= 0xFF
        content = {"empty": b"", "cut": raw[:middle], "flipped": raw, "text": b"no checkpoint"}[damage]
        file.write_bytes(content)
    assert refused(file, fresh()) == ["it is damaged"]


class Code:
    """What runs code where a file that holds it is read without care."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_no_code_of_a_checkpoint_is_run(saved, tmp_path, monkeypatch):
    _, file = saved
    monkeypatch.chdir(tmp_path)
    torch.save({**torch.load(file, weights_only=True), "alive": Code()}, file)
    assert refused(file, fresh()) == ["it is damaged"]
    assert not (tmp_path / "ran").exists()


def test_the_one_before_the_last_is_kept_and_used_where_the_last_cannot_be(saved):
    own, file = saved
    advance(own, 2)
    checkpoint.save(own, {"train": 2.0, "probe": 3.0}, file)
    learner, read, told = fresh(), dict.fromkeys(CLOCK, 0.0), []
    assert checkpoint.restore(learner, read, file, None, told.append)
    assert (learner.step, read, told) == (7, {"train": 2.0, "probe": 3.0}, [])
    file.write_bytes(b"")
    learner, read = fresh(), dict.fromkeys(CLOCK, 0.0)
    assert checkpoint.restore(learner, read, file, None, told.append)
    assert (learner.step, read) == (5, CLOCK)
    assert told == [f"The checkpoint '{file}' cannot be used: it is damaged."]
    # a third one pushes the oldest out
    checkpoint.save(own, dict(CLOCK), file)
    assert len(list(file.parent.iterdir())) == 2


def test_of_two_checkpoints_that_cannot_be_read_there_is_no_part(saved, tmp_path):
    own, file = saved
    checkpoint.part(tmp_path / "nowhere.pt", tmp_path / "part.pt", [0])
    assert not (tmp_path / "part.pt").exists()
    advance(own, 1)
    checkpoint.save(own, dict(CLOCK), file)
    file.write_bytes(b"")
    checkpoint.part(file, tmp_path / "part.pt", [1])
    alone = Population(own.runs[1:], own.problem, CPU)
    assert checkpoint.restore(alone, dict(CLOCK), tmp_path / "part.pt")
    assert alone.step == 5
