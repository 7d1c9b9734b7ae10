"""What `ganbench init` writes, the sample library that it was written into, the action and the hooks."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

import ganbench
from ganbench import api, contracts, kit
from ganbench.cli import app
from ganbench.errors import UserError

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "examples" / "library"
OWN = ("pyproject.toml", "README.md", "ringgan", "tests/test_ringgan.py", "gan_stability/plugins.py")
"""What of the sample library no kit has written."""
pytestmark = [
    pytest.mark.skipif(not LIBRARY.exists(), reason="examples are not installed"),
    pytest.mark.usefixtures("own_registry"),
]
GIT = ("git", "-c", "user.name=n", "-c", "user.email=e@x", "-c", "init.defaultBranch=main")


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def texts(folder):
    """The text files of a folder by their paths below it, what a run leaves behind left out."""
    skipped = {"__pycache__", ".git", ".pytest_cache", "checks", "reports", "baselines"}
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not skipped & set(file.parts)]
    return {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in files}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The sample library without its kit, in the working directory."""
    for place in OWN:
        source, target = LIBRARY / place, tmp_path / "library" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    monkeypatch.chdir(tmp_path / "library")
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    yield tmp_path / "library"
    for name in [name for name in sys.modules if name.partition(".")[0] == "ringgan"]:
        del sys.modules[name]


def git(folder, *words):
    subprocess.run([*GIT, "-C", str(folder), *words], check=True, capture_output=True)


def commit(folder, message):
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


# ---------------------------------------------------------------------------------------------- init


def test_the_sample_library_is_what_init_writes(library):
    done = invoke("init", ".", "--plugin", "gan_stability/plugins.py")
    assert done.exit_code == 0, done.output
    expected = {place: text for place, text in texts(LIBRARY).items() if "egg-info" not in place}
    assert texts(library) == expected
    assert "It trains: suite: 5 runs of 1 variant, 5 seeds each" in done.output
    for line in [line.strip() for line in done.output.splitlines() if line.startswith("  ganbench")]:
        assert parsed(shlex.split(line)[1:])


def test_without_a_plugin_file_one_is_written_that_can_be_trained(tmp_path):
    (tmp_path / "my lib: 1").mkdir()
    done = invoke("init", tmp_path / "my lib: 1")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "my lib: 1"
    assert sorted(texts(folder)) == sorted(kit.PLACES.values())
    assert "What no change of my-lib-1 may make worse" in (folder / kit.SUITE).read_text()
    (plugin,) = contracts.plugins_of(folder / kit.PLUGINS)
    assert [result for result in contracts.verify(plugin) if result.status == "broken"] == []
    study = ganbench.run(
        str(folder / kit.SUITE), ["steps=10", "probe_every=10", "seeds=1", "samples=64", "neighbours=32"],
        plugins=[folder / kit.PLUGINS], out=tmp_path / "study", workers=1,
    )  # fmt: skip
    assert study.runs["status"].tolist() == ["done"]
    for place in (kit.PLUGINS, "tests/test_gan_stability.py"):
        compile((folder / place).read_text(), place, "exec")
    assert yaml.safe_load((folder / ".github/workflows/gan-stability.yml").read_text())["jobs"]
    assert not [text for text in texts(folder).values() if re.search("@[A-Z_]+@", text)]


@pytest.mark.parametrize("place", [*kit.PLACES.values()])
def test_nothing_is_overwritten(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("mine\n")
    done = invoke("init", tmp_path)
    assert str(done.exception) == (
        f"'{tmp_path / place}' exists, and nothing is overwritten: move it away first, or leave the kit as it is. "
        "Nothing was written."
    )
    assert done.exception.exit_code == 2
    assert texts(tmp_path) == {place: "mine\n"}


def test_files_are_named_without_being_written(tmp_path):
    done = invoke("init", tmp_path, "--dry-run")
    assert done.exit_code == 0
    assert done.output.count("Would write") == len(kit.PLACES)
    assert texts(tmp_path) == {}


def test_a_suite_has_what_the_plugin_files_register(tmp_path):
    (tmp_path / "a.py").write_text(
        "from ganbench import register\nfrom ganbench.gan.losses import hinge\n\n"
        "@register('loss')\ndef first(real_logits, fake_logits):\n    return hinge(real_logits, fake_logits)\n"
        "@register('loss')\ndef second(real_logits, fake_logits):\n    return hinge(real_logits, fake_logits)\n"
        "@register('regularizer', acts_on='inputs')\ndef drifts(critic, real, fake, uniform):\n"
        "    'Drift.'\n    return critic(real).square().mean(-1)\n"
    )
    made = kit.kit_for(tmp_path, [tmp_path / "a.py"])
    assert "plugins.py" not in " ".join(made.files)
    suite = yaml.safe_load(made.files[kit.SUITE])
    assert (suite["loss"], suite["regularizer"], suite["problem"]) == (["first", "second"], "drifts", "ring8")
    assert "regularizer.r1.gamma" not in suite
    made.write()
    assert len(api.make_plan(str(tmp_path / kit.SUITE), [], [tmp_path / "a.py"]).variants) == 2
    assert 'PLUGINS = [ROOT / "a.py"]' in made.files["tests/test_gan_stability.py"]
    assert "`../a.py`" in made.files["gan_stability/README.md"]


def test_bad_input_is_told_in_a_sentence(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "empty.py").write_text("")
    (tmp_path / "outside.py").write_text("")
    for folder, plugins, told in (
        ("none", [], "There is no folder '.*none' to write into"),
        ("lib", ["lib/none.py"], "There is no plug-in file '.*none.py'"),
        ("lib", ["outside.py"], "lies outside of '.*lib': the checks of a repository train what is in it"),
        ("lib", ["lib/empty.py"], "'empty.py' registers nothing that a suite chooses, a loss, .*@register"),
    ):
        with pytest.raises(UserError, match=told):
            kit.kit_for(tmp_path / folder, [tmp_path / file for file in plugins])
    (tmp_path / "lib" / "pyproject.toml").write_text("[project\n")
    with pytest.raises(UserError, match=r"'.*pyproject\.toml' does not read"):
        kit.kit_for(tmp_path / "lib")
    assert texts(tmp_path / "lib").keys() == {"empty.py", "pyproject.toml"}


def test_the_templates_are_where_the_package_is_installed():
    assert {file.name for file in kit.TEMPLATES.iterdir() if file.suffix not in (".py", "")} == {*kit.PLACES}


# ---------------------------------------------------------------------------------------------- workflow and action


def parsed(words):
    """What the command line makes of words, without doing it."""
    group = typer.main.get_command(app)
    command = group.get_command(None, words[0])
    return command.make_context(words[0], list(words[1:])).params


def steps_of(file):
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    steps = document["runs"]["steps"] if "runs" in document else document["jobs"]["check"]["steps"]
    return [step for step in steps if "run" in step]


STUB = """#!{python}
import json, os, pathlib, sys
with open(os.environ["SAID"], "a") as file:
    file.write(json.dumps([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
"""


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Programs called pip and ganbench that do nothing but note their words; return what reads them."""
    folder, file = tmp_path / "bin", tmp_path / "said"
    folder.mkdir()
    for name in ("pip", "ganbench"):
        (folder / name).write_text(STUB.format(python=sys.executable))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SAID", str(file))

    def read():
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    return read


def shell(step, folder, **variables):
    """Execute a step as a runner does: its text in a file, by bash -e."""
    script = folder.parent / "step.sh"
    script.write_text(step["run"])
    words = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)]
    return subprocess.run(
        words, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def pulled(library):
    """The sample library with its kit as a pull request's merge: HEAD^1 is the branch that it is for."""
    shutil.rmtree(library)
    shutil.copytree(LIBRARY, library, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    git(library, "init", "-q")
    commit(library, "the branch")
    git(library, "tag", "v1.0")
    (library / "README.md").write_text("a change\n")
    commit(library, "the merge")
    return library


def test_the_steps_of_the_workflow_are_commands_that_there_are(pulled, said):
    install, check, report = steps_of(pulled / ".github/workflows/gan-stability.yml")
    assert shell(install, pulled).returncode == 0
    assert said() == [["pip", "install", "ganbench", "--editable", "."]]
    for event, base, allow in (("pull_request", "HEAD^1", True), ("schedule", "v1.0", False)):
        done = shell(check, pulled, GITHUB_EVENT_NAME=event)
        assert done.returncode == 0, done.stderr
        ((name, *words),) = said()
        params = parsed(words)
        assert (name, params["against"], params["allow_inconclusive"]) == ("ganbench", base, allow)
        assert params["what"] == ["suite=gan_stability/suite.yaml"]
        assert [str(file) for file in params["plugin"]] == ["gan_stability/plugins.py"]
        assert (params["minutes"], str(params["out_dir"])) == (20, "checks")
    for folder in ("base", "own"):
        (pulled / "checks" / folder).mkdir(parents=True)
    assert shell(report, pulled).returncode == 0
    ((_, *words),) = said()
    assert sorted(map(str, parsed(words)["studies"])) == ["checks/base", "checks/own"]


def test_the_pull_request_that_brings_the_gate_is_not_held_up(pulled, said):
    git(pulled, "rm", "-q", "-r", "gan_stability")
    commit(pulled, "a branch without a gate")
    git(pulled, "revert", "--no-edit", "HEAD")
    _, check, _ = steps_of(pulled / ".github/workflows/gan-stability.yml")
    done = shell(check, pulled, GITHUB_EVENT_NAME="pull_request")
    assert (done.returncode, said()) == (0, [])
    assert "::notice::HEAD^1 has no gan_stability/suite.yaml yet" in done.stdout


def action_variables(step, **inputs):
    """The environment of a step of the action, its expressions replaced by inputs or their defaults."""
    given = yaml.safe_load((ROOT / "action" / "action.yml").read_text(encoding="utf-8"))["inputs"]
    values = {name: inputs.get(name.replace("-", "_"), one.get("default", "")) for name, one in given.items()}
    found = {}
    for name, text in step.get("env", {}).items():
        (key,) = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", text).groups()
        found[name] = values[key]
    return found


def test_the_steps_of_the_action_are_commands_that_there_are(pulled, said):
    install, check, report = steps_of(ROOT / "action" / "action.yml")
    done = shell(install, pulled, GITHUB_ACTION_PATH="/somewhere/action", **action_variables(install))
    assert done.returncode == 0, done.stderr
    assert said() == [["pip", "install", "/somewhere/action/..", "--editable", "."]]
    own = {"plugin": "gan_stability/plugins.py", "overrides": "steps=10 loss=*,-fgan_*"}
    done = shell(check, pulled, **action_variables(check, **own))
    assert done.returncode == 0, done.stderr
    ((_, *words),) = said()
    params = parsed(words)
    assert params["what"] == ["suite=gan_stability/suite.yaml", "steps=10", "loss=*,-fgan_*"]
    assert (params["against"], params["baseline"], params["allow_inconclusive"]) == ("HEAD^1", None, False)
    done = shell(check, pulled, **action_variables(check, baseline="b", minutes="", allow_inconclusive="true"))
    ((_, *words),) = said()
    params = parsed(words)
    assert (params["against"], str(params["baseline"]), params["allow_inconclusive"]) == (None, "b", True)
    assert (params["minutes"], params["plugin"] or None) == (None, None)
    assert report["run"] == steps_of(pulled / ".github/workflows/gan-stability.yml")[-1]["run"]


def test_the_hooks_are_commands_that_there_are(tmp_path):
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert {hook["id"]: shlex.split(hook["entry"])[0] for hook in hooks} == {
        "ganbench-verify": "ganbench", "ganbench-check": "ganbench"
    }  # fmt: skip
    verify, check = (shlex.split(hook["entry"])[1:] for hook in hooks)
    # files come behind the words, several at once
    assert len(parsed([*verify, "a.py", "b.py"])["files"]) == 2
    page = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    (example,) = [
        yaml.safe_load(block.removeprefix("yaml")) for block in page.split("```")[1::2] if block.startswith("yaml")
    ]
    used = {hook["id"]: hook.get("args", []) for hook in example["repos"][0]["hooks"]}
    assert parsed([*check, *used["ganbench-check"]])["against"] == "origin/main"
    assert used.keys() == {hook["id"] for hook in hooks}


def test_several_plugin_files_are_verified_at_once(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            "from ganbench import register\nfrom ganbench.gan.losses import hinge\n\n"
            f"@register('loss')\ndef hinge_{name}(real_logits, fake_logits):\n    'Hinge.'\n"
            "    return hinge(real_logits, fake_logits)\n"
        )
    done = invoke("verify", tmp_path / "one.py", tmp_path / "two.py")
    assert "hinge_one" in done.output
    assert "hinge_two" in done.output


# ---------------------------------------------------------------------------------------------- in earnest


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An environment of its own as a job has one, with the packages of this one, and without a way to the network.

    pip is asked by its own variables to install nothing from an index, no dependencies, and to build with what is here.
    """
    if find_spec("pip") is None or find_spec("setuptools") is None:
        pytest.skip("a job's environment needs pip and setuptools")
    home = tmp_path / "environment"
    venv.create(home)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    packages = Path(ganbench.__file__).parents[1]
    (site / "outer.pth").write_text(f"{packages}\n{sysconfig.get_path('purelib')}\n")
    known = site / f"ganbench-{ganbench.__version__}.dist-info"
    known.mkdir()
    (known / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ganbench\nVersion: {ganbench.__version__}\n")
    (known / "entry_points.txt").write_text("[pytest11]\nganbench = ganbench.pytest_plugin\n")
    for name, module in (("pip", "pip"), ("ganbench", "ganbench"), ("pytest", "pytest")):
        script = home / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{home}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    for name in ("PYTHONPATH", "PYTHONHOME", "GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(home), "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return home


def broken(library):
    """Have the generator give the same sample for every latent."""
    file = library / "ringgan" / "networks.py"
    text = file.read_text()
    assert "return self.last(self.body(z))" in text
    file.write_text(text.replace("return self.last(self.body(z))", "return 0 * self.last(self.body(z))"))


@pytest.mark.slow
def test_the_workflow_as_printed_is_red_on_a_regression_and_green_without(pulled, machine, tmp_path):
    install, check, report = steps_of(pulled / ".github/workflows/gan-stability.yml")
    done = shell(install, pulled)
    assert done.returncode == 0, done.stdout + done.stderr
    broken(pulled)
    commit(pulled, "a regression")
    summary = tmp_path / "summary.md"
    job = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    red = shell(check, pulled, **job)
    assert red.returncode == 1, red.stdout + red.stderr
    outcome = json.loads((pulled / "ganbench.json").read_text())
    assert outcome["verdict"] == "regressed"
    (regression,) = outcome["regressions"]
    # what, by how much, p, which seeds, their verdict and evidence, path, picture, command
    worst = regression["worst"]
    assert worst["verdict"] != "converged"
    assert (pulled / worst["picture"]).exists()
    for told in (red.stdout, summary.read_text()):
        for part in (
            regression["variant"],
            worst["evidence"].rstrip("."),
            worst["study"],
            worst["picture"],
            worst["command"],
        ):
            assert part.replace("|", r"\|") in told or part in told
    assert re.search(r"failure rate 100 % in 5 seeds, baseline \d+ % in 5 \(\+\d+ points\): regressed, worse beyond "
                     r"the margin of 20 points \(p = 0\.0", red.stdout)  # fmt: skip
    assert "::error title=ganbench::" in red.stdout
    done = shell(report, pulled)
    assert done.returncode == 0, done.stderr
    assert list(pulled.glob("checks/*/report.html"))
    assert (pulled / "ganbench.xml").exists()
    # taken back, the tree is what it was two commits ago
    git(pulled, "revert", "--no-edit", "HEAD")
    back = shell(check, pulled, **{**job, "GITHUB_EVENT_NAME": "schedule"})
    assert back.returncode == 0, back.stdout + back.stderr
    assert "1 of 1 variants give the same numbers on both sides" in back.stdout


@pytest.mark.slow
def test_the_librarys_own_tests_and_its_gate_in_pytest(pulled, machine):
    assert shell(steps_of(pulled / ".github/workflows/gan-stability.yml")[0], pulled).returncode == 0

    def tests(*words):
        return subprocess.run(["pytest", "-q", "-rs", *words], cwd=pulled, capture_output=True, text=True, check=False)

    missing = tests()
    assert missing.returncode == 1
    assert "--ganbench-update" in missing.stdout
    made = tests("--ganbench-update")
    assert "3 passed" not in made.stdout
    assert made.returncode == 0, made.stdout
    assert list((pulled / "gan_stability" / "baselines").glob("*.json"))
    kept = tests()
    assert kept.returncode == 0, kept.stdout
    broken(pulled)
    red = tests()
    assert red.returncode == 1
    assert "REGRESSION" in red.stdout


@pytest.mark.slow
def test_git_bisect_finds_the_commit(pulled, machine):
    assert shell(steps_of(pulled / ".github/workflows/gan-stability.yml")[0], pulled).returncode == 0
    for number in range(4):
        if number == 2:
            broken(pulled)
        (pulled / "README.md").write_text(f"{number}\n")
        commit(pulled, f"commit {number}")
    lines = [
        line for line in (pulled / "gan_stability" / "README.md").read_text().splitlines() if line.startswith("git bis")
    ]
    start, run = (shlex.split(line) for line in lines)
    subprocess.run(start, cwd=pulled, check=True, capture_output=True)
    done = subprocess.run(run, cwd=pulled, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is the first bad commit" in done.stdout
    assert "commit 2" in done.stdout.partition("is the first bad commit")[2]
