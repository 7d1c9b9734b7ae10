"""What is found of the game, on series made by hand; silent on good games, and where columns are missing."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganbench.analysis.game import RULES, game_findings, game_findings_of, told
from ganbench.analysis.game.course import Course
from ganbench.report import sections, summary
from ganbench.report.context import Context

PROBES = 12
GOOD = {
    "d_loss": 1.3, "g_loss": 0.75, "d_ranking": 0.65, "saturation": 0.0, "g_gradient_norm": 0.3, "d_gradient_norm": 0.5,
    "d_input_gradient_real": 1.0, "d_input_gradient_fake": 1.1, "real_logit": 0.1, "fake_logit": -0.1,
    "d_dead_units": 0.1, "g_dead_units": 0.1, "d_overfitting": 0.05, "d_spectral_norm": 4.0,
    "g_weight_norm": [4.5 + 0.2 * k for k in range(PROBES)], "d_weight_norm": [4.5 + 0.3 * k for k in range(PROBES)],
}  # fmt: skip
"""The probes of a healthy game; before training D is flatter than after."""


def course(**columns):
    series = pd.DataFrame({**GOOD, **columns})
    if "d_input_gradient_real" not in columns:
        series.loc[0, ["d_input_gradient_real", "d_input_gradient_fake"]] = 0.05
    return series if "step" in columns else series.assign(step=np.arange(len(series)) * 100)


def found(**columns):
    return [(one.finding, one.onset) for one in game_findings(course(**columns))]


def after(before, then, at):
    """Values that change at a probe, until the end."""
    return [before] * at + [then] * (PROBES - at)


def test_weights_that_turn_and_keep_their_norm_move():
    still = [4.5 + 0.002 * k for k in range(PROBES)]
    assert found(g_weight_norm=still, sample_spread=after(0.13, 0.27, 1)) == []


@pytest.mark.parametrize(
    ("columns", "finding", "onset"),
    [
        ({"g_weight_norm": 4.5}, "G is not moving", 100),
        ({"d_weight_norm": 4.5}, "D is not moving", 100),
        # it moves by half a percent in all, the other one by half of itself
        ({"g_weight_norm": [4.5 + 0.002 * k for k in range(PROBES)]}, "G is not moving", 100),
        ({"g_weight_norm": 4.5, "sample_spread": after(0.1, 0.9, 4)}, "G is not moving", 100),
        ({"g_weight_norm": [4.5 + 0.002 * k for k in range(PROBES)], "sample_spread": 0.9}, "G is not moving", 100),
        ({"g_weight_norm": [4.5, 5.0, *[6.0] * (PROBES - 2)]}, "G has stopped moving", 300),
        ({"d_ranking": after(0.6, 0.02, 4), "d_loss": after(1.3, 0.1, 4)}, "labels look swapped", 400),
        ({"d_input_gradient_real": [0.05, *[0.0025] * 11], "d_input_gradient_fake": [0.05, *[0.002] * 11]},
         "D knows nothing", 100),
        ({"d_weight_norm": [4.5, *[0.004 + 1e-4 * k for k in range(11)]]},
         "D's weights are held at next to nothing", 100),
        ({"g_gradient_norm": [0.1, *[1e-9] * 11]}, "G never had a gradient", 100),
        ({"g_gradient_norm": after(1.0, 1e-4, 6), "d_ranking": after(0.9, 1.0, 6)}, "G's gradient vanishes", 600),
        ({"saturation": after(0.0, 1.0, 5)}, "G's loss is saturated", 500),
        ({"d_ranking": after(0.7, 1.0, 5), "g_loss": after(0.7, 8.0, 5)}, "D separates perfectly", 500),
        # a loop tells its losses from its first steps on, not before
        ({"d_ranking": after(0.7, 1.0, 5), "g_loss": [math.nan, *after(0.7, 8.0, 5)[1:]]},
         "D separates perfectly", 500),
        ({"d_ranking": after(0.7, 1.0, 5), "saturation": after(0.0, 0.6, 5)}, "D separates perfectly", 500),
        ({"d_weight_norm": [4.5, *[20.0 + k for k in range(11)]]}, "D's steps are too large", 100),
        ({"g_weight_norm": [4.5, *[20.0 + k for k in range(11)]]}, "G's steps are too large", 100),
        ({"real_logit": after(0.1, 500.0, 7)}, "logits run away", 700),
        ({"g_gradient_norm": after(0.5, 300.0, 7)}, "gradients explode", 700),
        ({"g_gradient_norm": after(0.5, math.inf, 7)}, "gradients explode", 700),
        ({"g_loss": after(0.7, -500.0, 7)}, "losses explode", 700),
        ({"d_spectral_norm": after(2.0, 40.0, 7)}, "a spectral norm runs away", 700),
        ({"d_dead_units": after(0.1, 1.0, 7)}, "D's units are dead", 700),
        ({"g_dead_units": after(0.1, 0.95, 7)}, "G's units are dead", 700),
        ({"output_saturation": after(0.1, 1.0, 7)}, "G's outputs are pinned", 700),
        ({"d_overfitting": after(0.1, 0.8, 7), "d_ranking": 0.9}, "D overfits its training samples", 700),
        ({"d_loss": 2 * math.log(2), "g_loss": math.log(2), "d_ranking": 0.5}, "losses are stuck", 100),
        ({"d_loss": math.log(2), "g_loss": math.log(2), "d_ranking": 0.5}, "losses are stuck", 100),
        ({"d_ranking": [0.5, 0.6, *[0.0, 1.0] * 5]}, "the lead swings", 200),
        ({"game_eig_max_imag": 0.99, "game_eig_max_abs": 1.0, "game_eig_min_real": 0.01}, "the game rotates", 100),
        ({"given_used": after(0.5, 0.02, 6)}, "G ignores its input", 600),
        # it is entered at a tenth, and left above three twentieths
        ({"given_used": [0.5, 0.12, *[0.08] * 4, *[0.14] * 6], "truth_error": 0.4}, "G ignores its input", 200),
        ({"given_used": 0.6, "choice_spread": after(0.9, 0.1, 4), "choices_covered": 0.25},
         "G gives one answer for every noise", 400),
        ({"content_kept": 0.1, "content_permuted": after(0.15, 0.5, 6), "given_used": 0.02, "cycle_error": 0.1},
         "G permutes what it is given", 600),
        # two kinds of ten swapped, and everything else as it should be
        ({"content_kept": after(0.95, 0.78, 5), "content_permuted": 0.95, "given_used": 0.6},
         "G permutes what it is given", 500),
        ({"d_ranking.period2": 0.5, "d_ranking.period3": 0.8}, "one of several discriminators is dead", 100),
        ({"rec_loss": after(0.2, 0.5, 6), "g_loss": after(0.0, 0.8, 6)},
         "reconstruction gets worse since the adversarial term began", 600),
        ({"g_loss": math.nan, "reconstruction_error": [math.nan, 0.4, *after(0.2, 0.3, 6)[2:]],
          "adversarial_weight": after(0.0, 2.0, 4)},
         "reconstruction gets worse since the adversarial term began", 600),
        ({"adaptive_weight": after(0.8, 5000.0, 6)}, "an adaptive weight runs away", 600),
        ({"fm_loss": after(1.0, 40.0, 6)}, "feature matching dominates", 600),
        ({"d_input_gradient_fake": [0.05, *[1.0] * 11], "d_input_gradient_real": [0.05, *[0.5] * 11],
          "g_weight_norm": [4.5, *[20.0 + k for k in range(11)]]}, "a gradient penalty rules everything", 100),
    ],
)  # fmt: skip
def test_what_the_game_does_is_found_with_its_onset(columns, finding, onset):
    names = found(**columns)
    assert (finding, onset) in names[:2], names
    (rule,) = [one for one in game_findings(course(**columns)) if one.finding == finding]
    assert rule.evidence.endswith(".")
    assert rule.evidence.isprintable()
    assert rule.causes
    assert rule.remedy.text


@pytest.mark.parametrize(("held", "onset"), [
    # the state is left for no longer than it had held, and for two probes at most
    (".##..#######", 100), (".#.#########", 100), (".#.##..#####", 100), ("...##.##.###", 300),
    (".#..########", 400), (".###...#####", 700), ("..#.#..#####", 700), ("......######", 600),
])  # fmt: skip
def test_a_short_lapse_begins_no_state_anew(held, onset):
    saturation = [float(flag == "#") for flag in held]
    (one,) = [one for one in found(saturation=saturation) if one[0] == "G's loss is saturated"]
    assert one[1] == onset


def test_swapped_labels_need_a_loss_that_has_fallen_by_a_third():
    wrong = after(0.6, 0.02, 4)
    assert found(d_ranking=wrong, d_loss=after(2.0, 1.3, 4))[0] == ("labels look swapped", 400)
    assert "labels look swapped" not in dict(found(d_ranking=wrong, d_loss=after(2.0, 1.5, 4)))


def test_a_good_game_has_no_findings():
    assert found() == []
    # a Wasserstein loss has no scale of its own, and G of an equilibrium no gradient
    assert found(d_loss=-0.3, g_loss=[0.1 * k - 5 for k in range(PROBES)]) == []
    assert found(g_gradient_norm=after(1.0, 1e-4, 6), d_ranking=0.5) == []
    # a D that is flat in the end only may have arrived
    assert found(d_input_gradient_real=after(0.5, 1e-3, 8), d_input_gradient_fake=after(0.5, 1e-3, 8)) == []
    # a good game's weights grow as the square root of the steps, and as far as one likes
    long = [4.5 * (1 + 0.1 * math.sqrt(1000 * k)) for k in range(PROBES)]
    assert found(g_weight_norm=long, d_weight_norm=long, step=[1000 * k for k in range(PROBES)]) == []
    # all in the scale of a critic that has no bound, and nobody is ahead
    huge = {"real_logit": after(0.1, 500.0, 7), "fake_logit": after(0.1, 480.0, 7), "g_loss": after(-0.1, -480.0, 7),
            "g_gradient_norm": after(1.0, 400.0, 7), "d_spectral_norm": after(2.0, 40.0, 7)}  # fmt: skip
    assert found(**huge, d_ranking=0.55) == []
    assert "logits run away" in {name for name, _ in found(**huge, d_ranking=0.9)}
    # fooled at first, and never after
    assert found(d_ranking=[0.5, 0.2, 0.9, 0.1, 0.8, 0.3, *[0.6] * 6]) == []
    # losses near log 2 and log 4 of a D that ranks right
    assert found(d_loss=2 * math.log(2), g_loss=math.log(2), d_ranking=0.7) == []


@pytest.mark.parametrize("columns", [{}, {"d_loss": [1.0] * 3}, {"step": [0]}, {"g_loss": [math.nan] * 3}])
def test_what_is_not_measured_is_not_found(columns):
    series = pd.DataFrame({**columns}).assign(step=lambda t: np.arange(len(t)) * 10)
    assert game_findings(series) == ()


def test_a_flat_discriminator_that_teaches_knows_something():
    """As one whose weights are clipped as published does."""
    flat = {"d_input_gradient_real": [0.5, *[0.02] * 11], "d_input_gradient_fake": [0.5, *[0.015] * 11]}
    assert found(**flat) == [("D knows nothing", 100)]
    assert found(**flat, coverage=[0.0, 0.1, 0.4, *[0.9] * 9]) == []
    assert found(**flat, coverage=0.1) == [("D knows nothing", 100)]
    dead = {name: [0.5, *[1e-4] * 11] for name in flat}
    assert found(**dead, coverage=0.9) == [("D knows nothing", 100)]


def test_recall_is_no_reconstruction():
    began = {"g_loss": after(0.0, -0.5, 6)}
    assert found(**began, recall=after(0.1, 0.9, 6)) == []
    assert found(**began, recall=0.5, rec=after(0.1, 0.3, 6)) == [
        ("reconstruction gets worse since the adversarial term began", 600)
    ]


@pytest.mark.parametrize(("before", "then", "began", "is_found"), [
    (0.2, 0.27, 6, True), (0.2, 0.25, 6, False), (0.2, 0.1, 6, False),
    # with no step before there is nothing that got lost, and without a discriminator nobody who lost it
    (0.2, 0.5, 0, False), (0.2, 0.5, PROBES, False),
])  # fmt: skip
def test_reconstruction_is_lost_by_its_size_before_the_discriminator(before, then, began, is_found):
    weight = [0.0] * began + [1.0] * (PROBES - began)
    series = course(reconstruction_error=after(before, then, 6), adversarial_weight=weight).drop(columns="g_loss")
    told = [one for one in game_findings(series) if one.finding.startswith("reconstruction")]
    assert [one.onset for one in told] == [600] * is_found
    if told:
        assert told[0].evidence == "reconstruction error is 0.27 and was 0.2 before."


def test_reconstruction_is_lost_until_it_is_well_below_where_that_is_said():
    weight = {"adversarial_weight": after(0.0, 1.0, 6), "g_loss": math.nan}
    lost = [*[0.2] * 6, 0.27, 0.24, 0.25, 0.235, 0.24, 0.24]
    assert ("reconstruction gets worse since the adversarial term began", 600) in found(
        **weight, reconstruction_error=lost
    )
    back = [*lost[:-3], 0.22, 0.24, 0.24]
    assert found(**weight, reconstruction_error=back) == []


def test_one_probe_of_an_event_is_no_state():
    assert found(saturation=after(0.0, 1.0, PROBES - 1)) == []
    assert found(saturation=[*after(0.0, 1.0, 5)[:-1], 0.0]) == []
    # it is entered at 0.9 and left under 0.8
    assert found(saturation=[0.0] * 5 + [0.92, 0.85, 0.88, 0.82, 0.91, 0.81, 0.85]) == [("G's loss is saturated", 500)]


def test_probes_come_in_any_order():
    series = course(saturation=after(0.0, 1.0, 5))
    assert game_findings(series) == game_findings(series.sample(frac=1, random_state=0))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_numbers_are_judged(data):
    names = [*GOOD, "output_saturation", "rec_loss", "game_eig_max_abs", "game_eig_max_imag", "game_eig_min_real"]
    chosen = data.draw(st.lists(st.sampled_from(names), unique=True))
    rows = data.draw(st.integers(1, 6))
    number = st.floats(width=32) | st.just(math.nan)
    series = pd.DataFrame({name: data.draw(st.lists(number, min_size=rows, max_size=rows)) for name in chosen})
    series = series.reindex(range(rows)).assign(step=np.arange(rows) * 10)
    for one in game_findings(series):
        assert one.onset > 0 or rows == 1
        assert one.evidence


def test_every_rule_has_a_name_of_its_own_and_says_what_helps():
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.causes, rule.name
        assert " " in rule.remedy.text
        assert rule.remedy.source
        assert not rule.shown or "=" in rule.shown


def test_scales_are_finite_and_from_after_training_began():
    one = Course({"step": np.array([20.0, 0.0, 10.0, 30.0]), "x": np.array([2.0, 9.0, np.inf, 4.0])})
    assert one["x"].tolist() == [9.0, np.inf, 2.0, 4.0]
    assert (one.start("x"), one.early("x"), one.last("x")) == (9.0, 3.0, 4.0)
    path = Course({"step": np.arange(4.0), "x": np.array([2.0, 3.0, 2.0, 2.5])}).path("x")
    assert path.tolist() == [0.0, 0.5, 1.0, 1.25]


def test_findings_are_told_by_run_and_in_words(fake, tmp_path):
    study = fake.study_of([({"seed": 0}, "converged"), ({"seed": 1}, "vanished")], tmp_path)
    table = game_findings_of(study)
    assert list(table.columns) == ["run", "finding", "onset", "evidence", "causes", "remedy", "shown"]
    assert set(table["run"]) <= set(study.runs["run"])
    assert game_findings_of(study, runs=[]).empty
    text = told(game_findings(course(saturation=after(0.0, 1.0, 5))))
    assert text.startswith("G's loss is saturated since step 500. 100 % of fakes send back")
    assert "Try: A loss that does not saturate" in text


def test_the_report_shows_findings_and_what_holds_so_far(fake, tmp_path):
    study = fake.study_of([({"seed": 0}, "vanished"), ({"seed": 1}, "late collapse")], tmp_path)
    saturated = study.series["run"].eq("r0000")
    study.series["saturation"] = np.where(saturated & (study.series["step"] > 0), 1.0, 0.0)
    study.runs.loc[1, "status"] = "running"
    context = Context(study)
    (row,) = [row for row in sections.verdict_rows(context, "ring8") if row["run"] == "r0000"]
    assert "G's loss is saturated" in [one["finding"] for one in row["game"]]
    (waiting,) = sections.missing(context)
    assert "(so far late collapse since step " in waiting["names"][0]
    text = summary.summary(context)
    (line,) = [line for line in text.splitlines() if line.startswith("- The game: ")]
    assert "G's loss is saturated in 1" in line
    assert " of 2 runs. Try: A loss that does not saturate" in line
    assert "seed 1: late collapse since step" in text
