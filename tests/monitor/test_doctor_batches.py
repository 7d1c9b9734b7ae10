"""The rules about what players are given, on traces written by hand: each just above its threshold and just below."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from traces import WIDE, Game, Scale, call, scores

from ganbench.monitor.doctor import batches

PLAYERS = [("g", "generator"), ("d", "discriminator")]
CAME_BACK = {1: scores([1.0])}


def normed(inputs, outputs, *more):
    return nn.Sequential(nn.Linear(inputs, 8), nn.BatchNorm1d(8), *more, nn.Linear(8, outputs))


def seen(*calls, **given):
    game = Game(**given)
    game.add(*calls)
    return game


@pytest.mark.parametrize(("player", "name"), PLAYERS)
@pytest.mark.parametrize(("asleep", "awake", "found"), [(3, 0, True), (2, 0, False), (3, 2, True), (3, 3, False),
                                                        (2, 1, False)])  # fmt: skip
def test_a_player_in_evaluation_mode(player, name, asleep, awake, found):
    both = {"g": normed(3, 2, nn.Dropout(0.1)), "d": normed(2, 1, nn.Dropout(0.1))}
    modes = [False] * asleep + [True] * awake
    game = seen(**both)
    for step, training in enumerate(modes):
        game.add(call("g", step, training=training if player == "g" else True))
        game.add(call("d", step, training=training if player == "d" else True, back=CAME_BACK))
    # samples are drawn in evaluation mode, and no loss is computed from them
    game.add(*(call(who, 50, training=False) for who in "gd" for _ in range(9)))
    (fault,) = list(batches.mode(game.trace)) if found else [None]
    if fault is None:
        assert game.told(batches.mode) == []
        return
    assert (fault.name, fault.certain) == (f"the {name} is trained in evaluation mode", True)
    assert fault.evidence == (
        f"eval() was on in {asleep} of {asleep + awake} calls that losses were computed from; it has 2 layers of batch "
        "norm or dropout."
    )
    assert fault.change.startswith(f"Call {name}.train()")


def test_a_mode_makes_no_difference_without_such_layers():
    assert seen(*(call("d", training=False, back=CAME_BACK) for _ in range(4))).told(batches.mode) == []


def of_g(*, equal=0, others=0, one=0, scale=None):
    """Calls of G: with equal rows, with different ones, and with one row."""
    given = {"scale": scale} if scale else {}
    return seen(
        *(call("g", step, equal_rows=True, **given) for step in range(equal)),
        *(call("g", 20 + step, **given) for step in range(others)),
        *(call("g", 60 + step, count=1, equal_rows=True) for step in range(one)),
    )


@pytest.mark.parametrize(("equal", "others", "found"), [(3, 0, True), (2, 0, False), (3, 2, True), (3, 3, False)])
def test_one_latent_for_all(equal, others, found):
    game = of_g(equal=equal, others=others, one=5)
    assert game.told(batches.latents) == found * [
        ("one latent for the whole batch", True,
         f"All rows of the generator's input were equal in {equal} of {equal + others} calls.")
    ]  # fmt: skip


def fixed(player, steps, **given):
    head = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    return [call(player, step, head=head, **given) for step in range(steps)]


def test_the_same_latents():
    said = ("the same latents at every step", True,
            "The generator's input was bit for bit that of the iteration before, 3 times of 3.")  # fmt: skip
    assert seen(*fixed("g", 4)).told(batches.latents) == [said]
    assert seen(*fixed("g", 3)).told(batches.latents) == []
    # another call in an iteration, after the first
    assert seen(*fixed("g", 4), *(call("g", step) for step in range(4))).told(batches.latents) == [said]
    assert seen(*(call("g", step) for step in range(4)), *fixed("g", 4)).told(batches.latents) == []
    assert seen(*fixed("g", 4), call("g", 4)).told(batches.latents) == []
    assert seen(call("g", 9), *fixed("g", 4)).told(batches.latents) == []
    assert seen(*fixed("g", 4), call("g", 4, head=torch.zeros(3, 2))).told(batches.latents) == []


@pytest.mark.parametrize(("mean", "std", "found"), [
    (0.29, 1.0, False), (0.31, 1.0, True), (-0.4, 1.0, True), (0.0, 0.61, False), (0.0, 0.59, True),
    (0.0, 1.59, False), (0.0, 1.61, True), (0.44, 1.5, False), (0.46, 1.5, True), (0.25, 0.7, False),
])  # fmt: skip
def test_latents_of_another_scale(mean, std, found):
    game = of_g(others=2, scale=Scale(-3, 3, mean, std))
    assert game.told(batches.latents) == []  # nothing is known of Monitor's
    game.trace.latents = Scale(-3, 3, 0.0, 1.0)
    assert game.told(batches.latents) == found * [
        ("Monitor draws other latents than the loop", False,
         f"The loop's have mean {mean:.2g} and standard deviation {std:.2g}, Monitor's 0 and 1.")
    ]  # fmt: skip


def test_latents_of_several_calls():
    one, other = Scale(0, 1, 0.5, 0.1), Scale(0, 2, 1.0, 0.3)
    game = seen(call("g", scale=one), call("g", scale=other), latents=Scale(-3, 3, 0.0, 1.0))
    assert [evidence for *_, evidence in game.told(batches.latents)] == [
        "The loop's have mean 0.75 and standard deviation 0.2, Monitor's 0 and 1."
    ]
    game.add(call("g", scale=Scale(-3, 3, 0.0, 1.0)))  # one alike is enough
    assert game.told(batches.latents) == []
    assert seen(latents=one).told(batches.latents) == []
    assert seen(call("g", scale=one, equal_rows=True), latents=other).told(batches.latents) == []
    still = Scale(0, 0, 0.0, 0.0)
    assert seen(call("g", scale=still), latents=still).told(batches.latents) == []


REAL, FAKE = {"kind": "real"}, {"kind": "fake"}


def reals(times, **given):
    return [call("d", step, **REAL | given) for step in range(times)]


@pytest.mark.parametrize(("times", "found"), [(3, True), (2, False)])
def test_constant_data(times, found):
    left_out = [call(**REAL, count=1), call(**REAL, leaf=True), call(**FAKE)]
    game = seen(*reals(times, equal_rows=True), *left_out)
    assert game.told(batches.repeated_data) == found * [
        ("real data are constant", True, f"All rows of a real batch were equal in {times} of {times}.")
    ]
    game.add(call("d", 40, **REAL))
    assert game.told(batches.repeated_data) == []


def test_the_same_real_batch():
    left_out = [call("d", step, **kind) for step in range(1, 9) for kind in (REAL | {"leaf": True},
                                                                            REAL | {"count": 1}, FAKE)]  # fmt: skip
    assert seen(*fixed("d", 4, **REAL), *left_out).told(batches.repeated_data) == [
        ("the same real batch at every step", True,
         "D's real input was bit for bit that of the iteration before, 3 times of 3.")
    ]  # fmt: skip
    assert seen(*fixed("d", 3, **REAL)).told(batches.repeated_data) == []
    assert seen(*fixed("d", 4, **REAL | {"count": 1})).told(batches.repeated_data) == []
    assert seen(*fixed("d", 4, **REAL | {"leaf": True})).told(batches.repeated_data) == []


def rows_of(rows, different, step=0, low=0.5):
    return torch.arange(float(different)).repeat(rows)[:rows, None].repeat(1, 2) + low + 10 * step


@pytest.mark.parametrize(("rows", "different", "low", "times", "found"), [
    (8, 2, 0.5, 3, True), (8, 3, 0.5, 3, False), (7, 1, 0.5, 3, False), (16, 4, 0.5, 3, True), (16, 5, 0.5, 3, False),
    (8, 2, 0.0, 3, False), (8, 2, 0.5, 2, False), (11, 2, 0.5, 3, True), (11, 3, 0.5, 3, False),
])  # fmt: skip
def test_few_different_samples(rows, different, low, times, found):
    game = seen(*(call("d", step, **REAL, head=rows_of(rows, different, step, low)) for step in range(times)))
    assert game.told(batches.repeated_data) == found * [
        ("real batches repeat a few samples", False,
         f"The first {rows} rows of every real batch hold at most {different} different ones.")
    ]  # fmt: skip


def test_the_most_different_samples_are_told():
    heads = [rows_of(16, 3), rows_of(16, 4, 1), rows_of(16, 2, 2)]
    heads[0][0] = 7.0  # one whole number among others
    game = seen(*(call("d", step, **REAL, head=head) for step, head in enumerate(heads)))
    assert [evidence for *_, evidence in game.told(batches.repeated_data)] == [
        "The first 16 rows of every real batch hold at most 4 different ones."
    ]
    game.add(call("d", 9, **REAL, head=rows_of(16, 16)))
    assert game.told(batches.repeated_data) == []


def test_few_different_numbers():
    """A batch of numbers has one axis."""
    game = seen(*(call("d", step, **REAL, head=rows_of(8, 2, step)[:, 0]) for step in range(3)))
    assert [evidence[-25:] for *_, evidence in game.told(batches.repeated_data)] == ["at most 2 different ones."]


def test_the_same_fakes():
    said = [("D is shown the same fakes at every step", True,
             "Its fake input was bit for bit that of the iteration before, 3 times of 3.")]  # fmt: skip
    attached = [call("d", step, **FAKE, attached=True) for step in range(1, 8)]
    assert seen(*fixed("d", 4, **FAKE), *attached).told(batches.repeated_data) == said
    assert seen(*fixed("d", 4, **FAKE, attached=True)).told(batches.repeated_data) == []
    assert seen(*fixed("d", 3, **FAKE)).told(batches.repeated_data) == []
    # which is said of the latents
    assert seen(*fixed("d", 4, **FAKE), *fixed("g", 4)).told(batches.repeated_data) == []


def ranged(end, real, fake=(-1.0, 1.0), stds=(0.5, 0.5), **given):
    maker = call("g", ends=end, made=torch.zeros(4, 2))
    return seen(
        maker, call(**REAL, scale=Scale(*real, 0.1, stds[0]), **given),
        call(**FAKE, maker=maker, scale=Scale(*fake, 0.2, stds[1]), **given),
    )  # fmt: skip


@pytest.mark.parametrize(("end", "low", "high", "name"), [
    ("tanh", -1.095, 0.0, ""), ("tanh", -1.11, 0.0, "outside"), ("tanh", -1, 1.095, ""), ("tanh", -1, 1.11, "outside"),
    ("sigmoid", -0.048, 1.0, ""), ("sigmoid", -0.06, 1.0, "outside"), ("sigmoid", 0.0, 1.048, ""),
    ("softmax", 0.0, 1.06, "outside"), ("sigmoid", 0.0, 1.06, "outside"), ("", -9.0, 9.0, ""),
    ("tanh", -0.019, 0.31, "half"), ("tanh", -0.021, 0.9, ""), ("tanh", -0.001, 0.3, ""),
    ("tanh", 0.0, 0.3, "half"), ("tanh", 0.1, 0.28, "half"), ("tanh", 0.1, 0.1, ""), ("sigmoid", 0.0, 1.0, ""),
    # a rectifier's has one end: a twentieth of what real samples span
    ("relu", -0.2, 4.0, ""), ("relu", -0.22, 4.0, "outside"), ("softplus", -1.0, 4.0, "outside"),
])  # fmt: skip
def test_the_range_of_real_samples(end, low, high, name):
    span = {"tanh": "[-1, 1]", "relu": "[0, inf]", "softplus": "[0, inf]"}.get(end, "[0, 1]")
    said = {
        "": [],
        "outside": [("real samples are outside the generator's range", True, f"It ends in a {end} and makes numbers in "
                     f"{span}; D's real ones are in [{low:.3g}, {high:.3g}].")],
        "half": [("real samples fill half of the generator's range", False,
                  f"It ends in a tanh, [-1, 1]; D's real ones are in [{low:.3g}, {high:.3g}].")],
    }  # fmt: skip
    assert ranged(end, (low, high)).told(batches.ranges) == said[name]


def test_what_has_other_axes_than_the_samples_has_its_own_range():
    assert ranged("tanh", (-9.0, 9.0), shape=(2, 1)).told(batches.ranges) == []
    # fakes of which no maker is known
    maker = call("g", ends="tanh")
    wide = Scale(-9, 9, 0.0, 0.5)
    assert seen(maker, call(**REAL, scale=wide), call(**FAKE)).told(batches.ranges) == []
    assert seen(maker, call(**REAL, scale=wide)).told(batches.ranges) == []
    assert seen(maker, call(**FAKE, maker=maker)).told(batches.ranges) == []


@pytest.mark.parametrize(("real", "fake", "found"), [(1.0, 20.5, True), (1.0, 19.5, False), (20.5, 0.5, True),
                                                     (19.5, 0.5, False), (41.0, 2.0, True), (39.0, 2.0, False),
                                                     (1.0, 1.0, False), (0.0, 0.1, True)])  # fmt: skip
def test_samples_of_other_scales(real, fake, found):
    told = ranged("", (-1.0, 1.0), stds=(real, fake)).told(batches.ranges)
    assert told == found * [
        ("real and fake samples are scaled differently", False,
         f"D's real ones: [-1, 1], mean 0.1, standard deviation {real:.3g}. Fake: [-1, 1], mean 0.2, standard "
         f"deviation {fake:.3g}.")
    ]  # fmt: skip


def test_ranges_are_those_of_all_calls_of_one_network():
    game = seen(
        call(**REAL, scale=Scale(-1, 2, 1.0, 50.0), network=7), call(**REAL, scale=Scale(-4, 1, 2.0, 70.0), network=7),
        call(**FAKE, network=7), call(**REAL, network=8), call(**FAKE, scale=Scale(0, 0, 0, 90.0), network=8),
    )  # fmt: skip
    # the first with a fault is told, and not the next
    assert [evidence for *_, evidence in game.told(batches.ranges)] == [
        "D's real ones: [-4, 2], mean 1.5, standard deviation 60. Fake: [-1, 1], mean 0, standard deviation 0.5."
    ]
    game.trace.calls[:2] = [call(**REAL, network=7)]
    assert [evidence[-14:] for *_, evidence in game.told(batches.ranges)] == [" deviation 90."]


@pytest.mark.parametrize(("real", "fake", "word"), [
    ([(3, 8, 8)], [(1, 8, 8)], "channels"), ([(3, 8, 8)], [(3, 7, 7)], "size"), ([(4,)], [(2,)], "size"),
    ([(3, 8, 8)], [(3, 8, 8)], None), ([(3, 8, 8), (1, 8, 8)], [(1, 8, 8)], None), ([(64,)], [(1, 8, 8)], None),
    ([(3, 8, 8)], [], None), ([], [(3, 8, 8)], None),
])  # fmt: skip
def test_shapes(real, fake, word):
    game = Game()
    game.turn("d", *((call(kind=kind, shape=shape), scores([1.0]))
                     for kind, shapes in (("real", real), ("fake", fake)) for shape in shapes))  # fmt: skip
    game.turn("g")
    assert game.told(batches.sizes) == ([
        (f"real and fake samples differ in {word}", True, f"D is given real samples of shape {list(real[0])} and fakes "
         f"of shape {list(fake[0])}: the shape alone tells them apart.")
    ] if word else [])  # fmt: skip


def labelled(player, other, same, **given):
    """Turns whose fakes are judged under other labels than they were made with, or the same."""
    game = Game()
    for step in range(other + same):
        label = torch.tensor([1, 2, 3, 4])
        maker = call("g", conditions=(label,))
        judged = call("d", step, **{"kind": "fake", "maker": maker,
                                    "conditions": (label + (step < other),), **given})  # fmt: skip
        for who in "dg":
            game.turn(who, *([(judged, scores([1.0]))] if who == player else []))
    return game


@pytest.mark.parametrize(("player", "name"), PLAYERS)
@pytest.mark.parametrize(("other", "same", "found"), [(3, 0, True), (2, 0, False), (5, 1, True), (4, 1, False)])
def test_other_labels(player, name, other, same, found):
    assert labelled(player, other, same).told(batches.labels) == found * [
        ("fakes are judged under other labels than they were made with", True,
         f"In {other} of {other + same} calls for the {name}'s loss the labels that D got with fakes were not G's.")
    ]  # fmt: skip


@pytest.mark.parametrize("given", [{"kind": "mixed"}, {"maker": None}, {"conditions": ()},
                                   {"conditions": (torch.zeros(3),)}])  # fmt: skip
def test_labels_that_cannot_be_compared(given):
    assert labelled("d", 3, 0, **given).told(batches.labels) == []


@pytest.mark.parametrize(("player", "name"), PLAYERS)
@pytest.mark.parametrize(("counts", "found"), [((4, 64), True), ((5, 64), False), ((64, 3), True)])
def test_batches_too_small_for_batch_norm(player, name, counts, found):
    game = seen(*(call(player, count=count) for count in counts), **{player: normed(3, 2)})
    assert game.told(batches.batch_statistics) == found * [
        ("the batch is too small for batch norm", False,
         f"The {name} has 1 batch norms and is given {min(counts)} samples at a time.")
    ]  # fmt: skip
    assert seen(*(call(player, count=2, training=False) for _ in range(9)), **{player: normed(3, 2)}).told(
        batches.batch_statistics) == []  # fmt: skip
    assert seen(call(player, count=2)).told(batches.batch_statistics) == []


def test_statistics_of_both():
    mixed = [call(count=9, kind="mixed", back=CAME_BACK) for _ in range(3)]
    left_out = [call(count=9, kind="mixed"), call(count=9, back=CAME_BACK, **REAL)] * 3
    assert seen(*mixed, *left_out, d=normed(2, 1)).told(batches.batch_statistics) == [
        (
            "real and fake samples share batch statistics in D",
            False,
            "3 calls of D, which has 1 batch norms, hold both.",
        )
    ]
    assert seen(*mixed[:2], *left_out, d=normed(2, 1)).told(batches.batch_statistics) == []


@pytest.mark.parametrize(("samples", "size", "left"), [(36, 16, 4), (37, 16, 0), (136, 128, 8), (137, 128, 0),
                                                       (32, 16, 0), (7, 4, 3), (17, 16, 1)])  # fmt: skip
def test_the_last_batch(samples, size, left):
    loader = SimpleNamespace(batch_size=size, dataset=range(samples), drop_last=False)
    said = bool(left) * [
        ("the last batch of an epoch is tiny", False,
         f"{samples} samples in batches of {size} leave {left}, and the networks have batch norm.")
    ]  # fmt: skip
    assert seen(loader=loader, g=normed(3, 2)).told(batches.batch_statistics) == said
    assert seen(loader=loader, d=normed(2, 1)).told(batches.batch_statistics) == said
    assert seen(loader=loader).told(batches.batch_statistics) == []


@pytest.mark.parametrize("other", [{"drop_last": True}, {"drop_last": None, "dataset": iter([1])}, {"batch_size": None},
                                   {"batch_size": 0}])  # fmt: skip
def test_loaders_of_which_nothing_can_be_said(other):
    loader = SimpleNamespace(**{"batch_size": 16, "dataset": range(17), "drop_last": False, **other})
    assert seen(loader=loader, g=normed(3, 2)).told(batches.batch_statistics) == []
    bare = SimpleNamespace(batch_size=16, dataset=range(17))
    assert seen(loader=bare, g=normed(3, 2)).told(batches.batch_statistics) == []
    assert seen(loader=object(), g=normed(3, 2)).told(batches.batch_statistics) == []


def test_a_network_that_is_not_called():
    game = seen(call("d"), call("d"), steps=3)
    said = lambda name: [  # noqa: E731
        (f"the {name} that Monitor was given is not called", False,
         "In 3 iterations the loop called the other network 2 times and this one never.")
    ]  # fmt: skip
    assert game.told(batches.not_called) == said("generator")
    game.trace.steps = 2
    assert game.told(batches.not_called) == []
    assert seen(steps=9).told(batches.not_called) == []
    game.trace.steps = 3
    game.trace.grown["g"].add("0.weight")
    assert game.told(batches.not_called) == []
    # a discriminator may come later, if nobody steps one like it
    late = seen(call("g"), call("g"), steps=3)
    assert late.told(batches.not_called) == []
    late.trace.strangers = {8: ((1,),), 9: ((1,), (1, 4), (4,), (4, 2))}
    assert late.told(batches.not_called) == said("discriminator")


@pytest.mark.parametrize(("different", "latents", "said"), [
    (2, WIDE, ["the same latents at every step or two"]), (3, WIDE, ["the same latents at every step or two"]),
    (4, WIDE, []), (2, None, []), (2, Scale(5.0, 9.0, 7.0, 0.5), []),
])  # fmt: skip
def test_a_seed_for_each_of_a_few_turns(different, latents, said):
    drawn = torch.Generator().manual_seed(0)
    heads = [torch.randn(4, 2, generator=drawn) for _ in range(different)]
    game = Game(latents=latents)
    game.add(*(call("g", step=step, head=heads[step % different]) for step in range(6)))
    # of other latents than Monitor's something else is said
    assert [name for name in game.names(batches.latents) if "Monitor" not in name] == said


def test_latents_of_one_players_turns_alone_are_told():
    game = Game(latents=WIDE)
    for step in range(3):
        others = call("g", step=step, scale=Scale(0.0, 1.0, 0.5, 0.29))
        game.turn("d", (call(step=step, kind="fake", maker=others), scores([1.0] * 4)))
        own = call("g", step=step)
        game.turn("g", (call(step=step, kind="fake", maker=own, attached=True), scores([-1.0] * 4)))
        game.add(others, own)
        game.trace.steps += 1
    said = "The loop's have mean 0.5 and standard deviation 0.29, Monitor's 0 and 0.5."
    assert game.told(batches.latents) == [("Monitor draws other latents than the loop", False, said)]


def test_labels_beside_fakes_that_are_changed_on_their_way():
    hot = torch.eye(4)
    for wrong in (False, True):
        game = Game()
        for step in range(3):
            maker = call("g", step=step, conditions=(hot,))
            beside = hot.roll(1, 0) if wrong else hot
            fake = call(step=step, kind="fake", head=torch.cat([torch.rand(4, 2), beside], 1), attached=True)
            game.add(maker)
            game.turn("g", (fake, scores([-1.0] * 4)))
            game.trace.steps += 1
        found = ["fakes are judged under other labels than they were made with"]
        assert game.names(batches.labels) == wrong * found
