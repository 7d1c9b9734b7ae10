"""A term of one's own."""

from ganbench import register


@register("term", players="g")
def centred(scene, *, weight: float = 0.1):
    """Centred: G's samples have the mean of the real ones."""
    real, fake = (seen.samples.flatten(2).mean(1) for seen in (scene.real, scene.fake))
    return weight * (real - fake).square().sum(-1)
