"""A trick of one's own."""

from ganbench import register


@register("trick", acts_on="logits", needs={"loss_of_logits": "it changes the logits that G's loss is taken on"})
def bounded_logits(real_logits, fake_logits, progress, *, bound: float = 5.0):
    """Bounded logits: G learns nothing from fakes of which D is too sure."""
    return real_logits.clamp(-bound, bound), fake_logits.clamp(-bound, bound)
