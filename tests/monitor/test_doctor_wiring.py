"""The rules about gradients and optimizers, on traces written by hand: each just above its threshold and just below."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from traces import Game, call

from ganbench.monitor.doctor import moves, wiring

NAMES = ["0.weight", "0.bias", "1.weight", "1.bias"]
PLAYERS = [("g", "generator"), ("d", "discriminator")]


@pytest.mark.parametrize(("player", "name"), PLAYERS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_parameters_that_are_not_finite_are_listed(player, name, bad):
    game = Game()
    assert game.told(wiring.not_finite) == []
    game.trace.players[player][0].weight.data[0, 0] = bad
    game.trace.players[player][1].bias.data[0] = bad
    assert game.told(wiring.not_finite) == [
        (f"parameters of the {name} are not finite", True, "NaN or infinity in 0.weight, 1.bias.")
    ]


@pytest.mark.parametrize(("layers", "listed"), [
    (3, "weight, _orig.weight, l.weight"), (4, "weight, _orig.weight, l.weight and 1 more"),
    (5, "weight, _orig.weight, l.weight and 2 more"),
])  # fmt: skip
def test_a_list_of_parameters_has_three_names_without_wrappers(layers, listed):
    layer = lambda: nn.Linear(1, 1, bias=False)  # noqa: E731
    # as DataParallel and torch.compile name what they hold
    inner = [("module", layer()), ("_orig_mod", nn.Sequential(OrderedDict(_orig=layer()))), ("l", layer())]
    g = nn.Sequential(OrderedDict([*inner, *((f"x{i}", layer()) for i in range(layers - 3))]))
    for own in g.parameters():
        own.data.fill_(torch.nan)
    assert [evidence for *_, evidence in Game(g=g).told(wiring.not_finite)] == [f"NaN or infinity in {listed}."]


def test_shared_parameters_are_listed_by_the_generators_names():
    body = nn.Linear(2, 2)
    game = Game(g=nn.Sequential(nn.Linear(3, 2), body), d=nn.Sequential(body, nn.Linear(2, 1)))
    assert game.told(wiring.shared) == [
        ("generator and discriminator share parameters", True, "Both have 1.weight, 1.bias.")
    ]
    assert Game().told(wiring.shared) == []


def test_no_gradient_reaches_a_player():
    for player, name, why, change in (
        ("g", "generator", "its loss is computed on fakes that were detached, or made under no_grad", "Let D see"),
        ("d", "discriminator", "its loss does not depend on it, or its gradients are switched off", "Compute D's"),
    ):
        game = Game().rest(player, 2, norm=0.0)
        assert game.told(wiring.steps_without_gradient) == []
        game.rest(player, 1, norm=0.0)
        assert game.told(wiring.steps_without_gradient) == [
            (f"no gradient reaches the {name}", True, "Its optimizer made 3 steps, and no backward() left a gradient "
             f"on any of its parameters: {why}.")
        ]  # fmt: skip
        assert next(wiring.steps_without_gradient(game.trace)).change.startswith(change)
        game.trace.grown[player].add("0.weight")
        assert game.told(wiring.steps_without_gradient) == []


def test_a_gradient_that_was_there_once_is_no_missing_one():
    assert Game().rest("g", 3, norm=0.0).rest("g", 1).told(wiring.steps_without_gradient) == []


def test_a_frozen_generator_is_passed_over_and_the_discriminator_is_not():
    game = Game().rest("g", 3, norm=0.0).rest("d", 3, norm=0.0)
    game.trace.players["g"].requires_grad_(False)
    assert game.names(wiring.steps_without_gradient) == ["no gradient reaches the discriminator"]


def test_a_gradient_cleared_before_the_step():
    game = Game().rest("d", 3, norm=0.0).rest("d", 1, norm=0.0, cleared=True)
    game.trace.grown["d"].add("0.weight")
    assert game.told(wiring.steps_without_gradient) == [
        ("the discriminator's gradient is cleared before its step", True,
         "backward() left a gradient on it, and at 4 of 4 steps of its optimizer there was none.")
    ]  # fmt: skip
    assert game.told(wiring.zero_gradient) == []


@pytest.mark.parametrize(("player", "name"), PLAYERS)
def test_a_gradient_of_exactly_0(player, name):
    game = Game().rest(player, 2, norm=0.0)
    game.trace.grown[player].add("0.weight")
    assert game.told(wiring.zero_gradient) == []
    game.rest(player, 1, norm=0.0)
    assert game.told(wiring.zero_gradient) == [
        (f"the {name}'s gradient is exactly 0", True, "At all 3 steps of its optimizer.")
    ]
    game.rest(player, 1, norm=1e-30)
    assert game.told(wiring.zero_gradient) == []
    never = Game().rest(player, 3, norm=0.0)
    assert never.told(wiring.zero_gradient) == []


def leaking(steps, strange):
    """Steps of D, the last of which hold what G's backward pass before them left."""
    game = Game()
    for step in range(steps):
        game.trace.steps = step
        left = game.backward("gd")
        game.update("g", left)
        game.update("d", *([left] if steps - step <= strange else []), game.backward("d"))
    return game


@pytest.mark.parametrize(("steps", "strange", "found"), [(3, 2, True), (3, 1, False), (1, 1, True), (2, 0, False),
                                                         (0, 0, False), (9, 2, True)])  # fmt: skip
def test_the_other_ones_gradient_counts_from_two_steps(steps, strange, found):
    game = leaking(steps, strange)
    assert game.told(wiring.other_ones_gradient) == found * [
        ("the generator's loss reaches the discriminator's step", True, f"At {strange} of {steps} steps the "
         "discriminator's gradient held what the generator's backward() had left there.")
    ]  # fmt: skip


def test_the_other_ones_gradient_has_its_own_advice():
    assert next(wiring.other_ones_gradient(leaking(3, 3).trace)).change.startswith("Call the discriminator's zero_grad")
    game = Game()
    for _ in range(3):
        left = game.backward("gd")
        game.update("d", left)
        game.update("g", left, game.backward("g"))
    (fault,) = wiring.other_ones_gradient(game.trace)
    assert fault.name == "the discriminator's loss reaches the generator's step"
    assert fault.change.startswith("Give D `fake.detach()`")


def test_a_players_step_without_sources_is_none_of_those_counted():
    game = leaking(3, 2)
    game.update("d").sources["d"] = None
    game.update("d")
    assert [evidence[:15] for *_, evidence in game.told(wiring.other_ones_gradient)] == ["At 2 of 3 steps"]


@pytest.mark.parametrize(("player", "name"), PLAYERS)
def test_gradients_that_pile_up(player, name):
    game, other, held = Game(), "g" if player == "d" else "d", []
    for step in range(4):
        game.turn(other)
        held.append(game.backward(player))
        game.update(player, *held)
        # the first holds its own only, and one piled up is none
        assert game.told(wiring.never_cleared) == (step >= 2) * [
            (f"the {name}'s gradients are never cleared", True,
             f"At {step} of {step + 1} steps its gradient still held that of earlier steps.")
        ]  # fmt: skip


def test_the_same_gradient_twice_and_the_other_ones_are_no_piles():
    game = Game()
    left = game.backward("gd")
    game.update("g", left)
    for _ in range(5):
        own = game.backward("d")
        game.update("d", left, own)
        game.update("d", left, own)
    assert game.told(wiring.never_cleared) == []


def partly(steps, lost):
    game = Game()
    for step in range(steps):
        # G's pass reaches D too, and waits for no step of D
        game.turn("g")
        first = game.backward("d")
        game.update("d", *([] if step < lost else [first]), game.backward("d"))
    return game


@pytest.mark.parametrize(("steps", "lost", "found"), [(3, 3, True), (2, 2, False), (5, 4, True), (4, 3, False),
                                                      (3, 0, False)])  # fmt: skip
def test_a_part_that_is_cleared_before_the_step(steps, lost, found):
    assert partly(steps, lost).told(wiring.partly_cleared) == found * [
        ("part of the discriminator's gradient is cleared before its step", False,
         f"Before {lost} of {steps} steps there were backward passes of its loss that no longer counted.")
    ]  # fmt: skip


def test_passes_that_reach_no_parameter_and_steps_of_nothing_do_not_count():
    game = partly(3, 3)
    game.update("d")
    assert [evidence[:18] for *_, evidence in game.told(wiring.partly_cleared)] == ["Before 3 of 3 step"]
    silent = Game()
    for _ in range(4):
        silent.turn("g")
        silent.backward("")
        silent.turn("d")
    assert silent.told(wiring.partly_cleared) == []


def held(game, **names):
    for player, own in names.items():
        game.trace.held[player] |= set(own)
    return game


def test_parameters_that_no_optimizer_steps():
    game = held(Game(), g=NAMES, d=NAMES[:2])
    assert game.told(wiring.in_no_optimizer) == []  # nothing was stepped yet
    game.rest("g", 1)
    assert game.told(wiring.in_no_optimizer) == [
        ("parameters of the discriminator are in no optimizer", True,
         "2 of 4 take gradients and are stepped by none: 1.bias, 1.weight.")
    ]  # fmt: skip
    game.trace.players["d"][1].requires_grad_(False)
    assert game.told(wiring.in_no_optimizer) == []


@pytest.mark.parametrize("used", ["called", "grown"])
def test_no_optimizer_steps_a_player(used):
    game = held(Game(), g=NAMES).rest("g", 3)
    game.trace.steps = 7
    assert game.told(wiring.in_no_optimizer) == []
    if used == "called":
        game.add(call("d"))
    else:
        game.trace.grown["d"].add("0.weight")
    (fault,) = wiring.in_no_optimizer(game.trace)
    assert (fault.name, fault.certain) == ("no optimizer steps the discriminator", False)
    assert fault.evidence == ("3 steps of 1 optimizers were seen in 7 iterations, and none holds a parameter of it.")
    assert fault.change == "Give its own optimizer discriminator.parameters(). Or its turn comes later."
    # where two optimizers step the other player one of them was meant for it
    game.rest("g", 2, optimizer=5)
    (fault,) = wiring.in_no_optimizer(game.trace)
    assert fault.certain
    assert fault.evidence.startswith("5 steps of 2 optimizers")
    assert fault.change == "Give its own optimizer discriminator.parameters()."
    # of what is stepped elsewhere one has the same shapes
    game.trace.strangers = {8: ((1,),), 9: ((1,), (1, 4), (4,), (4, 2))}
    assert game.told(wiring.in_no_optimizer) == [
        ("the discriminator's optimizer holds other tensors", True,
         "An optimizer steps tensors of the same 4 shapes, and they are not the discriminator's.")
    ]  # fmt: skip


def test_one_optimizer_of_both():
    game = Game().rest("g", 2, held={"g": 4, "d": 2}, kind="SGD")
    evidence = (
        "An optimizer (SGD) holds 4 parameters of the generator and 2 of the discriminator, and its step moves both by "
        "the same loss."
    )
    assert game.told(wiring.holds_the_others) == [("one optimizer steps both players", False, evidence)]
    game.rest("d", 1)
    assert game.told(wiring.holds_the_others) == [("one optimizer steps both players", True, evidence)]
    with_three = Game().rest("g", 2, held={"g": 4, "d": 2}, kind="SGD").rest("d", 1).rest("g", 1, optimizer=5)
    assert with_three.told(wiring.holds_the_others) == []  # each has its own, and InfoGAN's third steps both
    game.trace.players["d"][1].bias = game.trace.players["g"][1].bias
    assert game.told(wiring.holds_the_others) == []  # which is said of the shared ones
    assert Game().rest("g", 2).rest("d", 2).told(wiring.holds_the_others) == []


def test_a_player_that_is_frozen():
    game = held(Game(), d=NAMES)
    game.trace.players["d"].requires_grad_(False)
    assert game.told(wiring.frozen) == []  # before the first iteration
    game.trace.steps = 1
    assert game.told(wiring.frozen) == [
        ("the discriminator is frozen", True, "requires_grad is off on all of its 4 parameters.")
    ]
    # off in the other's turn only
    game.trace.grown["d"] |= set(NAMES)
    assert game.told(wiring.frozen) == []
    bare = Game(g=nn.Identity())
    bare.trace.steps = 1
    assert bare.told(wiring.frozen) == []


def test_a_part_that_is_frozen():
    game = Game()
    game.trace.players["g"][0].requires_grad_(False)
    game.trace.steps = 1
    assert game.told(wiring.frozen) == []  # it is in no optimizer, as a pretrained part is
    held(game, g=NAMES)
    assert game.told(wiring.frozen) == [
        ("part of the generator is frozen", False, "requires_grad is off on 2 of 4 parameters: 0.weight, 0.bias.")
    ]
    game.trace.grown["g"].add("0.bias")
    assert [evidence for *_, evidence in game.told(wiring.frozen)] == [
        "requires_grad is off on 1 of 4 parameters: 0.weight."
    ]


@pytest.mark.parametrize(("player", "name"), PLAYERS)
@pytest.mark.parametrize(("broken", "steps", "found"), [(5, 3, True), (5, 4, False), (4, 3, False), (6, 2, True)])
def test_steps_that_a_scaler_skips(player, name, broken, steps, found):
    game = Game(steps=8).rest(player, steps)
    game.trace.grad_broken[player] = broken
    assert game.told(wiring.skipped_steps) == found * [
        (f"every step of the {name} is skipped", True, f"Its gradients were not finite in {broken} of 8 iterations, "
         f"and its optimizer made {steps} steps.")
    ]  # fmt: skip


def test_a_rate_of_0():
    game = Game().rest("g", 3).rest("d", 3, rates=(0.0, 0.0))
    assert game.told(moves.rates) == [
        ("the discriminator's learning rate is 0", True, "It was 0 at all 3 steps of its optimizer.")
    ]
    game.rest("d", 2, optimizer=7)
    assert game.told(moves.rates) == [
        ("the discriminator's learning rate is 0", True, "It was 0 at all 3 steps of an optimizer.")
    ]
    warm = Game().rest("g", 3).rest("d", 3, rates=(0.0,)).rest("d", 1).rest("d", 2, optimizer=7, rates=())
    assert warm.told(moves.rates) == []


@pytest.mark.parametrize(("g", "d", "evidence"), [
    (29.0, 1.0, None), (1.0, 29.0, None), (30.0, 1.0, "Generator 30, discriminator 1: 30 times."),
    (1.0, 30.0, "Discriminator 30, generator 1: 30 times."),
])  # fmt: skip
def test_rates_apart(g, d, evidence):
    game = Game().rest("g", 1, rates=(0.01,)).rest("g", 1, rates=(g, 0.02)).rest("d", 1, rates=(d,))
    said = [("learning rates are orders apart", False, evidence)] if evidence else []
    assert game.told(moves.rates) == said
    other = Game().rest("g", 1, rates=(g,), kind="SGD").rest("d", 1, rates=(d,))
    assert other.told(moves.rates) == []  # rates of two kinds cannot be compared


def test_rates_of_one_player_only():
    assert Game().rest("g", 3).told(moves.rates) == []
    assert Game().rest("d", 3).told(moves.rates) == []


def moving(player, moved, **given):
    game = Game()
    for share in moved:
        game.update(player, moved=share, **given)
    return game


@pytest.mark.parametrize(("player", "name"), PLAYERS)
@pytest.mark.parametrize(("moved", "given", "said", "evidence"), [
    ([0.1] * 3, {"norm": 9.4e-11}, "gradients move nothing", "Their norm was at most 9e-11 in 3 steps: what moves its "
     "weights, if they do, is decay or momentum of old."),
    ([0.1] * 3, {"norm": 1e-10}, None, ""),
    ([0.1] * 2, {"norm": 9.4e-11}, None, ""),
    ([0.0, 0.0, 0.1], {}, "steps move nothing", "3 steps with gradients left its largest weights bit for bit what they "
     "were."),
    ([0.0, 0.1, 0.1], {}, None, ""),
    ([0.0, 0.0, 0.3, 0.3, 0.3], {"rates": (0.1, 0.5)}, "steps are too large",
     "One step of Adam at rate 0.5 moves its weights by up to 30% of their size."),
    ([0.01, 0.01, 1.5], {"rates": (0.1, 0.0), "kind": "SGD"}, "steps are too large",
     "One step of SGD at rate 0.1 moves its weights by up to 150% of their size."),
    ([0.01, 0.01, 1.0], {}, None, ""),
    ([0.2, 0.2, 0.2], {}, None, ""),
    ([0.19, 0.19, 0.21], {}, None, ""),
    ([0.21, 0.21, 0.21], {}, "steps are too large",
     "One step of Adam at rate 0.001 moves its weights by up to 21% of their size."),
    ([float("nan")] * 3, {}, "steps are too large",
     "One step of Adam at rate 0.001 moves its weights by up to nan% of their size."),
    ([0.5] * 3, {"norm": 0.0}, None, ""),
    ([0.5] * 3, {"rates": (0.0,)}, None, ""),
])  # fmt: skip
def test_how_far_steps_move(player, name, moved, given, said, evidence):
    found = moving(player, moved, **given).told(moves.step_size)
    assert found == ([(f"the {name}'s {said}", said != "steps are too large", evidence)] if said else [])


def test_steps_of_which_nothing_was_measured_are_left_out():
    game = moving("g", [0.5, 0.5]).rest("g", 5)
    assert game.told(moves.step_size) == []


def test_one_gradient_that_is_large_enough():
    game = moving("g", [0.1, 0.1], norm=1e-11)
    game.update("g", moved=0.1, norm=1e-3)
    assert game.told(moves.step_size) == []


@pytest.mark.parametrize(("g", "d", "found"), [(2, 20, True), (2, 19, False), (20, 2, True), (1, 10, False), (3, 3, 0),
                                               (0, 20, False), (20, 0, False)])  # fmt: skip
def test_one_player_ten_times_as_often(g, d, found):
    assert Game().rest("g", g).rest("d", d).told(moves.turns) == found * [
        ("one player steps ten times as often", False, f"{d} steps of the discriminator, {g} of the generator.")
    ]
