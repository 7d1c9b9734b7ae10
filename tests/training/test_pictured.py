"""What a problem gives: pictures that reach both players, joined with what each of them sees."""

import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.errors import UserError
from ganbench.measure.diagnostics import Game
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population

PAIRS = ["problem=outlines", "seeds=2", "steps=20", "batch_size=6", "latent_dim=3"]
PICTURED = {
    "pix2pix": ["network=pix2pix", "network.pix2pix.width=2", "g_normalization=batch", "normalization=batch"],
    "pictured_mlp": ["network=pictured_mlp", "network.pictured_mlp.width=6"],
}


def population(*overrides):
    runs = resolve(None, over(list(overrides))).runs
    return Population(list(runs), make_problem(runs[0].variant), torch.device("cpu"), torch.float64)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("name", PICTURED)
def test_pictures_reach_both_players_beside_what_they_see(name, told):
    """Joined by hand: channels, or rows of numbers; a D that is not told sees the sample alone."""
    own = population(*PAIRS, *PICTURED[name], f"network.{name}.told={told}")
    x, given = own.draw("data", 0), own.given("data", 0)
    z = own.draw("d latent", 0)
    generator, critic = (pair.double() for pair in build_networks(own.variant, own.problem, own.runs[1].seed))
    if name == "pix2pix":
        planes = z[1][:, :, None, None].expand(-1, -1, 8, 8)
        beside, seen = torch.cat([planes, given[1]], 1), torch.cat([x[1], given[1]], 1) if told else x[1]
    else:
        beside = torch.cat([z[1], given[1].flatten(1)], 1)
        seen = torch.cat([x[1].flatten(1), given[1].flatten(1)], 1) if told else x[1]
    torch.testing.assert_close(own.generate(z, given)[1], generator.body(beside))
    torch.testing.assert_close(own.criticise(x, given)[1], critic.body(seen).flatten())


def test_a_picture_of_a_half_of_the_side_is_enlarged():
    own = population(*PAIRS[1:], "problem=upscaled_digits", *PICTURED["pix2pix"])
    _, critic = (pair.double() for pair in build_networks(own.variant, own.problem, own.runs[0].seed))
    x, given = own.draw("data", 0), own.given("data", 0)
    assert tuple(given.shape) == (2, 6, 1, 4, 4)
    seen = torch.cat([x[0], torch.kron(given[0], torch.ones(2, 2, dtype=given.dtype))], 1)
    torch.testing.assert_close(own.criticise(x, given)[0], critic.body(seen).flatten())


def test_a_probe_asks_what_another_picture_does_to_logits():
    own = population(*PAIRS, *PICTURED["pix2pix"])
    given = own.given("data", 0)
    given[1] = given[1, :1]  # a run that is given one picture alone
    with own.measuring():
        logits, differs = own.game(given).relabelled(own.draw("data", 0))
        columns = registry.get("diagnostic", "labels")(
            Game(own.game(given), own.draw("data", 0), own.draw("d latent", 0))
        )
    assert tuple(logits.shape) == (2, 6 * 4)
    assert differs.tolist() == [(given[0] != given[0].roll(1, 0)).flatten(1).any(1).tolist(), [False] * 6]
    assert columns["d_label_effect"][0] > 0
    assert columns["d_label_effect"][1].isnan()


def test_where_pictures_have_no_partners_a_d_that_is_told_nothing_lacks_nothing():
    small = ["seeds=2", "steps=20", "batch_size=6", *PICTURED["pictured_mlp"], "network.pictured_mlp.told=false"]
    for problem, lacks in (("glyph_digits", False), ("outlines", True)):
        own = population(f"problem={problem}", *small)
        with own.measuring():
            assert (own.game(own.given("data", 0)).relabelled(own.draw("data", 0)) is not None) is lacks


@pytest.mark.parametrize(("overrides", "reason"), [
    (["network=mlp"], "mlp with problem outlines: it takes nothing given: "
     "conditional_mlp takes labels, pictured_mlp pictures"),
    (["network=patchgan"], "patchgan with problem outlines: it takes no picture"),
    (["network=conditional_mlp"], "conditional_mlp with problem outlines: it takes no picture"),
    (["problem=digits_labelled", "network=pix2pix"],
     "pix2pix with problem digits_labelled: it needs a problem that gives pictures"),
])  # fmt: skip
def test_what_takes_no_picture_says_so(overrides, reason):
    with pytest.raises(UserError) as told:
        resolve(None, over([*PAIRS, *overrides]))
    assert reason in str(told.value)
