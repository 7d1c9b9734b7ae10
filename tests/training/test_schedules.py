"""Numbers that change over the training: how they are written, which can, and that a step takes them from outside."""

import math
import shlex

import pytest
import torch
from overriding import over
from torch.nn.functional import softplus

from ganbench import repeat, schedules
from ganbench.analysis.theory import predict
from ganbench.errors import UserError
from ganbench.plan import Plan
from ganbench.schedules import Schedule
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.grouping import group
from ganbench.training.learner import make_learner
from ganbench.training.population import Population
from ganbench.training.recorded import RecordedSteps
from ganbench.training.scripted import ScriptTape
from ganbench.training.step import train_step

CPU = torch.device("cpu")
SMALL = ["problem=ring8", "network.mlp.width=6", "seeds=2", "steps=12", "batch_size=16"]
R3GAN = [
    "loss=relativistic_pairing", "regularizer=r1r2", "trick=ema", "optimizer.adam.decay=none",
    "regularizer.r1r2.gamma={from: 0.5, to: 0.05, until: 8, shape: cosine}",
    "optimizer.adam.g_lr={from: 2e-2, to: 5e-3, shape: cosine}",
    "optimizer.adam.d_lr={from: 2e-2, to: 5e-3, until: 0.75}",
    "optimizer.adam.beta1=0.0", "optimizer.adam.beta2={from: 0.9, to: 0.99, until: 0.5, shape: cosine}",
    "trick.ema.decay={from: 0.5, to: 0.9, until: 6, shape: linear}",
]  # fmt: skip
"""The schedules of Huang 2024: rates, gamma, beta2, EMA."""


def population(*overrides, dtype=torch.float64, base=SMALL):
    runs = list(resolve(None, over([*base, *overrides])).runs)
    return Population(runs, make_problem(runs[0].variant), CPU, dtype)


def cosine(low, high, share):
    return low + (high - low) * (1 - math.cos(math.pi * min(1, share))) / 2


def line(low, high, share):
    return low + (high - low) * min(1, share)


# ------------------------------------------------------------------------------------------ training


class Adam:
    """Kingma & Ba 2015, alg. 1, with numbers of the present step, on a list of parameters."""

    def __init__(self, module):
        self.weights = list(module.parameters())
        self.moments = [[torch.zeros_like(weight) for weight in self.weights] for _ in range(2)]

    def step(self, loss, t, rate, beta2):
        slopes = torch.autograd.grad(loss, self.weights)
        for weight, slope, mean, square in zip(self.weights, slopes, *self.moments, strict=True):
            mean.copy_(slope)  # beta1 is 0
            square.mul_(beta2).add_((1 - beta2) * slope**2)
            weight.data -= rate * mean / ((square / (1 - beta2**t)).sqrt() + 1e-8)


def slope(critic, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0].square().sum(1).mean()


def by_hand(own, run, row, steps=12):
    """The loop of R3GAN with its schedules as its users write it; return G's and D's weights and the average of G's."""
    g, d = (module.double() for module in build_networks(run.variant, own.problem, run.seed))
    players, average = (Adam(g), Adam(d)), [weight.detach().clone() for weight in g.parameters()]
    for k in range(steps):
        gamma, beta2 = cosine(0.5, 0.05, k / 8), cosine(0.9, 0.99, k / 6)
        real, fake = own.draw("data", k)[row], g(own.draw("d latent", k)[row]).detach()
        loss = softplus(d(fake) - d(real)).mean() + gamma / 2 * (slope(d, real) + slope(d, fake))
        players[1].step(loss, k + 1, line(2e-2, 5e-3, k / 9), beta2)
        loss = softplus(d(own.draw("g data", k)[row]) - d(g(own.draw("g latent", k)[row]))).mean()
        players[0].step(loss, k + 1, cosine(2e-2, 5e-3, k / 12), beta2)
        decay = line(0.5, 0.9, k / 6)
        average = [decay * a + (1 - decay) * w.detach() for a, w in zip(average, g.parameters(), strict=True)]
    flat = lambda weights: torch.cat([weight.detach().flatten() for weight in weights])  # noqa: E731
    return flat(g.parameters()), flat(d.parameters()), flat(average)


def test_training_equals_a_loop_with_numbers_of_each_step():
    own = population(*R3GAN)
    for _ in range(12):
        train_step(own)
    for row, run in enumerate(own.runs):
        (ema,) = [part.average[row] for part in own.objective.parts if part.average is not None]
        got = own.generator.flat[row], own.discriminator.flat[row], ema
        for mine, theirs in zip(got, by_hand(population(*R3GAN), run, row), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)
    steady = population(*(each for each in R3GAN if "from" not in each))
    train_step(steady)
    assert not torch.equal(steady.generator.flat, own.generator.flat)


def test_a_recorded_step_follows_its_schedules():
    """One phase, whose record is played with other numbers: the same bits as plain steps leave."""
    plain, recorded = (population(*R3GAN, dtype=torch.float32) for _ in range(2))
    recorded.recorded = RecordedSteps(ScriptTape, warns=False)
    for own in (plain, recorded):
        for _ in range(8):
            own.advance()
    assert recorded.recorded.refused == ""
    assert recorded.recorded.played >= 5
    for name, player in plain.players.items():
        assert torch.equal(player.flat, recorded.players[name].flat)


@pytest.mark.parametrize("overrides", [
    ["loss=focal", "loss.focal.gamma={from: 2, to: 0}"],
    ["update=unrolled", "update.unrolled.rate={from: 0.1, to: 0.01}"],
    ["regularizer=lecam", "regularizer.lecam.decay={from: 0.5, to: 0.9}"],
    ["regularizer=weight_clipping", "regularizer.weight_clipping.clip={from: 1, to: 0.1, shape: geometric}"],
    ["regularizer=instance_noise", "regularizer.instance_noise.sigma={from: 1, to: 0.1}"],
    ["regularizer=orthogonal+dragan", "regularizer.orthogonal.beta={from: 1e-4, to: 1e-2}"],
    ["g_regularizer=path_length", "regularizer.path_length.lazy=1",
     "regularizer.path_length.weight={from: 0, to: 2, shape: jump, until: 0.1}"],
    ["trick=historical_averaging", "trick.historical_averaging.weight={from: 1, to: 0}"],
    ["optimizer=rmsprop", "optimizer.rmsprop.weight_decay={from: 1e-2, to: 0}"],
    ["optimizer=sgd", "optimizer.sgd.momentum={from: -0.5, to: 0.5}"],
    ["optimizer=adamw", "optimizer.adamw.beta1={from: 0.9, to: 0.5}"],
    ["term=information", "term.information.weight={from: 0, to: 1}"],
])  # fmt: skip
def test_a_flat_schedule_is_a_constant_and_a_steep_one_is_none(overrides):
    """A number from an end to the same end trains as the number does, to rounding; to another end it does not."""
    *others, last = overrides
    key, _, text = last.partition("=")
    first = text.partition("from: ")[2].partition(",")[0]
    words = {"steep": text, "flat": f"{{from: {first}, to: {first}}}", "constant": first}
    flats = {}
    for name, value in words.items():
        own = population(*others, f"{key}={value}")
        for _ in range(4):
            train_step(own)
        flats[name] = torch.cat([player.flat for player in own.players.values()], 1)
        assert own.alive.all()
    torch.testing.assert_close(flats["flat"], flats["constant"], atol=1e-9, rtol=1e-7)
    assert not torch.allclose(flats["steep"], flats["constant"], atol=1e-6)


def test_a_model_that_plays_no_game_follows_its_rate():
    words = [*SMALL, "model=vae", "optimizer=sgd", "optimizer.sgd.decay=none"]
    ways = []
    for rate in ("{from: 0.1, to: 0, until: 2, shape: jump}", "0.1", "{from: 0.1, to: 0.1}"):
        runs = list(resolve(None, over([*words, f"optimizer.sgd.g_lr={rate}"])).runs)
        own, way = make_learner(runs, make_problem(runs[0].variant), CPU), []
        for _ in range(4):
            own.advance()
            way.append(own.player.flat.clone())
        ways.append(way)
    stopped, steady, flat = ways
    assert torch.equal(stopped[1], steady[1])
    assert torch.equal(stopped[3], stopped[1])
    assert torch.equal(flat[3], steady[3])


def test_runs_of_other_schedules_train_apart():
    words = ["optimizer.adam.g_lr=[0.01, {from: 0.01, to: 0.001}, {from: 0.01, to: 0.002}]",
             "loss=hinge", "loss.hinge.margin=[1.0, {from: 1, to: 2}]"]  # fmt: skip
    plan = resolve(None, [*SMALL, *words])
    parts = group(plan.runs, "cpu")
    assert sorted(map(len, parts)) == [4, 4, 4], "losses train together, whatever their numbers"
    own = Population(parts[1], make_problem(parts[1][0].variant), CPU)
    assert len(own.objective.losses.slices) == 2


# ------------------------------------------------------------------------------------------ how they are written


@pytest.mark.parametrize(("shape", "until", "wanted"), [
    ("linear", 1.0, [1.0, 0.775, 0.55, 0.325, 0.1]), ("linear", 2.0, [1.0, 0.55, 0.1, 0.1, 0.1]),
    ("cosine", 1.0, [1.0, 0.1 + 0.9 * (2 + 2**0.5) / 4, 0.55, 0.1 + 0.9 * (2 - 2**0.5) / 4, 0.1]),
    ("geometric", 1.0, [1.0, 10**-0.25, 10**-0.5, 10**-0.75, 0.1]), ("jump", 0.5, [1.0, 1.0, 0.1, 0.1, 0.1]),
])  # fmt: skip
def test_shapes_by_hand(shape, until, wanted):
    assert [Schedule(1.0, 0.1, until, shape).at(step, 4) for step in range(5)] == pytest.approx(wanted, rel=1e-12)


GAMMA = "regularizer.r1.gamma"


def one(text, *more):
    (variant,) = resolve(None, ["regularizer=r1", f"{GAMMA}={text}", "seeds=1", *more]).variants
    return variant


def test_spellings_are_one_variant_and_files_read_back():
    spelled = ["{from: 1, to: 0.1}", "{to: 1e-1, from: 1.0, until: 1, shape: linear}", "from 1.0 to 0.1 until 1 linear"]
    assert len({one(text) for text in spelled}) == 1
    plan = resolve(None, ["regularizer=r1", f"{GAMMA}=[0.1, {spelled[0]}]"])
    again = Plan.from_dict(plan.to_dict())
    assert again.variants == plan.variants
    assert again.hash == plan.hash
    assert one("0.1").id == resolve(None, ["regularizer=r1"]).variants[0].id, "constants keep their ids"
    assert one(spelled[0]).id != one("1.0").id


def test_a_run_can_be_repeated_alone():
    plan = resolve(None, ["regularizer=r1", f"{GAMMA}={{from: 1, to: 0.1, until: 500}}", "seeds=2"])
    words = shlex.split(repeat.repeat(plan, plan.runs[1]))[2:]
    assert resolve(None, words).runs == [plan.runs[1]]


def test_suites_hold_them_everywhere(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "problem: [ring8, grid25]\nregularizer: r1\nregularizer.r1.gamma: {from: 1, to: 0.1}\n"
        "per_problem:\n  grid25: {regularizer.r1.gamma: [{from: 2, to: 0.1}, 0.3]}\n"
        "tuning:\n  - {optimizer.adam.d_lr: {from: 2e-3, to: 0}}\n  - {optimizer.adam.d_lr: 1e-3}\n"
    )
    seen = {(v.problem, dict(v.hypers)[GAMMA], dict(v.hypers)["optimizer.adam.d_lr"]) for v in resolve(file).variants}
    rates = ("from 0.002 to 0.0 until 1 linear", 1e-3)
    gammas = {"ring8": ("from 1.0 to 0.1 until 1 linear",), "grid25": ("from 2.0 to 0.1 until 1 linear", 0.3)}
    assert seen == {(problem, gamma, rate) for problem, own in gammas.items() for gamma in own for rate in rates}


def test_theory_says_nothing_of_a_game_that_changes():
    words = ["problem=dirac", "network=point", "regularizer=r1", "optimizer=sgd", "update=alternating"]
    assert predict(resolve(None, words).variants[0]) is not None
    changing = resolve(None, [*words, f"{GAMMA}={{from: 1, to: 0.1}}"]).variants[0]
    assert predict(changing) is None


@pytest.mark.parametrize(("override", "says"), [
    ("batch_size={from: 8, to: 64}", "The key 'batch_size' cannot follow a schedule: it is the same for the whole"),
    ("network.mlp.width={from: 8, to: 64}", "The key 'network.mlp.width' cannot follow a schedule: what it sets is bu"),
    ("problem.ring8.std={from: 1, to: 2}", "The key 'problem.ring8.std' cannot follow a schedule: what it sets is bui"),
    ("regularizer.lazy_r1.lazy={from: 1, to: 16}", "lazy' cannot follow a schedule: it is a whole number."),
    ("trick.top_k.share={from: 1, to: 0.5}", "The key 'trick.top_k.share' cannot follow a schedule: what it sets is"),
    ("trick.weighted_sampling.power={from: 1, to: 0}", "power' cannot follow a schedule: what it sets is built once."),
    ("regularizer.constant_noise.sampled={from: 1, to: 0}", "sampled' cannot follow a schedule: it is no number."),
    (f"{GAMMA}={{from: 1, too: 2}}", "Unknown part of the schedule of 'regularizer.r1.gamma' 'too'. Did you mean"),
    (f"{GAMMA}={{from: 1}}", "goes {from: NUMBER, to: NUMBER}, got {'from': 1}."),
    (f"{GAMMA}={{from: 1, to: ten}}", "goes from a number to a number until one"),
    (f"{GAMMA}={{from: 1, to: 2, shape: cosinus}}", "Did you mean 'cosine'"),
    (f"{GAMMA}={{from: 1, to: -2}}", "must be at least 0, got -2 in its schedule."),
    (f"{GAMMA}={{from: 1, to: 2, until: 0}}", "ends at a share of the training, above 0 and at most 1, or at a step"),
    (f"{GAMMA}={{from: 1, to: 0, shape: geometric}}", "is geometric: both of its ends have one sign, and none is 0."),
    (f"{GAMMA}=from 1 to ten until 1 linear", "The key 'regularizer.r1.gamma' has the wrong type: it takes float"),
])  # fmt: skip
def test_what_cannot_follow_one_says_so(override, says):
    with pytest.raises(UserError) as told:
        resolve(None, ["regularizer=r1", override])
    assert says in str(told.value)


def test_a_text_setting_may_look_like_one():
    assert schedules.read("from here to there until 1 linear") is None
    assert schedules.read("cosine") is None
    assert str(schedules.read("from 1 to 1e-05 until 0.25 jump")) == "from 1.0 to 1e-05 until 0.25 jump"
