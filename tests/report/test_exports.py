"""Results as files: the same rows in every format, and values that follow from the series."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ganbench import api, cli
from ganbench.analysis.findings import sentences
from ganbench.analysis.ranking import rank
from ganbench.errors import UserError
from ganbench.report import exports, settings
from ganbench.report.context import Context

SCORES = ("final", "best", "worst_after_best")


def strict(text: str) -> Any:
    """Parse JSON that may not hold NaN or Infinity, which Python would let pass."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def study(fake: Any, tmp_path: Path) -> Any:
    fates = [
        ({"seed": 0}, "converged"),
        ({"seed": 1}, "late collapse"),
        ({"seed": 2}, "diverged"),
        ({"seed": 3, "reason": 'two lines\nand "quotes", commas'}, "failed"),
        ({"seed": 4}, "pending"),
        ({"loss": "minimax", "seed": None, "reason": "no such pair"}, "skipped"),
        ({"problem": "digits", "seed": 0}, "converged"),
    ]
    return fake.study_of(fates, tmp_path / "study")


@pytest.fixture
def no_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    # pandas uses pyarrow where it is installed, so it cannot be taken away from under it
    monkeypatch.setattr(exports, "has_parquet", lambda: False)


def test_csv_has_a_row_a_run_and_its_scores_follow_from_the_series(study: Any, tmp_path: Path) -> None:
    exports.export(study, tmp_path, ["csv"])
    rows = pd.read_csv(tmp_path / "results.csv")
    assert rows["run"].tolist() == study.runs["run"].tolist()
    assert rows["status"].tolist() == ["done", "done", "diverged", "failed", "pending", "skipped", "done"]
    assert rows["verdict"].fillna("").tolist() == [
        "converged",
        "late collapse",
        "diverged",
        "failed",
        "",
        "",
        "converged",
    ]
    assert rows["failed"].fillna("").tolist() == [False, True, True, True, "", "", False]
    assert rows["reason"][3] == 'two lines\nand "quotes", commas'
    assert rows["normalization"].tolist() == ["none"] * 7, "pandas must not take the word for a missing value"
    assert rows["seconds"][:3].tolist() == [4.0, 5.0, 6.0]
    assert rows["evidence"].str.startswith("8 of 8 modes covered")[0]
    assert rows["diverged_step"].dropna().tolist() == [study.runs["diverged_step"][2]]
    for place in (0, 1):
        series = study.series[(study.series["run"] == rows["run"][place]) & (study.series["step"] > 0)]
        for name, better in (("high_quality", np.argmax), ("frechet", np.argmin)):
            values = series[name].to_numpy()
            best = better(values)
            worst = values[best:].min() if better is np.argmax else values[best:].max()
            # older pandas reads a number to its last bit but one
            scores = [rows[f"{name}_{score}"][place] for score in SCORES]
            assert scores == pytest.approx([values[-1], values[best], worst], rel=1e-14)


def test_what_a_run_without_an_end_scores_is_the_bad_end(study: Any, tmp_path: Path) -> None:
    exports.export(study, tmp_path, ["csv", "json"])
    rows, runs = pd.read_csv(tmp_path / "results.csv"), strict((tmp_path / "results.json").read_text())["runs"]
    for place in (2, 3):
        assert rows["high_quality_final"][place] == runs[place]["high_quality_final"] == 0
        assert rows["frechet_final"][place] == np.inf
        assert runs[place]["frechet_final"] is None
    # not measured there: waiting, skipped, or another problem's
    assert rows["frechet_final"].isna().tolist() == [False, False, False, False, True, True, False]
    assert runs[4]["high_quality_final"] is runs[5]["seed"] is runs[6]["high_quality_final"] is None
    assert rows["confident_final"].notna().tolist() == [False] * 6 + [True]


def test_json_tells_the_same_with_ranking_findings_and_provenance(study: Any, tmp_path: Path) -> None:
    study.provenance["odd"] = {"inf": float("inf"), "array": np.array([1.0, np.nan]), 3: Path("x")}
    exports.export(study, tmp_path, ["csv", "json"])
    content = strict((tmp_path / "results.json").read_text(encoding="utf-8"))
    rows = pd.read_csv(tmp_path / "results.csv")
    assert list(content) == [
        "schema", "name", "description", "mixed", "findings", "ranking", "settings", "runs", "measures", "oracle",
        "provenance",
    ]  # fmt: skip
    assert content["schema"] == 1
    assert content["findings"] == sentences(study)
    assert [row["label"] for row in content["ranking"]] == rank(study)["label"].tolist()
    # finished on the ring: converged, late collapse, diverged, failed
    assert [(row["failures"], row["seeds"]) for row in content["ranking"]] == [(3, 4), (0, 1)]
    once = list(settings.ENVIRONMENT)
    assert list(rows.columns)[-len(once) :] == once
    assert [list(row) for row in content["runs"]] == [list(rows.columns)[: -len(once)]] * 7
    for name in ("run", "label", "verdict", "evidence", "onset", "modes_covered_worst_after_best"):
        told = [None if pd.isna(value) else value for value in rows[name]]
        assert [row[name] for row in content["runs"]] == told
    assert content["oracle"]["ring8"]["high_quality"] == 0.989
    assert content["measures"]["frechet"]["direction"] == "down"
    assert content["measures"]["frechet"]["bounds"] == [0.0, None]
    assert content["provenance"]["odd"] == {"inf": None, "array": [1.0, None], "3": "x"}


@pytest.mark.parametrize("fate", ["pending", "skipped", "failed"])
def test_a_study_without_probes_exports_its_runs(fake: Any, tmp_path: Path, fate: str) -> None:
    study = fake.study_of([({"seed": None if fate == "skipped" else 0, "reason": "why"}, fate)], tmp_path)
    exports.export(study, tmp_path, ["csv", "json"])
    content = strict((tmp_path / "results.json").read_text())
    assert (
        [row["status"] for row in content["runs"]] == [fate] == pd.read_csv(tmp_path / "results.csv")["status"].tolist()
    )
    assert len(content["ranking"]) == (fate == "failed")


def test_the_same_study_gives_the_same_bytes(study: Any, tmp_path: Path) -> None:
    first, second = exports.export(study, tmp_path / "a"), exports.export(study, tmp_path / "b")
    assert len(first) >= 2
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


@pytest.mark.usefixtures("no_pyarrow")
def test_parquet_is_left_out_without_pyarrow_and_refused_where_asked_for(study: Any, tmp_path: Path) -> None:
    assert exports.export(study, tmp_path) == [tmp_path / "results.csv", tmp_path / "results.json"]
    with pytest.raises(UserError) as caught:
        exports.export(study, tmp_path / "new", ["csv", "parquet"])
    assert str(caught.value) == "Parquet files need pyarrow: pip install 'ganbench[parquet]'."
    assert not (tmp_path / "new").exists()


def test_pyarrow_that_cannot_be_imported_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        assert not exports.has_parquet()
        assert exports.check_formats() == ["csv", "json"]
        patch.setitem(sys.modules, "pyarrow", sys)
        assert exports.has_parquet()
        assert list(exports.check_formats()) == ["csv", "json", "parquet"]


def test_parquet_holds_the_same_runs_and_every_probe(study: Any, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    study.runs["optimizer.adam.betas"] = [[0.5, 0.9], 0.3, "fast", None, None, 1, 2]
    names = ["results.csv", "results.json", "results.parquet", "series.parquet"]
    assert exports.export(study, tmp_path) == [tmp_path / name for name in names]
    rows, csv = pd.read_parquet(tmp_path / "results.parquet"), pd.read_csv(tmp_path / "results.csv")
    assert rows.columns.tolist() == csv.columns.tolist()
    assert rows["optimizer.adam.betas"].fillna("").tolist() == ["[0.5, 0.9]", "0.3", "fast", "", "", "1", "2"]
    numbers = csv.filter(regex="_(final|best|worst_after_best)$")
    assert numbers.shape[1] > 20
    pd.testing.assert_frame_equal(rows[numbers.columns], numbers)
    series = pd.read_parquet(tmp_path / "series.parquet")
    pd.testing.assert_frame_equal(series, study.series, check_dtype=False)


def test_however_many_settings_there_are_nothing_is_said_of_how_the_table_is_made(
    study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    # pandas warns where a column is added to a hundred others that came one by one
    many = pd.concat([pd.Series(0.5, study.runs["variant"].unique(), name=f"key_{n}") for n in range(150)], axis=1)
    monkeypatch.setattr(settings, "others", lambda context: many.map(str).astype(object))
    exports.export(study, tmp_path, ["csv"])
    assert [str(one.message) for one in recwarn if issubclass(one.category, pd.errors.PerformanceWarning)] == []
    rows = pd.read_csv(tmp_path / "results.csv")
    assert set(rows["key_0"]) == set(rows["key_149"]) == {0.5}
    assert set(rows.columns) >= set(settings.ENVIRONMENT)
    assert rows["run"].tolist() == study.runs["run"].tolist()


def test_a_context_that_exists_is_used(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(study)
    monkeypatch.setattr(exports, "Context", None)
    assert exports.export(study, tmp_path, ["csv"], context=context) == [tmp_path / "results.csv"]


# ------------------------------------------------------------------------------------------ the command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ganbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def trained(tiny: list[str], tmp_path: Path) -> Path:
    return api.run(overrides=tiny, out=tmp_path / "study", workers=1).path


def names(folder: Path) -> set[str]:
    kept = {"lock", "plan.yaml", "sessions.jsonl", "environments.jsonl"}
    return {file.name for file in folder.iterdir() if file.is_file()} - kept


@pytest.mark.usefixtures("no_pyarrow", "trained")
def test_export_writes_into_the_study_or_elsewhere(command: Any, tmp_path: Path) -> None:
    code, out, err = command("export", "study")
    assert (code, out) == (0, "Wrote study/results.csv\nWrote study/results.json\n")
    assert err == "Left out: Parquet files need pyarrow: pip install 'ganbench[parquet]'.\n"
    assert names(tmp_path / "study") == {"results.csv", "results.json"}
    assert command("export", "study", "--out", "a/b", "--format", "json") == (0, "Wrote a/b/results.json\n", "")
    assert (tmp_path / "a/b/results.json").read_bytes() == (tmp_path / "study/results.json").read_bytes()
    rows = pd.read_csv(tmp_path / "study" / "results.csv")
    assert rows["verdict"].tolist() == ["never learned"] * 2, "20 steps teach nobody anything"


@pytest.mark.usefixtures("no_pyarrow", "trained")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["study", "--format", "csv,jsn"], "Unknown format 'jsn'. Did you mean 'json'? Available: csv, json, parquet."),
        (["study", "--format", "csv,"], "Unknown format ''. Available: csv, json, parquet."),
        (["study", "--format", "parquet"], "Parquet files need pyarrow: pip install 'ganbench[parquet]'."),
        (["study", "--out", "file"], "Cannot write to 'file': File exists."),
        (["study", "--out", "file/under"], "Cannot write to 'file/under': Not a directory."),
        (["no"], "There is no study in 'no' (no plan.yaml)."),
    ],
)
def test_mistakes_are_one_sentence(command: Any, tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = command("export", *arguments)
    assert (code, out, err) == (2, "", f"Error: {told}\n")
    assert names(tmp_path / "study") == set()


def test_the_report_brings_its_files(trained: Path, tmp_path: Path) -> None:
    study = api.load(trained)
    study.report()
    assert {"report.html", "report.md", "results.csv", "results.json"} <= names(trained)
    study.report(tmp_path / "elsewhere" / "page.html")
    assert {"page.html", "report.md", "results.csv", "results.json"} <= names(tmp_path / "elsewhere")
    assert (trained / "report.md").read_text().startswith("# custom\n\n**2 of 2 runs finished, 2 of them are failures;")
