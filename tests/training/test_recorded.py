"""Steps that are played from a record: the same numbers as plain ones, whatever a step is made of.

On a CPU they are a script of the step's operators; a third tape makes the recorded work again on the same tensors and
inputs, as a graph would.
"""

import gc
import weakref

import pytest
import torch
from stepping import IMAGES, SMALL, plugins, population

from ganbench import registry
from ganbench.training.loop import steady_numerics
from ganbench.training.noise import Stream
from ganbench.training.recorded import FIRST, MOST, REPAYS, CudaGraph, RecordedSteps
from ganbench.training.scripted import ScriptTape
from ganbench.training.step import train_step

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"))
DEVICES = ["again", "script", CUDA]


@pytest.fixture(autouse=True)
def numerics():
    """Play as `ganbench run` does: on a GPU sums have an order only where they are asked for one."""
    with steady_numerics():
        yield


class Again:
    """A tape without a device: plays by doing the recorded work once more."""

    def record(self, work, reads):
        self.play = work


class Apart:
    """A tape that keeps nothing of the work, as a graph keeps kernels only; what it plays is not looked at."""

    def record(self, work, reads):
        pass

    def play(self):
        pass


TAPES = {"again": Again, "script": ScriptTape, "cuda": CudaGraph}


def numbers(state):
    if isinstance(state, torch.Tensor):
        return state.tolist()
    return {name: numbers(own) for name, own in state.items()} if isinstance(state, dict) else state


def both(device, *overrides, base=SMALL, steps=14, **limits):
    """Train a population by plain steps and by recorded ones, and return both."""
    plain, own = (population("cuda" if device == "cuda" else "cpu", *overrides, base=base) for _ in range(2))
    own.recorded = RecordedSteps(TAPES[device], **limits)
    for _ in range(steps):
        train_step(plain)
        own.advance()
    return plain, own


# a script of each takes half a second
@pytest.mark.parametrize("device", ["again", pytest.param("script", marks=pytest.mark.slow), CUDA])
@pytest.mark.parametrize(("axis", "plugin"), list(plugins()))
def test_recorded_steps_are_plain_ones(axis, plugin, device):
    images = plugin.name == "instance" or {"image", "unequal_groups"} & set(plugin.needs)
    plain, own = both(device, f"{axis}={plugin.name}", base=IMAGES if images else SMALL, steps=6 if images else 14)
    assert own.recorded.refused == ""
    assert own.recorded.played >= 2
    assert numbers(own.state_dict()) == numbers(plain.state_dict())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("overrides", [
    ["critic_steps=3", "regularizer=lazy_r1", "regularizer.lazy_r1.lazy=4"],
    ["loss=hinge,relativistic_pairing,wasserstein", "optimizer.adam.beta1=0.0,0.5", "optimizer.adam.decay=cosine"],
    ["update=lookahead", "update.lookahead.every=3", "trick=ema+top_k+historical_averaging", "regularizer=lecam"],
    ["problem=ring8_labelled", "network=conditional_mlp"],
    ["problem=dirac", "network=point", "update=symplectic"],
])  # fmt: skip
def test_steps_that_combine(overrides, device):
    plain = [own for own in SMALL if "mlp" not in own or not any("network=" in each for each in overrides)]
    one, own = both(device, *overrides, base=plain)
    assert own.recorded.refused == ""
    assert own.recorded.played >= 2
    assert numbers(own.state_dict()) == numbers(one.state_dict())


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_that_diverges_in_a_recorded_step(device):
    plain, own = both(device, "loss=wasserstein", "optimizer.adam.d_lr=1e-3,1e30", steps=20)
    assert own.recorded.played >= 10
    assert own.diverged_step.tolist() == plain.diverged_step.tolist()
    assert not own.alive.all()
    assert own.alive.any()
    assert own.alive.tolist() == plain.alive.tolist()


@pytest.mark.parametrize("device", DEVICES)
def test_recorded_steps_go_on_from_a_checkpoint(device):
    plain, own = both(device, "trick=ema", steps=9)
    saved = {name: numbers(part) for name, part in own.state_dict().items()}
    state = torch.utils._pytree.tree_map_only(torch.Tensor, torch.clone, own.state_dict())
    for _ in range(5):
        own.advance()
        train_step(plain)
    ended = numbers(own.state_dict())
    own.load_state_dict(state)
    assert {name: numbers(part) for name, part in own.state_dict().items()} == saved
    for _ in range(5):
        own.advance()
    assert numbers(own.state_dict()) == ended == numbers(plain.state_dict())


def test_a_step_that_counts_in_python_is_found_and_played_plainly():
    """A rule whose number of Python would be baked in gives other numbers from the record."""
    rule, own, plain = registry.get("update", "alternating"), population("cpu"), population("cpu")

    def drifting(seen):
        def play(round):
            seen.append(1)
            round.descend("g", round.gradient("g") * len(seen))

        return play

    own.update, plain.update = drifting([]), drifting([])
    own.recorded = RecordedSteps(Again)
    for _ in range(2):
        own.advance()
    assert own.recorded.refused == ""
    with pytest.warns(UserWarning, match="^All steps are played plainly: the step that was played from a record diff"):
        own.advance()
    assert own.recorded.refused.startswith("the step that was played from a record differs from the plain one in ")
    assert own.recorded.played == 0
    assert rule is not own.update


def test_a_step_that_cannot_be_recorded_is_played_plainly():
    class Broken:
        def record(self, work, reads):
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

    plain, own = population("cpu"), population("cpu")
    own.recorded = RecordedSteps(Broken)
    for _ in range(2):
        own.advance()
    with pytest.warns(UserWarning, match="^All steps are played plainly: RuntimeError: operation not permitted$"):
        own.advance()
    for _ in range(5):
        own.advance()
    for _ in range(8):
        train_step(plain)
    assert own.recorded.played == 0
    assert numbers(own.state_dict()) == numbers(plain.state_dict())


def test_phases_beyond_the_limit_are_played_plainly():
    plain, own = both("again", "regularizer=lazy_r1", "regularizer.lazy_r1.lazy=2", steps=12, most=1)
    assert own.recorded.refused == ""
    assert own.recorded.played == 4
    assert numbers(own.state_dict()) == numbers(plain.state_dict())
    assert MOST >= 16


def test_steps_before_the_first_one_are_not_recorded():
    plain, own = both("again", steps=9, first=6)
    # the one at 6 is taken down, those at 7 and 8 are played
    assert own.recorded.played == 2
    assert numbers(own.state_dict()) == numbers(plain.state_dict())


def test_on_a_cpu_long_trainings_of_what_is_shipped_are_recorded_without_a_word(own_registry):
    short, long = (population("cpu", f"steps={steps}") for steps in (REPAYS - 1, REPAYS))
    assert short.recorded is None
    for _ in range(FIRST):
        long.advance()
    assert long.recorded.played == 0
    for _ in range(4):
        long.advance()
    assert long.recorded.played == 3

    @registry.register("loss")
    def of_mine(real_logits, fake_logits):
        """Mine: what its Python does besides would be left out."""
        return (real_logits - fake_logits).mean(), fake_logits.mean()

    assert population("cpu", f"steps={REPAYS}", "loss=of_mine").recorded is None


def test_a_script_that_does_not_fit_is_refused_without_a_warning():
    own = population("cpu", f"steps={REPAYS}")
    play, seen = own.update, []

    def counting(round):
        seen.append(1)
        round.descend("g", round.gradient("g") * len(seen))

    own.update = counting
    for _ in range(FIRST + 3):
        own.advance()
    assert own.recorded.refused.startswith("the step that was played from a record differs")
    assert len(seen) >= FIRST + 3
    assert play is not counting


@pytest.mark.parametrize("problem", ["ring8", "digits_labelled"])
def test_batches_drawn_ahead_by_threads_are_those_drawn_when_wanted(problem):
    own = population("cpu", f"problem={problem}", *(["network=conditional_mlp"] if "labelled" in problem else []),
                     base=[each for each in SMALL if "mlp" not in each or "labelled" not in problem])  # fmt: skip
    for stream in own.streams.values():
        draw = stream.draw
        ahead = Stream(stream.purpose, stream.seeds, stream.batch, draw, stream.device, stream.dtype)
        ahead.table, ahead._ahead = stream.table, {}
        for index in (0, 1, 40, 41, 3, 70, 100):
            one, other = stream.held(index), ahead.held(index)
            assert torch.equal(one.x, other.x)
            assert (one.given is None) == (other.given is None)
            if one.given is not None:
                assert torch.equal(one.given, other.given)
        assert len(ahead._ahead) == 1


def test_a_population_that_nobody_needs_goes_at_once():
    """Its graphs hold memory of a device, and must not wait for a collection that may come in mid-recording."""
    own = population("cpu")
    gone = weakref.ref(own)
    gc.disable()
    try:
        own.recorded = RecordedSteps(Apart)
        for _ in range(2):
            own.advance()
        with pytest.warns(UserWarning, match="differs from the plain one"):
            own.advance()
        del own
        assert gone() is None
    finally:
        gc.enable()
