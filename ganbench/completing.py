"""Completion for bash, zsh and fish: commands, options, and `key=value` from what plug-ins declare in their source.

A key press waits for it, so that nothing heavy is imported: what there is to choose from is read, not registered.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from ganbench import kinds, listing
from ganbench.kinds import COSTS, KINDS, kind_of
from ganbench.plan import WORD_AXES
from ganbench.reading import suite_names

Candidate = tuple[str, str]

WORDS: Mapping[str, Sequence[str]] = {**WORD_AXES, "diagnostics": COSTS}
"""Values of keys that take no plug-ins."""
OF_KIND = {"metrics": "metric", "feature_spaces": "feature_space", "executor": "executor"}
"""Keys that take plug-ins and are no axes."""
BESIDE = ("suite", "tuning", "claims", "executor")
"""Keys of a command line that `Settings` has no field for."""
OF_OPTIONS = {"--device": ("auto", "cpu", "cuda"), "--format": ("csv", "json", "parquet")}
_HEAD = re.compile(r"^(.*[,+\[ ]-?|\[?-?)([^,+\[ ]*)$")


@dataclass(frozen=True)
class Command:
    """A command as the shell completes it: its options with whether a value follows, and whether it takes settings."""

    legend: str
    options: Mapping[str, bool] = field(default_factory=dict)
    settings: bool = False


def commands() -> dict[str, Command]:
    """Return the commands as the command line itself has them."""
    # the command line imports this module, for its own command
    from typer.main import get_command

    from ganbench.cli import app

    group: Any = get_command(app)
    return {name: _command(one) for name, one in group.commands.items() if not one.hidden}


def _command(one: Any) -> Command:
    options = {"-h": False, "--help": False}
    options |= {name: not option.is_flag for option in one.params if option.opts[0].startswith("-")
                for name in option.opts}  # fmt: skip
    settings = any("KEY=VALUE" in (each.metavar or "") for each in one.params)
    return Command((one.help or "").strip().splitlines()[0] if one.help else "", options, settings)


def candidates(words: Sequence[str], known: Mapping[str, Command]) -> list[Candidate]:
    """Return what the last of the words behind `ganbench` may become, with legends; [] where the shell offers files.

    words: up to the cursor, the last one as far as it is written; known: see `commands`.
    """
    *before, last = words or [""]
    named = next((word for word in before if not word.startswith("-")), None)
    if named is None:
        choice = [(name, one.legend) for name, one in known.items()]
        return _starting(choice if not last.startswith("-") else [("--help", ""), ("--version", "")], last)
    command = known.get(named, Command(""))
    if before and command.options.get(before[-1]):
        return _starting([(value, "") for value in OF_OPTIONS.get(before[-1], ())], last)
    if last.startswith("-"):
        return _starting([(option, "") for option in command.options], last)
    if command.settings:
        return _settings(before, last)
    return _starting(_shown(before), last) if named in ("list", "show") else []


def _shown(before: Sequence[str]) -> list[Candidate]:
    """Return the kinds, and behind one of them the names of its plug-ins."""
    kind = before[-1]
    if kind in ("list", "show"):
        return [(name, "") for name in ("suite", *KINDS)]
    return listing.legends(kind) if before[-2:-1] == ["show"] and kind in ("suite", *KINDS) else []


def _settings(before: Sequence[str], last: str) -> list[Candidate]:
    key, equals, text = last.partition("=")
    files = _files(before)
    if not equals:
        return _starting(_keys(last, files), last)
    match = _HEAD.match(text)
    head, tail = (match[1], match[2]) if match else ("", text)
    return [(f"{key}={head}{name}", legend) for name, legend in _values(key, files) if name.startswith(tail)]


def _keys(last: str, files: Sequence[Path]) -> list[Candidate]:
    """Return the keys; of hyper-parameters the kinds first, then a kind's plug-ins, then a plug-in's own."""
    kind, *rest = last.split(".")
    if not rest:
        with_axes = [name for name, one in KINDS.items() if one.axes]
        return [*((f"{key}=", "") for key in keys()), *((f"{name}.", "") for name in with_axes)]
    if kind == "margins":
        return [(f"margins.{name}=", "") for name in ("failure_rate", "score")]
    if kind not in KINDS:
        return []
    plugins = _plugins(kind, files)
    if len(rest) == 1:
        return [(f"{kind}.{one.name}.", one.legend) for one in plugins if one.hypers]
    return [(f"{kind}.{one.name}.{hyper}=", f"default {default}") for one in plugins if one.name == rest[0]
            for hyper, default in one.hypers.items()]  # fmt: skip


@cache
def keys() -> list[str]:
    """Return the keys of a suite, in the order of their declaration: those with a field, axes, and what is beside."""
    tree = ast.parse((Path(__file__).parent / "suite.py").read_bytes())
    (settings,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    names = [node.target.id for node in settings.body if isinstance(node, ast.AnnAssign)
             and isinstance(node.target, ast.Name)]  # fmt: skip
    fields = [name for name in names if name not in ("hypers", "per_problem")]
    return [*BESIDE[:1], *kinds.axes(), *fields, *BESIDE[1:]]


def _values(key: str, files: Sequence[Path]) -> list[Candidate]:
    if key == "suite":
        return [*((name, "") for name in suite_names()), *((str(file), "") for file in Path().glob("[!.]*.yaml"))]
    if key in kinds.axes() or key in OF_KIND:
        return [(one.name, one.legend) for one in _plugins(OF_KIND.get(key) or kind_of(key), files)]
    parts = key.split(".")
    if len(parts) == 3 and parts[0] in KINDS:
        of = [
            one.hypers[parts[2]] for one in _plugins(parts[0], files) if one.name == parts[1] and parts[2] in one.hypers
        ]
        return [(default.strip("'"), "default") for default in of]
    return [(value, "") for value in WORDS.get(key, ())]


def _plugins(kind: str, files: Sequence[Path]) -> list[listing.Declared]:
    return [*listing.declared(kind), *(one for file in files for one in _of_file(file) if one.kind == kind)]


def _of_file(file: Path) -> list[listing.Declared]:
    try:
        return listing.declared_in(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # the command itself says what is wrong with it
        return []


def _files(before: Sequence[str]) -> list[Path]:
    return [Path(word) for option, word in pairwise(before) if option == "--plugin"]


def _starting(choice: Iterable[Candidate], last: str) -> list[Candidate]:
    return [(name, legend) for name, legend in choice if name.startswith(last)]


def answer(words: Sequence[str]) -> None:
    """Print the candidates for the words behind `__complete`, a line each: the candidate, a tab, its legend."""
    for name, legend in candidates(words, commands()):
        print(f"{name}\t{legend}" if legend else name)
