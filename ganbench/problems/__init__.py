"""Problems: data distributions with their oracle. Importing this package registers the built-in ones."""

from ganbench.problems import (
    adapting,
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
    unpaired,
)
from ganbench.problems.base import Modes, Problem

__all__ = [
    "Modes",
    "Problem",
    "adapting",
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
    "unpaired",
]
