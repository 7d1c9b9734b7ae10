"""Tricks: a population against one GAN trained by torch.optim, each trick written out from its paper."""

import math

import pytest
import torch
from overriding import over
from torch import nn
from torch.func import functional_call
from torch.nn.functional import pad, softplus

from ganbench import registry
from ganbench.errors import UserError
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training import checkpoint
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

CPU, STEPS, OF, BATCH = torch.device("cpu"), 12, 20, 12
TRICKS = registry.names("trick")
BASE = [f"steps={OF}", f"batch_size={BATCH}", "seeds=[3]", "trick.historical_averaging.weight=0.3"]
BASE += ["trick.ema.decay=0.8", "trick.packing.m=3", "network.mlp.width=6"]
PROBLEMS = {"mixture": ["problem=ring8_imbalanced"], "images": ["problem=digits", "network=dcgan",
                                                                "network.dcgan.width=2"]}  # fmt: skip
OF_IMAGES = ("augmentation", "diffaugment")
PAIRS = "loss=nonsaturating,relativistic_pairing"


def settings(trick, problem=None):
    """Return the overrides under which a trick trains; the keys of other tricks would change nothing."""
    problem = problem or ("images" if trick in OF_IMAGES else "mixture")
    own = [key for key in BASE if not key.startswith("trick.") or key.startswith(f"trick.{trick}.")]
    network = "dcgan" if problem == "images" else "mlp"
    own = [key for key in own if not key.startswith("network.") or key.startswith(f"network.{network}.")]
    return [*own, *PROBLEMS[problem], f"trick={trick}"]


class Critic(nn.Module):
    """D with what its last layer sees computed from the papers; returns logits [n] and hidden features [n, f]."""

    def __init__(self, d, trick):
        super().__init__()
        self.d, self.trick = d, trick

    def forward(self, x):
        features = self.d[:-1](x).flatten(1)
        if self.trick == "minibatch_discrimination":
            tensor, last = self.d[-1][0].tensor, self.d[-1][1]
            m = (features @ tensor).view(len(x), 8, 4)  # Salimans 2016: M_i in R^(B x C)
            near = torch.stack([torch.exp(-(m - a).abs().sum(2)).sum(0) for a in m])
            return last(torch.cat([features, near], 1)).flatten(), features
        if self.trick == "minibatch_std":
            deviation = ((features - features.mean(0)) ** 2).mean(0).add(1e-8).sqrt().mean()
            return self.d[-1][1](torch.cat([features, deviation.expand(len(x), 1)], 1)).flatten(), features
        return self.d[-1](features).flatten(), features


def augmented(images, numbers):
    """Zhao 2020: x + U(-0.5, 0.5), then moved by up to 1/8 of the side, zeros where nothing is left."""
    side = images.shape[-1]
    most = int(side / 8 + 0.5)
    out = []
    for image, (light, *ways) in zip(images, numbers.tolist(), strict=True):
        y, x = (int(way * (2 * most + 1)) for way in ways)
        out.append(pad(image + light - 0.5, (most,) * 4)[:, y : y + side, x : x + side])
    return torch.stack(out)


def augmented_by_all(images, numbers):
    """Zhao 2020: color (brightness, saturation, contrast), translation and cutout, one image after the other."""
    side = images.shape[-1]
    half, out = side // 2, []
    for image, (light, color, depth, down, right, *middle) in zip(images, numbers.tolist(), strict=True):
        image = image + light - 0.5
        image = (image - image.mean(0)) * 2 * color + image.mean(0)
        image = (image - image.mean()) * (depth + 0.5) + image.mean()
        image = augmented(image[None], torch.tensor([[0.5, down, right]]))[0].clone()
        # of the even side of the hole, the middle may lie on either end of the image
        y, x = (int(u * (side + 1 - half % 2)) - half // 2 for u in middle)
        image[:, max(0, y) : max(0, y + half), max(0, x) : max(0, x + half)] = 0
        out.append(image)
    return torch.stack(out)


def evenly(problem, purpose, seed, index):
    """Return a batch with every mode or class at the same weight, from the numbers of that seed and purpose."""
    block, place = divmod(index, 32)
    generator = stream(f"{purpose}:{block}", seed)
    uniform = torch.rand(32 * BATCH, dtype=torch.float64, generator=generator)
    if problem.modes:
        mode = (uniform * len(problem.modes.weights)).long()
        noise = torch.randn(32 * BATCH, 2, generator=generator)
        data = torch.add(problem.modes.centres.float()[mode], noise, alpha=problem.modes.std)
    else:
        each = 1 / (10 * torch.bincount(problem.labels).double()[problem.labels])
        data = problem.images[(uniform[:, None] >= each.cumsum(0)).sum(1)]
    return data.double().unflatten(0, (32, BATCH))[place]


class Loop:
    """One GAN with its optimizers; batches in the order in which a population draws them."""

    def __init__(self, run):
        self.run, self.trick, self.problem = run, run.variant.trick, make_problem(run.variant)
        self.population = Population([run], self.problem, CPU, torch.float64)
        self.g, d = (module.double() for module in build_networks(run.variant, self.problem, run.seed))
        self.d = Critic(d, self.trick)
        rate = run.variant.hypers_of("optimizer", run.variant.optimizer)["g_lr"]
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[run.variant.optimizer]
        extra = {"betas": (0.5, 0.999)} if run.variant.optimizer == "adam" else {}
        self.optimizers = {p: kind(getattr(self, p).parameters(), lr=rate, **extra) for p in "dg"}
        self.drawn, self.step = {"d": 0, "g": 0}, 0
        self.past = {player: [self.flat(player)] for player in "dg"}

    def parameters(self, player):
        return list(getattr(self, player).parameters())

    def flat(self, player):
        return torch.cat([p.detach().flatten() for p in self.parameters(player)])

    def draw(self, purpose, index):
        if self.trick == "weighted_sampling" and "data" in purpose:
            return evenly(self.problem, purpose, self.run.seed, index)
        return self.population.draw(purpose, index)[0]

    def shown(self, x, side, index):
        if self.trick == "augmentation":
            x = augmented(x, self.draw(f"{side} trick", index))
        if self.trick == "diffaugment":
            x = augmented_by_all(x, self.draw(f"{side} trick", index))
        if self.trick == "packing":
            x = torch.stack([torch.cat(list(x[i : i + 3])) for i in range(0, BATCH, 3)])
        return x

    def losses(self, real_logits, fake_logits):
        if self.run.variant.loss == "nonsaturating":
            return (softplus(-real_logits).mean() + softplus(fake_logits).mean()), softplus(-fake_logits).mean()
        return softplus(fake_logits - real_logits).mean(), softplus(real_logits - fake_logits).mean()

    def generators_loss(self, critic, real, fake, *, fixed_real=False):
        (real_logits, real_features), (fake_logits, fake_features) = critic(real), critic(fake)
        if fixed_real:
            real_logits, real_features = real_logits.detach(), real_features.detach()
        if self.trick == "feature_matching":
            return (real_features.mean(0) - fake_features.mean(0)).pow(2).sum()
        if self.trick == "top_k":
            k = math.ceil(BATCH * 0.5 ** min(1, self.step / OF / 0.5))
            best = sorted(range(BATCH), key=lambda i: -fake_logits[i].item())[:k]
            real_logits, fake_logits = real_logits[best], fake_logits[best]
        return self.losses(real_logits, fake_logits)[1]

    def penalty(self, player):
        if self.trick != "historical_averaging":
            return 0
        mean = sum(self.past[player]) / len(self.past[player])
        return 0.3 * (torch.cat([p.flatten() for p in self.parameters(player)]) - mean).pow(2).sum()

    def batch(self, player):
        """Return real and fake samples as a player's next batch shows them, and count it."""
        index, data = self.drawn[player], "data" if player == "d" else "g data"
        self.drawn[player] += 1
        real, fake = self.draw(data, index), self.g(self.draw(f"{player} latent", index))
        return self.shown(real, f"{player} real", index), self.shown(fake, f"{player} fake", index)

    def gradient(self, player):
        real, fake = self.batch(player)
        if player == "d":
            loss = self.losses(self.d(real)[0], self.d(fake.detach())[0])[0]
        else:
            loss = self.generators_loss(self.d, real, fake)
        return torch.autograd.grad(loss + self.penalty(player), self.parameters(player))

    def both(self):
        return {player: self.gradient(player) for player in "dg"}

    def move(self, gradients):
        for player, parts in gradients.items():
            for parameter, part in zip(self.parameters(player), parts, strict=True):
                parameter.grad = part.detach().clone()
            self.optimizers[player].step()

    def positions(self):
        return {player: [p.detach().clone() for p in self.parameters(player)] for player in "dg"}

    def place(self, positions):
        with torch.no_grad():
            for player, values in positions.items():
                for parameter, value in zip(self.parameters(player), values, strict=True):
                    parameter.copy_(value)

    def finish(self):
        self.step += 1
        for player in "dg":
            self.past[player].append(self.flat(player))


def alternating(loop):
    loop.move({"d": loop.gradient("d")})
    loop.move({"g": loop.gradient("g")})


def simultaneous(loop):
    loop.move(loop.both())


def extragradient(loop):
    start = loop.positions()
    loop.move(loop.both())
    there = loop.both()
    loop.place(start)
    loop.move(there)


def consensus(loop):
    real, fake = loop.batch("d")
    losses = {
        "d": loop.losses(loop.d(real)[0], loop.d(fake)[0])[0] + loop.penalty("d"),
        "g": loop.generators_loss(loop.d, real, fake) + loop.penalty("g"),
    }
    field = {p: torch.autograd.grad(loss, loop.parameters(p), create_graph=True, allow_unused=True,
                                    materialize_grads=True) for p, loss in losses.items()}  # fmt: skip
    energy = sum(part.pow(2).sum() for parts in field.values() for part in parts) / 2
    pulls = {p: torch.autograd.grad(energy, loop.parameters(p), retain_graph=True) for p in "dg"}
    loop.move({p: [own + pull for own, pull in zip(field[p], pulls[p], strict=True)] for p in "dg"})


def unrolled(loop):
    loop.move({"d": loop.gradient("d")})
    real, fake = loop.batch("g")
    critic = dict(loop.d.named_parameters())

    def ahead(x):
        return functional_call(loop.d, critic, (x,))

    for _ in range(5):
        loss = loop.losses(ahead(real)[0], ahead(fake)[0])[0]
        moves = torch.autograd.grad(loss, list(critic.values()), create_graph=True, allow_unused=True,
                                    materialize_grads=True)  # fmt: skip
        critic = {name: own - 0.1 * move for (name, own), move in zip(critic.items(), moves, strict=True)}
    value = loop.losses(ahead(real)[0], ahead(fake)[0].detach())[0]
    loss = loop.generators_loss(ahead, real, fake, fixed_real=True) - value + loop.penalty("g")
    loop.move({"g": torch.autograd.grad(loss, loop.parameters("g"))})


RULES = {f.__name__: f for f in (alternating, simultaneous, extragradient, consensus, unrolled)}


def trained_beside(overrides, play, steps=STEPS):
    """Train a population and a loop for each of its runs, and return both."""
    runs = resolve(None, overrides).runs
    population = Population(runs, make_problem(runs[0].variant), CPU, torch.float64)
    loops = [Loop(run) for run in runs]
    for _ in range(steps):
        train_step(population)
        for loop in loops:
            play(loop)
            loop.finish()
    return population, loops


def cases():
    for trick in TRICKS:
        for problem in PROBLEMS:
            if problem == "mixture" and trick in OF_IMAGES:
                continue
            yield pytest.param(trick, problem, "alternating", "adam", id=f"{trick}-{problem}-adam")
            for rule in RULES:
                yield pytest.param(trick, problem, rule, "sgd", id=f"{trick}-{problem}-{rule}")


@pytest.mark.parametrize(("trick", "problem", "rule", "optimizer"), list(cases()))
def test_population_equals_loop(trick, problem, rule, optimizer):
    # consensus descends a gradient's square, which is steep where D looks at distances within a batch
    rate = {"consensus": 0.0005 if trick == "minibatch_discrimination" else 0.005}.get(rule, 0.05)
    rates = [f"optimizer={optimizer}", *(f"optimizer.{optimizer}.{player}_lr={rate}" for player in "gd")]
    overrides = [*settings(trick, problem), *rates, f"optimizer.{optimizer}.decay=none", f"update={rule}", PAIRS]
    population, loops = trained_beside(overrides, RULES[rule])
    assert population.alive.all()
    for row, loop in enumerate(loops):
        for player in "dg":
            ours, start = population.players[player].flat[row], loop.past[player][0]
            assert (ours - loop.flat(player)).abs().max() < 1e-8
            assert (ours - start).abs().max() > 1e-6, "and both have moved"
        if trick == "ema":
            theirs = loop.past["g"][0] * 0.8**STEPS
            theirs = theirs + sum(0.2 * 0.8 ** (STEPS - i) * loop.past["g"][i] for i in range(1, STEPS + 1))
            assert (population.memory["trick.ema"]["g"][row] - theirs).abs().max() < 1e-8


def test_a_trick_that_does_nothing_to_training_would_be_noticed():
    finals = {}
    for trick in TRICKS:
        overrides = [*settings(trick, "images"), "loss=nonsaturating"]
        runs = resolve(None, overrides).runs
        population = Population(runs, make_problem(runs[0].variant), CPU, torch.float64)
        for _ in range(STEPS):
            train_step(population)
        finals[trick] = population.generator.flat
    same = [trick for trick in TRICKS if torch.equal(finals[trick], finals["none"])]
    # an average of the weights takes no part in training
    assert same == ["none", "ema"]


PENALTIES = {
    "r1": lambda d, real, fake, u, n: 0.05 * slopes(d, real).square().mean(),
    "r2": lambda d, real, fake, u, n: 0.05 * slopes(d, fake).square().mean(),
    "gradient_penalty": lambda d, real, fake, u, n: 10 * (slopes(d, u * real + (1 - u) * fake) - 1).square().mean(),
    "consistency": lambda d, real, fake, u, n: sum(10 * (d(x)[0] - d(x + 0.05 * n)[0]).square().mean() for x in
                                                   (real, fake)),
    "dragan": lambda d, real, fake, u, n: 10 * (slopes(d, real + 0.5 * real.std() * n) - 1).square().mean(),
    "lecam": lambda d, real, fake, u, n: 0.3 * ((d(real)[0] - d(fake)[0].mean().detach()).square().mean()
                                                + (d(fake)[0] - d(real)[0].mean().detach()).square().mean()),
}  # fmt: skip


def slopes(d, x):
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(d(x)[0].sum(), x, create_graph=True)
    return slope.flatten(1).norm(dim=1)


@pytest.mark.parametrize("trick", ["packing", *OF_IMAGES])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalties_act_on_what_d_is_shown(penalty, trick):
    overrides = [*settings(trick, "images"), "loss=nonsaturating", f"regularizer={penalty}", "optimizer=sgd"]
    (run,) = resolve(None, overrides).runs
    population, loop = Population([run], make_problem(run.variant), CPU, torch.float64), Loop(run)
    seen = []
    population.discriminator.descend = lambda gradient, *_: seen.append(gradient)
    real, fake = (x.detach() for x in loop.batch("d"))
    uniform, normal = loop.draw("uniform", 0)[: len(real)].view(-1, 1, 1, 1), loop.draw("normal", 0)
    if trick == "packing":
        assert real.shape == (BATCH // 3, 3, 8, 8)
        normal = torch.stack([torch.cat(list(normal[i : i + 3])) for i in range(0, BATCH, 3)])
    total = loop.losses(loop.d(real)[0], loop.d(fake)[0])[0] + PENALTIES[penalty](loop.d, real, fake, uniform, normal)
    theirs = torch.cat([part.flatten() for part in torch.autograd.grad(total, loop.parameters("d"))])
    train_step(population)
    torch.testing.assert_close(seen[0][0], theirs, rtol=1e-8, atol=1e-10)


def everything(population):
    state = {f"{name} {key}": tensor for name, own in population.memory.items() for key, tensor in own.items()}
    for name, player in population.players.items():
        state |= {f"{name} flat": player.flat} | {f"{name} state {k}": v for k, v in player.state.items()}
    return state


@pytest.mark.parametrize("overrides", [*(settings(trick) for trick in TRICKS),
    [*settings("none"), "regularizer=lecam"], [*settings("none"), "regularizer=orthonormal"],
    [*settings("none", "images"), "normalization=pixel", "g_normalization=pixel"],
    [*settings("ema"), "regularizer=lecam", "update=lookahead"], [*settings("historical_averaging"),
    "update=past_extragradient"]], ids=lambda overrides: "-".join(o.split("=")[1] for o in overrides[-2:]))  # fmt: skip
def test_training_goes_on_bit_for_bit(overrides, tmp_path):
    runs = resolve(None, over([*overrides, PAIRS])).runs
    straight, first, second = (Population(runs, make_problem(runs[0].variant), CPU) for _ in range(3))
    for _ in range(12):
        train_step(straight)
    for _ in range(7):
        train_step(first)
    checkpoint.save(first, {}, tmp_path / "checkpoint.pt")
    assert checkpoint.restore(second, {}, tmp_path / "checkpoint.pt")
    for _ in range(5):
        train_step(second)
    want, got = everything(straight), everything(second)
    assert want.keys() == got.keys()
    for name, tensor in want.items():
        assert torch.equal(tensor, got[name]), name


def test_rule_regularizer_and_trick_remember_apart():
    runs = resolve(None, over([*settings("ema"), "regularizer=lecam", "update=lookahead"])).runs
    population = Population(runs, make_problem(runs[0].variant), CPU)
    train_step(population)
    assert {owner: set(own) for owner, own in population.memory.items() if own} == {
        "update": {"d", "g"}, "regularizer.lecam": {"real", "fake"}, "trick.ema": {"g"},
    }  # fmt: skip


@pytest.mark.parametrize("overrides", [*(settings(trick) for trick in TRICKS), [*settings("none"), "regularizer=lecam"],
    [*settings("none"), "regularizer=orthonormal"]], ids=lambda overrides: overrides[-1])  # fmt: skip
def test_a_diverged_run_stays_and_its_neighbour_does_not_notice(overrides):
    overrides = [*overrides, "optimizer=sgd", "loss=hinge"]
    runs = resolve(None, over([*overrides, "optimizer.sgd.d_lr=1e30,0.01"])).runs
    together = Population(runs, make_problem(runs[0].variant), CPU)
    well = next(row for row, run in enumerate(runs) if dict(run.variant.hypers)["optimizer.sgd.d_lr"] < 1)
    calm = resolve(None, over([*overrides, "optimizer.sgd.d_lr=1e-3,0.01"])).runs
    beside = Population(calm, make_problem(runs[0].variant), CPU)
    kept = []
    for _ in range(8):
        train_step(together)
        train_step(beside)
        kept.append({name: tensor.clone() for name, tensor in everything(together).items()})
    assert together.alive.tolist() == [row == well for row in range(2)]
    other = next(row for row, run in enumerate(calm) if dict(run.variant.hypers)["optimizer.sgd.d_lr"] == 0.01)
    step = int(together.diverged_step[1 - well])
    frozen = [name for name in kept[-1] if "flat" in name or name.startswith("trick")]
    for name in frozen:
        assert torch.equal(kept[-1][name][1 - well], kept[step][name][1 - well])
        assert kept[-1][name].isfinite().all()
    for name, tensor in everything(beside).items():
        assert torch.equal(kept[-1][name][well], tensor[other]), name


def test_packs_must_fill_the_batch():
    (run,) = resolve(None, ["trick=packing", "trick.packing.m=3", "seeds=1"]).runs
    with pytest.raises(UserError, match=r"trick\.packing\.m=3 .* batch of 128: choose a batch_size .* multiple of 3"):
        Population([run], make_problem(run.variant), CPU)


@pytest.mark.parametrize(("setting", "told"), [
    ("trick.packing.m=1", "must be at least 2, got 1"),
    ("trick.minibatch_discrimination.kernels=0", "kernels' must be at least 1, got 0"),
    ("trick.ema.decay=1", "at least 0 and below 1, got 1"),
    ("trick.top_k.share=0", "share' must be above 0 and at most 1, got 0"),
    ("trick.top_k.until=2", "until' must be above 0 and at most 1, got 2"),
    ("trick.augmentation.translation=-1", "at least 0 and at most 1, got -1"),
])  # fmt: skip
def test_values_that_make_no_sense_are_refused(setting, told):
    trick = setting.split(".")[1]
    with pytest.raises(UserError, match=told):
        resolve(None, over([*(key for key in settings(trick) if not key.startswith("trick.")), setting, PAIRS]))


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("place", ["parameters", "features"])
def test_what_is_added_to_a_loss_is_one_number_a_run(place):
    @registry.register("trick", acts_on=place)
    def shared(first, second):
        return (first - second).square().mean()

    (run,) = resolve(None, ["trick=shared", "seeds=1", "network.mlp.width=6"]).runs
    with pytest.raises(UserError, match=r"'shared' must return one number a run, shape \[1\], not \[\]"):
        train_step(Population([run], make_problem(run.variant), CPU))
