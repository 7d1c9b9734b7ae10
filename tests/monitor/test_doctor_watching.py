"""What the doctor writes down of a loop's calls, gradients and steps, against numbers made by hand."""

import gc
import weakref

import pytest
import torch
from torch import nn, optim
from torch.optim.optimizer import _global_optimizer_pre_hooks
from traces import Same, Sum, hooks

from ganbench.monitor.doctor.trace import Scale
from ganbench.monitor.doctor.watching import Watching


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Same(), Sum()


@pytest.fixture
def watch(pair):
    made = Watching([pair[0]], [pair[1]])
    yield made
    made.close()


def test_a_call_in_numbers(watch, pair):
    x, label = torch.arange(40.0).reshape(20, 2), torch.arange(20)
    pair[0].eval()
    watch.trace.steps = 3
    out = pair[0](x, label=label)
    (call,) = watch.trace.calls
    assert (call.player, call.step, call.training, call.count, call.shape) == ("g", 3, False, 20, (2,))
    assert torch.equal(call.head, x[:16])
    assert torch.equal(call.made, out[:16])
    # of 0 to 39: the mean, and the square root of (40^2 - 1) / 12
    assert call.scale == Scale(0.0, 39.0, 19.5, pytest.approx(11.543396))
    assert call.made_scale == call.scale
    assert (call.equal_rows, call.made_equal, call.ends, call.network) == (False, False, "", id(pair[0]))
    assert [one.tolist() for one in call.conditions] == [list(range(16))]
    assert (call.kind, call.attached, call.leaf, call.maker, call.back) == ("", False, False, None, {})
    x.zero_()  # a loop may use its batch again
    assert call.head[1, 1] == 3.0


def test_the_output_of_a_call_is_its_own(pair, watch):
    with torch.no_grad():
        out = pair[0](torch.ones(2, 2))
        out.zero_()
    assert watch.trace.calls[0].made.tolist() == [[1.0, 1.0]] * 2
    assert watch.trace.calls[0].equal_rows
    assert watch.trace.calls[0].made_equal


@pytest.mark.parametrize(("x", "equal"), [([[1.0, 2.0]], False), ([[1.0, 2.0], [1.0, 3.0]], False),
                                          ([[1.0, 2.0], [1.0, 2.0]], True)])  # fmt: skip
def test_equal_rows(watch, pair, x, equal):
    pair[0](torch.tensor(x))
    assert watch.trace.calls[0].equal_rows is equal


def test_what_is_kept_holds_no_graph(watch, pair):
    g, d = pair
    d(g(torch.ones(2, 2, requires_grad=True))).mean().backward()
    assert [call.head.requires_grad or call.made.requires_grad for call in watch.trace.calls] == [False, False]
    (back,) = watch.trace.calls[1].back.values()
    assert not back.outputs.requires_grad
    assert not back.gradient.requires_grad


class Whole(Same):
    """A network whose output is of whole numbers."""

    def forward(self, x):
        return (x * self.weight).long()


def test_outputs_that_are_no_samples_and_no_scores_are_left_out():
    g, d = Whole(), Whole()
    watch = Watching([g], [d])
    for own in (g, d):
        own(torch.ones(2, 2))
    assert watch.trace.calls == []


def test_what_is_no_batch_is_left_out(watch, pair):
    g, d = pair
    g(torch.zeros(0, 2))
    g(torch.zeros(3, 0))
    d(torch.zeros(0, 2))
    g(torch.zeros(2, 2, dtype=torch.long))
    torch.func.functional_call(g, {"weight": torch.zeros(())}, (torch.ones(2, 2),))  # somebody's measurement
    assert watch.trace.calls == []
    g(x=torch.ones(2, 2))
    assert [call.count for call in watch.trace.calls] == [2]


def test_numbers_without_a_batch_axis_beside_the_samples(watch, pair):
    pair[0](torch.ones(2, 2), torch.tensor(7))
    assert [one.item() for one in watch.trace.calls[0].conditions] == [7]


def test_while_paused_nothing_is_seen(watch, pair):
    g, d = pair
    optimizers = [optim.SGD(own.parameters(), lr=0.1) for own in (g, d, nn.Linear(1, 1))]
    early = d(torch.ones(2, 2))
    assert len(watch.trace.calls) == 1
    watch.paused = True
    (d(g(torch.ones(2, 2))).sum() + early.sum()).backward()
    for own in optimizers:
        own.step()
    assert len(watch.trace.calls) == 1
    assert not watch.trace.calls[0].back
    assert not watch.trace.backwards
    assert not watch.trace.updates
    assert not watch.trace.strangers
    assert not watch.trace.grown["g"]
    watch.paused = False
    d(g(torch.ones(2, 2))).sum().backward()
    assert len(watch.trace.calls) == 3
    assert len(watch.trace.backwards) == 1


@pytest.mark.parametrize("off", [None, "is_available", "is_initialized", "is_current_stream_capturing"])
def test_while_a_graph_is_captured_nothing_is_seen(watch, pair, monkeypatch, off):
    for name in ("is_available", "is_initialized", "is_current_stream_capturing"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: name != off)
    g, d = pair
    optimizer = optim.SGD(g.parameters(), lr=0.1)
    d(g(torch.ones(2, 2))).sum().backward()
    optimizer.step()
    trace = watch.trace
    assert [len(trace.calls), len(trace.backwards), len(trace.updates)] == ([2, 1, 1] if off else [0, 0, 0])


@pytest.mark.parametrize(("before", "paused"), [(4998, False), (4999, True)])
def test_after_5000_calls_nothing_more_is_seen(watch, pair, before, paused):
    pair[0](torch.ones(2, 2))
    watch.trace.calls *= before
    pair[0](torch.ones(2, 2))
    assert watch.paused is paused


# ------------------------------------------------------------------------------------------------ what comes back


def test_gradients_come_back_to_scores_as_of_a_mean(watch, pair):
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    scores = pair[1](x)
    (scores * torch.tensor([0.5, 2.0])).mean().backward(retain_graph=True)
    torch.autograd.grad(scores.mean(), pair[1].weight, create_graph=True)
    scores.data.zero_()  # a loop may write over its scores
    first, second = watch.trace.calls[0].back.values()
    assert first.outputs.tolist() == [3.0, 7.0]
    assert first.gradient.tolist() == [0.5, 2.0]
    assert second.gradient.tolist() == [1.0, 1.0]
    assert (first.creates_graph, second.creates_graph) == (False, True)
    # what autograd.grad hands out reaches no .grad
    assert list(watch.trace.backwards) == list(watch.trace.calls[0].back)[:1]
    with torch.no_grad():
        pair[1](x)
    assert len(watch._handles) == len(Watching([pair[0]], [pair[1]])._handles) + 2


class Scales(Same):
    """A discriminator with maps of 5000 and 3 scores."""

    def forward(self, x):
        small = x.sum() * self.weight * torch.ones(2, 3)
        return [x.sum() * self.weight * torch.ones(2, 5000), small]


def test_of_several_maps_the_first_and_of_a_large_one_a_part():
    g, d = Same(), Scales()
    watch = Watching([g], [d])
    sum(own.mean() for own in d(torch.ones(2, 2))).backward()
    (back,) = watch.trace.calls[0].back.values()
    assert back.outputs.shape == back.gradient.shape == (8192,)
    assert back.gradient.tolist() == pytest.approx([1.0] * 8192)


def test_a_backward_pass_and_what_it_reaches(watch, pair):
    g, d = pair
    watch.trace.steps = 2
    d(g(torch.ones(2, 2))).sum().backward()
    d(torch.ones(2, 2)).sum().backward()
    first, second = watch.trace.backwards.values()
    assert (first.hits, first.step) == ({"g": {"weight"}, "d": {"weight"}}, 2)
    assert second.hits == {"g": set(), "d": {"weight"}}
    assert watch.trace.grown == {"g": {"weight"}, "d": {"weight"}}
    assert watch.trace.order == [first, second]


@pytest.mark.parametrize("to_none", [True, False])
def test_the_passes_that_a_gradient_is_the_sum_of(watch, pair, to_none):
    d = pair[1]
    optimizer = optim.SGD(d.parameters(), lr=0.0)
    lose = lambda by=1.0: (by * d(torch.ones(2, 2)).sum()).backward()  # noqa: E731
    clear = lambda: optimizer.zero_grad(set_to_none=to_none)  # noqa: E731
    lose()
    optimizer.step()
    lose()
    optimizer.step()
    clear()
    lose()
    optimizer.step()
    clear()
    optimizer.step()
    a, b, c = watch.trace.backwards
    assert [update.sources["d"] for update in watch.trace.updates] == [[a], [a, b], [c], []]
    assert [update.cleared["d"] for update in watch.trace.updates] == [False, False, False, True]
    # 2 samples of sum 2: once, twice, once, none
    assert [update.norms["d"] for update in watch.trace.updates] == [4.0, 8.0, 4.0, 0.0]
    lose(0.0)
    optimizer.step()
    # it left nothing that could have been cleared
    assert watch.trace.updates[-1].sources["d"] == []
    assert watch.trace.updates[-1].cleared["d"] is False


def test_without_a_gradient_nothing_is_known_of_its_passes(watch, pair):
    optim.SGD(pair[1].parameters(), lr=0.0).step()
    assert watch.trace.updates[0].sources == {"d": None}
    assert watch.trace.updates[0].norms == {"d": 0.0}
    assert watch.trace.updates[0].cleared == {}


def test_gradients_that_are_not_finite_are_counted_by_iteration():
    g, d = nn.Linear(2, 2), nn.Linear(2, 1)
    watch = Watching([g], [d])
    watch.next_step()
    g.weight.grad, g.bias.grad = torch.ones(2, 2), torch.tensor([0.0, torch.inf])
    watch.next_step()
    d.weight.grad = torch.ones(1, 2)
    watch.next_step()
    d.weight.grad[0, 0] = torch.nan
    watch.next_step()
    assert watch.trace.steps == 4
    assert watch.trace.grad_broken == {"g": 3, "d": 1}


def test_parameters_that_come_later_are_followed():
    g, d = nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 1)
    g[0].requires_grad_(False)
    watch = Watching([g], [d])
    g.append(nn.Linear(2, 2))
    g[0].bias.requires_grad_(True)
    optimizer = optim.SGD(g.parameters(), lr=0.1)
    d(g(torch.ones(4, 2))).sum().backward()
    assert watch.trace.grown["g"] == {"0.bias", "1.weight", "1.bias"}
    optimizer.step()
    assert watch.trace.updates[0].held == {"g": 4, "d": 0}
    g.append(nn.Linear(2, 2))
    watch.next_step()
    g[2].weight.sum().backward()
    assert "2.weight" in watch.trace.grown["g"]


def test_several_networks_of_a_player_are_one():
    g, d = [nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)], [nn.Linear(2, 1)]
    watch = Watching(g, d)
    assert [name for name, _ in watch.trace.players["g"].named_parameters()] == ["0.weight", "1.weight"]
    assert watch.trace.players["d"] is d[0]
    d[0](g[1](g[0](torch.ones(2, 2))))
    assert [call.network for call in watch.trace.calls] == [id(g[0]), id(g[1]), id(d[0])]


def test_hooks_go_with_the_networks():
    before = hooks(forget=True)
    g, d = Same(), Sum()
    watch = Watching([g], [d])
    assert hooks() == (before[0] + 1, before[1] + 1)
    network = weakref.ref(g)
    del watch, g, d
    gc.collect()
    assert network() is None
    # those of all optimizers go when another one begins
    watch = Watching([Same()], [Sum()])
    assert len(_global_optimizer_pre_hooks) == before[0] + 1
    watch.close()
    assert hooks() == before
