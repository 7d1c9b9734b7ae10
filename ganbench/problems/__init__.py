"""Problems: data distributions with their oracle. Importing this package registers the built-in ones."""

from ganbench.problems import games, images, mixtures, shapes
from ganbench.problems.base import Modes, Problem

__all__ = ["Modes", "Problem", "games", "images", "mixtures", "shapes"]
