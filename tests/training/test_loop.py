"""The loop: when it probes, saves and tells, what a probe measures, and how far runs are tried by themselves."""

import ctypes
import math
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from overriding import over

from ganbench.errors import UserError
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training import checkpoint, loop
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner
from ganbench.training.population import Population

CPU = torch.device("cpu")
SMALL = ("seeds=2", "batch_size=8", "steps=20", "latent_dim=3", "samples=64", "neighbours=32", "probe_every=5")


def plan_of(*overrides):
    width = [] if any("network=" in one or "model=" in one for one in overrides) else ["network.mlp.width=8"]
    return resolve(None, over([*SMALL, *width, *overrides]))


def prober_of(*overrides):
    plan = plan_of(*overrides)
    problem = make_problem(plan.runs[0].variant)
    learner = make_learner(list(plan.runs), problem, CPU)
    return loop.Prober(learner, loop.evaluator_of(problem, plan), plan.diagnostics)


class Sink:
    """Results that go nowhere; at which steps there was a probe."""

    def __init__(self, folder):
        self.checkpoint, self.probed, self.finished, self.rewound = folder / "checkpoint.pt", [], None, []
        self.values = []

    def whole_steps(self):
        return self.probed

    def series(self):
        return {step: {name: list(map(float, own)) for name, own in values.items()}
                for step, values in zip(self.probed, self.values, strict=False)}  # fmt: skip

    def rewind(self, step):
        self.rewound.append(step)
        self.probed = [one for one in self.probed if one <= step]

    def append(self, step, values, samples):
        self.probed.append(step)
        self.values.append(values)

    def finish(self, clock, diverged_step, cost):
        self.finished = clock, diverged_step

    def exists(self):
        return True


class Hours:
    """A clock that a training step moves by 1 s and a probe by 10."""

    def __init__(self, monkeypatch):
        self.now, advance, probe = 1000.0, Population.advance, loop.Prober.probe
        clock = SimpleNamespace(monotonic=lambda: self.now, perf_counter=lambda: 7 + self.now)
        monkeypatch.setattr(loop, "time", clock)
        monkeypatch.setattr(Population, "advance", lambda own: self.after(1, advance(own)))
        monkeypatch.setattr(loop.Prober, "probe", lambda own: self.after(10, probe(own)))

    def after(self, seconds, result):
        self.now += seconds
        return result


# probes end at 10, 25, 40, 55 and 70 s
@pytest.mark.parametrize(("seconds", "saved"), [
    (9.0, [0, 5, 10, 15]), (10.0, [5, 10, 15]), (14.9, [5, 10, 15]), (15.0, [5, 15]), (26.0, [10]), (60.0, []),
    (-1.0, [0, 5, 10, 15]),
])  # fmt: skip
def test_a_checkpoint_is_made_at_probes_before_the_end_where_the_last_one_is_old(tmp_path, monkeypatch, seconds, saved):
    steps, plan, sink = [], plan_of(), Sink(tmp_path)
    Hours(monkeypatch)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", seconds)
    monkeypatch.setattr(checkpoint, "save", lambda learner, clock, file: steps.append(learner.step))
    loop.train(list(plan.runs), plan, sink, sink, "cpu", lambda event: None)
    assert steps == saved
    assert sink.probed == [0, 5, 10, 15, 20]


def test_the_loop_keeps_its_clocks_and_tells_where_it_is(tmp_path, monkeypatch):
    events, plan, sink = [], plan_of(), Sink(tmp_path)
    Hours(monkeypatch)
    monkeypatch.setattr(loop, "PROGRESS_SECONDS", 2.0)
    loop.train(list(plan.runs), plan, sink, sink, "cpu", events.append)
    assert sink.rewound == [-1]
    assert sink.finished == ({"train": 20.0, "probe": 50.0}, [-1, -1])
    # of two runs together, each second counts for both
    assert [values["seconds_per_step"] for values in sink.values[1:]] == [[0.5, 0.5]] * 4
    assert all(math.isnan(one) for one in sink.values[0]["seconds_per_step"])
    # after more than 2 s, a probe takes longer
    assert [event["step"] for event in events] == [0, 3, 5, 8, 10, 13, 15, 18, 20]
    assert all(event == {"event": "progress", "step": event["step"], "alive": 2} for event in events)


def test_training_goes_on_at_its_checkpoint_and_tells_so(tmp_path, monkeypatch):
    plan, sink, events = plan_of(), Sink(tmp_path), []
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    loop.train(list(plan.runs), plan, sink, sink, "cpu", events.append)
    assert not any(event["event"] == "resumed" for event in events)
    sink.probed = [0, 5, 10, 15]
    loop.train(list(plan.runs), plan, sink, sink, "cpu", events.append)
    assert [event["step"] for event in events if event["event"] == "resumed"] == [15]
    assert sink.rewound[-1] == 15
    assert sink.probed == [0, 5, 10, 15, 20]


def test_a_run_that_stops_tells_where_it_was(tmp_path, monkeypatch):
    events, plan, sink = [], plan_of(), Sink(tmp_path)
    Hours(monkeypatch)
    monkeypatch.setattr(loop, "PROGRESS_SECONDS", 1e9)
    advance = Population.advance

    def fails(own):
        if own.step == 7:
            raise ZeroDivisionError
        advance(own)

    monkeypatch.setattr(Population, "advance", fails)
    with pytest.raises(ZeroDivisionError):
        loop.train(list(plan.runs), plan, sink, sink, "cpu", events.append)
    assert events == [{"event": "progress", "step": 7, "alive": 2}]
    assert sink.finished is None


@pytest.mark.parametrize(("alive", "told"), [([True, True], 2), ([True, False], 1), ([False, False], 0)])
def test_how_many_runs_are_alive_is_told(tmp_path, monkeypatch, alive, told):
    events, plan, sink = [], plan_of("steps=1"), Sink(tmp_path)
    monkeypatch.setattr(Population, "advance", lambda own: [own.alive.copy_(torch.tensor(alive)), step(own)])
    loop.train(list(plan.runs), plan, sink, sink, "cpu", events.append)
    assert events[-1] == {"event": "progress", "step": 1, "alive": told}
    # and their numbers alone are recorded
    lost = [math.isnan(one) for one in sink.values[-1]["frechet"]]
    assert lost == [not one for one in alive]


def step(own):
    own.step += 1


def test_an_interval_that_does_not_divide_the_steps_probes_at_the_end_too(tmp_path):
    plan, sink = plan_of("steps=7", "probe_every=3"), Sink(tmp_path)
    loop.train(list(plan.runs), plan, sink, sink, "cpu", lambda event: None)
    assert sink.probed == [0, 3, 6, 7]


@pytest.mark.parametrize(("there", "resumed"), [
    ([0, 5, 10, 15], 15), ([0, 5, 15], None), ([5, 10, 15], None), ([0, 5, 10], None), ([0, 5, 10, 15, 20], 15),
])  # fmt: skip
def test_a_checkpoint_counts_where_all_probes_up_to_it_are_there(tmp_path, monkeypatch, there, resumed):
    plan, sink, events = plan_of(), Sink(tmp_path), []
    learner = make_learner(list(plan.runs), make_problem(plan.runs[0].variant), CPU)
    learner.step = 15
    checkpoint.save(learner, {"train": 3.0, "probe": 2.0}, sink.checkpoint)
    sink.probed = list(there)
    loop.train(list(plan.runs), plan, sink, sink, "cpu", events.append)
    assert [event["step"] for event in events if event["event"] == "resumed"] == ([15] if resumed else [])
    assert sink.rewound == [15 if resumed else -1]
    assert sink.probed == [0, 5, 10, 15, 20]
    lost = f"The checkpoint '{sink.checkpoint}' cannot be used: the probe of its step, 15, is lost."
    assert [event["text"] for event in events if event["event"] == "told"] == ([] if resumed else [lost])
    if resumed:
        assert sink.finished[0]["train"] >= 3
        assert sink.finished[0]["probe"] >= 2


# ---- runs tried by themselves


class Folder:
    """Where a population's checkpoint is, and its runs."""

    def __init__(self, folder, runs):
        self.checkpoint, self._runs = folder / "checkpoint.pt", [run.id for run in runs]

    def runs(self):
        return self._runs


def tried(monkeypatch, tmp_path, until, *, linger=3.0):
    """Try two of three runs up to a step; which steps were probed, advanced from and told."""
    plan, events = plan_of("seeds=3"), []
    Hours(monkeypatch)
    monkeypatch.setattr(loop, "LINGER_SECONDS", linger)
    monkeypatch.setattr(loop, "PROGRESS_SECONDS", 2.0)
    probed, advanced = [], []
    probe, advance = loop.Prober.probe, Population.advance
    monkeypatch.setattr(loop.Prober, "probe", lambda own: [probed.append(own.learner.step), probe(own)][1])
    monkeypatch.setattr(Population, "advance", lambda own: [advanced.append(own.step), advance(own)][1])
    loop.attempt(list(plan.runs[:2]), plan, Folder(tmp_path, plan.runs), "cpu", until, events.append)
    return probed, advanced, events


def test_runs_are_tried_from_the_start_to_the_end_where_there_is_nothing_else(monkeypatch, tmp_path):
    probed, advanced, events = tried(monkeypatch, tmp_path, 20)
    assert advanced == list(range(20))
    assert probed == [0, 5, 10, 15, 20]
    # a probe takes 10 s and a step 1
    assert [event["step"] for event in events] == [1, 4, 6, 9, 11, 14, 16, 19]
    assert all(event == {"event": "progress", "step": event["step"], "alive": 2} for event in events)


# steps take 1 s, those from 0, 5, 10 and 15 another 10; the time counts from the last step before `until`
@pytest.mark.parametrize(("until", "linger", "last"), [
    (7, 3.0, 10), (7, 2.5, 9), (7, 1.0, 8), (7, 0.0, 7), (5, 1.0, 6), (4, 1.0, 5), (0, 9.0, 1), (0, 11.0, 2),
    (19, 1e9, 20), (7, 1e9, 20),
])  # fmt: skip
def test_they_go_a_little_further_than_where_it_failed(monkeypatch, tmp_path, until, linger, last):
    probed, advanced, _ = tried(monkeypatch, tmp_path, until, linger=linger)
    assert advanced == list(range(last))
    assert probed == [*range(0, last, 5), last], "the last look is at the end"


@pytest.mark.parametrize(("known", "first"), [(slice(0, 3), 10), (slice(0, 1), 0), (slice(1, 3), 0), (slice(0, 2), 10)])
def test_they_go_on_from_the_checkpoint_where_it_holds_all_of_them(monkeypatch, tmp_path, known, first):
    plan = plan_of("seeds=3")
    source = Folder(tmp_path, plan.runs[known])
    whole = make_learner(list(plan.runs[known]), make_problem(plan.runs[0].variant), CPU)
    whole.step = 10
    checkpoint.save(whole, {"train": 0.0, "probe": 0.0}, source.checkpoint)
    advanced, advance = [], Population.advance
    monkeypatch.setattr(Population, "advance", lambda own: [advanced.append(own.step), advance(own)][1])
    loop.attempt(list(plan.runs[:2]), plan, source, "cpu", 20, lambda event: None)
    assert advanced == list(range(first, 20))


# ---- what a probe measures


def test_a_probe_looks_at_the_same_latents_and_data_every_time():
    own, again = prober_of("seeds=2"), prober_of("seeds=3,4,5")
    assert own.latents.shape == (2, 64, 3)
    for name in ("latents", "real", "held_out", "played"):
        a, b = getattr(own, name), getattr(again, name)
        assert all(torch.equal(a[0], row) for row in (*a, *b)), name
    expected = torch.randn(64, 3, generator=stream("probe latents", 0))
    assert torch.equal(own.latents[0], expected)
    problem = own.learner.problem
    assert torch.equal(own.real[0], problem.draw(8, stream("probe data", 0)).x)
    assert torch.equal(own.held_out[0], problem.oracle_samples(8))
    assert own.given is None


@pytest.mark.parametrize(("samples", "batch", "packs", "size"), [
    (64, 8, 1, 8), (64, 128, 1, 64), (64, 8, 4, 8), (66, 256, 4, 64),
])  # fmt: skip
def test_the_game_is_looked_at_with_as_many_as_fill_packs(samples, batch, packs, size):
    packing = ["trick=packing", f"trick.packing.m={packs}"] if packs > 1 else []
    own = prober_of(f"samples={samples}", f"batch_size={batch}", *packing)
    assert own.real.shape[1] == own.held_out.shape[1] == own.played.shape[1] == size
    assert torch.equal(own.played, own.latents[:, :size])


def test_probes_that_fill_no_pack_are_refused():
    with pytest.raises(UserError, match=r"^Probes of 64 samples fill no pack of the trick 'packing'\.$"):
        prober_of("batch_size=128", "trick=packing", "trick.packing.m=128")


def test_what_is_given_to_fakes_is_the_problems_own_mixture():
    own = prober_of("problem=ring8_labelled", "network=conditional_mlp")
    problem = own.learner.problem
    assert own.given.shape == (2, 64)
    assert torch.equal(own.given[1], problem.draw(64, stream("probe given", 0)).given)
    assert torch.equal(own.played_given[1], problem.draw(8, stream("probe data", 0)).given)


@pytest.mark.parametrize(("overrides", "kept"), [((), 400), (("problem=digits", "network=dcgan"), 25)])
def test_some_fakes_are_kept_and_diverged_runs_have_no_numbers(overrides, kept):
    own = prober_of("samples=450", "network.dcgan.width=2" if overrides else "network.mlp.width=8", *overrides)
    own.learner.alive[1] = False
    columns, samples = own.probe()
    assert samples.shape == (2, kept, *own.learner.problem.shape)
    assert all(column.dtype == torch.float64 and not column.requires_grad for column in columns.values())
    assert all(column[1].isnan() for column in columns.values())
    assert columns["frechet"][0].isfinite()


def test_an_average_is_measured_beside_and_columns_of_the_game_are_there():
    plain, averaged = prober_of().probe()[0], prober_of("trick=ema").probe()[0]
    beside = averaged.keys() - plain.keys()
    assert beside
    # before the first step the average is G itself
    assert all(torch.equal(averaged[name], averaged[name.removesuffix("_ema")]) for name in beside)
    assert any(name.startswith("d_") for name in plain)


class Described:
    """Keeps the description of a problem."""

    def __init__(self, there):
        self.there, self.written = there, []

    def exists(self):
        return self.there

    def write(self, description, real):
        self.written.append((description, real))


@pytest.mark.parametrize(("name", "kept"), [("ring8", 400), ("digits", 25), ("dirac", 400)])
def test_a_problem_is_described_once(name, kept):
    network = {"ring8": "mlp", "digits": "dcgan", "dirac": "point"}[name]
    plan = plan_of(f"problem={name}", f"network={network}", "samples=450")
    problem = make_problem(plan.runs[0].variant)
    evaluator, sink = loop.evaluator_of(problem, plan), Described(False)
    loop.describe_problem(problem, evaluator, sink)
    ((description, real),) = sink.written
    assert real.shape == (kept, *problem.shape)
    assert description.keys() == {"oracle", "modes", "centres", "std", "notes"}
    assert description["modes"] == {"ring8": 8, "digits": 10, "dirac": None}[name]
    assert description["std"] == (problem.modes.std if problem.modes else None)
    assert description["centres"] == (problem.modes.centres.tolist() if problem.modes else None)
    loop.describe_problem(problem, evaluator, there := Described(True))
    assert there.written == []


# ---- numbers that repeat


@pytest.mark.parametrize("fails", [False, True])
def test_numerics_are_steady_within_and_as_before_after(fails):
    threads, flags = torch.get_num_threads(), torch.backends.cudnn
    before = (flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32)
    torch.set_num_threads(3)
    tiny = torch.tensor([1e-40])
    try:
        with pytest.raises(ZeroDivisionError) if fails else nullcontext(), loop.steady_numerics():
            assert torch.get_num_threads() == 1
            assert (tiny * 0.5).item() == 0, "a denormal number is flushed to zero"
            assert (flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32) == (True, False, True, False)
            if fails:
                raise ZeroDivisionError
        assert torch.get_num_threads() == 3
        assert (tiny * 0.5).item() > 0
        assert (flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32) == before
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("raised", [None, AttributeError, OSError, TypeError])
def test_glibc_is_told_to_keep_freed_memory_where_there_is_one(monkeypatch, raised):
    told = []

    def library(name):
        assert name is None
        if raised:
            raise raised
        return SimpleNamespace(mallopt=lambda *setting: told.append(setting))

    monkeypatch.setattr(ctypes, "CDLL", library)
    loop.keep_freed_memory()
    # M_MMAP_THRESHOLD is -3 and M_TRIM_THRESHOLD -1 (malloc.h); both as large as they can be
    assert told == ([] if raised else [(-3, 2**30), (-1, 2**31 - 1)])
