"""The worst run of every variant that regressed, as a picture beside its study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from ganbench.analysis.regressions import Regression, WorseRun
from ganbench.report import thumbnails
from ganbench.results.study import Study

LARGER = 4
"""Pixels of a side for one of a thumbnail's."""


def drawn(regressions: Sequence[Regression], studies: Sequence[Study]) -> tuple[Regression, ...]:
    """Return regressions whose worst run has a picture of its last samples, a PNG in its study's folder.

    Where nothing was sampled, or the folder takes no file, there is none.
    """
    known = {str(study.path): study for study in studies}
    return tuple(_with_picture(one, known[one.worst.study]) for one in regressions)


def _with_picture(regression: Regression, study: Study) -> Regression:
    worst = regression.worst
    place = draw(study, worst)
    runs = [replace(run, picture=str(place)) if run is worst and place else run for run in regression.runs]
    return replace(regression, runs=tuple(runs))


def draw(study: Study, run: WorseRun) -> Path | None:
    """Write the picture of a run's last samples, and return its path."""
    samples = study.samples(run.run)
    if not samples:
        return None
    label = str(study.runs.loc[study.runs["run"] == run.run, "problem"].iloc[0])
    last, real, centres = samples[max(samples)], study.real_samples(label), study.centres(label)
    view = thumbnails.frame(real, centres[0] if centres else None) if real.ndim == 2 and len(real) else None
    picture = thumbnails.picture(last, view, centres)
    file = study.path / f"worst-{re.sub(r'[^A-Za-z0-9._=+-]+', '-', run.run)[:120]}.png"
    try:
        picture.resize((picture.width * LARGER, picture.height * LARGER), Image.Resampling.NEAREST).save(file)
    except OSError:  # a study that may only be read
        return None
    return file
