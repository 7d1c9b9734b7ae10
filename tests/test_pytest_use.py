"""The pytest plug-in under the options that its users have: warnings as errors, workers, no cache, bad markers."""

from importlib.metadata import entry_points
from importlib.util import find_spec
from xml.etree import ElementTree

import pytest

pytest_plugins = ["pytester"]

TINY = (
    "problem=ring8", "loss=hinge", "normalization=none", "regularizer=none", "steps=10", "batch_size=16",
    "probe_every=10", "samples=32", "neighbours=16", "network.mlp.width=4",
)  # fmt: skip
WORDS = ", ".join(map(repr, TINY))
SIZES = "steps=10, batch_size=16, probe_every=10, samples=32, neighbours=16, network__mlp__width=4"
RUN = f"problem='ring8', {SIZES}, seeds=1"
GATED = f"""
import pytest

@pytest.mark.ganbench("smoke", "b.json", {WORDS}, seeds=3)
def test_gate():
    pass

def test_fixture(ganbench):
    assert len(ganbench.run({RUN}).runs) == 1
"""


@pytest.fixture
def users(pytester):
    """A project of its own, whose pytest loads the plug-in: by itself where ganbench is installed."""
    if not any(entry.name == "ganbench" for entry in entry_points(group="pytest11")):
        pytester.makeconftest('pytest_plugins = ["ganbench.pytest_plugin"]')
    return pytester


@pytest.mark.slow
def test_warnings_as_errors_with_a_junit_file_and_without_a_cache(users):
    users.makepyfile(GATED)
    users.runpytest_subprocess("--ganbench-update", "-W", "error").assert_outcomes(passed=1, skipped=1)
    options = ("-W", "error", "--junitxml=x.xml", "-p", "no:cacheprovider", "--strict-markers")
    users.runpytest_subprocess(*options).assert_outcomes(passed=1, skipped=1)
    cases = {case.get("name"): case for case in ElementTree.parse(users.path / "x.xml").iter("testcase")}
    told = {name: {p.get("name"): p.get("value") for p in case.iter("property")} for name, case in cases.items()}
    assert told["test_gate"] == {"ganbench_verdict": "inconclusive", "ganbench_seeds": "3"}
    assert told["test_fixture"]["ganbench_1_failed"] == "1"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("xdist") is None, reason="pytest-xdist is not installed")
def test_workers_write_one_whole_baseline_and_check_against_it(users):
    marked = f'@pytest.mark.ganbench("smoke", "b.json", {WORDS}, seeds=3)'
    users.makepyfile(f"import pytest\n{marked}\ndef test_a(): pass\n{marked}\ndef test_b(): pass\n")
    users.runpytest_subprocess("-n", "2", "--ganbench-update").assert_outcomes(skipped=2)
    from ganbench.results.baseline import load_baseline

    (variant,) = load_baseline(users.path / "b.json").variants
    assert [run.seed for run in variant.runs] == [0, 1, 2]
    assert [file.name for file in users.path.glob("*b.json*")] == ["b.json"]
    users.runpytest_subprocess("-n", "2", "-W", "error", "--junitxml=x.xml").assert_outcomes(skipped=2)
    verdicts = [p.get("value") for p in ElementTree.parse(users.path / "x.xml").iter("property")]
    assert verdicts == ["inconclusive", "3"] * 2


MARKERS = {
    '"smoke"': "it missing 1 required positional argument: 'baseline'",
    '"smoke", "b.json", seed=3': "it got an unexpected keyword argument 'seed'",
    '"smoke", "b.json", plugins="x.py"': "'plugins' takes a list of files, got 'x.py'",
    '"smoke", "b.json", variants="hinge"': "'variants' takes a list of texts, got 'hinge'",
    '"smoke", "b.json", seeds=0': "'seeds' takes a whole number of at least 1, got 0",
    '"smoke", "b.json", seeds=True': "'seeds' takes a whole number of at least 1, got True",
    '"smoke", "b.json", 3': "'overrides' takes texts key=value, got (3,)",
    '"smoke", 3': "'baseline' takes a file, got 3",
    '"smoke", "b.json", "seeds=4", seeds=3': "'seeds' is given twice, by name and as an override",
}


def test_mistake_of_the_user_is_one_sentence(users):
    tests = [f"@pytest.mark.ganbench({words})\ndef test_{i}(): pass" for i, words in enumerate(MARKERS)]
    tests += ['@pytest.mark.ganbench("smoke", "b.json")\ndef test_damaged(): pass']
    tests += ["def test_run(ganbench):\n    ganbench.run(loss='hing')"]
    caught = "    with pytest.raises(Exception, match='hing'):\n        ganbench.run(loss='hing')"
    tests += [f"def test_caught(ganbench):\n{caught}"]
    tests += ["def test_bug(ganbench):\n    ganbench.run(loss=[]).nothing + 1"]
    users.makepyfile("import pytest\n\n" + "\n\n".join(tests))
    (users.path / "b.json").write_text("{}")
    result = users.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=2, errors=len(MARKERS) + 1)
    shown = "ganbench(suite, baseline, *overrides, plugins=(), variants=(), seeds=None)"
    for why in MARKERS.values():
        assert f"Cannot read @pytest.mark.ganbench: {why}. It is written {shown}." in result.outlines
    text = result.stdout.str()
    assert "test_mistake_of_the_user_is_one_sentence.py:34: Unknown loss 'hing'. Did you mean 'hinge'?" in text
    assert f"The baseline '{users.path / 'b.json'}' is damaged or not a baseline; make it again." in result.outlines
    assert "During handling" not in text
    assert "Traceback" not in text
    assert "ganbench/suite.py" not in text


def test_collecting_and_going_without(users):
    users.makepyfile(GATED + "\ndef test_plain(): pass\n")
    result = users.runpytest_subprocess("--collect-only", "-q", "-W", "error", "--strict-markers")
    assert result.ret == 0
    assert [line.split("::")[-1] for line in result.outlines if "::" in line] == [
        "test_gate",
        "test_fixture",
        "test_plain",
    ]
    assert not (users.path / "b.json").exists()
    if any(entry.name == "ganbench" for entry in entry_points(group="pytest11")):
        without = users.runpytest_subprocess("-p", "no:ganbench", "-k", "plain or fixture")
        without.assert_outcomes(passed=1, errors=1, deselected=1)


def test_nothing_is_reused_between_runs_of_a_test(users):
    users.makepyfile(f"""
import pytest

def trained(ganbench, width):
    study = ganbench.run({RUN.replace("network__mlp__width=4", "network__mlp__width=width")})
    return (study.path / "sessions.jsonl").stat().st_mtime_ns

@pytest.mark.parametrize("time", [1, 2])
def test_twice(ganbench, time):
    first = trained(ganbench, 4)
    ganbench.count = 0
    assert trained(ganbench, 4) > first
""")
    users.runpytest_subprocess("--basetemp", "kept").assert_outcomes(passed=2)
