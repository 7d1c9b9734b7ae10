"""What a plug-in raises on a value that it cannot take is one sentence about the variant."""

from pathlib import Path

import pytest
import torch
from overriding import over
from torch import nn

from ganbench import registry
from ganbench.errors import UserError
from ganbench.problems.base import Batch
from ganbench.problems.mixtures import Mixture
from ganbench.suite import resolve
from ganbench.training.building import build_networks, building, make_problem

(VARIANT,) = resolve(None, over(["problem=ring8", "seeds=1"])).variants


@pytest.mark.parametrize("error", [ValueError("a width of 7"), ZeroDivisionError("by zero"), SystemExit(0)])
def test_what_it_raises_is_told_with_its_place(error):
    with pytest.raises(UserError) as caught, building(VARIANT):
        raise error
    assert str(caught.value).startswith(f"Cannot train '{VARIANT.id}': ")
    assert "(test_building.py, line " in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [UserError("No width of 7."), KeyboardInterrupt()])
def test_a_sentence_and_an_interrupt_pass(error):
    with pytest.raises(type(error)) as caught, building(VARIANT):
        raise error
    assert caught.value is error


DRAWN = {
    "draws a Tensor, not a Batch of samples and what is given with them.": lambda batch: batch.x,
    "draws a list, not a Batch": lambda batch: Batch([1.0]),
    "draws samples of the shape [16, 1], asked for [16, 2].": lambda batch: Batch(batch.x[:, :1]),
    "draws samples of the shape [15, 2], asked for [16, 2].": lambda batch: Batch(batch.x[1:]),
    "draws samples of float64, not float32.": lambda batch: Batch(batch.x.double()),
    "draws samples of int64, not float32.": lambda batch: Batch(batch.x.long()),
    "draws samples with nan in them.": lambda batch: Batch(batch.x * float("nan")),
    "draws samples with inf in them.": lambda batch: Batch(batch.x.abs() + float("inf")),
}


@pytest.mark.parametrize("said", DRAWN)
def test_a_problem_that_cannot_be_trained_on_is_told(own_registry, said):
    class Odd(Mixture):
        def draw(self, n, generator):
            return DRAWN[said](super().draw(n, generator))

    @registry.register("problem")
    def odd():
        """A problem of the user's own."""
        return Odd("odd", torch.tensor([[0.0, 0.0], [1.0, 0.0]]), 0.1)

    with pytest.raises(UserError) as refused:
        make_problem(resolve(None, over(["problem=odd", "seeds=1"])).variants[0])
    assert str(refused.value).startswith(f"The problem 'odd' {said}")


def layers(g=2, d=2):
    return nn.Linear(8, g), nn.Sequential(nn.Linear(d, 4), nn.ReLU(), nn.Linear(4, 1))


def shared():
    g, d = layers()
    return nn.Sequential(g, d[0], nn.Linear(4, 2)), d


NETWORKS = {
    "The network 'odd' returns a Linear, not its generator and its discriminator, two modules.": lambda: layers()[0],
    "The network 'odd' returns a tuple, not its generator": lambda: (*layers(), None),
    "The network 'odd' returns a list, not its generator": lambda: [layers()[0], lambda x: x.sum(1)],
    "The generator of the network 'odd' has no parameters,": lambda: (nn.Identity(), layers()[1]),
    "The discriminator of the network 'odd' has no parameters,": lambda: (layers()[0], nn.Flatten()),
    "The generator of the network 'odd' has parameters that are not to be trained, and here all are": lambda: (
        layers()[0].requires_grad_(False), layers()[1]
    ),
    "The generator and the discriminator of the network 'odd' share parameters": shared,
}  # fmt: skip


@pytest.mark.parametrize("said", NETWORKS)
def test_networks_that_would_train_as_something_else_are_told(own_registry, said):
    @registry.register("network")
    def odd(spec):
        """Networks of the user's own."""
        return NETWORKS[said]()

    (variant,) = resolve(None, over(["problem=ring8", "seeds=1", "network=odd"])).variants
    with pytest.raises(UserError) as refused:
        build_networks(variant, make_problem(variant), 0)
    assert str(refused.value).startswith(said)


def test_what_is_no_problem_is_told(own_registry):
    @registry.register("problem")
    def odd():
        """Nothing."""

    with pytest.raises(UserError, match=r"^The problem 'odd' returns a NoneType, not a Problem\.$"):
        make_problem(resolve(None, over(["problem=odd", "seeds=1"])).variants[0])


def test_a_line_of_the_engine_is_nobodys(monkeypatch):
    from ganbench.training import named

    monkeypatch.setattr(named, "ENGINE", Path(__file__).parent)
    with pytest.raises(UserError) as caught, building(VARIANT):
        raise RuntimeError("it changed the default dtype")
    assert str(caught.value) == f"Cannot train '{VARIANT.id}': RuntimeError: it changed the default dtype."
