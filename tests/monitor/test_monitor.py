"""`ganbench.Monitor`: when it probes, what it concludes and when it stops; on scripted loops whose truth is known."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

import ganbench
from ganbench import Monitor, TrainingStopped, UserError
from ganbench.problems.mixtures import ring8

RING = ring8()
SIZES = {"samples": 256, "neighbours": 64, "batch_size": 32}


class Scripted(nn.Module):
    """A generator that is told what to do: every latent is a sample of the ring, `modes` of them are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.modes = 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centres = RING.modes.centres.float()
        place = torch.cdist(x, centres).argmin(1)
        return (x + centres[place % self.modes] - centres[place]) * self.scale


def on_the_ring(n):
    return RING.sample(n, torch.Generator().manual_seed(7))


@pytest.fixture
def watch(tmp_path):
    def make(generator=None, discriminator=None, **options):
        settings = {"latent": on_the_ring, "problem": "ring8", "every": 10, "out": tmp_path / "it", **SIZES, **options}
        return Monitor(generator or Scripted(), discriminator or nn.Linear(2, 1), **settings)

    return make


def steps(monitor, count, **losses):
    for _ in range(count):
        monitor.step(**(losses or {"d_loss": 1.0, "g_loss": 1.0}))


def test_probes_at_the_start_on_schedule_and_at_the_end(watch):
    with watch() as monitor:
        assert monitor.verdict is None
        steps(monitor, 25)
        assert monitor.series["step"].tolist() == [0, 10, 20]
    assert monitor.series["step"].tolist() == [0, 10, 20, 25]
    monitor.close()
    assert monitor.series["step"].tolist() == [0, 10, 20, 25]


def test_a_perfect_generator_converges_at_the_oracles_values(watch):
    monitor = watch(samples=1000)
    steps(monitor, 10)
    assert monitor.verdict.verdict == "converged"
    assert monitor.verdict.onset == 10
    last = monitor.series.iloc[-1]
    assert last["modes_covered"] == 8
    # P(within 3 sigma) in the plane is 1 - exp(-9/2); three standard errors at 1000 samples
    assert last["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=3 * 0.0033)


def test_reported_losses_are_averaged_since_the_last_probe(watch):
    monitor = watch()
    for step in range(1, 21):
        monitor.step(d_loss=torch.tensor(float(step)), g_loss=torch.tensor([10.0 * step]))
    assert monitor.series["d_loss"].tolist()[1:] == [5.5, 15.5]
    assert monitor.series["g_loss"].tolist()[1:] == [55.0, 155.0]
    assert math.isnan(monitor.series["d_loss"][0])


def test_a_named_loss_is_measured_on_the_probe_batch(watch, tmp_path):
    discriminator = nn.Linear(2, 1)
    nn.init.zeros_(discriminator.weight)
    nn.init.zeros_(discriminator.bias)
    monitor = watch(discriminator=discriminator, loss="nonsaturating")
    # a critic that answers 0 everywhere: log 2 for each of its two halves, and for G
    assert monitor.series["d_loss"][0] == pytest.approx(2 * math.log(2), rel=1e-6)
    assert monitor.series["g_loss"][0] == pytest.approx(math.log(2), rel=1e-6)
    own = watch(discriminator=discriminator, loss=lambda r, f: (r.mean() + 3, f.mean() - 2), out=tmp_path / "own")
    assert own.series["d_loss"][0] == pytest.approx(3)
    assert own.series["g_loss"][0] == pytest.approx(-2)


def test_gradients_that_the_loop_left_are_measured(watch):
    generator = Scripted()
    monitor = watch(generator)
    assert "g_gradient_norm" not in monitor.series
    generator.scale.grad = torch.tensor(-2.5)
    steps(monitor, 10)
    assert monitor.series["g_gradient_norm"][1] == 2.5


def test_a_collapse_stops_training_when_it_has_held_for_the_patience(watch):
    generator = Scripted()
    monitor = watch(generator, stop_on={"collapsed"}, patience=2)
    steps(monitor, 20)
    generator.modes = 1
    steps(monitor, 10)  # step 30: seen once
    assert "collapsed" in [verdict.verdict for verdict in monitor.verdicts]
    with pytest.raises(TrainingStopped) as stopped:
        steps(monitor, 100)
    assert (stopped.value.verdict, stopped.value.onset, stopped.value.step) == ("collapsed", 30, 40)
    assert "1 of 8 modes covered" in stopped.value.evidence
    assert str(stopped.value).startswith("Training stopped at step 40: collapsed since step 30 (puts its samples")
    study = ganbench.load(monitor.out)
    assert study.runs["status"].tolist() == ["done"]
    assert study.runs["failed"].tolist() == [True]


def test_a_collapse_that_passes_stops_nothing(watch):
    generator = Scripted()
    monitor = watch(generator, stop_on={"collapsed"}, patience=2)
    for modes in (8, 1, 8, 1, 8):
        generator.modes = modes
        steps(monitor, 10)
    assert monitor.steps == 50


def test_a_generator_that_gains_modes_from_probe_to_probe_is_not_stopped(watch):
    """It is as narrow as one that has collapsed, on its way up."""
    generator = Scripted()
    generator.modes = 1
    monitor = watch(generator, stop_on={"collapsed"}, patience=1)
    for modes in (2, 3, 4, 6, 8):
        generator.modes = modes
        steps(monitor, 10)
    assert monitor.steps == 50


def test_what_was_never_more_diverse_has_not_collapsed_on_its_console_before_it_had_time(watch, capsys):
    generator = Scripted()
    generator.modes = 1
    monitor = watch(generator)
    steps(monitor, 140)  # the 15th probe
    told = [line.split(", ")[1].partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert told == ["begun", *["not diverse yet"] * 14]
    steps(monitor, 10)
    assert "step 150, collapsed" in capsys.readouterr().out


def test_what_was_more_diverse_has_collapsed_on_the_console_at_once(watch, capsys):
    generator = Scripted()
    generator.modes = 4
    monitor = watch(generator)
    steps(monitor, 20)
    generator.modes = 1
    steps(monitor, 10)
    assert "step 30, collapsed" in capsys.readouterr().out


def test_other_verdicts_than_those_asked_for_stop_nothing(watch):
    generator = Scripted()
    generator.scale.data.fill_(100.0)
    monitor = watch(generator, stop_on={"diverged", "collapsed"})
    steps(monitor, 50)
    assert monitor.verdict.verdict == "never learned"


def test_a_callback_is_told_once_and_training_goes_on(watch):
    told = []
    generator = Scripted()
    monitor = watch(generator, stop_on="collapsed", on_verdict=told.append)
    steps(monitor, 20)
    generator.modes = 1
    steps(monitor, 40)
    assert [verdict.verdict for verdict in told] == ["collapsed"]
    assert monitor.steps == 60


def test_a_wgan_at_a_thousand_times_the_learning_rate_is_stopped_with_the_step_and_the_evidence(tmp_path):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    discriminator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    players = (discriminator, generator)
    optimizers = [torch.optim.SGD(player.parameters(), lr=50.0) for player in players]  # 0.05 trains
    monitor = Monitor(generator, discriminator, problem="ring8", latent=2, every=200, out=tmp_path / "it",
                      stop_on={"diverged"}, **SIZES)  # fmt: skip
    bad = []

    def train():
        while monitor.steps < 1000:
            losses = []
            for player, optimizer in enumerate(optimizers):
                fake = discriminator(generator(torch.randn(32, 2)))
                loss = -fake.mean() if player else fake.mean() - discriminator(on_the_ring(32)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss)
            if not all(loss.isfinite() for loss in losses):
                bad.append(monitor.steps + 1)
            monitor.step(d_loss=losses[0], g_loss=losses[1])

    with pytest.raises(TrainingStopped) as stopped:
        train()
    first, made = bad[0], monitor.steps
    assert stopped.value.verdict == "diverged"
    assert stopped.value.onset == first
    assert made - first <= 25, "found within the window, long before the next probe"
    assert f"at step {first}" in str(stopped.value)
    assert "last measured at step 0" in str(stopped.value)
    row = ganbench.load(monitor.out).runs.iloc[0]
    assert (row["status"], row["diverged_step"], row["verdict"]) == ("diverged", first, "diverged")
    steps(monitor, 300)
    assert monitor.series["step"].tolist() == [0], "a run that has diverged is not measured again"


def test_parameters_that_are_not_finite_are_found_at_the_next_probe_without_any_loss(watch):
    generator = Scripted()
    monitor = watch(generator, stop_on="diverged")
    steps(monitor, 12, d_loss=None)
    generator.scale.data.fill_(math.nan)
    with pytest.raises(TrainingStopped, match="parameters of the generator"):
        steps(monitor, 10, d_loss=None)
    assert monitor.steps == 20


def test_samples_that_are_not_finite_are_a_divergence(watch):
    generator = Scripted()
    monitor = watch(generator, stop_on="diverged", latent=lambda n: 10 * torch.ones(n, 2))
    generator.scale.data.fill_(3e38)
    with pytest.raises(TrainingStopped, match="samples of the generator"):
        steps(monitor, 10)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_an_overflow_that_a_grad_scaler_skips_is_no_divergence(watch, bad):
    monitor = watch(stop_on="diverged", every=100)
    for step in range(1, 151):
        # alone at a reading, at its end, and several in a row
        monitor.step(d_loss=bad if step in (3, 25, 40, 41, 42, 100) else 1.0, g_loss=torch.tensor(1.0))
    assert monitor.series["d_loss"].tolist()[1:] == [1.0]
    monitor.close()
    assert monitor.verdict.verdict == "converged"


def test_losses_that_stay_not_finite_are_a_divergence_even_if_parameters_are_finite(watch):
    monitor = watch(stop_on="diverged", every=1000)
    steps(monitor, 10)
    with pytest.raises(TrainingStopped, match=r"D loss is nan at step 11\. Left") as stopped:
        steps(monitor, 100, d_loss=math.nan, g_loss=0.0)
    assert stopped.value.onset == 11
    assert monitor.steps <= 50


def test_an_exception_out_of_a_loop_that_has_diverged_is_the_divergence(tmp_path, watch):
    """As `BCELoss` raises on the first NaN, before anything can be reported."""

    def train(monitor, generator):
        with monitor:
            steps(monitor, 3)
            generator.scale.data.fill_(math.nan)
            raise RuntimeError("all elements of input should be between 0 and 1")

    generator = Scripted()
    with pytest.raises(RuntimeError, match="all elements"):
        train(watch(generator), generator)
    row = ganbench.load(tmp_path / "it").runs.iloc[0]
    assert (row["status"], row["diverged_step"]) == ("diverged", 4)
    generator = Scripted()
    with pytest.raises(TrainingStopped, match="diverged since step 4") as stopped:
        train(watch(generator, stop_on="diverged", seed=1), generator)
    assert isinstance(stopped.value.__context__, RuntimeError)


def test_losses_that_wait_to_be_read_are_read_on_the_way_out(tmp_path, watch):
    """The loop raises in step 32, its first loss that was NaN is that of step 31."""

    def train(monitor):
        with monitor:
            steps(monitor, 30)
            monitor.step(d_loss=math.nan, g_loss=1.0)
            raise ValueError("loss is NaN")

    with pytest.raises(ValueError, match="loss is NaN"):
        train(monitor := watch())
    assert monitor.verdict.onset == 31
    assert ganbench.load(tmp_path / "it").runs["diverged_step"].tolist() == [31]


def test_an_exception_that_nobody_catches_is_recorded_without_with(tmp_path):
    script = tmp_path / "loop.py"
    script.write_text(
        "import math, torch, ganbench\n"
        "monitor = ganbench.Monitor(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1), torch.randn(200, 2), 2,\n"
        "    out='it', samples=64, neighbours=16, batch_size=16)\n"
        "for step in range(5):\n"
        "    monitor.step(d_loss=math.nan if step == 3 else 1.0)\n"
        "    if step == 3: raise RuntimeError('all elements of input should be between 0 and 1')\n"
    )
    ended = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "RuntimeError: all elements" in ended.stderr
    assert ganbench.load(tmp_path / "it").runs["diverged_step"].tolist() == [4]


def test_terms_of_a_loss_and_numbers_beside_it_are_columns(watch):
    monitor = watch()
    for step in range(10):
        monitor.step(d_loss={"adv": 1.0, "penalty": torch.tensor(float(step))}, g_loss=2.0, weight=0.5)
    last = monitor.series.iloc[-1]
    assert (last["d_loss"], last["d_loss.adv"], last["d_loss.penalty"], last["weight"]) == (5.5, 1.0, 4.5, 0.5)
    with pytest.raises(UserError, match="'high_quality' is measured already"):
        monitor.step(high_quality=1.0)
    with pytest.raises(UserError, match=r"'d_loss\.adv' must be one number, got str"):
        monitor.step(d_loss={"adv": "a"})


def test_one_line_a_probe(watch, tmp_path):
    lines = []
    steps(watch(log=lines.append), 20)
    assert [line.partition(":")[2].split(",")[0] for line in lines] == [" step 0", " step 10", " step 20"]
    assert lines[2].startswith("ganbench: step 20, converged: high quality 0.9")
    assert lines[2].endswith("d loss 1, g loss 1")
    watch(log=None, out=tmp_path / "silent").close()


def test_losses_are_numbers(watch):
    monitor = watch()
    with pytest.raises(UserError, match=r"'g_loss' must be one number, got a tensor of shape \[3\]"):
        monitor.step(d_loss=1.0, g_loss=torch.ones(3))


def test_on_other_ranks_nothing_happens(watch, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    with watch() as monitor:
        steps(monitor, 25, d_loss=math.nan, g_loss=1.0)
    assert monitor.verdict is None
    assert monitor.series.empty
    assert not (tmp_path / "it").exists()


def test_importing_ganbench_imports_nothing_heavy():
    code = "import sys, ganbench; assert not {'torch', 'pandas', 'numpy'} & set(sys.modules); ganbench.metrics"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=str(ganbench.__path__[0]) + "/..")
    assert ganbench.Monitor.__name__ in ganbench.__all__
