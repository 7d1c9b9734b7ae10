"""An update rule of one's own."""

from ganbench import register


@register("update")
def critic_twice(round):
    """The critic moves before and after the generator."""
    for player in ("d", "g", "d"):
        round.descend(player, round.gradient(player))
