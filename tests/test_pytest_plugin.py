"""The pytest plugin, as its users see it: tests of their own, run by a pytest of their own."""

import re
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

SETTINGS = {
    "problem": "ring8", "steps": 20, "batch_size": 16, "probe_every": 10, "samples": 64, "neighbours": 32,
    "network.mlp.width": 8,
}  # fmt: skip
TINY = ", ".join(f"{key.replace('.', '__')}={value!r}" for key, value in SETTINGS.items()) + ", seeds=3"
ONE = {**SETTINGS, "loss": "hinge", "regularizer": "none", "normalization": "none"}
WORDS = ", ".join(repr(f"{key}={value}") for key, value in ONE.items())

LOSS = """
from torch.nn.functional import softplus

def my_loss(real_logits, fake_logits):
    '''My loss.'''
    return softplus(-real_logits).mean() + softplus(fake_logits).mean(), softplus(-fake_logits).mean()
"""


@pytest.fixture
def users(pytester):
    """A project of its own, whose pytest loads the plugin: by itself where ganbench is installed."""
    if not any(entry.name == "ganbench" for entry in entry_points(group="pytest11")):
        pytester.makeconftest('pytest_plugins = ["ganbench.pytest_plugin"]')
    return pytester


def test_plain_function_is_trained_and_a_false_claim_explains_itself(users):
    users.makepyfile(
        f"""{LOSS}
def test_survives(ganbench):
    study = ganbench.run(loss=my_loss, {TINY})
    assert list(study.runs["loss"].unique()) == ["my_loss"]
    assert study.survives(rate=0.8)

def test_not_worse(ganbench):
    study = ganbench.run(loss=[my_loss, "nonsaturating"], {TINY})
    assert study.not_worse_than("nonsaturating", by=0.2)
"""
    )
    result = users.runpytest_subprocess("-q", "--junitxml=out.xml")
    result.assert_outcomes(passed=1, failed=1)
    # twenty steps teach nobody anything
    result.stdout.fnmatch_lines(
        ["*at least 80% should survive: my_loss survives in 0 of 3 seeds (0% to 56%); seed 0: *"]
    )
    xml = (users.path / "out.xml").read_text()
    assert 'name="ganbench_1_plan"' in xml
    assert 'name="ganbench_1_failed" value="3"' in xml


def test_marker_writes_a_baseline_and_then_checks_against_it(users):
    users.makepyfile(
        f"""
import pytest

@pytest.mark.ganbench("smoke", "baseline.json", {WORDS}, seeds=3)
def test_gate():
    pass
"""
    )
    users.runpytest_subprocess("-q", "--ganbench-update").assert_outcomes(skipped=1)
    assert (users.path / "baseline.json").exists()
    result = users.runpytest_subprocess("-q", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*INCONCLUSIVE*"])
    good = (users.path / "baseline.json").read_text().replace('"failed": true', '"failed": false')
    (users.path / "baseline.json").write_text(re.sub(r'"sealed": "\w+",', "", good))
    result = users.runpytest_subprocess("-q")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*REGRESSION*", "*failure rate 100 % in 3 seeds, baseline 0 %*"])


def test_loading_the_plugin_imports_nothing_heavy():
    code = "import sys, ganbench.pytest_plugin; print([m for m in ('torch', 'pandas', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
