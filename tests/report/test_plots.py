"""What a notebook shows: HTML of studies, plans and comparisons, axes that pyplot shows, and a line of progress."""

import sys
import types
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from ganbench import api, notebook
from ganbench.errors import UserError
from ganbench.report.plots import Plots

TINY = [
    "problem=ring8",
    "steps=20",
    "batch_size=16",
    "probe_every=10",
    "samples=64",
    "neighbours=32",
    "network.mlp.width=8",
]
EVIL = '<script>alert(1)</script> & "quotes"'


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    swept = [*TINY, "loss=hinge,minimax", "normalization=none,spectral", "seeds=2"]
    one = api.run(None, swept, out=folder / "one", workers=1)
    return one, api.run(
        None, [*TINY, "loss=hinge", "seeds=2", "optimizer.adam.d_lr=0.5"], out=folder / "two", workers=1
    )


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    plt.close("all")


class Cells(HTMLParser):
    """Reads the tables of a piece of HTML, and refuses what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open, self.text = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "style")
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_plan_shows_what_it_varies(studies):
    shown = Cells(studies[0].plan._repr_html_())
    assert shown.text[0] == f"Plan of custom, {studies[0].plan.hash}"
    assert "8 runs of 4 variants, 2 seeds each." in shown.text
    assert shown.rows == [["what varies", "values"], ["loss", "hinge, minimax"], ["normalization", "none, spectral"]]


def test_a_study_shows_its_first_variants(studies):
    shown = Cells(studies[0]._repr_html_())
    ranking = studies[0].ranking()
    assert "Runs: 8 done." in shown.text
    assert [row[0] for row in shown.rows[1:]] == ranking["label"].tolist()
    assert [row[3] for row in shown.rows[1:]] == [f"{row.failures}/{row.seeds}" for row in ranking.itertuples()]


def test_a_comparison_shows_its_answers(studies):
    compared = studies[0].compare(studies[1].path)
    shown = Cells(compared._repr_html_())
    assert len(compared.table) == 1
    assert shown.rows[1][:4] == ["hinge, no normalization", "ring8", "2/2", "2/2"]
    assert shown.rows[1][-1] == compared.table["answer"][0]
    none = studies[0].compare(studies[0])
    assert len(none.table) == 4
    assert set(none.table["answer"]) == {"not distinguishable"}


def test_what_a_name_holds_stays_text(fake, tmp_path):
    from ganbench import cells

    shown = Cells(cells.card(EVIL, [EVIL], [EVIL], [[EVIL]]))
    assert "".join(shown.text) == EVIL * 4


def test_nothing_trained_yet_is_shown_as_such(tmp_path):
    from ganbench.results.store import Store

    plan = api.make_plan(None, [*TINY, "seeds=2"])
    Store(tmp_path / "study").begin(plan, fresh=False)
    study = api.load(tmp_path / "study")
    assert "Runs: 2 pending." in Cells(study._repr_html_()).text
    with pytest.raises(UserError, match="has nothing to draw yet"):
        study.plot.curves()


# ---- figures


def test_every_call_returns_axes_that_pyplot_shows(studies):
    plot = studies[0].plot
    for draw, number in ((plot.grid, 1), (plot.samples, 5), (lambda: plot.curves(measures=["high_quality"]), 2)):
        drawn = draw()
        assert all(isinstance(axis, Axes) for axis in drawn)
        assert len(drawn) == number
        assert plt.gcf() is drawn[0].figure
    assert len(plt.get_fignums()) == 3
    drawn = plot.curves(problem="ring8")
    assert {axis.get_ylabel() for axis in drawn} >= {"modes covered", "high quality"}
    labels = [text.get_text() for text in plot.grid()[0].get_yticklabels()]
    assert labels == ["hinge", "minimax"]


def test_the_grid_of_a_measure_has_its_medians(studies):
    (axis,) = studies[0].plot.grid(measure="high_quality")
    texts = {text.get_text() for text in axis.texts}
    from ganbench.report.context import number

    for median in studies[0].ranking()["quality"]:
        assert number(float(median)) in texts


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda plot: plot.grid("rng8"), "Unknown problem 'rng8'. Did you mean 'ring8'?"),
        (lambda plot: plot.grid(measure="qualty"), "Unknown measure 'qualty'."),
        (
            lambda plot: plot.curves(measures=["high_qualty"]),
            "Unknown measure 'high_qualty'. Did you mean 'high_quality'?",
        ),
        (lambda plot: plot.robustness(), "The study 'custom' tries its methods at one setting"),
    ],
)
def test_what_there_is_not_is_said(studies, call, told):
    with pytest.raises(UserError) as raised:
        call(studies[0].plot)
    assert str(raised.value).startswith(told)
    assert plt.get_fignums() == []


def test_robustness_of_a_study_with_tuning(fake, tmp_path):
    fates = [({"loss": loss, "optimizer.adam.d_lr": rate, "seed": seed}, "converged" if rate < place else "collapsed")
             for loss, place in (("hinge", 0.02), ("minimax", 0.002)) for rate in (0.001, 0.01, 0.1)
             for seed in (0, 1)]  # fmt: skip
    study = fake.study_of(fates, tmp_path, axes=["loss", "optimizer.adam.d_lr"], tuned=["optimizer.adam.d_lr"])
    drawn = Plots(study).robustness()
    assert [axis.get_title() for axis in drawn[:2]] == ["hinge", "minimax"]
    assert drawn[-1].get_xlabel().startswith("trials")


# ---- progress


class Kernel:
    kernel = object()


@pytest.fixture
def ipython(monkeypatch):
    """A kernel's IPython, as far as it is asked."""
    shown = []

    class Handle:
        def update(self, thing):
            shown.append(thing.text)

    class Pretty:
        def __init__(self, text):
            self.text = text

    display = types.ModuleType("IPython.display")
    display.Pretty, display.display = Pretty, lambda thing, display_id: shown.append(thing.text) or Handle()
    root = types.ModuleType("IPython")
    root.get_ipython, root.display = Kernel, display
    monkeypatch.setitem(sys.modules, "IPython", root)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    return shown


def test_a_notebook_shows_how_far_it_is(ipython, tmp_path):
    assert notebook.in_notebook()
    api.run(None, [*TINY, "seeds=2"], out=tmp_path / "study", workers=1)
    assert ipython[0] == "starting"
    assert ipython[-1] == ""
    assert ipython[-2].startswith("100 %, 1/1 populations, 0 diverged")
    before = list(ipython)
    api.run(None, [*TINY, "seeds=1"], out=tmp_path / "other", workers=1, watch=lambda name, event: None)
    assert ipython == before, "whoever watches sees to it"


def test_tqdm_shows_it_where_it_is_installed(ipython, tmp_path, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, **given):
            self.given, self.said, self.n, self.closed = given, [], 0.0, False
            bars.append(self)

        def set_description_str(self, text):
            self.said.append((self.n, text))

        def close(self):
            self.closed = True

    module = types.ModuleType("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    api.run(None, [*TINY, "seeds=2"], out=tmp_path / "study", workers=1)
    (bar,) = bars
    assert bar.closed
    assert bar.given["total"] == 100
    assert bar.said[-1][0] == 100
    assert ipython == []


def test_a_script_shows_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.in_notebook()
    api.run(None, [*TINY, "seeds=1"], out=Path(tmp_path / "study"), workers=1)
    assert capsys.readouterr() == ("", "")
