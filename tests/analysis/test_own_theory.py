"""A user's update rule, players, game and regularizer can have theory, and those without it stop nothing."""

import math

import pytest
from overriding import over

from ganbench import api, registry
from ganbench.analysis import courses
from ganbench.analysis.theory import linear_games, predict, resolution
from ganbench.errors import UserError
from ganbench.gan.linear import LinearGame
from ganbench.problems.games import PointGame
from ganbench.report import build
from ganbench.suite import resolve

pytestmark = pytest.mark.usefixtures("own_registry")

ETA = 0.2
GAME = ["optimizer=sgd", f"optimizer.sgd.g_lr={ETA}", f"optimizer.sgd.d_lr={ETA}", "seeds=1", "problem=dirac",
        "network=point", "loss=wasserstein"]  # fmt: skip
RULE = '''
from ganbench import register

EACH = {"one_turn_each": "the rule moves both players at once"}


def map_of(step, *, times):
    field = step.game.field.copy()
    field[: len(field) // 2] *= times
    step.descend(field @ step.x)


@register("update", needs=EACH, linear=map_of)
def hasty(round, *, times: float = 2.0):
    """G descends a multiple of its gradient, both at once."""
    gradients = {"d": round.gradient("d"), "g": times * round.gradient("g")}
    for player, gradient in gradients.items():
        round.descend(player, gradient)
'''
PLAYERS = '''
from torch import nn

from ganbench import register


class One(nn.Module):
    def forward(self, latents):
        return latents[:, :1] * 0 + 1


@register("network", needs={"game_of_points": "it plays games of points"}, provides={"point"}DECLARED)
def short(spec):
    """G puts out a point, D is linear."""
    (size,) = spec.shape
    return nn.Sequential(One(), nn.Linear(1, size, bias=False)), nn.Linear(size, 1, bias=False)
'''


def variant_of(*overrides):
    (variant,) = resolve(None, over([*GAME, *overrides])).variants
    return variant


def loaded(tmp_path, text):
    (tmp_path / "own.py").write_text(text)
    registry.load_file(tmp_path / "own.py")
    return tmp_path / "own.py"


def test_a_users_rule_has_the_rate_of_its_map(tmp_path):
    loaded(tmp_path, RULE)
    # x' = x - times eta y, y' = y + eta x: eigenvalues 1 +- i eta sqrt(times)
    for times in (2.0, 5.0):
        got = predict(variant_of("update=hasty", f"update.hasty.times={times}"))
        assert got.radius == pytest.approx(math.sqrt(1 + times * ETA**2), abs=1e-12)
        assert got.behaviour == "leaves"


def test_the_report_sets_it_beside_what_was_measured(tmp_path):
    file = loaded(tmp_path, RULE)
    few = ["steps=60", "probe_every=5", "batch_size=2", "latent_dim=1", "samples=16", "neighbours=16"]
    study = api.run(
        None,
        [*GAME[:-4], "seeds=2", *GAME[-3:], "update=hasty", *few],
        plugins=[file],
        out=tmp_path / "study",
        workers=1,
    )
    (row,) = courses.table(study).to_dict("records")
    assert row["agrees"] is True
    assert row["radius"] == pytest.approx(math.sqrt(1 + 2 * ETA**2), abs=1e-3)
    page = build(study).read_text(encoding="utf-8")
    assert "1 of 1 variants with a prediction went as it says" in page
    assert f"{math.sqrt(1 + 2 * ETA**2):.4f}" in page[page.index("id=theory>") :]


def test_a_rule_without_a_map_has_no_theory(tmp_path):
    loaded(tmp_path, RULE.replace(", linear=map_of", ""))
    assert predict(variant_of("update=hasty")) is None
    assert linear_games(variant_of("update=hasty")), "its game is known all the same"


def test_players_that_declare_nothing_are_trained_and_reported(tmp_path):
    file = loaded(tmp_path, PLAYERS.replace("DECLARED", ""))
    few = ["steps=20", "probe_every=5", "batch_size=2", "latent_dim=1", "samples=16", "neighbours=16"]
    study = api.run(None, over([*GAME, "network=short", *few]), plugins=[file], out=tmp_path / "study", workers=1)
    (row,) = courses.table(study).to_dict("records")
    assert (row["theory"], row["agrees"]) == (None, None)
    assert "id=theory>" in build(study).read_text(encoding="utf-8")


def test_players_may_declare_the_game_that_they_play():
    def of_half(problem, slopes, *, slope):
        """D's slope in a sample is half of what it is for `point`."""
        import numpy as np

        own = np.full(problem.shape[0], slope)
        return LinearGame(slopes.push * own, slopes.pull * own, 0 * own, {"real": own**2}, 0 * own)

    @registry.register("network", needs={"game_of_points": "why"}, provides={"point"}, linear=of_half)
    def half(spec, *, slope: float = 0.5):
        """Players of a game of half the slope."""

    assert predict(variant_of("network=half", "update=simultaneous")).radius == pytest.approx(math.hypot(1, ETA / 2))
    damped = variant_of("network=half", "network.half.slope=2.0", "regularizer=r1", "regularizer.r1.gamma=0.3")
    assert linear_games(damped)[0].penalty == pytest.approx([4 * 0.3])
    # what it says nothing about is unknown, and not nothing
    assert predict(variant_of("network=half", "regularizer=r2")) is None


def test_a_users_game_of_points_has_the_theory_of_its_players():
    @registry.register("problem", needs={"point": "why"}, provides={"game", "game_of_points"}, resolution=1e-3)
    def saddle(*, dimension: int = 3):
        """A game of points of my own."""
        return PointGame("saddle", dimension)

    own = variant_of("problem=saddle", "update=simultaneous", "network.point.condition=10")
    assert len(linear_games(own)[0].push) == 3
    assert predict(own).radius == pytest.approx(math.hypot(1, ETA))
    assert resolution(own) == 1e-3
    assert resolution(variant_of()) == 1e-18
    # the coarsest of all that the path is made of
    assert resolution(variant_of("regularizer=r1+constant_noise")) == 1e-5
    assert resolution(variant_of("problem=saddle", "regularizer=constant_noise")) == 1e-3


def test_regularizers_together_add_what_each_does():
    both = variant_of("regularizer=r1+r2", "regularizer.r1.gamma=0.3", "regularizer.r2.gamma=0.5")
    assert linear_games(both)[0].penalty == pytest.approx([0.8])
    assert predict(variant_of("regularizer=r1+lazy_r1")) is None


def test_a_variant_of_a_plugin_that_is_not_here_has_no_theory(tmp_path, own_registry):
    loaded(tmp_path, RULE)
    variant = variant_of("update=hasty")
    del own_registry.plugins["update", "hasty"]
    assert predict(variant) is None


@pytest.mark.parametrize(("linear", "told"), [
    (lambda step: step.nothing, "What the update 'own' declares as 'linear' raised AttributeError: "),
    (lambda step, other: None, "What the update 'own' declares as 'linear' raised TypeError: "),
])  # fmt: skip
def test_a_map_that_raises_is_told_in_a_sentence(linear, told):
    @registry.register("update", linear=linear)
    def own(round):
        """Is wrong."""

    with pytest.raises(UserError) as caught:
        predict(variant_of("update=own"))
    assert told in str(caught.value)


def test_answers_of_another_kind_are_told():
    @registry.register("regularizer", linear=lambda progress: 3)
    def own(critic, real, fake, uniform):
        """Is wrong."""

    @registry.register("network", needs={"game_of_points": "why"}, provides={"point"}, linear=lambda problem, slopes: 3)
    def own_players(spec):
        """Is wrong."""

    with pytest.raises(UserError, match="'linear' of the regularizer 'own' answers 3, not a dictionary"):
        predict(variant_of("regularizer=own"))
    with pytest.raises(UserError, match="'linear' of the network 'own_players' answers 3, not a LinearGame"):
        predict(variant_of("network=own_players"))


@pytest.mark.parametrize(("kind", "declared", "told"), [
    ("update", {"linear": "alternating"}, "takes a function of what is linear near an equilibrium"),
    ("regularizer", {"no_rate": {"wasserstein": ""}}, "takes a dictionary of losses"),
    ("problem", {"resolution": 0.0}, "takes a number above 0: distances from the equilibrium below it"),
])  # fmt: skip
def test_declarations_are_held_to_the_table(kind, declared, told):
    forms = {"update": lambda turn: None, "regularizer": lambda critic, real, fake, uniform: None,
             "problem": lambda: None}  # fmt: skip
    made = forms[kind]
    made.__name__ = "own"
    with pytest.raises(UserError, match=told):
        registry.register(kind, **declared)(made)
