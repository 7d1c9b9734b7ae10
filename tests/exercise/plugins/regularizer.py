"""A regularizer of one's own."""

from ganbench import register


@register("regularizer", acts_on="inputs")
def drift(critic, real, fake, uniform, *, weight: float = 1e-3):
    """Drift: keeps the logits of real samples near zero (Karras 2018, app. A.1)."""
    return weight * critic(real).square().mean(-1)
