"""Real loops with faults planted in them: the recipes of examples/, and the lines that a mistake would change."""

import io
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

import ganbench

EXAMPLES = Path(__file__).parents[2] / "examples"
PLANTED = Path(__file__).parents[1] / "faults" / "planted.yaml"
SETTLING = ("ring", "wgan_gp", "pix2pix", "vocoder", "tabular")
"""The recipes on which the doctor's rules were settled."""
MEASURING = ("dcgan", "conditional", "cyclegan", "tokenizer", "super_resolution", "distillation")
"""Those on which they are measured."""
LENGTHS = {"steps": 30, "epochs": 1}


@dataclass(frozen=True)
class Planted:
    """A fault: in which recipe, what it is called, and the lines that it changes; nothing is named in a healthy loop.

    right: words of the doctor's name for it, one of which must be in it, or the exception that ends the loop.
    """

    recipe: str
    name: str
    right: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]

    @property
    def id(self):
        return f"{self.recipe}-{self.name}".replace(" ", "_")


@dataclass(frozen=True)
class Told:
    """What a watched loop was told, and what ended it."""

    faults: tuple
    monitor: object
    error: BaseException | None

    def names(self, planted):
        """Tell whether the right fault is among the first two."""
        return any(word in fault.name for fault in self.faults[:2] for word in planted.right)


def source_of(recipe, changes=(), seed=0, **lengths):
    """Return a recipe's text with some lines changed, a seed and a length."""
    text = (EXAMPLES / f"{recipe}.py").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"{recipe}: {old}"
        text = text.replace(old, new)
    for name, value in {**LENGTHS, **lengths}.items():
        text = re.sub(rf"(?m)^({name}, .* = )\d+", rf"\g<1>{value}", text)
    text = text.replace("out=", "samples=64, neighbours=16, out=")
    text = re.sub(r"(?m)^(steps, .*critic_start = .*), \d+$", r"\g<1>, 5", text)
    return text.replace("torch.manual_seed(0)", f"torch.manual_seed({seed})")


def play(planted, seed=0, **lengths):
    """Run a recipe with a fault in it."""
    space, error = {"__name__": "__main__"}, None
    with redirect_stdout(io.StringIO()):
        try:
            exec(compile(source_of(planted.recipe, planted.changes, seed, **lengths), planted.id, "exec"), space)
        except (RuntimeError, ValueError, ganbench.TrainingStopped) as raised:
            error = raised
    monitor = space["monitor"]
    told = Told(monitor.faults, monitor, error)
    monitor.close()
    torch.set_grad_enabled(True)
    return told


def healthy(recipe):
    return Planted(recipe, "healthy", (), ())


FAULTS = [
    Planted(recipe, fault["name"], tuple(fault["right"]), tuple((one["old"], one["new"]) for one in fault["changes"]))
    for recipe, planted in yaml.safe_load(PLANTED.read_text(encoding="utf-8")).items()
    for fault in planted
]
