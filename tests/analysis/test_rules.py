"""The rules at their borders, on series of a few probes whose verdict is worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ganbench.analysis.verdicts import judge_series, limit, view
from ganbench.analysis.verdicts.case import Case
from ganbench.analysis.verdicts.levels import missed_by_chance
from ganbench.analysis.verdicts.movements import Movement, goes_on, moved, swings, two_sets
from ganbench.errors import UserError

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
    columns = {"nearness": [0.0, 0.6, 0.495], "saturation": [1.0] * 3}
    assert "vanished" not in judged(columns)  # exactly half of 0.99, where it was more
    assert "vanished" in judged({**columns, "nearness": [0.0, 0.6, 0.494]})
    # what comes from below is decent the margin above it
    assert "vanished" not in judged({**columns, "nearness": [0.0, 0.551 * 0.99, 0.551 * 0.99]})
    assert "vanished" in judged({**columns, "nearness": [0.0, 0.549 * 0.99, 0.549 * 0.99]})


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
    other = {"precision": [0.0, 0.9], "coverage": [0.0, recall / 0.9 * 0.95], "recall": [0.0, 0.9]}
    assert judged(other, oracle) == [verdict]
    # the least of recall and coverage counts; but what covers all of the data has not collapsed
    columns = {"precision": [0.0, 0.9], "coverage": [0.0, 0.95], "recall": [0.0, recall]}
    assert judged(columns, oracle) == ["never learned" if recall < 0.09 else verdict]
    assert judged({**columns, "sample_spread": 0.9}, oracle) == ["dropping modes" if recall < 0.09 else verdict]


@pytest.mark.parametrize(("quality", "verdict"), [(0.751, "converged"), (0.749, "unconverged")])
def test_the_bar_of_precision_is_lower(quality, verdict):
    columns = {"precision": [0.0, quality], "coverage": [0.0, 1.0], "recall": [0.0, 1.0]}
    assert judged(columns, {}) == [verdict]


@pytest.mark.parametrize(("nearness", "verdict"), [(0.851, "converged"), (0.849, "unconverged"),
                                                   (0.55, "unconverged"), (0.549, "never learned")])  # fmt: skip
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
    assert [seen.narrow for seen in VIEWS] == [(), ("coverage",), both, ()]
    assert {(seen.saturation, seen.gradient) for seen in VIEWS} == {("saturation", "g_gradient_norm")}


# ------------------------------------------------------------------------------------------ chance


@pytest.mark.parametrize(
    ("modes", "samples", "quality"), [(25, 128, 1.0), (25, 64, 0.8), (8, 1000, 1.0), (100, 250, 0.5)]
)
def test_what_may_be_missed_is_a_quantile_of_binomial_misses(modes, samples, quality):
    least = int(np.ceil(0.25 * samples / modes))
    expected = modes * stats.binom.cdf(least - 1, samples, quality / modes)
    allowed = missed_by_chance((1 / modes,) * modes, samples, quality)
    assert allowed == int(stats.poisson.ppf(0.999, expected))


def case(columns, oracle, modes):
    table = {name: np.asarray(values, dtype=float) for name, values in columns.items()}
    table["step"] = np.arange(len(next(iter(table.values())))) * 10.0
    return Case(table, VIEWS[0], oracle, modes)


def test_the_oracle_tells_the_number_of_samples():
    # (K - 1) / 2N = 24 / 256: 128 samples; with no divergence nothing may be missed
    one = case({"high_quality": [0.0, 1.0], "modes_covered": [0, 25]}, {"mode_kl": 24 / 256, "high_quality": 1.0}, 25)
    expected = [missed_by_chance((1 / 25,) * 25, 128, quality) for quality in (0.5, 1.0)]
    assert one.missable.tolist() == expected
    assert case({"high_quality": [1.0], "modes_covered": [25]}, {"high_quality": 1.0}, 25).missable.tolist() == [0.0]
    alone = case({"high_quality": [1.0], "modes_covered": [1]}, {"mode_kl": 0.1}, 1)
    assert alone.missable.tolist() == [0.0]


@pytest.mark.parametrize(("row", "complete"), [(4, True), (5, False)])
def test_a_mode_missed_five_times_in_a_row_is_dropped(row, complete):
    oracle = {"high_quality": 0.99, "modes_covered": 24.5, "mode_kl": 24 / 256}
    oracle |= {f"mode_share.{k}": 0.99 / 25 for k in range(25)}
    shares = np.full((12, 25), 0.99 / 25)
    shares[12 - row :, 7] = 0.0
    columns = {f"mode_share.{k}": shares[:, k] for k in range(25)}
    columns |= {"high_quality": [0.99] * 12, "modes_covered": [24.0] * 12}
    flags = case(columns, oracle, 25).complete
    assert flags.tolist() == [place < 12 - row or complete for place in range(12)]


def test_one_probe_alone_counts_though_training_has_not_begun():
    assert judged({"high_quality": [0.95], "modes_covered": [8]}, None, 8) == ["converged"]
    assert limit("decent") == 0.5


# ------------------------------------------------------------------------------------------ exactly at a border


def case_of(columns, oracle=None, modes=None, seen=0):
    table = {name: np.asarray(values, dtype=float) for name, values in columns.items()}
    table["step"] = np.arange(len(next(iter(table.values())))) * 10.0
    return Case(table, VIEWS[seen], oracle or {}, modes)


@pytest.mark.parametrize(("columns", "modes", "verdict"), [
    # a quality at its bar is enough, and so is diversity
    ({"nearness": [0.0, 0.85]}, None, "converged"), ({"nearness": [0.0, 0.55]}, None, "unconverged"),
    ({"precision": [0.0, 0.75], "recall": 1.0, "coverage": 1.0}, None, "converged"),
    ({"precision": [0.0, 1.0], "recall": 0.5, "coverage": 1.0}, None, "converged"),
    # a quarter of the diversity is a failure, and a tenth a collapse
    ({"precision": [0.0, 1.0], "recall": 0.25, "coverage": 1.0}, None, "dropping modes"),
    ({"precision": [0.0, 1.0], "recall": 0.1, "coverage": 0.49}, None, "collapsed"),
    # what covers half of the data has not: it is noise amid the data, or misses some of it
    ({"precision": [0.0, 1.0], "recall": 0.1, "coverage": 0.5}, None, "never learned"),
    ({"precision": [0.0, 1.0], "recall": 0.1, "coverage": 0.5, "sample_spread": 0.5}, None, "dropping modes"),
    ({"precision": [0.0, 1.0], "recall": 0.1, "coverage": 0.5, "sample_spread": 0.49}, None, "never learned"),
    ({"precision": [0.0, 1.0], "recall": 1.0, "coverage": 0.1, "classes_covered": 10}, 10, "collapsed"),
    ({"precision": [0.0, 1.0], "recall": 1.0, "coverage": 0.11, "classes_covered": 10}, 10, "unconverged"),
    # of two modes chance has half of the labels right: a quarter and three quarters of the rest
    ({"high_quality": [0.0, 1.0], "modes_covered": 2, "label_fidelity": 0.625}, 2, "ignoring labels"),
    ({"high_quality": [0.0, 1.0], "modes_covered": 2, "label_fidelity": 0.875}, 2, "converged"),
    ({"high_quality": [0.0, 1.0], "modes_covered": 2, "label_fidelity": 0.874}, 2, "unconverged"),
])  # fmt: skip
def test_exactly_at_a_threshold(columns, modes, verdict):
    # what the oracle does not tell is 1
    assert judged(columns, {}, modes) == [verdict]


def test_an_oracle_of_nothing_is_no_divisor():
    one = case_of({"high_quality": [0.0, 0.5], "modes_covered": 1, "label_fidelity": [0.5, 0.5]} | {
        "modes_covered": [1, 1]}, {"high_quality": 0.0}, 2)  # fmt: skip
    assert one.quality.tolist() == [0.0, 0.5]
    # with one of two modes chance is all that an obedient generator has: nobody can tell
    assert one.obedience.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("quality", [[1.0, 0.6, 0.2, 0.6, 0.2], [0.6, 0.6, 0.2, 0.6, 0.2], [0.0, 0.6, 0.2, 0.6, 0.2]])
def test_an_untrained_generator_takes_no_part_in_swings(quality):
    # constant samples have a precision of 1; down, up, down is no oscillation, whatever was before training
    assert "oscillating" not in judged({"nearness": quality}, {})
    assert ("oscillating", 20) in verdicts({"nearness": [*quality, 0.6]}, {})


@pytest.mark.parametrize("untrained", [0, 8])
def test_what_is_covered_swings_from_the_first_decent_samples_on(untrained):
    # a fall, a rise and a fall after the first peak; what noise covers before is no peak
    columns = {"high_quality": [0.1, 0.1, *[0.9] * 5], "modes_covered": [untrained, untrained, 8, 4, 8, 4, 4]}
    assert "oscillating" not in judged(columns, {}, 8)
    more = {"high_quality": [0.1, 0.1, *[0.9] * 5], "modes_covered": [untrained, untrained, 8, 4, 8, 4, 8]}
    assert ("oscillating", 30) in verdicts(more, {}, 8)


def test_of_two_swings_the_earlier_is_told():
    quality, modes = [0.0, *[1.0] * 4, *[0.6, 1.0] * 3], [0, 8, 4, 8, 4, 8, 4, 8, 4, 8, 4]
    movement = case_of({"high_quality": quality, "modes_covered": modes}, {}, 8).swinging()
    assert (movement.start, movement.what, movement.low, movement.high) == (2, "", 0.5, 1.0)
    later = case_of({"high_quality": [0.0, 1.0, *[0.6, 1.0] * 5], "modes_covered": [0, *[8] * 5, *modes[2:8]]}, {}, 8)
    assert later.swinging() == Movement(2, 10, 0.6, 1.0, "high_quality")


@pytest.mark.parametrize(("values", "least", "turns"), [
    ([0, 0.5], 0.5, [1]), ([0.5, 0], 0.5, [1]), ([0, 0.5, 0], 0.5, [1, 2]), ([0.5, 0, 0.5], 0.5, [1, 2]),
    ([0, 0.49, 0], 0.5, []), ([0.5, 0.25, 0.75, 0.25], 0.5, [2, 3]), ([0, 0.25, 0.5, 0.75, 1.0], 0.25, [1]),
    ([1.0, 0.75, 0.5, 0.25, 0.5], 0.25, [1, 4]), ([], 0.5, []), ([0.7], 0.5, []), ([0.7, 0.7], 0.5, []),
])  # fmt: skip
def test_a_swing_is_as_large_as_asked_and_from_the_last_extreme(values, least, turns):
    assert swings(np.array(values, dtype=float), least) == turns


@pytest.mark.parametrize(("moves", "probes", "on"), [
    ([0, 1, 5], 10, True), ([0, 1, 5], 11, False), ([0, 4, 5], 10, True), ([0, 4, 5], 11, False), ([0, 2], 5, True),
])  # fmt: skip
def test_the_longest_quiet_counts(moves, probes, on):
    assert goes_on(moves, probes) is on


def test_moves_of_a_histogram_are_from_the_one_after_the_last_move():
    halves = np.array([[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1]])
    assert moved(halves, 0.25) == [2, 4]
    assert moved(halves, 0.24) == [1, 2, 3, 4]
    assert moved(halves, 1.0) == []


def test_two_sets_are_two_and_as_often_as_asked():
    a, b, near = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.75, 0.0, 0.25]
    assert two_sets(np.array([a, b, a, b]), 0.25, 3)
    assert not two_sets(np.array([a, b, b, a]), 0.25, 3)
    assert two_sets(np.array([b, near, b, a]), 0.25, 3)
    assert not two_sets(np.array([b, near, b, a]), 0.24, 3)
    assert not two_sets(np.array([a, b, a, [0.0, 0.0, 1.0], a, b, a]), 0.25, 3)


def moving(rows, quality=1.0, oracle=None, every=1.0):
    """The movement of a generator with these shares [probes, K] of its samples, after an untrained probe."""
    shares = np.array([np.zeros(len(rows[0])), *rows]) * quality
    columns = {"high_quality": [0.0, *[quality] * len(rows)], "modes_covered": (shares > 0).sum(1)}
    columns |= {f"mode_share.{k}": shares[:, k] for k in range(shares.shape[1])}
    return case_of(columns, oracle, shares.shape[1]).moving


def of_letters(words, modes):
    return [[(chr(97 + k) in word) / len(word) for k in range(modes)] for word in words]


def test_a_mode_is_held_from_a_quarter_of_its_share_on():
    def with_h(share):
        rows = of_letters(["a", "b", "c", "d"], 8)
        return [[value * (1 - share) for value in row[:7]] + [share] for row in rows]

    # with h at every probe two modes of five are too few for a rotation over eight; without it it is one of four
    assert moving(with_h(0.25 / 8)) == (Movement(1, 3, 2.0, 5.0), False)
    assert moving(with_h(0.24 / 8)) == (Movement(1, 3, 1.0, 4.0), False)


@pytest.mark.parametrize(("words", "modes", "found"), [
    # a quarter of eight modes more than any single probe; of ten a quarter is three
    (["abcd", "cdef", "abcd", "cdef"], 8, True), (["abcd", "bcde", "abcd", "bcde"], 8, False),
    (["abcd", "cdef", "abcd", "cdef"], 10, False), (["abcd", "defg", "abcd", "defg"], 10, True),
    # or as many as it holds
    (["a", "b", "a", "b"], 10, True),
])  # fmt: skip
def test_how_many_modes_the_union_has_to_add(words, modes, found):
    known = moving(of_letters(words, modes))
    union = len(set("".join(words)))
    assert known == ((Movement(1, 3, float(len(words[0])), float(union)), True) if found else None)


def test_samples_are_looked_at_from_a_fifth_of_the_quality_on():
    def rotation(quality):
        table = held(["", "abcdefgh", "ab", "cd", "ef", "gh"], 8)
        names = [f"mode_share.{k}" for k in range(8)]
        table.loc[2:, names] *= quality / 0.95
        table.loc[2:, "high_quality"] = quality
        return case_of(dict(table), {}, 8).moving

    assert rotation(0.2) == (Movement(2, 3, 2.0, 8.0), False)
    assert rotation(0.19) is None


def test_what_chance_misses_at_the_worst_probe_is_no_rotation():
    # 12 modes more than the 13 of any probe, of which a perfect sampler of 128 samples misses 5 by chance
    words = ["abcdefghijklm", "mnopqrstuvwxy"] * 3
    oracle = {"high_quality": 1.0, "mode_kl": 24 / 256, "modes_covered": 25.0}
    oracle |= {f"mode_share.{k}": 1 / 25 for k in range(25)}
    shares = np.array([np.zeros(25), *of_letters(words, 25)])

    def found(last):
        quality = np.array([0.0, *[1.0] * 5, last])
        columns = {"high_quality": quality, "modes_covered": (shares > 0).sum(1)}
        columns |= {f"mode_share.{k}": shares[:, k] * quality for k in range(25)}
        one = case_of(columns, oracle, 25)
        return one.missable[-1], one.moving is not None

    assert found(1.0) == (5.0, True)
    assert found(0.8) == (8.0, False)


def test_a_few_samples_miss_what_they_may():
    two = {"high_quality": [1.0], "modes_covered": [2]}
    # (K - 1) / 2N: ten samples, and never fewer than one
    assert case_of(two, {"mode_kl": 1 / 20}, 2).missable.tolist() == [missed_by_chance((0.5, 0.5), 10, 1.0)] == [1]
    assert case_of(two, {"mode_kl": 100.0}, 2).missable.tolist() == [missed_by_chance((0.5, 0.5), 1, 1.0)] == [2]
    # qualities are rounded down to twentieths, from half on
    known = {"mode_kl": 24 / 256}
    for quality, rounded in ((0.899, 0.85), (0.9, 0.9), (0.3, 0.5), (1.4, 1.0)):
        found = case_of({"high_quality": [quality], "modes_covered": [25]}, known, 25).missable
        assert found.tolist() == [missed_by_chance((1 / 25,) * 25, 128, rounded)]


@pytest.mark.parametrize(("share", "complete"), [(0.25, True), (0.249, False)])
def test_a_run_of_five_probes_is_long_enough_to_miss_a_mode(share, complete):
    # one of 25 modes may be missed by chance at a quality of 0.9, and none at 0.95 and above
    columns = {f"mode_share.{k}": np.full(5, 1 / 25) for k in range(25)}
    columns["mode_share.3"] = np.full(5, share / 25)
    columns |= {"high_quality": [0.9] * 5, "modes_covered": [25.0] * 5}
    oracle = {"mode_kl": 24 / 1000}
    one = case_of(columns, oracle, 25)
    assert one.missable.tolist() == [1.0] * 5
    assert one.complete.tolist() == [complete] * 5
    better = case_of({**columns, "high_quality": [0.9] * 4 + [1.0]}, oracle, 25)
    assert better.missable.tolist() == [1.0] * 4 + [0.0]
    assert better.complete.tolist() == [complete] * 5
    shorter = case_of({name: values[:4] for name, values in columns.items()}, oracle, 25)
    assert shorter.complete.all()


def test_what_is_not_finite_covers_no_mode_and_lies_in_none():
    nan = np.nan
    columns = {f"mode_share.{k}": [0.5, nan] for k in range(2)} | {"high_quality": [1, 1], "modes_covered": [2, nan]}
    one = case_of(columns, {}, 2)
    assert one.count.tolist() == [2.0, 0.0]
    assert one.shares.tolist() == [[0.5, 0.5], [0.0, 0.0]]
    assert one.breadth.tolist() == [1.0, 0.0]
    with pytest.raises(UserError, match="threshold of a verdict 'decentt'"):
        one.limit("decentt")
