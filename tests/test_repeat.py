"""The command that repeats one run: its plan is that run and nothing else, whatever the settings are."""

import shlex
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overriding import over
from own_files import own_files, roots

import ganbench
from ganbench import api
from ganbench.plan import MEASURING, OWN, OWN_NAME, Run, Variant
from ganbench.reading import suite_names
from ganbench.repeat import commands, repeat
from ganbench.suite import resolve


def planned(command):
    """The plan of a command line `ganbench run ...`."""
    words = shlex.split(command)
    assert words[:2] == ["ganbench", "run"]
    return resolve(None, words[2:])


def assert_repeats(plan, run):
    other = planned(repeat(plan, run))
    assert [one.id for one in other.runs] == [run.id]
    assert other.runs[0] == run
    assert [getattr(other, key) for key in MEASURING] == [getattr(plan, key) for key in MEASURING]


@pytest.mark.parametrize("suite", suite_names())
def test_every_variant_of_every_suite_is_repeated_by_its_command(suite, tmp_path, monkeypatch):
    plan = resolve(suite, ["seeds=[7]", *roots(suite, own_files(tmp_path / "data", monkeypatch))])
    found = commands(plan)
    assert list(found) == [run.id for run in plan.runs]
    for run in plan.runs:
        assert found[run.id] == repeat(plan, run)
        assert_repeats(plan, run)


def test_only_what_is_not_the_default_is_named():
    plan = resolve("smoke")
    run = next(r for r in plan.runs if r.variant.regularizer == "r1" and r.variant.problem == "ring8" and r.seed == 2)
    assert repeat(resolve(None), resolve(None).runs[4]) == "ganbench run 'seeds=[4]'"
    words = "regularizer=r1 steps=4000 regularizer.r1.gamma=0.3 'seeds=[2]'"
    assert repeat(plan, run).endswith(words)
    assert "suite" not in repeat(plan, run)


NUMBERS = st.floats(0, 1e6, allow_subnormal=True) | st.sampled_from([-0.0, 1e-300, 1e22, 5e-324, 1.0, 3e-5])


@settings(max_examples=80, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "loss": st.sampled_from(["hinge", "minimax", "wasserstein"]),
            "regularizer": st.sampled_from(["none", "r1", "gradient_penalty"]),
            "steps": st.integers(1, 10**6),
            "latent_dim": st.integers(1, 64),
            "latent": st.sampled_from(["normal", "uniform"]),
            "probe_every": st.integers(1, 900),
            "samples": st.integers(16, 5000),
            "diagnostics": st.sampled_from(["cheap", "medium"]),
            "optimizer.adam.g_lr": NUMBERS,
            "optimizer.adam.eps": NUMBERS,
            "problem.ring8.radius": NUMBERS,
            "network.mlp.depth": st.integers(1, 5),
        },
    ),
    st.integers(0, 2**40),
)
def test_any_settings_are_repeated_to_the_last_digit(chosen, seed):
    plan = resolve(
        None, over([*(f"{key}={value!r}".replace("'", "") for key, value in chosen.items()), f"seeds=[{seed}]"])
    )
    assert_repeats(plan, plan.runs[0])


# a plan holds no text that cannot be printed
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=12) | st.sampled_from(
    [
        "a,b",
        "[a]",
        "{a: 1}",
        "'",
        '"',
        "true",
        "1e5",
        "null",
        "~",
        "",
        " a ",
        "a: b",
        "#",
        "$HOME",
        "`x`",
        "=",
        "!",
        "é ü",
    ]
)


@settings(max_examples=120, deadline=None)
@given(st.one_of(TEXTS, st.booleans(), st.integers(), st.none(), NUMBERS, st.just(float("inf"))))
def test_any_value_is_read_back_as_it_is(value):
    from ganbench.reading import parse_overrides
    from ganbench.repeat import _text

    text = _text(value)
    if isinstance(value, str) and not value.isprintable():
        return  # no override holds one
    assert text is not None
    (word,) = shlex.split(shlex.join([f"key={text}"]))
    read = parse_overrides([word])["key"]
    assert (type(read), repr(read)) == (type(value), repr(value))


def test_a_run_asks_for_what_fits_its_problem_alone():
    asked = ["feature_spaces=conv_maps", "metrics=kid+sharpness+class_recall"]
    plan = resolve(None, ["problem=ring8,digits,digits_labelled", "network=mlp,conditional_mlp", "seeds=1", *asked])
    got = {}
    for run in plan.runs:
        other = planned(repeat(plan, run))
        assert other.runs == [run]
        got[run.variant.problem] = other.feature_spaces, other.metrics
    assert got == {
        "ring8": ("none", "kid"),
        "digits": ("conv_maps", "kid+sharpness"),
        "digits_labelled": ("conv_maps", "kid+sharpness+class_recall"),
    }


@pytest.mark.usefixtures("own_registry")
def test_plugins_are_named_by_their_file_and_what_no_command_trains_has_none(tmp_path, tiny):
    file = tmp_path / "my losses.py"
    file.write_text(
        "from ganbench import register\nfrom ganbench.gan.losses import hinge\n\n"
        "@register('loss')\ndef filed(real_logits, fake_logits, *, share=1.0):\n"
        "    return hinge(real_logits, fake_logits)\n"
    )
    plan = api.make_plan(None, [*tiny, "loss=filed", "loss.filed.share=0.5"], [file])
    command = repeat(plan, plan.runs[1])
    assert shlex.split(command)[2:4] == ["--plugin", str(file)]
    assert "loss.filed.share=0.5" in command
    assert [run.id for run in api.make_plan(None, shlex.split(command)[4:], [file]).runs] == [plan.runs[1].id]

    @ganbench.register("loss")
    def of_this_session(real_logits, fake_logits):
        return real_logits.mean(), fake_logits.mean()

    gone = Variant(**{**plan.runs[0].variant.values, "loss": "nowhere"}, hypers=plan.runs[0].variant.hypers)
    assert repeat(replace(plan, plugin_files=()), Run(gone, 0)) == ""
    own = Variant(**{**plan.runs[0].variant.values, "loss": OWN}, hypers=((OWN_NAME, "mine"),))
    assert repeat(plan, Run(own, 0)) == ""


def test_repeated_run_trains_to_the_same_numbers(tmp_path, tiny):
    study = ganbench.run(None, over([*tiny, "loss=hinge,minimax", "seeds=3"]), out=tmp_path / "all", workers=1)
    run = study.runs.iloc[-1]["run"]
    words = shlex.split(study.commands[run])[2:]
    alone = ganbench.run(None, words, out=tmp_path / "one", workers=1)
    measured = [name for name in study.series.columns if not name.startswith("seconds")]
    before = study.series.loc[study.series["run"] == run, measured].reset_index(drop=True)
    assert alone.runs["run"].tolist() == [run]
    assert set(alone.series["run"]) == {run}
    for name in ("modes_covered", "frechet"):
        assert alone.series[name].to_numpy() == pytest.approx(before[name].to_numpy(), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("text", ["# one " * 16, "[a, b] and " * 9, "null", "1e5", "a: b " * 20])
def test_a_command_is_one_line_however_long_its_texts(text):
    plan = resolve(None, ["optimizer=sgd", "seeds=1"])
    (variant,) = plan.variants
    hypers = tuple((key, text.strip() if key == "optimizer.sgd.decay" else value) for key, value in variant.hypers)
    run = Run(Variant(**variant.values, hypers=hypers), 0)
    command = repeat(replace(plan, variants=(run.variant,)), run)
    assert "\n" not in command
    assert planned(command).runs == [run]
