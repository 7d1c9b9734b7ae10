"""What public training scripts do that the first loops here did not: each sound, and with one line wrong."""

import pytest
import torch
from torch import nn, optim

from ganbench.monitor.doctor import Visit
from ganbench.monitor.doctor.both import several_of_a_shape
from ganbench.monitor.doctor.loops import LOOP, examined
from ganbench.monitor.probing import LoopProber, Sizes, Target


def changed(text, *changes):
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


SWAPPED = "labels are swapped between the losses"
OTHER_LABELS = "fakes are judged under other labels than they were made with"


def names(text, *changes):
    return [fault.name for fault in examined(changed(text, *changes))]


DARK = changed(
    LOOP,
    ("nn.Linear(32, 2))\nD", "nn.Linear(32, 64), nn.Tanh())\nD"),
    ("nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))", "nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 64))"),
    ("real = ring(64)", "real = 1 - 2 * (torch.rand(64, 64) < 0.97).float()"),
    ("d_loss = bce(D(real), 1) + bce(D(fake.detach()), 0)",
     "weight = 0.01 * step\n"
     "    d_loss = (D(real) - real).abs().mean() - weight * (D(fake.detach()) - fake.detach()).abs().mean()"),
    ("g_loss = bce(D(fake), 1)", "g_loss = (D(fake) - fake).abs().mean()"),
)  # fmt: skip
"""BEGAN on images that are nearly all dark, by a weight that begins at 0."""


def test_a_reconstruction_is_no_score_where_nearly_all_of_it_is_pulled_one_way():
    assert names(DARK) == []
    assert names(DARK, ("- weight *", "+ weight *")) == [SWAPPED]


PAIRED = changed(
    LOOP,
    ("D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))",
     "class Both(nn.Module):\n"
     "    def __init__(self):\n"
     "        super().__init__()\n"
     "        net = lambda: nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))\n"
     "        self.parts, self.pool = nn.ModuleList([net(), net()]), nn.AvgPool1d(1)\n"
     "    def forward(self, y, made):\n"
     "        self.pool(made), self.pool(y)\n"
     "        return [d(y) for d in self.parts], [d(made) for d in self.parts]\n"
     "D = Both()"),
    ("nn.Linear(32, 2))\n", "nn.Linear(32, 2), nn.Tanh())\n"),
    ("real = ring(64)", "real = ring(64) / 2"),
    ("    opt_d.zero_grad()\n", "    opt_d.zero_grad()\n    said = D(real, fake.detach())\n"),
    ("bce(D(real), 1) + bce(D(fake.detach()), 0)",
     "sum(((1 - r) ** 2).mean() + (f ** 2).mean() for r, f in zip(*said))"),
    ("bce(D(fake), 1)", "sum(((1 - f) ** 2).mean() for f in D(real, fake)[1])"),
)  # fmt: skip
"""Critics that are given the real batch and the fake one in one call, as HiFi-GAN's are."""


@pytest.mark.parametrize(("old", "new", "said"), [
    ("", "", []),
    ("((1 - r) ** 2).mean() + (f ** 2).mean()", "(r ** 2).mean() + ((1 - f) ** 2).mean()", [SWAPPED]),
    ("D(real, fake)[1]", "D(real, fake.detach())[1]", ["no gradient reaches the generator"]),
    ("ring(64) / 2", "100 * ring(64)",
     ["real samples are outside the generator's range", "D's real samples are scaled differently from Monitor's"]),
])  # fmt: skip
def test_a_critic_of_a_real_and_a_fake_batch_in_one_call(old, new, said):
    text = changed(PAIRED, ("ring, 4,", "lambda n: ring(n) / 2, 4,"))
    assert [name for name in names(text, (old, new)) if not name.startswith("G's adversarial")] == said[:1] or (
        names(text, (old, new)) == said
    )


def test_inputs_of_one_shape():
    x, y, label = torch.zeros(4, 2), torch.ones(4, 2), torch.zeros(4, 3)
    assert [id(own) for own in several_of_a_shape([x, label, y])] == [id(x), id(y)]
    assert several_of_a_shape([x, label, torch.zeros(4), torch.zeros(4)]) == []


LATE = changed(
    LOOP,
    ("range(20)", "range(60)"),
    ("    real = ring(64)\n", "    real, weight = ring(64), float(step >= START)\n"),
    ("d_loss = bce", "d_loss = weight * (bce"),
    ("bce(D(fake.detach()), 0)", "bce(D(fake.detach()), 0))"),
    ("g_loss = bce(D(fake), 1)", "g_loss = weight * bce(D(fake), 1) + (fake ** 2).mean()"),
)  # fmt: skip
"""A tokenizer's start: both losses weigh D's scores by 0 for some steps."""
NO_GRADIENT = ("the discriminator's gradient is exactly 0", False)


@pytest.mark.parametrize(("start", "label", "found"), [
    (20, 1, []), (20, 0, [(SWAPPED, True)]), (100, 1, [NO_GRADIENT]),
])  # fmt: skip
def test_scores_that_count_from_a_later_step_on_are_waited_for(start, label, found):
    text = changed(LATE, ("START", str(start)), ("bce(D(fake), 1)", f"bce(D(fake), {label})"))
    assert [(fault.name, fault.certain) for fault in examined(text)] == found


def test_while_a_start_is_waited_for_nothing_is_said_of_weights_of_0():
    g, d = nn.Linear(3, 2), nn.Linear(2, 1)
    optimizers = [optim.SGD(own.parameters(), lr=0.1) for own in (d, g)]
    visit = Visit([g], [d])
    for step in range(40):
        for optimizer in optimizers:
            optimizer.zero_grad()
            fake = g(torch.randn(8, 3))
            d_loss, g_loss = 0 * (d(fake.detach()) - d(torch.randn(8, 2))).mean(), 0 * d(fake).mean() + fake.mean()
            (d_loss if optimizer is optimizers[0] else g_loss).backward()
            optimizer.step()
        assert visit.step() == (step == 7)
    assert visit.open
    assert visit.faults() == ()
    visit.close()
    assert [(fault.name, fault.certain) for fault in visit.faults()] == [NO_GRADIENT]


BETWEEN = changed(
    LOOP,
    ("    d_loss = bce(D(real), 1) + bce(D(fake.detach()), 0)\n",
     "    share = torch.rand(64, 1)\n"
     "    said = D(share * real + (1 - share) * fake)\n"
     "    (slope,) = torch.autograd.grad(said.sum(), fake, create_graph=True)\n"
     "    d_loss = D(fake).mean() - D(real).mean() + (slope.norm(dim=1) - 1).square().mean()\n"),
    ("g_loss = bce(D(fake), 1)", "g_loss = -D(G(z)).mean()"),
)  # fmt: skip
"""A penalty between real samples and fakes that were not detached, as CTGAN's."""


@pytest.mark.parametrize(("changes", "said"), [
    ([], []),
    ([("create_graph=True", "retain_graph=True")], ["a gradient penalty that trains nothing"]),
    ([("nn.Linear(32, 1))", "nn.Linear(32, 1), nn.Sigmoid())")], ["a critic's scores are bounded by a sigmoid"]),
])  # fmt: skip
def test_a_penalty_without_a_leaf(changes, said):
    assert names(BETWEEN, *changes) == said


ROWS = changed(
    LOOP,
    ("nn.Linear(4, 32)", "nn.Linear(12, 32)"),
    ("nn.Linear(2, 32)", "nn.Linear(10, 32)"),
    ("    z = torch.randn(64, 4)\n    fake = G(z)\n",
     "    label = nn.functional.one_hot(torch.randint(8, (64,)), 8).float()\n"
     "    real = torch.cat([real, label], 1)\n"
     "    fake = torch.cat([G(torch.cat([torch.randn(64, 4), label], 1)).tanh(), LABEL], 1)\n"),
)  # fmt: skip


@pytest.mark.parametrize(("shown", "said"), [
    ("label", []), ("label[torch.randperm(64)]", [OTHER_LABELS]),
])  # fmt: skip
def test_labels_in_the_tensor_of_latents_and_fakes_that_are_activated_outside(shown, said):
    assert names(ROWS, ("LABEL", shown)) == said


NOISED = changed(
    LOOP,
    ("G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))",
     "class Net(nn.Module):\n"
     "    def __init__(self, inputs, outputs):\n"
     "        super().__init__()\n"
     "        self.net = nn.Sequential(nn.Linear(inputs, 32), nn.LeakyReLU(0.2), nn.Linear(32, outputs))\n"
     "    def forward(self, *given):\n"
     "        return self.net(torch.cat(given, 1))\n"
     "G = Net(6, 2)"),
    ("D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))", "D = Net(4, 1)"),
    ("    fake = G(z)\n",
     "    noised = real + torch.randn(64, 2)\n"
     "    fake = 0.5 * G(noised, z) + 0.5 * noised + 0.1 * torch.randn(64, 2)\n"),
    ("D(real)", "D(real, noised)"),
    ("D(fake.detach())", "D(fake.detach(), noised)"),
    ("bce(D(fake), 1)", "bce(D(fake, noised), 1)"),
)  # fmt: skip
"""A step of denoising: G's samples are mixed with what it was given, and D judges them beside that."""


@pytest.mark.parametrize(("change", "said"), [
    (("", ""), []),
    (("D(fake, noised)", "D(fake, noised.roll(1, 0))"), [OTHER_LABELS]),
    (("D(fake, noised)", "D(fake, noised + 1)"), []),
    (("z = torch.randn(64, 4)", "z = torch.randn(1, 4).expand(64, 4)"), ["one latent for the whole batch"]),
    (("z = torch.randn(64, 4)", "z = torch.ones(64, 4)"), []),
])  # fmt: skip
def test_fakes_beside_what_they_were_made_of(change, said):
    assert names(NOISED, change) == said


AVERAGED = changed(
    LOOP,
    ("for step in range(20):\n", "mean = copy.deepcopy(G)\nfor step in range(20):\n"),
    ("    opt_g.step()\n",
     "    opt_g.step()\n"
     "    for own, other in zip(G.parameters(), mean.parameters()):\n"
     "        other.data.lerp_(own.data, 1.0 if step == 0 else RATE)\n"
     "        own.data.copy_(other.data)\n"),
)  # fmt: skip


@pytest.mark.parametrize(("rate", "said"), [
    ("0.001", ["the generator's steps hardly move it, for it is put back"]), ("0.2", []), ("1.0", []),
])  # fmt: skip
def test_an_average_that_is_copied_back(rate, said):
    assert names(AVERAGED, ("RATE", rate)) == said


RELATIVISTIC = changed(
    LOOP,
    ("bce(D(real), 1) + bce(D(fake.detach()), 0)",
     "RIGHT(said[0] - said[1].mean(0), 1) + RIGHT(said[1] - said[0].mean(0), 0)"),
    ("    opt_d.zero_grad()\n", "    opt_d.zero_grad()\n    said = D(real), D(fake.detach())\n"),
    ("bce(D(fake), 1)", "RIGHT(D(fake) - D(real).mean(0), 1)"),
)  # fmt: skip


@pytest.mark.parametrize(("loss", "ends", "said"), [
    ("bce", "", []),
    ("bce", ", nn.Sigmoid()", ["a sigmoid twice: probabilities go into a loss for logits"]),
    ("(lambda s, y: ((s - y) ** 2).mean())", ", nn.Sigmoid()", []),
])  # fmt: skip
def test_a_relativistic_loss_of_probabilities(loss, ends, said):
    text = changed(RELATIVISTIC, ("RIGHT", loss), ("nn.Linear(32, 1))", f"nn.Linear(32, 1){ends})"))
    # scores that differ enough to tell a sigmoid from a line
    text = changed(text, ("opt_g = ", "[own.data.mul_(2) for own in D.parameters()]\nopt_g = "))
    assert names(text) == said


class Packed(nn.Linear):
    """A critic of ten samples at once."""

    def forward(self, x):
        assert len(x) % 10 == 0
        return super().forward(x.view(-1, 20))


def test_a_packed_critic_is_given_whole_packs():
    sizes, points = Sizes(64, 32, 16), torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    target = Target(points, None, None, sizes, torch.device("cpu"))
    own = LoopProber(nn.Linear(3, 2), Packed(20, 1), target, 3, sizes)
    assert own.sizes.batch_size == 10
    assert {"precision", "real_logit", "d_ranking"} <= own.probe().columns.keys()
    latents, real = own.inputs
    assert (latents.shape, real.shape) == ((64, 3), (16, 2))
    own = LoopProber(nn.Linear(3, 2), Packed(20, 1), target, 3, sizes, forwards=(None, lambda d, x: d(x)))
    assert own.inputs[1] is None
