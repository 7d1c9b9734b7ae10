"""The methods of a study as a paragraph for a paper: every number in it is the plan's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ganbench import kinds, registry
from ganbench.plan import NUMBER_AXES, WORD_AXES, Plan, Variant
from ganbench.report import settings
from ganbench.report.context import Context

NAMES = {
    "loss": "the loss", "normalization": "the normalization of the discriminator",
    "g_normalization": "the normalization of the generator", "regularizer": "the regularizer",
    "g_regularizer": "the regularizer of the generator", "network": "the network", "optimizer": "the optimizer",
    "update": "the update rule", "trick": "the trick", "term": "the further term", "model": "the model",
    "latent": "the law of the latents", "numerics": "the precision of a step",
    "steps": "the number of steps", "batch_size": "the batch size",
    "critic_steps": "the steps of the discriminator for one round",
    "generator_steps": "the steps of the generator for one round", "latent_dim": "the dimension of the latents",
}  # fmt: skip
"""What the axes are called in a sentence; a hyper-parameter is called by its key."""


def methods(context: Context) -> str:
    """Return the paragraph as text: what was trained, what varied, what all shared, how it was measured and judged."""
    study = context.study
    plan: Plan = study.plan  # type: ignore[attr-defined] # a study that is stored has one
    # of a loop that is only watched, a plan knows no more than how it is measured
    own = [_watched(plan)] if plan.listed else [_trained(plan), *_varied(plan), *_shared(plan)]
    sentences = [*own, _measured(plan), JUDGED, _by(plan, context)]
    return " ".join(filter(None, sentences)) + "\n"


JUDGED = (
    "A run has failed where its samples or its loss say so by the fixed rules of ganbench (its verdicts), diverged "
    "runs included; failed runs stay in every count and every median. Variants are compared by their failures over "
    "training seeds, with Wilson's interval of 95 %, then by the medians of their final scores."
)
"""How runs are judged: the same for every plan."""


def _trained(plan: Plan) -> str:
    by_problem: dict[str, int] = {}
    for variant in plan.variants:
        by_problem[plan.label(variant)] = by_problem.get(plan.label(variant), 0) + 1
    variants, problems = len(plan.variants), _joined(f"{name} ({count})" for name, count in by_problem.items())
    seeds = f"seed{'s' * (len(plan.seeds) != 1)} {_ranges(plan.seeds)}"
    text = f"We trained {_count(len(plan.runs), 'run')}: {_count(variants, 'variant')} on "
    text += f"{_count(len(by_problem), 'problem')} (variants: {problems}) with {len(plan.seeds)} training {seeds} each."
    if len(plan.skipped) == 1:
        text += " 1 combination is not defined and was not trained."
    elif plan.skipped:
        text += f" {len(plan.skipped)} combinations are not defined and were not trained."
    return text


def _watched(plan: Plan) -> str:
    return f"We watched {_count(len(plan.runs), 'run')} of a training loop of our own with ganbench.Monitor."


def _varied(plan: Plan) -> list[str]:
    """Return what variants of one problem differ in; what belongs together is told as settings."""
    keys = [key for key in _keys(plan) if any(len(values) > 1 for values in _values(plan, key).values())]
    own = [key for key in keys if key not in plan.tuned]
    found = []
    if own:
        told = "; ".join(f"{NAMES.get(key, key)} ({_by_problem(_values(plan, key))})" for key in own)
        found.append(f"Varied were {told}.")
    tuned = [key for key in keys if key in plan.tuned]
    if tuned:
        points = {problem: len({tuple(_value(v, key) for key in tuned) for v in variants})
                  for problem, variants in _problems(plan).items()}  # fmt: skip
        counts = _by_problem({problem: [count] for problem, count in points.items()})
        told = "; ".join(f"{key} ({_by_problem(_values(plan, key))})" for key in tuned)
        found.append(f"Every method was tried at several settings ({counts} a problem) of {told}.")
    return found


def _shared(plan: Plan) -> list[str]:
    """Return what does not vary within a problem: axes first, then hyper-parameters of what is chosen."""
    known = {key: _values(plan, key) for key in _keys(plan)}
    still = {key: values for key, values in known.items() if values and all(len(of) == 1 for of in values.values())}
    plain = {key: values for key, values in still.items() if "." not in key and not _is_default(key, values)}
    told = [f"{NAMES.get(key, key)} is {_by_problem(values)}" for key, values in plain.items()]
    hypers = [f"{key} = {_by_problem(values)}" for key, values in still.items() if "." in key and _is_told(key, values)]
    sentences = [f"For all variants of a problem {'; '.join(told)}."] if told else []
    rest = "all others have the defaults of this version of ganbench"
    return sentences + [f"Of the hyper-parameters {'; '.join(hypers)}; {rest}."] * bool(hypers)


def _is_told(key: str, values: Mapping[str, list[Any]]) -> bool:
    """Tell whether a hyper-parameter belongs into a text: those of optimizers do, others where they are moved."""
    kind, name, hyper = key.split(".")
    plugin = registry.known().get((kind, name))
    moved = plugin is None or any(value != plugin.hypers.get(hyper) for of in values.values() for value in of)
    return moved or bool(kinds.KINDS[kind].rates)


def _is_default(key: str, values: Mapping[str, list[Any]]) -> bool:
    """Tell whether an axis of plug-ins stands where nobody has moved it, which is not worth a word."""
    axis = kinds.axes().get(key)
    moved = axis is None or not axis.later
    return not moved and axis is not None and all(of == [axis.default] for of in values.values())


def _measured(plan: Plan) -> str:
    text = f"Every {plan.probe_every} steps and at the end, {plan.samples} generated samples were measured against as "
    text += f"many of the problem, those measures that look at nearest neighbours on {plan.neighbours} of each"
    asked = _joined([*plan.asked_metrics, *(f"features '{name}'" for name in plan.asked_spaces)])
    return f"{text}; beside what is always measured: {asked}." if asked else f"{text}."


def _by(plan: Plan, context: Context) -> str:
    told = settings.environment(context)
    by = ", ".join(f"{name} {told[name]}" for name in ("torch", "device") if told.get(name))
    did = "judged" if plan.listed else "trained and judged"
    return f"All runs were {did} by ganbench {told.get('ganbench', '')} ({by}; plan {plan.hash})."


# ---- the values of a plan


def _problems(plan: Plan) -> dict[str, list[Variant]]:
    found: dict[str, list[Variant]] = {}
    for variant in plan.variants:
        found.setdefault(plan.label(variant), []).append(variant)
    return found


def _keys(plan: Plan) -> list[str]:
    """Return every key of the variants but their problem: axes, then hyper-parameters."""
    hypers = dict.fromkeys(key for variant in plan.variants for key, _ in variant.hypers)
    return [*(key for key in kinds.axes() if key != "problem"), *WORD_AXES, *NUMBER_AXES, *hypers]


def _value(variant: Variant, key: str) -> Any:
    return dict(variant.hypers).get(key) if "." in key else getattr(variant, key)


def _values(plan: Plan, key: str) -> dict[str, list[Any]]:
    """Return the values of a key by problem, in the plan's order, without those of variants that do not have it."""
    found = {problem: list(dict.fromkeys(_value(variant, key) for variant in variants))
             for problem, variants in _problems(plan).items()}  # fmt: skip
    return {problem: kept for problem, of in found.items() if (kept := [value for value in of if value is not None])}


def _by_problem(values: Mapping[str, list[Any]]) -> str:
    """Return values in words: once where all problems have the same, else with the problems that have them."""
    groups: dict[str, list[str]] = {}
    for problem, of in values.items():
        groups.setdefault(_joined(map(str, of)), []).append(problem)
    if len(groups) <= 1:
        return next(iter(groups), "")
    return "; ".join(f"{text} on {_joined(problems)}" for text, problems in groups.items())


def _ranges(numbers: Iterable[int]) -> str:
    """Return whole numbers with runs of them as ranges: "0 to 4, 7"."""
    runs: list[list[int]] = []
    for one in sorted(numbers):
        if runs and one == runs[-1][-1] + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _joined(words: Iterable[str]) -> str:
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last
