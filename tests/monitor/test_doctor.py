"""The doctor on the smallest loops: each fault by its name, a sound loop by silence, and not a bit changed."""

import copy

import pytest
import torch
from torch import nn, optim
from torch.nn.functional import binary_cross_entropy as bce
from torch.nn.functional import binary_cross_entropy_with_logits as bce_logits
from torch.nn.functional import mse_loss, relu, softplus
from torch.optim.optimizer import _global_optimizer_pre_hooks
from torch.utils.data import DataLoader, TensorDataset
from traces import hooks

from ganbench import Monitor
from ganbench.monitor.doctor import RULES, Visit

STEPS, BATCH = 10, 16


class Loop:
    """A loop of two small networks whose every line a test may replace: `Loop(d_clear=False)`, `Loop(fake=...)`."""

    def __init__(self, **changes):
        torch.manual_seed(0)
        self.g = changes.pop("g", None) or nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
        self.d = changes.pop("d", None) or nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
        make_g = changes.pop("make_g", lambda loop: optim.Adam(loop.g.parameters(), lr=1e-3))
        make_d = changes.pop("make_d", lambda loop: optim.Adam(loop.d.parameters(), lr=1e-3))
        self.optimizers = {"g": make_g(self), "d": make_d(self)}
        self.changes = changes
        self.loader = changes.pop("loader", None)

    def given(self, name, default):
        return self.changes.get(name, default)

    def latents(self):
        return torch.randn(BATCH, 3)

    def real(self):
        return torch.randn(BATCH, 2) + 1

    def d_loss(self, real, fake):
        return (softplus(-self.d(real)) + softplus(self.d(fake.detach()))).mean()

    def g_loss(self, real, fake):
        return softplus(-self.d(fake)).mean()

    def turn(self, player, loss):
        if self.given(f"{player}_clear", "before") == "before":
            self.optimizers[player].zero_grad()
        loss.backward(retain_graph=True)
        if self.given(f"{player}_clear", "before") == "after":
            self.optimizers[player].zero_grad()
        self.optimizers[player].step()
        if self.given(f"{player}_clear", "before") == "end":
            self.optimizers[player].zero_grad()

    def iterate(self):
        real, z = self.given("real", type(self).real)(self), self.given("latents", type(self).latents)(self)
        fake = self.g(z)
        self.turn("d", self.given("d_loss", type(self).d_loss)(self, real, fake))
        self.turn("g", self.given("g_loss", type(self).g_loss)(self, real, self.g(z)))
        self.given("after", lambda loop: None)(self)

    def seen(self, steps=STEPS):
        visit = Visit([self.g], [self.d], self.loader, torch.randn(64, 3))
        for _ in range(steps):
            self.iterate()
            if visit.step():
                break
        visit.close()
        return visit


def names(loop, steps=STEPS):
    return [fault.name for fault in loop.seen(steps).faults()]


FIXED = torch.randn(BATCH, 3, generator=torch.Generator().manual_seed(1))
DATA = torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(2))
SIDES = torch.tensor([-1.0, 1.0]).repeat_interleave(BATCH)
SIGMOID = lambda: nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Sigmoid())  # noqa: E731
TANH = lambda: nn.Sequential(nn.Linear(3, 2), nn.Tanh())  # noqa: E731
NORMED = lambda inputs, outputs: nn.Sequential(nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.Linear(8, outputs))  # noqa: E731


class Functional(nn.Module):
    """A discriminator whose forward ends in a function."""

    def __init__(self, function):
        super().__init__()
        self.body, self.function = nn.Linear(2, 1), function

    def forward(self, x):
        return self.function(self.body(x)).squeeze(1)


def labelled(loss, real, fake):
    def of(loop, x, label):
        out = loop.d(x)
        return loss(out, torch.full_like(out, label))

    return {
        "d_loss": lambda loop, x, y: of(loop, x, real) + of(loop, y.detach(), fake),
        "g_loss": lambda loop, _, y: of(loop, y, 1.0),
    }


def penalty(create_graph):
    def d_loss(loop, real, fake):
        between = (0.5 * real + 0.5 * fake.detach()).requires_grad_()
        (gradient,) = torch.autograd.grad(loop.d(between).sum(), between, create_graph=create_graph)
        return Loop.d_loss(loop, real, fake) + (gradient.norm(dim=1) - 1).square().mean()

    return d_loss


def clip(loop):
    for own in loop.d.parameters():
        own.data.clamp_(-1e-4, 1e-4)


SOUND = {
    "logits": {},
    "probabilities": {"d": SIGMOID, **labelled(bce, 1.0, 0.0)},
    "probabilities of a function": {"d": lambda: Functional(torch.sigmoid), **labelled(bce, 1.0, 0.0)},
    "smoothed labels": labelled(bce_logits, 0.9, 0.0),
    "least squares": labelled(mse_loss, 1.0, 0.0),
    "hinge": {
        "d_loss": lambda loop, x, y: relu(1 - loop.d(x)).mean() + relu(1 + loop.d(y.detach())).mean(),
        "g_loss": lambda loop, _, y: -loop.d(y).mean(),
    },
    "relativistic": {
        "d_loss": lambda loop, x, y: softplus(loop.d(y.detach()) - loop.d(x)).mean(),
        "g_loss": lambda loop, x, y: softplus(loop.d(x) - loop.d(y)).mean(),
    },
    "penalty": {"d_loss": penalty(create_graph=True)},
    "batch norm": {"g": lambda: NORMED(3, 2), "d": lambda: NORMED(2, 1)},
    "both labels the other way": {
        "d_loss": lambda loop, x, y: (softplus(loop.d(x)) + softplus(-loop.d(y.detach()))).mean(),
        "g_loss": lambda loop, _, y: softplus(loop.d(y)).mean(),
    },
    "D frozen in G's turn": {
        "d_loss": lambda loop, x, y: Loop.d_loss((loop.d.requires_grad_(True), loop)[1], x, y),
        "g_loss": lambda loop, x, y: Loop.g_loss((loop.d.requires_grad_(False), loop)[1], x, y),
    },
    "weights clipped as published": {
        "after": lambda loop: [own.data.clamp_(-0.01, 0.01) for own in loop.d.parameters()]
    },
    "two backward passes": {
        "d_clear": "never",
        "d_loss": lambda loop, x, y: (
            loop.optimizers["d"].zero_grad(),
            softplus(-loop.d(x)).mean().backward(),
            softplus(loop.d(y.detach())).mean(),
        )[2],
    },
}

FAULTY = {
    "discriminator's gradients are never cleared": {"d_clear": "never"},
    "generator's gradients are never cleared": {"g_clear": "never"},
    "generator's loss reaches the discriminator's step": {"d_clear": "end"},
    "discriminator's gradient is cleared before its step": {"d_clear": "after"},
    "no gradient reaches the generator": {
        "g_loss": lambda loop, x, y: Loop.g_loss(loop, x, y.detach()),
    },
    "discriminator's loss reaches the generator's step": {
        "g_clear": "end",
        "d_loss": lambda loop, x, y: (softplus(-loop.d(x)) + softplus(loop.d(y))).mean(),
    },
    "adversarial term is computed on detached fakes": {
        "g_loss": lambda loop, x, y: Loop.g_loss(loop, x, y.detach()) + y.square().mean(),
    },
    "gets nothing from D": {"g_loss": lambda loop, x, y: 0 * Loop.g_loss(loop, x, y) + y.square().mean()},
    "labels are swapped": labelled(bce_logits, 0.0, 1.0),
    "labels are swapped (least squares)": labelled(mse_loss, 0.0, 1.0),
    "sigmoid twice": {"d": SIGMOID, **labelled(bce_logits, 1.0, 0.0)},
    "sigmoid twice (in forward)": {"d": lambda: Functional(torch.sigmoid), **labelled(bce_logits, 1.0, 0.0)},
    "bounded by a sigmoid": {
        "d": SIGMOID,
        "d_loss": lambda loop, x, y: loop.d(y.detach()).mean() - loop.d(x).mean(),
        "g_loss": lambda loop, _, y: -loop.d(y).mean(),
    },
    "no optimizer steps the generator": {"make_g": lambda loop: optim.Adam(loop.d.parameters(), lr=1e-3)},
    "one optimizer steps both players": {
        "make_g": lambda loop: optim.Adam([*loop.g.parameters(), *loop.d.parameters()], lr=1e-3)
    },
    "parameters of the generator are in no optimizer": {
        "make_g": lambda loop: optim.Adam(list(loop.g.parameters())[:2], lr=1e-3)
    },
    "generator's optimizer holds other tensors": {
        "make_g": lambda loop: optim.Adam(copy.deepcopy(loop.g).requires_grad_().parameters(), lr=1e-3)
    },
    "learning rate is 0": {"make_g": lambda loop: optim.Adam(loop.g.parameters(), lr=0.0)},
    "learning rates are orders apart": {"make_d": lambda loop: optim.Adam(loop.d.parameters(), lr=0.05)},
    "steps are too large": {
        "make_d": lambda loop: optim.Adam(loop.d.parameters(), lr=1.0),
        "make_g": lambda loop: optim.Adam(loop.g.parameters(), lr=1.0),
    },
    "same latents at every step": {"latents": lambda _: FIXED},
    "one latent for the whole batch": {"latents": lambda _: torch.randn(1, 3).repeat(BATCH, 1)},
    "other latents than the loop": {"latents": lambda _: torch.rand(BATCH, 3)},
    "same real batch at every step": {"real": lambda _: DATA},
    "real data are constant": {"real": lambda _: torch.ones(BATCH, 2) * torch.randn(())},
    "real batches repeat a few samples": {"real": lambda _: torch.randn(2, 2).repeat(BATCH // 2, 1)},
    "outside the generator's range": {"g": TANH, "real": lambda _: 255 * torch.rand(BATCH, 2)},
    "half of the generator's range": {"g": TANH, "real": lambda _: torch.rand(BATCH, 2)},
    "scaled differently": {"real": lambda _: 255 * torch.rand(BATCH, 2)},
    "generator is trained in evaluation mode": {"g": lambda: NORMED(3, 2).eval()},
    "discriminator is trained in evaluation mode": {"d": lambda: NORMED(2, 1).eval()},
    "no real samples": {"d_loss": lambda loop, _, y: Loop.d_loss(loop, y.detach(), y)},
    "no fakes": {"d_loss": lambda loop, x, _: Loop.d_loss(loop, x, x)},
    "trains nothing": {"d_loss": penalty(create_graph=False)},
    "penalty through batch norm": {"d": lambda: NORMED(2, 1), "d_loss": penalty(create_graph=True)},
    "generator's gradient is exactly 0": {"g_loss": lambda loop, x, y: 0 * Loop.g_loss(loop, x, y)},
    "generator's gradients move nothing": {"g_loss": lambda loop, x, y: 1e-15 * Loop.g_loss(loop, x, y)},
    "same score to everything": {"d": lambda: Functional(lambda out: out.softmax(1))},
    "G ignores its input": {
        "g": lambda: nn.Sequential(nn.Linear(3, 2), nn.Threshold(1e9, 0.0), nn.Linear(2, 2))},
    "clipped very tightly": {"after": clip},
    "are not finite": {"after": lambda loop: loop.g[0].weight.data.fill_(torch.nan)},
    "share batch statistics": {
        "d": lambda: NORMED(2, 1),
        "d_loss": lambda loop, x, y: (loop.d(torch.cat([x, y.detach()])).flatten() * SIDES).mean(),
    },
    "too small for batch norm": {
        "g": lambda: NORMED(3, 2), "latents": lambda _: torch.randn(2, 3), "real": lambda _: torch.randn(2, 2),
    },
    "last batch of an epoch is tiny": {
        "d": lambda: NORMED(2, 1), "loader": DataLoader(TensorDataset(torch.randn(65, 2)), batch_size=16)},
}  # fmt: skip


def loop_of(changes):
    made = {key: value() if key in ("g", "d") else value for key, value in changes.items()}
    return Loop(**made)


@pytest.mark.parametrize("changes", SOUND.values(), ids=SOUND)
def test_a_sound_loop_is_left_alone(changes):
    torch.manual_seed(0)
    assert [str(fault) for fault in loop_of(changes).seen().faults()] == []


@pytest.mark.parametrize(("name", "changes"), FAULTY.items(), ids=FAULTY)
def test_a_fault_is_named(name, changes):
    torch.manual_seed(0)
    found = names(loop_of(changes))
    assert any(name.partition(" (")[0] in one for one in found[:2]), found


def test_shared_parameters_and_skipped_steps():
    body = nn.Linear(2, 2)
    g = nn.Sequential(nn.Linear(3, 2), body)
    assert names(Loop(g=g, d=nn.Sequential(body, nn.Linear(2, 1))))[0] == "generator and discriminator share parameters"
    # as a GradScaler does
    loop = Loop(d_loss=lambda loop, x, y: Loop.d_loss(loop, x, y) * torch.nan)
    loop.optimizers["d"].step = lambda: None
    assert names(loop)[0] == "every step of the discriminator is skipped"


class TwoHeads(nn.Module):
    """A discriminator that recognises a code beside its score, as InfoGAN's."""

    def __init__(self):
        super().__init__()
        self.trunk, self.score, self.code = nn.Linear(2, 8), nn.Linear(8, 1), nn.Linear(8, 3)

    def forward(self, x):
        h = relu(self.trunk(x))
        return self.score(h), self.code(h)


@pytest.mark.parametrize(("twice", "found"), [(False, []), (True, ["one optimizer steps both players"])])
def test_a_head_of_d_that_gs_optimizer_alone_steps_is_no_fault(twice, found):
    def of_d(loop):
        parts = (loop.d.trunk, loop.d.score, *((loop.d.code,) if twice else ()))
        return optim.Adam([own for part in parts for own in part.parameters()], lr=1e-3)

    loop = Loop(
        d=TwoHeads(),
        make_g=lambda loop: optim.Adam([*loop.g.parameters(), *loop.d.code.parameters()], lr=1e-3),
        make_d=of_d,
        d_loss=lambda loop, x, y: (softplus(-loop.d(x)[0]) + softplus(loop.d(y.detach())[0])).mean(),
        g_loss=lambda loop, _, y: softplus(-loop.d(y)[0]).mean() + loop.d(y)[1].square().mean(),
    )
    assert names(loop) == found


def test_passes_of_a_critic_are_followed_though_its_last_bias_has_no_gradient():
    def d_loss(loop, real, fake, clear=True):
        (0.5 * (loop.d(fake.detach()).mean() - loop.d(real).mean())).backward()
        if clear:
            loop.optimizers["d"].zero_grad()
        return 0.5 * (loop.d(fake.detach()).mean() - loop.d(real).mean())

    losses = {"g_loss": lambda loop, _, y: -loop.d(y).mean(), "d_loss": d_loss}
    found = names(Loop(**losses))
    assert found == ["part of the discriminator's gradient is cleared before its step"]
    whole = losses | {"d_loss": lambda loop, x, y: d_loss(loop, x, y, clear=False)}
    assert names(Loop(**whole, d_clear="end")) == ["the generator's loss reaches the discriminator's step"]


def test_a_batch_whose_scores_are_raised_and_lowered_has_both_kinds():
    """Rows of which some entries are real and others made, with a score for each entry."""
    known = torch.tensor([1.0, 0.0]).expand(BATCH, 2)

    def rows(x, y):
        return known * x + (1 - known) * y

    changes = {
        "d": lambda: nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 2)),
        "d_loss": lambda loop, x, y: bce_logits(loop.d(rows(x, y.detach())), known),
        "g_loss": lambda loop, x, y: bce_logits(loop.d(rows(x, y)), torch.ones(BATCH, 2)),
    }
    assert names(loop_of(changes)) == []


@pytest.mark.parametrize("seed", range(8))
def test_an_autoencoder_for_a_critic_has_no_labels_to_swap(seed):
    def energy(loop, x):
        return (loop.d(x) - x).abs().mean()

    loop = Loop(
        d=nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 2)),
        d_loss=lambda loop, x, y: energy(loop, x) - 0.1 * energy(loop, y.detach()),
        g_loss=lambda loop, _, y: energy(loop, y),
    )
    torch.manual_seed(seed)
    for own in (*loop.g.parameters(), *loop.d.parameters()):
        own.data = torch.randn_like(own)
    assert names(loop) == []


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_a_linear_loss_on_probabilities_is_named_also_where_it_is_weighed(weight):
    found = names(loop_of({
        "d": SIGMOID,
        "d_loss": lambda loop, x, y: weight * (loop.d(y.detach()).mean() - loop.d(x).mean()),
        "g_loss": lambda loop, _, y: -weight * loop.d(y).mean(),
    }))  # fmt: skip
    assert found[0] == "a critic's scores are bounded by a sigmoid"


@pytest.mark.parametrize("named", [False, True])
def test_steps_that_take_a_closure(named):
    """A closure makes the gradients within the step, as Lightning has it."""

    def found(clear):
        loop = Loop()

        def turn(player, loss):
            def closure():
                if player in clear:
                    loop.optimizers[player].zero_grad()
                value = loss(loop, loop.real(), loop.g(loop.latents()))
                value.backward()
                return value

            own = loop.optimizers[player]
            return own.step(closure=closure) if named else own.step(closure)

        loop.iterate = lambda: (turn("d", Loop.d_loss), turn("g", Loop.g_loss))
        return names(loop)

    assert found("dg") == []
    assert found("g")[0] == "the discriminator's gradients are never cleared"


def test_fakes_of_a_pool_are_fakes():
    """A batch of earlier fakes in another order, which D is shown for real ones."""
    pool = []

    def d_loss(loop, _, fake):
        pool.extend(fake.detach())
        return Loop.d_loss(loop, *torch.stack(pool)[torch.randperm(len(pool))[: 2 * BATCH]].chunk(2))

    assert names(Loop(d_loss=d_loss))[0] == "D's loss has no real samples"


def test_a_generator_that_plays_against_a_copy():
    loop = Loop()
    loop.copy = copy.deepcopy(loop.d)
    loop.changes["g_loss"] = lambda loop, _, fake: softplus(-loop.copy(fake)).mean()
    assert "G's loss gets nothing from D" in names(loop)[:2]


def test_one_of_two_optimizers_stands():
    loop = Loop()
    still = optim.Adam(loop.g.parameters(), lr=0.0)
    loop.changes["after"] = lambda _: still.step()
    assert names(loop)[0] == "the generator's learning rate is 0"


def test_gradients_cleared_between_two_backward_passes():
    def after_half(loop, real, fake):
        Loop.g_loss(loop, real, loop.g(loop.latents())).backward()
        loop.optimizers["g"].zero_grad()
        return Loop.g_loss(loop, real, fake)

    assert names(Loop(g_loss=after_half)) == ["part of the generator's gradient is cleared before its step"]


def test_each_discriminator_has_its_own_range():
    """One of two is given differences, which reach beyond a tanh: the samples themselves do not."""
    g = TANH()
    d = [nn.Linear(2, 1), nn.Linear(1, 1)]
    both = {
        "g": optim.Adam(g.parameters(), lr=1e-3),
        "d": optim.Adam([p for own in d for p in own.parameters()], lr=1e-3),
    }
    visit = Visit([g], d)
    scores = lambda x: d[0](x) + d[1](x[:, 1:] - x[:, :1])  # noqa: E731
    for _ in range(STEPS):
        real, fake = 2 * torch.rand(BATCH, 2) - 1, g(torch.randn(BATCH, 3))
        for player, loss in (
            ("d", lambda real=real, fake=fake: softplus(-scores(real)) + softplus(scores(fake.detach()))),
            ("g", lambda fake=fake: softplus(-scores(fake))),
        ):
            both[player].zero_grad()
            loss().mean().backward()
            both[player].step()
        visit.step()
    assert [fault.name for fault in visit.faults()] == []


def test_labels_that_differ_between_players():
    class Conditional(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.body, self.label = nn.Linear(inputs, outputs), nn.Embedding(10, outputs)

        def forward(self, x, label):
            return self.body(x) + self.label(label)

    def loop(other):
        made = Loop(g=Conditional(3, 2), d=Conditional(2, 1))
        visit = Visit([made.g], [made.d])
        for _ in range(STEPS):
            label = torch.randint(10, (BATCH,))
            fake = made.g(made.latents(), label)
            wrong = torch.randint(10, (BATCH,)) if other else label
            made.turn("d", (softplus(-made.d(made.real(), label)) + softplus(made.d(fake.detach(), wrong))).mean())
            made.turn("g", softplus(-made.d(fake, label)).mean())
            visit.step()
        return [fault.name for fault in visit.faults()]

    assert loop(other=False) == []
    assert loop(other=True) == ["fakes are judged under other labels than they were made with"]


def test_images_of_other_sizes_or_channels():
    for shape, word in (((3, 8, 8), "channels"), ((1, 7, 7), "size")):
        g = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))
        d = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Functional(lambda out: out))
        d = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(1), nn.LazyLinear(1)) if word == "size" else Mean()
        if word == "size":
            d(torch.randn(2, *shape))
        found = names(Loop(g=g, d=d, real=lambda _, shape=shape: torch.randn(BATCH, *shape)))
        assert f"real and fake samples differ in {word}" in found[:2]


class Mean(nn.Module):
    """A discriminator of any number of channels."""

    def __init__(self):
        super().__init__()
        self.end = nn.Linear(2, 1)

    def forward(self, x):
        return self.end(torch.stack([x.flatten(1).mean(1), x.flatten(1).std(1)], 1))


def test_a_network_that_is_not_called_is_told():
    loop = Loop()
    visit = Visit([copy.deepcopy(loop.g)], [loop.d])
    for _ in range(STEPS):
        loop.iterate()
        visit.step()
    assert any("is not called" in fault.name or "holds other tensors" in fault.name for fault in visit.faults())


@pytest.mark.parametrize(("changes", "found"), [
    ({}, []), ({"d_clear": "end"}, ["the generator's loss reaches the discriminator's step"]),
])  # fmt: skip
def test_a_discriminator_may_start_late(changes, found):
    """After fifty iterations without it nothing has been said, and what is wrong then is found."""
    hooks(forget=True)
    loop, before = Loop(**changes), _global_optimizer_pre_hooks.copy()
    visit = Visit([loop.g], [loop.d], None, torch.randn(64, 3))
    for _ in range(50):
        loop.turn("g", loop.g(loop.latents()).square().mean())
        visit.step()
    assert visit.open
    assert visit.faults() == ()
    assert not any(part._forward_hooks for own in (loop.g, loop.d) for part in own.modules())
    while visit.open:
        loop.iterate()
        visit.step()
    assert [fault.name for fault in visit.faults()] == found
    assert before == _global_optimizer_pre_hooks


@pytest.mark.parametrize("changes", [SOUND["batch norm"], SOUND["penalty"], SOUND["two backward passes"]])
def test_a_visit_changes_no_bit(changes):
    ends = []
    for watched in (True, False):
        torch.manual_seed(0)
        loop = loop_of(changes)
        if watched:
            loop.seen()
        else:
            torch.randn(64, 3)
            for _ in range(8):
                loop.iterate()
        ends.append([*loop.g.state_dict().values(), *loop.d.state_dict().values(), torch.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_after_a_visit_no_hook_is_left():
    loop = Loop()
    loop.seen()
    assert not any(part._forward_hooks for own in (loop.g, loop.d) for part in own.modules())
    assert not any(own._post_accumulate_grad_hooks for own in loop.g.parameters())
    hooks(forget=True)
    before = _global_optimizer_pre_hooks.copy()
    visit = Visit([loop.g], [loop.d])
    assert len(_global_optimizer_pre_hooks) == len(before) + 1
    visit.close()
    assert _global_optimizer_pre_hooks == before


def test_every_rule_has_its_reason():
    assert all(rule.__doc__ and rule.__doc__.startswith("Find ") for rule in RULES)
    assert len({rule.__name__ for rule in RULES}) == len(RULES)


def test_monitor_says_what_is_wrong_once(tmp_path):
    lines, loop = [], Loop(g_clear="never")
    monitor = Monitor(
        loop.g, loop.d, torch.randn(200, 2), 3, out=tmp_path / "it", samples=64, neighbours=16, batch_size=16,
        log=lines.append,
    )  # fmt: skip
    assert monitor.check() == ()
    assert lines[-1] == "ganbench: nothing wrong with the wiring in 0 iterations, still watching"
    for _ in range(12):
        loop.iterate()
        monitor.step()
    said = [line for line in lines if "never cleared" in line]
    assert len(said) == 1
    assert said[0].startswith("ganbench: certain: the generator's gradients are never cleared. At ")
    assert monitor.check() == monitor.faults
    assert monitor.faults[0].certain
    monitor.close()


def test_how_far_a_step_moves_counts_all_matrices_together():
    g = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        g[0].weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 4.0]]))
        g[1].weight.copy_(torch.tensor([[0.0, 12.0], [5.0, 0.0]]))
    optimizer = optim.SGD(g.parameters(), lr=1.0)
    visit = Visit([g], [nn.Linear(2, 1)])
    for layer, size in zip(g, (0.5, 1.0), strict=True):
        layer.weight.grad = torch.full((2, 2), size)
    optimizer.step()
    # steps of norms 1 and 2 at weights of norms 5 and 13
    assert visit.trace.updates[-1].moved == {"g": pytest.approx(3 / 18)}
