"""The command that trains one run again, alone: its settings spelled out, so that no suite has to stay as it is."""

from __future__ import annotations

import math
import shlex
from functools import lru_cache
from typing import Any

import yaml

from ganbench import asking, registry
from ganbench.errors import UserError
from ganbench.plan import MEASURING, OWN_NAME, Plan, Run, Variant
from ganbench.reading import parse_overrides
from ganbench.suite import settings_model


def repeat(plan: Plan, run: Run) -> str:
    """Return the command line that trains one run of a plan again; the run is the only one of the command's plan.

    It names every setting that is not the default, and the plan's plug-in files, but no suite. Empty for what no
    command trains: a loop that ganbench only watches, a plug-in that is not in a file.
    """
    return _command(_words(plan, run.variant), run.seed)


def commands(plan: Plan) -> dict[str, str]:
    """Return the commands of all runs of a plan by their ids."""
    words = {variant: _words(plan, variant) for variant in plan.variants}
    return {run.id: _command(words[run.variant], run.seed) for run in plan.runs}


def _command(words: list[str] | None, seed: int) -> str:
    return "" if words is None else shlex.join(["ganbench", "run", *words, f"seeds=[{seed}]"])


def _words(plan: Plan, variant: Variant) -> list[str] | None:
    if OWN_NAME in dict(variant.hypers) or not all(_is_in_reach(plan, *pair) for pair in variant.plugins()):
        return None
    pairs = [(key, value) for key, value in _settings(plan, variant).items() if not _same(value, _default(key))]
    texts = [(key, _text(value)) for key, value in pairs]
    if any(text is None for _, text in texts):
        return None
    files = [word for file in plan.plugin_files for word in ("--plugin", file)]
    return [*files, *(f"{key}={text}" for key, text in texts)]


def _settings(plan: Plan, variant: Variant) -> dict[str, Any]:
    settings: dict[str, Any] = {**variant.values, **dict(variant.hypers)}
    measuring = {key: getattr(plan, key) for key in (*MEASURING, "allow")}
    return {**settings, **measuring, **_asked(measuring, variant.problem)}


def _asked(measuring: dict[str, Any], problem: str) -> dict[str, str]:
    """Return what is asked for and fits the run's problem: a suite of several asks for what fits one of them."""
    try:
        return asking.fitting(measuring, problem)
    except UserError:  # a study may ask for what this process does not know
        return {}


def _is_in_reach(plan: Plan, kind: str, name: str) -> bool:
    """Tell whether a process of its own finds a plug-in; one that is not loaded may be in the plan's files."""
    known = _plugin(kind, name)
    return bool(plan.plugin_files) if known is None else known.source is not None


def _plugin(kind: str, name: str) -> registry.Plugin | None:
    if kind not in registry.KINDS:  # a study may be of another version, or damaged
        return None
    registry.load(kind)
    return registry.known().get((kind, name))


def _default(key: str) -> Any:
    """Return what a setting is where nobody gives it; None where that is not known here."""
    if "." in key:
        kind, name, hyper = (*key.split(".", 2), "", "")[:3]
        plugin = _plugin(kind, name)
        return plugin.hypers.get(hyper) if plugin else None
    value = settings_model().model_fields[key].default
    return value[0] if isinstance(value, list) else value


def _same(one: Any, other: Any) -> bool:
    """Tell whether two settings are the same to the letter: True is not 1 here, nor -0.0 what 0.0 is."""
    return type(one) is type(other) and repr(one) == repr(other)


def _text(value: Any) -> str | None:
    """Return the plainest text that an override reads as this value, None where there is none."""
    return _written(value, repr(value), type(value).__name__)


@lru_cache(maxsize=4096)
def _written(value: Any, shown: str, kind: str) -> str | None:
    dumped = yaml.safe_dump(value, width=math.inf, allow_unicode=True).removesuffix("\n").removesuffix("\n...")
    quoted = yaml.safe_dump(value, default_style='"', width=math.inf).removesuffix("\n")
    for text in (str(value), dumped, quoted):
        try:
            read = parse_overrides([f"key={text}"])["key"]
        except UserError:
            continue
        if type(read).__name__ == kind and repr(read) == shown:
            return text
    return None
