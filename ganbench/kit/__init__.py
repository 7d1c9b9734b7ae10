"""What `ganbench init` writes into a library's repository: a suite, a test, a workflow and a page, from templates."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ganbench import registry
from ganbench.errors import UserError, told
from ganbench.kinds import axes, kind_of

TEMPLATES = Path(__file__).parent
FOLDER = "gan_stability"
SUITE, PLUGINS = f"{FOLDER}/suite.yaml", f"{FOLDER}/plugins.py"
PLACES = {
    "suite.yaml": SUITE,
    "plugins.py.txt": PLUGINS,
    "README.md": f"{FOLDER}/README.md",
    "test_gan_stability.py.txt": "tests/test_gan_stability.py",
    "workflow.yml": ".github/workflows/gan-stability.yml",
}
"""Where each file goes, below the repository's root."""


@dataclass(frozen=True)
class Kit:
    """The files of one repository: their contents by their places below its root, and the plug-in files they name."""

    root: Path
    files: Mapping[str, str]
    plugins: tuple[str, ...]

    @property
    def words(self) -> str:
        """The suite and its plug-ins as the words of a command."""
        return shlex.join([f"suite={SUITE}", *(word for file in self.plugins for word in ("--plugin", file))])

    def write(self) -> None:
        """Write all files; UserError, and nothing written, where one of them exists."""
        there = [place for place in self.files if (self.root / place).exists() or (self.root / place).is_symlink()]
        if there:
            raise UserError(
                f"'{self.root / there[0]}' exists, and nothing is overwritten: move it away first, or leave the kit as "
                "it is. Nothing was written."
            )
        for place, text in self.files.items():
            file = self.root / place
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("x", encoding="utf-8") as stream:
                    stream.write(text)
            except OSError as error:
                raise UserError(f"Cannot write '{file}': {error.strerror or error}.") from error


def kit_for(root: Path, plugins: Sequence[Path] = ()) -> Kit:
    """Return the kit of the repository at `root`, with a suite of what its plug-in files register.

    Without plug-in files one is part of the kit. UserError where there is no such folder, and for a plug-in file that
    lies elsewhere or registers nothing that a suite chooses.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder '{root}' to write into.")
    files = tuple(_place(root, file) for file in plugins)
    used = files or (PLUGINS,)
    values = {
        "NAME": name_of(root),
        "PLUGIN_OPTIONS": shlex.join([word for file in used for word in ("--plugin", file)]),
        "PLUGIN_FILES": ", ".join(f"ROOT / {_quoted(file)}" for file in used),
        "PLUGINS_CELL": ", ".join(f"`{_seen_from_folder(file)}`" for file in used),
    }
    kept = {template: place for template, place in PLACES.items() if not files or place != PLUGINS}
    texts = {place: _filled(template, values) for template, place in kept.items()}
    if files:
        texts[SUITE] = _suite(texts[SUITE], _registered(root, files))
    return Kit(root, texts, used)


def name_of(root: Path) -> str:
    """Return the name of the library at a folder: that of its pyproject.toml, else the folder's own."""
    file = root / "pyproject.toml"
    name: object = ""
    if file.is_file():
        try:
            name = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}).get("name")
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(f"'{file}' does not read: {told(error)}.") from error
    # it stands within code, comments and a page
    return re.sub(r"[^\w.-]+", "-", name if isinstance(name, str) and name else root.resolve().name) or "the library"


def _place(root: Path, file: Path) -> str:
    full = file.resolve()
    if not full.is_file():
        raise UserError(f"There is no plug-in file '{file}'.")
    if not full.is_relative_to(root.resolve()):
        raise UserError(
            f"The plug-in file '{file}' lies outside of '{root}': the checks of a repository train what is in it."
        )
    return full.relative_to(root.resolve()).as_posix()


def _registered(root: Path, files: Sequence[str]) -> dict[str, list[str]]:
    """Return the plug-ins of these files that a suite chooses, by the key that chooses them."""
    keys = {kind_of(key): key for key in reversed(axes())}
    found: dict[str, list[str]] = {}
    for file in files:
        registry.load_file(root / file)
        sources = {str((root / file).resolve()), str(root / file)}
        mine = [plugin for plugin in registry.known().values() if plugin.source in sources and plugin.kind in keys]
        if not mine:
            raise UserError(
                f"'{file}' registers nothing that a suite chooses, a loss, a network, a regularizer, ...: import "
                f'register from ganbench, and write @register("loss") above a function.'
            )
        for plugin in mine:
            found.setdefault(keys[plugin.kind], []).append(plugin.name)
    return found


def _suite(text: str, parts: Mapping[str, Sequence[str]]) -> str:
    """Return a suite that has these parts in place of those of the plug-in file that nobody writes."""
    waiting, lines = dict(parts), []
    for line in text.splitlines():
        key = line.partition(":")[0]
        if key in axes() and key in parts:
            waiting.pop(key)
            lines.append(f"{key}: {_listed(parts[key])}")
        # the loss was that file's own, and what is no longer there has no hyper-parameters
        elif key != "loss" and not ("." in key and key.partition(".")[0] in parts):
            lines.append(line)
    first = next(place for place, line in enumerate(lines) if line.startswith("problem:"))
    lines[first + 1 : first + 1] = [f"{key}: {_listed(names)}" for key, names in waiting.items()]
    return "\n".join(lines) + "\n"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else yaml.safe_dump(list(names), default_flow_style=True, width=1000).strip()


def _quoted(file: str) -> str:
    return '"' + file.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _seen_from_folder(file: str) -> str:
    return file.removeprefix(f"{FOLDER}/") if file.startswith(f"{FOLDER}/") else f"../{file}"


def _filled(template: str, values: Mapping[str, str]) -> str:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text
