"""`ganbench check` in a CI job: three planted regressions are caught, an unchanged tree passes. Takes minutes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ganbench

pytestmark = pytest.mark.slow

PACKAGE = Path(ganbench.__file__).parent
JOB = """
set -u
export GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY="$PWD/summary.md" PYTHONPATH="$PWD/tree"
cd "$PWD"
"$PYTHON" -m ganbench check suite=smoke --baseline baseline.json --out checks --json check.json
"""
AGAINST = """
set -u
export GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY="$PWD/summary.md" PYTHONPATH="$PWD/tree"
cd tree
"$PYTHON" -m ganbench check suite=smoke --against HEAD --out ../checks --json ../check.json
"""
# what is planted (file, text, replacement), and in which variants it must be found
PLANTS = {
    "penalty with its sign flipped": (
        "gan/regularizers.py",
        "return gamma / 2 * squared_input_gradient(critic, real)",
        "return -gamma / 2 * squared_input_gradient(critic, real)",
        "r1",
    ),
    "power iteration frozen": (
        "gan/normalizations.py",
        "            self.u.copy_(u)\n",
        "            pass\n",
        "spectral",
    ),
    "beta1 of 0.99": ("gan/optimizers.py", "beta1: BelowOne = 0.5", "beta1: BelowOne = 0.99", "ring8: "),
}


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baseline")
    study = ganbench.run("smoke", ["seeds=20"], out=folder / "study")
    file = folder / "baseline.json"
    ganbench_command = [sys.executable, "-m", "ganbench", "baseline", str(study.path), "-o", str(file)]
    subprocess.run(ganbench_command, check=True)
    return file


def job(baseline, folder, plant=None, words=""):
    """Check a copy of the package, changed or not, as a CI job does; return exit code and output.

    Without a baseline both sides are trained: the change is not committed.
    """
    tree = folder / "tree"
    shutil.copytree(PACKAGE, tree / "ganbench", ignore=shutil.ignore_patterns("__pycache__"))
    if (PACKAGE.parent / "suites").is_dir():
        shutil.copytree(PACKAGE.parent / "suites", tree / "suites")
    if baseline:
        shutil.copy(baseline, folder / "baseline.json")
    else:
        for asked in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "unchanged"]):
            subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *asked], cwd=tree, check=True)
    if plant:
        file, old, new, _ = plant
        source = (tree / "ganbench" / file).read_text()
        assert old in source
        # the first of them is the one that the smoke suite trains with
        (tree / "ganbench" / file).write_text(source.replace(old, new, 1))
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", (JOB if baseline else AGAINST).rstrip() + " " + words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_regression_is_caught(plant, baseline, tmp_path):
    caught(plant, tmp_path, *job(baseline, tmp_path, PLANTS[plant]))


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_regression_is_caught_against_the_revision_before_it(plant, tmp_path):
    # five seeds against five may say of several variants together what they say of none alone
    caught(plant, tmp_path, *job(None, tmp_path, PLANTS[plant]), alone=False)


def test_unchanged_tree_passes_against_its_own_revision_at_the_first_look(tmp_path):
    code, output = job(None, tmp_path)
    assert code == 0, output
    assert "10 of 10 variants give the same numbers on both sides" in output
    assert json.loads((tmp_path / "check.json").read_text())["seeds"] == 5


def caught(plant, tmp_path, code, output, *, alone=True):
    assert code == 1, output
    assert "::error title=ganbench::" in output
    assert "regressed" in (tmp_path / "summary.md").read_text()
    found = json.loads((tmp_path / "check.json").read_text())["comparisons"]
    *_, where = PLANTS[plant]
    regressed = {c["variant"] for c in found if c["verdict"] == "regressed" and not c["variant"].startswith("all ")}
    assert regressed or not alone, "no variant by itself"
    assert all(where in variant for variant in regressed)


def test_unchanged_tree_passes(baseline, tmp_path):
    code, output = job(baseline, tmp_path)
    assert code == 0, output
    assert "PASS" in output
    assert json.loads((tmp_path / "check.json").read_text())["seeds"] == 20


def test_canary_passes_an_unchanged_tree_after_five_seeds(baseline, tmp_path):
    code, output = job(baseline, tmp_path, words="--canary")
    assert code == 0, output
    assert json.loads((tmp_path / "check.json").read_text())["seeds"] == 5
