"""All metrics of a problem at once, for all runs of a population, and the same for a perfect sampler."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from ganbench import registry
from ganbench.metrics.inputs import exact, home
from ganbench.metrics.reference import Reference, Training
from ganbench.problems.base import Batch, Given, Problem, on_device, stacked, stream
from ganbench.problems.features import spaces

ORACLE_DRAWS = 32
# training samples to measure against where they have no end
FRESH = 10_000


class Evaluator:
    """Measures fakes against a problem in each of its feature spaces; the first space gives the plain columns.

    `samples` fakes a run are asked for, fewer where the problem holds fewer real ones back for its oracle. `asked` are
    feature spaces beside the problem's own, `metrics` those beside what is always measured, of which those count that
    fit it. Samples go to the CPU to be measured where their device has no float64.
    """

    def __init__(
        self,
        problem: Problem,
        samples: int,
        neighbours: int,
        device: torch.device | None = None,
        asked: Sequence[str] = (),
        metrics: Sequence[str] = (),
    ) -> None:
        self.problem, self.device = problem, device or torch.device("cpu")
        self.metrics = [
            metric for metric in registry.plugins("metric") if not metric.declared("asked") or metric.name in metrics
        ]
        # measured at the size of the oracle's sample, so that the two can be compared
        self.samples = len(problem.oracle_samples(samples))
        self.spaces = spaces(problem, asked)
        self.main = problem.feature_spaces[0] if problem.feature_spaces else None
        real = problem.reference(None if "image" in problem.capabilities else samples).to(self.device)
        self.references = {
            space: Reference(
                features(real),
                modes=problem.modes if "modes" in features.provides else None,
                class_head=features.class_head,
                neighbours=min(neighbours, self.samples),
                shuffled=True,  # problems draw them, or hold them in random order
                training=partial(self._training, space),
            )
            for space, features in self.spaces.items()
        }

    @property
    def modes(self) -> int | None:
        """The number of modes or classes, None for a problem without."""
        if self.problem.modes:
            return len(self.problem.modes.centres)
        return None if self.problem.labels is None else int(self.problem.labels.max()) + 1

    @cached_property
    def _trained_on(self) -> Batch:
        """All training samples with what is given with them; where they have no end, a fresh draw."""
        table = self.problem.table
        if table is None:
            return self.problem.draw(FRESH, stream("measured training samples", 0))
        return table.batch(torch.arange(len(table.rows)))

    def _training(self, space: str) -> Training:
        batch = self._trained_on
        given = batch.given.to(home(self.device)) if isinstance(batch.given, Tensor) else None
        return Training(Reference(self.spaces[space](batch.x.to(self.device))), given)

    @torch.no_grad()
    def measure(self, fake: Tensor, given: Given = None) -> dict[str, Tensor]:
        """Return every column [runs] for fakes [runs, n, *shape]; NaN for runs whose fakes are not all finite.

        Finite in every feature space: finite images can have features beyond the finite numbers. given: what the fakes
        were made for, [runs, n, ...].
        """
        place = home(fake.device)
        spaces = {space: features(fake).to(place) for space, features in self.spaces.items()}
        fake, given = fake.to(place), on_device(given, place)
        finite = torch.stack([_finite(values) for values in (fake, *spaces.values())]).all(0)
        columns: dict[str, Tensor] = {}
        for space, values in spaces.items():
            mapped = torch.where(finite[:, None, None], values, 0.0)
            for metric in self.metrics:
                columns.update(self._apply(metric, space, mapped, given))
        return {name: torch.where(finite, exact(column), float("nan")) for name, column in columns.items()}

    def _apply(self, metric: registry.Plugin, space: str, mapped: Tensor, given: Given) -> dict[str, Tensor]:
        reference = self.references[space]
        at_home = space == (metric.declared("space") or self.main)
        offered = reference.provides | ({"label"} if self.problem.gives else set())
        offered |= {registry.FINITE} if self.problem.table is not None else set()
        if not set(metric.needs) <= offered or not (at_home or metric.declared("spaces")):
            return {}
        beside = (given,) if metric.declared("labelled") else ()
        values = metric(reference, mapped, *beside, **metric.hypers)
        return values if at_home else {f"{name}_{space}": value for name, value in values.items()}

    def oracle(self) -> dict[str, float]:
        """Return what a perfect sampler scores at the same sample size, the mean over a few draws."""
        draws = [self.problem.oracle(self.samples, seed=seed) for seed in range(ORACLE_DRAWS)]
        given = on_device(stacked([draw.given for draw in draws]), self.device)
        columns = self.measure(torch.stack([draw.x for draw in draws]).to(self.device), given)
        return {name: float(column.mean()) for name, column in columns.items()}


def _finite(values: Tensor) -> Tensor:
    return values.isfinite().flatten(1).all(1)
