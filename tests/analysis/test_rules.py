"""The rules at their borders, on series of a few probes whose verdict is worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ganbench.analysis.verdicts import judge_series, limit, view
from ganbench.analysis.verdicts.case import Case, _missed_by_chance

GOOD, BAD = 0.99, 0.3
BALLS = ("precision", "coverage", "recall")
VIEWS = [view(dict.fromkeys(names, 1.0)) for names in (
    ("high_quality", "modes_covered", "label_fidelity", *BALLS), ("classes_covered", "class_fidelity", *BALLS), BALLS,
    ("nearness",),
)]  # fmt: skip
"""How mixtures, images with classes, data of which nothing is known, and games are judged."""


def verdicts(columns, oracle=None, modes=None, every=10):
    """Every verdict with its onset for columns of a probe each `every` steps."""
    series = pd.DataFrame(columns)
    series.insert(0, "step", np.arange(len(series)) * every)
    oracle = {"high_quality": 0.99, "nearness": 0.99} if oracle is None else oracle
    return [(v.verdict, v.onset) for v in judge_series(series, oracle, modes)]


def judged(columns, oracle=None, modes=None):
    return [name for name, _ in verdicts(columns, oracle, modes)]


def held(sets, modes, quality=0.95):
    """Columns of a generator that holds these modes (letters) at each probe, equally."""
    rows = []
    for names in sets:
        good = quality if names else 0.0
        shares = {f"mode_share.{k}": good / len(names) * (chr(97 + k) in names) if names else 0.0 for k in range(modes)}
        rows.append({"high_quality": good, "modes_covered": len(names), **shares})
    return pd.DataFrame(rows)


def equal(modes, quality=0.99):
    return {"high_quality": quality, "modes_covered": float(modes), "mode_kl": (modes - 1) / 2000} | {
        f"mode_share.{k}": quality / modes for k in range(modes)
    }


# ------------------------------------------------------------------------------------------ labels


@pytest.mark.parametrize(
    ("modes", "fidelity", "found"),
    [
        # chance is an eighth, and what a perfect sampler has beyond it seven of them
        (8, 0.125 + 0.7501 * 0.875, ["converged"]),
        (8, 0.125 + 0.7499 * 0.875, ["unconverged"]),
        (8, 0.125 + 0.2501 * 0.875, ["unconverged"]),
        (8, 0.125 + 0.2499 * 0.875, ["ignoring labels"]),
        (8, 0.0, ["ignoring labels"]),
        # with half of the modes no more than half of the labels can be followed
        (4, 0.125 + 0.2501 * 0.375, ["dropping modes"]),
        (4, 0.125 + 0.2499 * 0.375, ["ignoring labels", "dropping modes"]),
        # of a collapse nothing more is said
        (2, 0.125, ["collapsed"]),
    ],
)
def test_how_often_labels_have_to_be_followed(modes, fidelity, found):
    columns = {"high_quality": [0.1, 0.99, 0.99], "modes_covered": [0, modes, modes], "label_fidelity": fidelity}
    assert judged(columns, {"high_quality": 0.99, "label_fidelity": 1.0, "modes_covered": 8}, 8) == found
    # among bad samples nobody can tell
    worse = {**columns, "high_quality": [0.1, 0.99, 0.4]}
    assert "ignoring labels" not in judged(worse, {"high_quality": 0.99, "label_fidelity": 1.0}, 8)


def test_chance_is_what_the_modes_true_shares_make_it():
    shares = [0.7, 0.2, 0.1]
    oracle = {"high_quality": 1.0, "label_fidelity": 1.0} | {f"mode_share.{k}": one for k, one in enumerate(shares)}
    chance = sum(one**2 for one in shares)
    for share, found in ((0.2499, "ignoring labels"), (0.2501, "unconverged")):
        columns = {"high_quality": [1.0] * 3, "modes_covered": 3, "label_fidelity": chance + share * (1 - chance)}
        assert judged(columns, oracle, 3) == [found]
        assert judged({name: columns[name] for name in ("high_quality", "modes_covered")}, oracle, 3) == ["converged"]


# ------------------------------------------------------------------------------------------ vanished


@pytest.mark.parametrize(("norms", "since"), [
    ([0.5, 0.5, 0.5, 1e3, 0.4, 0.4], None),  # a later peak is no scale: 0.4 is as large as it ever was at first
    ([0.001, 0.001, 1.0, 1.0, 9e-4, 9e-4], 4),  # the third probe still counts
    ([0.001, 0.001, 0.01, 1.0, 9e-4, 9e-4], None),  # the fourth does not: 9e-4 is a tenth of 0.01
    ([1.0, 0.1, 0.1, 1e-3, 1e-3, 1e-3], None),  # a thousandth is not below a thousandth
    ([1.0, 0.1, 0.1, 0.999e-3, 0.999e-3, 0.999e-3], 3),
    ([1.0, 1.0, 1e-4, 1e-4, 1.0, 1e-4], 5),  # what came back was not gone
])  # fmt: skip
def test_a_gradient_is_gone_against_the_first_three_probes(norms, since):
    found = verdicts({"nearness": [0.1] * 6, "g_gradient_norm": norms})
    assert found == ([("vanished", 10 * since)] if since is not None else []) + [("never learned", 0)]


@pytest.mark.parametrize(("share", "vanished"), [(0.95, True), (0.9499, False)])
def test_saturation_from_its_threshold_on(share, vanished):
    found = judged({"nearness": [0.1] * 4, "saturation": [0.0, share, share, share]})
    assert ("vanished" in found) is vanished


def test_decent_samples_have_no_vanished_gradient():
    columns = {"nearness": [0.0, 0.495, 0.495], "saturation": [1.0] * 3}
    assert "vanished" not in judged(columns)  # exactly half of 0.99
    assert "vanished" in judged({**columns, "nearness": [0.0, 0.494, 0.494]})


# ------------------------------------------------------------------------------------------ movements that go on


def swinging(quiet):
    """Two probes up and two down, twice, from the first probe on, and a quiet end of so many probes."""
    return {"nearness": [0.0, *[GOOD, GOOD, BAD, BAD] * 2, *[GOOD] * (1 + quiet)]}


@pytest.mark.parametrize(("quiet", "goes_on"), [(0, True), (2, True), (3, False)])
def test_swings_are_over_after_a_quiet_longer_than_any_before(quiet, goes_on):
    # moves at probes 3, 5, 7 and 9, two apart; the quiet is what follows the last
    found = verdicts(swinging(quiet))
    assert (("oscillating", 30) in found) is goes_on


def test_three_swings_are_none():
    found = judged({"nearness": [0.0, GOOD, GOOD, BAD, BAD, GOOD, GOOD, BAD, BAD]})
    assert "oscillating" not in found
    assert "oscillating" in judged({"nearness": [0.0, GOOD, GOOD, BAD, BAD, GOOD, GOOD, BAD, BAD, GOOD]})


@pytest.mark.parametrize(("depth", "swings"), [(0.301, True), (0.299, False)])
def test_a_swing_is_three_tenths_of_the_oracle(depth, swings):
    low = GOOD * (1 - depth)
    found = judged({"nearness": [0.0, *[GOOD, low] * 4]})
    assert ("oscillating" in found) is swings


@pytest.mark.parametrize(("rest", "goes_on"), [(2, True), (3, False)])
def test_a_rotation_is_over_after_a_quiet_longer_than_any_before(rest, goes_on):
    # two probes a set: the last move is two probes after the one before
    sets = ["", *["ab"] * 2, *["cd"] * 2, *["ef"] * 2, *["gh"] * (1 + rest)]
    found = verdicts(held(sets, 8), equal(8), 8)
    assert (("rotating", 10) in found) is goes_on


def test_two_moves_are_no_rotation_and_three_are():
    assert "rotating" not in judged(held(["", "ab", "cd", "ef"], 8), equal(8), 8)
    assert "rotating" in judged(held(["", "ab", "cd", "ef", "gh"], 8), equal(8), 8)


@pytest.mark.parametrize(("share", "moves"), [(0.36, True), (0.34, False)])
def test_a_move_is_thirty_five_hundredths_of_the_samples(share, moves):
    # c comes and goes with this share beside the modes a and b, then d, e and f do
    table = held(["", "ab", "ab", "ab", "ab", "ab"], 8, quality=0.96)
    for place, other in enumerate("cdefg"):
        table.loc[1 + place, "mode_share.0"] = table.loc[1 + place, "mode_share.1"] = 0.96 * (1 - share) / 2
        table.loc[1 + place, f"mode_share.{ord(other) - 97}"] = 0.96 * share
    table.loc[1:, "modes_covered"] = 3
    assert ("rotating" in judged(table, equal(8, 0.96), 8)) is moves


# ------------------------------------------------------------------------------------------ few modes


@pytest.mark.parametrize(("modes", "covered", "verdict"), [
    (1, 1, "converged"), (2, 1, "collapsed"), (2, 2, "converged"), (3, 1, "collapsed"), (3, 2, "dropping modes"),
    (4, 1, "collapsed"), (4, 2, "dropping modes"), (7, 1, "collapsed"), (7, 2, "dropping modes"),
    (8, 2, "collapsed"), (12, 3, "collapsed"), (12, 4, "dropping modes"),
])  # fmt: skip
def test_a_quarter_of_any_number_of_modes_and_one_of_fewer_than_four(modes, covered, verdict):
    assert judged({"high_quality": [0.0, 0.95], "modes_covered": [0, covered]}, None, modes) == [verdict]


def test_one_mode_of_one_is_no_collapse_at_any_time():
    table = held(["", "a", "a", "a", "a", "a", "a"], 1)
    assert verdicts(table, equal(1), 1) == [("converged", 10)]


def test_a_number_of_modes_that_is_not_whole_is_rounded_up():
    oracle = {"high_quality": 0.99, "modes_covered": 7.3}
    assert judged({"high_quality": [0.0, 0.95], "modes_covered": [0, 7]}, oracle) == ["dropping modes"]
    assert judged({"high_quality": [0.0, 0.95], "modes_covered": [0, 8]}, oracle) == ["converged"]


# ------------------------------------------------------------------------------------------ diversity and bars


@pytest.mark.parametrize(("recall", "verdict"), [
    (0.46, "converged"), (0.44, "unconverged"), (0.226, "unconverged"), (0.224, "dropping modes"),
    (0.091, "dropping modes"), (0.089, "collapsed"),
])  # fmt: skip
def test_diversity_without_modes(recall, verdict):
    oracle = {"precision": 0.9, "coverage": 0.95, "recall": 0.9}
    columns = {"precision": [0.0, 0.9], "coverage": [0.0, 0.95], "recall": [0.0, recall]}
    assert judged(columns, oracle) == [verdict]
    # the least of recall and coverage counts
    other = {"precision": [0.0, 0.9], "coverage": [0.0, recall / 0.9 * 0.95], "recall": [0.0, 0.9]}
    assert judged(other, oracle) == [verdict]


@pytest.mark.parametrize(("quality", "verdict"), [(0.751, "converged"), (0.749, "unconverged")])
def test_the_bar_of_precision_is_lower(quality, verdict):
    columns = {"precision": [0.0, quality], "coverage": [0.0, 1.0], "recall": [0.0, 1.0]}
    assert judged(columns, {}) == [verdict]


@pytest.mark.parametrize(("nearness", "verdict"), [(0.851, "converged"), (0.849, "unconverged"),
                                                   (0.5, "unconverged"), (0.499, "never learned")])  # fmt: skip
def test_games_are_judged_by_how_near_they_end(nearness, verdict):
    assert judged({"nearness": [0.0, nearness]}, {}) == [verdict]


@pytest.mark.parametrize(("kept", "late"), [(0.5, True), (0.51, False)])
def test_half_of_the_diversity_left_is_a_late_collapse_where_it_is_next_to_nothing(kept, late):
    # without modes: breadth is diversity; a late collapse has at most half left, and at most a quarter to be dropping
    oracle = {"precision": 1.0, "coverage": 1.0, "recall": 1.0}
    start = 0.48
    columns = {"precision": [0.0, 1.0, 1.0], "coverage": [0.0, 1.0, 1.0], "recall": [0.0, start, start * kept]}
    assert "late collapse" not in judged(columns, oracle)  # had never covered three quarters
    columns["recall"] = [0.0, 0.76, 0.24]
    assert verdicts(columns, oracle)[0] == ("late collapse", 20)
    columns["recall"] = [0.0, 0.74, 0.24]
    assert judged(columns, oracle) == ["dropping modes"]


def test_which_measures_make_the_one_score_of_a_run():
    assert [seen.scored for seen in VIEWS] == [
        ("high_quality", "modes_covered", "label_fidelity"), ("precision", "classes_covered", "class_fidelity"),
        ("precision", "recall"), ("nearness",),
    ]  # fmt: skip
    assert view({"high_quality": 1, "modes_covered": 8}).scored == ("high_quality", "modes_covered")
    assert [seen.covered for seen in VIEWS] == ["modes_covered", "classes_covered", "coverage", None]
    assert [seen.bar for seen in VIEWS] == ["quality_bar", "precision_bar", "precision_bar", "quality_bar"]
    assert [(seen.shares, seen.divergence) for seen in VIEWS] == [
        ("mode_share", "mode_kl"), ("class_share", "class_kl"), (None, None), (None, None),
    ]  # fmt: skip
    both = ("coverage", "recall")
    assert [seen.diversity for seen in VIEWS] == [(), both, both, ()]
    assert [seen.narrow for seen in VIEWS] == [("recall",), ("coverage",), both, ()]
    assert {(seen.saturation, seen.gradient) for seen in VIEWS} == {("saturation", "g_gradient_norm")}


# ------------------------------------------------------------------------------------------ chance


@pytest.mark.parametrize(
    ("modes", "samples", "quality"), [(25, 128, 1.0), (25, 64, 0.8), (8, 1000, 1.0), (100, 250, 0.5)]
)
def test_what_may_be_missed_is_a_quantile_of_binomial_misses(modes, samples, quality):
    least = int(np.ceil(0.25 * samples / modes))
    expected = modes * stats.binom.cdf(least - 1, samples, quality / modes)
    allowed = _missed_by_chance((1 / modes,) * modes, samples, quality)
    assert allowed == int(stats.poisson.ppf(0.999, expected))


def case(columns, oracle, modes):
    table = {name: np.asarray(values, dtype=float) for name, values in columns.items()}
    table["step"] = np.arange(len(next(iter(table.values())))) * 10.0
    return Case(table, VIEWS[0], oracle, modes)


def test_the_oracle_tells_the_number_of_samples():
    # (K - 1) / 2N = 24 / 256: 128 samples; with no divergence nothing may be missed
    one = case({"high_quality": [0.0, 1.0], "modes_covered": [0, 25]}, {"mode_kl": 24 / 256, "high_quality": 1.0}, 25)
    expected = [_missed_by_chance((1 / 25,) * 25, 128, quality) for quality in (0.5, 1.0)]
    assert one.missable.tolist() == expected
    assert case({"high_quality": [1.0], "modes_covered": [25]}, {"high_quality": 1.0}, 25).missable.tolist() == [0.0]
    alone = case({"high_quality": [1.0], "modes_covered": [1]}, {"mode_kl": 0.1}, 1)
    assert alone.missable.tolist() == [0.0]


@pytest.mark.parametrize(("row", "complete"), [(4, True), (5, False)])
def test_a_mode_missed_five_times_in_a_row_is_dropped(row, complete):
    oracle = {"high_quality": 0.99, "modes_covered": 24.5, "mode_kl": 24 / 256}
    oracle |= {f"mode_share.{k}": 0.99 / 25 for k in range(25)}
    shares = np.full((12, 25), 0.99 / 25)
    shares[3 : 3 + row, 7] = 0.0
    columns = {f"mode_share.{k}": shares[:, k] for k in range(25)}
    columns |= {"high_quality": [0.99] * 12, "modes_covered": [24.0] * 12}
    flags = case(columns, oracle, 25).complete
    assert flags.tolist() == [not (3 <= place < 3 + row) or complete for place in range(12)]


def test_one_probe_alone_counts_though_training_has_not_begun():
    assert judged({"high_quality": [0.95], "modes_covered": [8]}, None, 8) == ["converged"]
    assert limit("decent") == 0.5
