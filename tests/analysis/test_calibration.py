import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi

from ganbench import registry
from ganbench.analysis import calibration, scripted
from ganbench.analysis.calibration import calibrate, confusion, main, perfect_samplers, script_for
from ganbench.analysis.drawing import SampleLaw, draw
from ganbench.analysis.scripted import SCRIPTS
from ganbench.analysis.verdicts import FAILURES, VERDICTS
from ganbench.measure.evaluate import Evaluator
from ganbench.problems.base import stream

MIXTURES = ("line", "ring8", "grid25", "ring8_imbalanced")
WITHIN = 1 - math.exp(-9 / 2)


@pytest.fixture(scope="module")
def evaluators() -> dict[str, Evaluator]:
    sizes = {**dict.fromkeys(MIXTURES, 4000), "digits": 500}
    return {name: Evaluator(registry.get("problem", name).function(), n, 100) for name, n in sizes.items()}


def measured(evaluator: Evaluator, law: SampleLaw, seed: int = 0) -> dict[str, float]:
    fake = draw(evaluator.problem, law, evaluator.samples, stream("test", seed))
    return {name: value.item() for name, value in evaluator.measure(fake.x[None]).items()}


@pytest.mark.parametrize("name", MIXTURES)
def test_laws_are_what_they_say(name: str, evaluators: dict[str, Evaluator]) -> None:
    evaluator = evaluators[name]
    dimension = evaluator.problem.shape[0]
    radius, noise = float(chi.ppf(WITHIN, dimension)), 4 * 0.5 / math.sqrt(evaluator.samples)
    assert measured(evaluator, SampleLaw())["high_quality"] == pytest.approx(WITHIN, abs=0.01)
    two = measured(evaluator, SampleLaw(modes=(0, 2)))
    assert two["modes_hit"] == 2
    weights = evaluator.problem.modes.weights  # type: ignore[union-attr]
    assert two["mode_share.0"] == pytest.approx(WITHIN * (weights[0] / (weights[0] + weights[2])).item(), abs=noise)
    assert two["high_quality"] == pytest.approx(two["mode_share.0"] + two["mode_share.2"])
    wide = measured(evaluator, SampleLaw(width=2.0))["high_quality"]
    assert wide == pytest.approx(chi.cdf(radius / 2, dimension), abs=noise)
    assert measured(evaluator, SampleLaw(bridge=0.4))["high_quality"] == pytest.approx(0.6 * WITHIN, abs=noise)
    assert measured(evaluator, SampleLaw(bridge=1.0))["high_quality"] < 0.01
    # far samples cover the plane: they hit a mode in proportion to its area, which on the line is not little
    assert measured(evaluator, SampleLaw(stray=1.0))["high_quality"] < (0.15 if dimension == 1 else 0.05)
    assert measured(evaluator, SampleLaw(stuck=True))["high_quality"] < 0.01
    assert math.isnan(measured(evaluator, SampleLaw(finite=False))["high_quality"])
    uneven = measured(evaluator, SampleLaw(uneven=0.3))
    assert uneven["mode_kl"] > 4 * measured(evaluator, SampleLaw())["mode_kl"]
    assert uneven["modes_covered"] == len(weights)


@pytest.mark.parametrize(
    ("name", "fidelity"), [("ring8_labelled", "label_fidelity"), ("digits_labelled", "class_fidelity")]
)
def test_labels_are_followed_as_the_law_says(name: str, fidelity: str) -> None:
    evaluator = Evaluator(registry.get("problem", name).function(), 2000, 100)
    oracle, weights = evaluator.oracle()[fidelity], evaluator.problem.group_weights()
    noise = 4 * 0.5 / math.sqrt(evaluator.samples)

    def measured(law: SampleLaw) -> float:
        fake = draw(evaluator.problem, law, evaluator.samples, stream("test", 0))
        return float(evaluator.measure(fake.x[None], fake.given[None])[fidelity])  # type: ignore[index,call-overload]

    chance = float(weights.square().sum())
    assert measured(SampleLaw()) == pytest.approx(oracle, abs=noise)
    assert measured(SampleLaw(obedient=0.0)) == pytest.approx(oracle * chance, abs=noise)
    assert measured(SampleLaw(obedient=0.5)) == pytest.approx(oracle * (0.5 + 0.5 * chance), abs=noise)
    # what it does not have is asked for all the same
    assert measured(SampleLaw(modes=(1, 2, 3))) == pytest.approx(oracle * float(weights[1:4].sum()), abs=noise)


def test_laws_of_images(evaluators: dict[str, Evaluator]) -> None:
    digits = evaluators["digits"]
    perfect, two = measured(digits, SampleLaw()), measured(digits, SampleLaw(modes=(3, 7)))
    assert perfect["classes_covered"] == 10
    assert two["classes_covered"] == 2
    assert two["class_share.3"] + two["class_share.7"] > 0.8
    assert two["precision"] > 0.75 * perfect["precision"]
    assert measured(digits, SampleLaw(stray=1.0))["precision"] < 0.05
    assert measured(digits, SampleLaw(stuck=True))["precision"] < 0.05
    assert math.isnan(measured(digits, SampleLaw(finite=False))["precision"])


def test_shares_of_modes_are_what_is_counted(evaluators: dict[str, Evaluator]) -> None:
    for name, law in itertools.product(
        MIXTURES, (SampleLaw(stray=0.3), SampleLaw(modes=(1, 3), uneven=0.5), SampleLaw(width=3.0))
    ):
        weights = evaluators[name].problem.modes.weights  # type: ignore[union-attr]
        found = measured(evaluators[name], law)
        shares = np.array([found[f"mode_share.{k}"] for k in range(len(weights))])
        assert shares.sum() == pytest.approx(found["high_quality"])
        assert (shares > 0).sum() == found["modes_hit"]
        assert (shares >= 0.25 * weights.numpy()).sum() == found["modes_covered"]
    found = measured(evaluators["digits"], SampleLaw(stray=0.3))
    shares = np.array([found[f"class_share.{k}"] for k in range(10)])
    assert shares.sum() == pytest.approx(found["confident"])
    assert (shares >= 0.025).sum() == found["classes_covered"]


@pytest.mark.parametrize("modes", [32, 33])
def test_many_modes_have_no_shares(modes: int) -> None:
    problem = registry.get("problem", "line").function(modes=modes)
    columns = Evaluator(problem, 64, 16).measure(problem.sample(64, stream("test", 0))[None])
    assert sum(name.startswith("mode_share.") for name in columns) == (32 if modes == 32 else 0)


def test_scripts_are_as_long_as_asked_and_repeat(evaluators: dict[str, Evaluator]) -> None:
    for make in SCRIPTS:
        for probes in (17, 40):
            script = script_for(make, evaluators["line"], 3, probes, 0.0)
            assert len(script.laws) == probes
            assert script.onset is None or 0 <= script.onset < probes
            assert set(script.right) <= set(VERDICTS)
            assert script == script_for(make, evaluators["line"], 3, probes, 0.0)
    # every verdict that a series can have is somebody's truth
    named = {name for make in SCRIPTS for name in script_for(make, evaluators["ring8"], 0, 17, 0.0).right}
    assert named == set(VERDICTS) - {"failed"}


def test_scripted_failures_are_named_and_perfect_samplers_are_not() -> None:
    table = calibrate(("ring8", "digits"), seeds=[200])
    failures = table[table["failure"]]
    assert failures["correct"].mean() >= 0.95, failures.loc[~failures["correct"], ["problem", "script", "verdict"]]
    assert table.loc[~table["failure"], "correct"].all()
    assert failures["late"].abs().max() <= 2
    counts = confusion(table)
    assert counts.to_numpy().sum() == len(table)
    assert counts.loc["one mode", "collapsed"] == 2


def test_no_perfect_sampler_is_flagged_even_where_samples_are_few() -> None:
    table = perfect_samplers(range(200, 204), sizes=(64, 128))
    assert len(table) == 2 * len(calibration.PROBLEMS) * 4
    assert not table["verdict"].isin(FAILURES).any()


def test_the_command_prints_what_it_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def small(seeds: Any = range(1), **setting: Any) -> pd.DataFrame:
        made = setting.get("scripts", (scripted.perfect, scripted.one_mode))
        return calibrate(("line",), list(seeds)[:1], samples=64, probes=9, scripts=made)

    monkeypatch.setattr(calibration, "calibrate", small)
    main(["--seeds", "1", "--first", "300"])
    text = capsys.readouterr().out
    assert "failures named correctly: 1 of 1 (100.0 %, 20.7 to 100.0 %)" in text
    assert "Perfect samplers flagged as a failure: 0 of 3 (0.0 %, 0.0 to 56.1 %)" in text
    assert "one mode" in text


@pytest.mark.slow
def test_error_rates_at_full_size() -> None:
    """The bars that docs/verdicts.md quotes, on seeds that no threshold was tried on."""
    table = calibrate(seeds=range(100, 105))
    failures = table[table["failure"]]
    assert failures["correct"].mean() >= 0.95
    assert (failures["late"].abs().dropna() <= 2).all()
    perfect = perfect_samplers(range(100, 140))
    assert len(perfect) >= 500
    assert np.mean(perfect["verdict"].isin(FAILURES)) <= 0.01
