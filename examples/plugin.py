"""Plug-ins of one's own, in one file: a loss and a regularizer, which can be swept like those that are shipped.

ganbench verify examples/plugin.py
ganbench run problem=ring8 loss=hinge,soft_hinge regularizer=none,drift --plugin examples/plugin.py
"""

from torch.nn.functional import softplus

from ganbench import register


@register("loss")
def soft_hinge(real_logits, fake_logits, *, margin: float = 1.0):
    """Soft hinge: the hinge loss without its corner."""
    d_loss = softplus(margin - real_logits).mean() + softplus(margin + fake_logits).mean()
    return d_loss, -fake_logits.mean()


@register("regularizer", acts_on="inputs")
def drift(critic, real, fake, uniform, *, weight: float = 1e-3):
    """Drift: keeps the logits of real samples near zero (Karras 2018, app. A.1)."""
    return weight * critic(real).square().mean(-1)
