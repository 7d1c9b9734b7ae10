"""What a loop's probes have measured, as arrays for verdicts and as the table that users read."""

import numpy as np
import pandas as pd

from ganbench.monitor.probes import Probes


def test_columns_may_come_and_go_and_a_step_that_is_taken_again_counts_once():
    probes = Probes()
    assert probes.arrays() == {}
    assert probes.table().empty
    rows = [{"step": 0, "a": 1.0}, {"step": 10, "b": 2.0}, {"step": 20, "a": 3.0, "c": float("nan")}]
    for row in [*rows[:2], {"step": 20, "a": 9.0, "d": 9.0}, {"step": 30, "a": 9.0}, rows[2]]:
        probes.append(row)
    found = probes.arrays()
    assert found.keys() == {"step", "a", "b"}, "of the others there is no value"
    np.testing.assert_array_equal(found["step"], [0, 10, 20])
    np.testing.assert_array_equal(found["a"], [1, np.nan, 3])
    np.testing.assert_array_equal(found["b"], [np.nan, 2, np.nan])
    pd.testing.assert_frame_equal(probes.table()[["step", "a", "b", "c"]], pd.DataFrame(rows))
