"""All rules of the doctor, those first whose fault explains what others would find."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ganbench.monitor.doctor import batches, moves, scores, swapped, wiring
from ganbench.monitor.doctor.trace import Fault, Trace

RULES: tuple[Callable[[Trace], Iterator[Fault]], ...] = (
    wiring.not_finite,
    wiring.shared,
    wiring.holds_the_others,
    wiring.in_no_optimizer,
    wiring.frozen,
    wiring.steps_without_gradient,
    wiring.never_cleared,
    wiring.other_ones_gradient,
    wiring.skipped_steps,
    wiring.partly_cleared,
    wiring.replaced,
    moves.put_back,
    swapped.labels_swapped,
    scores.one_side_only,
    scores.sigmoid_twice,
    scores.penalty_without_graph,
    scores.constant_scores,
    wiring.zero_gradient,
    batches.latents,
    batches.repeated_data,
    batches.mode,
    batches.sizes,
    batches.ranges,
    batches.other_data,
    batches.labels,
    scores.no_pull,
    scores.clipped_weights,
    moves.rates,
    moves.step_size,
    moves.turns,
    batches.batch_statistics,
    batches.not_called,
)
