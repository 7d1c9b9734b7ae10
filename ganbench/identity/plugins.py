"""The identity of a plug-in: its file, every module that it reaches by import, what it closes over and declares."""

from __future__ import annotations

import ast
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path, PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ganbench.errors import UserError
from ganbench.identity import contents, distributions
from ganbench.identity.patches import patch_in

OWN = __package__.partition(".")[0]
DEEPEST = 8
"""Functions held by functions held by functions: as deep as anybody looks."""

HEAVY = frozenset({"torch", "numpy", "scipy", "pandas", "sklearn", "matplotlib", "seaborn"})
"""Packages too large to be read for what was replaced in them after their import; their files are checked."""

BY_FILE = ("run_path", "run_module", "spec_from_file_location", "SourceFileLoader")
"""What executes a file, or a module by its name alone, without importing it."""


@dataclass(frozen=True)
class Identity:
    """A hash of what a plug-in depends on, the parts that it is made of, and why it is not the whole ("" if it is).

    `files` are those of the modules that it reaches, by the modules' names: where the code lies decides no result.
    """

    digest: str
    parts: Mapping[str, str]
    uncovered: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Reach:
    """The modules that a plug-in reaches: files by content, packages by version or content."""

    root: str
    parts: dict[str, str] = field(default_factory=dict)
    uncovered: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    installed: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)

    def visit(self, name: str) -> None:
        """Cover a module and all that it imports."""
        waiting = [name]
        while waiting:
            module = waiting.pop()
            if module not in self.seen:
                self.seen.add(module)
                waiting += self._cover(module)

    def _cover(self, name: str) -> list[str]:
        """Add a module to the parts and return the names of those that it reaches."""
        top = name.partition(".")[0]
        if name == "__main__":
            self.uncovered.append("it is defined in a notebook or a script")
            return []
        if top in sys.stdlib_module_names or top == OWN:
            return []
        file, parents = _locate(name), [name.rpartition(".")[0]] * ("." in name)
        if file is None:
            # a namespace package, a part of a compiled module (torch._C._nn), or nothing that can be imported here
            if name in sys.modules and not hasattr(sys.modules[name], "__path__") and not any(map(_compiled, parents)):
                self.uncovered.append(f"its module '{name}' has no file")
            return parents
        self.files[name] = str(file)
        package = _package_of(file)
        if package:
            self.parts |= {f"package {each}": version for each, version in distributions.closure(package).items()}
            self.installed.add(name)
            inside = self._look_into(name, file) if top not in HEAVY and file.suffix == ".py" else []
            # what it needs of other packages is in its closure
            return [each for each in inside if each.partition(".")[0] == top]
        if file.suffix != ".py":
            self.uncovered.append(f"it reaches compiled code ('{file.name}')")
            return parents
        return self._read(name, file)

    def _read(self, name: str, file: Path) -> list[str]:
        """Add a module that is hashed by its content."""
        source = loaded_code(name, file)
        # the file of the plug-in itself may move, and be called something else
        self.parts["" if name == self.root else name] = contents.of_bytes(source)
        return [name.rpartition(".")[0]] * ("." in name) + self._look_into(name, file)

    def _look_into(self, name: str, file: Path) -> list[str]:
        """Return the modules that a module reaches; note what in it is not covered."""
        source, module = loaded_code(name, file), sys.modules.get(name)
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            self.uncovered.append(f"'{file.name}' does not read as Python")
            return []
        if module is not None and (what := patch_in(module, tree, source)):
            self.uncovered.append(f"'{what}' of '{file.name}' is not what the file says")
        if name not in self.installed and any(_is_computed_import(node) for node in ast.walk(tree)):
            self.uncovered.append(f"'{file.name}' imports or executes what is computed")
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        return [*_imports(tree, package), *(_modules_in(vars(module).values()) if module else ())]


def _locate(name: str) -> Path | None:
    """Return the file of a module, loaded or not, without executing anything."""
    module = sys.modules.get(name)
    if module is not None:
        origin = getattr(getattr(module, "__spec__", None), "origin", None) or getattr(module, "__file__", None)
        return Path(origin) if origin and Path(origin).is_file() else None
    path: list[str] = []
    spec = None
    words = name.split(".")
    for count, word in enumerate(words, 1):
        try:
            # the hooks of editable installs know names of the first level; below that, parents would be executed
            spec = find_spec(word) if count == 1 else PathFinder.find_spec(".".join(words[:count]), path)
        except KeyError:  # a namespace package asks for the one above it, which is not loaded
            path, spec = [folder for each in path if os.path.isdir(folder := os.path.join(each, word))], None
            continue
        except (ImportError, ValueError, AttributeError):
            return None
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None


def _compiled(name: str) -> bool:
    file = _locate(name)
    return file is not None and file.suffix != ".py"


@functools.lru_cache(maxsize=4096)
def _package_of(file: Path) -> distributions.Installed | None:
    for folder in file.parents:
        if folder.name in ("site-packages", "dist-packages") or str(folder) in sys.path:
            found = distributions.owner(folder, file.relative_to(folder).as_posix())
            if found:
                return found
    return None


_loaded: dict[tuple[str, int], bytes] = {}


def loaded_code(name: str, file: Path) -> bytes:
    """Return a module's source as it was when this process first asked: what is loaded does not follow the file."""
    key = (name, id(sys.modules.get(name)))
    if key not in _loaded:
        try:
            _loaded[key] = file.read_bytes()
        except OSError as error:
            raise UserError(f"Cannot read '{file}', which results depend on: {error.strerror or error}.") from error
    return _loaded[key]


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the names that a module imports anywhere in it; of `from a import b` both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            words = package.split(".") if package else []
            base = ".".join(words[: len(words) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, [base, node.module or ""]))
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            yield from (str(word.value) for word in node.args[:1] if isinstance(word, ast.Constant))


def _is_computed_import(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = _called(node)
    if name in ("import_module", "__import__"):
        # a name that begins with a dot says nothing without the package that it is relative to
        first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else "."
        return str(first).startswith(".")
    # torch modules have an eval() of their own
    plain = isinstance(node.func, ast.Name) and name in ("exec", "eval")
    return plain or name in BY_FILE


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _modules_in(values: Iterable[Any]) -> Iterator[str]:
    """Yield the modules of functions, classes, modules and objects: what was imported by a computed name is there."""
    for value in list(values):
        if isinstance(value, ModuleType):
            yield value.__name__
        elif isinstance(name := getattr(value, "__module__", None), str) and name in sys.modules:
            yield name


def identify(function: Callable[..., Any], *, environment: Iterable[str] = ()) -> Identity:
    """Return the identity of a registered function or class; environment: names of variables that decide results."""
    reach = _Reach(getattr(function, "__module__", None) or "__main__")
    values: dict[str, str] = {}
    for layer in _layers(function):
        _close_over(layer, reach, values)
        # a decorator keeps the module of what it decorates
        reach.visit(getattr(layer, "__globals__", {}).get("__name__") or reach.root)
    reach.visit(reach.root)
    if not _has_file(function, reach.root):
        reach.uncovered.append("it has no file")
    for name in environment:
        values[f"variable {name}"] = os.environ.get(name, "\0unset")
    parts = {**reach.parts, **values, "python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
    uncovered = "; ".join(dict.fromkeys(reach.uncovered))
    return Identity(contents.combined(parts.items()), parts, uncovered, reach.files)


def _layers(function: object) -> Iterator[Any]:
    """Yield a function and those that it wraps."""
    seen: list[int] = []
    while function is not None and id(function) not in seen:
        seen.append(id(function))
        yield function
        function = getattr(function, "__wrapped__", None) or getattr(function, "func", None)


def _has_file(function: Callable[..., Any], module: str) -> bool:
    codes = [layer.__code__.co_filename for layer in _layers(function) if isinstance(layer, FunctionType)]
    return _locate(module) is not None and all(Path(file).is_file() for file in codes)


def _close_over(layer: object, reach: _Reach, values: dict[str, str], inside: str = "") -> None:
    """Add what a function holds beside its text: the values of its closure, its defaults, what is bound to it."""
    code = getattr(layer, "__code__", None)
    free = code.co_freevars if isinstance(code, CodeType) else ()
    held = [(name, _content(cell)) for name, cell in zip(free, getattr(layer, "__closure__", None) or (), strict=False)]
    for what in ("__defaults__", "__kwdefaults__", "args", "keywords"):
        held.append((what, getattr(layer, what, None)))
    for name, value in held:
        for place, part in enumerate(_flat(value)):
            _hold(part, f"{inside}{name}.{place}", reach, values)


def _hold(part: Any, name: str, reach: _Reach, values: dict[str, str]) -> None:
    if part is None or isinstance(part, (bool, int, float, complex, str, bytes, PurePath, Enum, range)):
        values[name] = f"{type(part).__name__} {part!r}"
    elif isinstance(part, functools.partial):
        _close_over(part, reach, values, f"{name}.")
        _hold(part.func, f"{name}.func", reach, values)
    elif isinstance(part, ModuleType):
        reach.visit(part.__name__)
    elif isinstance(part, FunctionType):
        known = values.get(name) == part.__qualname__
        values[name] = part.__qualname__
        reach.visit(part.__module__ or "__main__")
        if not known and name.count(".") < DEEPEST:
            _close_over(part, reach, values, f"{name}.")
    elif _is_named(part):
        values[name] = f"{part.__module__}.{part.__name__}"
        reach.visit(part.__module__)
    elif type(part).__name__ in ("dtype", "device"):
        values[name] = repr(part)
    elif hasattr(part, "tobytes") or hasattr(part, "detach"):
        values[name] = contents.of_bytes(_bytes(part))
    else:
        reach.uncovered.append(f"it closes over a {type(part).__name__} ('{name.partition('.')[0]}')")


def _is_named(part: object) -> bool:
    """Tell whether an object is what its module calls by its name: a class, a compiled function."""
    module, name = getattr(part, "__module__", None), getattr(part, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return False
    return getattr(sys.modules.get(module), name, None) is part


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _flat(value: object) -> Iterator[Any]:
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _flat(pair)
    elif value is not None:
        yield value


def _bytes(value: Any) -> bytes:
    array = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    return f"{array.dtype} {array.shape}".encode() + bytes(array.tobytes())


def sources_of(declared: Any, file: str | None, hypers: Mapping[str, Any]) -> list[Path]:
    """Return the files and folders that a plug-in declares with `sources`: paths beside its file, or a function of its
    hyper-parameters that gives them."""
    given = declared(**hypers) if callable(declared) else declared
    listed = [given] if isinstance(given, (str, os.PathLike)) else list(given or ())
    base = Path(file).parent if file else Path()
    return [base / Path(path).expanduser() for path in listed]
