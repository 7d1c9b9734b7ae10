"""A normalization of one's own."""

from torch import nn

from ganbench import register


@register("normalization", keeps=("channels", "pixels"), provides={"independent_samples"})
def whole_sample(layer):
    """Whole sample: mean 0 and variance 1 over all channels and pixels of a sample (Ba 2016)."""
    features = getattr(layer, "out_features", None) or layer.out_channels
    return nn.Sequential(layer, nn.GroupNorm(1, features))
