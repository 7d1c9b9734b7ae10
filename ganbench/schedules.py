"""Schedules: numeric settings that change over the training, `{from: 0.05, to: 0.005, until: 0.5, shape: cosine}`.

In a plan a schedule is one line of text, the same for all of its spellings: "from 0.05 to 0.005 until 0.5 cosine".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganbench import ranges
from ganbench.errors import UserError, quoted, unknown
from ganbench.registry import Plugin

SHAPES = {
    "linear": lambda low, high, share: low + (high - low) * share,
    "cosine": lambda low, high, share: low + (high - low) * (1 - math.cos(math.pi * share)) / 2,
    "geometric": lambda low, high, share: low * (high / low) ** share,
    "jump": lambda low, high, share: high if share == 1 else low,
}
"""How a number goes from one end to the other, by the share of the way that is over."""

PARTS = ("from", "to", "until", "shape")
LINE = re.compile(r"^from (\S+) to (\S+) until (\S+) ([a-z]+)$")
FOLLOWING = ("loss", "regularizer", "optimizer", "update", "trick", "term")
"""Kinds whose numbers may follow a schedule: what the others set is built once."""
BUILT = ("batch", "packs", "samples", "data", "nothing")
"""What tricks act on whose settings decide forms of tensors, or what is drawn: these are built once, too."""


@dataclass(frozen=True)
class Schedule:
    """A number at each step: `first` at step 0, `last` from `until` on, between them by a shape.

    until: a share of the training, above 0 and at most 1, or a number of steps above 1.
    """

    first: float
    last: float
    until: float
    shape: str

    def at(self, step: int, steps: int) -> float:
        """Return the number at a step, from 0, of so many."""
        end = self.until if self.until > 1 else self.until * steps
        return float(SHAPES[self.shape](self.first, self.last, min(1.0, step / end)))

    def __str__(self) -> str:
        return f"from {self.first!r} to {self.last!r} until {self.until:.12g} {self.shape}"


def written(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a suite's keys with every schedule as its line of text, also in `per_problem`, `per_model`, `tuning`."""
    done: dict[str, Any] = {}
    for key, value in settings.items():
        if key in ("per_problem", "per_model") and isinstance(value, dict):
            done[key] = {name: written(own) if isinstance(own, dict) else own for name, own in value.items()}
        elif key == "tuning" and isinstance(value, list):
            done[key] = [written(own) if isinstance(own, dict) else own for own in value]
        elif key in ("tuning", "margins"):
            done[key] = value
        else:
            several = value if isinstance(value, list) else [value]
            texts = [_line(key, own) if isinstance(own, dict) else own for own in several]
            done[key] = texts if isinstance(value, list) else texts[0]
    return done


def _line(key: str, given: Mapping[Any, Any]) -> Any:
    if "." not in key:
        if {"from", "to"} & given.keys():
            raise UserError(f"The key '{key}' cannot follow a schedule: it is the same for the whole training.")
        return given
    for part in given:
        if part not in PARTS:
            raise unknown(f"part of the schedule of '{key}'", str(part), PARTS)
    if not {"from", "to"} <= given.keys():
        raise UserError(f"A schedule of '{key}' goes {{from: NUMBER, to: NUMBER}}, got {quoted(dict(given))}.")
    until, shape = given.get("until", 1.0), given.get("shape", "linear")
    ends = given["from"], given["to"], until
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in ends):
        raise UserError(f"A schedule of '{key}' goes from a number to a number until one, got {quoted(dict(given))}.")
    if shape not in SHAPES:
        raise unknown(f"shape of the schedule of '{key}'", str(shape), SHAPES)
    return str(Schedule(float(given["from"]), float(given["to"]), float(until), shape))


def read(value: Any) -> Schedule | None:
    """Return the schedule that a line of text is; None for everything else."""
    match = LINE.match(value) if isinstance(value, str) else None
    if match is None or match[4] not in SHAPES:
        return None
    try:
        return Schedule(float(match[1]), float(match[2]), float(match[3]), match[4])
    except ValueError:
        return None


def of(plugin: Plugin, hypers: Mapping[str, Any]) -> dict[str, Schedule]:
    """Return the schedules among a plug-in's settings: lines of text where it has a number."""
    found = {key: read(value) for key, value in hypers.items() if isinstance(plugin.hypers.get(key), float)}
    return {key: schedule for key, schedule in found.items() if schedule is not None}


def check(key: str, plugin: Plugin, hyper: str, value: Any) -> bool:
    """Tell whether a value is a schedule of a setting; UserError for one that it cannot follow."""
    schedule, default = read(value), plugin.hypers[hyper]
    if schedule is None or isinstance(default, str):
        return False
    acts_on = plugin.declared("acts_on") if plugin.kind == "trick" else ""
    if plugin.kind not in FOLLOWING or acts_on in BUILT or plugin.meta.get("phase"):
        raise UserError(f"The key '{key}' cannot follow a schedule: what it sets is built once.")
    if not isinstance(default, float):
        what = "a whole number" if isinstance(default, int) and not isinstance(default, bool) else "no number"
        raise UserError(f"The key '{key}' cannot follow a schedule: it is {what}.")
    for end in (schedule.first, schedule.last):
        if wanted := ranges.outside(ranges.bounds_of(plugin.function, hyper), end):
            raise UserError(f"The key '{key}' must be {wanted}, got {end:g} in its schedule.")
    if not schedule.until > 0 or not math.isfinite(schedule.until):
        raise UserError(
            f"The schedule of '{key}' ends at a share of the training, above 0 and at most 1, or at a step, got "
            f"{schedule.until:g}."
        )
    if schedule.shape == "geometric" and not schedule.first * schedule.last > 0:
        raise UserError(f"The schedule of '{key}' is geometric: both of its ends have one sign, and none is 0.")
    return True
