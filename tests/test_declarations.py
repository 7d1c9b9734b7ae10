"""What each declaration takes: a value of every form, of which only one part is wrong."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganbench.declarations import (
    ANY_KIND,
    BETTER_UP,
    KEEPS,
    LOSS,
    MEASURES,
    NO_RATE,
    RESOLUTION,
    VERDICT,
    Declaration,
    Measure,
    Remedy,
    Threshold,
    flag,
    is_names,
    is_number,
    one_of,
    positive,
    share,
)
from ganbench.errors import UserError

T, M = Threshold(0.5, "half"), Measure("a legend")
DIVERGENCE = {"name": "kl", "critic": abs, "between": abs}
TAKEN = {
    "thresholds": (VERDICT["thresholds"],
        [{}, {"a": T}, {"a": T, "b": Threshold(2, "two")}],
        [[], T, {"a": 0.5}, {"a": T, "b": 0.5}, {"a": T, "b c": T}, {"a": T, 1: T}, {"a": T, "b": Threshold(1, " ")},
         {"a": T, "b": Threshold(math.inf, "far")}, {"a": T, "b": Threshold(True, "yes")},
         {"a": T, "b": Threshold(1, None)}]),
    "measures": (MEASURES,
        [{"a": M}, {"a": M, "b": Measure("other", "up", (0, 1))}, {"a": Measure("down", "down")}],
        [{}, [], {"a": 1}, {"a": M, "b": 1}, {"a": M, "b c": M}, {"a": M, 1: M}, {"a": M, "b": Measure("x", "left")},
         {"a": M, "b": Measure("x", None, (1, 1))}, {"a": M, "b": Measure("x", None, (2, 1))},
         {"a": M, "b": Measure("x", None, (0, 1, 2))}, {"a": M, "b": Measure("x", None, [0, 1])},
         {"a": M, "b": Measure(1)}, {"a": M, "b": Measure("x", blind=1)}]),
    "remedy": (VERDICT["remedy"], [Remedy("rest"), Remedy("rest", "Smith")], ["rest", Remedy(1), Remedy("rest", 1)]),
    "scripts": (VERDICT["scripts"], [(), ("a",), ("a", abs)], ["a", ["a"], ("",), ("a", 1), ("a", "")]),
    "symbol": (VERDICT["symbol"], ["x", "é"], ["", "xy", " ", "\n", 1]),
    "rank": (VERDICT["rank"], [0, -1.5], ["1", True, math.nan, math.inf]),
    "evidence": (VERDICT["evidence"], [abs], ["abs", None]),
    "boundary": (LOSS["boundary"], [None, 0, -0.5], ["0", True, math.nan]),
    "divergence": (LOSS["divergence"], ["none known", SimpleNamespace(**DIVERGENCE)],
        [SimpleNamespace(**{k: v for k, v in DIVERGENCE.items() if k != key}) for key in DIVERGENCE]),
    "keeps": (KEEPS, ["the layer", ("batch",), ["pixels", "channels"]], [(), 1, "batch", ("batch", 1)]),
    "no_rate": (NO_RATE, [{}, {"a": "b"}], ["a", {"a": ""}, {"": "a"}, {"a": 1}, {1: "a"}, {"a": "b", "c": ""}]),
    "resolution": (RESOLUTION, [1, 1e-300], [0, -1, "1", True, math.inf]),
    "sources": (ANY_KIND["sources"], ["a", Path("a"), ["a", Path("b")], [], ("a",), {"a"}, frozenset("a"), list],
        ["", 1, [""], ["a", 1], ["a", ""], {"a": 1}]),
    "environment": (ANY_KIND["environment"], ["A", ["A", "B"], {"A"}], [(), b"A", {"A": "B"}, ["A", ""], [1], 1]),
}  # fmt: skip


@pytest.mark.parametrize("key", TAKEN)
def test_one_wrong_part_is_enough_to_refuse(key):
    declaration, fits, odd = TAKEN[key]
    for value in fits:
        declaration.check(key, "the thing 'x'", value)
    for value in odd:
        with pytest.raises(UserError):
            declaration.check(key, "the thing 'x'", value)


def test_a_refusal_names_what_is_taken_and_what_was_got():
    said = "^The declaration 'symbol' of the verdict 'x' takes one character, got 'xy'.$"
    with pytest.raises(UserError, match=said):
        VERDICT["symbol"].check("symbol", "the verdict 'x'", "xy")
    with pytest.raises(UserError, match=r"^Unknown keeps of the normalization 'x' 'batc'. Did you mean 'batch'\?"):
        KEEPS.check("keeps", "the normalization 'x'", ("pixels", "batc"))


def test_choices_and_flags():
    choice, yes = one_of("a", "b", default="a", required=True), flag(True, ("x",), required=True)
    assert (choice.takes, choice.default, choice.choices, choice.required) == ("'a' or 'b'", "a", ("a", "b"), True)
    assert (yes.takes, yes.default, yes.where, yes.required) == ("True or False", True, ("x",), True)
    assert not one_of("a").required
    assert not flag().required
    assert Declaration("x", bool).required is False
    for value in (1, 0, None, "True"):
        assert not yes.fits(value)
    for value in (1, None, ["a"]):
        with pytest.raises(UserError):
            choice.check("k", "o", value)


@pytest.mark.parametrize("role", BETTER_UP)
def test_what_ranks_is_better_when_larger(role):
    assert Measure("x", "up", role=role).role == role
    for direction in ("down", None):
        with pytest.raises(UserError, match=f"role '{role}' is better when larger"):
            Measure("x", direction, role=role)
    assert Measure("x", "down", role="distance").direction == "down"
    for wrong in ({"role": "qualty"}, {"scale": "lin"}, {"scale": ""}):
        with pytest.raises(UserError, match=r"^Unknown (role|scale) of a measure"):
            Measure("x", **wrong)


def test_shares_and_positive_numbers_have_their_bounds():
    assert share("x", "up", 1.0, blind="b") == Measure("x", "up", (0.0, 1.0), "share", 1.0, "b")
    assert positive("x", "down", "s", 2.0, scale="log") == Measure("x", "down", (0.0, math.inf), "s", 2.0, "", "log")
    assert Measure("x").bounds == (-math.inf, math.inf)
    assert (str(Remedy("rest")), str(Remedy("rest", "Smith"))) == ("rest", "rest (Smith)")


def test_names_and_numbers():
    assert all(map(is_names, ["a", ["a"], ("a", "b"), {"a"}]))
    assert not any(map(is_names, [1, None, [], [""], ["a", 1], b"a", {"a": 1}]))
    assert all(map(is_number, [0, -1, 1.5]))
    assert not any(map(is_number, [True, "1", None, math.nan, math.inf, -math.inf]))
