"""What `ganbench bench` times: two sides that train the same GANs, and figures that follow from the seconds."""

import itertools
import math
import platform
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from ganbench import bench, cli, registry, whole_job
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


def test_a_loop_draws_from_the_ring_that_the_population_has(monkeypatch):
    """Eight points at 2 with a spread of 0.1, as wide as a unit normal in each axis: over the root of 2.01."""
    work = bench.Work(4, 1, 4096, seeds=1)
    loop, seen = bench.OrdinaryLoop("hinge", work, CPU), []
    half = 1.41 * math.sqrt(0.5)
    points = torch.tensor([[1.41, 0], [half, half], [0, 1.41], [-half, half], [-1.41, 0], [-half, -half], [0, -1.41],
                           [half, -half]])  # fmt: skip
    torch.testing.assert_close(loop.centres, points, atol=1e-6, rtol=0)
    loop.d.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    loop.step()
    real, width = seen[0], math.sqrt(2.01)
    nearest = torch.cdist(real, points).argmin(dim=1)
    assert nearest.bincount().min() > 4096 / 8 * 0.8
    assert (points[0, 0] - 2 / width).abs() < 0.002
    assert (real - points[nearest]).std() == pytest.approx(0.1 / width, rel=0.02)


def test_a_loops_networks_are_those_of_the_population(small):
    members, loop = bench.population(small, CPU), bench.OrdinaryLoop("hinge", small, CPU)
    latents, points = torch.randn(5, 8), torch.randn(5, 2)
    for player, own, x in ((members.generator, loop.g, latents), (members.discriminator, loop.d, points)):
        for mine, theirs in zip(own.parameters(), player.module.parameters(), strict=True):
            mine.data.copy_(theirs)
        torch.testing.assert_close(own(x), player.module(x))


@pytest.mark.parametrize("name", ["hinge", "relativistic_pairing"])
def test_two_steps_of_a_loop_are_those_of_gradients_taken_by_hand(name):
    """D goes down its loss on real and fake, then G down its own on others, each by its gradient alone."""
    work, rate = bench.Work(4, 1, 16, seeds=1), 0.1
    loop = bench.OrdinaryLoop(name, work, CPU)
    assert [adam.defaults["lr"] for adam in (loop.g_adam, loop.d_adam)] == [2e-3] * 2
    assert [adam.defaults["betas"] for adam in (loop.g_adam, loop.d_adam)] == [(0.5, 0.999)] * 2
    own = {n: dict(getattr(loop, n).named_parameters()) for n in "gd"}
    by_hand = {n: {k: v.detach().clone() for k, v in own[n].items()} for n in "gd"}
    loop.g_adam, loop.d_adam = (torch.optim.SGD(own[n].values(), lr=rate) for n in "gd")

    def call(player, x):
        return torch.func.functional_call(getattr(loop, player), by_hand[player], (x,))

    def descend(player, loss):
        values = {k: v.requires_grad_() for k, v in by_hand[player].items()}
        slopes = torch.autograd.grad(loss(), list(values.values()))
        by_hand[player] = {k: (v - rate * s).detach() for (k, v), s in zip(values.items(), slopes, strict=True)}

    torch.manual_seed(0)
    for _ in range(2):
        loop.step()
    torch.manual_seed(0)
    for _ in range(2):
        real = loop.centres[torch.randint(8, (16,))] + 0.07 * torch.randn(16, 2)
        first, second = torch.randn(16, 8), torch.randn(16, 8)
        descend("d", lambda real=real, z=first: bench.LOSSES[name](call("d", real), call("d", call("g", z)))[0])
        descend("g", lambda real=real, z=second: bench.LOSSES[name](call("d", real), call("d", call("g", z)))[1])
    for player in "gd":
        for key, value in own[player].items():
            torch.testing.assert_close(value.detach(), by_hand[player][key])


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
    # a step of one run: 13.43 MFLOP, as counted by hand from the products of its players, in 2 ms
    assert ratio.row(product=10.0) == (
        "30 runs of 2 x 64, batch 128: run-steps/s", "500", "125", "4.0 (2.0 to 8.0)", "0.67"
    )  # fmt: skip


class Timed:
    """Both sides on a clock of their own: a step of the population takes 12 ms, one of an ordinary loop 20."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, []
        monkeypatch.setattr(bench.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(bench, "population", lambda *_: SimpleNamespace(advance=lambda: self.step("here", 0.012)))
        monkeypatch.setattr(bench, "OrdinaryLoop", lambda *_: SimpleNamespace(step=lambda: self.step("loop", 0.02)))

    def step(self, side, seconds):
        self.now += seconds
        self.log.append(side)


def test_rounds_alternate_and_each_side_has_half_a_second(small, monkeypatch):
    """Twelve runs share a step's 12 ms, six loops take 20 ms each: 1000 and 50 run-steps a second."""
    timed = Timed(monkeypatch)
    monkeypatch.setattr(bench, "ceilings", lambda device: {"product": 0.01, "copy": 1234.5})
    assert list(bench.rows(CPU, rounds=2)) == [
        ("float32 products: GFLOP/s", "0", "", "", ""), ("copies: GB/s", "1,234", "", "", ""),
        # 6656 operations of a run's step, by hand, in 1 ms: 0.006656 GFLOP/s of 0.01
        ("12 runs of 1 x 4, batch 16: run-steps/s", "1,000", "50", "20.0 (20.0 to 20.0)", "0.67"),
    ]  # fmt: skip
    # 32 steps warm up, 6 tell how many fill half a second: 42 of 12 ms and 4 of 120
    assert [(side, len(list(steps))) for side, steps in itertools.groupby(timed.log)] == [
        ("here", 38), ("loop", 38 * 6), ("here", 42), ("loop", 4 * 6), ("here", 42), ("loop", 4 * 6)
    ]  # fmt: skip


def test_a_round_has_a_step_at_least_and_its_seconds_are_asked_for(small, monkeypatch):
    timed = Timed(monkeypatch)
    found = bench.compare(small, CPU, 1, 0.001)
    assert timed.log[38 + 38 * 6 :] == ["here"] + ["loop"] * 6
    assert found.ours == pytest.approx([0.001])
    assert found.loop == pytest.approx([0.02])


@pytest.mark.parametrize(("device", "log"), [("cpu", ["step"] * 2), ("cuda", ["wait", "step", "step", "wait"])])
def test_a_device_is_waited_for_before_and_after(monkeypatch, device, log):
    found = []
    monkeypatch.setattr(bench.torch.cuda, "synchronize", lambda device: found.append("wait"))
    bench._seconds(lambda: found.append("step"), 2, torch.device(device))
    assert found == log


def test_the_best_of_eight_rates_counts_and_the_first_is_left_out(monkeypatch):
    """Of three times each: the least seconds of one."""
    seconds = iter([0.1, *[3.0] * 21, 1.0, 2.0, 1.5])
    now = [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])

    def work():
        now[0] += next(seconds)

    assert bench._fastest(work, CPU) == pytest.approx(1.5)
    assert next(seconds, None) is None


def test_the_machine_is_named_with_what_drives_it(monkeypatch):
    rest = f", one thread, torch {torch.__version__}, Python {platform.python_version()}"
    monkeypatch.setattr(bench.torch.cuda, "get_device_name", lambda device: f"the {device.type} one")
    assert bench.machine(torch.device("cuda")) == f"the cuda one{rest}"
    monkeypatch.setattr(bench.platform, "machine", lambda: "x86_64")
    for processor, name in (("Xeon", "Xeon"), ("", "x86_64")):
        monkeypatch.setattr(bench.platform, "processor", lambda processor=processor: processor)
        assert bench.machine(CPU) == f"{name}{rest}"


def test_what_is_measured_on_each_kind_of_device():
    """The sizes of docs/speed.md's and the README's tables, each with five seeds of six losses or forty."""
    names = {kind: [work.name for work in works] for kind, works in bench.WORKS.items()}
    assert names == {
        "cpu": ["30 runs of 2 x 64, batch 128", "30 runs of 3 x 128, batch 256"],
        "cuda": ["30 runs of 2 x 64, batch 128", "240 runs of 2 x 64, batch 128", "30 runs of 3 x 128, batch 256",
                 "240 runs of 3 x 128, batch 256"],
    }  # fmt: skip


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
    monkeypatch.setattr(whole_job, "_as_loops", lambda work, steps, scripts, threads: spent(8.0 * threads, 24.0))
    monkeypatch.setattr(whole_job, "cores", lambda: 2)
    done = CliRunner().invoke(cli.app, ["bench", "--device", "cpu", "--rounds", "2", "--jobs"])
    script, wall, processor = [" ".join(line.split()) for line in done.output.splitlines()[-3:]]
    assert script.endswith("2.0 16.0 8.0 (8.0 to 8.0)")
    assert wall == "over a script on each of 2 cores: s 2.0 8.0 4.0 (4.0 to 4.0)"
    assert processor == "the same: processor s 3.0 24.0 8.0 (8.0 to 8.0)"


@pytest.mark.parametrize(("device", "size", "floats"), [("cpu", 1024, 2**22), ("cuda", 8192, 2**28)])
def test_ceilings_are_rates_of_large_products_and_copies(monkeypatch, device, size, floats):
    """Half a second each: 2 n^3 operations, and 4 bytes a number that are read and written."""
    works = []
    monkeypatch.setattr(bench, "_fastest", lambda work, device: works.append(work()) or 0.5)
    for name in ("randn", "empty"):
        made = getattr(torch, name)
        # without memory
        monkeypatch.setattr(bench.torch, name, lambda *s, made=made, **more: made(*s, **{**more, "device": "meta"}))
    assert bench.ceilings(torch.device(device)) == {
        "product": 2 * size**3 / 0.5 / 1e9,
        "copy": 2 * 4 * floats / 0.5 / 1e9,
    }
    assert [tuple(made.shape) for made in works] == [(size, size), (floats,)]
