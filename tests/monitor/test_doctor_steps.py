"""What the doctor writes down of optimizers' steps, against numbers made by hand."""

import pytest
import torch
from torch import nn, optim

from ganbench.monitor.doctor.watching import Watching


def plain(*shapes):
    """A network of these parameters, all ones."""
    return nn.ParameterList([nn.Parameter(torch.ones(*shape)) for shape in shapes])


def stepped(optimizer, gradients):
    for own, value in gradients.items():
        own.grad = torch.full_like(own, value)
    optimizer.step()


def test_a_step_in_numbers():
    g, d = plain((2, 2), (2,)), plain((1, 4))
    watch = Watching([g], [d])
    watch.trace.steps = 6
    optimizer = optim.SGD([{"params": [g[0]]}, {"params": [g[1], d[0]], "lr": 0.25}], lr=0.5)
    stepped(optimizer, {g[0]: 1.0, g[1]: 2.0})
    (update,) = watch.trace.updates
    assert (update.optimizer, update.kind, update.step) == (id(optimizer), "SGD", 6)
    assert update.rates == (0.5, 0.25)
    assert update.held == {"g": 2, "d": 1}
    assert update.mainly() == "g"
    assert watch.trace.held == {"g": {"0", "1"}, "d": {"0"}}
    # the square root of 4 x 1 + 2 x 4, and no gradient
    assert update.norms == {"g": pytest.approx(12**0.5), "d": 0.0}
    # vectors are not measured: 4 numbers move by 0.5 each, of size 2; D's by none
    assert update.moved == {"g": pytest.approx(0.5), "d": 0.0}
    assert watch.trace.order == [update]
    assert watch.trace.strangers == {}


def test_an_optimizer_of_neither_is_a_stranger():
    g, d, other = plain((2, 2)), plain((1, 4)), plain((3, 1), (3,))
    watch = Watching([g], [d])
    optimizer = optim.SGD(other.parameters(), lr=0.1)
    optimizer.step()
    assert watch.trace.strangers == {id(optimizer): ((3, 1), (3,))}
    assert watch.trace.updates == []
    optim.SGD(d.parameters(), lr=0.1).step()
    assert [update.held for update in watch.trace.updates] == [{"g": 0, "d": 1}]
    assert watch.trace.updates[0].mainly() == "d"
    optimizer.step()
    assert len(watch.trace.updates) == 1


def test_the_three_largest_matrices_of_each_player_are_measured():
    g, d = plain((1, 4), (1, 9), (100,), (1, 16), (1, 25)), plain((1, 36))
    watch = Watching([g], [d])
    optimizer = optim.SGD([*g.parameters(), *d.parameters()], lr=1.0)
    stepped(optimizer, {g[0]: 100.0, g[1]: 0.1, g[2]: 100.0, g[3]: 0.2, g[4]: 0.3, d[0]: 0.5})
    # sizes 3, 4 and 5 move by 0.1, 0.2 and 0.3 of themselves
    assert watch.trace.updates[0].moved == {"g": pytest.approx((0.3 + 0.8 + 1.5) / 12), "d": pytest.approx(0.5)}


@pytest.mark.parametrize(("numbers", "measured"), [(1_000_000, True), (1_000_001, False)])
def test_a_matrix_of_more_than_a_million_is_not_copied(numbers, measured):
    g = plain((1, numbers))
    watch = Watching([g], [plain((1, 4))])
    stepped(optim.SGD(g.parameters(), lr=1.0), {g[0]: 0.5})
    assert watch.trace.updates[0].moved == ({"g": pytest.approx(0.5)} if measured else {})


def test_weights_of_0_that_move():
    g = plain((1, 4))
    g[0].data.zero_()
    watch = Watching([g], [plain((1, 4))])
    optimizer = optim.SGD(g.parameters(), lr=1.0)
    stepped(optimizer, {g[0]: 0.0})
    stepped(optimizer, {g[0]: 0.5})
    assert [update.moved["g"] for update in watch.trace.updates] == [0.0, pytest.approx(1e30)]


def test_rates_that_are_tensors_or_missing():
    class Bare(optim.Optimizer):
        """An optimizer without a rate."""

        def __init__(self, own):
            super().__init__(own, {})

        def step(self):
            """Stand still."""

    g, d = plain((2, 2)), plain((1, 4))
    watch = Watching([g], [d])
    optim.Adam(g.parameters(), lr=torch.tensor(0.5)).step()
    Bare(d.parameters()).step()
    assert [update.rates for update in watch.trace.updates] == [(0.5,), (0.0,)]
    assert all(type(rate) is float for update in watch.trace.updates for rate in update.rates)


def test_a_step_that_begins_before_the_watching_ends_in_none():
    g, d = plain((2, 2)), plain((1, 4))
    watch = Watching([g], [d])
    mine, other = optim.SGD(g.parameters(), lr=0.5), optim.SGD(d.parameters(), lr=0.5)
    watch._after_step(mine)  # nothing was stepped yet
    stepped(mine, {g[0]: 1.0})
    watch.paused = True
    stepped(other, {d[0]: 1.0})
    watch.paused = False
    assert [update.moved for update in watch.trace.updates] == [{"g": 0.5}]
    watch.close()
    stepped(mine, {g[0]: 1.0})
    d[0].sum().backward()
    assert len(watch.trace.updates) == 1
    assert not watch.trace.backwards


@pytest.mark.parametrize("way", ["place", "name", "none", "other"])
def test_a_closure_is_looked_at_when_it_was_called_first(way):
    class Searching(optim.SGD):
        """An optimizer that calls its closure twice, and takes more."""

        def step(self, closure=None, scale=1.0):
            first, second = (closure(), closure()) if closure else (None, None)
            return first, second, scale

    g = plain((1, 4))
    watch = Watching([g], [plain((1, 4))])
    optimizer = Searching(g.parameters(), lr=0.5)
    calls = []

    def closure():
        calls.append(len(watch.trace.updates))
        optimizer.zero_grad()
        g[0].sum().mul(len(calls)).backward()
        return f"loss {len(calls)}"

    if way == "place":
        found = optimizer.step(closure, 3.0)
    elif way == "name":
        found = optimizer.step(closure=closure, scale=3.0)
    elif way == "none":
        found = optimizer.step(None, 3.0)
    else:
        found = optimizer.step(scale=3.0)
    if way in ("place", "name"):
        assert found == ("loss 1", "loss 2", 3.0)
        assert calls == [0, 1]
        # four gradients of 1, those of the first call
        assert [update.norms for update in watch.trace.updates] == [{"g": 2.0}]
        assert watch.trace.updates[0].sources == {"g": [next(iter(watch.trace.backwards))]}
    else:
        assert found == (None, None, 3.0)
        assert [update.norms for update in watch.trace.updates] == [{"g": 0.0}]
