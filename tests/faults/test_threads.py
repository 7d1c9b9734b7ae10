"""What docs/is-this-normal.md quotes is what Monitor says of the loops there."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "is_this_normal.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="docs are not installed")
QUICK = ("stuck", "silence")
"""About a second each."""


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("ganbench_docs_is_this_normal", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def quoted(page):
    """By loop the names of what the page quotes, as its comments have them."""
    found = re.findall(r"<!-- (\w+): (.*) -->", page.PAGE.read_text("utf-8"))
    return {loop: names.split("; ") for loop, names in found}


def test_ten_threads_two_of_them_sound(page):
    assert list(quoted(page)) == list(page.THREADS)
    assert {path.stem for path in page.LOOPS.glob("*.py")} == set(page.THREADS)
    assert len(page.THREADS) == 10
    assert sum(thread.normal for thread in page.THREADS.values()) >= 2
    assert {path.stem for path in page.PICTURES.iterdir()} == set(page.THREADS)
    assert sum(path.stat().st_size for path in page.PICTURES.iterdir()) <= 600_000


def test_the_page_has_what_the_threads_have(page):
    text = page.PAGE.read_text("utf-8")
    assert text.startswith(page.HEAD)
    for thread in page.THREADS.values():
        for part in (thread.title, thread.address, thread.asked, thread.answer, thread.remark):
            assert part in text, "run `python docs/is_this_normal.py`"


def test_nothing_is_found_in_those_that_are_sound(page):
    for loop, thread in page.THREADS.items():
        if thread.normal:
            assert len(quoted(page)[loop]) == 1, "a verdict alone"


@pytest.mark.parametrize(
    "loop", [pytest.param(p.stem, marks=() if p.stem in QUICK else pytest.mark.slow)
             for p in sorted(ROOT.glob("examples/normal/*.py"))]
)  # fmt: skip
def test_monitor_says_what_the_page_quotes(page, loop):
    """On any machine the first that is quoted, which the answer rests on; of what is sound nothing else."""
    names, first = page.names(page.run(loop)), quoted(page)[loop][0]
    assert first in names[:2]
    assert names == [first] or not page.THREADS[loop].normal
