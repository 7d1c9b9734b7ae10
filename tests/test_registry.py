"""The registry: what it derives from a function, and the sentences it answers mistakes with."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from ganbench import registry
from ganbench.errors import UserError
from ganbench.registry import register, share

pytestmark = pytest.mark.usefixtures("own_registry")

LOSS = """
from ganbench import register

@register("loss")
def {name}(real, fake, *, slope: float = 2.0):
    '''A line through zero (nobody 2026).'''
    return slope * (fake.mean() - real.mean()), -fake.mean()
"""


def sentence(call) -> str:
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value)


def plugin_file(folder, name="straight", text=LOSS):
    file = folder / f"{name}.py"
    file.write_text(text.format(name=name))
    return file


def test_everything_is_derived_from_the_function():
    @register("loss", needs={"image": "needs pixels"}, provides=["speed"], boundary=None)
    def crooked(real, fake, *, slope: float = 2.0, name: str = "x"):
        """A crooked loss (nobody 2026).

        The second paragraph is not its legend.
        """
        return fake - real, slope * fake

    plugin = registry.get("loss", "crooked")
    assert plugin.kind == "loss"
    assert plugin.name == "crooked"
    assert plugin.legend == "A crooked loss (nobody 2026)."
    assert dict(plugin.hypers) == {"slope": 2.0, "name": "x"}
    assert dict(plugin.needs) == {"image": "needs pixels"}
    assert plugin.provides == {"speed"}
    assert dict(plugin.meta) == {"boundary": None}
    assert plugin.source == __file__
    assert plugin(3, 5, slope=10) == (2, 50)
    assert crooked(3, 5) == (2, 10), "the function itself is returned unchanged"


def test_trailing_underscore_is_dropped_and_missing_docstring_falls_back_to_the_name():
    @register("loss")
    def sum_(real, fake):
        return fake, real

    assert registry.get("loss", "sum").legend == "sum"


def test_record_cannot_be_changed():
    plugin = registry.get("loss", "hinge")
    with pytest.raises(AttributeError):
        plugin.name = "other"
    with pytest.raises(TypeError):
        plugin.hypers["margin"] = 3


def test_version_follows_the_source_and_nothing_else(tmp_path):
    versions = []
    for folder, text in (("a", LOSS), ("b", LOSS), ("c", LOSS.replace("2.0", "3.0"))):
        (tmp_path / folder).mkdir()
        registry._registry.plugins.pop(("loss", "straight"), None)
        registry.load_file(plugin_file(tmp_path / folder, text=text))
        versions.append(registry.get("loss", "straight").version)
    assert versions[0] == versions[1]
    assert versions[0] != versions[2]
    assert all(len(version) == 12 for version in versions)


def test_hyper_parameter_without_default():
    def steep(real, fake, *, slope):
        return fake, real

    assert sentence(lambda: register("loss")(steep)) == (
        "The loss 'steep' has no default for its hyper-parameter 'slope'."
    )
    assert "steep" not in registry.names("loss")


def test_unknown_kind_names_the_nearest():
    available = ", ".join(sorted(registry.KINDS))
    expected = f"Unknown kind of plug-in 'losses'. Did you mean 'loss'? Available: {available}."
    assert sentence(lambda: register("losses")) == expected
    assert sentence(lambda: registry.plugins("losses")) == expected


def test_unknown_name_names_the_nearest():
    available = ", ".join(sorted(registry.names("loss")))
    assert sentence(lambda: registry.get("loss", "hing")) == (
        f"Unknown loss 'hing'. Did you mean 'hinge'? Available: {available}."
    )
    assert sentence(lambda: registry.get("loss", "zzz")) == f"Unknown loss 'zzz'. Available: {available}."


def test_taken_name_is_refused_and_keeps_its_owner(tmp_path):
    before = registry.get("loss", "hinge")
    file = plugin_file(tmp_path, "hinge")
    assert sentence(lambda: registry.load_file(file)) == f"The loss 'hinge' is already registered by {before.source}."
    assert registry.get("loss", "hinge") is before


def test_same_name_in_another_kind_is_free():
    @register("loss")
    def spectral(real, fake):
        return fake, real

    assert registry.get("loss", "spectral").kind == "loss"
    assert registry.get("normalization", "spectral").kind == "normalization"


def test_a_session_may_correct_its_own_function():
    for slope in (1, 2):
        space = {"register": register, "__name__": "__main__"}
        exec(f"@register('loss')\ndef mine(real, fake, *, slope={slope}):\n    return fake, real", space)
    assert registry.get("loss", "mine").hypers["slope"] == 2
    assert registry.get("loss", "mine").source is None


def test_file_is_loaded_once(tmp_path):
    file = tmp_path / "counts.py"
    log = f"with open({str(tmp_path / 'log')!r}, 'a') as log:\n    log.write('x')\n"
    file.write_text(log + LOSS.format(name="counted"))
    registry.load_file(file)
    registry.load_file(str(file))
    registry.load_file(tmp_path / "." / "counts.py")
    assert (tmp_path / "log").read_text() == "x"
    assert registry.loaded_files().count(str(file)) == 1


def test_two_files_of_one_name_both_count(tmp_path):
    for folder, name in (("a", "first"), ("b", "second")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plugin.py").write_text(LOSS.format(name=name))
        registry.load_file(tmp_path / folder / "plugin.py")
    for folder, name in (("a", "first"), ("b", "second")):
        assert registry.get("loss", name).source == str(tmp_path / folder / "plugin.py")


def test_missing_and_unreadable_files(tmp_path):
    missing, text = tmp_path / "no.py", tmp_path / "notes.txt"
    text.write_text("hello")
    assert sentence(lambda: registry.load_file(missing)) == f"There is no plug-in file '{missing}'."
    assert sentence(lambda: registry.load_file(tmp_path)) == f"There is no plug-in file '{tmp_path}'."
    assert sentence(lambda: registry.load_file(text)) == f"The plug-in file '{text}' is not a Python file (.py)."


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise KeyError('weights')", "raised KeyError at import: 'weights'"),
        ("import no_such_module", "raised ModuleNotFoundError at import: No module named 'no_such_module'"),
        ("def broken(:", "raised SyntaxError at import: invalid syntax (bad.py, line 1)"),
    ],
)
def test_file_that_raises_is_told_by_type_and_message(tmp_path, code, told):
    file = tmp_path / "bad.py"
    file.write_text(code)
    assert sentence(lambda: registry.load_file(file)) == f"The plug-in file '{file}' {told}"
    assert str(file) not in registry.loaded_files()
    file.write_text(LOSS.format(name="mended"))
    registry.load_file(file)
    assert "mended" in registry.names("loss")


def test_file_that_exits_is_told_too(tmp_path):
    file = tmp_path / "script.py"
    file.write_text("import sys\nsys.exit(0)")
    try:
        registry.load_file(file)
    except UserError:
        return
    except SystemExit:
        pytest.fail("a plug-in file ended the whole command with exit code 0")


def test_installed_packages_add_plugins_through_their_entry_points(monkeypatch):
    asked = []

    class Entry:
        def load(self):
            asked.append("loaded")

            @register("loss")
            def from_a_package(real, fake):
                """A loss from elsewhere."""
                return fake, real

    def entry_points(**query):
        asked.append(query)
        return [Entry()]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry._registry.loaded.discard("entry points")
    assert "from_a_package" in registry.names("loss")
    assert registry.get("loss", "from_a_package").legend == "A loss from elsewhere."
    registry.names("metric")
    assert asked == [{"group": "ganbench.plugins"}, "loaded"], "asked once a session"


def test_every_measured_column_is_declared_once():
    of = {
        kind: [name for p in registry.plugins(kind) for name in p.meta["measures"]] for kind in ("metric", "diagnostic")
    }
    # those that declare none of them have a column in every space
    pretrained = ("lite0", "inception", "torchscript")
    of["metric"] += [
        f"frechet_{space}" for space in (*pretrained, "data", "conv", "conv_maps", "spectrum", "spectrogram", "bins")
    ]
    everywhere = [
        "kernel_distance", "kid_mean", "kid_std", "cmmd", "authenticity", "mifid", "cosine_distance",
    ]  # fmt: skip
    spaces = (*pretrained, "data", "pixels", "conv", "conv_maps", "classifier", "spectrum", "spectrogram", "bins")
    of["metric"] += [f"{name}_{space}" for name in everywhere for space in spaces]
    averages = [registry.averaged(name) for name in of["metric"]]
    every = [*of["metric"], *of["diagnostic"], *averages]
    assert len(every) == len(set(every))
    assert list(registry.measures()) == every
    assert {m.direction for m in registry.measures().values()} <= {"up", "down", None}


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_shipped_plugin_has_a_legend_that_is_a_sentence(kind):
    for plugin in registry.plugins(kind):
        assert plugin.legend != plugin.name
        assert plugin.legend.endswith("."), plugin.name


# ------------------------------------------------------------------------------------------ files and packages


def test_a_file_may_do_what_it_likes_with_its_process_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "beside.py").write_text("VALUE = 1\n")
    change = (
        f"import os, sys\nos.chdir({str(tmp_path / 'there')!r})\nsys.path.insert(0, {str(tmp_path)!r})\nimport beside\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    for text, told in ((LOSS, ""), ("raise KeyError('x')", "raised KeyError at import: 'x'")):
        for writes in (True, False):
            monkeypatch.setattr(sys, "dont_write_bytecode", writes)
            file = plugin_file(tmp_path, f"loss_{len(told)}_{writes}", text)
            file.write_text(change + file.read_text())
            if told:
                assert told in sentence(lambda file=file: registry.load_file(file))
            else:
                registry.load_file(file)
            assert sys.dont_write_bytecode is writes
            assert Path.cwd() == tmp_path
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_file_that_raises_takes_back_what_it_registered_and_that_of_the_files_it_loads(tmp_path):
    inner, outer = plugin_file(tmp_path, "inner"), tmp_path / "outer.py"
    before = dict(registry.known())
    outer.write_text(
        f"from ganbench import registry\nregistry.load_file({str(inner)!r})\n{LOSS.format(name='outer')}\n1 / 0\n"
    )
    assert sentence(lambda: registry.load_file(outer)).endswith("raised ZeroDivisionError at import: division by zero")
    assert dict(registry.known()) == before
    assert registry._registry.fresh is None


def test_a_mistake_in_a_file_is_told_as_it_is_and_an_interruption_is_none(tmp_path):
    wrong = plugin_file(tmp_path, "wrong", "from ganbench import register\nregister('lss')\n")
    assert sentence(lambda: registry.load_file(wrong)).startswith("Unknown kind of plug-in 'lss'.")
    stopped = plugin_file(tmp_path, "stopped", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):  # the signal is not handled here: it may be the user's
        registry.load_file(stopped)


@pytest.mark.parametrize(("raised", "told"), [
    (UserError("It is wrong."), "It is wrong."),
    (ValueError("odd"), "The installed plug-in 'a package' raised ValueError at import: odd"),
    (SystemExit(), "The installed plug-in 'a package' raised SystemExit at import"), (KeyboardInterrupt(), None),
])  # fmt: skip
def test_an_installed_package_that_raises_is_named(monkeypatch, raised, told):
    class Entry:
        name = "a package"

        def load(self):
            raise raised

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **query: [Entry()])
    registry._registry.loaded.discard("entry points")
    if told is None:
        with pytest.raises(KeyboardInterrupt):
            registry.names("loss")
    else:
        assert sentence(lambda: registry.names("loss")) == told
    registry._registry.loaded.add("entry points")


# ------------------------------------------------------------------------------------------ names and columns


def metric(name, *columns, **more):
    def function(real, fake):
        return fake

    function.__name__ = name
    register("metric", measures={column: share("a share", role=more.pop("role", "")) for column in columns}, **more)(
        function
    )


@pytest.mark.parametrize(("names", "told"), [
    ((("one", "seconds"),), "The metric 'one' measures 'seconds', which is a column of every study's tables"),
    ((("one", "run", "label"),), "The metric 'one' measures 'label', which is a column of every"),
    ((("one", "a"), ("two", "a")), "The metric 'two' measures 'a', which the metric 'one' does already"),
    ((("one", "a"), ("two", "a_ema")), "The metric 'two' measures 'a_ema', which the metric 'one' does already"),
    ((("one", "a_ema"), ("two", "a")), "The metric 'two' measures 'a_ema', which the metric 'one' does already"),
    ((("one", "a"), ("two", "b"), ("one", "c"), ("three", "c")), "which the metric 'one' does already"),
    ((("one", "a", "b"), ("one", "b", "c")), ""), ((("one", "a"), ("two", "aa")), ""),
])  # fmt: skip
def test_a_column_is_one_plugins(names, told):
    *first, last = names
    for words in first:
        metric(*words)
    if told:
        assert told in sentence(lambda: metric(*last))
    else:
        metric(*last)


def verdict(name, **more):
    def function(case):
        return None

    function.__name__ = name
    register("verdict", failure=True, rank=5, symbol="W", evidence=lambda case, held: "So.", **more)(function)


def test_a_verdict_is_a_column_too_by_its_name_in_words():
    metric("one", "odd")
    assert "The verdict 'odd' is 'odd', which the metric 'one' does already" in sentence(lambda: verdict("odd"))
    verdict("quite_odd")
    assert "quite odd" in registry._columns(registry.get("verdict", "quite_odd"))
    assert sentence(lambda: verdict("rank")).startswith(
        "The verdict 'rank' is 'rank', which is a column of every study"
    )
    verdict("first", thresholds={"border": registry.Threshold(0.5, "half")})
    assert sentence(lambda: verdict("second", thresholds={"border": registry.Threshold(0.4, "less")})) == (
        "The verdict 'second' has the threshold 'border', which the verdict 'first' has already: choose another name."
    )
    metric("two", "b")
    assert "which the verdict 'first' is already" in sentence(lambda: metric("three", "first"))


def test_needs_are_asked_about_when_every_kind_is_there(monkeypatch):
    loaded = []
    monkeypatch.setattr(registry, "load", loaded.append)
    registry.check_needs()
    assert set(loaded) >= set(registry.KINDS)


def test_columns_that_come_about_by_feature_spaces_are_asked_for_when_a_plan_is_made():
    registry.check_needs()
    metric("one", "a", spaces=True)
    registry.check_needs()
    spaces = registry.names("feature_space")
    found = registry.measures()
    assert {f"a_{space}" for space in spaces} <= found.keys()
    assert {f"a_{space}_ema" for space in spaces} <= found.keys()
    assert found[f"a_{spaces[0]}"].legend == f"a share; of features '{spaces[0]}'"
    assert found["a_ema"].legend == "a share; of the average of G's weights"
    metric("two", f"a_{spaces[0]}")
    assert sentence(registry.check_needs) == f"The column 'a_{spaces[0]}' would be measured twice: choose another name."


def test_a_metric_that_declares_a_space_has_its_own_column_there():
    spaces = registry.names("feature_space")
    metric("one", "a", f"a_{spaces[0]}", spaces=True)
    registry.check_needs()
    assert registry.measures()[f"a_{spaces[0]}"].legend == "a share"
    assert f"a_{spaces[0]}_{spaces[1]}" not in registry.measures()
    assert f"a_{spaces[1]}" in registry.measures()
    metric("two", "b", space="nowhere")
    assert sentence(registry.check_needs).startswith("Unknown feature space of the metric 'two' 'nowhere'.")


def test_roles_are_played_by_those_that_declare_them():
    shipped = registry.playing("quality")
    metric("one", "a", role="distance")
    assert registry.playing("distance") == (*[m for m in registry.playing("distance") if m != "a"], "a")
    assert registry.playing("distance", foreign=True) == ("a",)
    assert registry.playing("quality") == shipped
    assert registry.playing("quality", foreign=True) == ()
    assert registry.measures()["a_ema"].role == "", "the average's columns are only shown"
    assert registry.playing("gradient"), "diagnostics play roles too"


@pytest.mark.parametrize(("column", "name"), [("a", "a_ema"), ("a.b", "a_ema.b"), ("a.b.c", "a_ema.b.c")])
def test_the_column_of_an_average(column, name):
    assert registry.averaged(column) == name


def test_what_is_shipped_has_the_packages_version_and_measures_every_plan(tmp_path):
    assert registry.get("loss", "hinge").version == "ganbench"
    assert registry.get("loss", "hinge").is_own
    registry.load_file(plugin_file(tmp_path))
    mine = registry.get("loss", "straight")
    assert not mine.is_own
    assert mine.version == mine.identity.digest == mine.version_with([{}])
    kinds = [plugin.kind for plugin in registry.measuring()]
    assert kinds == sorted(kinds, key=["metric", "diagnostic", "feature_space"].index)
    assert "feature_space" not in kinds, "those that are shipped are covered by the code's digest"

    @register("feature_space")
    def own(problem):
        return problem

    assert registry.measuring()[-1] is registry.get("feature_space", "own")


def test_the_content_of_declared_files_is_part_of_a_version(tmp_path):
    text = LOSS.replace('register("loss")', 'register("loss", sources=lambda slope: ["a.txt"] if slope > 1 else [])')
    (tmp_path / "a.txt").write_text("1")
    registry.load_file(plugin_file(tmp_path, text=text))
    mine = registry.get("loss", "straight")
    plain, read = mine.version_with([{"slope": 0.5}]), mine.version_with([{"slope": 2.0}])
    assert plain == mine.version != read
    assert mine.version_with([{"slope": 0.5}, {"slope": 2.0}, {"slope": 3.0}]) == read, "each file once"
    (tmp_path / "a.txt").write_text("2")
    assert mine.version_with([{"slope": 2.0}]) not in (plain, read)


def test_register_without_its_kind_says_what_it_takes(own_registry):
    with pytest.raises(UserError, match=r"^'register' takes the kind of plug-in first, .*; got 'mine' alone\.$"):

        @registry.register
        def mine(real, fake):
            """A loss."""


def test_none_is_no_name_of_somebodys_plugin(own_registry):
    with pytest.raises(UserError, match=r"^The loss 'none' needs another name: 'none' means that there is no loss"):

        @registry.register("loss")
        def none(real, fake):
            """A loss."""
