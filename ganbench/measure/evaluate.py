"""All metrics of a problem at once, for all runs of a population, and the same for a perfect sampler."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from ganbench import registry
from ganbench.measure.of_models import Seen, seen_of
from ganbench.measure.returned import columns_of, kept
from ganbench.metrics.inputs import exact, home
from ganbench.metrics.reference import Reference, Training
from ganbench.problems.base import Batch, Given, Problem, mapped, on_device, stacked, stream
from ganbench.problems.features import spaces

ORACLE_DRAWS = 32
FEW_DRAWS = 2  # of them in expensive spaces
# samples to measure against where they have no end
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
        every = [
            metric for metric in registry.plugins("metric") if not metric.declared("asked") or metric.name in metrics
        ]
        self.metrics = [metric for metric in every if metric.declared("acts_on") == "samples"]
        self.of_models = [metric for metric in every if metric.declared("acts_on") == "models"]
        # measured at the size of the oracle's sample, so that the two can be compared
        self.samples = len(problem.oracle_samples(samples))
        self.spaces = spaces(problem, asked)
        self.main = problem.feature_spaces[0] if problem.feature_spaces else None
        real = problem.reference(None if "image" in problem.capabilities else samples).to(self.device)
        known = problem.labels if problem.labels is not None and len(problem.labels) == len(real) else None
        self.references = {
            space: Reference(
                features.of_reference(real),
                modes=problem.modes if "modes" in features.provides else None,
                class_head=features.class_head,
                neighbours=min(neighbours, self.samples),
                shuffled=True,  # problems draw them, or hold them in random order
                training=partial(self._training, space),
                held_out=partial(self._labelled_held_out, space),
                truth=problem.truth,
                labels=None if known is None else known.to(home(self.device)),
                perfect=None if features.class_head is None or problem.equal_classes else partial(self._perfect, space),
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

    def _labelled_held_out(self, space: str) -> Training:
        """Return held-out samples with their classes: all that are known, or a draw of its own of those without end."""
        known = self.problem.labelled_oracle()
        x, labels = self.problem.oracle(FRESH, seed=ORACLE_DRAWS) if known is None else known
        given = labels.to(home(self.device)) if isinstance(labels, Tensor) else None
        return Training(Reference(self.spaces[space](x.to(self.device))), given)

    def _perfect(self, space: str) -> Tensor:
        """Return features of a perfect generator's samples, as many as there are to estimate shares of classes by."""
        return self.spaces[space](self.problem.oracle_samples(FRESH).to(self.device)).to(home(self.device))

    @property
    def notes(self) -> list[str]:
        """What was made of the problem's data, and what its feature spaces say of themselves, in sentences."""
        return [*self.problem.notes, *(features.note for features in self.spaces.values() if features.note)]

    @torch.no_grad()
    def measure(self, fake: Tensor, given: Given = None, *, is_last: bool = True) -> dict[str, Tensor]:
        """Return every column [runs] for fakes [runs, n, *shape]; NaN for runs whose fakes are not all finite.

        Finite in every feature space: finite images can have features beyond the finite numbers. given: what the fakes
        were made for, [runs, n, ...]. is_last: measure in expensive spaces, too.
        """
        return self._measured(fake, given, [name for name in self.spaces if is_last or name not in self.expensive])

    @torch.no_grad()
    def measure_models(self, seen: Seen) -> dict[str, Tensor]:
        """Return the columns [runs] of metrics of models rather than of their samples."""
        found = [columns_of(metric, metric(seen, **metric.hypers), seen.runs) for metric in self.of_models]
        return {name: own for columns in found for name, own in columns.items()}

    @cached_property
    def held_out(self) -> Tensor:
        """Samples that no training step sees [n, *shape], as many as are measured."""
        return self.problem.oracle_samples(self.samples).to(self.device)

    @property
    def expensive(self) -> list[str]:
        """The feature spaces that are not measured at every probe."""
        return [name for name, features in self.spaces.items() if features.is_expensive]

    @torch.no_grad()
    def measure_expensive(self, fake: Tensor, given: Given, rows: Tensor) -> dict[str, Tensor]:
        """Return the columns [runs] of expensive spaces for some runs, rows [runs] of flags; NaN for the others."""
        few = self._measured(fake[rows], mapped(lambda part: part[rows], given), self.expensive)
        place = rows.to(home(fake.device))
        empty = torch.full(place.shape, float("nan"), dtype=torch.float64, device=place.device)
        return {name: empty.masked_scatter(place, column) for name, column in few.items()}

    def _measured(self, fake: Tensor, given: Given, names: Sequence[str]) -> dict[str, Tensor]:
        place, chosen = home(fake.device), {name: self.spaces[name] for name in names}
        spaces = {space: features(fake).to(place) for space, features in chosen.items()}
        fake, given = fake.to(place), on_device(given, place)
        finite = torch.stack([_finite(values) for values in (fake, *spaces.values())]).all(0)
        columns: dict[str, Tensor] = {}
        for space, values in spaces.items():
            clean = torch.where(finite[:, None, None], values, 0.0)
            for metric in self.metrics:
                columns.update(self._apply(metric, space, clean, given))
        return {name: torch.where(finite, exact(column), float("nan")) for name, column in columns.items()}

    def _apply(self, metric: registry.Plugin, space: str, mapped: Tensor, given: Given) -> dict[str, Tensor]:
        reference = self.references[space]
        at_home = space == (metric.declared("space") or self.main)
        # modes and classes are where a space has them, everything else is the problem's
        elsewhere = self.problem.capabilities | self.spaces[space].provides
        offered = reference.provides | (elsewhere - {"modes", "classes"})
        offered |= {registry.FINITE} if self.problem.table is not None else set()
        if not set(metric.needs) <= offered or not (at_home or metric.declared("spaces")):
            return {}
        beside = (given,) if metric.declared("labelled") else ()
        with kept(metric, mapped, reference.real):
            values = columns_of(metric, metric(reference, mapped, *beside, **metric.hypers), len(mapped))
        return values if at_home else {f"{name}_{space}": value for name, value in values.items()}

    def oracle(self) -> dict[str, float]:
        """Return what a perfect sampler scores at the same sample size, the mean over a few draws."""
        draws = [self.problem.oracle(self.samples, seed=seed) for seed in range(ORACLE_DRAWS)]
        given = on_device(stacked([draw.given for draw in draws]), self.device)
        fake = torch.stack([draw.x for draw in draws]).to(self.device)
        columns = self.measure(fake, given, is_last=False)
        if self.expensive:
            few = self.measure(fake[:FEW_DRAWS], mapped(lambda part: part[:FEW_DRAWS], given))
            columns = {**few, **columns}
        columns |= self.measure_models(seen_of(self.problem, self.held_out.cpu()))
        return {name: float(column.mean()) for name, column in columns.items()}


def _finite(values: Tensor) -> Tensor:
    # the extremes of what holds a NaN are NaN
    low, high = values.flatten(1).aminmax(dim=1)
    return low.isfinite() & high.isfinite()
