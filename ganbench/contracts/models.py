"""The laws of models, by what the loop asks of a learner; on eight modes, three runs of them."""

from __future__ import annotations

import io

import torch
from torch import Tensor

from ganbench.contracts.base import Breach, Outcome, law
from ganbench.contracts.tricks import known
from ganbench.problems.base import stream
from ganbench.registry import Plugin
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import Learner, make_learner

RUNS, STEPS, SAMPLES = 3, 4, 8


def learner(plugin: Plugin, rows: slice = slice(None)) -> Learner:
    """Return some runs of a model."""
    with known(plugin):
        settings = [f"model={plugin.name}", f"seeds={RUNS}", "steps=8", "batch_size=12", "latent_dim=3"]
        runs = list(resolve(None, settings).runs[rows])
        return make_learner(runs, make_problem(runs[0].variant), torch.device("cpu"))


def made(own: Learner, steps: int = 0) -> Tensor:
    """Train some steps and return samples [runs, n, *shape] of the same latents."""
    for _ in range(steps):
        own.advance()
    # numbers that some take behind their latents
    numbers = 3 + getattr(own, "noise", 0)
    latents = torch.randn(SAMPLES, numbers, generator=stream("model contract", 0))
    with own.measuring(), torch.no_grad():
        return own.generate(latents.expand(len(own.runs), -1, -1))


@law
def trains(plugin: Plugin) -> Outcome:
    """Samples have the shape of the problem, are finite, and move with training; steps are counted."""
    own = learner(plugin)
    before, after = made(own), made(own, STEPS)
    if tuple(after.shape) != (RUNS, SAMPLES, *own.problem.shape):
        return Breach(f"{SAMPLES} latents of {RUNS} runs become {list(after.shape)}")
    if own.step != STEPS:
        return Breach(f"after {STEPS} steps it says that it has made {own.step}")
    if not bool(after.isfinite().all()):
        return Breach(f"samples are not finite after {STEPS} steps")
    return Breach(f"samples are what they were {STEPS} steps before") if torch.equal(before, after) else None


@law
def repeatable(plugin: Plugin) -> Outcome:
    """The same seeds give the same training, and nothing is drawn from torch's global generator."""
    state = torch.random.get_rng_state()
    error = (made(learner(plugin), STEPS) - made(learner(plugin), STEPS)).abs().max().item()
    if error:
        return Breach(f"a sample differs by {error:.3g} when the training is repeated")
    same = torch.equal(state, torch.random.get_rng_state())
    return None if same else Breach("it draws from torch's global generator")


@law
def runs_do_not_mix(plugin: Plugin) -> Outcome:
    """A run trains the same way alone and in company."""
    together, alone = made(learner(plugin), STEPS), made(learner(plugin, slice(0, 1)), STEPS)
    error = (together[:1] - alone).abs().max().item()
    return Breach(f"a sample of a run in company is {error:.3g} from what it is alone") if error > 1e-4 else None


@law
def measuring_moves_nothing(plugin: Plugin) -> Outcome:
    """Looking at samples between two steps changes no bit of the training."""
    watched, unwatched = learner(plugin), learner(plugin)
    for _ in range(STEPS):
        made(watched, 1)
    error = (made(watched) - made(unwatched, STEPS)).abs().max().item()
    return Breach(f"a sample is {error:.3g} from what it is where nobody looks") if error else None


@law
def diverged_runs_stay(plugin: Plugin) -> Outcome:
    """A run that has diverged stays where it is, bit for bit."""
    own = learner(plugin)
    before = made(own)[1]
    own.alive[1] = False
    error = (made(own, STEPS)[1] - before).abs().max().item()
    return Breach(f"a sample of a diverged run has moved by {error:.3g}") if error else None


@law
def goes_on_after_an_interruption(plugin: Plugin) -> Outcome:
    """Its state is all that it keeps: brought to it, another learner goes on bit for bit."""
    straight, stopped, resumed = (learner(plugin) for _ in range(3))
    made(stopped, STEPS)
    file = io.BytesIO()
    torch.save(stopped.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    error = (made(resumed, STEPS) - made(straight, 2 * STEPS)).abs().max().item()
    return Breach(f"a sample is {error:.3g} from that of a training without interruption") if error else None
