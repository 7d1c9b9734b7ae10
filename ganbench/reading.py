"""Reading what a user writes: suite files and `key=value` overrides, as plain values of bounded size."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ganbench.errors import UserError, quoted, unknown
from ganbench.files import is_file

LONGEST_TEXT = 100_000
"""Characters of a suite file or of an override."""

LARGEST_VALUE = 10_000
"""Values in one suite or override, each place that an alias stands in counted."""

DEEPEST = 20
"""Lists and mappings within each other."""

LONGEST_NUMBER = 100
"""Digits of a whole number."""

LONGEST_NAME = 100
"""Characters of a suite's name: it names the study's folder."""


class _Refused(yaml.MarkedYAMLError):
    """What is YAML, and no suite."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """YAML of plain values without tags, keys of text named once, and numbers as Python writes them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._count = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()
        if isinstance(event, AliasEvent) and id(self.anchors.get(event.anchor, event)) not in self._sizes:
            raise _Refused(f"nothing before it is called '&{event.anchor}'", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _Refused(f"the tag '{event.tag}' is not allowed, values are plain", event.start_mark)
        if self._depth == DEEPEST:
            raise _Refused(f"more than {DEEPEST} lists or mappings within each other", event.start_mark)
        self._depth, self._count = self._depth + 1, self._count + 1
        if self._count > LARGEST_VALUE:
            raise _Refused(f"more than {LARGEST_VALUE} values", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and id(node) not in self._sizes:
            self._sizes[id(node)] = self._size(node)
        return node

    def _size(self, node: Node) -> int:
        """Return how many values a node stands for; an alias counts as what it repeats."""
        children: list[Node] = []
        if isinstance(node, SequenceNode):
            children = node.value
        elif isinstance(node, MappingNode):
            _check_keys(node)
            children = [child for pair in node.value for child in pair]
        size = 1 + sum(self._sizes[id(child)] for child in children)
        if size > LARGEST_VALUE:
            raise _Refused(f"more than {LARGEST_VALUE} values", node.start_mark)
        return size

    def construct_yaml_int(self, node: ScalarNode) -> int:
        # Python reads no more than 4300 digits, and the number of those that it reads
        if len(node.value) > LONGEST_NUMBER:
            raise _Refused(f"a number with more than {LONGEST_NUMBER} digits", node.start_mark)
        number: int = super().construct_yaml_int(node)
        return number


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_Loader.add_constructor(_INT, _Loader.construct_yaml_int)
# 010 is eight to YAML 1.1 and 1:30 ninety, while 1e-4 and -.5 are texts: nobody who writes one of them means that
_Loader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in value if tag not in (_INT, _FLOAT)]
    for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _INT, re.compile(r"^[-+]?(0|[1-9][\d_]*|0b[01_]+|0x[\da-fA-F_]+)$", re.ASCII), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^([-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))([eE][-+]?\d+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
        re.ASCII,
    ),
    list("-+0123456789."),
)


class _Dumper(yaml.SafeDumper):
    """YAML as `_Loader` reads it: what that takes for a number stands in quotes where it is a text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def write_yaml(value: Any) -> str:
    """Return plain values as YAML that `read_yaml` takes for the same; lists and mappings of plain values in a line."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )
    return text


def _check_keys(node: MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, ScalarNode):
            if (key.tag, key.value) in seen:
                raise _Refused(f"the key '{key.value}' stands there twice", key.start_mark)
            seen.add((key.tag, key.value))


def read_yaml(text: str, what: str) -> Any:
    """Parse YAML of plain values; UserError names `what` and the line where it is unreadable.

    Refused are tags, a key that stands in a mapping twice, texts with control characters, and what is longer, larger or
    deeper than the limits above.
    """
    if len(text) > LONGEST_TEXT:
        raise UserError(f"Cannot read {what}: it has {len(text)} characters, and at most {LONGEST_TEXT} are read.")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise UserError(f"Cannot read {what}{where}: {problem}.") from error
    except (ValueError, OverflowError) as error:  # the 45th of a month
        raise UserError(f"Cannot read {what}: it holds a number or a date that there is not.") from error
    _check_texts(value, what)
    return value


def _check_texts(value: object, what: str) -> None:
    """Raise UserError where a text, key or value, holds what no file and no terminal should be given."""
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    for part in parts:
        _check_texts(part, what)
    if isinstance(value, str):
        odd = [c for c in value if not (c.isprintable() or c in "\n\t")]
        if odd:
            raise UserError(f"Cannot read {what}: it holds the character {odd[0]!r}, which cannot be printed.")


# ------------------------------------------------------------------------------------------ suite files


def suite_folder() -> Path:
    """Return the folder of the shipped suites: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    return next((d for d in (package / "suites", package.parent / "suites") if d.is_dir()), package / "suites")


def suite_names() -> list[str]:
    """Return the names of the shipped suites."""
    return sorted(file.stem for file in suite_folder().glob("*.yaml"))


def suite_file(name_or_file: str | os.PathLike[str]) -> Path:
    """Return the file of a shipped suite or of a path; UserError names the nearest suite."""
    name = os.fspath(name_or_file) if isinstance(name_or_file, str | os.PathLike) else None
    if not isinstance(name, str):
        raise UserError(f"A suite is a shipped suite's name or a YAML file, got {quoted(name_or_file)}.")
    if name in suite_names():
        return suite_folder() / f"{name}.yaml"
    if Path(name).suffix.lower() in (".yaml", ".yml"):
        if is_file(name):
            return Path(name)
        is_shipped = (stem := Path(name).stem) in suite_names() and Path(name).name == name
        shipped = f" The shipped suite is '{stem}'." if is_shipped else ""
        raise UserError(f"There is no suite file '{name}'.{shipped}")
    if is_file(name):
        raise UserError(f"The file '{name}' is no suite by its name: that of a suite's file ends in .yaml.")
    raise unknown("suite", name, suite_names())


def suite_text(name_or_file: str | os.PathLike[str]) -> str:
    """Return the text of a suite's file; UserError where there is none, or it cannot be read."""
    file = suite_file(name_or_file)
    if not file.stem.isprintable() or len(file.stem) > LONGEST_NAME:
        raise UserError(
            f"The name of the suite '{file.name}' must be printable, and at most {LONGEST_NAME} characters."
        )
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(LONGEST_TEXT + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the suite '{file}': {error}.") from error
    if len(text) > LONGEST_TEXT:
        raise UserError(f"Cannot read the suite '{file.name}': it has more than {LONGEST_TEXT} characters.")
    return text


def read_suite(name_or_file: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Return a suite's name and its raw keys."""
    text, file = suite_text(name_or_file), suite_file(name_or_file)
    data = read_yaml(text, f"the suite '{file.name}'")
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise UserError(f"The suite '{file.name}' must be a mapping of keys to values.")
    return file.stem, data


def description_of(name: str) -> str:
    """Return what a shipped suite says of itself, empty where it says nothing; what follows in its file is not read."""
    depth, key = 0, None
    for event in yaml.parse(suite_file(name).read_text(encoding="utf-8"), Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth != 1 or isinstance(event, yaml.MappingStartEvent):
            continue
        value = str(getattr(event, "value", ""))
        if key == "description":
            return value.strip()
        key = value if key is None else None
    return ""


# ------------------------------------------------------------------------------------------ overrides


def listed(words: Iterable[Any], what: str, example: str) -> list[Any]:
    """Return words that a caller gave as a list of texts or paths; UserError for one text, whose letters they are."""
    if isinstance(words, str | bytes | os.PathLike | dict) or not isinstance(words, Iterable):
        raise UserError(f"'{what}' is a list of texts, for example {example}; got {quoted(words)}.")
    words = list(words)
    for word in words:
        if not isinstance(word, str | os.PathLike):
            raise UserError(f"'{what}' is a list of texts, for example {example}; got {quoted(word)} in it.")
    return words


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Turn `key=value`, `key=a,b,c` and `key=[a, b]` into a dictionary of values and lists; a key counts once."""
    parsed: dict[str, Any] = {}
    for override in listed(overrides, "overrides", '["loss=hinge", "seeds=3"]'):
        key, equals, text = str(override).partition("=")
        key = key.strip()
        if not equals or not key:
            suite = f"; a suite is named by suite={key}" if key in suite_names() or is_file(key) else ""
            raise UserError(
                f"Cannot read '{override}': an override is written key=value, for example loss=hinge,minimax{suite}."
            )
        if not text.strip():
            # what an unset variable of a shell leaves; `none` is a value, and is written
            raise UserError(f"The key '{key}' is given no value: an override is written key=value.")
        if key in parsed:
            raise UserError(f"The key '{key}' is given twice: say once what it is to be, several values as {key}=A,B.")
        parsed[key] = _value(text, f"the value of '{key}'")
    return parsed


def _value(text: str, what: str) -> Any:
    plain = not text.lstrip().startswith(("[", "{", '"', "'"))
    if plain and "*" in text:
        # to YAML a star is the name of something said before
        return [read_yaml(json.dumps(part.strip()), what) for part in text.split(",")]
    return read_yaml(f"[{text}]" if plain and "," in text else text, what)
