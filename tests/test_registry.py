"""The registry: what it derives from a function, and the sentences it answers mistakes with."""

import importlib.metadata

import pytest

from ganbench import registry
from ganbench.errors import UserError
from ganbench.registry import register

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
    # declared in the other two spaces that are shipped
    of["metric"] += ["frechet_data", "frechet_conv"]
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
