"""A diagnostic of one's own."""

from ganbench import register
from ganbench.registry import positive


@register("diagnostic", measures={"logit_spread": positive("standard deviation of D's logits of fakes")})
def logit_spread(game):
    """Spread of the logits: near zero where D scores all fakes alike."""
    return {"logit_spread": game.fake_logits.detach().std(-1)}
