"""What a Monitor counts: steps from a start, probes in a row, seconds of training and of probing."""

import math

import pytest
import torch
from torch import nn

import ganbench
from ganbench import Monitor, TrainingStopped, UserError
from ganbench.monitor import monitor as module
from ganbench.monitor.losses import WINDOW, ToldLosses
from ganbench.problems.mixtures import ring8

SIZES = {"samples": 64, "neighbours": 32, "batch_size": 16, "every": 5}
RING = ring8()


class Fixed(nn.Module):
    """Latents are samples; `modes` of the ring are kept."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.modes = 8

    def forward(self, x):
        centres = RING.modes.centres.float()
        place = torch.cdist(x, centres).argmin(1)
        return (x + centres[place % self.modes] - centres[place]) * self.scale


def on_the_ring(n):
    return RING.sample(n, torch.Generator().manual_seed(7))


@pytest.fixture
def watch(tmp_path):
    def make(generator=None, **options):
        settings = {"latent": on_the_ring, "problem": "ring8", "out": tmp_path / "it", **SIZES, **options}
        return Monitor(generator or Fixed(), nn.Linear(2, 1), **settings)

    return make


def go(monitor, count, **losses):
    for _ in range(count):
        monitor.step(**(losses or {"d_loss": 1.0, "g_loss": 1.0}))


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless told otherwise, and counts a second for each probe."""

    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    original = module.LoopProber.probe

    def probe(self, **options):
        clock.now += 1.0
        return original(self, **options)

    monkeypatch.setattr(module.LoopProber, "probe", probe)
    return clock


def test_seconds_are_those_of_training_between_probes(watch, clock):
    monitor = watch()
    for step in range(12):
        clock.now += 0.25 if step < 5 else 0.5
        monitor.step(d_loss=1.0, g_loss=1.0)
    monitor.close()
    seconds = monitor.series.set_index("step")["seconds_per_step"]
    assert math.isnan(seconds[0])
    assert seconds[5] == pytest.approx(0.25)
    assert seconds[10] == seconds[12] == pytest.approx(0.5)
    # 5 x 0.25 + 7 x 0.5 seconds of training, four probes of one second
    assert monitor._clock == {"train": pytest.approx(4.75), "probe": pytest.approx(4.0)}


def test_what_came_before_the_first_probe_of_a_resumed_loop_is_nobodys_time(watch, clock):
    go(watch(), 12)
    monitor = watch(start=8)
    clock.now += 50.0
    go(monitor, 2)
    # no probe at the start: the time since then is of unknown steps
    assert math.isnan(monitor.series.set_index("step")["seconds_per_step"][10])
    clock.now += 10.0
    go(monitor, 5)
    assert monitor.series.set_index("step")["seconds_per_step"][15] == pytest.approx(2.0)
    assert monitor._clock == {"train": pytest.approx(10.0), "probe": pytest.approx(2.0)}


@pytest.mark.parametrize("start", [0, 5, 7])
def test_steps_count_from_the_start(watch, start):
    monitor = watch(start=start)
    assert monitor.steps == start
    assert monitor.series.get("step", []) is not None
    go(monitor, 10)
    assert monitor.series["step"].tolist() == {0: [0, 5, 10], 5: [10, 15], 7: [10, 15]}[start]
    assert monitor.steps == start + 10


@pytest.mark.parametrize("start", [4, 5, 6])
def test_what_a_checkpoint_knows_is_kept_and_what_came_later_is_forgotten(watch, start):
    go(watch(), 10)
    again = watch(start=start)
    # the probe at a step is made when the step is over: a checkpoint of step 5 has it
    assert again.series["step"].tolist() == ([0] if start < 5 else [0, 5])
    study = ganbench.load(again.out)
    assert study.series["step"].tolist() == again.series["step"].tolist()


def test_a_probe_again_at_the_step_of_a_checkpoint_takes_the_place_of_the_first(watch):
    go(watch(), 10)
    again = watch(start=5)
    again.close()
    assert again.series["step"].tolist() == [0, 5]
    assert again.series["seconds_per_step"].isna().tolist() == [True, True]
    assert ganbench.load(again.out).series["step"].tolist() == [0, 5]


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_patience_is_probes_in_a_row(watch, patience):
    generator = Fixed()
    monitor = watch(generator, stop_on={"collapsed"}, patience=patience)
    generator.modes = 1
    with pytest.raises(TrainingStopped):
        go(monitor, 100)
    # one probe at a time, from the first after training has begun
    assert monitor.steps == 5 * patience
    assert ganbench.load(monitor.out).runs["status"].tolist() == ["done"]


def test_patience_starts_again_after_a_better_probe(watch):
    generator = Fixed()
    monitor = watch(generator, stop_on={"collapsed"}, patience=3)
    for modes in (1, 1, 8, 1, 1):
        generator.modes = modes
        go(monitor, 5)
    with pytest.raises(TrainingStopped):
        go(monitor, 5)


def test_by_default_two_probes_and_five_hundred_steps(tmp_path):
    options = {name: value for name, value in SIZES.items() if name != "every"}
    generator = Fixed()
    monitor = Monitor(generator, nn.Linear(2, 1), latent=on_the_ring, problem="ring8", out=tmp_path / "it",
                      stop_on="collapsed", **options)  # fmt: skip
    generator.modes = 1
    with pytest.raises(TrainingStopped):
        go(monitor, 2000)
    assert monitor.series["step"].tolist() == [0, 500, 1000]


def test_who_was_never_more_diverse_has_five_times_as_long(watch):
    generator = Fixed()
    generator.modes = 1
    monitor = watch(generator, stop_on={"collapsed"}, patience=2)
    with pytest.raises(TrainingStopped):
        go(monitor, 100)
    assert monitor.steps in (5 * 10, 5 * 11), "one probe more where this one is the widest so far"


def test_a_divergence_comes_before_what_held_already_and_hides_none_of_it(watch):
    generator = Fixed()
    monitor = watch(generator, every=5)
    for modes in (8, 8, 1, 1):
        generator.modes = modes
        go(monitor, 5)
    before = [(one.verdict, one.onset) for one in monitor.verdicts]
    assert [name for name, _ in before] == ["late collapse", "collapsed"]
    generator.scale.data.fill_(math.nan)
    go(monitor, 5)
    found = [(one.verdict, one.onset) for one in monitor.verdicts]
    assert found == [("diverged", 25), *before]
    assert monitor.verdict.evidence.startswith(
        "Not finite: parameters of the generator. Left the finite numbers at step"
    )


@pytest.mark.parametrize(("name", "least"), [("every", 1), ("patience", 1), ("batch_size", 1), ("samples", 16),
                                             ("neighbours", 16)])  # fmt: skip
def test_counts_have_a_least_value(watch, name, least):
    for wrong in (least - 1, -3, float(least), True, str(least)):
        with pytest.raises(UserError, match=f"^'{name}' must be a whole number of at least {least}, got "):
            watch(**{name: wrong})
    if name in ("every", "patience", "batch_size"):
        watch(**{name: least})


def test_loops_that_share_a_study_are_listed_in_their_order(tmp_path, watch):
    for name, seed in (("b", 3), ("a", 0), ("b", 1)):
        watch(variant=name, seed=seed).close()
    watch(variant="a", seed=0, fresh=True).close()
    study = ganbench.load(tmp_path / "it")
    runs = [(name, seed) for name, seed in study.runs[["loop.variant", "seed"]].to_numpy().tolist()]
    assert sorted(runs) == [("a", 0), ("b", 1), ("b", 3)]
    assert len(study.plan.listed) == 3
    assert study.plan.seeds == (0, 1, 3)


# ------------------------------------------------------------------------------------------ losses


def read(*steps):
    """ToldLosses of D and G, a pair a step from step 1 on, read at the end."""
    losses = ToldLosses()
    for step, pair in enumerate(steps, 1):
        losses.add(step, *pair)
    losses.read()
    return losses


def test_losses_are_read_when_the_window_is_full():
    losses = ToldLosses()
    due = [losses.add(step, 1.0, None) for step in range(1, WINDOW + 1)]
    assert due == [False] * (WINDOW - 1) + [True]
    losses.read()
    assert losses.add(WINDOW + 1, 1.0, None) is False


def test_the_first_of_the_last_broken_steps_is_told():
    assert read((1.0, 1.0), (math.nan, 1.0), (math.inf, 2.0)).broken_since == 2
    assert read((math.nan, 1.0), (1.0, 1.0), (1.0, -math.inf)).broken_since == 3
    assert read((math.nan, 1.0), (1.0, 1.0)).broken_since is None
    # a step that tells nothing ends nothing
    assert read((math.nan, None), (None, None)).broken_since == 1
    assert read((None, None), (None, math.nan)).complaint == "g loss is nan at step 2"
    assert read((math.inf, math.nan)).complaint == "d loss is inf and g loss is nan at step 1"


@pytest.mark.parametrize(("broken", "throughout"), [(WINDOW, True), (WINDOW - 1, False)])
def test_a_whole_window_without_a_finite_loss_is_broken_throughout(broken, throughout):
    assert read((1.0, 1.0), *[(math.nan, 1.0)] * broken).broken_throughout is throughout
    assert not read(*[(math.nan, 1.0)] * broken, (1.0, 1.0)).broken_throughout


def test_averages_are_of_the_finite_losses_of_each_player():
    losses = read((1.0, 10.0), (math.nan, 20.0), (3.0, None), (torch.tensor([5.0]), torch.tensor(30.0)))
    assert losses.averages() == {"d_loss": 3.0, "g_loss": 20.0}
    assert all(map(math.isnan, losses.averages().values()))
