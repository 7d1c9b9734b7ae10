"""Tuning: the settings at which every method of a suite is trained, linked ones or drawn at random."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from ganbench.errors import UserError, quoted, unknown

Setting = dict[str, Any]

RESERVED = ("trials", "seed")
MOST = 1000
"""Settings of one suite."""
SCALES = ("log", "linear")
DIGITS = 3
"""Significant digits of a number that is drawn: enough for a rate, and few enough to read."""
REFUSED = ("problem", "steps", "seeds", "per_problem", "per_model", "tuning")
"""What is no setting of a method: what it is tried on, and how much it may spend."""


def settings_of(given: Any) -> list[Setting]:
    """Return the settings that the key `tuning` of a suite stands for: values by key, one each; [] for no tuning.

    A list holds them as they are, so that what belongs together moves together. A mapping is a random search: `trials`
    settings, each key's values drawn from a list, or from a range {from, to} whose logarithm is uniform (`scale:
    linear` for the number itself), every key from a stream of its own that `seed` (0) names. UserError says what does
    not read.
    """
    if given is None or given == []:
        return []
    settings = _drawn(given) if isinstance(given, dict) else given
    if not isinstance(settings, list) or not all(isinstance(one, dict) and one for one in settings):
        raise UserError(
            "The key 'tuning' takes a list of settings, each a mapping of keys to values, or a mapping with 'trials' "
            f"for a random search; got {quoted(given)}."
        )
    for setting in settings:
        for key, value in setting.items():
            _check(key, value)
    if len(settings) > MOST:
        raise UserError(f"The key 'tuning' has {len(settings)} settings, and a suite holds at most {MOST}.")
    return settings


def _check(key: Any, value: Any) -> None:
    if not isinstance(key, str):
        raise UserError(f"A setting of 'tuning' maps keys of a suite to values, got the key {quoted(key)}.")
    if key in REFUSED:
        raise UserError(f"The key '{key}' is no setting to tune: it says what all methods are tried on.")
    if isinstance(value, list | dict):
        raise UserError(f"A setting of 'tuning' has one value a key, got {quoted(value)} for '{key}'.")


def tuned(settings: Sequence[Setting]) -> list[str]:
    """Return the keys that take more than one value over some settings, in their order."""
    keys = dict.fromkeys(key for setting in settings for key in setting)
    return [key for key in keys if len({repr(setting.get(key)) for setting in settings}) > 1]


def _drawn(given: Mapping[Any, Any]) -> list[Setting]:
    trials, seed = _whole("trials", given.get("trials"), 1), _whole("seed", given.get("seed", 0), 0)
    keys = [key for key in given if key not in RESERVED]
    if not keys:
        raise UserError("A random search in 'tuning' needs the keys that it is to draw, beside 'trials'.")
    if trials > MOST:
        raise UserError(f"The key 'tuning' has {trials} settings, and a suite holds at most {MOST}.")
    columns = {key: _column(key, given[key], random.Random(f"{seed}:{key}"), trials) for key in keys}  # noqa: S311
    return [{key: column[trial] for key, column in columns.items()} for trial in range(trials)]


def _whole(name: str, number: Any, least: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise UserError(
            f"A random search in 'tuning' needs '{name}', a whole number of at least {least}; got {quoted(number)}."
        )
    return number


def _column(key: Any, law: Any, rng: random.Random, trials: int) -> list[Any]:
    """Return what a key is in each trial: its values depend on nothing but its own stream."""
    if isinstance(law, list) and law:
        return [law[int(rng.random() * len(law))] for _ in range(trials)]
    if not isinstance(law, dict) or not {"from", "to"} <= law.keys():
        raise UserError(
            f"'tuning' draws '{key}' from a list of values or from {{from: LOW, to: HIGH}}, got {quoted(law)}."
        )
    for part in law:
        if part not in ("from", "to", "scale"):
            raise unknown(f"part of the range of '{key}'", part, ("from", "to", "scale"))
    scale, low, high = law.get("scale", "log"), law["from"], law["to"]
    if scale not in SCALES:
        raise unknown("scale", str(scale), SCALES)
    if not all(
        isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in (low, high)
    ):
        raise UserError(f"The range of '{key}' goes from a number to a number, got {quoted(law)}.")
    if not low < high or (scale == "log" and low <= 0):
        above = " above 0 (or with scale: linear)" if scale == "log" else ""
        raise UserError(f"The range of '{key}' goes from a number{above} to a larger one, got {quoted(law)}.")
    return [_value(low, high, scale, rng.random()) for _ in range(trials)]


def _value(low: float, high: float, scale: str, share: float) -> int | float:
    if isinstance(low, int) and isinstance(high, int):
        # whole numbers, the ends as likely as the others on their scale
        first, last = low - 0.5, high + 0.5
        drawn = first * (last / first) ** share if scale == "log" else first + share * (last - first)
        return min(high, max(low, round(drawn)))
    drawn = low * (high / low) ** share if scale == "log" else low + share * (high - low)
    return float(f"{drawn:.{DIGITS}g}")
