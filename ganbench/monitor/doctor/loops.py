"""A minimal loop for each fault that the doctor knows: one healthy loop, and the lines that a mistake changes in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from ganbench.monitor.doctor.trace import Fault
from ganbench.monitor.doctor.visit import Visit

LOOP = """\
G = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
D = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
opt_g = optim.Adam(G.parameters(), lr=2e-4)
opt_d = optim.Adam(D.parameters(), lr=2e-4)
monitor = ganbench.Monitor(G, D, ring, 4, out="reports/mine")
for step in range(20):
    real = ring(64)
    z = torch.randn(64, 4)
    fake = G(z)
    opt_d.zero_grad()
    d_loss = bce(D(real), 1) + bce(D(fake.detach()), 0)
    d_loss.backward()
    opt_d.step()
    opt_g.zero_grad()
    g_loss = bce(D(fake), 1)
    g_loss.backward()
    opt_g.step()
    monitor.step(d_loss=d_loss, g_loss=g_loss)
"""
"""What every minimal loop changes a line or two of. ring(n): eight Gaussians; bce: of logits, with one label."""


@dataclass(frozen=True)
class Mistake:
    """A minimal loop: what the doctor calls its fault, and lines of LOOP with what stands in their place."""

    fault: str
    certain: bool
    lines: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The loop with the mistake in it; KeyError for a line that the healthy loop does not have."""
        lines = LOOP.splitlines()
        for old, new in self.lines.items():
            place = next((at for at, line in enumerate(lines) if line.strip() == old), None)
            if place is None:
                raise KeyError(old)
            indent = lines[place][: len(lines[place]) - len(old)]
            lines[place] = "\n".join(indent + one for one in new.split("\n")) if new else indent + "# (left out)"
        return "\n".join(lines) + "\n"

    def run(self) -> tuple[Fault, ...]:
        """Train the loop for its few iterations and return what the doctor says."""
        return examined(self.source)


G, D = LOOP.splitlines()[:2]
OPT_G, OPT_D, MONITOR = LOOP.splitlines()[2:5]
D_LOSS, G_LOSS = "d_loss = bce(D(real), 1) + bce(D(fake.detach()), 0)", "g_loss = bce(D(fake), 1)"
NORMED = G.replace("nn.ReLU()", "nn.BatchNorm1d(32), nn.ReLU()")
PENALTY = """\
x = real.clone().requires_grad_()
(slope,) = torch.autograd.grad(D(x).sum(), x)
"""

MISTAKES: tuple[Mistake, ...] = (
    Mistake("parameters of the discriminator are not finite", True, {D: f"{D}\nD[0].weight.data[0] = torch.nan"}),
    Mistake("generator and discriminator share parameters", True, {D: f"{D}\nD[0].bias = G[0].bias"}),
    Mistake("one optimizer steps both players", True, {OPT_G: OPT_G.replace("G.par", "[*D.parameters(), *G.par")
                                                       .replace("(), lr", "()], lr")}),
    Mistake("parameters of the discriminator are in no optimizer", True, {OPT_D: OPT_D.replace("D.", "D[2].")}),
    Mistake("the generator's optimizer holds other tensors", True, {OPT_G: OPT_G.replace("G.", "copy.deepcopy(G).")}),
    Mistake("part of the discriminator is frozen", False, {D: f"{D}\nD[0].requires_grad_(False)"}),
    Mistake("the generator's gradient is cleared before its step", True,
            {"opt_g.zero_grad()": "", "opt_g.step()": "opt_g.zero_grad()\nopt_g.step()"}),
    Mistake("no gradient reaches the generator", True, {G_LOSS: G_LOSS.replace("fake", "fake.detach()")}),
    Mistake("the generator's gradients are never cleared", True, {"opt_g.zero_grad()": ""}),
    Mistake("the generator's loss reaches the discriminator's step", True,
            {"opt_d.zero_grad()": "", "opt_d.step()": "opt_d.step()\nopt_d.zero_grad()"}),
    Mistake("the discriminator's loss reaches the generator's step", True,
            {D_LOSS: D_LOSS.replace(".detach()", ""), "d_loss.backward()": "d_loss.backward(retain_graph=True)",
             "opt_g.zero_grad()": "", "opt_d.zero_grad()": "opt_d.zero_grad()\nopt_g.zero_grad()"}),
    Mistake("every step of the generator is skipped", True,
            {G_LOSS: f"{G_LOSS} * torch.inf", "opt_g.step()": "if G[2].bias.grad.isfinite().all():\n    opt_g.step()"}),
    Mistake("the generator's gradient is cleared before its step, and another is in its place", True,
            {"opt_g.step()": "for own in G.parameters():\n    own.grad = 1e-4 * own.detach()\nopt_g.step()"}),
    Mistake("the discriminator's steps move nothing, for it is put back", True,
            {OPT_D: f"{OPT_D}\nbegun = copy.deepcopy(D.state_dict())", "opt_g.step()": "opt_g.step()\n"
             "D.load_state_dict(begun)"}),
    Mistake("labels are swapped between the losses", True, {G_LOSS: G_LOSS.replace("1)", "0)")}),
    Mistake("labels are swapped: D's loss wants the same of real samples and of fakes", True,
            {D_LOSS: "d_loss = -D(real).mean() - D(fake.detach()).mean()", G_LOSS: "g_loss = -D(fake).mean()"}),
    Mistake("D's loss has no real samples", True, {D_LOSS: "d_loss = bce(D(fake.detach()), 0)"}),
    Mistake("D's loss has no fakes", True, {D_LOSS: "d_loss = bce(D(real), 1) + bce(D(real), 0)"}),
    Mistake("a sigmoid twice: probabilities go into a loss for logits", True, {D: D[:-1] + ", nn.Sigmoid())"}),
    Mistake("a critic's scores are bounded by a sigmoid", True,
            {D: D[:-1] + ", nn.Sigmoid())", D_LOSS: "d_loss = D(fake.detach()).mean() - D(real).mean()",
             G_LOSS: "g_loss = -D(fake).mean()"}),
    Mistake("a gradient penalty that trains nothing", True,
            {D_LOSS: f"{PENALTY}{D_LOSS} + 10 * (slope.norm(dim=1) - 1).square().mean()"}),
    Mistake("D gives the same score to everything", True, {D: D[:-1] + ", nn.Softmax(1))"}),
    Mistake("G ignores its input", True, {G: f"{G}\nnn.init.constant_(G[0].bias, -100)"}),
    Mistake("the generator's gradient is exactly 0", True, {G_LOSS: G_LOSS.replace("bce", "0 * bce")}),
    Mistake("one latent for the whole batch", True, {"z = torch.randn(64, 4)": "z = torch.randn(4).expand(64, 4)"}),
    Mistake("the same latents at every step", True,
            {"z = torch.randn(64, 4)": "torch.manual_seed(0)\nz = torch.randn(64, 4)"}),
    Mistake("the same real batch at every step", True, {MONITOR: f"data = ring(640)\n{MONITOR}",
                                                        "real = ring(64)": "real = data[:64]"}),
    Mistake("real data are constant", True, {"real = ring(64)": "real = ring(1).expand(64, 2)"}),
    Mistake("the generator is trained in evaluation mode", True, {G: f"{NORMED}\nG.eval()"}),
    Mistake("real and fake samples differ in size", True,
            {D: D.replace("nn.Linear(2", "nn.AdaptiveAvgPool1d(2), nn.Linear(2"),
             "real = ring(64)": "real = ring(64).repeat(1, 2)"}),
    Mistake("real samples are outside the generator's range", True,
            {G: G[:-1] + ", nn.Tanh())", "real = ring(64)": "real = 100 * ring(64)"}),
    Mistake("D's real samples are scaled differently from Monitor's", False,
            {MONITOR: MONITOR.replace("ring,", "lambda n: 127.5 * ring(n),")}),
    Mistake("fakes are judged under other labels than they were made with", True,
            {G: "G = Conditional(nn.Linear(4 + 8, 2))", D: "D = Conditional(nn.Linear(2 + 8, 1))",
             "fake = G(z)": "fake = G(z, torch.randint(8, (64,)))\nlabels = torch.randint(8, (64,))",
             D_LOSS: "d_loss = bce(D(real, labels), 1) + bce(D(fake.detach(), labels), 0)",
             G_LOSS: "g_loss = bce(D(fake, labels), 1)"}),
    Mistake("G's adversarial term is computed on detached fakes", True,
            {G_LOSS: "g_loss = bce(D(fake.detach()), 1) + fake.square().mean()"}),
    Mistake("G's loss gets nothing from D", False, {G_LOSS: "g_loss = 0 * bce(D(fake), 1) + fake.square().mean()"}),
    Mistake("D's weights are clipped very tightly", False,
            {"opt_d.step()": "opt_d.step()\nfor own in D.parameters():\n    own.data.clamp_(-1e-4, 1e-4)"}),
    Mistake("the discriminator's learning rate is 0", True, {OPT_D: OPT_D.replace("2e-4", "0.0")}),
    Mistake("the discriminator's learning rate is 0 before long", False,
            {"opt_d.step()": "opt_d.step()\nopt_d.param_groups[0]['lr'] *= 0.5"}),
    Mistake("learning rates are orders apart", False, {OPT_D: OPT_D.replace("2e-4", "2e-6")}),
    Mistake("part of the discriminator's gradient is cleared before its step", False,
            {"d_loss = bce(D(real), 1) + bce(D(fake.detach()), 0)":
             "d_loss = bce(D(real), 1)\nd_loss.backward()\nopt_d.zero_grad()\nd_loss = bce(D(fake.detach()), 0)"}),
    Mistake("the discriminator's steps move nothing", True, {OPT_D: OPT_D.replace("2e-4", "2e-20")}),
    Mistake("the discriminator's steps are too large", False, {OPT_D: OPT_D.replace("2e-4", "1.0")}),
    Mistake("one player steps ten times as often", False,
            {"opt_g.step()": "if step % 10 == 0:\n    opt_g.step()"}),
    Mistake("the batch is too small for batch norm", False,
            {G: NORMED, "real = ring(64)": "real = ring(4)", "z = torch.randn(64, 4)": "z = torch.randn(4, 4)"}),
    Mistake("the generator that Monitor was given is not called", False,
            {MONITOR: MONITOR.replace("(G,", "(copy.deepcopy(G),")}),
)  # fmt: skip
"""One minimal loop a fault, in the order of the rules; what has variants (which player, which side) has one of them."""


class Conditional(nn.Module):
    """A network that is given a label of eight beside its input."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Map x [n, d] and labels [n]."""
        made: Tensor = self.net(torch.cat([x, one_hot(labels, 8).float()], 1))
        return made


def examined(source: str) -> tuple[Fault, ...]:
    """Train a loop like LOOP and return what the doctor says; torch's own random numbers are left as they were."""
    visits: list[Visit] = []

    def watch(generator: nn.Module, discriminator: nn.Module, real: Callable[[int], Tensor], *_: Any, **__: Any) -> Any:
        with torch.random.fork_rng():
            shown = real(64)
        visits.append(Visit([generator], [discriminator], real=shown))

        def step(**_: Any) -> None:
            if visits[0].open:
                visits[0].step()

        return SimpleNamespace(step=step)

    names: dict[str, Callable[..., Any] | Any] = {
        "torch": torch, "nn": nn, "optim": optim, "copy": copy, "ring": _ring, "bce": _bce,
        "Conditional": Conditional, "ganbench": SimpleNamespace(Monitor=watch),
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(source, "loop", "exec"), names)  # noqa: S102 - one of the texts above
    visits[0].close()
    return visits[0].faults()


def _ring(n: int) -> Tensor:
    angle = torch.randint(8, (n,)) * torch.pi / 4
    return torch.stack([angle.cos(), angle.sin()], 1) * 1.4 + 0.05 * torch.randn(n, 2)


def _bce(logits: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
