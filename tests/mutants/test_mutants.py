"""The tool on a toy: which mutants a module has, how they are drawn, chosen tests, and the score that comes out."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOY = '''"""A toy: 1 + 1."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    SIZE = 3


def half(x: int, *, steps: int = 2) -> float:
    """Return 1 half."""
    if x < 0:
        raise ValueError(f"negative: {x + 1}")
    return x / steps


class Thing:
    def __repr__(self) -> str:
        return "Thing" + str(1 + 1)

    def act(self, kind):
        total = 0
        for x in range(10):
            if kind == "odd" and not x % 2:
                continue
            total += x
        return min(total, 9)
'''


@pytest.fixture
def tool(monkeypatch):
    """The tool's modules, found beside this file."""
    monkeypatch.syspath_prepend(HERE)
    names = ("mutate", "recording", "run")
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        sys.modules.pop(name, None)


def test_what_a_module_has(tool):
    found = tool["mutate"].mutants("toy.py", TOY)
    lines = {(m.line, m.kind, *m.changed(TOY)) for m in found}
    assert {(m.line, m.function) for m in found if m.line < 14} == {
        (8, "half"),
        (10, "half"),
        (11, "half"),
        (12, "half"),
    }
    assert not [m for m in found if m.function == "Thing.__repr__"]
    assert (10, "comparison", "if x < 0:", "if (x <= 0):") in lines
    assert (10, "comparison", "if x < 0:", "if (x > 0):") in lines
    assert (10, "negated condition", "if x < 0:", "if (not x < 0):") in lines
    assert (12, "arithmetic", "return x / steps", "return (x * steps)") in lines
    assert (12, "return None", "return x / steps", "return None") in lines
    assert (11, "removed statement", 'raise ValueError(f"negative: {x + 1}")', "pass") in lines
    odd = 'if kind == "odd" and not x % 2:'
    assert (22, "compared string", odd, "if kind == 'odd_' and not x % 2:") in lines
    assert (22, "boolean", odd, "if (kind == 'odd' or not x % 2):") in lines
    assert (22, "removed not", odd, 'if kind == "odd" and (x % 2):') in lines
    assert (23, "continue to break", "continue", "break") in lines
    assert (24, "removed statement", "total += x", "pass") in lines
    assert (25, "turned call", "return min(total, 9)", "return max(total, 9)") in lines
    assert (25, "swapped arguments", "return min(total, 9)", "return min(9, total)") in lines
    assert (25, "constant", "return min(total, 9)", "return min(total, 10)") in lines
    # every one of them is another program that compiles
    sources = [m.apply(TOY) for m in found]
    assert len({TOY, *sources}) == len(sources) + 1
    for source in sources:
        compile(source, "toy", "exec")


@pytest.mark.parametrize(("before", "after"), [
    ("y = x.detach()", "y = x"), ("y = a[lo:hi]", "y = a[(lo) + 1:hi]"), ("y = f(x, dim=1)", "y = f(x)"),
    ("y = x.sum(-1)", "y = x.mean(-1)"), ("y = 0.5", "y = 0.45"), ("y = 3", "y = 6"), ("y = True", "y = False"),
    ("y = [x for x in z if x]", "y = [x for x in z if True]"), ("y = a if b else c", "y = a if not b else c"),
    ("y = -x", "y = (x)"), ("y = d['key']", "y = d['key_']"), ("y = a and b", "y = (a or b)"),
    ("y = a + b * c", "y = a + (b / c)"), ("y = 'é' + f(a, b)", "y = 'é' + f(b, a)"),
])  # fmt: skip
def test_each_kind(tool, before, after):
    source = f"def f():\n    {before}\n"
    assert after in [m.changed(source)[1] for m in tool["mutate"].mutants("toy.py", source)]


def test_a_sample_is_the_same_for_a_seed(tool):
    run, every = tool["run"], len(tool["mutate"].mutants("toy.py", TOY))
    draws = [run.sample({"toy.py": TOY}, 10, seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0])) == 10
    assert len(run.sample({"toy.py": TOY}, 10**6, 0)) == every


def test_tests_are_chosen_by_what_they_enter_the_nearest_first(tool):
    run = tool["run"]
    mutant = next(m for m in tool["mutate"].mutants("gan/toy.py", TOY) if m.function == "half")
    tests = [
        run.Test("tests/test_api.py::far", 1.0, frozenset({"gan/toy.py:half"})),
        run.Test("tests/gan/test_other.py::near", 5.0, frozenset({"gan/toy.py:half"})),
        run.Test("tests/gan/test_toy.py::own", 9.0, frozenset({"gan/toy.py:half"})),
        run.Test("tests/gan/test_toy.py::same_file", 2.0, frozenset()),
        run.Test("tests/test_cli.py::slow", 500.0, frozenset({"gan/toy.py:half"})),
        run.Test("tests/test_cli.py::never", 0.1, frozenset({"gan/more.py:half"})),
    ]
    assert list(run.choose(mutant, tests, 100.0)) == [
        "tests/gan/test_toy.py::own", "tests/gan/test_toy.py::same_file", "tests/gan/test_other.py::near",
        "tests/test_api.py::far",
    ]  # fmt: skip
    assert list(run.choose(mutant, tests[-2:], 100.0)) == ["tests/test_cli.py::slow"]


def test_equivalent_mutants_are_listed_and_not_counted(tool, tmp_path):
    run = tool["run"]
    swapped, *others = (m for m in tool["mutate"].mutants("toy.py", TOY) if m.line in (25, 10))
    swapped = next(m for m in (swapped, *others) if m.kind == "swapped arguments")
    survivor = next(m for m in others if m.kind == "comparison")
    killed = {survivor: False, swapped: False} | {m: True for m in others if m not in (survivor, swapped)}
    file = tmp_path / "equivalent.yaml"
    file.write_text(
        "- {module: toy.py, before: 'return min(total, 9)', after: 'return min(9, total)', reason: the same}"
    )
    text, share = run.summary(killed, {"toy.py": TOY}, run.read_equivalents(file))
    dead = len(killed) - 2
    assert share == pytest.approx(100 * dead / (dead + 1))
    assert f"{dead} of {dead + 1:4}" in text
    assert "equivalent: ganbench/toy.py:25 swapped arguments: the same" in text
    assert text.count("survivor: ") == 1
    assert "-    if x < 0:\n+    if (x <= 0):" in text


def test_what_is_marked_as_equivalent_still_exists(tool):
    package = HERE.parents[1] / "ganbench"
    modules = tool["run"].deciding(package)
    for module, before, after in tool["run"].read_equivalents():
        lines = {line.strip() for line in modules[module].splitlines()}
        assert set(before.splitlines()) <= lines, f"{module}: {before}"
        assert before != after


@pytest.mark.slow
def test_a_toy_project_from_end_to_end(tmp_path):
    (tmp_path / "ganbench").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "ganbench" / "__init__.py").write_text("")
    (tmp_path / "ganbench" / "toy.py").write_text(TOY)
    (tmp_path / "tests" / "test_toy.py").write_text(
        "import pytest\nfrom ganbench.toy import Thing, half\n"
        "def test_half():\n    assert half(3) == 1.5\n    assert half(0) == 0\n    assert half(1, steps=4) == 0.25\n"
        "    with pytest.raises(ValueError):\n        half(-1)\n"
    )
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    ended = subprocess.run(
        [sys.executable, HERE / "run.py", "--root", tmp_path, "--cache", tmp_path / "cache", "--least", "90"],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    survivors = [line for line in ended.stdout.splitlines() if line.startswith("survivor: ")]
    # all that is wrong in half is noticed, and nothing that is wrong in the class, which no test enters
    assert survivors
    assert all(int(line.split(":")[2].split()[0]) > 14 for line in survivors), ended.stdout
    assert ended.returncode == 1, ended.stderr
