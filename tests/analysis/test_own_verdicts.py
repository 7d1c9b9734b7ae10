"""A verdict of a user's own is one file: found wherever verdicts are told, gone where it is not loaded."""

import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganbench import api, cli, contracts, registry, zoo
from ganbench.analysis.calibration import calibrate, confusion
from ganbench.analysis.ranking import rank
from ganbench.analysis.scripted import SCRIPTS, SampleLaw, Script, every_script, script_name
from ganbench.analysis.verdicts import (
    FAILURES,
    ORDER,
    REMEDIES,
    SYMBOLS,
    THRESHOLDS,
    VERDICTS,
    Held,
    Rule,
    ask,
    ended,
    judge,
    judge_series,
    limit,
    rules,
)
from ganbench.errors import UserError
from ganbench.monitor.checks import verdict_names
from ganbench.registry import Remedy, Threshold, register
from ganbench.report import build, sections
from ganbench.suite import resolve

pytestmark = pytest.mark.usefixtures("own_registry")

DOCS = Path(__file__).parents[2] / "docs" / "verdicts.md"
NAME, MEANING = "slow starter", "is good at the end, but needed more than half of training for it"
TOO_SHORT = '''
from ganbench import register
from ganbench.analysis.verdicts import Held
from ganbench.registry import Remedy


@register("verdict", acts_on="run", failure=True, rank=5, symbol="Z", evidence=lambda ended, held: "20 steps only.",
          remedy=Remedy("Train for <i>longer</i>.", "nobody 2026"))
def cut_short(ended):
    """Was trained for too short a time."""
    return Held(0)
'''


@pytest.fixture
def slow_starter(tmp_path):
    """The file of the example in the docs."""
    file = tmp_path / "slow_starter.py"
    file.write_text(re.search(r"```python\n(# slow_starter\.py.*?)```", DOCS.read_text(encoding="utf-8"), re.S)[1])
    return file


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ganbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return left.value.code or 0, printed.out, printed.err

    return run


def learning(at, probes=10):
    """A game that is at its equilibrium from probe number `at` on."""
    return pd.DataFrame({"step": np.arange(probes) * 100, "nearness": np.where(np.arange(probes) >= at, 0.99, 0.3)})


# ------------------------------------------------------------------------------------------ everywhere


def test_the_tables_follow_the_registry(slow_starter, own_registry):
    shipped = [list(table) for table in (VERDICTS, FAILURES, ORDER, SYMBOLS, REMEDIES, THRESHOLDS)]
    registry.load_file(slow_starter)
    assert VERDICTS[NAME] == MEANING
    assert list(VERDICTS) == [*shipped[0][:5], NAME, *shipped[0][5:]], "before the failures"
    assert NAME not in FAILURES
    assert list(ORDER).index(NAME) == list(ORDER).index("too tight") - 1
    assert (SYMBOLS[NAME], REMEDIES[NAME].text) == ("S", "Raise both learning rates.")
    assert (THRESHOLDS["late"].value, limit("late")) == (0.5, 0.5)
    del own_registry.plugins["verdict", "slow_starter"]
    assert [list(table) for table in (VERDICTS, FAILURES, ORDER, SYMBOLS, REMEDIES, THRESHOLDS)] == shipped


def test_it_is_listed_shown_and_in_the_docs_tables(slow_starter, command):
    code, listed, _ = command("list", "verdict", "--plugin", slow_starter)
    assert code == 0
    assert re.search(r"slow_starter +Is good at the end, but needed more than half of training for it\.", listed)
    code, shown, _ = command("show", "verdict", "slow_starter", "--plugin", slow_starter)
    assert code == 0
    assert shown.startswith("verdict slow_starter  Is good at the end")
    for line in ("failure: False", "rank: 95", "symbol: S", "remedy: Raise both learning rates.",
                 "threshold late = 0.5: of training: learning that takes longer is slow"):  # fmt: skip
        assert f"  {line}\n" in shown
    tables = zoo.verdict_tables()
    assert f"| {NAME} | S | {MEANING} | no |  |" in tables["verdicts"]
    assert f"degraded, {NAME}, too tight" in tables["verdicts"]
    assert f"| {NAME} | Raise both learning rates. |  |" in tables["remedies"]
    assert f"| late | 0.5 | of training: learning that takes longer is slow | {NAME} |" in tables["thresholds"]


@pytest.mark.parametrize(("at", "names"), [(4, ["converged"]), (6, [NAME, "converged"]), (10, ["never learned"])])
def test_it_judges_beside_the_others(slow_starter, at, names):
    registry.load_file(slow_starter)
    found = judge_series(learning(at), {"nearness": 0.99})
    assert [verdict.verdict for verdict in found] == names
    if NAME in names:
        assert (found[0].onset, found[0].failed) == (600, False)
        assert found[0].evidence == "Good for the first time at step 600, of 900."


def test_it_is_in_the_ranking_and_the_report(slow_starter, fake, tmp_path):
    fates = [({"seed": seed, "onset": onset}, "converged") for seed, onset in enumerate((1, 30))]
    before = build(fake.study_of(fates, tmp_path)).read_text(encoding="utf-8")
    assert NAME not in before
    registry.load_file(slow_starter)
    study = fake.study_of(fates, tmp_path)
    assert judge(study)[["verdict", "also"]].to_numpy().tolist()[1][0] == NAME
    assert rank(study)[[NAME, "converged", "failures"]].to_numpy().tolist() == [[1, 1, 0]]
    page = build(study).read_text(encoding="utf-8")
    assert '<span class="chip slow-starter">S</span>' in page
    for told in (f"<td>{MEANING}<", "<td>Raise both learning rates.<", "learning that takes longer is slow"):
        assert told in page
    assert "verdict of yours" in page
    assert f"{NAME}, {slow_starter}" in page
    assert sections.rules()[5]["slug"] == "slow-starter"


def test_a_monitor_stops_on_it(slow_starter):
    with pytest.raises(UserError, match=f"Unknown verdict in 'stop_on' '{NAME}'"):
        verdict_names({NAME})
    registry.load_file(slow_starter)
    assert verdict_names({NAME}) == {NAME}


def test_plans_know_nothing_of_it(slow_starter):
    before = resolve(None, [])
    registry.load_file(slow_starter)
    after = resolve(None, [])
    assert (after.hash, after.versions) == (before.hash, before.versions)
    assert not [key for key in after.versions if key.startswith("verdict")]
    with pytest.raises(UserError, match=r"'verdict.slow_starter.late' cannot be set: a verdict is the same"):
        resolve(None, ["verdict.slow_starter.late=0.4"])


def test_report_export_and_check_take_it_and_say_so(command, tiny, tmp_path):
    study, baseline, file = tmp_path / "study", tmp_path / "baseline.json", tmp_path / "cut_short.py"
    file.write_text(TOO_SHORT)
    api.run(None, tiny, out=study, workers=1)
    assert command("baseline", study, "--out", baseline)[0] == 0
    code, out, _ = command("check", study, "--baseline", baseline, "--canary")
    assert code == 0
    assert "cut short" not in out
    assert set(api.load(study).runs["verdict"]) == {"never learned"}
    assert command("report", study, "--plugin", file)[0] == 0
    page = (study / "report.html").read_text(encoding="utf-8")
    assert "Train for &lt;i&gt;longer&lt;/i&gt;." in page
    assert f"cut short, {file}" in page
    assert "verdict of yours cut short" in (study / "report.md").read_text(encoding="utf-8")
    assert command("export", study, "--format", "csv", "--plugin", file)[0] == 0
    assert set(pd.read_csv(study / "results.csv")["verdict"]) == {"cut short"}
    _, out, _ = command("check", study, "--baseline", baseline, "--canary", "--plugin", file)
    assert f"note: The verdict 'cut short' is of {file}." in out


# ------------------------------------------------------------------------------------------ its laws and scripts


def test_the_docs_example_keeps_its_laws_and_declares_no_script(slow_starter, command):
    code, out, _ = command("verify", slow_starter)
    assert code == 0
    assert "5 kept, 1 not declared" in out


def test_a_script_of_its_own_is_calibrated_with_the_others():
    def late(setting):
        """Strays for most of training, then has everything."""
        at = int(0.8 * setting.probes)
        return Script("learns late", at, setting.then([SampleLaw(stray=1.0)] * at, SampleLaw()))

    @register("verdict", failure=False, rank=95, symbol="S", evidence=lambda case, held: f"Since {held.onset}.",
              scripts=(late,))  # fmt: skip
    def late_bloomer(case):
        """Is good in the last third only."""
        return case.good & (not case.good[: 2 * len(case.good) // 3].any())

    assert every_script() == (*SCRIPTS, late)
    assert not [result for result in contracts.verify(late_bloomer) if result.status != "kept"]
    table = calibrate(("line",), [0], samples=256, scripts=(late, SCRIPTS[0]))
    assert table["right"].tolist() == ["late bloomer", "converged"]
    assert table["correct"].all()
    assert table["late"].tolist()[0] == 0
    assert confusion(table).columns.tolist() == ["converged", "late bloomer"]


def test_a_rule_may_tell_the_step_itself():
    @register("verdict", failure=True, rank=5, symbol="H", evidence=lambda case, held: "Half of the way.",
              remedy=Remedy("None."))  # fmt: skip
    def halfway(case):
        """Is half done."""
        return Held(int(case.steps[len(case.steps) // 2]))

    first, *others = judge_series(learning(0), {"nearness": 0.99})
    assert (first.verdict, first.onset, first.failed) == ("halfway", 500, True)
    assert not others, "what is no failure is asked only where no failure holds"


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_flags_hold_where_the_last_does_since_the_first_of_that_row(flags):
    def own(case):
        """Holds as drawn."""
        return np.array(flags)

    declared = {"failure": True, "rank": 5, "symbol": "W", "evidence": lambda case, held: "As drawn."}
    rule = Rule(registry._plugin("verdict", own, {}, frozenset(), declared))
    verdict = ask(rule, ended(learning(0, len(flags)), {"nearness": 0.99}))
    row = len(list(itertools.takewhile(bool, reversed(flags))))
    assert (verdict.onset if verdict else None) == (100 * (len(flags) - row) if row else None)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda case: case.columns["quality"], "The verdict 'own' raised KeyError: 'quality'"),
        (lambda case: case.limit("decnt"), "Unknown threshold of a verdict 'decnt'. Did you mean 'decent'?"),
        (lambda case: True, "The verdict 'own' answers True, not a flag for every probe, a Held or None."),
        (lambda case: case.quality, "not a flag for every probe, a Held or None."),
        (lambda case: case.good[:2], "not a flag for every probe, a Held or None."),
        (lambda case: case.good, "The evidence of the verdict 'own' is no text but 3."),
    ],
)
def test_a_rule_that_is_wrong_is_told_in_a_sentence(tmp_path, answer, told):
    def own(case):
        """Is wrong."""
        return answer(case)

    register("verdict", failure=True, rank=5, symbol="W", evidence=lambda case, held: 3,
             thresholds={"own": Threshold(1, "as good as any")})(own)  # fmt: skip
    with pytest.raises(UserError) as caught:
        judge_series(learning(0), {"nearness": 0.99})
    assert told in str(caught.value)


# ------------------------------------------------------------------------------------------ what is shipped


def test_a_record_holds_all_there_is_to_know():
    scripted = [script for rule in rules() for script in rule.scripts]
    assert sorted(scripted) == sorted(map(script_name, SCRIPTS)), "every script is the truth of one verdict"
    for rule in rules():
        assert rule.remedy or rule.name == "converged"
        assert rule.scripts or rule.name == "failed"
        assert rule.meaning == rule.plugin.legend[0].lower() + rule.plugin.legend[1:-1]
    assert len(set(SYMBOLS.values())) == len({rule.rank for rule in rules()}) == len(VERDICTS) == 17


def test_the_order_in_which_verdicts_count():
    assert list(ORDER) == [
        "failed", "diverged", "vanished", "never learned", "rotating", "oscillating", "late collapse", "collapsed",
        "ignoring labels", "copies", "dropping modes", "degraded", "too tight", "wrong weights", "converged",
        "too short", "unconverged",
    ]  # fmt: skip
    assert list(VERDICTS) == [
        "converged", "wrong weights", "too tight", "too short", "unconverged", "copies", "dropping modes",
        "ignoring labels", "late collapse", "collapsed", "oscillating", "rotating", "degraded", "vanished",
        "never learned", "diverged", "failed",
    ]  # fmt: skip
