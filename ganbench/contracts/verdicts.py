"""The laws of verdicts, asked about scripted generators whose truth is known, and about runs with hardly a probe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
import pandas as pd

from ganbench import registry
from ganbench.analysis.calibration import STEP, measure, script_for
from ganbench.analysis.scripted import SCRIPTS, Make, Script, perfect, script_name
from ganbench.analysis.verdicts import Ended, Rule, ask, ended, rules
from ganbench.contracts.base import Breach, NotDeclared, Outcome, law, law_about
from ganbench.errors import unknown
from ganbench.measure.evaluate import Evaluator
from ganbench.registry import Plugin

SAMPLES, NEIGHBOURS, PROBES = 256, 128, 17
LATE = 2
"""Probes that an onset may be beside the true one: chance moves it by one."""

LABELLED = "ring8_labelled"
"""Where every shipped script has a meaning."""

SMALL: Mapping[str, Mapping[str, float]] = {
    "a game": {"nearness": 0.9},
    "images without classes": {"precision": 0.9, "coverage": 0.9, "recall": 0.9},
    "modes without shares": {"high_quality": 0.9, "modes_covered": 8.0},
}
"""What other problems than mixtures measure, of a good generator."""


@cache
def _evaluator(problem: str) -> Evaluator:
    return Evaluator(registry.get("problem", problem).function(), SAMPLES, NEIGHBOURS)


@cache
def _oracle(problem: str) -> dict[str, float]:
    return _evaluator(problem).oracle()


@cache
def _played(problem: str, make: Make, seed: int) -> tuple[Script, pd.DataFrame]:
    evaluator = _evaluator(problem)
    script = script_for(make, evaluator, seed, PROBES, 0.0)
    return script, measure(evaluator, [script], seed)[0]


def _asked(problem: str, make: Make, seed: int = 0) -> Ended:
    # a case of its own for every question: a rule may write into what it is given
    return ended(_played(problem, make, seed)[1], _oracle(problem), _evaluator(problem).modes)


def _scripts(rule: Rule) -> Iterator[Make]:
    known = {script_name(make): make for make in SCRIPTS}
    for script in rule.scripts:
        if isinstance(script, str) and script not in known:
            raise unknown("scripted generator", script, known)
        yield known[script] if isinstance(script, str) else script


def _every(rule: Rule) -> Iterator[tuple[str, Ended]]:
    for make in dict.fromkeys((*SCRIPTS, *_scripts(rule))):
        yield script_name(make), _asked(LABELLED, make)


@law
def record_is_complete(plugin: Plugin) -> Outcome:
    """Its legend says what it means, its symbol is its own, and a failure says what usually helps."""
    rule = Rule(plugin)
    if plugin.legend == plugin.name or " " not in plugin.legend:
        return Breach("it has no legend: write what it means in the first line of a docstring")
    for other in rules():
        if other.symbol == rule.symbol and other.name != rule.name:
            return Breach(f"its symbol '{rule.symbol}' is that of '{other.name}'")
    if rule.failure and not (rule.remedy and rule.remedy.text.strip()):
        return Breach("it is a failure without a remedy")
    return None


@law
def silent_on_perfect_samplers(plugin: Plugin) -> Outcome:
    """It holds for no perfect sampler, unless that is its truth."""
    rule = Rule(plugin)
    if perfect in _scripts(rule):
        return None
    for problem, seeds in (("ring8", 5), ("digits", 1), (LABELLED, 1)):
        for seed in range(seeds):
            if verdict := ask(rule, _asked(problem, perfect, seed)):
                return Breach(f"it holds for a perfect sampler of {problem} since step {verdict.onset}")
    return None


@law_about(lambda plugin: bool(plugin.declared("scripts")) or plugin.declared("acts_on") == "probes")
def found_on_its_scripts(plugin: Plugin) -> Outcome:
    """It holds on the scripted generators that it is calibrated on, since within two probes of the true onset."""
    rule, makes = Rule(plugin), list(_scripts(Rule(plugin)))
    if not makes:
        return NotDeclared("'scripts': scripted generators whose truth it is")
    for make in makes:
        script, verdict = _played(LABELLED, make, 0)[0], ask(rule, _asked(LABELLED, make))
        if verdict is None:
            return Breach(f"it does not hold on the script '{script.name}'")
        if verdict.onset is not None and script.onset is not None:
            late = verdict.onset / STEP - script.onset
            if abs(late) > LATE:
                return Breach(f"its onset is {late:+.3g} probes from that of the script '{script.name}'")
    return None


@law
def evidence_is_a_sentence(plugin: Plugin) -> Outcome:
    """Wherever it holds, its evidence is one line that ends with a full stop."""
    rule = Rule(plugin)
    for name, asked in _every(rule):
        verdict = ask(rule, asked)
        if verdict is None:
            continue
        text = verdict.evidence
        if not (len(text.split()) > 1 and text.isprintable() and text.endswith(".")):
            return Breach(f"its evidence on the script '{name}' is {text!r}")
    return None


@law
def asking_changes_nothing(plugin: Plugin) -> Outcome:
    """Asked again about the same run it says the same, and what was measured is as before."""
    rule = Rule(plugin)
    for name, asked in _every(rule):
        if asked.case is None:
            continue
        before = {key: values.copy() for key, values in asked.case.columns.items()}
        if ask(rule, asked) != ask(rule, asked):
            return Breach(f"asked again about the script '{name}' it says something else")
        for key, values in asked.case.columns.items():
            if key not in before or not np.array_equal(values, before[key], equal_nan=True):
                return Breach(f"it changes the column '{key}' of the script '{name}'")
    return None


@law
def judges_any_run(plugin: Plugin) -> Outcome:
    """Runs of a single probe, without modes, or without any measure are judged like others."""
    rule = Rule(plugin)
    for measured in ({}, *SMALL.values()):
        for probes in (1, 2, 3):
            series = pd.DataFrame({"step": np.arange(probes) * STEP, **measured})
            for asked in (ended(series, measured), ended(series, {}, diverged_step=STEP)):
                ask(rule, asked)
    return None
