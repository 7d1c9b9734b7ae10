"""What is made beside the samples is made on their device: shown on `meta`, which mixes with no other."""

from functools import partial

import pytest
import torch

from ganbench.metrics import distances, diversity, kernels, transport
from ganbench.metrics.distances import Points

N, D = 40, 6
INDEX = {"dtype": torch.long, "device": "meta"}


def samples(*shape):
    return torch.empty(*shape, device="meta", dtype=torch.float64)


MADE = {
    "samples of float32": lambda: Points(samples(2, N, D), samples(1, D)).part(slice(3, 9), torch.float32)[0],
    "differences": lambda: distances.differences(
        samples(2, N, D), samples(1, N, D), *(torch.empty(9, **INDEX) for _ in range(3))
    ),
    "neighbours": lambda: distances._ascending(samples(2, N, D), torch.empty(2, N, 3, **INDEX)),
    "the smallest of many": lambda: distances._smallest(samples(2, 100), 2)[0],
    "the smallest of few": lambda: distances._smallest(samples(2, 10), 2)[0],
    "three moments": lambda: kernels._cubic_moments(samples(2, N, D)).weighted,
    "the diagonal": lambda: kernels._cubic_moments(samples(2, N, D)).diagonal,
    "a mean within": lambda: kernels._mean_within(samples(N, D), partial(kernels._cubic_kernel, D)),
    "a sum across": lambda: kernels._sum(samples(N, D), samples(9, D), partial(kernels._cubic_kernel, D)),
    "projections": lambda: transport._sorted_projections(samples(2, N, D), samples(D), samples(D, 3)),
    "a histogram": lambda: diversity._histogram(torch.empty(2, N, **INDEX), 5),
}


@pytest.mark.parametrize("what", MADE)
def test_what_is_made_stays_on_the_device(what):
    assert MADE[what]().device.type == "meta"
