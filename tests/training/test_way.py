"""How far a loss is from the optimizer: the files that a training step goes through."""

import traceback
from pathlib import Path

import pytest
import torch

import ganbench
from ganbench import registry
from ganbench.plan import Run
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.population import Population

PACKAGE = Path(ganbench.__file__).parent
FILES = 7


def passed():
    """The package's files that the present call goes through, from the outermost."""
    names = [Path(frame.filename) for frame in traceback.extract_stack()]
    return [str(name.relative_to(PACKAGE)) for name in names if name.is_relative_to(PACKAGE)]


@pytest.mark.parametrize("update", ["alternating", "simultaneous", "extragradient"])
def test_a_loss_reaches_the_optimizer_through_few_files(own_registry, update):
    ways = {"loss": [], "optimizer": []}

    @registry.register("loss")
    def watched(real, fake):
        """A loss that notes who calls it."""
        ways["loss"].append(passed())
        return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -fake.mean()

    @registry.register("optimizer")
    def noting(parameters, gradient, state, step, lr, *, g_lr: float = 0.1, d_lr: float = 0.1, decay: str = "none"):
        """Plain descent that notes who calls it."""
        ways["optimizer"].append(passed())
        parameters.sub_(gradient * lr)

    plan = resolve(None, [f"update={update}", "problem=ring8", "loss=watched", "optimizer=noting", "batch_size=16"])
    population = Population([Run(plan.variants[0], 0)], make_problem(plan.variants[0]), torch.device("cpu"))
    for calls in ways.values():
        calls.clear()
    population.advance()
    assert all(ways.values())
    files = {file for calls in ways.values() for way in calls for file in way}
    assert len(files) <= FILES, sorted(files)
    for way in (one for calls in ways.values() for one in calls):
        # neighbours in the same file are one stay; the update rule hands back to the step that asked it, and a binding
        # is how any plug-in is called, the update rule and the loss too
        stays = [file for place, file in enumerate(way) if place == 0 or way[place - 1] != file]
        again = {file for file in stays if stays.count(file) > 1}
        assert again <= {"training/step.py", "binding.py"}, way
