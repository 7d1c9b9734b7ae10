"""A user's plug-in file is an equal citizen: found, listed, trained, measured and reported without any other edit."""

import sys

import numpy as np
import pytest
import torch
from overriding import over

from ganbench import api, cli, registry
from ganbench.executors.local import pick_workers
from ganbench.registry import register
from ganbench.suite import resolve
from ganbench.training.losses import loss_slice

pytestmark = pytest.mark.usefixtures("own_registry")

CPU = torch.device("cpu")

MY_LOSS = '''
from ganbench import register


@register("loss")
def my_loss(real, fake, *, slope: float = 1.0):
    """My own soft margin (nobody 2026)."""
    d_loss = (1 + (-slope * real).exp()).log().mean() + (1 + (slope * fake).exp()).log().mean()
    return d_loss, (-fake).mean()
'''

MY_NETWORK = '''
import math

import torch
from torch import nn

from ganbench import register


class Generator(nn.Module):
    def __init__(self, latent_dim, size, width):
        super().__init__()
        self.first = nn.Linear(latent_dim, width)
        self.norm = nn.BatchNorm1d(width)  # with running statistics, as everybody writes it
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, size)

    def forward(self, z):
        hidden = torch.relu(self.norm(self.first(z)))
        return self.last(hidden + torch.sin(self.second(hidden)))


class Critic(nn.Module):
    def __init__(self, size, width):
        super().__init__()
        self.first = nn.Linear(size, width)
        self.gate = nn.Parameter(torch.zeros(width))
        self.last = nn.Linear(width, 1)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return self.last(hidden * torch.sigmoid(self.gate)).squeeze(1)


@register("network")
def my_network(spec, *, width: int = 12):
    """A residual generator against a gated critic, plain modules (nobody 2026)."""
    return Generator(spec.latent_dim, math.prod(spec.shape), width), Critic(math.prod(spec.shape), width)
'''

MY_METRIC = '''
from ganbench.registry import Measure, register


@register("metric", measures={"spread": Measure("mean standard deviation of the samples", None, (0.0, float("inf")))})
def spread(real, fake):
    """How wide the samples lie (nobody 2026)."""
    return {"spread": fake.double().std(-2).mean(-1)}
'''


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        return file

    return write


def main(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["ganbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


# ------------------------------------------------------------------------------------------ a loss


@pytest.mark.parametrize("workers", [1, 2])
def test_a_loss_from_a_file_is_listed_trained_and_reported(write, tiny, tmp_path, monkeypatch, capsys, workers):
    file, out = write("my_loss", MY_LOSS), tmp_path / "study"
    code, listed, _ = main(monkeypatch, capsys, "list", "loss", "--plugin", file)
    assert code == 0
    assert "my_loss" in listed
    assert "My own soft margin (nobody 2026)." in listed
    sweep = [*tiny, "loss=hinge,my_loss", "loss.my_loss.slope=1,2"]
    if workers > 1:
        sweep.append("normalization=none,layer")
    code, _, err = main(monkeypatch, capsys, "run", *sweep, "--plugin", file, "--out", out, "--workers", workers)
    assert (code, err) == (0, "")
    study = api.load(out)
    assert set(study.runs["status"]) == {"done"}
    assert set(study.runs["loss"]) == {"hinge", "my_loss"}
    assert set(study.runs["loss.my_loss.slope"].dropna()) == {1.0, 2.0}
    assert study.plan.plugin_files == (str(file),)
    assert study.plan.versions["loss.my_loss"] == registry.get("loss", "my_loss").version
    assert "my_loss" in (out / "report.html").read_text()


def test_report_says_what_each_plugin_is(write, tiny, tmp_path):
    study = api.run(
        None, [*tiny, "loss=my_loss"], plugins=[write("my_loss", MY_LOSS)], out=tmp_path / "study", workers=1
    )
    assert "My own soft margin (nobody 2026)." in study.report().read_text()


def test_report_is_written_where_the_plugin_is_gone(write, tiny, tmp_path):
    file, out = write("my_loss", MY_LOSS), tmp_path / "study"
    api.run(None, [*tiny, "loss=my_loss"], plugins=[file], out=out, workers=1)
    file.unlink()
    registry._registry.plugins.pop(("loss", "my_loss"))
    assert "my_loss" in api.load(out).report().read_text()


HINGES = '''
import torch

from ganbench import register


@register("loss", boundary=0.0)
def plain(real, fake, *, margin: float = 1.0):
    """Hinge with a plain mean."""
    return torch.relu(margin - real).mean() + torch.relu(margin + fake).mean(), -fake.mean()


@register("loss", boundary=0.0)
def peeking(real, fake, *, margin: float = 1.0):
    """Hinge that looks at a number, which vmap cannot do."""
    margin = margin if real.mean().item() < 1e9 else 0.0
    return torch.relu(margin - real).mean() + torch.relu(margin + fake).mean(), -fake.mean()
'''


def test_what_vmap_cannot_do_runs_looped_with_the_same_numbers(write, tiny, tmp_path):
    registry.load_file(write("hinges", HINGES))
    variants = {v.loss: v for v in resolve(None, ["loss=hinge,plain,peeking"]).variants}
    slices = {name: loss_slice(variant, slice(0, 4), CPU) for name, variant in variants.items()}
    assert {name: part.how for name, part in slices.items()} == {
        "hinge": "direct", "plain": "vmap", "peeking": "looped",
    }  # fmt: skip
    logits = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    for name in ("plain", "peeking"):
        for ours, theirs in zip(slices[name](*logits), slices["hinge"](*logits), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)
    study = api.run(None, [*tiny, "loss=hinge,plain,peeking"], out=tmp_path / "study", workers=1)
    measured = study.series.merge(study.runs[["run", "loss", "seed"]], on="run").drop(columns=["run"])
    columns = ["d_loss", "g_loss", "frechet", "g_gradient_norm", "real_logit", "sliced_wasserstein"]
    by = {name: rows.sort_values(["seed", "step"])[columns].to_numpy() for name, rows in measured.groupby("loss")}
    for name in ("plain", "peeking"):
        np.testing.assert_allclose(by[name], by["hinge"], rtol=1e-4, atol=1e-5)


def test_a_branch_on_a_number_belongs_to_its_run():
    @register("loss")
    def branching(real, fake):
        """Ten times the step where the critic is confident."""
        factor = 10.0 if real.mean() > 2 else 1.0
        return factor * (fake.mean(-1) - real.mean(-1)), -fake.mean(-1)

    part = loss_slice(resolve(None, ["loss=branching"]).variants[0], slice(0, 2), CPU)
    real = torch.tensor([[1.0] * 8, [10.0] * 8])
    d_loss, _ = part(real, torch.zeros(2, 8))
    assert d_loss.tolist() == [-1.0, -100.0]


# ------------------------------------------------------------------------------------------ a network


def test_plain_modules_of_a_user_train_like_the_ordinary_loop(write, tiny, tmp_path):
    from ganbench.training.building import build_networks, make_problem
    from ganbench.training.population import Population
    from ganbench.training.step import train_step

    registry.load_file(write("my_network", MY_NETWORK))
    overrides = ["network=my_network", "loss=nonsaturating,hinge", "seeds=2", "batch_size=16", "steps=100"]
    runs = resolve(None, over([*overrides, "optimizer.adam.decay=none"])).runs
    population = Population(runs, make_problem(runs[0].variant), CPU, torch.float64)
    row = next(row for row, run in enumerate(population.runs) if run.variant.loss == "hinge" and run.seed == 1)
    g, d = (m.double() for m in build_networks(runs[0].variant, population.problem, 1))
    adams = [torch.optim.Adam(m.parameters(), lr=2e-3, betas=(0.5, 0.999)) for m in (d, g)]
    for step in range(10):
        draw = {name: population.draw(name, step)[row] for name in ("data", "d latent", "g latent")}
        train_step(population)
        d_loss = torch.relu(1 - d(draw["data"])).mean() + torch.relu(1 + d(g(draw["d latent"]).detach())).mean()
        adams[0].zero_grad()
        d_loss.backward()
        adams[0].step()
        adams[1].zero_grad()
        (-d(g(draw["g latent"])).mean()).backward()
        adams[1].step()
    for player, module in ((population.generator, g), (population.discriminator, d)):
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(player.frozen[name][row], parameter.detach(), rtol=0, atol=1e-9)
    for name, buffer in g.named_buffers():
        torch.testing.assert_close(population.generator.buffers[name][row], buffer, rtol=1e-9, atol=1e-12)


def test_a_network_from_a_file_is_measured_like_any_other(write, tiny, tmp_path):
    file = write("my_network", MY_NETWORK)
    overrides = [*tiny, "network=mlp,my_network", "network.my_network.width=6"]
    study = api.run(None, overrides, plugins=[file], out=tmp_path / "study", workers=1)
    assert set(study.runs["status"]) == {"done"}
    rows = study.series.merge(study.runs[["run", "network"]], on="run")
    mine = rows[rows["network"] == "my_network"]
    for column in ("frechet", "d_gradient_norm", "g_gradient_norm.2_batchnorm1d", "d_spectral_norm", "saturation"):
        assert mine[column].notna().all(), column
    layers = {c for c in mine.columns[mine.notna().any()] if c.startswith("d_gradient_norm.")}
    assert layers == {"d_gradient_norm.1_critic", "d_gradient_norm.2_linear", "d_gradient_norm.3_linear"}


def test_a_parameter_may_be_a_single_number(write, tiny, tmp_path):
    text = MY_NETWORK.replace("torch.zeros(width)", "torch.zeros(())")
    overrides = [*[key for key in tiny if "mlp" not in key], "network=my_network"]
    study = api.run(None, overrides, plugins=[write("my_network", text)], out=tmp_path / "study", workers=1)
    assert set(study.runs["status"]) == {"done"}


# ------------------------------------------------------------------------------------------ a metric


def test_a_metric_from_a_file_is_a_column_with_its_oracle(write, tiny, tmp_path):
    file = write("spread", MY_METRIC)
    study = api.run(None, tiny, plugins=[file], out=tmp_path / "study", workers=1)
    assert study.series["spread"].notna().all()
    assert study.measures["spread"].legend == "mean standard deviation of the samples"
    assert "metric.spread" in study.plan.versions
    # standardised mixture: variance 1 an axis
    assert study.oracle["ring8"]["spread"] == pytest.approx(1.0, abs=0.03)
    for run in study.plan.runs:
        last = study.series[study.series["run"] == run.id].iloc[-1]
        want = study.samples(run.id)[20].astype(float).std(axis=0, ddof=1).mean()
        assert last["spread"] == pytest.approx(want, rel=2e-3), "samples are kept in half precision"


def test_report_knows_a_column_whose_metric_is_gone(write, tiny, tmp_path):
    study = api.run(None, tiny, plugins=[write("spread", MY_METRIC)], out=tmp_path / "study", workers=1)
    registry._registry.plugins.pop(("metric", "spread"))
    again = api.load(study.path)
    assert again.series["spread"].notna().all()
    assert again.report().exists()
    assert len(again.ranking()) == 1


def test_a_plugin_of_this_session_trains_in_this_process(tiny, tmp_path):
    @register("loss")
    def of_the_session(real, fake):
        """A loss of a notebook."""
        return fake.mean() - real.mean(), -fake.mean()

    plan = resolve(None, [*tiny, "loss=of_the_session"])
    assert pick_workers(plan, "cpu", 4) == 0
    study = api.execute_plan(plan, out=tmp_path / "study", workers=4)
    assert set(study.runs["status"]) == {"done"}


def test_an_edited_plugin_makes_another_plan(write, tiny):
    file = write("my_loss", MY_LOSS)
    registry.load_file(file)
    first = resolve(None, [*tiny, "loss=my_loss"])
    registry._registry.plugins.pop(("loss", "my_loss"))
    registry._registry.files.remove(str(file))
    file.write_text(MY_LOSS.replace("(-fake).mean()", "(1 - fake).mean()"))
    registry.load_file(file)
    assert resolve(None, [*tiny, "loss=my_loss"]).hash != first.hash


# ------------------------------------------------------------------------------------------ a study is data


def poisoned(study, tmp_path):
    """Have a study's plan name a file that would tell that it was run."""
    evil, told = tmp_path / "evil.py", tmp_path / "told"
    evil.write_text(f"open({str(told)!r}, 'w').close()")
    file = study / "plan.yaml"
    text = file.read_text()
    start = text.index("plugin_files:")
    rest = text[start:].split("\n", 1)[1].lstrip("- ") if "plugin_files:\n" in text else text[start:].split("\n", 1)[1]
    file.write_text(f"{text[:start]}plugin_files: ['{evil}']\n{rest[rest.index('versions:') :]}")
    assert api.load(study).plan.plugin_files == (str(evil),)
    return told


def test_a_study_runs_no_code_that_the_command_did_not_name(tiny, tmp_path, monkeypatch, capsys):
    out = tmp_path / "study"
    overrides = [*tiny, "normalization=none,layer"]
    whole = api.run(None, overrides, out=out, workers=1)
    told = poisoned(out, tmp_path)
    for file in out.glob("populations/*/done.json"):
        file.unlink()
    for command in (
        ["run", *overrides, "--out", out, "--workers", 2],
        ["report", out],
        ["export", out, "--format", "csv"],
    ):
        code, _, err = main(monkeypatch, capsys, *command)
        assert (code, err) == (0, ""), command
        assert not told.exists(), command
    assert set(api.load(out).runs["status"]) == {"done"}
    assert api.load(out).plan.plugin_files == whole.plan.plugin_files, "the list is that of the last command"


def test_a_study_goes_on_with_a_plugin_that_has_moved(write, tiny, tmp_path, monkeypatch, capsys, own_registry):
    file, out, new = write("my_loss", MY_LOSS), tmp_path / "study", tmp_path / "new" / "my_loss.py"
    overrides = [*tiny, "loss=my_loss", "normalization=none,layer"]
    command = ["run", *overrides, "--out", out, "--workers", 2]
    code, _, err = main(monkeypatch, capsys, *command, "--plugin", file)
    assert (code, err) == (0, "")
    before = api.load(out)
    new.parent.mkdir()
    file.rename(new)
    next(out.glob("populations/*/done.json")).unlink()
    registry._registry.plugins.pop(("loss", "my_loss"))
    registry._registry.files.remove(str(file))
    code, _, err = main(monkeypatch, capsys, *command)
    assert code == 2
    assert err.startswith("Error: Unknown loss 'my_loss'. Available: ")
    assert err.endswith(f". The study in '{out}' was trained with plug-ins: add --plugin {file}.\n")
    code, _, err = main(monkeypatch, capsys, *command, "--plugin", new)
    assert (code, err) == (0, "")
    after = api.load(out)
    assert after.plan.plugin_files == (str(new),)
    assert after.plan.hash == before.plan.hash
    assert set(after.runs["status"]) == {"done"}
