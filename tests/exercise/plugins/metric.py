"""A metric of one's own."""

from ganbench import register
from ganbench.registry import positive


@register("metric", measures={"mean_distance": positive("distance of the mean from that of real samples", "down")})
def mean_distance(real, fake):
    """Distance of the means: what the simplest of moments says."""
    return {"mean_distance": (fake.double().mean(-2) - real.real.double().mean(0)).norm(dim=-1)}
