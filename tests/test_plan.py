"""Names of variants and plans: readable, with a digest that old studies were named by."""

import json
import re
from dataclasses import replace

import pytest

from ganbench.errors import UserError
from ganbench.plan import MARGINS, OWN, OWN_NAME, UNCOVERED, Plan, Run, Variant, check_margins, later
from ganbench.suite import resolve


def test_a_name_ends_in_six_digits_and_a_plans_hash_has_twelve():
    made = resolve(None, ["loss=hinge", "g_normalization=batch", "network=mlp", "optimizer=sgd", "regularizer=r1"])
    (one,) = made.variants
    assert re.fullmatch(r"ring8-hinge-none-g_batch-r1-[0-9a-f]{6}", one.id)
    assert re.fullmatch(r"[0-9a-f]{12}", made.hash)
    assert Run(one, 3).id == f"{one.id}-s3"


def test_a_watched_loop_is_named_by_its_problem_and_its_author():
    settings = dict.fromkeys(("network", "loss", "normalization", "g_normalization", "regularizer", "optimizer"), OWN)
    numbers = {"steps": 0, "batch_size": 0, "critic_steps": 1, "latent_dim": 0}
    one = Variant(problem="ring8", latent=OWN, hypers=((OWN_NAME, "mine"),), **settings, **numbers)
    assert re.fullmatch(r"ring8-mine-[0-9a-f]{6}", one.id)


def test_a_variant_is_what_it_says_and_never_changes():
    made = resolve(None, ["loss=hinge", "regularizer=[[r1, orthogonal]]"])
    (one,) = made.variants
    assert one.names("regularizer") == ["r1", "orthogonal"]
    assert {("regularizer", "r1"), ("regularizer", "orthogonal"), ("loss", "hinge")} <= one.plugins()
    assert one.hypers_of("loss", "hinge") == {"margin": 1.0}
    twin = Variant(**one.values, hypers=one.hypers)
    assert (twin == one, hash(twin) == hash(one), one == 5) == (True, True, False)
    assert Variant(**{**one.values, "steps": 7}, hypers=one.hypers) != one
    with pytest.raises(AttributeError, match="does not change"):
        one.loss = "minimax"
    with pytest.raises(TypeError, match="no axis odd"):
        Variant(**one.values, odd=1)
    with pytest.raises(AttributeError):
        _ = one.nothing


@pytest.mark.parametrize(("steps", "every", "probes"), [(10, 5, [0, 5, 10]), (11, 5, [0, 5, 10, 11]), (3, 5, [0, 3])])
def test_a_run_is_probed_at_its_start_at_each_interval_and_at_its_end(steps, every, probes):
    made = resolve(None, [f"steps={steps}", f"probe_every={every}"])
    assert list(made.probes(steps)) == probes
    assert set(made.steps_of.values()) == {steps}
    assert [run.seed for run in made.runs] == [0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------------------ plans

NUMBERS = {"steps": 10, "batch_size": 4, "critic_steps": 1, "latent_dim": 2, "latent": "normal"}
NAMES = {
    "problem": "ring8", "network": "mlp", "loss": "hinge", "normalization": "none", "g_normalization": "none",
    "regularizer": "none", "optimizer": "adam",
}  # fmt: skip


def variant(hypers=(), **changes):
    return Variant(**{**NAMES, **NUMBERS, **changes}, hypers=hypers)


def plan(*variants, **changes):
    """A plan of which nothing is at its default."""
    kept = {
        "name": "mine", "description": "words", "variants": variants or (variant(),),
        "skipped": ((variant(loss="minimax"), "a reason"),), "seeds": (3, 1), "probe_every": 5, "samples": 20,
        "neighbours": 16, "diagnostics": "medium", "feature_spaces": "data+conv", "metrics": "kid+cmmd",
        "versions": {"loss.hinge": "abc", "loss.odd": f"{UNCOVERED}1"}, "legends": {"loss.hinge": "A hinge."},
        "plugin_files": ("/a.py",), "listed": (), "margins": {"score": 0.2}, "code": "c", "time_limit": 2.5,
        "allow": "batch_norm_with_penalty", "tuned": ("steps",), "claims": ({"name": "one", "margin": 0.1},),
    }  # fmt: skip
    return Plan(**{**kept, **changes})


@pytest.mark.parametrize(("changes", "words"), [
    ({}, "ring8-hinge-none"), ({"loss": "minimax"}, "ring8-minimax-none"),
    ({"normalization": "layer"}, "ring8-hinge-layer"), ({"g_normalization": "layer"}, "ring8-hinge-none-g_layer"),
    ({"regularizer": "r1+orthogonal"}, "ring8-hinge-none-r1+orthogonal"),
    ({"g_regularizer": "path_length"}, "ring8-hinge-none-g_path_length"), ({"network": "dcgan"}, "ring8-hinge-none"),
    ({"optimizer": "sgd"}, "ring8-hinge-none"), ({"model": "vae"}, "ring8-vae-hinge-none"),
    ({"update": "lookahead", "trick": "ema"}, "ring8-hinge-none-lookahead-ema"), ({"steps": 11}, "ring8-hinge-none"),
])  # fmt: skip
def test_a_name_tells_what_is_not_the_default(changes, words):
    assert variant(**changes).id.rpartition("-")[0] == words
    if changes:
        assert variant(**changes).id != variant().id


def test_the_names_of_old_studies_never_change():
    one = variant(hypers=(("loss.hinge.margin", 1.0), ("network.mlp.depth", 3)), steps=2000)
    assert one.id == "ring8-hinge-none-f0af4a"
    assert variant(update="lookahead", generator_steps=2).id == "ring8-hinge-none-lookahead-913dfd"
    # settings that came later leave it alone at their defaults
    late = {axis: value for axis, value in later().items() if axis in one.values}
    assert set(late) == {"model", "g_regularizer", "update", "trick", "term", "generator_steps", "numerics"}
    assert variant(hypers=one.hypers, steps=2000, **late) == one
    assert plan(metrics="none", tuned=()).hash == "3a6bfe2786a5"


def test_hyper_parameters_are_told_apart_by_the_whole_name_of_their_plugin():
    one = variant(hypers=(("loss.hinge.margin", 1), ("loss.hinge_two.margin", 2), ("trick.hinge.margin", 3)))
    assert one.hypers_of("loss", "hinge") == {"margin": 1}
    assert one.hypers_of("trick", "hinge") == {"margin": 3}
    assert one.plugins() >= {("loss", "hinge"), ("normalization", "none"), ("trick", "none"), ("model", "gan")}


def test_a_plan_survives_its_file_with_all_that_it_holds():
    one = plan(listed=(f"{variant().id}-s1",))
    data = json.loads(json.dumps(one.to_dict()))
    assert Plan.from_dict(data) == one
    assert Plan.from_dict(data).hash == one.hash
    assert data["skipped"][0]["reason"] == "a reason"
    assert list(data["versions"]) == ["loss.hinge", "loss.odd"]
    bare = ("diagnostics", "feature_spaces", "metrics", "legends", "listed", "margins", "code", "time_limit", "allow",
            "claims")  # fmt: skip
    old = Plan.from_dict({key: value for key, value in data.items() if key not in (*bare, "tuned")})
    assert [getattr(old, key) for key in bare] == ["cheap", "none", "none", {}, (), {}, "", 0.0, "none", ()]
    assert old.tuned == ()
    kept = {"diagnostics", "feature_spaces", "metrics", "listed", "margins", "time_limit", "allow", "tuned", "claims"}
    assert not set(old.to_dict()) & kept
    for schema in ({"schema": 2}, {"schema": 0}, {"schema": None}):
        with pytest.raises(UserError, match=r"^The plan has schema (2|0|None); this version of ganbench reads 1\.$"):
            Plan.from_dict({**data, **schema})


@pytest.mark.parametrize(("changes", "counts"), [
    ({"name": "other"}, True), ({"seeds": (1, 3)}, True), ({"probe_every": 6}, True), ({"samples": 21}, True),
    ({"neighbours": 17}, True), ({"diagnostics": "cheap"}, True), ({"feature_spaces": "data"}, True),
    ({"metrics": "kid"}, True),
    ({"versions": {}}, True), ({"listed": ("a",)}, True), ({"variants": (variant(steps=11),)}, True),
    ({"skipped": ()}, True), ({"description": "x"}, False), ({"plugin_files": ()}, False), ({"legends": {}}, False),
    ({"margins": {}}, False), ({"code": "d"}, False), ({"time_limit": 0.0}, False),
    ({"allow": "none"}, False), ({"claims": ()}, False),
])  # fmt: skip
def test_a_plans_hash_is_of_what_decides_results(changes, counts):
    assert (plan(**changes).hash != plan().hash) is counts


def test_the_runs_of_a_plan_are_all_or_those_listed():
    one, two = variant(), variant(loss="minimax")
    every = plan(one, two).runs
    assert every == [Run(one, 3), Run(one, 1), Run(two, 3), Run(two, 1)]
    assert plan(one, two, listed=(every[2].id, every[1].id, "gone")).runs == [every[1], every[2]]
    assert plan(one).uncovered == ["loss.odd"]
    assert plan(one).asked_spaces == ("data", "conv")
    assert plan(one, feature_spaces="none").asked_spaces == ()
    assert plan(one).asked_metrics == ("kid", "cmmd")
    assert plan(one, metrics="none").asked_metrics == ()
    assert plan(one).changed(plan(one, versions={"loss.hinge": "x"})) == ["loss.hinge"]
    assert plan(one).changed(plan(one, versions={"loss.odd": "x", "other": "y"})) == ["loss.odd"]


def test_a_plan_takes_in_the_runs_of_one_that_measures_alike():
    one, two = variant(), variant(loss="minimax")
    first = plan(one, listed=(Run(one, 3).id,), seeds=(3,))
    second = plan(two, one, listed=(Run(two, 2).id, Run(one, 3).id), seeds=(2,), legends={"loss.minimax": "M."})
    both = first.joined(second)
    assert (both.variants, both.seeds, both.name) == ((one, two), (2, 3), "mine")
    assert both.listed == (Run(one, 3).id, Run(two, 2).id)
    assert both.legends == {"loss.hinge": "A hinge.", "loss.minimax": "M."}
    for key, value, said in (
        ("probe_every", 6, "probe_every 5, not 6"), ("samples", 21, "samples 20, not 21"),
        ("neighbours", 17, "neighbours 16, not 17"), ("diagnostics", "cheap", "diagnostics medium, not cheap"),
        ("feature_spaces", "none", "feature_spaces data\\+conv, not none"),
        ("versions", {}, "other versions of metrics"), ("code", "d", "another version of ganbench"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=rf"^The study 'mine' is measured with {said}: choose the same"):
            first.joined(replace(second, **{key: value}))


def test_a_problem_is_called_by_what_varies_of_it():
    def ring(std, loss="hinge", radius=2.0):
        return variant((("problem.ring8.std", std), ("problem.ring8.radius", radius)), loss=loss)

    grid = variant((("problem.grid25.std", 5.0),), problem="grid25")
    several = plan(ring(0.1), ring(0.2), grid, skipped=())
    assert several.varying == ["problem", "problem.ring8.std"]
    assert [several.label(one) for one in several.variants] == ["ring8(std=0.1)", "ring8(std=0.2)", "grid25"]
    same = plan(ring(0.1), ring(0.1, "minimax"), skipped=())
    assert same.varying == ["loss"]
    assert same.label(same.variants[0]) == "ring8"
    two = plan(ring(0.1), skipped=((ring(0.2, radius=3.0), "no"),))
    assert two.label(two.variants[0]) == "ring8(std=0.1,radius=2.0)"


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan"), True, "0.1", None])
def test_margins_are_shares(value):
    assert MARGINS == {"failure_rate": 0.2, "score": 0.1}
    assert check_margins({"score": 0.001, "failure_rate": 0.999}) == {"score": 0.001, "failure_rate": 0.999}
    with pytest.raises(UserError, match=r"^The margin 'score' must"):
        check_margins({"failure_rate": 0.5, "score": value})
    with pytest.raises(UserError, match=r"^Unknown margin 'scores'. Did you mean 'score'\?"):
        check_margins({"scores": 0.5})
