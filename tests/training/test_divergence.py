"""Divergence is data: a run that leaves the finite numbers is frozen, its neighbours do not feel it, and it stays in
every table and denominator (traps 18 and 19)."""

import pytest
import torch
from overriding import over

from ganbench import api
from ganbench.registry import register
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

pytestmark = pytest.mark.usefixtures("own_registry")

CPU = torch.device("cpu")
STEPS = 12
SMALL = ("batch_size=8", "network.mlp.width=8", "steps=100", "seeds=2")


def build(*overrides):
    runs = resolve(None, over([*SMALL, *overrides])).runs
    return Population(runs, make_problem(runs[0].variant), CPU)


def state(population, row):
    """Everything that training moves in one run."""
    tensors = [player.flat[row].clone() for player in (population.generator, population.discriminator)]
    for player in (population.generator, population.discriminator):
        tensors += [value[row].clone() for value in (*player.state.values(), *player.buffers.values())]
    return tensors


def weights(population, row):
    return torch.cat([population.generator.flat[row], population.discriminator.flat[row]]).clone()


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def sick_rows(population, key, value):
    return [row for row, run in enumerate(population.runs) if dict(run.variant.hypers).get(key) == value]


@pytest.mark.parametrize("normalization", ["none", "batch", "layer", "group", "spectral", "weight"])
def test_sick_run_is_frozen_and_its_neighbours_keep_their_bits(normalization):
    common = (f"normalization={normalization}", "loss=hinge,wasserstein,relativistic_pairing")
    key = "optimizer.adam.d_lr"
    sick, well = build(*common, f"{key}=2e-3,1e30"), build(*common, f"{key}=2e-3,1e-3")
    rows = sick_rows(sick, key, 1e30)
    assert len(rows) == 6
    frozen = {}
    for step in range(STEPS):
        train_step(sick)
        train_step(well)
        for row in rows:
            if not sick.alive[row] and row not in frozen:
                assert sick.diverged_step[row] == step
                frozen[row] = (step, weights(sick, row))
    assert well.alive.all()
    assert (well.diverged_step == -1).all()
    others = [row for row in range(len(sick.runs)) if row not in rows]
    for row in others:
        assert sick.alive[row]
        assert sick.diverged_step[row] == -1
        assert same(state(sick, row), state(well, row)), sick.runs[row].id
    if normalization in ("none", "weight"):  # the other norms undo the size of their weights
        assert set(frozen) == set(rows)
    for row, (step, kept) in frozen.items():
        assert kept.isfinite().all()
        assert torch.equal(weights(sick, row), kept)
        assert sick.diverged_step[row] == step


FUSE = {"lit": False, "value": float("inf"), "player": 0}


def _burning(real, fake):
    losses = [torch.relu(1 - real).mean(-1) + torch.relu(1 + fake).mean(-1), -fake.mean(-1)]
    if FUSE["lit"]:
        losses[FUSE["player"]] = losses[FUSE["player"]] + FUSE["value"]
    return tuple(losses)


@pytest.fixture
def burning():
    """A hinge loss that can be set on fire, in the middle of training."""

    @register("loss")
    def burning(real, fake):
        """Hinge until its fuse is lit."""
        return _burning(real, fake)

    FUSE.update(lit=False)
    yield FUSE
    FUSE.update(lit=False)


@pytest.mark.parametrize("regularizer", ["none", "r1", "weight_clipping"])
@pytest.mark.parametrize("player", [0, 1], ids=["critic", "generator"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_the_step_is_recorded_at_which_a_number_was_lost(burning, value, player, regularizer):
    burning.update(value=value, player=player)
    sick, well = (build("loss=burning,hinge", "critic_steps=2", f"regularizer={regularizer}") for _ in range(2))
    rows = [row for row, run in enumerate(sick.runs) if run.variant.loss == "burning"]
    for step in range(STEPS):
        for population in (sick, well):
            burning["lit"] = population is sick and step == 5
            if burning["lit"]:
                before = {row: weights(sick, row) for row in rows}
                train_step(population)
                held = {row: weights(sick, row) for row in rows}
            else:
                train_step(population)
    for row, run in enumerate(sick.runs):
        if row in rows:
            assert sick.diverged_step[row] == 5
            # a critic that failed has not moved; a generator that failed had a critic that moved before it
            size = sick.generator.flat.shape[1]
            assert torch.equal(before[row][:size], held[row][:size])
            assert torch.equal(before[row][size:], held[row][size:]) == (player == 0)
            assert torch.equal(weights(sick, row), held[row]), "the fuse is out again, and yet it stays frozen"
        else:
            assert run.variant.loss == "hinge"
            assert sick.diverged_step[row] == -1
            assert same(state(sick, row), state(well, row))
    assert well.alive.all()


def test_a_lost_gradient_counts_even_where_the_loss_is_finite():
    @register("loss")
    def kinked(real, fake, *, sick: bool = False):
        """The square root of a square has no derivative at zero."""
        extra = (0 * fake).square().sqrt().mean(-1) if sick else 0.0
        return fake.mean(-1) - real.mean(-1) + extra, -fake.mean(-1)

    population = build("loss=kinked", "loss.kinked.sick=true,false")
    d_loss, _ = train_step(population)
    assert d_loss.isfinite().all()
    by_run = {(dict(r.variant.hypers)["loss.kinked.sick"], int(s))
              for r, s in zip(population.runs, population.diverged_step, strict=True)}  # fmt: skip
    assert by_run == {(True, 0), (False, -1)}
    assert population.discriminator.flat.isfinite().all()


@pytest.fixture(scope="module")
def fates(tmp_path_factory):
    """One study in which runs end in every way."""
    from ganbench import registry

    for kind in registry.KINDS:
        registry.load(kind)

    calls = []

    @register("loss", needs={})
    def raising(real, fake):
        """A loss with a bug that shows in the course of training: the first step, which is checked, goes well."""
        calls.append(real.requires_grad)
        if sum(calls) > 5:
            raise RuntimeError("out of luck")
        return fake.mean(-1) - real.mean(-1), -fake.mean(-1)

    overrides = [
        "problem=ring8", "steps=20", "seeds=3", "batch_size=16", "probe_every=5", "samples=64", "neighbours=32",
        "network.mlp.width=8", "loss=hinge", "normalization=none,instance", "optimizer.adam.d_lr=1e30,2e-3",
    ]  # fmt: skip
    out = tmp_path_factory.mktemp("fates")
    try:
        yield (
            api.run(None, overrides, out=out / "numbers", workers=1),
            api.run(None, over([*overrides, "loss=raising"]), out=out / "bug", workers=1),
        )
    finally:
        registry._registry.plugins.pop(("loss", "raising"))


def test_done_diverged_skipped_and_failed_are_four_values(fates):
    numbers, bug = (study.runs.set_index("run") for study in fates)
    assert numbers["status"].value_counts().to_dict() == {"diverged": 3, "done": 3, "skipped": 2}
    assert bug["status"].value_counts().to_dict() == {"failed": 6, "skipped": 2}
    assert set(bug.loc[bug["status"] == "failed", "reason"]) == {"RuntimeError: out of luck"}
    assert set(numbers.loc[numbers["status"] == "skipped", "reason"]) == {
        "instance with network mlp: instance normalization takes its statistics over the pixels of a feature map"
    }
    assert set(numbers.loc[numbers["status"] == "diverged", "reason"]) == {""}
    diverged = numbers["status"] == "diverged"
    assert (numbers.loc[diverged, "optimizer.adam.d_lr"] == 1e30).all()
    assert numbers.loc[diverged, "diverged_step"].between(0, 1).all()
    assert numbers.loc[~diverged, "diverged_step"].isna().all()
    assert (numbers.loc[diverged, "verdict"] == "diverged").all()
    assert (bug.loc[bug["status"] == "failed", "verdict"] == "failed").all()
    assert numbers.loc[numbers["status"] == "skipped", "verdict"].isna().all()
    assert bug["diverged_step"].isna().all()


def test_series_of_a_diverged_run_is_nan_from_then_on_and_no_number_stands_for_it(fates):
    study = fates[0]
    diverged = study.runs.loc[study.runs["status"] == "diverged", "run"]
    measured = study.series.columns.difference(["run", "step", "seconds_per_step"])
    rows = study.series[study.series["run"].isin(diverged)]
    assert sorted(rows["step"].unique()) == [0, 5, 10, 15, 20]
    assert rows.loc[rows["step"] > 0, measured].isna().all(axis=None)
    assert rows.loc[rows["step"] == 0, ["d_loss", "high_quality", "frechet"]].notna().all(axis=None)
    others = study.series[~study.series["run"].isin(diverged)]
    assert others[["d_loss", "g_loss", "high_quality", "frechet", "precision"]].notna().all(axis=None)


def test_diverged_runs_stay_in_the_denominator(fates):
    ranking = fates[0].ranking()
    sick = ranking[ranking["diverged"] > 0]
    assert len(sick) == 1
    row = sick.iloc[0]
    assert (row["seeds"], row["failures"], row["diverged"], row["planned"]) == (3, 3, 3, 3)
    assert row["failure_rate"] == 1.0
    # Wilson's interval of 3 in 3: n / (n + z^2) to 1
    assert row["failure_low"] == pytest.approx(3 / (3 + 1.959964**2), abs=1e-6)
    assert row["failure_high"] == 1.0


def test_failed_runs_stay_in_the_denominator(fates):
    ranking = fates[1].ranking()
    assert ranking["failed"].tolist() == [3, 3]
    assert ranking["seeds"].tolist() == [3, 3]
    assert ranking["failures"].tolist() == [3, 3]


@pytest.mark.parametrize("which", [0, 1])
def test_report_names_every_run_that_ended_badly(fates, which):
    page = fates[which].report().read_text()
    assert "instance normalization takes its statistics over the pixels of a feature map" in page
    assert ("out of luck" in page) == (which == 1)
