"""A study's figures in a notebook: those of the report, handed to pyplot, which shows them below the cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ganbench.analysis import Study
from ganbench.arrays import Array
from ganbench.errors import UserError, unknown
from ganbench.report import drawn
from ganbench.report.context import Context
from ganbench.report.figures import Curves, curves
from ganbench.report.robustness import robustness_page


class Plots:
    """What a study can draw: `grid`, `curves`, `samples`, `robustness`, each for all its problems or for one.

    Every call returns the axes that it drew on, [axes], to be changed before they are shown or saved
    (`axes[0].figure.savefig("grid.pdf")`). Colours and numbers are the report's. UserError for a problem or a measure
    that the study does not have, and where there is nothing to draw yet.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def __repr__(self) -> str:
        return f"Plots of {self.study.name}: grid(), curves(), samples(), robustness()"

    def grid(self, problem: str | None = None, measure: str | None = None) -> Array:
        """Draw the heat map of every combination: its failed seeds, or the median of a measure's final values."""
        known = {name for each in self._context.problems for name in self._context.measures(each)}
        if measure is not None and measure not in known:
            raise unknown("measure", measure, known)
        return self._drawn(problem, lambda name: drawn.heat_maps(self._context, name, measure))

    def curves(self, problem: str | None = None, measures: Sequence[str] | None = None) -> Array:
        """Draw measures over training: medians over seeds, the middle half around them, and single seeds."""
        for measure in measures or ():
            if measure not in self.study.series.columns:
                raise unknown(
                    "measure", measure, [str(name) for name in self.study.series if name not in ("run", "step")]
                )
        return self._drawn(problem, lambda name: curves(self._context.study, name, measures, apart=True))

    def samples(self, problem: str | None = None) -> Array:
        """Draw real samples, and those of the first variants at the end of their median seed."""
        return self._drawn(problem, lambda name: drawn.samples(self._context, name))

    def robustness(self, problem: str | None = None) -> Array:
        """Draw what share of its settings each method survives, and what the best of so many trials is worth."""
        groups = robustness_page(self._context, apart=True)
        if groups is None:
            raise UserError(f"The study '{self.study.name}' tries its methods at one setting: `tuning` tries several.")
        figures = {group["problem"]: group["figures"] for group in groups}
        return self._drawn(problem, lambda name: figures.get(name, ()))

    @cached_property
    def _context(self) -> Context:
        return Context(self.study)

    def _drawn(self, problem: str | None, draw: Callable[[str], Iterable[Curves]]) -> Array:
        problems = self._context.problems
        if problem is not None and problem not in problems:
            raise unknown("problem", problem, problems)
        figures = [one.figure for name in ([problem] if problem else problems) for one in draw(name)]
        if not figures:
            raise UserError(f"The study '{self.study.name}' has nothing to draw yet: none of its runs has got so far.")
        for figure in figures:
            _show(figure)
        axes: Any = np.empty(sum(len(figure.axes) for figure in figures), dtype=object)
        axes[:] = list(chain.from_iterable(figure.axes for figure in figures))
        return axes


def _show(figure: Figure) -> None:
    """Make pyplot take care of a figure: a notebook shows it below the cell, `plt.show()` in a window."""
    made: Any = lambda *_, **__: figure  # noqa: E731 - pyplot asks for a class, and calls it
    plt.figure(FigureClass=made)
