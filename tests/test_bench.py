"""What `ganbench bench` times: two sides that train the same GANs, and figures that follow from the seconds."""

import io
import itertools
import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from ganbench import bench, cli, registry, whole_job
from ganbench.binding import bind
from ganbench.suite import resolve

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


@pytest.mark.parametrize("shape", [(5, 3, 8, 1), (16, 2, 4, 1)])
def test_operations_of_a_step_are_those_that_torch_counts(shape):
    work = bench.Work(*shape)
    loop = bench.OrdinaryLoop("hinge", work, CPU)
    with FlopCounterMode(display=False) as counter:
        loop.step()
    # a loop takes gradients at D's weights in G's step, too, and throws them away
    width, depth, batch, _ = shape
    thrown_away = 2 * batch * (2 * width + (depth - 1) * width**2 + width)
    assert counter.get_total_flops() == work.flops + thrown_away


def test_ratios_are_of_each_round():
    ratio = bench.Ratio(bench.Work(64, 2, 128, 5), (1e-3, 2e-3, 4e-3), (8e-3, 8e-3, 8e-3))
    assert ratio.ratios == (8, 4, 2)
    # a step of one run: 13.6 MFLOP, as counted by hand from the twelve products of its players
    share = f"{ratio.work.flops / 2e-3 / 1e9 / 100:.2f}"
    assert ratio.row(product=100.0) == (
        "30 runs of 2 x 64, batch 128: run-steps/s", "500", "125", "4.0 (2.0 to 8.0)", share
    )  # fmt: skip


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
    assert done.exit_code == 0
    first, head, products, copies, work = done.output.splitlines()
    assert f"torch {torch.__version__}" in first
    assert "ratio (range)" in head
    assert products.split() == ["float32", "products:", "GFLOP/s", "12"]
    assert copies.split() == ["copies:", "GB/s", "4"]
    assert work.startswith("12 runs of 1 x 4, batch 16: run-steps/s ")


def test_the_command_runs_whole_jobs_where_asked(small, monkeypatch):
    monkeypatch.setattr(bench, "WORKS", {"cpu": ()})
    monkeypatch.setattr(whole_job, "JOBS", ((small, 3),))
    spent = whole_job.Spent
    monkeypatch.setattr(whole_job, "_as_study", lambda work, steps: spent(2.0, 3.0))
    monkeypatch.setattr(whole_job, "_as_loops", lambda work, steps: spent(8.0, 24.0))
    monkeypatch.setattr(whole_job, "cores", lambda: 2)
    done = CliRunner().invoke(cli.app, ["bench", "--device", "cpu", "--rounds", "2", "--jobs"])
    wall, processor = [" ".join(line.split()) for line in done.output.splitlines()[-2:]]
    assert wall.endswith("2.0 8.0 4.0 (4.0 to 4.0)")
    assert processor == "the same: processor s 3.0 24.0 8.0 (8.0 to 8.0)"


def test_a_whole_job_is_a_study_and_loops_of_the_same_gans(monkeypatch):
    """A job of 12 runs for two steps; the loops tell two cores' seconds of a run's step."""
    work, asked = bench.Work(4, 1, 16, seeds=2), {}

    def run(suite, overrides, out, device):
        asked.update(plan=resolve(suite, overrides), device=device)

    monkeypatch.setattr(whole_job.api, "run", run)
    assert whole_job._as_study(work, 2).processor >= 0
    assert (len(asked["plan"].runs), asked["plan"].variants[0].steps, asked["device"]) == (12, 2, "cpu")

    class Process:
        def __init__(self, command, **_):
            assert command[-3:] == ["4", "1", "16"]
            self.stdin, self.stdout = io.StringIO(), io.StringIO("ready\n")
            self.wall = next(walls)

        def communicate(self):
            return json.dumps({"wall": self.wall, "processor": 0.25}), None

    walls = iter((0.5, 0.25))
    monkeypatch.setattr(whole_job, "cores", lambda: 2)
    monkeypatch.setattr(whole_job.subprocess, "Popen", Process)
    # two and four run-steps a second together do 12 x 100 in 200 s
    assert whole_job._as_loops(work, 100) == whole_job.Spent(200.0, 300.0)


def test_a_loop_tells_seconds_of_a_run_step(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("go\n"))
    clock = itertools.count(0.0, 3.0)
    monkeypatch.setattr(whole_job.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(whole_job, "LOOP_SECONDS", 4.0)
    monkeypatch.setattr(whole_job.time, "process_time", lambda: 0.0)
    whole_job._loop(bench.Work(2, 1, 4, seeds=1))
    ready, told = capsys.readouterr().out.splitlines()
    # begun at 0, looked at 3 and, a step of the six losses later, at 6; told at 9
    assert (ready, json.loads(told)) == ("ready", {"wall": 9.0 / 6, "processor": 0.0})


def test_ceilings_are_rates(monkeypatch):
    monkeypatch.setattr(bench, "_fastest", lambda work, device: 0.5)
    assert bench.ceilings(CPU) == {"product": 2 * 1024**3 / 0.5 / 1e9, "copy": 2 * 4 * 2**22 / 0.5 / 1e9}
