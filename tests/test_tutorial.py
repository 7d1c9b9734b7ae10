"""The notebook of the documentation: every cell runs, top to bottom, and what stands below them is of these cells."""

import importlib.util
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "tutorial.ipynb"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the docs are not part of this installation")


BUDGET = '{"seeds": 3, "steps": 2500, "probe_every": 250, "samples": 500}'
SMALL = '{"seeds": 2, "steps": 20, "probe_every": 10, "samples": 64, "neighbours": 32}'


def cells():
    found = json.loads(FILE.read_text(encoding="utf-8"))["cells"]
    return [(cell, "".join(cell["source"])) for cell in found if cell["cell_type"] == "code"]


def test_every_cell_runs(own_registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "__main__"}
    counts = 0
    for number, (_, source) in enumerate(cells()):
        small, count = re.subn(re.escape(BUDGET), SMALL, source)
        counts += count
        exec(compile(small, f"cell {number}", "exec"), space)
        plt.close("all")
    assert counts == 1
    assert set(space["study"].runs["status"]) == set(space["mine"].runs["status"]) == {"done"}
    assert (tmp_path / "reports" / "tutorial" / "report.html").exists()


def test_it_is_stored_as_it_was_run():
    ran = [cell["execution_count"] for cell, _ in cells()]
    assert ran == list(range(1, len(ran) + 1))
    kinds = [kind for cell, _ in cells() for output in cell["outputs"] for kind in output.get("data", ())]
    assert kinds.count("image/png") == 3
    assert kinds.count("text/html") == 5
    assert not [output for cell, _ in cells() for output in cell["outputs"] if output["output_type"] == "error"]
    assert FILE.stat().st_size < 1_000_000


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("nbclient"), reason="nbclient is not installed")
def test_a_kernel_runs_it(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(FILE, as_version=4)
    NotebookClient(book, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "reports" / "tutorial" / "report.html").exists()
