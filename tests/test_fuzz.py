"""Whatever is written into overrides and suites, a plan comes out or one sentence: made from the registry, seeded."""

import json
import string
import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ganbench import cli, registry
from ganbench.errors import UserError
from ganbench.kinds import COSTS, KINDS, kind_of
from ganbench.plan import MARGINS, WORD_AXES, plugin_axes
from ganbench.reading import suite_names
from ganbench.suite import resolve, settings_model

SECONDS = 10.0
NAMES = {kind: registry.names(kind) for kind in KINDS}
HYPERS = sorted(
    f"{plugin.kind}.{plugin.name}.{hyper}"
    for kind in KINDS
    for plugin in registry.plugins(kind)
    for hyper in plugin.hypers
)
FIELDS = [*settings_model().model_fields, *(f"margins.{name}" for name in MARGINS)]

# what has broken readers before; each stands for its kind
NASTY = [
    "", " ", "=", ",", ",,", "~", "null", "true", "no", "-0", "0", "-1", "1e3", "1e999", "-.inf", ".nan",
    "0x" + "f" * 300, "9" * 5000, "-" + "9" * 50, "1_0", "0b1", "0b_", "1:30", "2001-13-45", "2001-01-01",
    "!!int x", "!!python/name:os.system x", "!x y", "!!binary aGk=", "!!set {a}",
    "&a [*a]", "*b", "&a 1", "{&a a: &b [*a, *a], c: [*b, *b]}", "<<: {a: 1}", "{<<: [{a: 1}, {a: 1}]}",
    "[" * 200, "[" * 15 + "]" * 15, "{" * 50, "[" + "1," * 500 + "]",
    "{}", "[[]]", "[{}]", "{a: 1, a: 2}", "{[a]: 1}", "{1: 2}", "{? {a: 1} : 2}", "[a, b", "'a", "[1, 1]", "[true]",
    '"\\ud800"', '"\\0"', '"\\x1b[2J"', "a\nb", "\x00", "\ud800", "\x1b[31m", "\u202e", "\ufeff1",
    "\uff48\uff49\uff4e\uff47\uff45", "h\u0456nge", "x" * 400, "../../etc/passwd", "/dev/zero", ".", "..",
    "a: b: c", "- a", "--- a\n--- b", "%YAML 3.0\n---\n1", "# only", "?", "|", ">", "@x", "`x`", "%x",
    "1" + "0" * 99, "5000000000000000000000",
]  # fmt: skip


def written(value):
    """A value as YAML has it, or as a text that may be no YAML."""
    return value if isinstance(value, str) else json.dumps(value)


SCALARS = st.one_of(
    st.sampled_from(NASTY),
    st.integers(-(10**4), 10**4),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=20),
    st.sampled_from([name for names in NAMES.values() for name in names]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


def fitting(key):
    """Values that a key is made for."""
    if key in plugin_axes():
        names = st.sampled_from(NAMES[kind_of(key)])
        return st.one_of(names, st.lists(names, min_size=1, max_size=3, unique=True))
    if "." in key and not key.startswith("margins."):
        kind, name, hyper = key.split(".")
        default = registry.get(kind, name).hypers[hyper]
        return st.one_of(st.just(default), st.floats(0.001, 2) if isinstance(default, float) else st.just(default))
    return st.one_of(
        st.integers(1, 300),
        st.sampled_from([*WORD_AXES["latent"], *WORD_AXES["numerics"], *COSTS]),
        st.lists(st.integers(1, 40), max_size=3),
        st.floats(0, 1),
    )


KEYS = st.one_of(
    st.sampled_from([*FIELDS, *plugin_axes()]),
    st.sampled_from(HYPERS),
    st.tuples(*(st.sampled_from([*KINDS, "", "loss", "x"]), st.text(string.printable, max_size=6))).map(".".join),
    st.text(max_size=12),
    st.sampled_from(NASTY),
)
PAIRS = KEYS.flatmap(
    lambda key: st.tuples(st.just(key), st.one_of(VALUES, fitting(key)) if key in FIELDS or key in HYPERS else VALUES)
)
OVERRIDE = PAIRS.map(lambda pair: f"{pair[0]}={written(pair[1])}")
OVERRIDES = st.lists(st.one_of(OVERRIDE, st.text(max_size=15), st.sampled_from(NASTY)), max_size=5)
SUITES = st.one_of(
    st.dictionaries(KEYS, VALUES, max_size=6).map(lambda data: json.dumps(data, ensure_ascii=False)),
    st.lists(PAIRS, max_size=6).map(lambda pairs: "\n".join(f"{key}: {written(value)}" for key, value in pairs)),
    st.dictionaries(
        st.sampled_from(FIELDS), VALUES, max_size=5
    ).map(lambda data: yaml.dump(data, allow_unicode=True)),
    st.text(max_size=60),
    st.sampled_from(NASTY),
)  # fmt: skip
NAMED = st.one_of(st.none(), st.sampled_from([*suite_names(), "SUITE"]), st.text(max_size=10), st.sampled_from(NASTY))


def told(error):
    """The sentence of an error, printable and on one line."""
    text = str(error)
    assert text
    assert text.isprintable()
    assert len(text) <= 1000
    return text


def plan_or_sentence(folder, name, suite, overrides):
    began = time.monotonic()
    if name == "SUITE":
        name = folder / "fuzz.yaml"
        name.write_bytes(suite.encode("utf-8", "surrogatepass"))
    found = None
    try:
        found = resolve(name, overrides)
    except UserError as error:
        found = error
    if isinstance(found, UserError):
        told(found)
    else:
        assert found.runs
        assert len(found.hash) == 12
    assert time.monotonic() - began < SECONDS, "a plan is made, or refused, in a moment"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


CHECKS = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=150, **CHECKS)
@given(name=NAMED, suite=SUITES, overrides=OVERRIDES)
def test_a_plan_or_a_sentence(folder, name, suite, overrides):
    plan_or_sentence(folder, name, suite, overrides)


@pytest.mark.slow
@settings(max_examples=5000, **CHECKS)
@given(name=NAMED, suite=SUITES, overrides=OVERRIDES)
def test_a_plan_or_a_sentence_for_thousands(folder, name, suite, overrides):
    plan_or_sentence(folder, name, suite, overrides)


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
def test_every_nasty_value_of_every_kind_of_key(folder, nasty):
    for key in ("problem", "steps", "seeds", "margins", HYPERS[0]):
        plan_or_sentence(folder, None, "", [f"{key}={nasty}"])
        plan_or_sentence(folder, "SUITE", f"{key}: {nasty}", [])
    plan_or_sentence(folder, "SUITE", f"{nasty}: 1", [])
    plan_or_sentence(folder, "SUITE", nasty, [])
    plan_or_sentence(folder, nasty, "", [])
    plan_or_sentence(folder, "SUITE", f"per_problem: {{ring8: {nasty}}}", [])
    plan_or_sentence(folder, "SUITE", f"per_problem:\n  {nasty}: {{steps: 3}}", [])


@pytest.mark.parametrize("nasty", NASTY[::7], ids=range(len(NASTY[::7])))
def test_the_command_line_ends_with_a_code_and_writes_nothing(tmp_path, monkeypatch, nasty):
    monkeypatch.chdir(tmp_path)
    for key in ("suite", "loss", "steps"):
        word = f"{key}={nasty}"
        result = CliRunner().invoke(cli.app, ["run", word, "seeds=1", "network.mlp.width=4", "--dry-run"])
        assert result.exit_code == 0 or isinstance(result.exception, UserError | SystemExit), result.exception
        if isinstance(result.exception, UserError):
            told(result.exception)
    assert not list(tmp_path.iterdir())
