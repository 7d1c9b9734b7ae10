"""Update rules: a population against one GAN moved by torch.optim, each rule written out from its paper."""

import copy

import pytest
import torch
from overriding import over
from torch.nn.functional import softplus

from ganbench import registry
from ganbench.errors import UserError
from ganbench.suite import resolve
from ganbench.training import checkpoint
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population
from ganbench.training.step import PlayedRound, train_step

CPU, STEPS, RATE, GAMMA = torch.device("cpu"), 12, 0.05, 0.3
RULES = registry.names("update")
BASE = ["problem=ring8", "loss=nonsaturating", "steps=1000", "batch_size=16", "network.mlp.width=5"]


class Loop:
    """One GAN with its optimizers; batches in the order in which a population draws them."""

    def __init__(self, run):
        self.population = Population([run], make_problem(run.variant), CPU, torch.float64)
        networks = build_networks(run.variant, make_problem(run.variant), run.seed)
        self.g, self.d = (module.double() for module in networks)
        self.penalized = run.variant.regularizer == "r1"
        kind, settings = {
            "sgd": (torch.optim.SGD, {}), "adam": (torch.optim.Adam, {"betas": (0.5, 0.999)}),
        }[run.variant.optimizer]  # fmt: skip
        self.optimizers = {
            name: kind(module.parameters(), lr=RATE, **settings) for name, module in (("d", self.d), ("g", self.g))
        }
        self.drawn = {"d": 0, "g": 0}

    def draw(self, purpose, player):
        return self.population.draw(purpose, self.drawn[player])[0]

    def parameters(self, player):
        return list(getattr(self, player).parameters())

    def d_loss(self, real, fake):
        real = real.requires_grad_()
        real_logits = self.d(real)
        loss = softplus(-real_logits).mean() + softplus(self.d(fake)).mean()
        if self.penalized:
            (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
            loss = loss + GAMMA / 2 * slope.pow(2).sum(1).mean()
        return loss

    def gradient(self, player):
        if player == "d":
            loss = self.d_loss(self.draw("data", "d"), self.g(self.draw("d latent", "d")).detach())
        else:
            loss = softplus(-self.d(self.g(self.draw("g latent", "g")))).mean()
        self.drawn[player] += 1
        return torch.autograd.grad(loss, self.parameters(player))

    def both(self):
        return {player: self.gradient(player) for player in "dg"}

    def move(self, gradients):
        for player, parts in gradients.items():
            for parameter, part in zip(self.parameters(player), parts, strict=True):
                parameter.grad = part.detach().clone()
            self.optimizers[player].step()

    def turn(self, player):
        self.move({player: self.gradient(player)})

    def positions(self):
        return {player: copy.deepcopy([p.detach() for p in self.parameters(player)]) for player in "dg"}

    def place(self, positions):
        with torch.no_grad():
            for player, values in positions.items():
                for parameter, value in zip(self.parameters(player), values, strict=True):
                    parameter.copy_(value)

    def field(self):
        """Return all parameters, D's first, and the gradients of both losses on D's batch, with their graphs."""
        fake = self.g(self.draw("d latent", "d"))
        losses = self.d_loss(self.draw("data", "d"), fake), softplus(-self.d(fake)).mean()
        self.drawn["d"] += 1
        parts = [
            torch.autograd.grad(loss, self.parameters(player), create_graph=True)
            for player, loss in zip("dg", losses, strict=True)
        ]
        return [*self.parameters("d"), *self.parameters("g")], [*parts[0], *parts[1]]

    def split(self, parts):
        count = len(self.parameters("d"))
        return {"d": parts[:count], "g": parts[count:]}


def alternating(loop, step, memory):
    loop.turn("d")
    loop.turn("g")


def generator_first(loop, step, memory):
    loop.turn("g")
    loop.turn("d")


def simultaneous(loop, step, memory):
    loop.move(loop.both())


def extragradient(loop, step, memory):
    start = loop.positions()
    loop.move(loop.both())
    there = loop.both()
    loop.place(start)
    loop.move(there)


def past_extragradient(loop, step, memory):
    start = loop.positions()
    loop.move(memory.get("last") or loop.both())
    memory["last"] = loop.both()
    loop.place(start)
    loop.move(memory["last"])


def lookahead(loop, step, memory, play=alternating):
    memory.setdefault("slow", loop.positions())
    play(loop, step, memory)
    if step % 5 == 4:
        fast = loop.positions()
        memory["slow"] = {p: [(a + b) / 2 for a, b in zip(memory["slow"][p], fast[p], strict=True)] for p in "dg"}
        loop.place(memory["slow"])


def simultaneous_lookahead(loop, step, memory):
    lookahead(loop, step, memory, simultaneous)


def consensus(loop, step, memory, order=("dg",)):
    for movers in order:
        parameters, field = loop.field()
        energy = sum(part.pow(2).sum() for part in field) / 2
        pull = torch.autograd.grad(energy, parameters)
        gradients = loop.split([part + extra for part, extra in zip(field, pull, strict=True)])
        loop.move({player: gradients[player] for player in movers})


def symplectic(loop, step, memory):
    parameters, field = loop.field()
    flat = torch.cat([part.flatten() for part in field])
    rows = [torch.autograd.grad(entry, parameters, retain_graph=True, materialize_grads=True, allow_unused=True)
            for entry in flat]  # fmt: skip
    jacobian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    xi = flat.detach()
    adjustment = (jacobian - jacobian.T).T @ xi / 2
    steepest = jacobian.T @ xi
    sign = torch.sign((xi @ steepest) * (adjustment @ steepest) / len(xi) + 0.1)
    whole = xi + sign * adjustment
    sizes = [parameter.numel() for parameter in parameters]
    parts = [part.view_as(p) for part, p in zip(whole.split(sizes), parameters, strict=True)]
    loop.move(loop.split(parts))


def unrolled(loop, step, memory):
    loop.turn("d")
    real, fake = loop.draw("g data", "g"), loop.g(loop.draw("g latent", "g"))
    loop.drawn["g"] += 1
    names = [name for name, _ in loop.d.named_parameters()]
    critic = dict(loop.d.named_parameters())

    def logits(x):
        return torch.func.functional_call(loop.d, critic, (x,))

    for _ in range(5):
        loss = softplus(-logits(real)).mean() + softplus(logits(fake)).mean()
        moves = torch.autograd.grad(loss, list(critic.values()), create_graph=True)
        critic = {name: critic[name] - 0.1 * move for name, move in zip(names, moves, strict=True)}
    # the non-saturating loss of the samples, and the term of the real data in the value log D(x) + log(1 - D(G(z)))
    value = softplus(-logits(fake)).mean() - softplus(-logits(real)).mean()
    loop.move({"g": torch.autograd.grad(value, loop.parameters("g"))})


FROM_PAPERS = {
    f.__name__: f
    for f in (alternating, generator_first, simultaneous, extragradient, past_extragradient, lookahead,
              simultaneous_lookahead, consensus, symplectic, unrolled)
}  # fmt: skip


def difference(population, row, loop):
    flats = [torch.cat([p.detach().flatten() for p in loop.parameters(player)]) for player in "dg"]
    return max((population.players[p].flat[row] - flat).abs().max().item() for p, flat in zip("dg", flats, strict=True))


def test_every_rule_is_written_out_here():
    assert set(FROM_PAPERS) == set(RULES)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("regularizer", [["regularizer=none"], ["regularizer=r1", f"regularizer.r1.gamma={GAMMA}"]])
@pytest.mark.parametrize("rule", RULES)
def test_population_equals_loop(rule, regularizer, optimizer):
    rates = [f"optimizer.{optimizer}.{player}_lr={RATE}" for player in "gd"]
    rates += [f"optimizer.{optimizer}.decay=none", f"optimizer={optimizer}"]
    runs = resolve(None, over([*BASE, *rates, f"update={rule}", *regularizer, "seeds=2"])).runs
    population = Population(runs, make_problem(runs[0].variant), CPU, torch.float64)
    loops, memories = [Loop(run) for run in runs], [{} for _ in runs]
    for step in range(STEPS):
        train_step(population)
        for loop, memory in zip(loops, memories, strict=True):
            FROM_PAPERS[rule](loop, step, memory)
    for row, loop in enumerate(loops):
        assert difference(population, row, loop) < 1e-8
    assert not torch.equal(*population.generator.flat)


def test_a_penalty_on_batch_norm_is_of_the_gradient_with_the_whole_batch():
    rates = [f"optimizer.sgd.{player}_lr={RATE}" for player in "gd"]
    allowed = [
        "normalization=batch",
        "allow=batch_norm_with_penalty",
        "regularizer=r1",
        f"regularizer.r1.gamma={GAMMA}",
    ]
    runs = resolve(None, [*BASE, *rates, "optimizer.sgd.decay=none", "optimizer=sgd", *allowed, "seeds=2"]).runs
    population, loops = Population(runs, make_problem(runs[0].variant), CPU, torch.float64), [Loop(run) for run in runs]
    for step in range(STEPS):
        train_step(population)
        for loop in loops:
            alternating(loop, step, {})
    for row, loop in enumerate(loops):
        assert difference(population, row, loop) < 1e-8


@pytest.mark.parametrize("rule", RULES)
def test_a_diverged_run_stays_and_its_neighbour_does_not_notice(rule):
    both = [*BASE, f"update={rule}", "optimizer=sgd", "optimizer.sgd.d_lr=1e30,0.01", "seeds=1"]
    runs = resolve(None, both).runs
    together = Population(runs, make_problem(runs[0].variant), CPU)
    well = next(row for row, run in enumerate(runs) if dict(run.variant.hypers)["optimizer.sgd.d_lr"] < 1)
    alone = Population([runs[well]], make_problem(runs[0].variant), CPU)
    kept = []
    for _ in range(8):
        train_step(together)
        train_step(alone)
        kept.append({name: player.flat.clone() for name, player in together.players.items()})
    assert together.alive.tolist() == [row == well for row in range(2)]
    step = int(together.diverged_step[1 - well])
    for name, player in together.players.items():
        assert torch.equal(kept[-1][name][1 - well], kept[step][name][1 - well])
        assert kept[-1][name].isfinite().all()
        torch.testing.assert_close(player.flat[well], alone.players[name].flat[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_training_goes_on_bit_for_bit(rule, tmp_path):
    runs = resolve(None, over([*BASE, f"update={rule}", "seeds=2"])).runs
    straight, first, second = (Population(runs, make_problem(runs[0].variant), CPU) for _ in range(3))
    for _ in range(12):
        train_step(straight)
    for _ in range(7):
        train_step(first)
    checkpoint.save(first, {}, tmp_path / "checkpoint.pt")
    assert checkpoint.restore(second, {}, tmp_path / "checkpoint.pt")
    for _ in range(5):
        train_step(second)
    for name, player in straight.players.items():
        assert torch.equal(second.players[name].flat, player.flat)


class Crossed(Loop):
    """A GAN with any loss and penalty; `losses` is (real, fake) -> pair, `penalty` (critic, real, fake, uniform)."""

    def __init__(self, run, losses, penalty=None):
        super().__init__(run)
        self.losses, self.penalty = losses, penalty
        self.optimizers = {p: torch.optim.SGD(getattr(self, p).parameters(), lr=RATE) for p in "dg"}

    def both_losses(self):
        real, fake = self.draw("data", "d").requires_grad_(), self.g(self.draw("d latent", "d"))
        uniform = self.draw("uniform", "d")[:, None]
        d_loss, g_loss = self.losses(self.d(real).flatten(), self.d(fake).flatten())
        if self.penalty:
            d_loss = d_loss + self.penalty(self.d, real, fake, uniform)
        self.drawn["d"] += 1
        return d_loss, g_loss

    def gradient(self, player):
        assert player == "d"
        return torch.autograd.grad(self.both_losses()[0], self.parameters("d"))

    def field(self):
        losses = self.both_losses()
        options = {"create_graph": True, "allow_unused": True, "materialize_grads": True}
        parts = [torch.autograd.grad(one, self.parameters(p), **options) for p, one in zip("dg", losses, strict=True)]
        return [*self.parameters("d"), *self.parameters("g")], [*parts[0], *parts[1]]


def slope(critic, x):
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return gradient.flatten(1).pow(2).sum(1)


def penalty_r2(critic, real, fake, uniform):
    # at G's own samples: they move with G, and the penalty with them
    return GAMMA / 2 * slope(critic, fake).mean()


def penalty_between(critic, real, fake, uniform):
    # at points that are drawn: they do not move with G
    points = (uniform * real + (1 - uniform) * fake).detach().requires_grad_()
    return GAMMA * ((slope(critic, points) + 1e-12).sqrt() - 1).pow(2).mean()


def pairing(real, fake):
    return softplus(fake - real).mean(), softplus(real - fake).mean()


def average(real, fake):
    over_fake, over_real = real - fake.mean(), fake - real.mean()
    return (softplus(-over_fake).mean() + softplus(over_real).mean(),
            softplus(over_fake).mean() + softplus(-over_real).mean())  # fmt: skip


def ordinary(real, fake):
    return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()


def crossed(loss, losses, penalty, settings, rule, steps=4):
    """Train a population and the loop beside it; return the largest difference of their parameters."""
    rates = ["optimizer=sgd", f"optimizer.sgd.g_lr={RATE}", f"optimizer.sgd.d_lr={RATE}", "optimizer.sgd.decay=none"]
    (run,) = resolve(None, over([*BASE, f"loss={loss}", *rates, *settings, "seeds=1"])).runs
    population, loop = Population([run], make_problem(run.variant), CPU, torch.float64), Crossed(run, losses, penalty)
    for step in range(steps):
        train_step(population)
        rule(loop, step, {})
    return difference(population, 0, loop)


@pytest.mark.parametrize(("loss", "losses"), [("relativistic_pairing", pairing), ("relativistic_average", average)])
@pytest.mark.parametrize(("rule", "regularizer", "penalty"), [
    (consensus, "none", None), (symplectic, "none", None),
    (consensus, "r2", penalty_r2), (symplectic, "r2", penalty_r2),
    (consensus, "gradient_penalty", penalty_between), (symplectic, "gradient_penalty", penalty_between),
])  # fmt: skip
def test_rules_of_both_gradients_cross_losses_that_compare_and_penalties_on_fakes(
    loss, losses, rule, regularizer, penalty
):
    strength = {"r2": "gamma", "gradient_penalty": "weight"}.get(regularizer)
    settings = [f"update={rule.__name__}", f"regularizer={regularizer}"]
    settings += [f"regularizer.{regularizer}.{strength}={GAMMA}"] if strength else []
    assert crossed(loss, losses, penalty, settings, rule) < 1e-8


@pytest.mark.parametrize(("loss", "losses"), [
    ("relativistic_pairing", pairing), ("relativistic_average", average), ("nonsaturating", ordinary),
])  # fmt: skip
def test_unrolling_crosses_losses_that_compare(loss, losses):
    def rule(loop, step, memory):
        loop.turn("d")
        real, fake = loop.draw("g data", "g"), loop.g(loop.draw("g latent", "g"))
        loop.drawn["g"] += 1
        critic = dict(loop.d.named_parameters())

        def logits(x):
            return torch.func.functional_call(loop.d, critic, (x,)).flatten()

        for _ in range(3):
            moves = torch.autograd.grad(losses(logits(real), logits(fake))[0], list(critic.values()), create_graph=True)
            critic = {name: own - 0.2 * move for (name, own), move in zip(critic.items(), moves, strict=True)}
        # G's own loss looks at real logits as they are; what they owe to D's steps enters once, by D's loss
        value = losses(logits(real).detach(), logits(fake))[1] - losses(logits(real), logits(fake).detach())[0]
        loop.move({"g": torch.autograd.grad(value, loop.parameters("g"))})

    settings = ["update=unrolled", "update.unrolled.steps=3", "update.unrolled.rate=0.2", "regularizer=none"]
    assert crossed(loss, losses, None, settings, rule) < 1e-8


def test_rules_that_move_both_at_once_have_no_turns():
    reason = "both players at once"
    for rule in RULES:
        plan = resolve(None, ["loss=hinge", "seeds=1", "critic_steps=1,5", f"update={rule}"])
        told = [why for _, why in plan.skipped]
        assert all(reason in why and "critic_steps 5" in why for why in told)
        assert bool(told) is ("one_turn_each" in registry.get("update", rule).needs)


@pytest.mark.parametrize(("every", "share"), [(1, 1.0), (3, 1.0), (2, 0.25)])
def test_lookahead_goes_back_by_its_share(every, share):
    def rule(loop, step, memory):
        alternating(loop, step, memory)
        if (step + 1) % every == 0:
            fast = loop.positions()
            slow = {p: [a + share * (b - a) for a, b in zip(loop.slow[p], fast[p], strict=True)] for p in "dg"}
            loop.place(slow)
            loop.slow = loop.positions()

    rates = ["optimizer=sgd", f"optimizer.sgd.g_lr={RATE}", f"optimizer.sgd.d_lr={RATE}", "optimizer.sgd.decay=none"]
    own = ["update=lookahead", f"update.lookahead.every={every}", f"update.lookahead.share={share}", "regularizer=none"]
    (run,) = resolve(None, over([*BASE, *rates, *own, "seeds=1"])).runs
    population, loop = Population([run], make_problem(run.variant), CPU, torch.float64), Loop(run)
    loop.slow = loop.positions()
    for step in range(7):
        train_step(population)
        rule(loop, step, {})
    assert difference(population, 0, loop) < 1e-9
    if share == 1:  # the whole way: no lookahead
        plain = resolve(None, over([*BASE, *rates, "update=alternating", "regularizer=none", "seeds=1"])).runs
        other = Population(plain, make_problem(plain[0].variant), CPU, torch.float64)
        for _ in range(7):
            train_step(other)
        assert all(torch.allclose(other.players[p].flat, population.players[p].flat, atol=1e-12) for p in "dg")


@pytest.mark.parametrize(("order", "movers"), [("alternating", "dg"), ("generator_first", "gd")])
def test_consensus_takes_turns(order, movers):
    rates = ["optimizer=sgd", f"optimizer.sgd.g_lr={RATE}", f"optimizer.sgd.d_lr={RATE}", "optimizer.sgd.decay=none"]
    own = ["update=consensus", f"update.consensus.order={order}", "regularizer=r1", f"regularizer.r1.gamma={GAMMA}"]
    (run,) = resolve(None, over([*BASE, *rates, *own, "seeds=1"])).runs
    population, loop = Population([run], make_problem(run.variant), CPU, torch.float64), Loop(run)
    for step in range(STEPS):
        train_step(population)
        consensus(loop, step, {}, movers)
    assert difference(population, 0, loop) < 1e-9


AHEAD = ["update=unrolled", "update.unrolled.steps=3", "update.unrolled.rate=0.2", "update.unrolled.penalties=true"]


class Spectral(torch.nn.Module):
    """D of two layers with weights over their largest singular values, whose vectors are handed in and come back."""

    def __init__(self, d):
        super().__init__()
        self.layers = [layer.layer for layer in d if hasattr(layer, "layer")]

    def forward(self, x, weights, vectors):
        for place, (weight, bias) in enumerate(weights):
            matrix, u = weight.detach(), vectors[place]
            v = torch.nn.functional.normalize(matrix.T @ u, dim=0)
            vectors[place] = u = torch.nn.functional.normalize(matrix @ v, dim=0)
            x = x @ (weight / (u @ weight @ v)).T + bias
            x = torch.nn.functional.leaky_relu(x, 0.2) if place < len(weights) - 1 else x
        return x.flatten()


@pytest.mark.parametrize("normalization", ["none", "spectral"])
def test_an_unrolled_critic_steps_as_it_is_trained(normalization):
    own = [*AHEAD, f"normalization={normalization}", "regularizer=r1", f"regularizer.r1.gamma={GAMMA}", "optimizer=sgd"]
    (run,) = resolve(None, over([*BASE, *own, "seeds=1"])).runs
    population = Population([run], make_problem(run.variant), CPU, torch.float64)
    d, loop = population.discriminator, Loop(run)
    train_step(population)
    before = {name: buffer.clone() for name, buffer in d.buffers.items()}
    trained = [{name: own[0].detach().requires_grad_() for name, own in d.views(d.flat).items()}]
    got = PlayedRound(population, population.inputs(1), population.clock).unrolled_gradient(3, 0.2, True)[0]
    assert all(torch.equal(buffer, before[name]) for name, buffer in d.buffers.items())
    real, latents = (population.draw(purpose, 1)[0] for purpose in ("g data", "g latent"))
    g = dict(zip(dict(loop.g.named_parameters()), (p[0].detach().requires_grad_() for p in population.generator.views(
        population.generator.flat).values()), strict=True))  # fmt: skip
    fake = torch.func.functional_call(loop.g, g, (latents,))
    vectors = [buffer[0] for buffer in before.values()]

    def logits(x):
        if normalization == "none":
            return torch.func.functional_call(loop.d, trained[-1], (x,)).flatten()
        pairs = list(trained[-1].values())
        return Spectral(loop.d)(x, list(zip(pairs[::2], pairs[1::2], strict=True)), vectors)

    real.requires_grad_()
    for _ in range(3):
        of_real, of_fake = logits(real), logits(fake)
        (slope,) = torch.autograd.grad(of_real.sum(), real, create_graph=True)
        loss = softplus(-of_real).mean() + softplus(of_fake).mean() + GAMMA / 2 * slope.square().sum(1).mean()
        moves = torch.autograd.grad(loss, list(trained[-1].values()), create_graph=True)
        trained.append({name: own - 0.2 * move for (name, own), move in zip(trained[-1].items(), moves, strict=True)})
    of_real, of_fake = logits(real), logits(fake)
    value = softplus(-of_fake).mean() - softplus(-of_real).mean()
    theirs = torch.cat([part.flatten() for part in torch.autograd.grad(value, list(g.values()))])
    torch.testing.assert_close(got, theirs, rtol=1e-7, atol=1e-10)


def test_an_unrolled_critic_leaves_nothing_in_what_a_regularizer_remembers():
    (run,) = resolve(None, over([*BASE, *AHEAD, "regularizer=lecam", "seeds=1"])).runs
    own = Population([run], make_problem(run.variant), CPU)
    train_step(own)
    before = {name: mean.clone() for name, mean in own.memory["regularizer.lecam"].items()}
    steps = [PlayedRound(own, own.inputs(own.step), own.clock).unrolled_gradient(3, 0.2, whole) for whole in (0, 1)]
    assert not torch.allclose(*steps), "the penalty is in them"
    assert sorted(before) == ["fake", "real"]
    assert all(torch.equal(mean, before[name]) for name, mean in own.memory["regularizer.lecam"].items())


@pytest.mark.parametrize(("setting", "told"), [
    ("update.consensus.order=both", "Unknown order of the update rule 'consensus' 'both'"),
    ("update.lookahead.every=0", "at least 1, got 0"),
    ("update.lookahead.share=0", "above 0 and at most 1, got 0"),
    ("update.lookahead.share=1.001", "above 0 and at most 1, got 1.001"),
    ("update.lookahead.share=-0.5", "above 0 and at most 1, got -0.5"),
    ("update.unrolled.steps=0", "at least 1, got 0"),
])  # fmt: skip
def test_values_that_make_no_sense_are_refused(setting, told):
    def trained():
        run = resolve(None, over([*BASE, f"update={setting.split('.')[1]}", setting, "seeds=1"])).runs[0]
        train_step(Population([run], make_problem(run.variant), CPU))

    with pytest.raises(UserError, match=told):
        trained()
