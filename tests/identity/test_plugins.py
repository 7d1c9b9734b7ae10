"""What an identity is made of: each kind of value that a function holds, each way to reach a module."""

import ast
import base64
import functools
import hashlib
import importlib
import itertools
import sys
import types
from enum import Enum
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch

from ganbench.errors import UserError
from ganbench.identity import contents, identify, plugins, sources_of

COUNT = itertools.count()
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a module of a name that nothing had before, and return the name; what is imported is forgotten again."""
    before, place = set(sys.modules), str(tmp_path)
    monkeypatch.syspath_prepend(place)

    def written(text, name="", file=".py"):
        name = name or f"planted{next(COUNT)}"
        path = tmp_path / (name.replace(".", "/") + file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        importlib.invalidate_caches()
        return name

    yield written
    for name in set(sys.modules) - before:
        if place in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def load(write):
    return lambda text, name="", file=".py": importlib.import_module(write(text, name, file))


class Color(Enum):
    RED = 1


HOLDS = "def make(held):\n    def mine(x):\n        return held\n    return mine\n"


def values(identity):
    """The parts that are no modules and no packages."""
    return {name: text for name, text in identity.parts.items() if ".0" in name or ".1" in name or ".2" in name}


# ------------------------------------------------------------------------------------------ what is held

HELD = {
    "nothing": (None, {}),
    "truth": (True, {"held.0": "bool True"}),
    "number": (2, {"held.0": "int 2"}),
    "float": (2.0, {"held.0": "float 2.0"}),
    "complex": (2j, {"held.0": "complex 2j"}),
    "text": ("2", {"held.0": "str '2'"}),
    "bytes": (b"2", {"held.0": "bytes b'2'"}),
    "range": (range(3), {"held.0": "range range(0, 3)"}),
    "path": (PurePosixPath("a"), {"held.0": "PurePosixPath PurePosixPath('a')"}),
    "member": (Color.RED, {"held.0": "Color <Color.RED: 1>"}),
    "list": ([1, (2, "a")], {"held.0": "int 1", "held.1": "int 2", "held.2": "str 'a'"}),
    "gap": ([None, 2], {"held.0": "int 2"}),
    "set": ({3, 11, "a"}, {"held.0": "str 'a'", "held.1": "int 11", "held.2": "int 3"}),
    "frozen": (frozenset({3, 11}), {"held.0": "int 11", "held.1": "int 3"}),
    "mapping": ({"a": [1, 2]}, {"held.0": "str 'a'", "held.1": "int 1", "held.2": "int 2"}),
    "type": (torch.float32, {"held.0": "torch.float32"}),
    "device": (torch.device("cpu"), {"held.0": "device(type='cpu')"}),
    "class": (PurePosixPath, {"held.0": f"{PurePosixPath.__module__}.PurePosixPath"}),
    "builtin": (len, {"held.0": "builtins.len"}),
}


@pytest.mark.parametrize("kind", HELD)
def test_a_value_in_a_closure_is_written_with_its_type(load, kind):
    value, expected = HELD[kind]
    identity = identify(load(HOLDS).make(value))
    assert values(identity) == expected
    assert identity.uncovered == ""
    assert identity.parts["python"] == PYTHON
    assert identity.digest == contents.combined(identity.parts.items())


def test_the_content_of_arrays_and_tensors_counts_with_shape_and_type(load):
    make = load(HOLDS).make
    base = np.arange(6.0)
    arrays = [base, base.reshape(2, 3), base.astype("float32"), base + 1, np.float64(3.0)]
    tensors = [torch.ones(2, requires_grad=True), torch.ones(2, 1), torch.ones(2, dtype=torch.float64), torch.zeros(2)]
    digests = [values(identify(make(one)))["held.0"] for one in (*arrays, *tensors)]
    assert len(set(digests)) == len(digests)
    assert values(identify(make(base.copy())))["held.0"] == digests[0]
    assert digests[0] == contents.of_bytes(b"float64 (6,)" + base.tobytes())
    assert digests[len(arrays)] == contents.of_bytes(b"float32 (2,)" + np.ones(2, "float32").tobytes())


def test_an_object_that_is_not_written_down_is_told(load):
    for odd, name in ((object(), "object"), (iter([1]), "list_iterator"), (types.SimpleNamespace(), "SimpleNamespace")):
        assert identify(load(HOLDS).make(odd)).uncovered == f"it closes over a {name} ('held')"
    # an object that says it is of a module, and is not what that module calls so
    fake = types.SimpleNamespace(__module__="math", __name__="sin")
    assert "SimpleNamespace" in identify(load(HOLDS).make([fake])).uncovered
    for half in ({"__module__": "math"}, {"__name__": "sin"}, {"__module__": 1, "__name__": "a"}):
        assert identify(load(HOLDS).make(types.SimpleNamespace(**half))).uncovered


def test_defaults_and_what_is_bound_count(load):
    module = load("def mine(a, b=2, *, c='x'):\n    return a\n")
    assert values(identify(module.mine)) == {
        "__defaults__.0": "int 2", "__kwdefaults__.0": "str 'c'", "__kwdefaults__.1": "str 'x'",
    }  # fmt: skip
    bound = functools.partial(module.mine, 5, c="y")
    found = values(identify(bound))
    assert (found["args.0"], found["keywords.0"], found["keywords.1"]) == ("int 5", "str 'c'", "str 'y'")
    assert found["__defaults__.0"] == "int 2", "what it wraps counts too"
    assert identify(bound).uncovered == ""


def test_what_a_held_function_holds_counts(load):
    holding, other = load(HOLDS), load(f"{HOLDS}def plain(x, y=3): return x\n")
    inner = values(identify(holding.make(other.make(7))))
    assert inner == {"held.0": "make.<locals>.mine", "held.0.held.0": "int 7"}
    assert other.__name__ in identify(holding.make(other.plain)).parts
    partly = values(identify(holding.make(functools.partial(other.plain, 1, y=4))))
    assert partly == {
        "held.0.args.0": "int 1", "held.0.keywords.0": "str 'y'", "held.0.keywords.1": "int 4",
        "held.0.func": "plain", "held.0.func.__defaults__.0": "int 3",
    }  # fmt: skip


def test_functions_are_followed_to_a_depth_and_not_round_in_circles(load):
    make, held = load(HOLDS).make, 1
    for _ in range(7):
        held = make(held)
    found = values(identify(held))
    assert plugins.DEEPEST == 8
    # each level of names has one dot more than the last one: held.0.held.0. ...
    assert max(name.count(".") for name in found) == 9
    assert not any(text == "int 1" for text in found.values())
    circle = load("def mine(x):\n    return x\n").mine
    circle.__defaults__ = (circle,)
    assert identify(circle).uncovered == ""
    empty = load(
        "def make():\n    def mine(x):\n        return later\n    if False:\n        later = 1\n    return mine\n"
    )
    assert values(identify(empty.make())) == {}, "a cell that holds nothing"


def test_a_held_module_is_covered_as_an_imported_one(load):
    other = load("VALUE = 1\n")
    assert other.__name__ in identify(load(HOLDS).make(other)).parts


def test_declared_variables_are_parts(load, monkeypatch):
    mine = load("def mine(x): return x\n").mine
    monkeypatch.setenv("PLANTED_SET", "5")
    monkeypatch.delenv("PLANTED_UNSET", raising=False)
    parts = identify(mine, environment=["PLANTED_SET", "PLANTED_UNSET"]).parts
    assert parts["variable PLANTED_SET"] == "5"
    assert parts["variable PLANTED_UNSET"] == "\0unset", "which no variable can be"
    assert not any(name.startswith("variable") for name in identify(mine).parts)


# ------------------------------------------------------------------------------------------ what is reached

IMPORTS = [
    ("import a.b, c", "", ["a.b", "c"]),
    ("def f():\n    import a", "", ["a"]),
    ("from a.b import c, d", "p", ["a.b", "a.b.c", "a.b.d"]),
    ("from a import *", "p", ["a"]),
    ("from . import c", "p.q", ["p.q", "p.q.c"]),
    ("from .m import c", "p.q", ["p.q.m", "p.q.m.c"]),
    ("from ..m import c", "p.q", ["p.m", "p.m.c"]),
    ("from .. import c", "p.q.r", ["p.q", "p.q.c"]),
    ("import_module('a')", "p", ["a"]),
    ("importlib.import_module('a', 'b')", "p", ["a"]),
    ("__import__('a')", "p", ["a"]),
    ("import_module(a)", "p", []),
    ("import_module()", "p", []),
    ("other('a')", "p", []),
    ("x = 'import a'", "p", []),
]


@pytest.mark.parametrize(("text", "package", "names"), IMPORTS)
def test_every_way_to_import(text, package, names):
    assert list(plugins._imports(ast.parse(text), package)) == names


@pytest.mark.parametrize(("text", "computed"), [
    ("exec('x')", True), ("eval(x)", True), ("model.eval()", False), ("session.exec('x')", False),
    ("import_module(x)", True), ("importlib.import_module(x)", True), ("import_module('x')", False),
    ("import_module('.x', p)", True), ("importlib.import_module()", True), ("__import__(x)", True),
    ("__import__('x')", False), ("run_path(x)", True), ("runpy.run_path('x.py')", True), ("run_module('x')", True),
    ("spec_from_file_location('x', 'y.py')", True), ("SourceFileLoader('x', 'y.py')", True), ("print(x)", False),
    ("x[0]()", False),
])  # fmt: skip
def test_what_counts_as_computed(load, text, computed):
    assert any(map(plugins._is_computed_import, ast.walk(ast.parse(text)))) is computed
    module = load(f"def mine(x): return x\ndef other(x, y, p, model, session):\n    {text}\n")
    told = f"'{module.__name__}.py' imports or executes what is computed"
    assert identify(module.mine).uncovered == (told if computed else "")


def test_what_is_reached_is_a_part_by_the_content_of_its_file(load, write):
    far = write("LIMIT = 1\n")
    near = write(f"import math, json\nimport {far}\n")
    mine = load(f"import {near}\nfrom ganbench import kinds\ndef mine(x): return x\n")
    parts = identify(mine.mine).parts
    assert set(parts) == {"", near, far, "python"}, "neither what Python ships nor this package"
    for name, module in (("", mine.__name__), (near, near), (far, far)):
        assert parts[name] == contents.of_bytes(Path(sys.modules[module].__file__).read_bytes())


def test_packages_above_are_reached_namespaces_among_them(load, write):
    top = f"planted{next(COUNT)}"
    for name, text in ((top, "TOP = 1\n"), (f"{top}.inner", "INNER = 1\n")):
        write(text, name, "/__init__.py")
    write("from .. import other\n", f"{top}.inner.leaf")
    write("", f"{top}.other")
    space = f"planted{next(COUNT)}"
    write("", f"{space}.one.leaf")
    lazy = load(f"def mine(x):\n    import {top}.inner.leaf, {space}.one.leaf, nowhere_at_all\n    return x\n")
    assert set(identify(lazy.mine).parts) == {
        "", top, f"{top}.inner", f"{top}.inner.leaf", f"{top}.other", f"{space}.one.leaf", "python",
    }  # fmt: skip
    assert not any(name in sys.modules for name in (top, space)), "nothing is executed to know it"
    assert identify(lazy.mine).uncovered == ""


def test_what_was_imported_by_another_name_is_found_where_it_is_held(load, write):
    other = load("class Thing: pass\ndef call(): pass\n")
    for text in ("held = sys.modules[{0!r}]", "held = sys.modules[{0!r}].Thing", "held = sys.modules[{0!r}].call",
                 "held = sys.modules[{0!r}].Thing()"):  # fmt: skip
        module = load(f"import sys\n{text.format(other.__name__)}\ndef mine(x): return x\n")
        assert other.__name__ in identify(module.mine).parts, text
    there = write("")
    module = load(f"class Odd: pass\nheld = Odd()\nheld.__module__ = {there!r}\ndef mine(x): return x\n")
    assert set(identify(module.mine).parts) == {"", "python"}


def test_what_is_not_python_is_told(load, write):
    broken = write("def f(:\n")
    assert identify(load(f"def mine(x):\n    import {broken}\n").mine).uncovered == (
        f"'{broken}.py' does not read as Python"
    )
    compiled = write("", file=importlib.machinery.EXTENSION_SUFFIXES[0])
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    assert identify(load(f"def mine(x):\n    import {compiled}\n").mine).uncovered == (
        f"it reaches compiled code ('{compiled}{suffix}')"
    )
    assert plugins._compiled(compiled)
    assert not plugins._compiled(broken)
    assert not plugins._compiled("nowhere_at_all")


def test_a_module_that_only_the_process_has_is_told(load, monkeypatch):
    module = load("def mine(x):\n    import made_up\n")
    made = types.ModuleType("made_up")
    monkeypatch.setitem(sys.modules, "made_up", made)
    assert identify(module.mine).uncovered == "its module 'made_up' has no file"
    made.__path__ = []
    assert identify(module.mine).uncovered == "", "a namespace has none"
    under = load("def mine(x):\n    import made_up.under\n")
    monkeypatch.setitem(sys.modules, "made_up.under", types.ModuleType("made_up.under"))
    assert identify(under.mine).uncovered == "its module 'made_up.under' has no file"


def test_what_changed_after_its_import_is_told_once(load):
    other = load("LIMIT = 1\n")
    other.LIMIT = 2
    mine = load(f"import {other.__name__}\ndef make(held):\n    def mine(x): return held\n    return mine\n")
    identity = identify(mine.make([object(), object()]))
    assert identity.uncovered == (
        f"it closes over a object ('held'); 'LIMIT' of '{other.__name__}.py' is not what the file says"
    )


def test_a_wrapper_reaches_its_own_module_and_that_of_what_it_wraps(load):
    outer = load(
        "import functools\ndef loud(f):\n    @functools.wraps(f)\n    def inner(*args):\n        return f(*args)\n"
        "    return inner\n"
    )
    module = load("def mine(x, y=4): return x\n")
    wrapped = outer.loud(module.mine)
    identity = identify(wrapped)
    assert set(identity.parts) == {
        "", outer.__name__, "f.0", "f.0.__defaults__.0", "__defaults__.0", "python",
    }  # fmt: skip
    assert list(plugins._layers(wrapped)) == [wrapped, module.mine]
    partly = functools.partial(wrapped)
    assert list(plugins._layers(partly)) == [partly, wrapped, module.mine]
    round_trip = types.SimpleNamespace()
    round_trip.__wrapped__ = types.SimpleNamespace(__wrapped__=round_trip)
    assert list(plugins._layers(round_trip)) == [round_trip, round_trip.__wrapped__]
    assert list(plugins._layers(None)) == []


def test_code_of_no_file_is_told(load):
    module = load("def mine(x): return x\n")
    space = {"__name__": module.__name__}
    exec("def typed(x): return x", space)
    assert identify(space["typed"]).uncovered == "it has no file"
    exec("def typed(x): return x", main := {"__name__": "__main__"})
    assert identify(main["typed"]).uncovered == "it is defined in a notebook or a script; it has no file"
    half = functools.wraps(module.mine)(space["typed"])
    assert identify(half).uncovered == "it has no file", "every layer has to have one"


def test_a_module_is_known_as_it_was_when_first_asked_for(load, tmp_path):
    module = load("A = 1\n")
    file = Path(module.__file__)
    assert plugins.loaded_code(module.__name__, file) == b"A = 1\n"
    file.write_text("A = 2\n")
    assert plugins.loaded_code(module.__name__, file) == b"A = 1\n"
    sys.modules[module.__name__] = types.ModuleType(module.__name__)
    assert plugins.loaded_code(module.__name__, file) == b"A = 2\n", "loaded anew, it is another"
    with pytest.raises(UserError, match=r"^Cannot read '.*none\.py', which results depend on: No such file"):
        plugins.loaded_code("planted_nowhere", tmp_path / "none.py")


def test_the_file_of_a_module(load, write):
    module = load("")
    assert plugins._locate(module.__name__) == Path(module.__file__)
    fresh = write("")
    assert plugins._locate(fresh).stem == fresh
    for none in ("nowhere_at_all", f"{fresh}.below", "nowhere.at.all", "sys", "", ".x"):
        assert plugins._locate(none) is None, none
    Path(module.__file__).unlink()
    assert plugins._locate(module.__name__) is None


def test_a_package_is_an_installed_one_by_its_version(load, tmp_path):
    mine = load("import yaml\ndef mine(x): return x\n").mine
    parts = identify(mine).parts
    assert set(parts) == {"", "package pyyaml", "python"}
    import pluggy

    # it is read for what was replaced in it, and only what is its own is followed
    assert identify(load("import pluggy\ndef mine(x): return x\n").mine).parts.keys() == {
        "", "python", *(f"package {name}" for name in plugins.distributions.closure(
            plugins._package_of(Path(pluggy.__file__)))),
    }  # fmt: skip
    assert plugins._package_of(tmp_path / "nothing.py") is None


# ------------------------------------------------------------------------------------------ declared files


@pytest.mark.parametrize(("declared", "paths"), [
    (None, []), ([], []), ("a.txt", ["a.txt"]), (Path("a.txt"), ["a.txt"]), (["a", Path("b")], ["a", "b"]),
    (lambda *, size: f"{size}.txt", ["3.txt"]), (lambda *, size: [str(size), "b"], ["3", "b"]),
    (lambda *, size: None, []),
])  # fmt: skip
def test_declared_files_lie_beside_the_plugins(declared, paths):
    assert sources_of(declared, "/place/mine.py", {"size": 3}) == [Path("/place") / path for path in paths]
    assert sources_of(declared, None, {"size": 3}) == [Path(path) for path in paths]


def test_declared_files_may_lie_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources_of(["/a", "~/b"], "/place/mine.py", {}) == [Path("/a"), tmp_path / "b"]


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages", "elsewhere"])
def test_what_lies_in_a_folder_of_packages_is_known_by_its_record(tmp_path, folder, monkeypatch):
    site = tmp_path / folder
    info = site / "one-1.5.dist-info"
    info.mkdir(parents=True)
    (site / "one").mkdir()
    (site / "one" / "a.py").touch()
    (site / "one" / "b.py").touch()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: one\nVersion: 1.5\n")
    (info / "RECORD").write_text("one/a.py,sha256=x,0\none-1.5.dist-info/RECORD,,\n")
    if folder == "elsewhere":  # only what is on the path is asked for a record
        assert plugins._package_of(site / "one" / "a.py") is None
        plugins._package_of.cache_clear()
        monkeypatch.syspath_prepend(str(site))
    assert plugins._package_of(site / "one" / "a.py").name == "one"
    assert plugins._package_of(site / "one" / "b.py") is None, "its record does not name it"


def test_the_module_that_a_function_says_it_is_of_is_reached_too(load):
    outer = load("def loud(f):\n    def inner(x): return f(x)\n    inner.__module__ = f.__module__\n    return inner\n")
    module = load("def mine(x): return x\n")
    parts = identify(outer.loud(module.mine)).parts
    assert parts[""] == contents.of_bytes(Path(module.__file__).read_bytes())
    assert outer.__name__ in parts
    hidden = load("class Own:\n    def __call__(self, x): return x\n")
    assert set(identify(hidden.Own).parts) == {"", "python"}
    other = load("def mine(x): return x\n").mine
    other.__module__ = module.__name__
    assert "" in identify(other).parts


def test_what_an_installed_package_computes_is_covered_by_its_version(load, tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    info = site / "whole-1.5.dist-info"
    info.mkdir(parents=True)
    code = b"name = 'ma' + 'th'\n__import__(name)\nimport needed_nowhere\nLIMIT = 1\n"
    (site / "planted_whole.py").write_bytes(code)
    digest = base64.urlsafe_b64encode(hashlib.sha256(code).digest()).rstrip(b"=").decode()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: whole\nVersion: 1.5\n")
    (info / "RECORD").write_text(f"planted_whole.py,sha256={digest},{len(code)}\nwhole-1.5.dist-info/RECORD,,\n")
    monkeypatch.syspath_prepend(str(site))
    identity = identify(load("def mine(x):\n    import planted_whole\n").mine)
    assert identity.parts["package whole"] == "1.5"
    assert set(identity.parts) == {"", "package whole", "python"}
    assert identity.uncovered == ""
