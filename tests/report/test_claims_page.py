"""The page Claims: its rows, that they lead to their runs, and that it is left out where nothing is on trial."""

from dataclasses import replace
from typing import Any

import pytest

from ganbench.claims import Claim, Pairs
from ganbench.report import summary
from ganbench.report.build import build
from ganbench.report.claims import claims_page, p_value, signed
from ganbench.report.context import Context


def on_trial(fake: Any, tmp_path: Any, **changes: Any) -> Any:
    """Hinge converges, minimax collapses late, with eight seeds each; two claims about it."""
    fates = [
        ({"loss": loss, "seed": seed}, "converged" if loss == "hinge" else "late collapse")
        for loss in ("hinge", "minimax")
        for seed in range(8)
    ]
    study = fake.study_of(fates, tmp_path, axes=["loss"])
    hinge, minimax = study.runs.drop_duplicates("variant")["variant"]
    one = Claim(
        name="hinge_survives", says="Hinge <b>survives</b> more often.", source="Lim 2017", treatment="loss hinge",
        control="loss minimax", measure="survived", of="", reaches=0.0, log=False, expected="higher", margin=0.1,
        number=None, published="9 of 10", explained="on images", pairs=(Pairs((hinge,), (minimax,)),),
    )  # fmt: skip
    two = replace(one, name="all_modes", says="It has all modes.", measure="final", of="modes_covered", number=4.0,
                  control="", expected="same", margin=1.0, pairs=(Pairs((hinge,)),), published="")  # fmt: skip
    study.claims = [replace(one, **changes), two]
    return study


@pytest.fixture
def page(fake: Any, tmp_path: Any) -> Any:
    return claims_page(Context(on_trial(fake, tmp_path)))


def test_a_row_says_what_was_compared_and_what_came_out(page: Any) -> None:
    one, two = page["rows"]
    assert (one["verdict"], one["slug"], one["effect"]) == ("supported", "supported", "+1")
    assert (one["treated"], one["controlled"], one["expected"]) == ("1", "0", "higher, by 0.1 or more")
    assert (one["published"], one["explained"]) == ("9 of 10", "on images")
    assert [label for _, label in one["variants"]] == ["hinge", "minimax"]
    assert one["command"] == "ganbench run suite=stability seeds=5 claims=hinge_survives"
    # eight pairs of one kind, and two claims
    assert (one["alone"], one["p"]) == (".008", ".016")
    assert (two["verdict"], two["treated"], two["control"]) == ("refuted", "8", "4")
    assert page["counts"] == [("supported", "supported", 1), ("refuted", "refuted", 1), ("not decided", "undecided", 0)]


def test_the_report_has_the_page_and_its_findings_say_so(fake: Any, tmp_path: Any) -> None:
    text = build(on_trial(fake, tmp_path), tmp_path / "report.html").read_text()
    section = text[text.index("id=claims>") : text.index("id=grid>")]
    assert "Hinge &lt;b&gt;survives&lt;/b&gt; more often." in section
    assert section.count("href=#v-") == 3
    assert "Claims on trial, 2: 1 supported (hinge_survives); 1 refuted (all_modes); 0 not decided." in text.replace(
        "<b>", ""
    ).replace("</b>", "")


def test_the_summary_has_a_table_of_claims(fake: Any, tmp_path: Any) -> None:
    text = summary.summary(Context(on_trial(fake, tmp_path)))
    rows = [line for line in text.splitlines() if line.startswith("|") and "Lim 2017" in line]
    assert len(rows) == 2
    assert rows[0].startswith(
        "| Hinge \\<b\\>survives\\</b\\> more often. (Lim 2017) | 9 of 10 | share of runs that survive"
    )
    assert "loss hinge 1, loss minimax 0 | +1 (" in rows[0]
    assert "| .016 | **supported**: an effect" in rows[0]
    assert "loss hinge 8, 4 | +4 (" in rows[1]


def test_without_claims_there_is_no_page(fake: Any, tmp_path: Any) -> None:
    study = on_trial(fake, tmp_path)
    study.claims = []
    assert claims_page(Context(study)) is None
    assert "id=claims>" not in build(study, tmp_path / "report.html").read_text()
    assert "on trial" not in summary.summary(Context(study))


def test_a_claim_about_nothing_that_has_run_is_told_as_open(fake: Any, tmp_path: Any) -> None:
    row = claims_page(Context(on_trial(fake, tmp_path, pairs=(Pairs(("gone",)),))))["rows"][0]  # type: ignore[index]
    assert (row["verdict"], row["effect"], row["interval"], row["p"]) == ("not decided", "\u2013", "\u2013", "1.000")


def test_numbers_as_they_are_written() -> None:
    assert [p_value(p) for p in (1.0, 0.05, 0.0009)] == ["1.000", ".050", "<.001"]
    assert [signed(value) for value in (0.5, -0.25, 0.0)] == ["+0.5", "-0.25", "0"]
