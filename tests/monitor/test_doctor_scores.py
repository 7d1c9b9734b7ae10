"""The rules about D's scores, on traces written by hand: each just above its threshold and just below."""

import pytest
import torch
from torch import nn
from traces import Game, Scale, call, network, scores

from ganbench.monitor.doctor import scores as rules
from ganbench.monitor.doctor import swapped

REAL, FAKE, PULLED = {"kind": "real"}, {"kind": "fake", "maker": call("g")}, {"attached": True}


def game_of(d_turns, g_turns=(), **given):
    """A game of steps, each a turn of D and one of G: of (what is called, gradient of its scores)."""
    game = Game(**given)
    for step in range(max(len(d_turns), len(g_turns))):
        game.trace.steps = step
        for player, turns in (("d", d_turns), ("g", g_turns)):
            seen = [
                (call(step=step, **kind), came if isinstance(came, rules.Scores) else scores([came] * 4))
                for kind, came in (turns[step] if step < len(turns) else ())
            ]
            if seen or player == "g":
                game.turn(player, *seen)
    return game


D_TURN, SWAPPED_D = [(REAL, -0.5), (FAKE, 0.5)], [(REAL, 0.5), (FAKE, -0.5)]
UP, DOWN = [(FAKE | PULLED, -0.5)], [(FAKE | PULLED, 0.5)]
SWAPPED = "labels are swapped between the losses"


@pytest.mark.parametrize(("d", "g", "way", "pull", "change"), [
    (D_TURN, DOWN, "real above fake", "down", "In G's loss fakes get the label that real samples"),
    (SWAPPED_D, UP, "fake above real", "up", "In D's loss real samples have the label 1"),
])  # fmt: skip
def test_swapped_labels(d, g, way, pull, change):
    game = game_of([d] * 3, [g] * 3)
    assert game.told(swapped.labels_swapped) == [
        (SWAPPED, True, f"D's loss puts {way} scores, and G's loss pulls the fakes' scores {pull}: both want the same, "
         "and nobody plays against D.")
    ]  # fmt: skip
    assert next(swapped.labels_swapped(game.trace)).change.startswith(change)


@pytest.mark.parametrize(("d", "g"), [
    ([D_TURN] * 3, [UP] * 3), ([SWAPPED_D] * 3, [DOWN] * 3), ([D_TURN] * 2, [DOWN] * 3), ([D_TURN] * 3, [DOWN] * 2),
    # D's turn knows one side only, or G's pulls nothing
    ([D_TURN[:1]] * 3, [DOWN] * 3), ([D_TURN[1:]] * 3, [DOWN] * 3),
    ([D_TURN] * 3, [[(FAKE, 0.5)]] * 3), ([D_TURN] * 3, [[(REAL | PULLED, 0.5)]] * 3),
])  # fmt: skip
def test_labels_that_are_not_swapped(d, g):
    assert game_of(d, g).told(swapped.labels_swapped) == []


@pytest.mark.parametrize(("down", "zero", "up", "found"), [
    (9, 0, 1, True), (8, 0, 1, False), (9, 1, 0, True), (8, 1, 1, False), (3, 0, 0, True),
    # a hinge that is met pulls nowhere, and says nothing
    (8, 2, 0, True), (3, 9, 0, True), (2, 9, 0, False),
])  # fmt: skip
def test_nine_of_ten_have_to_pull_one_way(down, zero, up, found):
    still = [(FAKE | PULLED, 0.0)]
    times = down + zero + up
    assert game_of([D_TURN] * times, [DOWN] * down + [still] * zero + [UP] * up).names(swapped.labels_swapped) == (
        found * [SWAPPED]
    )
    # and the other way round
    assert game_of([SWAPPED_D] * times, [UP] * down + [still] * zero + [DOWN] * up).names(swapped.labels_swapped) == (
        found * [SWAPPED]
    )


def test_real_and_fake_are_compared_by_the_means_of_their_calls():
    # two calls of fakes of mean 1, one of real samples of 1.5: the other way than their sums
    fakes = [(FAKE, 0.5), (FAKE, 1.5), (REAL, 1.5)]
    assert game_of([fakes] * 3, [UP] * 3).names(swapped.labels_swapped) == [SWAPPED]
    reals = [(REAL, -0.5), (REAL, -1.5), (FAKE, -1.5)]
    assert game_of([reals] * 3, [UP] * 3).names(swapped.labels_swapped) == [SWAPPED]


@pytest.mark.parametrize(("rows", "gradient", "found"), [
    (slice(1, 4), [-1.0, 1.0, 1.0, 1.0], True), (slice(1, 4), [3.0, 1.0, 1.0, 1.0], False),
    (slice(0, 3), [1.0, 1.0, 1.0, -1.0], True), (slice(1, 4), [-1.0, 1.0], False),
])  # fmt: skip
def test_a_batch_of_both_is_parted(rows, gradient, found):
    mixed = [({"kind": "mixed", "fake_rows": rows}, scores(gradient))]
    assert game_of([mixed] * 3, [DOWN] * 3).names(swapped.labels_swapped) == found * [SWAPPED]


def test_a_loss_without_real_samples():
    assert game_of([[(FAKE, 1.0)]] * 2, [UP] * 2).told(rules.one_side_only) == []
    assert game_of([[(FAKE, 1.0), (FAKE, 1.0)]] * 3, [UP] * 3).told(rules.one_side_only) == [
        ("D's loss has no real samples", True,
         "All 6 scores in it, over 3 iterations, are of what the generator made.")
    ]  # fmt: skip
    assert game_of([D_TURN] * 3, [UP] * 3).told(rules.one_side_only) == []


def test_a_loss_without_fakes():
    twice = [(REAL, 1.0), (REAL, 1.0)]
    other = [(REAL, 1.0), (REAL | {"head": torch.zeros(4, 2)}, 1.0)]
    partly = [(REAL, 1.0), (REAL, 1.0), (REAL | {"head": torch.tensor([[0.5, 1.5], *[[9.0, 9.0]] * 3])}, 1.0)]
    assert game_of([twice] * 3, [UP] * 3).told(rules.one_side_only) == [
        ("D's loss has no fakes", True, "Every term of it is computed on the same real batch, over 3 iterations.")
    ]
    assert game_of([twice, twice, other], [UP] * 3).told(rules.one_side_only) == []
    assert game_of([partly] * 3, [UP] * 3).told(rules.one_side_only) == []
    assert game_of([twice] * 2, [UP] * 2).told(rules.one_side_only) == []


def logit_loss(p, label):
    """What a loss for logits sends back to probabilities: sigmoid(p) - label."""
    p = torch.tensor(p)
    return scores(torch.sigmoid(p) - torch.tensor(label), p)


ENDED = REAL | {"ends": "sigmoid"}
TWICE = "a sigmoid twice: probabilities go into a loss for logits"
FOUND, NOT = logit_loss([0.6, 0.7], 0.9), scores([0.1, 0.2], [0.6, 0.7])


@pytest.mark.parametrize(("found", "others", "said"), [(3, 0, True), (2, 0, False), (4, 1, True), (3, 1, False)])
def test_probabilities_in_a_loss_for_logits(found, others, said):
    turns = [[(ENDED, FOUND)]] * found + [[(ENDED, NOT)]] * others
    turns += [[(ENDED | {"leaf": True}, NOT), (REAL | {"ends": "tanh"}, NOT)]] * 3
    total = found + others
    assert game_of(turns, [UP] * len(turns)).told(rules.sigmoid_twice) == said * [
        (TWICE, True, f"D ends in a sigmoid, and in {found} of {total} cases the gradient of its output p is "
         "sigmoid(p) - label: the loss takes its own sigmoid.")
    ]  # fmt: skip


def test_what_is_left_out_is_not_counted_either():
    kinds = [ENDED | {"leaf": True}, REAL | {"ends": "tanh"}, REAL]
    for kind in kinds:
        assert game_of([[(kind, FOUND)]] * 3, [UP] * 3).told(rules.sigmoid_twice) == []
    assert game_of([[(REAL | {"ends": "softmax"}, FOUND)]] * 3, [UP] * 3).names(rules.sigmoid_twice) == [TWICE]
    # what comes back in G's turn counts with what comes back in D's
    assert game_of([[(ENDED, FOUND)]] * 2, [[(ENDED, FOUND)]] * 2).names(rules.sigmoid_twice) == [TWICE]


@pytest.mark.parametrize(("p", "label", "said"), [
    ([0.6, 0.7], 0.0, True), ([0.3, 0.6], 1.0, True), ([0.6, 0.7], [0.9, 0.90095], True),
    ([0.6, 0.7], [0.9, 0.9012], False), ([0.6, 0.7], 1.009, True), ([0.6, 0.7], 1.011, False),
    ([0.6, 0.7], -0.0095, True), ([0.6, 0.7], -0.0105, False), ([1.0, 0.5], 1.0, True),
    # where D is sure to the last digit both losses have the same gradient
    ([1.0, 1.0], 1.0, False), ([0.9987, 0.9987], 1.0, False), ([0.9985, 0.9985], 1.0, True),
])  # fmt: skip
def test_what_makes_a_gradient_one_of_a_loss_for_logits(p, label, said):
    game = game_of([[(ENDED, logit_loss(p, label))]] * 3, [UP] * 3)
    assert game.names(rules.sigmoid_twice) == said * [TWICE]


@pytest.mark.parametrize("label", [0.0, 0.3, 1.0])
def test_a_loss_for_probabilities_is_left_alone(label):
    p = torch.tensor([0.3, 0.6])
    right = scores((p - label) / (p * (1 - p)), p)
    assert game_of([[(ENDED, right)]] * 3, [UP] * 3).told(rules.sigmoid_twice) == []


BOUNDED = "a critic's scores are bounded by a sigmoid"


@pytest.mark.parametrize(("gradient", "others", "said"), [
    ([1.0, 1.0], 0, True), ([-1.0, -1.0], 0, True), ([1.0, -1.0], 0, True), ([1.0, 1.0], 1, False),
    ([1.00009, 1.00009], 0, True), ([1.00009, 1.00017], 0, True), ([1.00012, 1.00012], 0, True),
    ([0.9999, 1.0002], 0, False),
    ([1.00005, 0.9999598], 0, True), ([1.0, 0.5], 0, False), ([1.0, 1.5], 0, False), ([1.5, 1.5], 0, True),
    ([0.5, 0.5], 0, True), ([0.5, -0.50004], 0, True), ([0.5, 0.50006], 0, False),
    ([1.0], 0, False), ([0.5, 1.0], 0, False),
])  # fmt: skip
def test_a_critic_with_a_sigmoid(gradient, others, said):
    p = [0.3, 0.6][: len(gradient)]
    turns = [[(ENDED, scores(gradient, p))]] * 3 + [[(ENDED, scores([0.1, 0.2], p * (2 // len(p))))]] * others
    assert game_of(turns, [UP] * len(turns)).told(rules.sigmoid_twice) == said * [
        (BOUNDED, True, "D ends in a sigmoid, and its loss is linear in that (Wasserstein, or hinge).")
    ]


def test_a_critic_with_a_sigmoid_needs_three_of_four_fifths():
    linear, other = [(ENDED, scores([1.0, 1.0], [0.3, 0.6]))], [(ENDED, scores([0.1, 0.2], [0.3, 0.6]))]
    assert game_of([linear] * 2, [UP] * 2).told(rules.sigmoid_twice) == []
    assert game_of([linear] * 4 + [other], [UP] * 5).names(rules.sigmoid_twice) == [BOUNDED]


SAME = {"back": {1: scores([0.0])}, "made_equal": True, "made_scale": Scale(0.7, 0.7, 0.7, 0.0)}


def calls_of(player, *parts):
    game = Game()
    for times, given in parts:
        game.add(*(call(player, **given) for _ in range(times)))
    return game


@pytest.mark.parametrize(("same", "others", "said"), [(3, 0, True), (2, 0, False), (5, 1, True), (4, 1, False)])
def test_the_same_score_to_everything(same, others, said):
    game = calls_of("d", (same, SAME), (others, SAME | {"made_equal": False}))
    # without a batch, a gradient or different samples nothing can be told
    game.add(*(call(**SAME | {"made_equal": False} | one)
               for one in ({"count": 1}, {"back": {}}, {"equal_rows": True}) for _ in range(3)))  # fmt: skip
    assert game.told(rules.constant_scores) == said * [
        ("D gives the same score to everything", True, f"0.7 for all samples in {same} of {same + others} batches: "
         "its units are dead, or its input is multiplied by 0.")
    ]  # fmt: skip


@pytest.mark.parametrize("left_out", [{"count": 1}, {"back": {}}, {"equal_rows": True}])
def test_calls_that_have_to_have_one_score(left_out):
    assert calls_of("d", (4, SAME | left_out)).told(rules.constant_scores) == []
    # a batch of two is one
    assert len(calls_of("d", (4, SAME | {"count": 2})).told(rules.constant_scores)) == 1


def test_a_softmax_over_one_output():
    (found,) = calls_of("d", (3, SAME | {"ends": "softmax"})).told(rules.constant_scores)
    assert found[2] == "0.7 for all samples in 3 of 3 batches: a softmax over one output is always 1."


@pytest.mark.parametrize(("mean", "std", "said"), [(-2.0, 1.9e-6, True), (-2.0, 2.1e-6, False), (0.0, 0.95e-12, True),
                                                   (0.0, 1.1e-12, False), (0.0, 1e-12, True),
                                                   (2.0, 1.9e-6, True)])  # fmt: skip
def test_equal_up_to_the_last_digits(mean, std, said):
    game = calls_of("d", (3, SAME | {"made_scale": Scale(mean, mean, mean, std)}))
    assert game.names(rules.constant_scores) == said * ["D gives the same score to everything"]


@pytest.mark.parametrize(("alike", "others", "said"), [(3, 0, True), (2, 0, False), (5, 1, True), (4, 1, False)])
def test_a_generator_of_one_sample(alike, others, said):
    left_out = [(3, {"count": 1}), (3, {"equal_rows": True}), (3, {"count": 1, "made_equal": True})]
    game = calls_of("g", (alike, {"made_equal": True, "count": 2}), (others, {}), *left_out)
    assert game.told(rules.constant_scores) == said * [
        ("G ignores its input", True, f"Its samples were equal for different inputs in {alike} of {alike + others} "
         "batches.")
    ]  # fmt: skip
    fixed = calls_of("g", (3, {"made_equal": True, "equal_rows": True}))
    assert fixed.told(rules.constant_scores) == []


def test_an_adversarial_term_on_detached_fakes():
    detached = [(FAKE, 0.5)]
    assert game_of([D_TURN] * 2, [detached] * 2).told(rules.no_pull) == []
    assert game_of([D_TURN] * 3, [[(REAL, 0.5), *detached]] * 3).told(rules.no_pull) == [
        ("G's adversarial term is computed on detached fakes", True,
         "In none of 3 calls of D for its loss can a gradient reach G.")
    ]  # fmt: skip
    assert game_of([D_TURN] * 4, [detached] * 3 + [UP]).told(rules.no_pull) == []
    assert game_of([D_TURN] * 3, [[(REAL, 0.5)]] * 3).told(rules.no_pull) == []


def test_a_loss_of_g_without_scores():
    none = game_of([D_TURN] * 3, [[]] * 3)
    nothing = "D is trained, and nothing of its output was in a loss of G's 3 steps."
    assert none.told(rules.no_pull) == [("G's loss gets nothing from D", False, nothing)]
    none.update("g")  # a step without a gradient is none
    assert [evidence for *_, evidence in none.told(rules.no_pull)] == [nothing]
    late = game_of([[], *[D_TURN] * 2], [[]] * 3)
    assert late.told(rules.no_pull) == []
    short = game_of([D_TURN] * 2, [[]] * 2)
    assert short.told(rules.no_pull) == []
    for _ in range(2):
        short.turn("d", (call(step=2, **REAL), scores([0.1])))
    assert short.told(rules.no_pull) == []  # three iterations of D, two steps of G


def test_a_pull_of_exactly_0():
    still = [(FAKE | PULLED, 0.0)]
    said = "The gradient of its loss by D's scores was exactly 0 at {0} of {0} backward passes."
    assert game_of([D_TURN] * 3, [still] * 3).told(rules.no_pull) == [
        ("G's loss gets nothing from D", False, said.format(3))
    ]
    assert game_of([D_TURN] * 3, [still] * 2 + [UP]).told(rules.no_pull) == []
    assert game_of([D_TURN] * 3, [still] * 2 + [DOWN]).told(rules.no_pull) == []
    assert game_of([D_TURN] * 3, [[(FAKE | PULLED, scores([0.0, -0.1]))]] * 3).told(rules.no_pull) == []
    assert game_of([D_TURN] * 3, [still] * 2 + [[(REAL, 1.0)]]).told(rules.no_pull) == []
    # what cannot reach G pulls nothing either
    mixed = [*still, (REAL, 1.0)]
    assert [e for *_, e in game_of([D_TURN] * 3, [mixed] * 3).told(rules.no_pull)] == [said.format(3)]
    rare = game_of([D_TURN] * 2, [still] * 3)
    assert rare.told(rules.no_pull) == []  # D is not trained yet


def penalised(*graphs, d=None, training=True):
    """Calls of D by whose input a gradient was taken: each with create_graph or without."""
    game = Game(d=d)
    for graph in graphs:
        seen = call(leaf=True, training=training)
        seen.back[900] = scores([1.0], creates_graph=graph)
        game.add(seen)
        game.turn("d", (call(**REAL), scores([1.0])))
        game.turn("g", (call(**FAKE, **PULLED), scores([1.0])))
    return game


NORMED = lambda: nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.Linear(4, 1))  # noqa: E731


def test_a_penalty_that_trains_nothing():
    # a lazy one is seen once or twice, as a measurement may be
    assert penalised(False, False).told(rules.penalty_without_graph) == [
        ("a gradient penalty that trains nothing", False,
         "D's gradient by its input was taken 2 times, always without create_graph.")
    ]  # fmt: skip
    game = penalised(False, False, False)
    said = [("a gradient penalty that trains nothing", True,
             "D's gradient by its input was taken 3 times, always without create_graph.")]  # fmt: skip
    assert game.told(rules.penalty_without_graph) == said
    assert penalised(False, False, False, True).told(rules.penalty_without_graph) == []
    # a call on data that take no gradient, and the passes that train, are none
    other = call()
    other.back[901] = scores([1.0], creates_graph=True)
    game.add(other)
    game.turn("d", (call(leaf=True), scores([1.0], creates_graph=True)))
    assert game.told(rules.penalty_without_graph) == said


def test_a_penalty_through_batch_norm():
    said = ("a gradient penalty through batch norm", False,
            "D has 2 batch norms; the penalty is meant for each sample by itself (Gulrajani et al. 2017).")  # fmt: skip
    assert penalised(*[True] * 3, d=NORMED()).told(rules.penalty_without_graph) == [said]
    assert penalised(*[True] * 2, d=NORMED()).told(rules.penalty_without_graph) == []
    assert penalised(*[True] * 3, d=NORMED(), training=False).told(rules.penalty_without_graph) == []
    assert penalised(*[True] * 3).told(rules.penalty_without_graph) == []
    # the first call tells how D is trained
    game = penalised(*[True] * 3, d=NORMED())
    for one in game.trace.calls_of("d")[3:]:
        one.training = False
    assert game.told(rules.penalty_without_graph) == [said]


def clipped(bound, share=16, second=1.0, bias=0.5, layers=2):
    """A discriminator with 16 weights a layer, `share` of the second's at the bound."""
    d = network(*[4] * (layers + 1))
    for layer in d:
        layer.weight.data.fill_(-bound)
        layer.bias.data.fill_(bias)
    flat = d[-1].weight.data.flatten()
    flat.fill_(bound * second)
    flat[share:] = 0.1 * bound
    return Game(d=d)


CLIPPED = "D's weights are clipped very tightly"


@pytest.mark.parametrize(("game", "said"), [
    (clipped(9.5e-4), "All end at 0.00095, with at least 100% of each layer at that bound."),
    (clipped(9.5e-4, share=4), "All end at 0.00095, with at least 25% of each layer at that bound."),
    (clipped(9.5e-4, share=3), None), (clipped(1.05e-3), None), (clipped(0.0), None),
    (clipped(9.5e-4, second=0.5), None), (clipped(9.5e-4, second=1 - 1.1e-6), None), (clipped(9.5e-4, layers=1), None),
    (clipped(9.5e-4, second=1 - 0.95e-6), "All end at 0.00095, with at least 100% of each layer at that bound."),
    (clipped(9.5e-4, layers=3), "All end at 0.00095, with at least 100% of each layer at that bound."),
])  # fmt: skip
def test_weights_clipped_tightly(game, said):
    assert game.told(rules.clipped_weights) == []  # D was not stepped yet
    game.rest("d", 1)
    assert game.told(rules.clipped_weights) == ([(CLIPPED, False, said)] if said else [])
