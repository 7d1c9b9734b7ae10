"""How long the doctor looks, and what it makes of whose turn it was."""

import gc
import weakref

import pytest
import torch
from torch import nn, optim
from torch.nn.functional import softplus
from torch.optim.optimizer import register_optimizer_step_pre_hook
from traces import Game, Same, Sum, call, hooks, scores

from ganbench.monitor.doctor import Visit
from ganbench.monitor.doctor.trace import Fault, Scale
from ganbench.monitor.doctor.watching import remove_hooks


class Pair:
    """Two networks of one weight each, with a step for each."""

    def __init__(self, **given):
        self.g, self.d = Same(), Sum()
        self.optimizers = {who: optim.SGD(getattr(self, who).parameters(), lr=0.0) for who in "gd"}
        self.visit = Visit([self.g], [self.d], **given)

    def call(self, player):
        return (self.d if player == "d" else self.g)(torch.randn(4, 2))

    def train(self, players):
        for player in players:
            self.optimizers[player].zero_grad()
            self.call(player).sum().backward()
            self.optimizers[player].step()

    def iterate(self, turns, most=100):
        """Iterate by which players have a turn, until the visit says so; the number of iterations."""
        for step in range(1, most):
            self.train(turns(step))
            if self.visit.step():
                return step
        return None


@pytest.mark.parametrize(("turns", "iterations"), [
    (lambda _: "dg", 8), (lambda _: "ddg", 8),
    # five steps of each are waited for
    (lambda step: "d" if step % 2 else "dg", 10), (lambda step: "g" if step % 3 else "dg", 15),
    (lambda step: "d", 40), (lambda step: "dg" if step > 35 else "d", 40),
    (lambda step: "dg" if step > 33 else "d", 38),
])  # fmt: skip
def test_a_visit_ends_after_five_steps_of_each_and_eight_iterations(turns, iterations):
    pair = Pair()
    assert pair.visit.open
    assert pair.iterate(turns) == iterations
    assert not pair.visit.open
    assert pair.visit.trace.steps == iterations


@pytest.mark.parametrize(("sign", "found"), [(1, []), (-1, ["labels are swapped between the losses"])])
def test_relativistic_losses_that_go_backward_before_either_step(sign, found):
    torch.manual_seed(0)
    g, d = nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    optimizers = [optim.Adam(own.parameters(), lr=1e-3) for own in (d, g)]
    visit = Visit([g], [d])
    for _ in range(10):
        real, fake = torch.randn(16, 2) + 1, g(torch.randn(16, 3))
        losses = softplus(d(fake.detach()) - d(real)).mean(), softplus(sign * (d(real) - d(fake))).mean()
        for loss, own, optimizer in zip(losses, (d, g), optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward(inputs=list(own.parameters()))
        for optimizer in optimizers:
            optimizer.step()
        if visit.step():
            break
    assert [fault.name for fault in visit.faults()] == found


@pytest.mark.parametrize("seen", ["nothing", "called", "grown"])
def test_a_discriminator_that_was_seen_is_not_waited_for(seen):
    pair = Pair()
    if seen == "called":
        pair.call("d")
    elif seen == "grown":
        pair.d.weight.square().backward()
    assert pair.iterate(lambda _: "g") == 40
    assert pair.visit.open is (seen == "nothing")


def test_waiting_for_a_discriminator():
    before = hooks(forget=True)
    pair = Pair(loader="its loader", latents=torch.zeros(3, 2))
    assert pair.iterate(lambda _: "g") == 40
    assert hooks() == (before[0] + 1, before[1])
    first = pair.visit.trace
    for _ in range(3):
        pair.train("g")
        optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1).step()
        assert pair.visit.step() is False
    assert pair.visit.trace is first
    # a group may be empty, and D's come after another's
    both = optim.SGD([{"params": [nn.Parameter(torch.ones(1))]}, {"params": pair.d.parameters()}], lr=0.0)
    both.param_groups.insert(0, {**both.param_groups[0], "params": []})
    both.step()
    assert pair.visit.step() is False
    assert pair.visit.trace is not first
    assert hooks() == (before[0] + 1, before[1] + 1)
    assert (pair.visit.trace.loader, pair.visit.trace.steps) == ("its loader", 0)
    assert pair.visit.trace.latents == Scale(0.0, 0.0, 0.0, 0.0)
    # it is waited for once
    assert pair.iterate(lambda _: "g") == 40
    assert not pair.visit.open
    assert hooks() == before


@pytest.mark.parametrize("end", ["closed", "forgotten"])
@pytest.mark.parametrize("waiting", [True, False])
def test_no_hook_outlives_a_visit(end, waiting):
    before = hooks(forget=True)
    pair = Pair()
    if waiting:
        pair.iterate(lambda _: "g")
    else:
        pair.train("dg")
    assert hooks() != before
    network = weakref.ref(pair.g)
    if end == "closed":
        pair.visit.close()
        assert not pair.visit.open
    else:
        del pair
        gc.collect()
        assert network() is None
        remove_hooks([])
    assert hooks() == before


@pytest.mark.parametrize("waiting", [True, False])
def test_a_visit_that_is_forgotten_amid_a_step_does_not_disturb_it(waiting):
    """As when garbage is collected there."""
    own = nn.Parameter(torch.ones(1))
    optimizer = optim.SGD([own], lr=1.0)
    pairs = [Pair()]
    if waiting:
        pairs[0].iterate(lambda _: "g")

    def collect(*_):
        pairs.clear()
        gc.collect()

    handle = register_optimizer_step_pre_hook(collect)
    own.grad = torch.ones(1)
    optimizer.step()
    handle.remove()
    assert own.item() == 0.0


def test_a_visit_looks_away_while_it_is_paused():
    pair = Pair()
    pair.visit.pause(True)
    pair.train("dg")
    assert pair.visit.trace.calls == []
    pair.visit.pause(False)
    pair.train("dg")
    assert len(pair.visit.trace.calls) == 2


@pytest.mark.parametrize(("latents", "scale"), [
    (None, None), (torch.zeros(3, dtype=torch.long), None), (torch.zeros(0, 2), None),
    (torch.tensor([0.0, 2.0]), Scale(0.0, 2.0, 1.0, 1.0)),
])  # fmt: skip
def test_the_latents_of_a_probe(latents, scale):
    assert Pair(latents=latents).visit.trace.latents == scale
    assert Pair(latents=latents).visit.trace.loader is None


def test_the_certain_faults_come_first():
    pair = Pair()
    pair.d.weight.data.fill_(torch.nan)
    for player in "gd":
        pair.visit.trace.held[player].add("weight")
    other = Sum()
    other.add_module("more", Same())
    pair.visit.trace.players["g"] = other
    other.more.requires_grad_(False)
    pair.visit.trace.held["g"].add("more.weight")
    pair.train("d" * 5)
    found = pair.visit.faults()
    assert [fault.certain for fault in found] == sorted((fault.certain for fault in found), reverse=True)
    assert {True, False} == {fault.certain for fault in found}
    assert found[0].name == "parameters of the discriminator are not finite"
    assert found[-1].name == "part of the generator is frozen"


def test_a_fault_and_a_scale_as_texts():
    assert str(Fault("n", True, "e.", "c.")) == "certain: n. e. c."
    assert str(Fault("n", False, "e.", "c.")) == "perhaps: n. e. c."
    assert str(Scale.of(torch.tensor([[0, 2]]))) == "[0, 2], mean 1, standard deviation 1"


# ------------------------------------------------------------------------------------------------ whose turn it was


def test_a_pass_is_the_next_steps():
    game = Game()
    first, second = game.backward("gd"), game.backward("d")
    game.update("d", second)
    third = game.backward("gd")
    assert game.trace.roles() == {first: "d", second: "d"}  # nothing is known of the last
    game.update("g", third)
    assert game.trace.roles() == {first: "d", second: "d", third: "g"}


FAKE, REAL = {"kind": "fake"}, {"kind": "real"}


@pytest.mark.parametrize(("seen", "role"), [
    ([FAKE | {"attached": True}], "g"), ([FAKE], "d"), ([REAL, FAKE], "d"), ([REAL], "d"), ([], "g"),
    ([REAL | {"attached": True}], "d"),
])  # fmt: skip
def test_passes_before_both_steps_are_told_by_what_they_reach(seen, role):
    game = Game()
    own = game.backward("gd", *((call(**one), scores([1.0])) for one in seen))
    game.add(call("g", back={own: scores([1.0])}))
    game.update("g", own)
    assert game.trace.roles() == {own: role}
    assert [one.kind for one in game.trace.scored(own)] == [one["kind"] for one in seen]


def test_a_loss_of_g_that_compares_with_real_samples_is_gs_where_both_go_backward_first():
    game, attached = Game(), FAKE | {"attached": True}
    first, second = (
        game.backward("gd", *((call(**one), scores([1.0])) for one in seen))
        for seen in ([REAL, FAKE], [REAL, attached])
    )
    game.update("d", first, second)
    game.update("g", second)
    assert game.trace.roles() == {first: "d", second: "g"}


def test_fakes_that_are_attached_in_both_losses_leave_ds_the_one_with_real_samples():
    game, attached = Game(), FAKE | {"attached": True}
    first, second = (
        game.backward("gd", *((call(**one), scores([1.0])) for one in seen)) for seen in ([REAL, attached], [attached])
    )
    game.update("d", first, second)
    game.update("g", first, second)
    assert game.trace.roles() == {first: "d", second: "g"}


def test_what_was_trained_and_called():
    game = Game()
    real, fake = call(**REAL), call(**FAKE)
    came = scores([1.0]), scores([2.0])
    game.turn("d", (real, came[0]), (fake, came[1]))
    game.turn("g", (fake, came[0]))
    assert list(game.trace.trained("d")) == [(real, came[0]), (fake, came[1])]
    assert list(game.trace.trained("g")) == [(fake, came[0])]
    game.add(call("g"))
    assert game.trace.calls_of("d") == [real, fake]
    assert game.trace.calls_of("d", "fake") == [fake]
    assert [update.optimizer for update in game.trace.of("d")] == [2]
