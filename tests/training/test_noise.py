"""Random numbers: a function of (seed, purpose, index) alone, whatever else trains beside."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from overriding import over

from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training import noise
from ganbench.training.building import make_problem
from ganbench.training.population import Population

CPU = torch.device("cpu")
SEEDS = st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True)
INDICES = st.lists(st.integers(0, 4 * noise.BLOCK), min_size=1, max_size=6)


def numbers(purpose, seeds, draw=None, batch=3):
    return noise.Stream(purpose, seeds, batch, draw or noise.latents("normal", 2), CPU, torch.float32)


def population(*overrides):
    runs = resolve(None, over(["batch_size=8", "network.mlp.width=8", *overrides])).runs
    return Population(runs, make_problem(runs[0].variant), CPU)


IMAGES = ("problem=digits", "trick=augmentation")
PURPOSES = [(purpose, own) for own in ((), IMAGES) for purpose in population("seeds=1", *own).streams]


@settings(max_examples=30, deadline=None)
@given(SEEDS, SEEDS, INDICES)
def test_a_seeds_numbers_are_the_same_in_any_company_and_any_order(seeds, others, indices):
    company = list(dict.fromkeys([*others, *seeds]))
    alone, together = {seed: numbers("data", [seed]) for seed in seeds}, numbers("data", company)
    first = {index: together.at(index).clone() for index in indices}
    for index in reversed(indices):
        assert torch.equal(together.at(index), first[index])
        for seed in seeds:
            assert torch.equal(alone[seed].at(index)[0], first[index][company.index(seed)])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 200), st.integers(0, 200))
def test_seeds_purposes_and_indices_never_share_numbers(seed, index, other):
    batch = numbers("data", [seed, seed + 1]).at(index)
    assert not torch.equal(batch[0], batch[1])
    assert not torch.equal(batch[0], numbers("g data", [seed]).at(index)[0])
    if other != index:
        assert not torch.equal(batch[0], numbers("data", [seed]).at(other)[0])


def test_numbers_do_not_depend_on_the_global_generator():
    torch.manual_seed(1)
    first = numbers("data", [0]).at(5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(numbers("data", [0]).at(5), first)
    assert torch.equal(torch.get_rng_state(), state), "and leave it alone"


def test_known_numbers():
    # a change of these is a change of every published result: raise the version if it is meant
    batch = numbers("d latent", [0], batch=1)
    assert batch.at(0).flatten().tolist() == torch.randn(32, 2, generator=stream("d latent:0", 0))[0].tolist()
    assert batch.at(33).flatten().tolist() == torch.randn(32, 2, generator=stream("d latent:1", 0))[1].tolist()
    assert stream("d latent:0", 0).initial_seed() == 0x700A761635FBBA  # sha256sum of "d latent:0:0"


def test_latents_have_their_distribution():
    uniform = noise.latents("uniform", 4)(20_000, stream("test", 0))
    normal = noise.latents("normal", 4)(20_000, stream("test", 0))
    assert uniform.shape == normal.shape == (20_000, 4)
    assert uniform.min() >= -1
    assert uniform.max() <= 1
    # standard errors: 0.0020 and 0.0011 for mean and variance of U(-1, 1), 0.0035 and 0.005 for N(0, 1)
    assert uniform.mean().item() == pytest.approx(0, abs=0.01)
    assert uniform.var().item() == pytest.approx(1 / 3, abs=0.006)
    assert normal.mean().item() == pytest.approx(0, abs=0.018)
    assert normal.var().item() == pytest.approx(1, abs=0.025)


@pytest.mark.parametrize(("purpose", "own"), PURPOSES)
def test_more_runs_and_seeds_change_nobodys_noise(purpose, own):
    small, large = population("seeds=3,1", *own), population("seeds=7,1,0,3,9", "loss=hinge,wasserstein", *own)
    for index in (0, 1, 40):
        few, many = small.draw(purpose, index), large.draw(purpose, index)
        for row, run in enumerate(small.runs):
            for place, other in enumerate(large.runs):
                assert torch.equal(few[row], many[place]) == (run.seed == other.seed)


def test_runs_with_a_seed_share_latents_data_and_initial_weights():
    shared = population("seeds=2", "loss=hinge,wasserstein,relativistic_pairing", "normalization=spectral")
    rows = {}
    for row, run in enumerate(shared.runs):
        rows.setdefault(run.seed, []).append(row)
    assert [len(members) for members in rows.values()] == [3, 3]
    for player in (shared.generator, shared.discriminator):
        for members in rows.values():
            assert all(torch.equal(player.flat[members[0]], player.flat[row]) for row in members)
            for buffer in player.buffers.values():
                assert all(torch.equal(buffer[members[0]], buffer[row]) for row in members)
        assert not torch.equal(player.flat[rows[0][0]], player.flat[rows[1][0]])


def test_loss_and_regularizer_do_not_move_the_initial_weights():
    plain, other = population("seeds=[4]"), population("seeds=[4]", "loss=hinge", "regularizer=r1", "steps=7")
    for player in ("generator", "discriminator"):
        assert torch.equal(getattr(plain, player).flat, getattr(other, player).flat)


def test_building_networks_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    population("seeds=2")
    assert torch.equal(torch.get_rng_state(), state)
