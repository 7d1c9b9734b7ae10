"""What a watched loop leaves on disk is an ordinary study: whole, shared, interrupted, resumed."""

import pandas as pd
import pytest
import torch
from overriding import over
from torch import nn

import ganbench
from ganbench import Monitor, UserError, registry
from ganbench.monitor.probing import Sizes, Target
from ganbench.monitor.record import LoopSettings, make_plan
from ganbench.plan import OWN
from ganbench.results.store import Store

SIZES = {"samples": 64, "neighbours": 32, "batch_size": 16, "every": 5}


def watch(out, **options):
    torch.manual_seed(options.get("seed", 0))
    generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
    return Monitor(generator, discriminator, **{"latent": 4, "problem": "ring8", "out": out, **SIZES, **options})


def steps(monitor, count):
    for _ in range(count):
        monitor.step(d_loss=1.0, g_loss=2.0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A study of two variants with unlike seeds, all open at once."""
    out = tmp_path_factory.mktemp("shared") / "it"
    wanted = [("small", 0), ("small", 1), ("big", 7)]
    monitors = [watch(out, variant=name, seed=seed) for name, seed in wanted]
    for monitor in monitors:
        steps(monitor, 12)
        monitor.close()
    return out, monitors


def test_loops_share_a_study(shared):
    study = ganbench.load(shared[0])
    assert study.runs[["loop.variant", "seed"]].to_numpy().tolist() == [["small", 0], ["small", 1], ["big", 7]]
    assert set(study.runs["status"]) == {"done"}
    assert study.runs["steps"].tolist() == [12] * 3
    assert study.ranking()["label"].tolist() == ["small", "big"]
    assert study.series.groupby("run", sort=False)["step"].agg(list).tolist() == [[0, 5, 10, 12]] * 3
    assert study.oracle["ring8"]["high_quality"] > 0.9
    assert study.modes == {"ring8": 8}


def test_the_study_holds_what_the_monitor_shows(shared):
    study = ganbench.load(shared[0])
    for run, monitor in zip(study.runs.to_dict("records"), shared[1], strict=True):
        own = study.series[study.series["run"] == run["run"]].drop(columns="run").reset_index(drop=True)
        pd.testing.assert_frame_equal(own[monitor.series.columns], monitor.series, check_dtype=False)
        assert (run["verdict"], run["evidence"]) == (monitor.verdict.verdict, monitor.verdict.evidence)
        assert {step: array.shape for step, array in study.samples(run["run"]).items()} == dict.fromkeys(
            (0, 5, 10, 12), (64, 2)
        )


def test_the_report_is_written(shared):
    html = ganbench.load(shared[0]).report().read_text()
    assert ">big<" in html
    assert "generator Linear, discriminator Linear" in html


def test_a_loop_that_was_never_closed_reads_as_unfinished(tmp_path):
    monitor = watch(tmp_path / "it")
    steps(monitor, 7)
    study = ganbench.load(tmp_path / "it")
    assert study.runs["status"].tolist() == ["running"]
    assert study.series["step"].tolist() == [0, 5]
    assert ">Linear<" in study.report().read_text()


def test_an_exception_leaves_the_run_unfinished(tmp_path):
    def crash():
        with watch(tmp_path / "it") as monitor:
            steps(monitor, 7)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crash()
    assert ganbench.load(tmp_path / "it").runs["status"].tolist() == ["running"]


def test_an_unfinished_run_starts_over_or_goes_on_from_a_checkpoint(tmp_path):
    steps(watch(tmp_path / "it"), 17)
    monitor = watch(tmp_path / "it", start=8)
    assert monitor.series["step"].tolist() == [0, 5]
    steps(monitor, 4)
    assert monitor.series["step"].tolist() == [0, 5, 10]
    monitor.close()
    study = ganbench.load(tmp_path / "it")
    assert study.series["step"].tolist() == [0, 5, 10, 12]
    assert list(study.samples(study.runs["run"][0])) == [0, 5, 10, 12]


def test_a_finished_run_is_replaced_only_when_asked_to(tmp_path):
    monitor = watch(tmp_path / "it", seed=0)
    steps(monitor, 12)
    monitor.close()
    with pytest.raises(UserError, match=r"holds the finished run 'ring8-Linear-.*-s0': give another seed"):
        watch(tmp_path / "it", seed=0)
    monitor = watch(tmp_path / "it", fresh=True)
    steps(monitor, 3)
    assert ganbench.load(tmp_path / "it").series["step"].tolist() == [0]
    assert ganbench.load(tmp_path / "it").runs["status"].tolist() == ["running"]


def test_two_loops_cannot_write_one_run(tmp_path):
    first = watch(tmp_path / "it")
    with pytest.raises(UserError, match="Another process is at work on the run 'ring8-Linear-"):
        watch(tmp_path / "it")
    first.close()


def test_a_study_of_a_suite_takes_no_loops_and_a_watched_one_no_suite(tmp_path, tiny):
    from ganbench import api

    plan = api.make_plan(None, over([*tiny, "seeds=1", "steps=1"]))
    Store(tmp_path / "suite").begin(plan)
    with pytest.raises(UserError, match="holds the study of a suite; choose another out"):
        watch(tmp_path / "suite")
    watch(tmp_path / "watched").close()
    with pytest.raises(UserError, match="holds a study of another plan"):
        Store(tmp_path / "watched").begin(plan)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="exists and is not a study; choose another out"):
        watch(tmp_path / "other")


def test_runs_of_one_study_are_measured_alike(tmp_path):
    watch(tmp_path / "it").close()
    with pytest.raises(UserError, match="is measured with probe_every 5, not 6"):
        watch(tmp_path / "it", seed=1, every=6)
    with pytest.raises(UserError, match="is measured with samples 64, not 65"):
        watch(tmp_path / "it", seed=1, samples=65)


def test_runs_of_one_study_have_the_same_real_samples(tmp_path):
    real = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    watch(tmp_path / "it", problem=None, real=real).close()
    watch(tmp_path / "it", problem=None, real=real, seed=1).close()
    with pytest.raises(UserError, match="measures 'real' against other real samples"):
        watch(tmp_path / "it", problem=None, real=real + 1, seed=2)


def test_the_plan_survives_being_read_back(shared):
    plan = Store(shared[0]).read_plan()
    assert [run.id for run in plan.runs] == list(plan.listed)
    assert type(plan).from_dict(plan.to_dict()) == plan


def test_real_samples_are_the_same_within_a_thousandth(tmp_path):
    real = 0.1 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    watch(tmp_path / "it", problem=None, real=real).close()
    watch(tmp_path / "it", problem=None, real=real + 5e-4, seed=1).close()
    with pytest.raises(UserError, match="measures 'real' against other real samples"):
        watch(tmp_path / "it", problem=None, real=real + 3e-3, seed=2)
    assert ganbench.load(tmp_path / "it").runs["status"].tolist()[:2] == ["done", "done"]


@pytest.mark.parametrize(("options", "said"), [
    ({"seed": -1}, "'seed' must be"), ({"seed": True}, "'seed' must be"), ({"seed": 1.0}, "'seed' must be"),
    ({"variant": "a b"}, "The name of a variant"), ({"variant": ""}, "The name of a variant"),
    ({"variant": "a/b"}, "The name of a variant"), ({"variant": 3}, "The name of a variant"),
])  # fmt: skip
def test_names_and_seeds_that_are_none(tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        Monitor(nn.Linear(4, 2), nn.Linear(2, 1), latent=4, problem="ring8", out=tmp_path / "it", **SIZES, **options)


def plan_of(out, loss=None, **options):
    modules = nn.Linear(4, 2), nn.ReLU()
    target = Target(None, "ring8", None, Sizes(64, 32, 16, "medium"), torch.device("cpu"))
    settings = {"variant": None, "seed": 3, "every": 5, "sizes": Sizes(64, 32, 16, "medium"), **options}
    return make_plan(out, target, modules, loss, LoopSettings(**settings))


def bare(real_logits, fake_logits):
    return real_logits.mean(), fake_logits.mean()


def test_the_plan_of_a_loop_tells_what_is_known_of_it(tmp_path):
    plan = plan_of(tmp_path / "it")
    assert (plan.name, plan.seeds, plan.skipped) == ("it", (3,), ())
    assert (plan.probe_every, plan.samples, plan.neighbours, plan.diagnostics) == (5, 64, 32, "medium")
    (variant,) = plan.variants
    assert dict(variant.hypers) == {"loop.variant": "Linear"}
    assert (variant.problem, variant.loss, variant.steps, variant.batch_size) == ("ring8", OWN, 0, 0)
    assert {variant.network, variant.normalization, variant.g_normalization, variant.regularizer, variant.optimizer,
            variant.latent} == {OWN}  # fmt: skip
    assert plan.listed == tuple(run.id for run in plan.runs)
    assert len(plan.listed) == 1
    assert set(plan.versions) == {f"{plugin.kind}.{plugin.name}" for plugin in registry.measuring()}
    assert plan.legends["problem.ring8"] == registry.get("problem", "ring8").legend
    assert "variant.mine" in plan_of(tmp_path / "it", variant="mine").legends


@pytest.mark.parametrize(("loss", "told"), [
    (None, "the loop's own"), ("hinge", "hinge"), (bare, "bare"), (nn.BCELoss(), "BCELoss"),
])  # fmt: skip
def test_the_loss_is_told_by_its_name(tmp_path, loss, told):
    legend = plan_of(tmp_path / "it", loss).legends["variant.Linear"]
    assert legend == f"generator Linear, discriminator ReLU, loss {told}"


@pytest.mark.parametrize("name", ["a", "A-1_b.c+d=e", "x" * 50])
def test_names_of_variants(tmp_path, name):
    assert dict(plan_of(tmp_path / "it", variant=name).variants[0].hypers) == {"loop.variant": name}


def test_every_session_is_logged_when_it_begins_and_when_it_ends(tmp_path):
    monitor = watch(tmp_path / "it")
    store = Store(tmp_path / "it")
    assert len(store.sessions()) == 1
    assert store.sessions()[0]["threads"] == torch.get_num_threads()
    monitor.close()
    sessions = store.sessions()
    assert len(sessions) == 2
    assert 0 <= sessions[0]["wall_seconds"] <= sessions[1]["wall_seconds"]
    assert sessions[0]["started"] == sessions[1]["started"]


def test_a_finished_run_goes_on_from_a_checkpoint_without_being_asked(tmp_path):
    monitor = watch(tmp_path / "it")
    steps(monitor, 12)
    monitor.close()
    again = watch(tmp_path / "it", start=1)
    assert again.series["step"].tolist() == [0]
    assert again.steps == 1
    with pytest.raises(UserError, match="Another process is at work"):
        watch(tmp_path / "it", start=1)
    again.close()
    with pytest.raises(UserError, match="holds the finished run"):
        watch(tmp_path / "it", seed=0)


def test_a_loop_that_is_repeated_gets_the_next_number(tmp_path):
    for _ in range(3):
        monitor = watch(tmp_path / "it")
        steps(monitor, 6)
        monitor.close()
    assert ganbench.load(tmp_path / "it").runs["seed"].tolist() == [0, 1, 2]
    # an unfinished one keeps its own
    steps(watch(tmp_path / "it"), 6)
    watch(tmp_path / "it", fresh=True).close()
    assert sorted(ganbench.load(tmp_path / "it").runs["seed"]) == [0, 1, 2, 3]


def test_pictures_are_recorded_a_run_at_a_time(shared):
    store = Store(shared[0])
    folder = store.population(store.read_plan().listed[0])
    assert folder.done()["diverged_step"] == [-1]
    assert {len(values["high_quality"]) for values in folder.series().values()} == {1}
