"""The documented table of exit codes is the one that the commands use."""

import re
from pathlib import Path

from ganbench.analysis.outcome import EXIT_CODES
from ganbench.errors import Exit, UserError
from ganbench.results.baseline import IncompatibleBaselineError

DOCS = Path(__file__).parents[1] / "docs" / "exit-codes.md"


def test_documented_codes_are_those_of_the_program():
    rows = re.findall(r"^\| (\d+) \| `([A-Z]+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: int(code) for code, name in rows} == {code.name: code.value for code in Exit}
    assert len(rows) == len(Exit)


def test_every_row_says_something_of_a_command():
    for row in re.findall(r"^\| \d+ \|.*$", DOCS.read_text(encoding="utf-8"), re.MULTILINE):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 6
        assert any(cells[2:]), row


def test_verdicts_of_a_check_and_errors_have_the_codes_of_the_table():
    expected = {
        "pass": Exit.OK, "regressed": Exit.REGRESSED, "inconclusive": Exit.INCONCLUSIVE, "failed": Exit.FAILED
    }  # fmt: skip
    assert expected == EXIT_CODES
    assert (UserError.exit_code, IncompatibleBaselineError.exit_code) == (Exit.USAGE, Exit.INCOMPATIBLE)
