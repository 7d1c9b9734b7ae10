"""K-means with fixed seeds, on which the histograms of several metrics rest."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.cluster import KMeans


def k_means(points: np.ndarray, clusters: int, seed: int, weights: np.ndarray | None = None) -> KMeans:
    """Return k-means fitted to points [n, d] from k-means++ with a generator of its own."""
    # takes most of a second to import, which a run that measures nothing of the kind should not spend
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # a collapsed generator has fewer distinct points than clusters: some then stay empty, which is the right answer
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(clusters, n_init=1, random_state=seed).fit(points, sample_weight=weights)
