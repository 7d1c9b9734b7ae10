"""A loss of one's own."""

from torch.nn.functional import softplus

from ganbench import register


@register("loss", boundary=0.0, saturates=False, divergence="no closed form is known")
def soft_hinge(real_logits, fake_logits, *, margin: float = 1.0):
    """Soft hinge: the hinge loss without its corner."""
    d_loss = softplus(margin - real_logits).mean() + softplus(margin + fake_logits).mean()
    return d_loss, -fake_logits.mean()
