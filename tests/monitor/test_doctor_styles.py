"""The doctor on sound loops in styles of their own, which it says nothing of, and on the same with one line wrong."""

import pytest

from ganbench.monitor.doctor.loops import LOOP, examined


def changed(text, *changes):
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def names(text, *changes):
    return [fault.name for fault in examined(changed(text, *changes))]


TAKEN = changed(
    LOOP,
    ("    opt_d.zero_grad()\n", ""),
    ("    opt_g.zero_grad()\n", ""),
    *(
        (f"    {loss}.backward()\n",
         f"    for own, gradient in zip({net}.parameters(), torch.autograd.grad({loss}, [*{net}.parameters()])):\n"
         "        own.grad = gradient\n")
        for loss, net in (("d_loss", "D"), ("g_loss", "G"))
    ),
)  # fmt: skip
"""Gradients that are taken, and put where the optimizers look for them."""

IMPUTED = changed(
    LOOP,
    ("nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))", "nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))"),
    ("nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))",
     "nn.Linear(4, 32), nn.LeakyReLU(0.2), nn.Linear(32, 4))"),
    ("    z = torch.randn(64, 4)\n    fake = G(z)\n",
     "    real, seen = torch.cat([real, ring(64)], 1), (torch.rand(64, 4) < 0.6).float()\n"
     "    made = G(torch.cat([real * seen, seen], 1))\n"
     "    fake = seen * real + (1 - seen) * made\n"),
    ("bce(D(real), 1) + bce(D(fake.detach()), 0)",
     "nn.functional.binary_cross_entropy_with_logits(D(fake.detach()), seen)"),
    ("bce(D(fake), 1)", "((1 - seen) * nn.functional.softplus(-D(fake))).mean()"),
)  # fmt: skip
"""A score for each entry of a row, some of which are G's."""

LABELLED = changed(
    LOOP,
    ("nn.Linear(4, 32)", "nn.Linear(12, 32)"),
    ("nn.Linear(2, 32)", "nn.Linear(10, 32)"),
    ("    z = torch.randn(64, 4)\n    fake = G(z)\n",
     "    label = nn.functional.one_hot(torch.randint(8, (64,)), 8).float()\n"
     "    real = torch.cat([real, label], 1)\n"
     "    z = torch.cat([torch.randn(64, 4), label], 1)\n"
     "    fake = torch.cat([G(z), label], 1)\n"),
)  # fmt: skip
"""Labels beside the samples, in one tensor."""

GIVEN = changed(
    LOOP,
    ('G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))',
     "class Net(nn.Module):\n"
     "    def __init__(self):\n"
     "        super().__init__()\n"
     "        self.embed, self.net = nn.Embedding(8, 4), nn.Linear(4, 2)\n"
     "    def forward(self, z, label):\n"
     "        return self.net(self.embed(label) * z)\n"
     "G = Net()"),
    ("fake = G(z)", "fake = G(z, torch.randint(8, (64,)))"),
)  # fmt: skip
"""An embedded label times a latent."""

REVERSED = changed(
    LOOP,
    ("opt_g = optim.Adam(G.parameters(), lr=2e-4)\nopt_d = optim.Adam(D.parameters(), lr=2e-4)\n",
     "opt = optim.Adam([*G.parameters(), *D.parameters()], lr=2e-4)\n"
     "class Reverse(torch.autograd.Function):\n"
     "    @staticmethod\n"
     "    def forward(ctx, x):\n"
     "        return x.view_as(x)\n"
     "    @staticmethod\n"
     "    def backward(ctx, gradient):\n"
     "        return -0.5 * gradient\n"),
    ("    opt_d.zero_grad()\n", "    opt.zero_grad()\n"),
    ("D(fake.detach())", "D(Reverse.apply(fake))"),
    ("    opt_d.step()\n    opt_g.zero_grad()\n    g_loss = bce(D(fake), 1)\n    g_loss.backward()\n    opt_g.step()\n",
     "    opt.step()\n    g_loss = -d_loss\n"),
)  # fmt: skip
"""One optimizer, one backward pass, and a layer that turns the gradient around."""

JITTERED = changed(
    LOOP,
    ("D(fake.detach())", "D(jittered(fake).detach())"),
    ("bce(D(fake), 1)", "bce(D(jittered(fake)), 1)"),
    ("bce(D(real), 1)", "bce(D(jittered(real)), 1)"),
    ("for step in", "def jittered(x):\n    return x * (1 + 0.1 * torch.randn_like(x))\nfor step in"),
)
"""What D is shown is no number of G's own."""

BY_PARTS = changed(
    LOOP,
    ("G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))",
     "class Parts(nn.Module):\n"
     "    def __init__(self):\n"
     "        super().__init__()\n"
     "        self.mapping, self.synthesis = nn.Sequential(nn.Linear(4, 32), nn.ReLU()), nn.Linear(32, 2)\n"
     "    def forward(self, z):\n"
     "        return self.synthesis(self.mapping(z))\n"
     "G = Parts()"),
    ("fake = G(z)", "fake = G.synthesis(G.mapping(z))"),
)  # fmt: skip
"""The parts of G are called, and never G itself."""

IMITATED = changed(
    LOOP,
    ("    z = torch.randn(64, 4)\n    fake = G(z)\n",
     "    policy = torch.distributions.Normal(G(torch.randn(64, 4)), 1.0)\n    fake = policy.sample()\n"),
    ("g_loss = bce(D(fake), 1)",
     "with torch.no_grad():\n        reward = D(fake).squeeze(1)\n"
     "    g_loss = -(policy.log_prob(fake).sum(1) * reward).mean()"),
)  # fmt: skip
"""A policy, rewarded by D's scores of what was drawn from it."""


SOUND = {"taken": TAKEN, "imputed": IMPUTED, "labelled": LABELLED, "given": GIVEN, "reversed": REVERSED,
         "jittered": JITTERED, "imitated": IMITATED, "by parts": BY_PARTS}  # fmt: skip


@pytest.mark.parametrize("sound", SOUND.values(), ids=SOUND)
def test_nothing_is_said_of_a_sound_loop(sound):
    assert names(sound) == []


SWAPPED, TWICE = "labels are swapped between the losses", "a sigmoid twice: probabilities go into a loss for logits"
NO_FAKES, NO_REAL = "D's loss has no fakes", "D's loss has no real samples"
G_LOSS_OF_ENTRIES = "((1 - seen) * nn.functional.softplus(-D(fake))).mean()"


@pytest.mark.parametrize(("loop", "old", "new", "said"), [
    (TAKEN, "bce(D(fake), 1)", "bce(D(fake), 0)", SWAPPED),
    (TAKEN, "bce(D(fake.detach()), 0)", "bce(D(real), 0)", NO_FAKES),
    (TAKEN, "nn.Linear(32, 1))", "nn.Linear(32, 1), nn.Sigmoid())", TWICE),
    (IMPUTED, G_LOSS_OF_ENTRIES, G_LOSS_OF_ENTRIES.replace("(-D", "(D"), SWAPPED),
    (IMPUTED, "(1 - seen) * made", "(1 - seen) * made.detach()", "no gradient reaches the generator"),
    (IMPUTED, "nn.functional.binary_cross_entropy_with_logits(D(fake.detach()), seen)",
     "(seen * nn.functional.softplus(-D(fake.detach()))).mean()", NO_FAKES),
    (LABELLED, "torch.cat([G(z), label], 1)", "torch.cat([G(z), label[torch.randperm(64)]], 1)",
     "fakes are judged under other labels than they were made with"),
    (GIVEN, "self.embed(label) * z", "self.embed(label)", "G ignores its input"),
    (GIVEN, "torch.randn(64, 4)", "torch.randn(1, 4)", "one latent for the whole batch"),
    (REVERSED, "-0.5 * gradient", "0.5 * gradient", "one optimizer steps both players"),
    (REVERSED, "-0.5 * gradient", "0 * gradient", "the generator's gradient is exactly 0"),
    (REVERSED, "bce(D(real), 1) + ", "", NO_REAL),
    (BY_PARTS, "bce(D(real), 1) +", "bce(D(fake.detach()), 1) +", NO_REAL),
    (BY_PARTS, "torch.randn(64, 4)", "torch.ones(64, 4)", "one latent for the whole batch"),
    (BY_PARTS, "bce(D(fake), 1)", "bce(D(fake), 0)", SWAPPED),
    (JITTERED, "bce(D(jittered(fake)), 1)", "bce(D(jittered(fake)), 0)", SWAPPED),
    (LOOP, "bce(D(fake.detach()), 0)", "0 * bce(D(fake.detach()), 0)", NO_FAKES),
    (LOOP, "bce(D(real), 1) +", "0 * bce(D(real), 1) +", NO_REAL),
    (LOOP, "for step in range(20):\n    real = ring(64)",
     "data = ring(64)\nfor step in range(20):\n    real = data[torch.randperm(64)]",
     "the same real batch at every step"),
])  # fmt: skip
def test_one_line_wrong(loop, old, new, said):
    assert said in names(loop, (old, new))[:2]


@pytest.mark.parametrize("weight", [0.5, 3.0])
@pytest.mark.parametrize(("loss", "twice"), [
    ("nn.functional.binary_cross_entropy_with_logits", True),
    ("nn.functional.binary_cross_entropy", False),
    ("nn.functional.mse_loss", False),
])  # fmt: skip
def test_a_loss_of_probabilities_with_a_weight(weight, loss, twice):
    probable = changed(LOOP, ("nn.Linear(32, 1))", "nn.Linear(32, 1), nn.Sigmoid())"),
                       ("for step in", "def bce(p, label):\n"
                        f"    return {weight} * {loss}(p, torch.full_like(p, float(label)))\nfor step in"))  # fmt: skip
    assert names(probable) == twice * [TWICE]


ENERGIES = changed(
    LOOP,
    ("nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))", "nn.Linear(2, 1), nn.Linear(1, 2))"),
    ("bce(D(real), 1) + bce(D(fake.detach()), 0)", "error(real) - 0.5 * error(fake.detach())"),
    ("bce(D(fake), 1)", "error(fake)"),
    ("for step in", "def error(x):\n    return (D(x) - x).abs().mean()\nfor step in"),
)  # fmt: skip


def test_an_autoencoder_as_critic_wants_its_fakes_badly_reconstructed():
    assert names(ENERGIES) == []
    assert names(ENERGIES, ("error(real) - 0.5", "error(real) + 0.5")) == [SWAPPED]


def test_where_each_batch_is_all_of_the_samples_in_one_hot_none_is_known_again():
    drawn = "real = nn.functional.one_hot(torch.randint(16, (64,)), 16).float()"
    batches = changed(LOOP, ("real = ring(64)", drawn), ("nn.Linear(2, 32)", "nn.Linear(16, 32)"),
                      ("nn.Linear(32, 2)", "nn.Linear(32, 16)"))  # fmt: skip
    assert names(batches) == []


def test_a_schedule_over_the_whole_training_is_let_be():
    slow = ("    opt_d.step()\n", "    opt_d.step()\n    opt_d.param_groups[0]['lr'] *= {}\n")
    assert names(LOOP, (slow[0], slow[1].format(0.95))) == []
    assert names(LOOP, (slow[0], slow[1].format(0.9))) == ["the discriminator's learning rate is 0 before long"]


def test_real_samples_that_are_all_equal_though_d_never_sees_them_so():
    import torch

    from ganbench.monitor.doctor import Visit

    g, d = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    visit = Visit([g], [d], torch.ones(20, 2))
    visit.close()
    assert [fault.name for fault in visit.faults()] == ["real data are constant"]


@pytest.mark.parametrize(("asked", "said"), [(1.0, []), (0.0, []), (-0.4, []), (-0.6, [SWAPPED]), (-1.0, [SWAPPED])])
def test_least_squares_by_what_they_pull_towards(asked, said):
    # -1, 1 and 0 are one of the choices of Mao et al. (2017); a score of an untrained D may be on either side of each
    squares = changed(LOOP, ("bce(D(real), 1) + bce(D(fake.detach()), 0)",
                             "(D(real) - 1).square().mean() + (D(fake.detach()) + 1).square().mean()"),
                      ("bce(D(fake), 1)", f"(D(fake) - {asked}).square().mean()"))  # fmt: skip
    assert names(squares) == said


CLASSES = changed(
    LOOP,
    ("nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))",
     "nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 3))"),
    ("bce(D(real), 1) + bce(D(fake.detach()), 0)", "asked(real, 2) + asked(fake.detach(), step % 2)"),
    ("bce(D(fake), 1)", "asked(fake, 2)"),
    ("for step in", "def asked(x, label):\n    return nn.functional.cross_entropy(D(x), torch.full((64,), label))\n"
     "for step in"),
)  # fmt: skip
"""Real is one of D's classes, the generators' fakes are the others."""

DISTANCES = changed(
    LOOP,
    ("nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))",
     "nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 6))"),
    ("bce(D(real), 1) + bce(D(fake.detach()), 0)", "-apart(D(real), D(fake.detach()))"),
    ("bce(D(fake), 1)", "apart(D(real), D(fake))"),
    ("for step in", "def apart(a, b):\n    likeness = lambda x, y: torch.exp(-torch.cdist(x, y).square()).mean()\n"
     "    return likeness(a, a) + likeness(b, b) - 2 * likeness(a, b)\nfor step in"),
)  # fmt: skip
"""A critic's features, whose discrepancy both losses are of (MMD-GAN)."""

MAPS = changed(
    LOOP,
    ("nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))",
     "nn.Unflatten(1, (1, 2)), nn.Conv1d(1, 1, 3, 1, 1))"),
    ("bce(D(real), 1) + bce(D(fake.detach()), 0)", "D(fake.detach()).mean() - D(real).mean()"),
    ("bce(D(fake), 1)", "-D(fake).mean()"),
)  # fmt: skip
"""A map of scores as large as the sample."""

FEATURES = changed(
    LOOP,
    ("D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))",
     "class Net(nn.Module):\n"
     "    def __init__(self):\n"
     "        super().__init__()\n"
     "        self.body, self.last = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2)), nn.Linear(32, 1)\n"
     "    def forward(self, x):\n"
     "        h = self.body(x)\n"
     "        return self.last(h), h\n"
     "D = Net()"),
    ("D(real)", "D(real)[0]"),
    ("D(fake.detach())", "D(fake.detach())[0]"),
    ("bce(D(fake), 1)", "(D(fake)[1].mean(0) - D(real)[1].mean(0)).square().mean()"),
)  # fmt: skip
"""G's loss is of D's features alone (Salimans et al. 2016)."""

LATE = "    real_loss = bce(D(real), 1)\n    d_loss = bce(D(fake.detach()), 0)"


@pytest.mark.parametrize("sound", [CLASSES, DISTANCES, MAPS, FEATURES], ids=["classes", "mmd", "maps", "features"])
def test_nothing_is_said_of_a_sound_loop_whose_critic_gives_no_single_score(sound):
    assert names(sound) == []


@pytest.mark.parametrize(("loop", "old", "new", "said"), [
    (CLASSES, "asked(fake, 2)", "asked(fake, step % 2)", SWAPPED),
    (CLASSES, "nn.Linear(32, 3))", "nn.Linear(32, 3), nn.Softmax(1))", TWICE),
    (DISTANCES, "-apart(D", "apart(D", SWAPPED),
    (DISTANCES, "D(real), D(fake.detach())", "D(real), D(real)", NO_FAKES),
    (MAPS, "-D(fake).mean()", "D(fake).mean()", SWAPPED),
    (FEATURES, "D(fake)[1]", "D(fake.detach())[1]", "no gradient reaches the generator"),
    (LOOP, "    d_loss = bce(D(real), 1) + bce(D(fake.detach()), 0)", LATE, NO_REAL),
])  # fmt: skip
def test_one_line_wrong_where_the_critic_gives_no_single_score(loop, old, new, said):
    assert said in names(loop, (old, new))[:2]


REPLACED = "the generator's gradient is cleared before its step, and another is in its place"

BOTH_IN_ONE = changed(
    LOOP,
    ("nn.Linear(4, 32)", "nn.Linear(12, 32)"),
    ("D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))",
     "D = Conditional(nn.Sequential(nn.Linear(10, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)))"),
    ("G = nn.Sequential(", "G = Conditional(nn.Sequential("),
    ("nn.Linear(32, 2))\n", "nn.Linear(32, 2)))\n"),
    ("    fake = G(z)\n", "    y, own = torch.randint(8, (64,)), torch.randint(8, (64,))\n    fake = G(z, y)\n"),
    ("bce(D(real), 1) + bce(D(fake.detach()), 0)", "bce(b, 1) + bce(a, 0)"),
    ("    d_loss =", "    a, b = D(torch.cat([fake.detach(), real]), torch.cat([y, own])).split(64)\n    d_loss ="),
    ("bce(D(fake), 1)", "bce(D(fake, y), 1)"),
)  # fmt: skip
"""Real and fake samples in one batch, with the label of each beside it."""


@pytest.mark.parametrize(("change", "said"), [
    (("torch.cat([y, own])", "torch.cat([own, y])"), "fakes are judged under other labels than they were made with"),
    (("a, b = D", "b, a = D"), SWAPPED),
])  # fmt: skip
def test_one_batch_of_both_with_labels(change, said):
    assert names(BOTH_IN_ONE) == []
    assert names(BOTH_IN_ONE, change) == [said]


def test_weights_at_rest_are_not_put_back():
    rests = ("opt_d = optim.Adam(D.parameters(), lr=2e-4)",
             "D[0].requires_grad_(False)\nopt_d = optim.Adam(D.parameters(), lr=2e-4)")  # fmt: skip
    assert names(LOOP, ("nn.Linear(2, 32)", "nn.Linear(2, 64)"), ("nn.Linear(32, 1)", "nn.Linear(64, 1)"), rests) == [
        "part of the discriminator is frozen"
    ]


@pytest.mark.parametrize(("sign", "said"), [("+=", []), ("=", [REPLACED])])
def test_what_a_regularizer_adds_to_a_gradient_replaces_none(sign, said):
    line = f"    for own in G.parameters():\n        own.grad {sign} 1e-2 * own.detach()\n"
    assert names(LOOP, ("    opt_g.step()\n", f"{line}    opt_g.step()\n")) == said


def test_a_player_whose_gradients_are_off_at_the_end_has_an_optimizer_or_not():
    off = ("    monitor.step(", "    D.requires_grad_(False)\n    monitor.step(")
    on = ("    d_loss =", "    D.requires_grad_(True)\n    d_loss =")
    assert "D" not in " ".join(names(LOOP, on, off))
    none = ("opt_d = optim.Adam(D.parameters()", "opt_d = optim.Adam(G.parameters()")
    assert "no optimizer steps the discriminator" in names(LOOP, on, off, none)
