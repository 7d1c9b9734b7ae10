"""What verdicts rest on, in words: a run's numbers beside the oracle's, its best probe, and how it moved."""

from __future__ import annotations

import numpy as np

from ganbench.analysis.verdicts.case import Case, Ended, Held
from ganbench.analysis.verdicts.movements import Movement
from ganbench.arrays import Values

TIGHT = 5
"""Probes in a row with a quality above the oracle's before the evidence calls the samples too tight."""

CLEAN = 0.97
"""Of the oracle's quality: with less the evidence of good samples says how many are none."""


def named(measure: str) -> str:
    """Return a measure's name in words."""
    return measure.replace("_", " ")


def counted(case: Case, at: int) -> str:
    """Return "7 of 8 modes covered" at a probe."""
    return f"{case.count[at]:.0f} of {case.modes} {named(case.view.count or '')}"


def value(case: Case, measure: str) -> str:
    """Return "recall 0.9 (oracle 0.95)" at the last probe."""
    text = f"{named(measure)} {case.columns[measure][-1]:.2g}"
    perfect = case.oracle.get(measure)
    return text if perfect is None else f"{text} (oracle {perfect:.2g})"


def numbers(case: Case) -> str:
    """Return the last probe's modes, quality, diversity and fidelity to labels."""
    parts = [counted(case, -1)] if case.modes is not None else []
    measures = (case.view.quality, *case.view.diversity, case.view.fidelity)
    parts += [value(case, measure) for measure in measures if measure and case.has(measure)]
    return ", ".join(parts)


def best(case: Case, score: Values) -> str:
    """Return what the run had at the probe of its best score [probes]; nothing where that is the last."""
    at = int(np.argmax(np.where(case.trained, score, -1.0)))
    if at == len(case.steps) - 1:
        return ""
    reached = f"{named(case.view.quality)} {case.columns[case.view.quality][at]:.2f}"
    modes = f", {counted(case, at)}" if case.modes is not None else ""
    return f"; at its best (step {int(case.steps[at])}): {reached}{modes}"


def missed(case: Case) -> str:
    """Return how many modes chance alone may miss, where some are missing."""
    if case.modes is None or not case.count[-1] < case.modes:
        return ""
    return f"; with so few good samples a probe misses up to {case.missable[-1]:.0f} by chance"


def tight(case: Case) -> str:
    """Return that the samples are too tight around their modes, where quality tells it and no width was measured."""
    # five in a row: a perfect sampler's single probe is above the oracle every other time
    above = case.raw[case.trained][-TIGHT:] > 1.005
    told = case.view.width in case.columns or case.view.bar != "quality_bar"
    if told or len(above) < TIGHT or not above.all():
        return ""
    return f"; above the oracle in the last {TIGHT} probes: the samples are too tight around their modes"


def garbage(case: Case) -> str:
    """Return which share of the samples is off the data, where it is not next to none."""
    off = 1 - float(case.quality[-1]) if case.view.bar == "quality_bar" and case.view.count else 0.0
    return f"; {100 * off:.0f} % of the samples are off the data" if 1 - CLEAN < off < 1 else ""


def holes(case: Case) -> str:
    """Return at which probes before the last no quality was measured, as a sentence after a full stop."""
    if not case.holes:
        return ""
    steps = ", ".join(map(str, case.holes[:3])) + (f" and {len(case.holes) - 3} more" if case.holes[3:] else "")
    return f" Nothing finite was measured at step{'s' * (len(case.holes) > 1)} {steps}."


# ------------------------------------------------------------------------------------------ evidence of the rules


def where_it_ended(case: Case, held: Held) -> str:
    """Return the last probe beside the best one by quality and breadth."""
    return f"{numbers(case)}{best(case, case.raw + case.breadth)}{tight(case)}."


def what_it_lost(case: Case, held: Held) -> str:
    """Return the last probe beside the one with the most modes or diversity."""
    return f"{numbers(case)}{best(case, case.breadth * case.decent)}."


def what_it_has(case: Case, held: Held) -> str:
    """Return the last probe of a run that needs no other."""
    return f"{numbers(case)}{missed(case)}{tight(case)}{garbage(case)}."


def of_its_shape(case: Case, held: Held) -> str:
    """Return the last probe, and what of its samples' shape is not the data's."""
    view = case.view
    names = (view.width if case.tight[-1] else None, view.repeats if case.replayed[-1] else None)
    more = [value(case, name) for name in names if name is not None]
    if case.uneven[-1] and view.divergence is not None:
        more.append(value(case, view.divergence))
        more += [_fullest(case)] if case.shares is not None else []
    return f"{', '.join([numbers(case), *more])}."


def _fullest(case: Case) -> str:
    """Return the mode whose share is furthest from the true one."""
    assert case.shares is not None
    at = int(np.argmax(np.abs(case.shares[-1] - case.true_shares)))
    return f"mode {at} has {100 * case.shares[-1, at]:.0f} % instead of {100 * case.true_shares[at]:.0f} %"


def what_is_left(case: Case, held: Held) -> str:
    """Return the last probe beside the best one, and how little samples differ where they are as good as one."""
    if not case.constant[-1] or case.view.spread is None:
        return where_it_ended(case, held)
    text = f"{numbers(case)}, {value(case, case.view.spread)}: all samples are as good as one"
    return f"{text}{best(case, case.raw + case.breadth)}."


def what_it_lacks(ended: Ended, held: Held) -> str:
    """Return the last probe of a run that has not failed, beside its best one."""
    if ended.case is None:
        return "No quality was measured, so there is nothing to judge by."
    case = ended.case
    return f"{numbers(case)}{best(case, case.raw + case.breadth)}{missed(case)}."


def how_it_rises(case: Case, held: Held) -> str:
    """Return the last probe, and how much of its quality came at the end."""
    before = float(case.columns[case.view.quality][case.steps == held.onset][0])
    return f"{numbers(case)}; {named(case.view.quality)} was {before:.2g} at step {held.onset}, and still rises."


def gradient(case: Case, held: Held) -> str:
    """Return the last probe with what tells that the generator's gradient is gone."""
    text = numbers(case)
    norm = case.view.gradient
    text += "".join(f", {value(case, name)}" for name in (case.view.saturation, norm) if name in case.columns)
    if norm in case.columns:
        early = float(case.early(norm).max(initial=0.0))
        text += f" (early {early:.2g})" if early >= case.limit("no_gradient") else " (absent from the start)"
    return f"{text}."


def last_finite(ended: Ended, held: Held) -> str:
    """Return when a run left the finite numbers, and its last probe before."""
    text = "Left the finite numbers" + (f" at step {held.onset}" if held.onset is not None else "")
    if (case := ended.case) is not None:
        before = f"{named(case.view.quality)} {case.columns[case.view.quality][-1]:.2f}"
        if case.modes is not None:
            before += f", {case.count[-1]:.0f} {named(case.view.count or '')}"
        text += f"; last measured at step {int(case.steps[-1])}: {before}"
    return f"{text}."


def reason(ended: Ended, held: Held) -> str:
    """Return why the program or the machine failed."""
    return str(ended.reason)


def rotation(case: Case, held: Held) -> str:
    """Return how many modes a run holds at once and over time."""
    assert held.movement is not None
    return moving(case, held.movement, "moves on to others")


def oscillation(case: Case, held: Held) -> str:
    """Return between what a run swings."""
    movement = held.movement
    assert movement is not None
    if case.moving and case.moving[1]:
        return moving(case, movement, "moves between two sets of them")
    what, low, high = _swung(case, movement)
    text = f"{what[0].upper()}{what[1:]} swings between {low} and {high} since step {held.onset}"
    return f"{text}, with {movement.moves} falls and rises; at the end {numbers(case)}."


def moving(case: Case, movement: Movement, how: str) -> str:
    """Return how the set of modes that a run holds moves."""
    step, noun = int(case.steps[movement.start]), named(case.view.count or "").split(" ")[0]
    text = f"Holds at most {movement.low:.0f} {noun} at any probe since step {step} and {movement.high:.0f} of"
    return f"{text} {case.modes} over all of them: {how}, {movement.moves} times; at the end {numbers(case)}."


def _swung(case: Case, movement: Movement) -> tuple[str, str, str]:
    """Return what swings, and between which values."""
    if movement.what:
        perfect = case.oracle.get(movement.what, 1.0)
        return named(movement.what), f"{movement.low * perfect:.2f}", f"{movement.high * perfect:.2f}"
    if case.modes:
        low, high = (f"{share * case.modes:.0f}" for share in (movement.low, movement.high))
        return named(case.view.count or ""), low, high
    return "diversity", f"{movement.low:.2f}", f"{movement.high:.2f}"
