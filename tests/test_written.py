"""`ganbench config`: what it prints makes the same plan again, whatever suite and overrides it was printed for."""

import sys

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganbench import cli, registry
from ganbench.errors import UserError
from ganbench.reading import read_yaml, suite_names, write_yaml
from ganbench.suite import resolve
from ganbench.written import written

SMALL = ("calibration", "dirac_table", "pacgan", "robustness", "smoke", "stability", "tricks", "vanishing")


def again(plan, text, folder):
    """Return the plan of what was printed, called as it says."""
    file = folder / f"{plan.name}.yaml"
    file.write_text(text, encoding="utf-8")
    return resolve(file)


def same(one, other):
    assert other.to_dict() == one.to_dict()
    assert other.hash == one.hash
    assert [run.id for run in other.runs] == [run.id for run in one.runs]


@pytest.mark.parametrize(
    "name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in suite_names()]
)
def test_every_shipped_suite_comes_back(name, tmp_path):
    try:
        plan, text = written(name)
    except UserError as error:
        if not any(plugin.declared("external") for plugin in registry.plugins("problem") if plugin.name in str(error)):
            raise
        pytest.skip(f"its files are not here: {error}")
    same(plan, again(plan, text, tmp_path))


OVERRIDES = {
    "loss": ["hinge", "hinge,minimax", "fgan_*", "*,-fgan_*,-focal"],
    "normalization": ["none,spectral", "[layer]", "paper"],
    "regularizer": ["none", "r1,none", "r1+instance_noise", "[[r1, instance_noise], none]"],
    "regularizer.r1.gamma": ["0.3", "[0.1, 10]", "{from: 1.0, to: 0.1, shape: cosine}"],
    "optimizer.adam.d_lr": ["0.001", "1e-4,1e-3", "{from: 1e-3, to: 0}"],
    "optimizer.adam.g_lr": ["0.002"],
    "optimizer.adam.beta1": ["0.0,0.5"],
    "seeds": ["3", "0..4", "[7, 2]", "3,5..6"],
    "steps": ["50", "50,60"],
    "samples": ["64"],
    "probe_every": ["10"],
    "trick": ["none,ema", "ema+minibatch_std"],
    "margins.score": ["0.2"],
    "time_limit": ["60"],
    "allow": ["batch_norm_with_penalty"],
    "metrics": ["none"],
    "problem": ["ring8", "ring8,line", "grid25,ring8"],
    "executor": ["local"],
    "tuning": ["[{optimizer.adam.d_lr: 0.01}, {optimizer.adam.d_lr: 0.02, optimizer.adam.g_lr: 0.02}]", "[]"],
}  # fmt: skip
SETTING = st.sampled_from([
    {"optimizer.adam.d_lr": 0.01}, {"optimizer.adam.d_lr": 0.02, "optimizer.adam.g_lr": 0.02},
    {"optimizer.adam.g_lr": 0.03}, {"optimizer.adam.beta1": 0.5, "optimizer.adam.d_lr": 0.01},
])  # fmt: skip
TUNING = st.one_of(
    st.lists(SETTING, max_size=3),
    st.just(
        {"trials": 3, "seed": 1, "optimizer.adam.d_lr": {"from": 1e-4, "to": 1e-2}, "optimizer.adam.beta1": [0.0, 0.5]}
    ),
)
PART = st.fixed_dictionaries(
    {},
    optional={
        "loss": st.sampled_from(["hinge", ["minimax", "hinge"]]), "steps": st.sampled_from([40, [40, 70]]),
        "normalization": st.sampled_from(["none", ["none", "layer"]]), "tuning": TUNING,
        "optimizer.adam.d_lr": st.sampled_from([0.005, [0.001, 0.005]]), "regularizer": st.sampled_from(["none", "r1"]),
    },
)  # fmt: skip
CLAIM = {
    "says": "One is no worse than the other.", "source": "nobody 2026", "treatment": {"loss": "hinge"},
    "control": {"loss": "minimax"}, "measure": "failed", "expected": "lower", "margin": 0.1,
}  # fmt: skip


@st.composite
def suites(draw):
    suite = dict(draw(PART))
    suite["problem"] = draw(st.sampled_from(["ring8", ["ring8", "line"]]))
    suite["per_problem"] = {name: draw(PART) for name in draw(st.sets(st.sampled_from(["ring8", "line", "grid25"])))}
    if draw(st.booleans()):
        grid = {"loss": ["hinge", "minimax"], **{key: value for key, value in draw(PART).items() if key != "loss"}}
        suite["claims"] = {"a": {**CLAIM, "suite": grid}, "b": {**CLAIM, "suite": [grid, {**grid, "steps": 90}]}}
    return suite


@given(suite=suites(), words=st.dictionaries(st.sampled_from(sorted(OVERRIDES)), st.integers(0, 3), max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_printed_makes_the_same_plan(suite, words, tmp_path):
    file = tmp_path / "drawn.yaml"
    file.write_text(write_yaml(suite), encoding="utf-8")
    overrides = [f"{key}={OVERRIDES[key][place % len(OVERRIDES[key])]}" for key, place in words.items()]
    try:
        resolve(file, overrides)
    except UserError:
        return
    plan, text = written(file, overrides)
    other = tmp_path / "other"
    other.mkdir(exist_ok=True)
    same(plan, again(plan, text, other))


def test_everything_is_spelled_out(tmp_path):
    plan, text = written("smoke", ["seeds=2", "problem=ring8"])
    printed = yaml.safe_load(text)
    assert text.startswith("# Every setting of `ganbench run suite=smoke seeds=2 problem=ring8`")
    assert (printed["seeds"], printed["problem"], printed["batch_size"]) == (2, "ring8", 128)
    for variant in plan.variants:
        for key, value in variant.hypers:
            assert value in (printed[key] if isinstance(printed[key], list) else [printed[key]])


WORDS = st.sampled_from(["1e-4", "1e4", "none", "null", "~", "yes", "0x1", "1_000", "12:30", "- a", "{a", "a: b", "#"])
TEXT = st.text(st.characters(blacklist_categories=("C", "Z"), min_codepoint=32), max_size=8)
PLAIN = st.none() | st.booleans() | st.integers(-(9**9), 9**9) | st.floats(allow_nan=False) | TEXT | WORDS


@given(st.recursive(PLAIN, lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXT | WORDS, part, max_size=3)))
def test_yaml_reads_back_as_it_was_written(value):
    assert read_yaml(write_yaml({"key": value}), "it") == {"key": value}


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["ganbench", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def test_the_command_takes_the_suite_by_its_name_or_as_a_setting(command, tmp_path):
    code, out, err = command("config", "smoke", "seeds=2")
    assert (code, err) == (0, "")
    assert command("config", "seeds=2", "suite=smoke")[1] == out
    assert command("config", "smoke", "seeds=2", "-o", "smoke.yaml") == (0, "Wrote smoke.yaml\n", "")
    assert (tmp_path / "smoke.yaml").read_text() == out
    assert command("config", "smoke", "suite=stability") == (
        2,
        "",
        "Error: One suite at a time, got smoke, stability.\n",
    )
    code, _, err = command("config", "smok")
    assert code == 2
    assert err.startswith("Error: Unknown suite 'smok'. Did you mean 'smoke'?")
