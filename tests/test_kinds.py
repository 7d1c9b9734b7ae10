"""What a plug-in may declare and how it is called: what is shipped passes, what is wrong is told at the decorator."""

import importlib.util
import math
import string
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganbench import registry
from ganbench.errors import UserError
from ganbench.kinds import KINDS, Measure, Threshold, axes, kind_of, share
from ganbench.refusals import check
from ganbench.registry import register
from ganbench.suite import resolve

pytestmark = pytest.mark.usefixtures("own_registry")

PLUGINS = [plugin for kind in KINDS for plugin in registry.plugins(kind)]
HYPERS = {"optimizer": "*, g_lr=0.1, d_lr=0.1"}
LEAST = {
    "metric": {"measures": {"own": share("a share")}},
    "diagnostic": {"measures": {"own": share("a share")}},
    "verdict": {"failure": True, "rank": 5, "symbol": "W", "evidence": lambda case, held: "It is so."},
}


def function(parameters, name="own", body="pass"):
    space = {}
    exec(f"def {name}({', '.join(filter(None, parameters))}): {body}", space)
    return space[name]


def forms():
    """Every way in which the engine calls a plug-in: kind, declarations, positional parameters."""
    for kind in KINDS.values():
        least = LEAST.get(kind.name, {})
        for acts_on, parameters in kind.calls.items():
            yield kind.name, {**least, **({"acts_on": acts_on} if acts_on else {})}, parameters
    yield "regularizer", {"remembers": True}, (*KINDS["regularizer"].calls["inputs"], "memory")


FORMS = list(forms())


def refused(kind, made, **declared):
    before = dict(registry.known())
    with pytest.raises(UserError) as caught:
        register(kind, **declared)(made)
    assert registry.known() == before, "what is refused is not registered"
    told = str(caught.value)
    assert "\n" not in told
    return told


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_all_that_is_shipped_is_as_its_kind_has_to_be(plugin):
    check(KINDS[plugin.kind], plugin.function, plugin.needs, plugin.provides, plugin.meta)
    for key in KINDS[plugin.kind].declarations:
        assert plugin.declared(key) == plugin.meta.get(key, KINDS[plugin.kind].default(key))


def test_nothing_that_is_shipped_needs_what_nothing_provides():
    registry.check_needs()


@pytest.mark.parametrize(("kind", "declared", "parameters"), FORMS)
def test_a_function_and_a_class_of_the_right_form_are_taken(kind, declared, parameters):
    register(kind, **declared)(function([*parameters, HYPERS.get(kind)]))
    if not HYPERS.get(kind):
        hypers = {"weight": 1.0} if KINDS[kind].settings else {}
        own = ["self", *parameters, *(["*, weight=1.0"] if hypers else [])]
        made = type("Own", (), {"__init__": function(own, "__init__")})
        del registry.known()[kind, "own"]
        register(kind, **declared)(made)
        assert dict(registry.get(kind, "Own").hypers) == hypers


@pytest.mark.parametrize(("kind", "declared", "parameters"), FORMS)
@pytest.mark.parametrize("change", [-1, 1, 2])
def test_too_few_and_too_many_parameters_are_told_with_the_right_ones(kind, declared, parameters, change):
    if len(parameters) + change < 0:
        return
    given_ones = [f"x{place}" for place in range(len(parameters) + change)]
    told = refused(kind, function([*given_ones, HYPERS.get(kind)]), **declared)
    assert told.startswith(f"The {kind} 'own' has the positional parameters {', '.join(given_ones) or 'none'}; ")
    assert f"it is called as ({', '.join([*parameters, '*', '...'])})" in told


def test_a_parameter_with_a_default_needs_a_star_to_be_a_hyper_parameter():
    told = refused("loss", function(["real", "fake", "slope=1.0"]))
    assert told.endswith("Write a * before 'slope' to make it a hyper-parameter.")


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            function(["*logits"]),
            "takes any number of arguments; name them: it is called as (real_logits, fake",
        ),
        (function(["real", "fake", "*, slope"]), "has no default for its hyper-parameter 'slope'"),
        (function(["real", "fake", "*, slope=[1, 2]"]), "'slope' of the loss 'own' must be what YAML can express"),
        (function(["real", "fake", "*, slope=1j"]), "got 1j"),
        (function(["real", "fake", "*, slope=float('nan')"]), "got nan"),
        (function(["real", "fake", "*, slope=float('inf')"]), "got inf"),
        (function(["real", "fake", "*, slope=print"]), "got <built-in function print>"),
        (lambda real, fake: None, "The loss '<lambda>' needs another name"),
        (3, "A loss is a function or a class, got 3."),
        (None, "A loss is a function or a class, got None."),
        (partial(max), "A loss is a function or a class, got functools.partial("),
        (math, "A loss is a function or a class, got <module 'math'"),
        (max, "The loss 'max' h"),
        (function(["real", "fake"], "v\u0435rlust"), "needs another name"),
        (function(["real", "fake"], "long" * 20), "needs another name"),
    ],
)
def test_what_is_no_loss(made, told):
    assert told in refused("loss", made)


@pytest.mark.parametrize(
    ("kind", "declared", "told"),
    [
        ("regularizer", {"acts_on": "latent"},
         "Unknown acts_on of the regularizer 'own' 'latent'. Did you mean 'latents'? Available: inputs, latents, matr"),
        ("regularizer", {"acts_on": "input"}, "Did you mean 'inputs'?"),
        ("regularizer", {"acts_on": ["inputs"]}, "takes 'inputs' or 'weights' or"),
        ("regularizer", {"acts_on": None}, "takes 'inputs' or 'weights' or"),
        ("regularizer", {"draws": "normals"}, "draws of the regularizer 'own' 'normals'. Did you mean 'normal'?"),
        ("regularizer", {"remembers": 1}, "'remembers' of the regularizer 'own' takes True or False, got 1"),
        ("regularizer", {"remember": True}, "declaration of the regularizer 'own' 'remember'. Did you mean 'remem"),
        ("regularizer", {"acts_on": "weights", "draws": "normal"},
         "declares 'draws', which means nothing where it acts on weights: it goes with inputs."),
        ("trick", {}, "The trick 'own' must declare 'acts_on': 'nothing' or"),
        ("trick", {"acts_on": "logit"}, "Unknown acts_on of the trick 'own' 'logit'. Did you mean 'logits'?"),
        ("trick", {"acts_on": "samples", "draws": 0}, "takes how many numbers a sample, at least 1, got 0."),
        ("trick", {"acts_on": "batch", "withholds": "independent_samples"}, "takes a set of names of capabilities"),
        ("loss", {"boundary": "0"}, "takes the logit of an undecided critic, a number or None, got '0'."),
        ("loss", {"boundary": float("nan")}, "got nan."),
        ("loss", {"saturates": "no"}, "takes True or False, got 'no'."),
        ("loss", {"divergence": 3}, "takes a Divergence, or a text that says why there is none, got 3."),
        ("normalization", {"keeps": "row length"}, "Did you mean 'row lengths'?"),
        ("normalization", {"keeps": ("pixel",)}, "Did you mean 'pixels'?"),
        ("normalization", {"keeps": ("row lengths",)}, "takes a tuple of axes, or one invariant"),
        ("normalization", {"acts_on": "weight"}, "Did you mean 'weights'?"),
        ("metric", {}, "The metric 'own' must declare 'measures': a dictionary of columns"),
        ("diagnostic", {}, "The diagnostic 'own' must declare 'measures'"),
        ("metric", {"measures": {}}, "The declaration 'measures' of the metric 'own' takes a dictionary of columns"),
        ("metric", {"measures": {"own": "a number"}}, "takes a dictionary of columns"),
        ("metric", {"measures": {"own": Measure("x", "higher")}}, "direction 'up', 'down' or None"),
        ("metric", {"measures": {"own": Measure("x", "up", (1.0, 0.0))}}, "bounds from low to high"),
        ("metric", {"measures": {"frechet": share("x")}}, "'frechet', which the metric 'frechet' does already"),
        ("diagnostic", {"measures": {"own": share("x")}, "cost": "cheep"}, "Did you mean 'cheap'?"),
        ("loss", {"needs": {"image"}}, "'needs' of the loss 'own' maps names of capabilities to reasons in words"),
        ("loss", {"needs": {"image": ""}}, "maps names of capabilities to reasons in words"),
        ("loss", {"provides": "image"}, "of the loss 'own' is a set of names of capabilities, got 'image'."),
        ("problem", {"need": {"image": "why"}}, "declaration of the problem 'own' 'need'. Did you mean 'needs'?"),
        ("update", {"sources": 3}, "takes files whose content decides results"),
        ("update", {"environment": {"A": "b"}}, "takes names of environment variables that decide results"),
        ("network", {"acts_on": "inputs"}, "Unknown declaration of the network 'own' 'acts_on'."),
        ("losses", {}, "Unknown kind of plug-in 'losses'. Did you mean 'loss'?"),
        ("verdict", {}, "The verdict 'own' must declare 'failure': True or False."),
        ("verdict", {**LEAST["verdict"], "failure": 1}, "'failure' of the verdict 'own' takes True or False, got 1."),
        ("verdict", {**LEAST["verdict"], "rank": None}, "takes a number: of the verdicts that hold, that of the low"),
        ("verdict", {**LEAST["verdict"], "symbol": "WW"}, "'symbol' of the verdict 'own' takes one character"),
        ("verdict", {**LEAST["verdict"], "symbol": "\n"}, "takes one character"),
        ("verdict", {**LEAST["verdict"], "evidence": "so"}, "takes a function of the case and what holds that ret"),
        ("verdict", {**LEAST["verdict"], "remedy": "rest"}, "takes a Remedy (what usually helps, the work it rests"),
        ("verdict", {**LEAST["verdict"], "thresholds": {"late": 0.5}}, "each with a Threshold (a number, a reason)"),
        ("verdict", {**LEAST["verdict"], "thresholds": {"late": Threshold(0.5, " ")}}, "each with a Threshold"),
        ("verdict", {**LEAST["verdict"], "thresholds": {"decent": Threshold(0.1, "I am mild")}},
         "'own' has the threshold 'decent', which the verdict 'never_learned' has already: choose another name."),
        ("verdict", {**LEAST["verdict"], "scripts": "one mode"}, "takes a tuple of names of scripted generators"),
        ("verdict", {**LEAST["verdict"], "acts_on": "probe"}, "Did you mean 'probes'?"),
    ],
)  # fmt: skip
def test_declarations_that_mean_nothing(kind, declared, told):
    form = next((parameters for each, _, parameters in FORMS if each == kind), ())
    assert told in refused(kind, function([*form, HYPERS.get(kind)]), **declared)


def test_an_optimizer_needs_both_rates():
    told = refused("optimizer", function([*KINDS["optimizer"].calls[""], "*, g_lr=0.1"]))
    assert told.startswith("The optimizer 'own' needs the hyper-parameter 'd_lr'")


def test_how_often_a_penalty_is_taken_is_a_whole_number():
    told = refused("regularizer", function([*KINDS["regularizer"].calls["inputs"], "*, lazy=2.5"]))
    assert told.endswith("must be a whole number of at least 1, got 2.5.")


def test_a_verdict_has_no_hyper_parameter_since_nothing_could_set_it():
    told = refused("verdict", function(["case", "*, late=0.5"]), **LEAST["verdict"])
    assert told == "The verdict 'own' has the hyper-parameter 'late', which nothing could set: leave it out."


def test_what_decides_results_may_be_declared_by_every_kind():
    for kind, declared, parameters in FORMS:
        made = function([*parameters, HYPERS.get(kind)], f"own_{kind}")
        extra = {"own": {}, "measures": {"measures": {f"own_{kind}": share("x")}}}["measures" if "measures" in declared
                                                                                   else "own"]  # fmt: skip
        register(kind, **{**declared, **extra}, sources=[Path("a.csv"), "b"], environment="HOME")(made)
        plugin = registry.get(kind, f"own_{kind}")
        assert plugin.declared("environment") == ("HOME",)
        assert plugin.declared("sources") == [Path("a.csv"), "b"]
        del registry.known()[kind, f"own_{kind}"]


def test_needs_may_name_what_another_file_provides_and_are_asked_when_a_plan_is_made():
    @register("loss", needs={"ears": "it listens"})
    def listening(real, fake):
        return fake.mean() - real.mean(), -fake.mean()

    with pytest.raises(UserError, match=r"Unknown capability that the loss 'listening' needs 'ears'\. Did you mean "):
        resolve(None, [])

    @register("problem", provides={"ears"})
    def rabbit(*, std: float = 1.0):
        return registry.get("problem", "ring8")(std=std)

    plan = resolve(None, ["loss=listening", "problem=rabbit,ring8"])
    assert [variant.problem for variant in plan.variants] == ["rabbit"]
    assert [reason for _, reason in plan.skipped] == ["listening with problem ring8: it listens"]


def test_what_a_loss_provides_counts_too():
    @register("loss", provides={"calm"})
    def gentle(real, fake):
        return fake.mean() - real.mean(), -fake.mean()

    @register("regularizer", needs={"calm": "it wants a gentle loss"})
    def shy(critic, real, fake, uniform):
        return critic(real).mean(-1)

    plan = resolve(None, ["loss=hinge,gentle", "regularizer=shy"])
    assert [variant.loss for variant in plan.variants] == ["gentle"]
    assert [reason for _, reason in plan.skipped] == ["shy with loss hinge: it wants a gentle loss"]


TWICE = """
from ganbench import register

@register("loss")
def same(real, fake):
    return fake.mean() - real.mean(), -fake.mean()

@register("loss")
def {second}(real, fake, *, slope=2.0):
    return fake.mean() - real.mean(), -fake.mean()
"""


@pytest.mark.parametrize("second", ["same", "same_"])
def test_one_name_twice_in_a_file_is_refused_and_nothing_of_the_file_is_kept(tmp_path, second):
    file = tmp_path / "twice.py"
    file.write_text(TWICE.format(second=second))
    with pytest.raises(UserError, match="The loss 'same' is registered twice by"):
        registry.load_file(file)
    assert "same" not in registry.names("loss")
    file.write_text(TWICE.format(second="other"))
    registry.load_file(file)
    assert {"same", "other"} <= set(registry.names("loss"))


# ------------------------------------------------------------------------------------------ any declaration

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=30),
    st.binary(max_size=5),
    st.lists(st.one_of(st.text(max_size=5), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=5), st.none()),
    st.sets(st.text(max_size=5), max_size=2),
    st.sampled_from([object, print, object()]),
)
KEYS = sorted({key for kind in KINDS.values() for key in kind.declarations})
NAMES = st.one_of(st.sampled_from(KEYS), st.text(string.ascii_lowercase, min_size=1, max_size=9))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    form=st.sampled_from(FORMS),
    odd=st.dictionaries(NAMES.filter(lambda name: name not in ("kind", "needs", "provides")), ODD),
    needs=st.one_of(st.none(), ODD),
    provides=st.one_of(st.just(()), ODD),
)
def test_any_declaration_is_taken_or_refused_in_a_sentence(form, odd, needs, provides):
    kind, least, parameters = form
    made, told = function([*parameters, HYPERS.get(kind)]), ""
    try:
        register(kind, needs=needs, provides=provides, **{**least, **odd})(made)
    except UserError as error:
        told = str(error)
    plugin = registry.known().pop((kind, "own"), None)
    if plugin is None:
        assert told.endswith(".")
        assert len(told) <= 1000
        return
    for key, value in plugin.meta.items():
        choices = KINDS[kind].declarations[key].choices
        assert not choices or not isinstance(value, str) or value in choices


def test_a_name_may_have_sixty_characters(own_registry):
    register("loss")(function(["real", "fake"], "x" * 60))
    assert registry.get("loss", "x" * 60)
    assert "needs another name" in refused("loss", function(["real", "fake"], "x" * 61))


@pytest.mark.parametrize("needs", [["a"], "a", {"a": ""}, {"": "b"}, {"a": 1}, {1: "b"}, {"a": "b", "c": ""}])
def test_needs_map_names_to_reasons(needs):
    assert refused("loss", function(["real", "fake"]), needs=needs).startswith("'needs' of the loss 'own' maps names")


@pytest.mark.parametrize("provides", ["a", b"a", {"a": "b"}, 3, [""], ["a", ""], ["a", 1]])
def test_provides_are_some_names(provides):
    told = refused("loss", function(["real", "fake"]), provides=provides)
    assert told.startswith("'provides' of the loss 'own' is a set of names of capabilities")


@pytest.mark.parametrize(("hyper", "told"), [
    ("lazy=0", "a whole number of at least 1"), ("lazy=-1", "a whole number of at least 1"),
    ("lazy=1.0", "a whole number of at least 1"), ("lazy=True", "a whole number of at least 1"),
    ("lazy=None", "a whole number of at least 1"),
])  # fmt: skip
def test_a_hyper_parameter_of_the_engine_has_its_type(hyper, told):
    parameters = ["critic", "real", "fake", "numbers", f"*, {hyper}"]
    assert told in refused("regularizer", function(parameters))


# ------------------------------------------------------------------------------------------ the table in words

D_ACTS = ("inputs", "weights", "matrices", "samples", "nothing")
G_ACTS = ("latents", "weights", "matrices", "nothing")
# key of a suite: the kind that it takes, its default, whether it came later, whose networks it gives to and asks of,
# whether an id names it (always, never, where it is not the default)
KEYS_OF_SUITES = {
    "problem": ("problem", "ring8", False, "GD", "D", True), "model": ("model", "gan", True, "GD", "GD", None),
    "network": ("network", "mlp", False, "GD", "GD", False), "loss": ("loss", "nonsaturating", False, "GD", "D", True),
    "normalization": ("normalization", "none", False, "D", "D", True),
    "g_normalization": ("normalization", "none", False, "G", "G", None),
    "regularizer": ("regularizer", "none", False, "GD", "D", None),
    "g_regularizer": ("regularizer", "none", True, "G", "G", None),
    "optimizer": ("optimizer", "adam", False, "GD", "D", False),
    "update": ("update", "alternating", True, "GD", "D", None), "trick": ("trick", "none", True, "GD", "D", None),
    "term": ("term", "none", True, "GD", "D", None),
}  # fmt: skip
# what holds where a plug-in declares nothing; ... where it has to
LINEAR = {"linear": None}
DECLARED = {
    "problem": {"gives": None, "external": False, "resolution": 1e-18}, "model": {"ignores": (), "likelihood": None},
    "network": {**LINEAR, "paper": {}},
    "loss": {"boundary": 0.0, "saturates": None, "divergence": None},
    "normalization": {"acts_on": "activations", "keeps": None},
    "regularizer": {"acts_on": "inputs", "draws": "uniform", "remembers": False, "signed": False, "no_rate": {},
                    "resolution": 1e-18, **LINEAR},
    "optimizer": {**LINEAR, "numbers": None}, "update": {"plain": False, **LINEAR},
    "trick": {"acts_on": ..., "withholds": (), "draws": 1, "phase": None},
    "term": {"head": None, "code": None, "untold": False, "space": None, "players": "dg"},
    "metric": {"acts_on": "samples", "measures": ..., "space": None, "spaces": False, "labelled": False, "asked": False,
               "late": False},
    "feature_space": {"external": False, "cost": "cheap"},
    "diagnostic": {"measures": ..., "cost": "cheap", "late": False},
    "verdict": {"acts_on": "probes", "failure": ..., "undecided": False, "rank": ..., "symbol": ...,
                "evidence": ..., "thresholds": {}, "remedy": None, "scripts": ()},
    "executor": {},
}  # fmt: skip
MEANT = {
    ("regularizer", "draws"): ("inputs",), ("regularizer", "remembers"): ("inputs", "latents"),
    ("regularizer", "signed"): ("inputs", "matrices", "latents"), ("trick", "draws"): ("samples",),
    ("trick", "phase"): ("logits",),
}  # fmt: skip


def test_the_keys_of_a_suite():
    found = {
        axis.name: (kind_of(axis.name), axis.default, axis.later, axis.gives, axis.asks, axis.named)
        for axis in axes().values()
    }
    assert found == KEYS_OF_SUITES
    limited = {axis.name: (axis.acts_on, axis.once) for axis in axes().values() if axis.acts_on or axis.once}
    assert limited == {"regularizer": (D_ACTS, ()), "g_regularizer": (G_ACTS, ()), "trick": ((), ("average",))}
    assert {name for name, kind in KINDS.items() if kind.composes} == {
        "regularizer",
        "trick",
        "term",
        "metric",
        "feature_space",
    }
    assert [axis.name for axis in axes().values() if axis.unlisted] == ["term"]


def test_what_each_kind_may_declare():
    found = {
        name: {key: ... if one.required else one.default for key, one in kind.declares.items()}
        for name, kind in KINDS.items()
    }
    assert found == DECLARED
    assert all({"sources", "environment"} <= kind.declarations.keys() for kind in KINDS.values())
    where = {(name, key): one.where for name, kind in KINDS.items() for key, one in kind.declares.items() if one.where}
    assert where == MEANT


def test_hyper_parameters_that_the_engine_looks_at():
    assert {name: dict(kind.hypers) for name, kind in KINDS.items() if kind.hypers} == {
        "regularizer": {"lazy": int}, "optimizer": {"g_lr": float, "d_lr": float, "decay": str},
    }  # fmt: skip
    assert {name: kind.rates for name, kind in KINDS.items() if kind.rates} == {"optimizer": ("g_lr", "d_lr")}
    assert {name for name, kind in KINDS.items() if not kind.settings} == {"feature_space", "verdict"}


def test_every_kind_has_a_home_and_laws():
    for name, kind in KINDS.items():
        plugins = [plugin for plugin in registry.plugins(name) if plugin.is_own]
        assert plugins
        assert all(plugin.function.__module__.startswith(kind.home.rpartition(".")[0]) for plugin in plugins)
        own = [law.rpartition(".")[2] for law in kind.laws]
        assert own == (["losses", "divergences"] if name == "loss" else [f"{name}s"])
        assert all(importlib.util.find_spec(law) for law in kind.laws)


def test_the_parameters_of_a_plugin_follow_from_what_it_declares():
    parameters = KINDS["regularizer"].parameters
    assert parameters({}) == ("critic", "real", "fake", "numbers")
    assert parameters({"remembers": True}) == ("critic", "real", "fake", "numbers", "memory")
    assert parameters({"acts_on": "latents", "remembers": False}) == ("generator", "latents", "normal")
    assert KINDS["metric"].parameters({"labelled": True}) == ("real", "fake", "label")
    assert KINDS["metric"].parameters({"acts_on": "models"}) == ("seen",)
    assert KINDS["loss"].parameters({"acts_on": "anything"}) == ("real_logits", "fake_logits")
    assert KINDS["normalization"].parameters({}) == ("layer",)


@pytest.mark.parametrize(("kind", "key", "fits", "odd"), [
    ("trick", "draws", [1, 2, 100], [0, -1, True, 1.0, "1", None]),
    ("trick", "withholds", [["a"], {"a", "b"}, ("a",)], ["a", (), [""], ["a", 1], None]),
    ("metric", "space", ["data"], ["", 1, None]), ("regularizer", "draws", ["uniform", "normal"], ["", "u", 1, None]),
])  # fmt: skip
def test_a_declaration_of_a_kind_takes_what_it_says(kind, key, fits, odd):
    declaration = KINDS[kind].declarations[key]
    for value in fits:
        declaration.check(key, "it", value)
    for value in odd:
        with pytest.raises(UserError):
            declaration.check(key, "it", value)


@pytest.mark.parametrize(("kind", "hypers", "told"), [
    ("optimizer", "g_lr=1, d_lr=0.5", ""), ("optimizer", "g_lr=0.5, d_lr=2, decay='none'", ""),
    ("optimizer", "g_lr='1', d_lr=0.5", "must be a float, got '1'"),
    ("optimizer", "g_lr=True, d_lr=0.5", "must be a float, got True"),
    ("optimizer", "g_lr=None, d_lr=0.5", "must be a float, got None"),
    ("optimizer", "g_lr=0.5, d_lr=0.5, decay=1", "must be a str, got 1"),
    ("optimizer", "g_lr=0.5, d_lr=0.5, decay=1.0", "must be a str, got 1.0"),
    ("optimizer", "g_lr=0.5, d_lr=0.5, other=None", ""), ("regularizer", "lazy=1", ""), ("regularizer", "lazy=7", ""),
])  # fmt: skip
def test_the_engine_reads_hyper_parameters_of_its_types_only(kind, hypers, told):
    made = function([*KINDS[kind].calls["inputs" if kind == "regularizer" else ""], f"*, {hypers}"])
    if told:
        assert told in refused(kind, made)
    else:
        register(kind)(made)
        assert registry.get(kind, "own")
