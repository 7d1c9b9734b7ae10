"""The losses of the two players (Goodfellow 2014), of logits."""

from torch.nn.functional import softplus


def discriminator_loss(real_logits, fake_logits):
    """Say real of real samples, and fake of fakes."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def generator_loss(fake_logits):
    """Have D say real of fakes."""
    return softplus(-fake_logits).mean()
