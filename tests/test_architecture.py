"""The shape of the package: rooms in one order, no circle, small modules and functions, reasons for late imports."""

import ast
import importlib.util
import sys
from functools import cache
from pathlib import Path

import pytest

from ganbench import registry

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs" / "architecture.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="the docs are not part of this installation")

LINES, FUNCTION_LINES = 400, 40


@pytest.fixture(scope="module")
def architecture():
    spec = importlib.util.spec_from_file_location("ganbench_docs_architecture", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def trees():
    """Return path, text and syntax tree of every module."""
    texts = {file: file.read_text(encoding="utf-8") for file in sorted((ROOT / "ganbench").rglob("*.py"))}
    return [(file.relative_to(ROOT).as_posix(), text, ast.parse(text)) for file, text in texts.items()]


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


OWNERS = ("metrics/", "measure/", "problems/", "gan/", "models/", "contracts/")
"""Where plug-ins are registered, and where the laws play with some of them."""
NAMERS = {
    "kinds.py": "the defaults of the axes stand in the table of kinds",
    "analysis/calibration.py": "the problems on which verdicts are calibrated are part of that measurement",
    "bench.py": "an ordinary loop is written out for the losses and the problem that it is timed with",
    "analysis/game/condition.py": "a rule about the game is a record about columns, as a plug-in is",
    "analysis/game/discriminator.py": "the same",
    "analysis/game/generator.py": "the same",
    "analysis/game/scales.py": "the same",
    "analysis/game/translation.py": "the same",
    "monitor/losses.py": "a loop that is watched tells the losses of its two players",
}
ORDINARY = {"none", "scale"}
"""Names that are words of everyday, too."""


def names_said(tree, names):
    """Return the names that stand as a text of their own in a module's code, with their lines."""
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {(node.value, node.lineno) for node in constants if node.value in names}


def up(rooms, order):
    """Return the arrows from a room to one that is not before it."""
    place = {name: index for index, name in enumerate(order)}
    return {(room, other) for room, others in rooms.items() for other in others if place[other] >= place[room]}


def circles(graph):
    """Return the groups of modules that import each other, by whatever ways."""

    def reach(start):
        seen, ahead = set(), [start]
        while ahead:
            new = graph[ahead.pop()] - seen
            seen |= new
            ahead += new
        return seen

    reached = {name: reach(name) for name in graph}
    groups = {frozenset({name, *(other for other in reached[name] if name in reached[other])}) for name in graph}
    return {group for group in groups if len(group) > 1}


def unexplained(text, tree):
    """Return the lines of imports in functions for which neither a comment nor the module's docstring has a reason."""
    if "heavy" in (ast.get_docstring(tree) or ""):
        return []
    lines, found = text.splitlines(), []
    for function in functions(tree):
        explained = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                above, own = lines[node.lineno - 2].strip(), lines[node.end_lineno - 1]
                if above.startswith("#") or "  # " in own or node.lineno - 1 in explained:
                    explained.add(node.end_lineno)
                else:
                    found.append(node.lineno)
    return sorted(set(found))


# ------------------------------------------------------------------------------------------ the package


def test_every_room_has_a_place_in_the_order(architecture):
    ordered = [name for row in architecture.ORDER.values() for name in row]
    assert len(set(ordered)) == len(ordered)
    assert set(ordered) == set(architecture.rooms()), "give a new room its place in ORDER of docs/architecture.py"


def test_no_arrow_points_up(architecture):
    order = [name for row in architecture.ORDER.values() for name in row]
    found = up(architecture.rooms(), order)
    told = [one for one in architecture.imports()
            if (architecture.room(one.importer), architecture.room(one.imported)) in found]  # fmt: skip
    assert not told, "imports of a room that comes later"
    # the way of the data
    way = [order.index(name) for name in ("suite", "training", "results", "analysis", "report", "cli")]
    assert way == sorted(way)


def test_no_import_circle(architecture):
    graph = {name: set() for name in architecture.modules()}
    for one in architecture.imports():
        if one.at_load:
            graph[one.importer].add(one.imported)
    assert circles(graph) == set()


def test_no_long_module_and_no_long_function():
    modules = {name: len(text.splitlines()) for name, text, _ in trees()}
    assert {name: lines for name, lines in modules.items() if lines > LINES} == {}
    lengths = {f"{name}:{node.name}": node.end_lineno - node.lineno + 1 for name, _, tree in trees()
               for node in functions(tree)}  # fmt: skip
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_an_import_within_a_function_has_a_reason():
    assert {name: lines for name, text, tree in trees() if (lines := unexplained(text, tree))} == {}


def test_no_room_names_a_measure_a_problem_or_a_method():
    kinds = ("problem", "network", "loss", "regularizer", "optimizer", "update", "trick")
    names = {*registry.measures(), *(name for kind in kinds for name in registry.names(kind))} - ORDINARY
    found = {}
    for name, _, tree in trees():
        place = name.removeprefix("ganbench/")
        if not place.startswith(OWNERS) and (said := names_said(tree, names)):
            found[place] = said
    assert {place: said for place, said in found.items() if place not in NAMERS} == {}, "ask what they declare"
    assert set(found) == set(NAMERS), "a reason that no module needs any more"


def test_every_module_says_what_it_is():
    assert [name for name, _, tree in trees() if not ast.get_docstring(tree)] == []


def test_the_picture_and_the_tables_are_up_to_date(architecture):
    told = "run `python docs/architecture.py`"
    assert architecture.PICTURE.read_text(encoding="utf-8") == architecture.picture(), told
    page = architecture.PAGE.read_text(encoding="utf-8")
    assert architecture.with_tables(page) == page, told


def test_the_links_of_the_pages_for_developers_lead_somewhere():
    for page in ("docs/architecture.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        links = [part.partition(")")[0].partition("#")[0] for part in text.split("](")[1:]]
        assert links
        lost = [link for link in links if "://" not in link and not ((ROOT / page).parent / link).exists()]
        assert lost == [], page


# ------------------------------------------------------------------------------------------ the rules themselves


def test_what_points_up_is_found():
    rooms = {"errors": set(), "training": {"errors"}, "results": {"training"}}
    assert up(rooms, ["errors", "training", "results"]) == set()
    assert up({**rooms, "errors": {"results"}}, ["errors", "training", "results"]) == {("errors", "results")}


def test_circles_are_found():
    line = {"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": {"e"}, "e": set()}
    assert circles(line) == set()
    assert circles({**line, "c": {"a"}}) == {frozenset("abc")}
    assert circles({**line, "c": {"a"}, "e": {"d"}}) == {frozenset("abc"), frozenset("de")}


def test_late_imports_without_a_reason_are_found():
    bare = "def f():\n    import torch\n    import numpy\n"
    assert unexplained(bare, ast.parse(bare)) == [2, 3]
    for text in ('"""Imports nothing heavy."""\n' + bare,
                 bare.replace("    import torch", "    # takes a second\n    import torch")):  # fmt: skip
        assert unexplained(text, ast.parse(text)) == []


def test_arrows_that_others_tell_are_left_out(architecture):
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert architecture.needed(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_imports_are_read_wherever_they_stand(architecture):
    known = dict.fromkeys(("ganbench", "ganbench.plan", "ganbench.suite", "ganbench.api"))
    text = (
        "from ganbench import suite\nimport torch\nif TYPE_CHECKING:\n    from ganbench.plan import Plan\n"
        "def f():\n    import ganbench.api\n"
    )
    found = [(one.imported, one.at_load) for one in architecture._imports_of("ganbench.x", ast.parse(text), known)]
    assert found == [("ganbench.suite", True), ("ganbench.plan", False), ("ganbench.api", False)]


def test_a_page_without_marks_is_refused(architecture):
    with pytest.raises(ValueError, match=r"architecture\.md needs one"):
        architecture.with_tables("# nothing")


def test_names_in_code_are_found_and_in_sentences_are_not():
    tree = ast.parse('def f(x):\n    """ring8"""\n    return x["frechet"], "the frechet distance", f"{x}_frechet"')
    assert names_said(tree, {"frechet"}) == {("frechet", 3)}
