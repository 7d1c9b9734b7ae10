"""What a suite allows that is skipped otherwise, and settings that no suite can choose."""

import json

import pytest

import ganbench
from ganbench import registry
from ganbench.errors import UserError
from ganbench.kinds import KINDS
from ganbench.plan import Plan
from ganbench.repeat import commands
from ganbench.report import build
from ganbench.results.store import Store
from ganbench.suite import resolve

GRID = ["normalization=none,batch", "regularizer=none,gradient_penalty", "seeds=1"]
ALLOW = "allow=batch_norm_with_penalty"


def test_what_is_allowed_is_trained_and_named_as_it_would_be():
    plain, allowed = resolve(None, GRID), resolve(None, [*GRID, ALLOW])
    ((left, reason),) = plain.skipped
    assert (left.normalization, left.regularizer) == ("batch", "gradient_penalty")
    assert "batch statistics mix the samples" in reason
    assert not allowed.skipped
    assert {v.id for v in allowed.variants} == {v.id for v in plain.variants} | {left.id}
    assert allowed.allow == "batch_norm_with_penalty"
    data = json.loads(json.dumps(allowed.to_dict()))
    assert data["allow"] == "batch_norm_with_penalty"
    assert Plan.from_dict(data) == allowed
    assert "allow" not in plain.to_dict()


def test_a_study_tells_what_was_allowed_among_its_settings(tmp_path):
    for name, overrides in (("plain", GRID), ("allowed", [*GRID, ALLOW])):
        Store(tmp_path / name).begin(resolve(None, overrides))
    told = [set(map(str, (s.get("allow") for s in ganbench.load(tmp_path / name).settings.values())))
            for name in ("plain", "allowed")]  # fmt: skip
    assert told == [{"None"}, {"batch_norm_with_penalty"}]


def test_where_nothing_needs_it_a_plan_is_what_it_was():
    grid = ["loss=hinge", "seeds=1"]
    assert resolve(None, [*grid, ALLOW]).hash == resolve(None, grid).hash
    assert resolve(None, [*grid, "allow=none"]) == resolve(None, grid)


def test_what_a_trick_withholds_is_not_allowed_by_it():
    plan = resolve(None, ["regularizer=none,r1", "trick=minibatch_std", "seeds=1", ALLOW])
    assert [variant.regularizer for variant, _ in plan.skipped] == ["r1"]


def test_a_command_that_repeats_a_run_allows_it_too():
    plan = resolve(None, [*GRID, ALLOW])
    assert all(ALLOW in command for command in commands(plan).values())
    assert not any("allow" in command for command in commands(resolve(None, GRID)).values())


@pytest.mark.parametrize(("text", "told"), [
    ("allow=batch_norm", "Unknown exception of 'allow' 'batch_norm'. Did you mean 'batch_norm_with_penalty'?"),
    ("allow=[batch_norm_with_penalty, none]", "Unknown exception of 'allow' 'none'."),
    ("allow=3", "The key 'allow' has the wrong type"),
])  # fmt: skip
def test_what_cannot_be_allowed_is_told(text, told):
    with pytest.raises(UserError) as caught:
        resolve(None, [*GRID, text])
    assert str(caught.value).startswith(told)


def test_a_suite_file_allows_by_a_list(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "normalization: batch\nregularizer: [r1, gradient_penalty]\nseeds: 1\nallow: [batch_norm_with_penalty]\n"
    )
    assert len(resolve(file).variants) == 2


def test_the_allowed_trains_and_the_report_says_so(tiny, tmp_path):
    grid = [*(word for word in tiny if not word.startswith("seeds")), "normalization=batch", "seeds=1"]
    words = [*grid, "regularizer=none,gradient_penalty", ALLOW]
    study = ganbench.run(None, words, out=tmp_path / "s", workers=1)
    assert set(study.runs["status"]) <= {"done", "diverged"}
    assert len(study.runs) == 2
    text = build(study, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Allowed by the suite: batch_norm_with_penalty: gradient penalties on a critic with batch norm" in text


@pytest.mark.parametrize("kind", [kind for kind, one in KINDS.items() if not one.axes and kind != "executor"])
def test_what_measures_is_set_by_nobody(kind):
    for plugin in registry.plugins(kind):
        for hyper, value in plugin.hypers.items():
            for words in ([f"{kind}.{plugin.name}.{hyper}={value}"], [f"{kind}.{plugin.name}.{hyper}=1,2"]):
                with pytest.raises(UserError) as caught:
                    resolve(None, words)
                assert str(caught.value) == (
                    f"The key '{kind}.{plugin.name}.{hyper}' cannot be set: a {kind} is the same for all studies. "
                    "Register one of your own to measure with another setting."
                )
    with pytest.raises(UserError, match=f"^Unknown {kind}"):
        resolve(None, [f"{kind}.modes.threshold=3"])


def test_a_suite_file_sets_no_measure_either(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("loss: hinge\nmetric.mode_statistics.quota: 0.5\n")
    with pytest.raises(UserError, match=r"^The key 'metric\.mode_statistics\.quota' cannot be set"):
        resolve(file)
