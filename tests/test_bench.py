"""What `ganbench bench` times: two sides that train the same GANs, and figures that follow from the seconds."""

import pytest
import torch
from typer.testing import CliRunner

from ganbench import bench, cli, registry
from ganbench.binding import bind

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch):
    work = bench.Work(4, 1, 16, seeds=2)
    monkeypatch.setattr(bench, "WORKS", {"cpu": (work,)})
    monkeypatch.setattr(bench, "ceilings", lambda device: {"product": 12.3, "copy": 4.0})
    return work


def test_both_sides_have_the_same_networks_losses_and_rates(small):
    members = bench.population(small, CPU)
    loops = {name: bench.OrdinaryLoop(name, small, CPU) for name in bench.LOSSES}
    assert len(members.runs) == small.runs == 12
    assert {run.variant.loss for run in members.runs} == set(loops)
    for loop in loops.values():
        assert sum(p.numel() for p in loop.g.parameters()) == members.generator.flat.shape[1]
        assert sum(p.numel() for p in loop.d.parameters()) == members.discriminator.flat.shape[1]
    numbers = bind(members.runs[0].variant, "optimizer").hypers
    assert (numbers["g_lr"], numbers["d_lr"]) == (bench.RATE, bench.RATE)
    assert (numbers["beta1"], numbers["beta2"]) == bench.BETAS
    assert numbers["decay"] == "none"
    assert members.variant.batch_size == small.batch


@pytest.mark.parametrize("name", bench.LOSSES)
def test_the_loops_losses_are_the_plugins_losses(name):
    real, fake = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    ours = registry.get("loss", name)(real, fake)
    theirs = bench.LOSSES[name](real, fake)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize("name", bench.LOSSES)
def test_the_loop_trains_both_players(name, small):
    loop = bench.OrdinaryLoop(name, small, CPU)
    before = [p.detach().clone() for p in (*loop.g.parameters(), *loop.d.parameters())]
    loop.step()
    after = [*loop.g.parameters(), *loop.d.parameters()]
    moved = [not torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    # a critic's last bias has no slope where a loss takes differences
    assert sum(moved) >= len(moved) - 1


def test_ratios_are_of_each_round():
    ratio = bench.Ratio(bench.Work(64, 2, 128, 5), (1e-3, 2e-3, 4e-3), (8e-3, 8e-3, 8e-3))
    assert ratio.ratios == (8, 4, 2)
    assert ratio.sentence() == (
        "30 runs of 2 x 64, batch 128: population 500 run-steps/s, ordinary loop 125, "
        "ratio 4.0 (2.0 to 8.0 in 3 rounds)"
    )


def test_seconds_are_of_one_runs_step(small, monkeypatch):
    """On a clock that counts steps: 12 runs share a step's second, six loops take a second each."""
    now = [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])

    class Ticking:
        def advance(self):
            now[0] += 1.0

    class Loop:
        def __init__(self, *_):
            pass

        def step(self):
            now[0] += 1.0

    monkeypatch.setattr(bench, "population", lambda *_: Ticking())
    monkeypatch.setattr(bench, "OrdinaryLoop", Loop)
    found = bench.compare(small, CPU, rounds=2, seconds=30.0)
    assert found.ours == pytest.approx([1 / 12] * 2)
    assert found.loop == pytest.approx([1.0] * 2)
    assert found.ratios == pytest.approx([12.0] * 2)


def test_the_command_prints_machine_ceilings_and_each_work(small):
    done = CliRunner().invoke(cli.app, ["bench", "--device", "cpu", "--rounds", "1"])
    first, rates, *works = done.output.splitlines()
    assert done.exit_code == 0
    assert f"torch {torch.__version__}" in first
    assert rates == "float32 products 12 GFLOP/s, copies 4 GB/s"
    assert [line.split(":")[0] for line in works] == ["12 runs of 1 x 4, batch 16"]


def test_ceilings_are_rates(monkeypatch):
    monkeypatch.setattr(bench, "_fastest", lambda work, device: 0.5)
    assert bench.ceilings(CPU) == {"product": 2 * 1024**3 / 0.5 / 1e9, "copy": 2 * 4 * 2**22 / 0.5 / 1e9}
