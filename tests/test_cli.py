"""The command line: what it prints, where it ends, and one sentence for every mistake."""

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from overriding import over

import ganbench
from ganbench import cli, registry
from ganbench.errors import UserError
from ganbench.reading import suite_names
from ganbench.suite import resolve

pytestmark = pytest.mark.usefixtures("own_registry")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run a command line in this process, in an empty directory; return exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ganbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def contents(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize(
    "words",
    [["run", "suite=smoke", "--out", ""], ["run", "", "--dry-run"], ["clean", "", "--yes"], ["serve", ".", "--host="],
     ["publish", ""], ["archive", "study", "-o", ""], ["check", "study", "--variant=", "--baseline", "b.json"]],
)  # fmt: skip
def test_an_argument_that_is_empty_is_no_folder(command, words):
    code, _, told = command(*words)
    assert (code, told.count("An argument is empty: ")) == (2, 1), told
    assert list(Path.cwd().iterdir()) == []


def test_a_suite_is_shown_without_what_moves_a_terminal_and_refused_where_it_is_no_text(command):
    Path("mine.yaml").write_bytes(b"# \x1b[2J\x07\nloss: hinge\n")
    assert command("show", "suite", "mine.yaml")[:2] == (0, "# \\x1b[2J\\x07\nloss: hinge\n")
    Path("latin.yaml").write_bytes(b"# caf\xe9\n")
    code, _, told = command("show", "suite", "latin.yaml")
    assert (code, told.count("\n")) == (2, 1)
    assert told.startswith("Error: Cannot read the suite 'latin.yaml'")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished study and the overrides that made it."""
    from ganbench import api

    overrides = ["problem=ring8", "steps=20", "seeds=2", "batch_size=16", "probe_every=10", "samples=64",
                 "neighbours=32", "network.mlp.width=8"]  # fmt: skip
    study = api.run(None, overrides, out=tmp_path_factory.mktemp("trained") / "study", workers=1)
    study.report()
    return study.path, overrides


# ------------------------------------------------------------------------------------------ mistakes

BAD_LOSS = """
from ganbench import register
from ganbench.errors import UserError
raise ZeroDivisionError("division by zero [of all things]")
"""

MISTAKES = {
    "unknown suite": (["suite=stabilty"],
        f"Unknown suite 'stabilty'. Did you mean 'stability'? Available: {', '.join(suite_names())}."),
    "two suites": (["suite=smoke", "suite=stability"], "One suite at a time, got smoke, stability."),
    "unknown key": (["los=hinge"], "Unknown key 'los'. Did you mean 'loss'? Available: allow, batch_size, "
        "claims, critic_steps, description, diagnostics, executor, feature_spaces, g_normalization, g_regularizer, "
        "generator_steps, latent, latent_dim, loss, margins, metrics, model, neighbours, network, "
        "normalization, numerics, optimizer, probe_every, problem, regularizer, samples, seeds, "
        "steps, suite, term, time_limit, trick, tuning, update."),
    "unknown loss": (["loss=hing"], "Unknown loss 'hing'. Did you mean 'hinge'? Available: {losses}."),
    "no value": (["loss"], "Cannot read 'loss': an override is written key=value, for example loss=hinge,minimax."),
    "wrong type": (["steps=many"],
        "The key 'steps' has the wrong type: input should be a valid integer, got 'many'."),
    "empty grid": (["loss=[]"], "The key 'loss' is empty, so the grid has no runs."),
    "all skipped": (["normalization=instance"],
        "The plan has no runs: every combination is skipped (instance with network mlp: instance normalization takes "
        "its statistics over the pixels of a feature map)."),
    "no seeds": (["seeds=0"], "The key 'seeds' needs at least 1 seed, got 0."),
    "no suite file": (["suite=no.yaml"], "There is no suite file 'no.yaml'."),
    "unreadable suite": (["suite=bad.yaml"],
        "Cannot read the suite 'bad.yaml' at line 2: mapping values are not allowed here."),
    "no plug-in file": (["--plugin", "no.py"], "There is no plug-in file 'no.py'."),
    "plug-in raises": (["--plugin", "bad.py"],
        "The plug-in file 'bad.py' raised ZeroDivisionError at import: division by zero [of all things]"),
    "unwritable": (["--out", "file/study"], "Cannot write to 'file/study': Not a directory."),
    "out is a file": (["--out", "file"], "The output 'file' exists and is not a study; choose another --out."),
    "out is no study": (["--out", "thesis"], "The output 'thesis' exists and is not a study; choose another --out."),
    "tpu": (["--device", "tpu"], "Unknown device 'tpu'. Did you mean 'cpu'? Available: auto, cpu, cuda."),
    "no workers": (["--workers", "0"], "The number of workers must be at least 1, got 0."),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("where", ["nowhere", "in a study"])
def test_a_mistake_is_one_sentence_and_touches_nothing(command, trained, tmp_path, mistake, where):
    (tmp_path / "bad.yaml").write_text("loss: hinge\nsteps: 3: 4\n")
    (tmp_path / "bad.py").write_text(BAD_LOSS)
    (tmp_path / "file").write_text("")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    path, overrides = trained
    arguments, told = MISTAKES[mistake]
    if where == "in a study" and "--out" not in arguments:
        keys = {text.partition("=")[0] for text in arguments}
        others = [text for text in overrides if text.partition("=")[0] not in keys]
        arguments = [*others, *arguments, "--out", path]
    before, files = contents(path), contents(tmp_path)
    code, out, err = command("run", *arguments)
    assert err == f"Error: {told.format(losses=', '.join(sorted(registry.names('loss'))))}\n"
    assert code == 2
    assert "Traceback" not in out + err
    assert contents(path) == before
    assert contents(tmp_path) == files


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_cuda(command, tmp_path):
    code, _, err = command("run", "--device", "cuda")
    assert err == "Error: There is no CUDA device here (torch.cuda.is_available() is False); use --device cpu.\n"
    assert code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", ["seeds=3", "loss=minimax", "steps=30"])
def test_study_of_another_plan_is_refused_and_untouched(command, trained, change):
    path, overrides = trained
    before = contents(path)
    code, _, err = command("run", *over([*overrides, change]), "--out", path)
    one, other = resolve(None, over([*overrides, change])), resolve(None, overrides)
    assert err == (
        f"Error: The directory '{path}' holds a study of another plan (custom, {other.hash}; this is custom, "
        f"{one.hash}). Choose another --out, or start over with --fresh.\n"
    )
    assert code == 2
    assert contents(path) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["report", "no"], "There is no study in 'no' (no plan.yaml)."),
        (["report", "."], "There is no study in '.' (no plan.yaml)."),
        (["list", "losses"], "Unknown kind 'losses'. Did you mean 'loss'? Available: diagnostic, executor, "
         "feature_space, loss, metric, model, network, normalization, optimizer, problem, regularizer, suite, term, "
         "trick, update, verdict."),
        (["show", "problem", "rng8"], "Unknown problem 'rng8'. Did you mean 'ring8'? Available: {problems}."),
        (["show", "suite", "smok"],
         f"Unknown suite 'smok'. Did you mean 'smoke'? Available: {', '.join(suite_names())}."),
        (["list", "--plugin", "no.py"], "There is no plug-in file 'no.py'."),
    ],
)  # fmt: skip
def test_mistakes_in_other_commands(command, tmp_path, arguments, told):
    code, _, err = command(*arguments)
    assert err == f"Error: {told.format(problems=', '.join(sorted(registry.names('problem'))))}\n"
    assert code == 2
    assert not list(tmp_path.iterdir())


def test_damaged_study(command, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "plan.yaml").write_text("schema: 1\n")
    code, _, err = command("report", "study")
    what = "it has no key 'name'; without it nothing of the study reads"
    assert err == f"Error: The file 'study/plan.yaml' is damaged: {what}.\n"
    assert code == 2


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("optimizer.adam.decay=sqroot",
         "Unknown decay of the learning rate 'sqroot'. Did you mean 'sqrt'? Available: cosine, linear, none, sqrt."),
        ("problem.ring8.std=-1", "The problem 'ring8' needs a std above 0, got -1.0."),
        ("network.mlp.width=-5", "The network 'mlp' needs a width and a depth of at least 1, got -5 and 2."),
    ],
)  # fmt: skip
def test_impossible_value_of_a_hyper_parameter(command, tiny, tmp_path, override, told):
    code, _, err = command("run", *over([*tiny, override]), "--out", "study", "--workers", "1")
    assert err == f"Error: {told}\n"
    assert code == 2
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------ light feet


@pytest.mark.parametrize(
    "code",
    [
        "import ganbench",
        "import ganbench.cli",
        "import sys; sys.argv = ['ganbench', '--help']; import runpy, contextlib\n"
        "with contextlib.suppress(SystemExit): runpy.run_module('ganbench', run_name='__main__')",
        "import sys; sys.argv = ['ganbench', 'run', '--help']; import runpy, contextlib\n"
        "with contextlib.suppress(SystemExit): runpy.run_module('ganbench', run_name='__main__')",
        "import sys; sys.argv = ['ganbench', 'list']; import contextlib; from ganbench import cli\n"
        "with contextlib.suppress(SystemExit): cli.main()",
    ],
    ids=["import", "cli", "--help", "run --help", "list"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    heavy = ("torch", "pandas", "numpy", "scipy", "sklearn", "matplotlib")
    script = f"{code}\nimport sys, json; print('\\n' + json.dumps([m for m in {heavy!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_module_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "ganbench", "run", "loss=hing"], env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: Unknown loss 'hing'. Did you mean 'hinge'?")
    assert len(done.stderr.splitlines()) == 1


def test_version(command):
    assert command("--version") == (0, f"ganbench {ganbench.__version__}\n", "")


# ------------------------------------------------------------------------------------------ list and show


def test_list_names_everything(command):
    code, out, _ = command("list")
    assert code == 0
    for kind in registry.KINDS:
        for plugin in registry.plugins(kind):
            assert plugin.name in out
    for name in suite_names():
        assert name in out


@pytest.mark.parametrize("kind", registry.KINDS)
def test_list_of_a_kind_and_show_of_each(command, kind):
    code, out, _ = command("list", kind)
    assert code == 0
    flat = " ".join(out.split())
    for plugin in registry.plugins(kind):
        assert f"{plugin.name} " in out
        assert plugin.legend.split("(")[0].split()[0] in flat
        code, shown, err = command("show", kind, plugin.name)
        assert (code, err) == (0, "")
        assert shown.startswith(f"{kind} {plugin.name}  {plugin.legend}\n")
        for hyper, default in plugin.hypers.items():
            assert f"  {kind}.{plugin.name}.{hyper} = {default}\n" in shown
        for need, reason in plugin.needs.items():
            assert f"  needs {need}: {reason}\n" in shown
        for measure in plugin.meta.get("measures", {}):
            assert f"  {measure}: " in shown
        try:
            told = f"version {plugin.version_with([plugin.hypers])}"
        except UserError as error:
            assert plugin.declared("external")
            told = f"without a version: {error}"
        assert f"  {told}, {plugin.source}\n" in shown


@pytest.mark.parametrize("name", suite_names())
def test_show_suite_prints_its_file(command, name):
    from ganbench.reading import suite_file

    assert command("show", "suite", name) == (0, suite_file(name).read_text().rstrip() + "\n", "")


# ------------------------------------------------------------------------------------------ run


def test_dry_run_prints_the_plan_and_creates_nothing(command, tiny, tmp_path):
    from ganbench.executors.work import populations

    overrides = [*tiny, "loss=hinge,minimax", "normalization=none,batch,instance", "regularizer=none,r1"]
    code, out, err = command("run", *overrides, "--dry-run", "--workers", "2")
    assert (code, err) == (0, "")
    assert out.startswith("custom: 12 runs of 6 variants, 2 seeds each, 6 skipped\n")
    plan = resolve(None, overrides)
    for name, runs in populations(plan, "cpu").items():
        (line,) = [line.split() for line in out.splitlines() if line.split()[:1] == [name]]
        assert line[1:3] == [str(len(runs)), "20"]
    assert (
        "skipped, 4 variants: instance with network mlp: instance normalization takes its statistics over the pixels "
        "of a feature map\n"
    ) in out
    assert (
        "skipped, 2 variants: r1 with normalization batch: a gradient penalty is defined per sample, and batch "
        "statistics mix the samples\n"
    ) in out
    assert not list(tmp_path.iterdir())


def test_dry_run_of_a_shard_is_of_its_own_populations(command, tiny, tmp_path):
    from ganbench.executors.work import populations

    overrides = [*tiny, "loss=hinge", "normalization=none,layer,spectral"]
    names = set(populations(resolve(None, overrides), "cpu"))
    assert len(names) == 3
    seen = []
    for shard, runs in (("1/2", 4), ("2/2", 2)):
        code, out, err = command("run", *overrides, "--dry-run", "--workers", "1", "--shard", shard)
        assert (code, err) == (0, "")
        head, told, *rest = out.splitlines()
        assert head == "custom: 6 runs of 3 variants, 2 seeds each"
        assert told == f"Of these shard {shard} has {runs} runs."
        seen += [line.split()[0] for line in rest if line.split()[0] in names]
        assert "have ended" not in out
    assert sorted(seen) == sorted(names)
    told = command("run", *overrides, "--dry-run", "--workers", "1", "--shard", "4/4")[1]
    assert told.endswith("Nothing is left to do: there are more shards than populations.\n")
    assert command("run", *overrides, "--dry-run", "--shard", "3/2")[0] == 2
    assert not list(tmp_path.iterdir())


def test_run_report_and_the_way_back(command, tiny, tmp_path):
    code, out, err = command("run", *tiny, "--out", "study", "--workers", "1")
    assert (code, err) == (0, "")
    assert out.startswith("custom: 2 runs of 1 variant, 2 seeds each -> study\n")
    assert out.endswith("Report: study/report.html\n")
    before = contents(tmp_path / "study")
    assert command("run", *tiny, "--out", "study", "--workers", "1")[0] == 0
    after = contents(tmp_path / "study")
    assert {name for name in before if before[name] != after.get(name)} <= {"report.html"}
    assert before.keys() == after.keys()
    (tmp_path / "study" / "report.html").unlink()
    assert command("report", "study") == (0, "Report: study/report.html\n", "")
    assert (tmp_path / "study" / "report.html").exists()


FRAGILE = """
from pathlib import Path

from ganbench import register

STEPS = {{"made": 0}}

@register("loss")
def fragile(real, fake):
    '''Fails in its third step for as long as the machine is sick.'''
    STEPS["made"] += real.requires_grad and real.dim() > 1
    if STEPS["made"] > 3 and Path({sick!r}).exists():
        raise RuntimeError("the machine is sick [really]")
    return (-real).mean(-1) + fake.mean(-1), -fake.mean(-1)
"""


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_failed_population_costs_itself_only_and_is_retried_alone(command, tiny, tmp_path, workers):
    sick = tmp_path / "sick"
    sick.write_text("")
    plugin = tmp_path / "fragile.py"
    plugin.write_text(FRAGILE.format(sick=str(sick)))
    suite = tmp_path / "half.yaml"
    suite.write_text("problem: [ring8, grid25]\nper_problem: {ring8: {loss: fragile}, grid25: {loss: hinge}}\n")
    overrides = ["suite=half.yaml", *[text for text in tiny if not text.startswith("problem")]]
    arguments = ["run", *overrides, "--plugin", plugin, "--out", "study", "--workers", workers]
    code, out, err = command(*arguments)
    assert code == 5
    assert "2 runs failed: RuntimeError: the machine is sick [really]\n" in err
    assert "Traceback" not in out + err
    assert (tmp_path / "study" / "report.html").exists()
    from ganbench import api

    first = api.load(tmp_path / "study")
    assert first.runs.groupby("problem")["status"].agg(set).to_dict() == {"ring8": {"failed"}, "grid25": {"done"}}
    (failure,) = [json.loads(f.read_text()) for f in (tmp_path / "study").glob("populations/*/failed.json")]
    assert failure["error"] == "RuntimeError: the machine is sick [really]"
    assert "fragile.py" in failure["details"], "the traceback leads to the culprit"
    done = {f: f.stat().st_mtime_ns for f in (tmp_path / "study").glob("populations/grid25*/*")}
    assert len(done) > 3
    sick.unlink()
    code, _, err = command(*arguments)
    assert (code, err) == (0, "")
    second = api.load(tmp_path / "study")
    assert set(second.runs["status"]) == {"done"}
    assert {f: f.stat().st_mtime_ns for f in done} == done
    assert len(second.series) == 4 * 3
    assert not list((tmp_path / "study").glob("populations/*/failed.json"))


def test_version_is_the_packages():
    import ganbench

    try:
        assert importlib.metadata.version("ganbench") == ganbench.__version__
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("ganbench is not installed here")


def test_two_studies_in_one_report(command, tmp_path, tiny):
    for name, loss in (("one", "hinge"), ("two", "minimax")):
        assert command("run", *tiny, f"loss={loss}", "--out", name, "--workers", "1")[0] == 0
    code, out, err = command("report", "one", "two", "-o", "both.html")
    assert (code, out.splitlines()[0], err) == (0, "Report: both.html", "")
    html = (tmp_path / "both.html").read_text()
    assert "id=s2-findings" in html
    assert "id=compare" in html
    (tmp_path / "file").touch()
    code, _, err = command("report", "one", "two", "-o", "file/both.html")
    assert code == 2
    assert err.startswith("Error: Cannot write to 'file'")
