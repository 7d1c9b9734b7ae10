"""Settings by name: what `ganbench.run` makes of them, and what it cannot write."""

import math

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import ganbench
from ganbench.api import make_plan, worded
from ganbench.errors import UserError
from ganbench.reading import parse_overrides

plain = st.one_of(
    st.booleans(), st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="_"), min_size=1, max_size=9),
)  # fmt: skip


@given(st.lists(plain, min_size=1, max_size=5))
def test_a_list_comes_back_as_it_went_in(values):
    (text,) = worded({"key": values})
    found = parse_overrides([text])["key"]
    assert all(a == b and type(a) is type(b) for a, b in zip(found, values, strict=True))


def test_they_are_what_the_command_line_would_have_said():
    settings = {"problem": "ring8", "loss": ("hinge", "minimax"), "seeds": range(3), "regularizer": "r1"}
    by_name = make_plan(None, worded({**settings, "regularizer__r1__gamma": [np.float64(0.1), 0.3]}))
    by_text = make_plan(None, ["problem=ring8", "loss=hinge,minimax", "seeds=[0,1,2]", "regularizer=r1",
                               "regularizer.r1.gamma=0.1,0.3"])  # fmt: skip
    assert by_name.hash == by_text.hash
    assert make_plan(None, worded({"loss": "*,-fgan_*"})).hash == make_plan(None, ["loss=*,-fgan_*"]).hash


@pytest.mark.usefixtures("own_registry")
def test_a_function_is_the_plug_in_of_its_kind():
    def slope(real, fake):
        """Nothing but a slope."""
        return fake.mean() - real.mean(), -fake.mean()

    plan = make_plan(None, worded({"loss": ["hinge", slope]}))
    assert [variant.loss for variant in plan.variants] == ["hinge", "slope"]
    with pytest.raises(UserError, match="The key 'steps' takes no function"):
        worded({"steps": slope})


@pytest.mark.parametrize(("settings", "said"), [
    ({"loss": {1, 2}}, "A setting is a text, a number, a list"), ({"los": "hinge"}, "Did you mean 'loss'?"),
    ({"seeds": math.nan}, "seeds"), ({"loss": "hinge", "overrides": ["loss=minimax"]}, "is given twice"),
    ({"loss": "hing"}, "Did you mean 'hinge'?"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(settings, said, tmp_path):
    with pytest.raises(UserError) as caught:
        ganbench.run(out=tmp_path / "s", **settings)
    assert said in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_yaml_reads_what_json_writes():
    assert yaml.safe_load("[1e-05]") != [1e-05], "ganbench's own reader does"
    assert parse_overrides(worded({"key": [1e-05]})) == {"key": [1e-05]}
