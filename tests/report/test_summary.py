"""The report in markdown: short, valid tables, nothing that a name could turn into markup."""

from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ganbench.analysis.findings import sentences
from ganbench.errors import UserError
from ganbench.report.context import Context
from ganbench.report.summary import summary, write

EVIL = "<script>alert(1)</script> a|b \\| `c` *d* [e](f) &lt; ~~g~~\nnext"
ONE_LINE = EVIL.replace("\n", " ")


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def shown(token: Token) -> str:
    return "".join(child.content for child in token.children or [])


def tables(text: str) -> list[list[list[str]]]:
    """Return tables, rows and cells as a reader sees them."""
    found: list[list[list[str]]] = []
    cell = False
    for token in parsed(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            cell = True
        elif token.type == "inline" and cell:
            found[-1][-1].append(shown(token))
            cell = False
    return found


def five(fates: list[str], **given: Any) -> list[tuple[dict[str, Any], str]]:
    return [({**given, "seed": seed}, fate) for seed, fate in enumerate(fates)]


def test_a_small_study_line_by_line(fake: Any, tmp_path: Path) -> None:
    fates = [
        *five(["converged"] * 5, loss="hinge"),
        *five(["collapsed"] * 3 + ["diverged", "pending"], loss="minimax"),
        ({"loss": "wasserstein", "seed": None, "reason": "no"}, "skipped"),
    ]
    study = fake.study_of(fates, tmp_path, axes=["loss"])
    text = summary(Context(study))
    lines = text.splitlines()
    assert lines[0] == "# stability"
    assert (
        lines[2] == "**9 of 10 runs finished, 4 of them are failures; 1 of 2 variants survive in all of their seeds.**"
    )
    assert [line[2:] for line in lines if line.startswith("- ")] == sentences(study)
    assert "### ring8: 2 variants" in lines
    (rows,) = tables(text)
    assert rows[0] == [
        "rank", "variant", "failures (95 %)", "verdicts", "modes covered (oracle 8)", "high quality (oracle 0.989)",
    ]  # fmt: skip
    # Wilson: 0 of 5 is 0 to 43.4 %, 4 of 4 is 51.0 to 100 %
    assert rows[1][:5] == ["1", "hinge", "0/5 (0\u201343 %)", "5 converged", "8"]
    assert rows[2][:5] == ["2", "minimax", "4/4 (51\u2013100 %)", "3 collapsed, 1 diverged", "1"]
    assert lines[-3] == "Repeat it: `ganbench run suite=stability seeds=5`"
    assert lines[-1] == "ganbench 0.1.0; torch 2.13.0; device cpu; threads 2; python 3.13"


def test_the_suite_stays_under_sixty_lines_with_eight_variants_a_problem(fake: Any, tmp_path: Path) -> None:
    study = fake.large(tmp_path)
    context = Context(study)
    text = summary(context)
    assert len(text.splitlines()) < 60
    found = tables(text)
    assert len(found) == 3
    for problem, rows in zip(("ring8", "grid25", "digits"), found, strict=True):
        ranking = context.ranking[context.ranking["problem"] == problem]
        expected = [*ranking["label"].head(5), *ranking["label"].tail(3)]
        assert [row[1] for row in rows[1:]] == expected
        assert {len(row) for row in rows} == {6}
        assert f"### {problem}: the first 5 and the last 3 of {len(ranking)} variants" in text


def test_a_name_cannot_become_markup(fake: Any, tmp_path: Path) -> None:
    fates = [*five(["converged"] * 2, loss=EVIL), *five(["collapsed"] * 2, loss="hinge")]
    study = fake.study_of(fates, tmp_path, name=EVIL, axes=["loss"])
    study.provenance["command"], study.provenance["device"] = f"ganbench run 'loss={EVIL}'", EVIL
    text = summary(Context(study))
    assert [row[1] for row in tables(text)[0]] == ["variant", ONE_LINE, "hinge"]
    assert {len(row) for row in tables(text)[0]} == {6}
    tokens = [child for token in parsed(text) for child in (token, *(token.children or []))]
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "em_open", "s_open", "entity"}
    codes = [token.content for token in tokens if token.type == "code_inline"]
    assert codes == [f"ganbench run 'loss={ONE_LINE}'"]
    assert shown(next(token for token in tokens if token.type == "inline")) == ONE_LINE
    assert f"device {ONE_LINE}" in shown([token for token in tokens if token.type == "inline"][-1])


@pytest.mark.parametrize("fate", ["pending", "running", "skipped"])
def test_nothing_finished_yet(fake: Any, tmp_path: Path, fate: str) -> None:
    seeds = [None] if fate == "skipped" else [0, 1]
    study = fake.study_of([({"seed": seed, "reason": "no"}, fate) for seed in seeds], tmp_path)
    study.provenance = {}
    text = summary(Context(study))
    assert tables(text) == []
    assert "No run has finished yet" in text
    assert f"**0 of {2 * int(fate != 'skipped')} runs finished" in text
    assert "Repeat it" not in text


def test_a_problem_without_modes_and_oracle(fake: Any, tmp_path: Path) -> None:
    study = fake.study_of(five(["converged", "collapsed"], problem="user"), tmp_path)
    study.oracle = {}
    (rows,) = tables(summary(Context(study)))
    assert rows[0][4:] == ["coverage", "precision"]
    assert len(rows[1]) == 6


def test_write_says_where_it_cannot(fake: Any, tmp_path: Path) -> None:
    context = Context(fake.study_of(five(["converged"]), tmp_path))
    assert write(context, tmp_path / "new") == tmp_path / "new" / "report.md"
    assert (tmp_path / "new" / "report.md").read_text(encoding="utf-8") == summary(context)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^Cannot write to '.*file': File exists\.$"):
        write(context, tmp_path / "file")
