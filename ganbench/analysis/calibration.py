"""How often the verdicts are right: scripted generators whose truth is known by construction, judged like any run.

A script says for every probe from which law a generator draws; the fakes are measured by the evaluator that measures
GANs, so that the verdicts see what they see in a study. `python -m ganbench.analysis.calibration` prints the result.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from ganbench import registry
from ganbench.analysis.drawing import draw
from ganbench.analysis.scripted import Make, Script, Setting, every_script, fits, perfect
from ganbench.analysis.statistics import wilson
from ganbench.analysis.verdicts import FAILURES, VERDICTS, Verdict, judge_series
from ganbench.measure.evaluate import Evaluator
from ganbench.problems.base import Problem, stacked, stream

PROBLEMS = ("ring8", "grid25", "ring8_imbalanced", "line", "digits", "ring8_labelled", "digits_labelled")
CHUNK = 32
STEP = 500
"""Training steps between two probes, in name only: nothing is trained."""
SETTINGS: tuple[dict[str, Any], ...] = (
    {"samples": 256},
    {"samples": 4000},
    {"probes": 40},
    {"noise": 0.05},
    {"noise": 0.1},
    {"samples": 256, "noise": 0.1},
)
"""What differs from the default in the further rounds."""


def script_for(make: Make, evaluator: Evaluator, seed: int, probes: int, noise: float) -> Script:
    """Return a script with its chances drawn, every law with `noise` more of stray samples and of unevenness."""
    rng = np.random.default_rng([seed, probes, every_script().index(make)])
    assert evaluator.modes is not None
    script = make(Setting(evaluator.modes, probes, math.prod(evaluator.problem.shape), rng))
    # three times: at a noise of 0.1, a mode that keeps under a quarter of its weight is still five deviations away
    laws = tuple(replace(law, stray=law.stray + noise * (1 - law.stray), uneven=3 * noise) for law in script.laws)
    return replace(script, laws=laws)


def measure(evaluator: Evaluator, scripts: Sequence[Script], seed: int) -> list[pd.DataFrame]:
    """Return the probes of every script as a study has them: a `step`, every measured column, and the script's own."""
    generator = stream("calibration", seed)
    laws = [law for script in scripts for law in script.laws]
    parts = []
    for place in range(0, len(laws), CHUNK):
        fakes = [draw(evaluator.problem, law, evaluator.samples, generator) for law in laws[place : place + CHUNK]]
        found = evaluator.measure(torch.stack([fake.x for fake in fakes]), stacked([fake.given for fake in fakes]))
        parts.append(pd.DataFrame({name: values.numpy() for name, values in found.items()}))
    table, tables, first = pd.concat(parts, ignore_index=True), [], 0
    for script in scripts:
        probes = table.iloc[first : first + len(script.laws)].reset_index(drop=True)
        tables.append(probes.assign(step=np.arange(len(probes)) * STEP, **script.columns))
        first += len(probes)
    return tables


def calibrate(
    problems: Iterable[str] = PROBLEMS,
    seeds: Iterable[int] = range(5),
    *,
    samples: int = 1000,
    probes: int = 17,
    noise: float = 0.0,
    scripts: Sequence[Make] | None = None,
) -> pd.DataFrame:
    """Judge every script (or those given) on every problem with every seed and return a row each.

    Columns: problem, script, seed, samples, probes, noise, right (the right verdicts), failure (whether they are one),
    verdict, correct, late (onset less the true one, in probes; NaN where there is none or the verdict is wrong), also,
    evidence.
    """
    rows, chosen = [], every_script() if scripts is None else scripts
    for name in problems:
        problem: Problem = registry.get("problem", name).function()
        evaluator = Evaluator(problem, samples, min(500, samples))
        oracle = evaluator.oracle()
        for seed in seeds:
            made = [make for make in chosen if fits(make, problem)]
            played = [script_for(make, evaluator, seed, probes, noise) for make in made]
            for script, series in zip(played, measure(evaluator, played, seed), strict=True):
                found = judge_series(series, oracle, evaluator.modes)
                row = {"problem": name, "script": script.name, "seed": seed, "samples": samples, "probes": probes}
                rows.append({**row, "noise": noise, **_compared(script, found)})
    return pd.DataFrame(rows)


def _compared(script: Script, found: Sequence[Verdict]) -> dict[str, object]:
    first = found[0]
    correct = first.verdict in script.right
    late = float("nan")
    if correct and first.onset is not None and script.onset is not None:
        late = first.onset / STEP - script.onset
    return {
        "right": " or ".join(script.right),
        "failure": set(script.right) <= FAILURES,
        "verdict": first.verdict,
        "correct": correct,
        "late": late,
        "also": "; ".join(verdict.verdict for verdict in found[1:]),
        "evidence": first.evidence,
    }


def perfect_samplers(seeds: Iterable[int], sizes: Iterable[int] = (128, 256, 1000)) -> pd.DataFrame:
    """Judge perfect samplers alone, on every problem with every seed at every sample size; see `calibrate`."""
    chosen = list(seeds)
    return pd.concat([calibrate(seeds=chosen, samples=size, scripts=(perfect,)) for size in sizes], ignore_index=True)


def confusion(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many runs of each script [rows] got each verdict [columns], both in a fixed order."""
    counts = pd.crosstab(table["script"], table["verdict"])
    scripts = table["script"].drop_duplicates()
    return counts.reindex(index=scripts, columns=[name for name in VERDICTS if name in counts.columns])


def share(hits: pd.Series) -> str:
    """Return "379 of 380 (99.7 %, 98.5 to 100.0 %)" with the Wilson interval."""
    low, high = wilson(int(hits.sum()), len(hits))
    return f"{int(hits.sum())} of {len(hits)} ({100 * hits.mean():.1f} %, {100 * low:.1f} to {100 * high:.1f} %)"


def summary(table: pd.DataFrame) -> str:
    """Return the shares of scripts named correctly and of onsets within two probes, in words."""
    failures = table[table["failure"]]
    late = failures["late"].dropna().abs()
    text = f"failures named correctly: {share(failures['correct'])}; onset within two probes: {share(late <= 2)}"
    text += f", largest error {late.max():.0f}"
    others = table[~table["failure"]]
    return text + (f"; others named correctly: {share(others['correct'])}" if len(others) else "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the confusion matrix at the default size, then other sizes, lengths and noise, then perfect samplers."""
    parser = argparse.ArgumentParser(prog="python -m ganbench.analysis.calibration", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each script (default: 5)")
    parser.add_argument("--first", type=int, default=100, help="the first seed; those below 100 were for development")
    chosen = parser.parse_args(arguments)
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    default = calibrate(seeds=seeds)
    print(f"Scripts at 1000 samples, 17 probes\n\n{confusion(default).to_string()}\n\n{summary(default)}", flush=True)
    _misses(default)
    for setting in SETTINGS:
        table = calibrate(seeds=seeds[: max(1, chosen.seeds // 2)], **setting)
        print(f"\n{', '.join(f'{key} {value}' for key, value in setting.items())}: {summary(table)}", flush=True)
        _misses(table)
    table = perfect_samplers(range(chosen.first, chosen.first + 8 * chosen.seeds))
    flagged = table["verdict"].isin(FAILURES)
    print(f"\nPerfect samplers flagged as a failure: {share(flagged)}")
    for size, rows in flagged.groupby(table["samples"]):
        print(f"  at {size} samples: {share(rows)}")
    _misses(table)


def _misses(table: pd.DataFrame) -> None:
    for row in table[~table["correct"]].to_dict("records"):
        print(f"  miss: {row['problem']}, {row['script']}, seed {row['seed']}: {row['verdict']}, not {row['right']}")


if __name__ == "__main__":
    main()
