"""Claims as data: what a suite may say, what it is about, and what is refused with a sentence."""

import contextlib
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from own_files import own_files
from typer.testing import CliRunner

import ganbench
from ganbench import claims, cli
from ganbench.analysis.claims import judge_claims
from ganbench.errors import UserError
from ganbench.plan import Plan
from ganbench.reading import read_suite, suite_names
from ganbench.results import planfile
from ganbench.results.reading import Unreadable
from ganbench.suite import resolve

WHOLE = {
    "says": "Spectral normalization\n  stabilises.", "source": "Miyato 2018", "measure": "survived",
    "treatment": {"normalization": "spectral"}, "control": {"normalization": "none"}, "expected": "higher",
    "margin": 0.1,
}  # fmt: skip
SUITE = {"problem": "ring8", "normalization": ["none", "spectral", "layer", "group"], "seeds": 2}


def suite_of(folder, keys=None, **given):
    """A suite file with the claims given by name, each WHOLE but for some keys; a value of None takes a key away."""
    made = {
        name: {key: value for key, value in {**WHOLE, **change}.items() if value is not None}
        if isinstance(change, dict) else change
        for name, change in given.items()
    }  # fmt: skip
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({**(SUITE if keys is None else keys), "claims": made}))
    return file


def claimed(plan, name="one"):
    return next(claim for claim in map(claims.Claim.from_dict, plan.claims) if claim.name == name)


def settings_of(plan, ids):
    by = {variant.id: variant for variant in plan.variants}
    return [by[one] for one in ids]


def test_a_claim_is_about_the_suites_own_grid(tmp_path):
    plan = resolve(suite_of(tmp_path, one={"published": 0.3, "explained": "short"}))
    one = claimed(plan)
    assert (one.says, one.source, one.published) == ("Spectral normalization stabilises.", "Miyato 2018", "0.3")
    assert (one.treatment, one.control) == ("normalization spectral", "normalization none")
    assert (one.measure, one.of, one.number, one.log) == ("survived", "", None, False)
    (pair,) = one.pairs
    assert [v.normalization for v in settings_of(plan, pair.treatment)] == ["spectral"]
    assert [v.normalization for v in settings_of(plan, pair.control)] == ["none"]


def test_pairs_share_all_settings_that_are_not_compared(tmp_path):
    keys = {**SUITE, "loss": ["hinge", "minimax"], "tuning": [{"optimizer.adam.d_lr": 1e-3}, {"batch_size": 32}]}
    plan = resolve(suite_of(tmp_path, keys, one={"treatment": {"normalization": ["layer", "group"]}}))
    pairs = claimed(plan).pairs
    assert len(pairs) == 4
    for pair in pairs:
        sides = settings_of(plan, pair.treatment), settings_of(plan, pair.control)
        assert [v.normalization for v in sides[0]] == ["layer", "group"]  # which alone has a number of groups
        assert len({(v.loss, v.batch_size, dict(v.hypers)["optimizer.adam.d_lr"]) for side in sides for v in side}) == 1
    assert len({(settings_of(plan, pair.control)[0]).id for pair in pairs}) == 4


def test_levels_of_several_settings_are_linked_and_none_is_null(tmp_path):
    linked = {
        "suite": [{"batch_size": 32, "steps": 800, "normalization": "none"}, {"batch_size": 128, "steps": 200}],
        "treatment": {"batch_size": 128, "steps": 200},
        "control": {"batch_size": 32, "steps": 800},
    }
    plan = resolve(suite_of(tmp_path, one=linked, two={"control": {"normalization": None}}))
    assert claimed(plan).treatment == "batch_size 128, steps 200"
    assert [len(pair.treatment) for pair in claimed(plan).pairs] == [1]
    assert {(v.batch_size, v.steps) for v in plan.variants} == {(128, 2000), (32, 800), (128, 200)}
    assert claimed(plan, "two").pairs[0].control == claims.Claim.from_dict(plan.claims[1]).pairs[0].control


def test_what_a_claim_compares_elsewhere_is_trained_too_and_the_rest_stays(tmp_path):
    own = resolve(suite_of(tmp_path))
    plan = resolve(suite_of(tmp_path, one={"suite": {"loss": "hinge", "normalization": ["none", "spectral"]}}))
    assert plan.variants[: len(own.variants)] == own.variants
    assert [(v.loss, v.normalization) for v in plan.variants[len(own.variants) :]] == [
        ("hinge", "none"), ("hinge", "spectral"),
    ]  # fmt: skip
    # a claim on the suite's own grid judges its results and decides none
    assert resolve(suite_of(tmp_path, one={})).hash == own.hash
    assert plan.hash != own.hash


def test_overrides_choose_claims_and_win_over_them(tmp_path):
    file = suite_of(tmp_path, one={}, two={"suite": {"loss": "hinge"}})
    assert [claim["name"] for claim in resolve(file, ["claims=two"]).claims] == ["two"]
    assert [claim["name"] for claim in resolve(file, ["claims=two,one"]).claims] == ["one", "two"]
    assert resolve(file, ["claims=none"]) == resolve(suite_of(tmp_path), [])
    file = suite_of(tmp_path, one={}, two={"suite": {"loss": "hinge"}})
    assert {v.loss for v in resolve(file, ["loss=minimax"]).variants} == {"minimax"}
    with pytest.raises(UserError, match="compares normalization spectral, but its runs have none; an override"):
        resolve(file, ["normalization=none"])


def test_a_plan_with_claims_survives_its_file(tmp_path):
    plan = resolve(suite_of(tmp_path, one={}, two={"control": 0.5, "measure": {"final": "frechet", "scale": "log10"}}))
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    file = tmp_path / "plan.yaml"
    file.write_text(planfile.dump(plan))
    assert planfile.load(file) == plan
    assert claimed(planfile.load(file), "two").number == 0.5
    for damage in (
        {"margin": "large"}, {"measure": "luck"}, {"pairs": []}, {"pairs": [{}]}, {"pairs": [{"treatment": [3]}]},
        {"expected": "more"}, {"says": 3}, {"more": 1}, {"pairs": [3]}, {"number": "1"},
    ):  # fmt: skip
        data = plan.to_dict()
        data["claims"][0] = {**data["claims"][0], **damage}
        file.write_text(yaml.safe_dump(data))
        with pytest.raises(Unreadable, match="wrong value under 'claims'"):
            planfile.load(file)


BAD = {
    "no margin": ({"margin": None}, "The claim 'one' has no 'margin': a claim needs says, source, treatment, control"),
    "margin of nothing": ({"margin": 0}, "The margin of the claim 'one' must be a number above 0, got 0."),
    "no text": ({"says": ""}, "The claim 'one' has no 'says'"),
    "unknown key": ({"margins": 1}, "Unknown key of the claim 'one' 'margins'. Did you mean 'margin'?"),
    "unknown expectation": ({"expected": "highr"}, "Unknown expectation of the claim 'one' 'highr'. Did you mean 'hi"),
    "unknown measure": ({"measure": "surviving"}, "Unknown measure of the claim 'one' 'surviving'. Did you mean 'surv"),
    "unknown column": ({"measure": {"final": "frechett"}},
                       "Unknown column of the claim 'one' 'frechett'. Did you mean 'frechet'?"),
    "a column that is no text": ({"measure": {"final": ["frechet"]}}, "Unknown column of the claim 'one'"),
    "no loss": ({"measure": {"correlation": "frechet"}}, "Unknown column of the claim 'one' 'frechet'."),
    "unknown verdict": ({"measure": {"verdict": "colapsed"}}, "Unknown verdict 'colapsed'. Did you mean 'collapsed'?"),
    "nothing to reach": ({"measure": {"time_to": "recall"}}, "The claim 'one': 'reaches' is the number that"),
    "reached by none": ({"measure": {"final": "recall", "reaches": 1}}, "The claim 'one': 'reaches' is the number"),
    "two measures": ({"measure": {"final": "recall", "best": "recall"}}, "The claim 'one' has one measure"),
    "decades of a share": ({"measure": {"failed": None, "scale": "log10"}}, "The claim 'one' has one measure"),
    "unknown setting": ({"treatment": {"normalisation": "layer"}},
                        "Unknown setting of the claim 'one' 'normalisation'. Did you mean 'normalization'?"),
    "unknown level": ({"treatment": {"normalization": "batch"}},
                      "The claim 'one' compares normalization batch, but its runs have group, layer, none, spectral;"),
    "no such variant": ({"suite": [{"loss": "hinge", "normalization": "none"}, {"loss": "minimax"}],
                         "treatment": {"loss": "hinge", "normalization": "layer"}},
                        "The claim 'one' compares loss hinge, normalization layer, but no variant of its grid has"),
    "itself": ({"control": {"normalization": ["none", "spectral"]}},
               "The claim 'one' compares a variant with itself: its two sides overlap."),
    "no pair": ({"suite": [{"loss": "hinge", "normalization": "none"},
                           {"loss": "minimax", "normalization": "spectral"}]},
                "The claim 'one' has no pair: the two sides differ in more settings than it compares."),
    "empty side": ({"treatment": {}}, "The 'treatment' of the claim 'one' is empty"),
    "a side of text": ({"control": "none"}, "The 'control' of the claim 'one' maps settings to their levels, or is a"),
    "a number for a treatment": ({"treatment": 3}, "The 'treatment' of the claim 'one' maps settings to their levels;"),
    "a setting that is no text": ({"treatment": {3: 4}}, "The 'treatment' of the claim 'one' names settings by texts"),
    "the whole suite's": ({"suite": {"seeds": 3}}, "The key 'seeds' holds for a whole suite, not for the claim 'one'"),
    "a grid of text": ({"suite": "loss"}, "The 'suite' of the claim 'one' maps keys of a suite to values, or is"),
    "a grid that is none": ({"suite": {"loss": "hing"}}, "Unknown loss 'hing'. Did you mean 'hinge'?"),
    "a grid of what nothing uses": ({"suite": {"loss.hinge.margin": 2.0}}, "The key 'loss.hinge.margin' changes"),
    "long": ({"says": "x" * 1001}, "The 'says' of the claim 'one' is a text of at most 1000 characters."),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_claim_is_refused_with_a_sentence(tmp_path, name):
    change, told = BAD[name]
    with pytest.raises(UserError) as error:
        resolve(suite_of(tmp_path, one=change))
    assert str(error.value).startswith(told)


def test_what_is_no_claim_at_all_is_refused(tmp_path):
    for bad, told in (
        ({"one": "true"}, "The claim 'one' maps keys to values, got 'true'."),
        ({"one two": {}}, "A claim is named by letters, digits and underscores, got 'one two'."),
        ({f"c{i}": {} for i in range(101)}, "The key 'claims' has 101 claims, and a suite holds at most 100."),
    ):
        with pytest.raises(UserError) as error:
            resolve(suite_of(tmp_path, **bad))
        assert str(error.value) == told
    file = tmp_path / "list.yaml"
    file.write_text("claims: [1, 2]")
    with pytest.raises(UserError, match=r"^The key 'claims' maps names to claims, got \[1, 2\]\.$"):
        resolve(file)
    for asked in ("claims=ten", "claims=[[1]]", "claims={}"):
        with pytest.raises(UserError, match="Unknown claim"):
            resolve(suite_of(tmp_path, one={}), [asked])
    with pytest.raises(UserError, match="Unknown claim 'one'"):
        resolve(None, ["claims=one"])


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["none", "layer", "recall"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["normalization", "loss", "final", "time_to", "reaches", "scale", "verdict", "x", 3]), inner,
        max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(key=st.sampled_from(claims.KEYS), value=JUNK)
def test_any_value_of_any_key_gives_a_plan_or_a_sentence(tmp_path_factory, key, value):
    file = suite_of(tmp_path_factory.mktemp("junk"), one={key: value})
    with contextlib.suppress(UserError):
        assert claims.is_filed([dict(one) for one in resolve(file).claims])


@pytest.mark.parametrize("name", [name for name in suite_names() if "claims" in read_suite(name)[1]])
def test_the_claims_of_a_shipped_suite_are_about_its_plan(name, tmp_path, monkeypatch):
    own_files(tmp_path / "data", monkeypatch)
    plan, written = resolve(name), read_suite(name)[1]["claims"]
    known = {variant.id for variant in plan.variants}
    assert [claim["name"] for claim in plan.claims] == list(written)
    for claim in map(claims.Claim.from_dict, plan.claims):
        for pair in claim.pairs:
            assert {*pair.treatment, *pair.control} <= known
        # several seeds of the smallest p-value must do for all claims at once
        assert len(plan.claims) * 2.0 ** (1 - len(plan.seeds)) <= 0.05
        assert claim.says.endswith(".")


def test_claims_suite_puts_at_least_twenty_on_trial():
    assert len(resolve("claims").claims) >= 20


TINY_SUITE = {"problem": "ring8", "loss": ["hinge", "minimax"], "steps": 10, "probe_every": 5, "seeds": 2,
              "samples": 64, "neighbours": 16, "batch_size": 16, "network.mlp.width": 8}  # fmt: skip
SIDES = {"treatment": {"loss": "hinge"}, "control": {"loss": "minimax"}, "measure": {"final": "recall"}}


def test_another_margin_judges_the_same_runs_anew(tmp_path):
    folder = tmp_path / "study"
    before = ganbench.run(str(suite_of(tmp_path, TINY_SUITE, one=SIDES)), out=folder, workers=1)
    sessions = {file: file.stat().st_mtime_ns for file in folder.glob("populations/*/series.jsonl")}
    suite = suite_of(tmp_path, TINY_SUITE, one={**SIDES, "margin": 0.7}, two={**SIDES, "expected": "lower"})
    after = ganbench.run(str(suite), out=folder, workers=1)
    assert [(claim.name, claim.margin) for claim in after.claims] == [("one", 0.7), ("two", 0.1)]
    assert after.plan.hash == before.plan.hash
    assert sessions == {file: file.stat().st_mtime_ns for file in sessions}
    table = judge_claims(after)
    assert table["margin"].tolist() == [0.7, 0.1]
    assert table["effect"].iloc[0] == table["effect"].iloc[1]


@pytest.mark.slow
def test_the_command_tells_what_became_of_the_claims(tmp_path):
    suite = suite_of(tmp_path, TINY_SUITE, one=SIDES)
    words = ["run", f"suite={suite}", "--workers", "1", "--out", str(tmp_path / "study")]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    assert "Claims on trial, 1: 0 supported; 0 refuted; 1 not decided." in result.output
    assert "### Claims on trial" in (tmp_path / "study" / "report.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pacgan", "unrolled", "wgan_gp_toys", "vanishing"])
def test_published_protocols_train_and_are_judged_at_reduced_length(tmp_path, name):
    short = ["steps=10", "probe_every=5", "samples=64", "neighbours=16", "seeds=2"]
    study = ganbench.run(name, short, out=tmp_path / name, workers=1)
    table = judge_claims(study)
    assert list(table["claim"]) == list(read_suite(name)[1]["claims"])
    assert table["effect"].notna().all()
