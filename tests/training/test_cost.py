"""What a step costs, against operations counted by hand; and that counting changes nothing."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from overriding import over
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ganbench import register
from ganbench.suite import resolve
from ganbench.training import cost, loop
from ganbench.training.building import make_problem
from ganbench.training.cost import measured
from ganbench.training.losses import GuiltyError
from ganbench.training.population import Population
from ganbench.training.step import train_step

CPU = torch.device("cpu")
B, L, W = 16, 5, 24
SMALL = [
    "problem=ring8", "seeds=2", f"batch_size={B}", f"latent_dim={L}", f"network.mlp.width={W}", "steps=6",
    "probe_every=3", "samples=64",
]  # fmt: skip


def layers(*sizes: int) -> list[int]:
    """The operations of each linear layer on a batch: a multiplication and an addition for each weight and sample."""
    return [2 * B * a * b for a, b in pairwise(sizes)]


G, D = layers(L, W, W, 2), layers(2, W, W, 1)


def d_update() -> int:
    # G forward; D forward on real and fake; backward by weight for every layer, by input for all but the first
    return sum(G) + 2 * (sum(D) + sum(D) + sum(D[1:]))


def g_update() -> int:
    # G and D forward; back through all of D by input alone, then G by weight and by input but for its first
    return sum(G) + sum(D) + sum(D) + sum(G) + sum(G[1:])


def costs(*overrides: str) -> Any:
    plan = resolve(None, over([*SMALL, *overrides]))
    return plan, Population(list(plan.runs), make_problem(plan.runs[0].variant), CPU).costs()


def test_a_step_of_perceptrons_by_hand() -> None:
    _, found = costs("loss=nonsaturating", "regularizer=none")
    assert found.flop == (d_update() + g_update(),) * 2


@pytest.mark.usefixtures("own_registry")
def test_who_fails_while_costs_are_counted_is_named_by_its_place_among_all_runs() -> None:
    @register("loss")
    def spiteful(real_logits, fake_logits):  # type: ignore[no-untyped-def]
        """Raises once it is armed."""
        if armed:
            raise ValueError("enough")
        return (fake_logits - real_logits).mean(-1), -fake_logits.mean(-1)

    armed: list[int] = []
    plan = resolve(None, over([*SMALL, "loss=hinge,minimax,spiteful", "regularizer=none"]))
    assert [run.variant.values["loss"] for run in plan.runs] == ["hinge"] * 2 + ["minimax"] * 2 + ["spiteful"] * 2

    def make(runs: Any) -> Population:
        made = Population(list(runs), make_problem(plan.runs[0].variant), CPU)
        armed.extend([1] * (len(runs) == 3))
        return made

    with pytest.raises(GuiltyError) as raised:
        cost.step_cost(make, plan.runs)
    assert raised.value.runs == slice(4, 6)
    assert isinstance(raised.value.__cause__, ValueError)


def test_only_losses_that_pair_pay_for_the_real_logits_of_the_generators_step() -> None:
    plan, found = costs("loss=hinge,relativistic_pairing,minimax", "regularizer=none")
    alone = d_update() + g_update()
    expected = {"hinge": alone, "minimax": alone, "relativistic_pairing": alone + sum(D)}
    assert list(found.flop) == [expected[run.variant.loss] for run in plan.runs]


def test_updates_of_either_player_are_counted() -> None:
    _, found = costs("regularizer=none", "critic_steps=3", "generator_steps=2")
    assert found.flop[0] == 3 * d_update() + 2 * g_update()


@pytest.mark.parametrize(("critic_steps", "lazy"), [(1, 1), (1, 4), (2, 3), (3, 2), (4, 2)])
def test_lazy_penalties_count_as_often_as_they_come(critic_steps: int, lazy: int) -> None:
    r1 = ["regularizer=lazy_r1", f"critic_steps={critic_steps}"]
    every = costs("regularizer=r1", f"critic_steps={critic_steps}")[1].flop[0]
    never = costs("regularizer=none", f"critic_steps={critic_steps}")[1].flop[0]
    found = costs(*r1, f"regularizer.lazy_r1.lazy={lazy}")[1].flop[0]
    assert found == pytest.approx(never + (every - never) / lazy, rel=1e-12)
    # counted over whole cycles, the slow way
    plan = resolve(None, over([*SMALL, *r1, f"regularizer.lazy_r1.lazy={lazy}"]))
    population = Population(list(plan.runs)[:1], make_problem(plan.runs[0].variant), CPU)
    steps = lazy
    slow = measured(lambda: [train_step(population) for _ in range(steps)]).flop
    assert found == pytest.approx(slow / steps, rel=1e-12)


def test_the_penalty_of_r1_by_hand() -> None:
    extra = costs("regularizer=r1")[1].flop[0] - costs("regularizer=none")[1].flop[0]
    # the gradient by input: back through all layers. Its own backward: by each layer's weight, and by what came in from
    # above, which is a constant for the last one. And the losses go back to the input too, of real and of fake samples.
    least = sum(D) + sum(D) + sum(D[:-1]) + 2 * D[0]
    # autograd computes a weight's gradient with the input's, asked for or not
    assert extra == least + sum(D)


def test_convolutions_count_as_in_torch() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3, stride=2), nn.Flatten(), nn.Linear(450, 3)
    )
    x = torch.zeros(2, 3, 9, 9, requires_grad=True)
    with FlopCounterMode(display=False) as known:
        module(x).sum().backward()
    assert measured(lambda: module(x).sum().backward()).flop == known.get_total_flops()


def test_memory_is_that_of_the_tensors_alive_at_once() -> None:
    x = torch.zeros(1000)

    def work() -> torch.Tensor:
        a = x * 2
        b = a + 1
        del a
        # a view holds no memory of its own
        return b.view(10, 100) * 3

    assert measured(work).peak_bytes == 3 * 4000
    kept = measured(lambda: [x * 2, x * 3, x * 4])
    assert kept.peak_bytes == 4 * 4000
    # what autograd keeps for the backward pass counts: x, its square and its sine
    y = torch.zeros(1000, requires_grad=True)
    assert measured(lambda: y.square().sin()).peak_bytes == 3 * 4000


def test_memory_holds_at_least_state_and_activations_and_grows_with_the_runs() -> None:
    plan, found = costs("seeds=4", "regularizer=none")
    population = Population(list(plan.runs), make_problem(plan.runs[0].variant), CPU)
    numbers = 3 * (population.generator.flat.numel() + population.discriminator.flat.numel())
    # parameters and two averages of both players; D's four activations, of real and fake, kept for the way back
    assert found.peak_bytes > 4 * (numbers + 4 * 2 * B * 2 * W)
    assert found.peak_bytes > 1.5 * costs("regularizer=none")[1].peak_bytes
    record = found.to_dict(1000)
    assert record == {"gflop": [found.flop[0] * 1e-6] * 4, "peak_bytes": found.peak_bytes}


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.checkpoint = folder / "checkpoint.pt"
        self.probes: list[Any] = []
        self.end: Any = None

    def whole_steps(self) -> list[int]:
        return []

    def rewind(self, step: int) -> None:
        assert step == -1

    def append(self, step: int, values: dict[str, list[float]], samples: Any) -> None:
        values = {name: column for name, column in values.items() if name != "seconds_per_step"}
        self.probes.append((step, values, samples.copy()))

    def finish(self, clock: Any, diverged_step: Any, cost: Any) -> None:
        self.end = (list(diverged_step), cost)

    def exists(self) -> bool:
        return True


@pytest.mark.parametrize("more", [["normalization=spectral"], ["regularizer=r1", "loss=hinge,relativistic_pairing"]])
def test_counting_changes_no_bit_of_the_training(more: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    plan = resolve(None, over([*SMALL, *more]))
    state = torch.get_rng_state()
    sinks = [Kept(tmp_path / name) for name in ("counted", "uncounted")]
    loop.train(list(plan.runs), plan, sinks[0], sinks[0], "cpu", lambda event: None)
    assert torch.equal(torch.get_rng_state(), state)
    assert sinks[0].end[1]["gflop"] == [pytest.approx(f * 6 / 1e9) for f in costs(*more)[1].flop]
    monkeypatch.setattr(Population, "costs", lambda self: cost.StepCost((), 0))
    loop.train(list(plan.runs), plan, sinks[1], sinks[1], "cpu", lambda event: None)
    assert [step for step, _, _ in sinks[0].probes] == [0, 3, 6]
    for one, other in zip(sinks[0].probes, sinks[1].probes, strict=True):
        np.testing.assert_equal(one, other)
