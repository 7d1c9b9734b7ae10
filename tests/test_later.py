"""Hyper-parameters that came later: studies that were made before do not notice them."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganbench import registry
from ganbench.analysis.seeds import _changed, identity
from ganbench.errors import UserError
from ganbench.plan import Plan, Variant, later_hyper
from ganbench.registry import register
from ganbench.repeat import repeat
from ganbench.results.baseline import BaselineVariant
from ganbench.suite import resolve

pytestmark = pytest.mark.usefixtures("own_registry")

ODD = ["loss=odd", "seeds=1"]
LATER = {"flag": False, "count": 3, "share": 0.5, "word": "plain", "free": None}
VALUES = {
    "flag": st.booleans(),
    "count": st.integers(-9, 9),
    "share": st.floats(-1, 1).map(lambda value: 0.0 if math.isclose(value, 0) else value),
    "word": st.sampled_from(["plain", "other"]),
    "free": st.sampled_from([1, 1.5, "text"]),
}


PLACE = ("loss", "odd")


def odd(hypers, **declared):
    """Register the loss of that name with some hyper-parameters; without a source it is soon identified."""
    registry.known().pop(PLACE, None)
    space = {}
    exec(f"def odd(real_logits, fake_logits, *, {hypers}): 'An odd loss.'", space)
    register("loss", **declared)(space["odd"])


@pytest.fixture
def before():
    """What a plan was like when the loss had one hyper-parameter."""
    odd("margin=1.0")
    return resolve(None, ODD)


@pytest.fixture
def now(before):
    """Have the loss with hyper-parameters that came later, before and behind the old one."""
    odd("word='plain', flag=False, margin=1.0, count=3, share=0.5, free=None", later=tuple(LATER))


def _data(plan):
    return {**json.loads(json.dumps(plan.to_dict())), "versions": {}}


def test_at_their_defaults_ids_and_files_are_what_they_were(before, now):
    plan = resolve(None, ODD)
    assert _data(plan) == _data(before)
    assert [run.id for run in plan.runs] == [run.id for run in before.runs]
    assert plan.variants[0].hypers_of("loss", "odd") == {"margin": 1.0, **LATER}, "what runs is complete"
    # to name a default is no other choice
    named = resolve(None, [*ODD, "loss.odd.count=3", "loss.odd.share=0.5", "loss.odd.flag=false"])
    assert named.variants == plan.variants
    assert "loss.odd" not in repeat(named, named.runs[0])


def test_what_was_written_before_is_complete_when_it_is_read(before, now):
    read = Plan.from_dict(json.loads(json.dumps(before.to_dict())))
    assert read.variants == resolve(None, ODD).variants
    assert read.hash == before.hash


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_chosen_survives_its_file(now, data):
    chosen = data.draw(st.fixed_dictionaries({}, optional=VALUES))
    words = [f"loss.odd.{key}={json.dumps(value)}" for key, value in chosen.items()]
    plan = resolve(None, ["loss=odd", "seeds=1", *words])
    (variant,) = plan.variants
    assert variant.hypers_of(*PLACE) == {"margin": 1.0, **LATER, **chosen}
    differing = {key for key, value in chosen.items() if value != LATER[key]}
    written = {key.rpartition(".")[2] for key in plan.to_dict()["variants"][0] if key.startswith("loss.odd.")}
    assert written == {"margin", *differing}
    read = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert read == plan
    assert (read.hash, read.variants[0].id) == (plan.hash, variant.id)
    plain = resolve(None, ["loss=odd", "seeds=1"])
    assert (variant.id == plain.variants[0].id) is (not differing)
    # in whatever order they are named
    mixed = data.draw(st.permutations(words))
    assert resolve(None, ["loss=odd", "seeds=1", *mixed]).variants == plan.variants


def test_a_hyper_parameter_that_is_none_was_there_from_the_start():
    odd("free=None, other=1")
    plan = resolve(None, ODD)
    data = json.loads(json.dumps(plan.to_dict()))
    assert data["variants"][0]["loss.odd.free"] is None, "what did not come later is never left out"
    assert Plan.from_dict(data) == plan


def test_a_sweep_over_one_tells_its_variants_apart(now):
    plan = resolve(None, [*ODD, "loss.odd.count=3,4"])
    assert plan.varying == ["loss.odd.count"]
    assert [variant.hypers_of("loss", "odd")["count"] for variant in plan.variants] == [3, 4]
    assert len({variant.id for variant in plan.variants}) == 2


def test_a_plan_of_a_plugin_that_is_not_here_keeps_its_names(now):
    plan = resolve(None, [*ODD, "loss.odd.count=3,4", "loss.odd.word=other"])
    data = json.loads(json.dumps(plan.to_dict()))
    del registry.known()["loss", "odd"]
    read = Plan.from_dict(data)
    assert ([variant.id for variant in read.variants], read.hash) == ([v.id for v in plan.variants], plan.hash)
    assert later_hyper("loss.odd.count") is None
    assert later_hyper("kind.of.another") is None
    assert later_hyper("loss") is None


def test_a_baseline_of_before_is_held_against_as_if_it_had_them(before, now):
    now = resolve(None, ODD)
    (old,), (same,), (other,) = (plan.variants for plan in (before, now, resolve(None, [*ODD, "loss.odd.count=4"])))
    frozen = BaselineVariant("odd", old.values, dict(old.hypers), ())
    swept = ["loss.odd.count"]
    assert identity(frozen.settings, frozen.hypers, swept) == identity(same.values, dict(same.hypers), swept)
    assert identity(frozen.settings, frozen.hypers, swept) != identity(other.values, dict(other.hypers), swept)
    assert _changed(same, frozen) == []
    assert _changed(other, frozen) == ["loss.odd.count is 4, in the baseline 3."]


@pytest.mark.parametrize(("later", "words"), [
    (("cuont",), "Unknown hyper-parameter that came later to the loss 'own' 'cuont'. Did you mean 'count'?"),
    ("cuont", "Did you mean 'count'?"), (3, "takes names of hyper-parameters"), ((), "takes names of hyper-parameters"),
])  # fmt: skip
def test_what_came_later_has_to_be_there(later, words):
    def own(real_logits, fake_logits, *, count: int = 1):
        """Mine."""

    with pytest.raises(UserError) as caught:
        register("loss", later=later)(own)
    assert words in str(caught.value)


def test_one_name_is_enough():
    odd("count=1", later="count")
    assert registry.get(*PLACE).later == {"count": 1}
    (variant,) = resolve(None, ODD).variants
    assert ("loss.odd.count", 1) in variant.hypers
    assert "loss.odd.count" not in variant.filed
    assert Variant(**variant.values) == Variant(**variant.values, hypers=(("loss.odd.count", 1),))
