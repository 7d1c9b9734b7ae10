"""Whatever decides what a plug-in computes is part of its version; what it cannot cover has none."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ganbench

TREE = {
    "mine.py": '''
from __future__ import annotations
import functools
import near
from near import Base
from pack import relative
import decorators
from stars import *
import installed
from ganbench import register

SCALE = 2.0
TABLE = (1, 2)

def helper(x):
    return x * SCALE

def with_default(x, factor=3.0):
    return x * factor

class Own(Base):
    gain = 1.5
    def call(self, x):
        return helper(x)

def make(power):
    def mine(real, fake, *, slope: float = 1.0):
        """A loss with many roots."""
        import lazy
        return lazy.value(real), with_default(fake) ** power
    return mine

register("loss", environment=("MINE_SCALE",), sources=("numbers.txt", "folder"))(decorators.loud(make(2)))
''',
    "near.py": "import far\nfrom importlib import import_module\nliteral = import_module('named')\n"
    "class Base:\n    def base(self):\n        return far.value(1)\n",
    "far.py": "import further\ndef value(x):\n    return further.LIMIT + x\n",
    "further.py": "LIMIT = 4\n",
    "named.py": "NAMED = 1\n",
    "lazy.py": "def value(x):\n    return x\n",
    "stars.py": "star = 1\n",
    "decorators.py": "import functools\ndef loud(f):\n    @functools.wraps(f)\n"
    "    def inner(real, fake, *, slope=1.0):\n"
    "        return f(real, fake, slope=slope)\n    return inner\n",
    "pack/__init__.py": "ROOT = 0\n",
    "pack/relative.py": "from . import sibling\nfrom .deep.er import leaf\n",
    "pack/sibling.py": "X = 1\n",
    "pack/deep/er.py": "leaf = 1\n",  # a namespace package inside
    "numbers.txt": "1 2 3\n",
    "folder/a.txt": "a\n",
    "site-packages/installed/__init__.py": "from installed import inner\nimport needed\n",
    "site-packages/installed/inner.py": "def forward(x):\n    return x * 1\n",
    "site-packages/needed.py": "NEEDED = 1\n",
}


def install(site, name, version, files, requires=""):
    """Write the record of an installed package as pip does."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
    lines = []
    for file in files:
        content = (site / file).read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{file},sha256={digest},{len(content)}\n")
    (info / "RECORD").write_text("".join([*lines, f"{info.name}/METADATA,,\n", f"{info.name}/RECORD,,\n"]))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    for name, text in TREE.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    site = tree / "site-packages"
    install(site, "installed", "1.0", ["installed/__init__.py", "installed/inner.py"], "Requires-Dist: needed>=0\n")
    install(site, "needed", "1.0", ["needed.py"])
    return tree


@pytest.fixture
def tree(planted, tmp_path):
    shutil.copytree(planted, tmp_path / "tree", copy_function=shutil.copy2)
    return tmp_path / "tree"


PROGRAM = """
import sys
{before}
from ganbench import registry
registry.load = lambda kind: None
registry.load_file(sys.argv[1])
plugin = registry.known()["loss", "mine"]
version = plugin.version_with([plugin.hypers])
print(f"version {version}" if version else f"never reused ({plugin.identity.uncovered})")
"""


def shown(tree, file="mine.py", before="", **variables):
    """Return the version as a process of its own sees it, without torch, which takes seconds to import."""
    paths = [str(Path(ganbench.__file__).parents[1]), str(tree), str(tree / "site-packages")]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{before}", before), str(tree / file)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}, capture_output=True, text=True,
        cwd=tree.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def version(planted):
    text = shown(planted)
    assert text.startswith("version "), text
    return text


def edit(file, old, new):
    def change(tree):
        text = (tree / file).read_text()
        assert old in text
        (tree / file).write_text(text.replace(old, new))

    return change


def edit_unnoticed(tree):
    """Change an installed file, and give it its old size and time back."""
    file = tree / "site-packages" / "installed" / "inner.py"
    stat = file.stat()
    edit("site-packages/installed/inner.py", "x * 1", "x * 0")(tree)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def shadow(tree):
    (tree / "pack" / "deep" / "__init__.py").write_text("leaf = 2\n")


def reinstall(tree):
    """The same version, built again from a working tree."""
    site = tree / "site-packages"
    edit("site-packages/installed/inner.py", "x * 1", "x * 0")(tree)
    shutil.rmtree(site / "installed-1.0.dist-info")
    install(site, "installed", "1.0", ["installed/__init__.py", "installed/inner.py"], "Requires-Dist: needed>=0\n")
    (site / "installed-1.0.dist-info" / "direct_url.json").write_text('{"dir_info": {}, "url": "file:///tree"}')


CHANGES = {
    "a helper in the same file": edit("mine.py", "return x * SCALE", "return x / SCALE"),
    "a helper two imports away": edit("far.py", "further.LIMIT + x", "further.LIMIT - x"),
    "a constant three imports away": edit("further.py", "4", "5"),
    "a class body": edit("mine.py", "gain = 1.5", "gain = 1.0"),
    "a base class": edit("near.py", "far.value(1)", "far.value(2)"),
    "a module constant": edit("mine.py", "SCALE = 2.0", "SCALE = 2.5"),
    "a table": edit("mine.py", "(1, 2)", "(1, 3)"),
    "a default argument": edit("mine.py", "factor=3.0", "factor=4.0"),
    "a hyper-parameter's default": edit("mine.py", "slope: float = 1.0", "slope: float = 2.0"),
    "what it closes over": edit("mine.py", "make(2)", "make(3)"),
    "a decorator of another module": edit("decorators.py", "slope=slope", "slope=0"),
    "an import inside the function": edit("lazy.py", "return x", "return -x"),
    "an import by a literal name": edit("named.py", "1", "2"),
    "a star import": edit("stars.py", "1", "2"),
    "a package's __init__": edit("pack/__init__.py", "0", "1"),
    "a relative import": edit("pack/sibling.py", "1", "2"),
    "a namespace package": edit("pack/deep/er.py", "1", "2"),
    "a new module in between": shadow,
    "a declared file": edit("numbers.txt", "3", "4"),
    "a file of a declared folder": edit("folder/a.txt", "a", "b"),
    "a new file in a declared folder": lambda tree: (tree / "folder" / "b.txt").write_text(""),
    "a renamed file in a declared folder": lambda tree: (tree / "folder" / "a.txt").rename(tree / "folder" / "c.txt"),
    "an installed package's file": edit("site-packages/installed/inner.py", "x * 1", "x * 10"),
    "an installed file of the same size and time": edit_unnoticed,
    "an installed file that is gone": lambda tree: (tree / "site-packages" / "installed" / "inner.py").write_text(""),
    "a package that an installed one needs": edit("site-packages/needed.py", "1", "2"),
    "a package of the same version from a working tree": reinstall,
}


@pytest.mark.parametrize("kind", CHANGES)
def test_every_kind_of_change_makes_another_version(tree, version, kind):
    CHANGES[kind](tree)
    changed = shown(tree)
    assert changed.startswith("version ")
    assert changed != version


def test_a_declared_variable_is_part_of_the_version(planted, version):
    assert len({version, shown(planted, MINE_SCALE="1"), shown(planted, MINE_SCALE="2")}) == 3
    assert shown(planted, ANOTHER="1") == version


def test_place_name_and_time_of_the_files_are_not(tree, version):
    (tree / "mine.py").rename(tree / "renamed.py")
    for file in tree.rglob("*.py"):
        os.utime(file)
    assert shown(tree, "renamed.py") == version


UNCOVERED = {
    "a patched function": ("import far; far.value = lambda x: 0", "'value' of 'far.py' is not what the file says"),
    "a patched method": ("import near; near.Base.base = lambda self: 0", "'Base.base' of 'near.py'"),
    "a method added": ("import near; near.Base.__call__ = lambda self: 0", "'Base.__call__' of 'near.py'"),
    "a patched constant": ("import further; further.LIMIT = 0", "'LIMIT' of 'further.py'"),
    "a patched installed function": ("import installed; installed.inner.forward = len", "'forward' of 'inner.py'"),
}


@pytest.mark.parametrize("kind", UNCOVERED)
def test_what_was_replaced_after_the_import_is_never_reused(planted, kind):
    before, reason = UNCOVERED[kind]
    text = shown(planted, before=before)
    assert text.startswith("never reused")
    assert reason in text


TEXTS = {
    "computed": ("name = 'fu' + 'rther'\nmodule = __import__(name)\n", "imports or executes what is computed"),
    "executed": ("exec('x = 1')\n", "imports or executes what is computed"),
}
PLAIN = '''
from ganbench import register
@register("loss")
def mine(real, fake):
    """A loss."""
    return real, fake
'''


@pytest.mark.parametrize("kind", TEXTS)
def test_what_is_computed_is_never_reused(tree, kind):
    text, reason = TEXTS[kind]
    (tree / "mine.py").write_text(PLAIN + text)
    assert reason in shown(tree)


def test_compiled_code_is_never_reused(tree):
    import _elementtree

    if not getattr(_elementtree, "__file__", None):
        pytest.skip("no extension module with a file here")
    shutil.copy(_elementtree.__file__, tree / "fast.so")
    (tree / "mine.py").write_text(PLAIN + "def f():\n    import fast\n")
    assert "compiled code ('fast.so')" in shown(tree)


def test_a_module_without_a_file_is_never_reused(planted):
    before = "import types; sys.modules['far'] = types.ModuleType('far')"
    assert "its module 'far' has no file" in shown(planted, before=before)


@pytest.mark.parametrize("name", ["softplus", "gelu", "relu"])
def test_what_torch_has_compiled_is_covered_by_torch(tree, name):
    # softplus itself is of torch._C._nn, a module that compiled code makes, and relu of a file
    (tree / "mine.py").write_text(f"from torch.nn.functional import {name}\n{PLAIN}")
    assert shown(tree).startswith("version ")


def test_an_editable_install_is_hashed_file_by_file(tree):
    """As setuptools does it: a finder maps the package's name to a working tree, and the record lists no source."""
    (tree / "work" / "edited").mkdir(parents=True)
    source = tree / "work" / "edited" / "__init__.py"
    source.write_text("VALUE = 1\n")
    (tree / "mine.py").write_text(PLAIN.replace("    return real", "    import edited\n    return real"))
    (tree / "hook.py").write_text(
        "import sys\nfrom importlib.util import spec_from_file_location\nclass Finder:\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        return spec_from_file_location(name, {str(source)!r}) if name == 'edited' else None\n"
        "sys.meta_path.append(Finder)\n"
    )
    before = shown(tree, before="import hook")
    assert before.startswith("version ")
    source.write_text("VALUE = 2\n")
    assert before != shown(tree, before="import hook") != "never reused"


def test_what_a_session_defines_is_never_reused():
    namespace = {"__name__": "__main__"}
    exec("def made(real, fake):\n    return real, fake", namespace)
    from ganbench.identity import identify

    assert identify(namespace["made"]).uncovered
