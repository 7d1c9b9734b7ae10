"""Short forms of sweeps: every name that matches, without some, and ranges of seeds."""

from fnmatch import fnmatchcase

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganbench import patterns, registry
from ganbench.errors import UserError
from ganbench.suite import resolve

LOSSES = registry.names("loss")


def losses(*overrides):
    return list(
        dict.fromkeys(variant.loss for variant in resolve(None, ["problem=ring8", "seeds=1", *overrides]).variants)
    )


def sentence(*overrides):
    with pytest.raises(UserError) as caught:
        resolve(None, ["problem=ring8", *overrides])
    return str(caught.value)


def test_a_pattern_is_every_name_that_matches_in_the_registrys_order():
    assert losses("loss=*") == LOSSES
    assert losses("loss=fgan_*") == [name for name in LOSSES if name.startswith("fgan_")]
    assert losses("loss=hinge,relativistic_*") == ["hinge", *(n for n in LOSSES if n.startswith("relativistic_"))]


def test_what_is_taken_out_again():
    without = [name for name in LOSSES if not name.startswith("fgan_")]
    assert losses("loss=*,-fgan_*") == without
    assert losses("loss=-fgan_*") == without
    assert losses("loss=*,-fgan_*,fgan_kl") == [*without, "fgan_kl"]
    assert losses("loss=hinge,minimax,-hinge") == ["minimax"]


def test_a_suite_says_the_same_in_quotes(tmp_path):
    suite = tmp_path / "own.yaml"
    suite.write_text("problem: ring8\nloss: ['*', '-fgan_*']\nseeds: [0..2, 7]\n")
    plan = resolve(suite)
    assert {variant.loss for variant in plan.variants} == {name for name in LOSSES if not name.startswith("fgan_")}
    assert plan.seeds == (0, 1, 2, 7)


def test_ranges_of_seeds():
    assert resolve(None, ["problem=ring8", "seeds=0..9"]).seeds == tuple(range(10))
    assert resolve(None, ["problem=ring8", "seeds=3..4,9"]).seeds == (3, 4, 9)
    assert resolve(None, ["problem=ring8", "seeds=9,3..4"]).seeds == (9, 3, 4)
    assert resolve(None, ["problem=ring8", "seeds=5..5"]).seeds == (5,)
    assert "must rise" in sentence("seeds=9..0")
    assert "at most 10000" in sentence("seeds=0..10000")
    assert "at most 10000" in sentence("seeds=0..1000000000000")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("loss=hinje*", "Did you mean 'hinge'?"),
        ("loss=hinge,-wasserstein", "The key 'loss' takes out 'wasserstein', which is not in it before."),
        ("loss=hinge,-hinge", "takes out all of it"),
        ("loss=-*", "takes out all of it"),
        ("steps=1*", "steps"),
        ("seeds=*", "seeds"),
    ],
)
def test_what_matches_nothing_is_one_sentence(override, said):
    assert said in sentence(override)


@given(st.lists(st.sampled_from(["*", "fgan_*", "*_*", "h*", "hinge", "minimax"]), min_size=1, max_size=4),
       st.lists(st.sampled_from(["-fgan_*", "-*_kl", "-hinge"]), max_size=3))  # fmt: skip
def test_it_is_the_set_that_one_would_write(wanted, without):
    expected = {n for n in LOSSES if any(fnmatchcase(n, w) for w in wanted)}
    for one in without:
        here = {n for n in expected if fnmatchcase(n, one[1:])}
        if not here or here == expected:
            with pytest.raises(UserError):
                patterns.expanded({"loss": [*wanted, *without]})
            return
        expected -= here
    found = patterns.expanded({"loss": [*wanted, *without]})["loss"]
    assert set([found] if isinstance(found, str) else found) == expected


@pytest.mark.parametrize(("short", "long"), [
    (["problem=npz:a.npz"], ["problem=npz", "problem.npz.root=a.npz"]),
    (["problem=npz:C:/a.npz"], ["problem=npz", "problem.npz.root=C:/a.npz"]),
    (["problem=npz:a.npz,npz:b.npz"], ["problem=npz", "problem.npz.root=a.npz,b.npz"]),
    (["problem=npz:a.npz,digits"], ["problem=npz,digits", "problem.npz.root=a.npz"]),
])  # fmt: skip
def test_the_place_of_a_problems_files(short, long, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.npz", "b.npz"):
        np.savez(name, x_train=np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))
    rest = ["network=dcgan", "seeds=1"]
    if "C:/" in short[0]:
        assert sentence(*short, *rest) == sentence(*long, *rest)
    else:
        assert resolve(None, [*short, *rest]).hash == resolve(None, [*long, *rest]).hash


@pytest.mark.parametrize(("overrides", "told"), [
    (["problem=foldr:a"], "Unknown problem with files 'foldr'. Did you mean 'folder'?"),
    (["problem=ring8:a"], "Unknown problem with files 'ring8'."),
    (["problem=npz:a", "problem.npz.root=b"], "The place of a problem is given twice: by 'problem' and by 'problem.np"),
])  # fmt: skip
def test_places_that_are_none(overrides, told):
    with pytest.raises(UserError) as caught:
        resolve(None, overrides)
    assert str(caught.value).startswith(told)
