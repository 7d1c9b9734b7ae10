"""Which runs train together: those of one static structure, within bounds of number and memory."""

import pytest
import torch
from overriding import over

from ganbench.suite import resolve
from ganbench.training import grouping
from ganbench.training.grouping import bytes_of, group

SMALL = ("batch_size=16", "latent_dim=3", "network.mlp.width=8")


def runs_of(*overrides):
    return list(resolve(None, over([*SMALL, *overrides])).runs)


@pytest.mark.parametrize(("together", "overrides"), [
    (True, ["loss=hinge,wasserstein"]), (True, ["loss=focal", "loss.focal.gamma=1.0,2.0"]),
    (True, ["optimizer.adam.d_lr=1e-3,2e-3"]), (True, ["optimizer.adam.beta1=0.0,0.5"]),
    (False, ["optimizer.adam.decay=none,sqrt"]), (False, ["optimizer=sgd,rmsprop"]), (False, ["network.mlp.width=4,8"]),
    (False, ["problem=ring8,grid25"]), (False, ["regularizer=none,r1"]), (False, ["regularizer=r1",
                                                                                  "regularizer.r1.gamma=0.1,1.0"]),
    (False, ["normalization=none,spectral"]), (False, ["update=alternating,simultaneous"]),
])  # fmt: skip
def test_runs_train_together_that_differ_in_loss_seed_and_numbers_of_the_optimizer(together, overrides):
    runs = runs_of("seeds=2", *overrides)
    groups = group(runs, "cpu")
    assert [len(members) for members in groups] == ([4] if together else [2, 2])
    assert sorted(run.id for members in groups for run in members) == sorted(run.id for run in runs)
    for members in groups:
        losses = [grouping.loss_of(run) for run in members]
        assert losses == sorted(losses)  # each loss is one slice


@pytest.mark.parametrize(("largest", "sizes"), [(64, [10]), (10, [10]), (9, [5, 5]), (4, [4, 4, 2]), (1, [1] * 10)])
def test_a_population_has_a_largest_size_and_parts_are_as_equal_as_can_be(monkeypatch, largest, sizes):
    runs = runs_of("seeds=10")
    monkeypatch.setitem(grouping.LARGEST, "cpu", largest)
    parts = group(runs, "cpu")
    assert [len(part) for part in parts] == sizes
    assert [run.id for part in parts for run in part] == [run.id for run in runs]


@pytest.mark.parametrize(("overrides", "sizes"), [
    (["seeds=19"], [19]), (["seeds=20"], [10, 10]), (["seeds=30"], [15, 15]), (["seeds=40"], [10, 10, 10, 10]),
    (["seeds=60"], [15, 15, 15, 15]), (["seeds=30", "normalization=none,layer"], [15, 15, 15, 15]),
    (["seeds=30", "normalization=none,layer,weight"], [15, 15, 30, 30]),
    (["seeds=30", "batch_size=2,3,4,5"], [30] * 4),
    (["seeds=64", "normalization=none,layer,weight,spectral"], [64] * 4),
])  # fmt: skip
def test_few_large_populations_are_halved_so_that_every_core_has_one(overrides, sizes, monkeypatch):
    monkeypatch.setattr(grouping, "check_fits", lambda *what: None)
    runs = runs_of(*overrides)
    assert sorted(map(len, group(runs, "cpu"))) == sizes
    # a GPU takes all that there are
    assert len(group(runs, "cuda")) == len({grouping.structure(run.variant) for run in runs})


def test_memory_bounds_a_population_and_one_run_is_always_tried(monkeypatch):
    runs = runs_of("seeds=10")
    each = bytes_of(runs[0].variant)
    for room, sizes in ((10 * each, [10]), (10 * each - 1, [5, 5]), (3 * each, [3, 3, 3, 1]), (0, [1] * 10)):
        monkeypatch.setitem(grouping.MEMORY, "cpu", room)
        assert [len(part) for part in group(runs, "cpu")] == sizes


@pytest.mark.parametrize(("device", "kind"), [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda")])
def test_bounds_are_those_of_the_device_and_each_run_must_fit_into_it(monkeypatch, device, kind):
    asked, (run, *others) = [], runs_of("seeds=6")
    monkeypatch.setattr(grouping, "check_fits", lambda *what: asked.append(what))
    for name, largest in (("cpu", 3), ("cuda", 2)):
        monkeypatch.setitem(grouping.LARGEST, name, largest)
    assert [len(part) for part in group([run, *others], device)] == {"cpu": [3, 3], "cuda": [2, 2, 2]}[kind]
    assert asked == [(run.variant.id, bytes_of(run.variant), kind)]


def test_a_gpu_takes_more_at_a_time():
    assert 1e4 > grouping.LARGEST["cuda"] > grouping.LARGEST["cpu"] >= 30
    assert 2**36 > grouping.MEMORY["cuda"] > grouping.MEMORY["cpu"] >= 2**30


@pytest.mark.parametrize("packed", [1, 2, 4])
def test_what_a_run_takes_is_counted_by_hand(packed):
    (run,) = runs_of("seeds=1", *(["trick=packing", f"trick.packing.m={packed}"] if packed > 1 else []))
    state = torch.random.get_rng_state()
    width, latent, data, batch = 8, 3, 2, 16
    g = (latent + 1) * width + (width + 1) * width + (width + 1) * data
    d = (packed * data + 1) * width + (width + 1) * width + (width + 1) * 1
    # two hidden layers with their activations, and the last layer; D sees packs
    outputs = batch * (4 * width + data) + batch // packed * (4 * width + 1)
    bytes_of.cache_clear()
    # 8 copies of each, of 4 bytes
    assert bytes_of(run.variant) == 4 * 8 * (g + d + outputs)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_networks_that_take_a_label_are_sized_with_one():
    labelled = ["problem=ring8_labelled", "network=conditional_mlp", "network.conditional_mlp.width=8", "seeds=1"]
    (variant,) = resolve(None, over([*labelled, "batch_size=16"])).variants
    (twice,) = resolve(None, over([*labelled, "batch_size=32"])).variants
    # activations double, parameters do not
    assert 1 < bytes_of(twice) / bytes_of(variant) < 2


def test_a_network_that_takes_noise_is_sized_with_it():
    words = ["problem=digits", "network=stylegan", "network.stylegan.width=4", "seeds=1", "batch_size=16"]
    (variant,) = resolve(None, over(words)).variants
    bytes_of.cache_clear()
    assert bytes_of(variant) > 0
