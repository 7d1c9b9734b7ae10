"""Settings and origin of a trained study in every output, and what is said where environments were mixed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pages
import pandas as pd
import pytest

import ganbench
from ganbench import api
from ganbench.report import settings
from ganbench.report.context import Context
from ganbench.report.summary import summary

TINY = [
    "problem=ring8,line", "optimizer.adam.g_lr=1e-3,2e-3", "steps=20", "batch_size=16", "probe_every=10", "samples=64",
    "neighbours=32", "network.mlp.width=8", "seeds=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: Any) -> Any:
    return ganbench.run(None, TINY, out=tmp_path_factory.mktemp("studies") / "s", workers=1)


def mixed(study: Any, folder: Path) -> Any:
    """Return the study as if a second session had another torch."""
    shutil.copytree(study.path, folder)
    lines = (folder / "sessions.jsonl").read_text().splitlines()
    other = {**json.loads(lines[-1]), "torch": "1.0", "git_revision": "fedcba987654-dirty"}
    (folder / "sessions.jsonl").write_text("\n".join([*lines, json.dumps(other)]) + "\n")
    return api.load(folder)


def test_every_setting_is_a_column_or_in_the_table_of_its_problem(study: Any) -> None:
    context = Context(study)
    for problem in ("ring8", "line"):
        assert settings.differing(context, problem) == ["optimizer.adam.g_lr"]
        shared = settings.shared(context, problem)
        assert (shared["optimizer.adam.d_lr"], shared["optimizer.adam.beta1"], shared["batch_size"]) == (2e-3, 0.5, 16)
        assert (shared["network.mlp.width"], shared["probe_every"], shared["samples"]) == (8, 10, 64)
        known = study.settings[next(v.id for v in study.variants if v.problem == problem)]
        assert {*shared, "optimizer.adam.g_lr", "problem"} == set(known)


def test_csv_tells_settings_commands_and_origin_of_every_run(study: Any, tmp_path: Path) -> None:
    study.export(tmp_path, ["csv", "json"])
    # a revision, or a hash, may be made of digits alone
    texts = dict.fromkeys(("git_revision", "plan_hash"), str)
    rows = pd.read_csv(tmp_path / "results.csv", keep_default_na=False, dtype=texts)
    assert sorted(rows["optimizer.adam.g_lr"].unique()) == [1e-3, 2e-3]
    assert rows["optimizer.adam.d_lr"].unique().tolist() == [2e-3]
    assert rows["batch_size"].unique().tolist() == [16]
    assert rows["command"].tolist() == [study.commands[run] for run in rows["run"]]
    session = study.store.sessions()[-1]
    for key in ("ganbench", "git_revision", "torch", "device", "python"):
        assert rows[key].unique().tolist() == [session[key]], key
    assert rows["plan_hash"].unique().tolist() == [study.plan.hash]
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["settings"]["line"]["optimizer.adam.d_lr"] == 2e-3
    assert "optimizer.adam.d_lr" not in content["runs"][0]
    assert content["runs"][0]["optimizer.adam.g_lr"] == 1e-3
    assert content["runs"][0]["command"] == study.commands[content["runs"][0]["run"]]
    assert content["mixed"] == ""
    for key in ("torch", "threads", "numpy", "git_revision", "plugin_revisions"):
        assert content["provenance"][key] == session[key]


def test_report_and_markdown_show_settings_and_origin(study: Any) -> None:
    page, text = study.report().read_text(), (study.path / "report.md").read_text()
    assert "<th><code>optimizer.adam.d_lr</code><td class=wrap>0.002<" in page
    assert "<th>optimizer.adam.g_lr<" in page
    assert "| `optimizer.adam.d_lr` | 0.002 | 0.002 |" in text
    assert "Trained by two" not in page + text
    session = study.store.sessions()[-1]
    assert f"torch {session['torch']}; " in text
    assert "threads 1" in text
    (data,) = pages.data_of(page)["studies"]
    packed = json.loads(pages.inflated(data["commands"]))
    assert packed == {run: study.commands[run] for run in packed}
    assert len(packed) == len(study.runs)


def test_mix_of_environments_is_said_in_every_output(study: Any, tmp_path: Path) -> None:
    both = mixed(study, tmp_path / "mixed")
    torch = study.store.sessions()[-1]["torch"]
    sentence = f"Trained by two environments: torch {torch} and 1.0. Runs of one may not repeat in another."
    page = both.report().read_text()
    assert page.index(sentence) < page.index("class=front")
    assert (both.path / "report.md").read_text().splitlines()[4] == f"**{sentence}**"
    assert json.loads((both.path / "results.json").read_text())["mixed"] == sentence
    rows = pd.read_csv(both.path / "results.csv")
    assert rows["torch"].unique().tolist() == [f"{torch} | 1.0"]


def test_study_of_an_older_version_still_reports(study: Any, tmp_path: Path) -> None:
    shutil.copytree(study.path, tmp_path / "old")
    old = {"command": "ganbench run", "torch": "2.11.0", "device": "CPU, 2 cores", "ganbench": "0.1.0"}
    (tmp_path / "old" / "sessions.jsonl").write_text(json.dumps(old) + "\n")
    loaded = api.load(tmp_path / "old")
    assert "torch 2.11.0; device CPU; " in summary(Context(loaded))
    assert loaded.report().exists()
    (tmp_path / "old" / "sessions.jsonl").unlink()
    assert api.load(tmp_path / "old").report().exists()


@pytest.mark.usefixtures("own_registry")
def test_plugin_file_is_told_with_its_revision(tmp_path: Path, tiny: list[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from ganbench import register\nfrom ganbench.gan.losses import hinge\n\n"
        "@register('loss')\ndef my_own(real_logits, fake_logits):\n    return hinge(real_logits, fake_logits)\n"
    )
    study = ganbench.run(None, [*tiny, "loss=my_own"], plugins=[file], out=tmp_path / "s", workers=1)
    shown = settings.environment(Context(study))["plugin_revisions"]
    assert shown == f"{file} (in no repository)"
    page = study.report().read_text()
    assert f"plugin revisions<td class=wrap>{shown}" in page
    assert f"plugin revisions {file}" in (study.path / "report.md").read_text()
