"""Problems: data distributions with their oracle. Importing this package registers the built-in ones."""

from ganbench.problems import (
    files,
    games,
    images,
    mixtures,
    rendered,
    restyled,
    shapes,
    stacked,
    tables,
    translation,
    unlabelled,
    unpaired,
    waveforms,
)
from ganbench.problems.base import Modes, Problem

__all__ = [
    "Modes",
    "Problem",
    "files",
    "games",
    "images",
    "mixtures",
    "rendered",
    "restyled",
    "shapes",
    "stacked",
    "tables",
    "translation",
    "unlabelled",
    "unpaired",
    "waveforms",
]
