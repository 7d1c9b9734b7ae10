"""Whatever kind of plug-in a user writes is one file: listed, shown, trained, judged, reported, held to laws."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from ganbench import api, contracts, registry, zoo
from ganbench.analysis.verdicts import VERDICTS
from ganbench.cli import app
from ganbench.kinds import KINDS

HERE = Path(__file__).parent
WITHIN = [kind for kind in KINDS if kind != "executor"]
"""Kinds that are part of what a study is; who does the work is not, and is tested in tests/executors."""
SUITE, FILES = HERE / "suite.yaml", {kind: HERE / "plugins" / f"{kind}.py" for kind in WITHIN}
SLOW = ("update", "verdict")
"""Kinds whose laws take seconds."""

every_kind = pytest.mark.parametrize("kind", WITHIN)


@pytest.fixture(scope="module")
def plugins(own_registry_of_module):
    """The one plug-in of each file by its kind, loaded as `--plugin` does."""
    return {kind: contracts.plugins_of(file)[0] for kind, file in FILES.items()}


@pytest.fixture(scope="module")
def study(plugins, tmp_path_factory):
    """The study of a suite with a plug-in of each kind, trained by the command with all files."""
    out = tmp_path_factory.mktemp("exercise") / "study"
    files = [word for file in FILES.values() for word in ("--plugin", str(file))]
    told = command("run", f"suite={SUITE}", *files, "--workers", "1", "--out", out)
    assert "6 runs of 3 variants" in told
    found = api.load(out)
    assert set(found.runs["status"]) == {"done"}
    assert set(found.plan.plugin_files) == set(map(str, FILES.values()))
    return found


def command(*words):
    """Run a command and return what it prints, on one line a paragraph."""
    result = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "500"})
    assert result.exit_code == 0, result.output
    return result.output


def columns(plugin):
    """Return the columns that a plug-in has a study measure, with their legends; none where it is no measurement."""
    if plugin.kind == "feature_space":
        return {f"frechet_{plugin.name}": registry.measures()[f"frechet_{plugin.name}"].legend}
    return {name: measure.legend for name, measure in plugin.meta.get("measures", {}).items()}


# ------------------------------------------------------------------------------------------


def test_there_is_one_file_for_every_kind(plugins):
    assert {file.stem for file in (HERE / "plugins").glob("*.py")} == set(WITHIN)
    assert [(plugin.kind, plugin.source) for plugin in plugins.values()] == [(k, str(f)) for k, f in FILES.items()]
    assert all(len(contracts.plugins_of(file)) == 1 for file in FILES.values())
    for plugin in plugins.values():
        assert plugin.legend.endswith("."), "a legend is its docstring's"
        assert plugin.version not in ("", registry.OWN), "its version is a hash of its file"


@every_kind
def test_it_is_listed_and_shown(plugins, kind):
    plugin = plugins[kind]
    listed = command("list", kind, "--plugin", FILES[kind])
    assert re.search(rf"^{plugin.name} +{re.escape(plugin.legend)} *$", listed, re.MULTILINE)
    shown = command("show", kind, plugin.name, "--plugin", FILES[kind])
    assert shown.startswith(f"{kind} {plugin.name}  {plugin.legend}\n")
    assert str(FILES[kind]) in shown
    for hyper, default in plugin.hypers.items():
        assert f"  {kind}.{plugin.name}.{hyper} = {default}\n" in shown
    for name, legend in columns(plugin).items():
        assert kind == "feature_space" or f"  {name}: {legend}" in shown


@every_kind
def test_it_is_in_the_tables_of_the_docs(plugins, kind):
    section = zoo.page().partition(f"## {kind}\n")[2].partition("\n## ")[0]
    assert f"| `{plugins[kind].name}` | {plugins[kind].legend} |" in section
    if KINDS[kind].axes:
        assert re.search(rf"^\| {kind} \|.*\b{plugins[kind].name}\b", zoo.readme_table(), re.MULTILINE)
    if kind == "verdict":
        assert f"| barely begun | B | {VERDICTS['barely begun']} | yes |" in zoo.verdict_tables()["verdicts"]


@every_kind
def test_it_takes_part_in_a_suite(plugins, study, kind):
    plugin, runs = plugins[kind], study.runs
    for axis in KINDS[kind].axes[:1]:
        chosen = runs[runs[axis.name] == plugin.name]
        assert len(chosen) > 0
        assert chosen["failed"].notna().all(), "every run of it is judged"
    for name in columns(plugin):
        # what a game is asked about has no answer where none is played
        asked = runs["model"] == "gan" if kind == "diagnostic" else runs["seed"] >= 0
        values = study.series.loc[study.series["run"].isin(runs.loc[asked, "run"]), name]
        assert values.notna().all()
        assert study.measures[name].legend == columns(plugin)[name]
        assert ("d_loss" in name or name in study.oracle["cross"]) == (kind != "diagnostic")
    if kind == "verdict":
        assert set(runs["verdict"]) == {"barely begun"}
    else:
        assert study.plan.versions[f"{kind}.{plugin.name}"] == plugin.version
    assert KINDS[kind].axes or columns(plugin) or kind == "verdict", "a kind that this test does not look for"


@every_kind
def test_it_is_in_the_report_and_the_tables(plugins, study, kind):
    plugin = plugins[kind]
    page = html.unescape((study.path / "report.html").read_text())
    summary, table = (study.path / "report.md").read_text(), pd.read_csv(study.path / "results.csv")
    meant = json.loads((study.path / "results.json").read_text())["measures"]
    for name, legend in columns(plugin).items():
        assert f"<code>{name}</code>" in page
        assert legend in page
        assert meant[name]["legend"] == legend
        assert not study.measures[name].direction or table[f"{name}_final"].notna().all()
    if kind == "verdict":
        assert all("barely begun" in text for text in (page, summary))
        assert f"<td>{VERDICTS['barely begun']}<" in page
        assert "At its last probe" in table["evidence"].iloc[0]
    elif "measures" not in plugin.meta:
        assert f"<code>{plugin.name}</code><td class=wrap>{plugin.legend}" in page
        assert plugin.name in summary
        key = KINDS[kind].axes[0].name if KINDS[kind].axes else f"{kind}s"
        assert (table[key] == plugin.name).any()


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else []) for kind in WITHIN]
)
def test_it_keeps_the_laws_of_its_kind(plugins, kind):
    told = command("verify", FILES[kind])
    assert told.startswith(f"{kind} {plugins[kind].name}  ")
    assert re.search(r"^  \d+ kept(, \d not declared)?$", told, re.MULTILINE)


@pytest.mark.slow
@every_kind
def test_it_trains_alone_in_a_process_that_knows_no_other_file(plugins, tiny, tmp_path, kind):
    plugin, out = plugins[kind], tmp_path / "study"
    chosen = [f"{axis.name}={plugin.name}" for axis in KINDS[kind].axes[:1]]
    if kind == "feature_space":
        chosen = [f"feature_spaces={plugin.name}"]
    words = [word for word in tiny if word.partition("=")[0] not in (kind, "network.mlp.width")]
    told = subprocess.run(
        [sys.executable, "-m", "ganbench", "run", *words, *chosen, "--plugin", FILES[kind], "--out", out],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stderr) == (0, "")
    trained = api.load(out)
    assert trained.plan.plugin_files == (str(FILES[kind]),)
    assert set(trained.runs["status"]) == {"done"}
    assert set(columns(plugin)) <= set(trained.series)
