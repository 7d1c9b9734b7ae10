"""What several tests hold of two studies: the same numbers, however they came about."""

from collections.abc import Sequence

import pandas as pd

from ganbench.results.study import Study

TIMES = ("seconds", "seconds_per_step")
"""Columns that are of the machine and not of the run."""


def equal(first: Study, second: Study, apart: Sequence[str] = ()) -> None:
    """Assert that two studies hold the same tables, samples and oracle, bit for bit; times, and `apart`, left out."""
    for table in ("series", "runs"):
        one, other = (
            getattr(study, table).drop(columns=[*TIMES, *apart], errors="ignore") for study in (first, second)
        )
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    for run in first.runs["run"]:
        mine, theirs = first.samples(run), second.samples(run)
        assert mine.keys() == theirs.keys()
        assert all((mine[step] == theirs[step]).all() for step in mine)
    assert first.oracle == second.oracle
