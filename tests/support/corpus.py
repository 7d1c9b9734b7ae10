"""Real loops with faults planted in them: the recipes of examples/, and the lines that a mistake would change."""

import io
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import yaml

from ganbench.monitor.doctor import Visit
from ganbench.monitor.forwards import as_given
from ganbench.monitor.inputs import latent_samples

EXAMPLES = Path(__file__).parents[2] / "examples"
PLANTED = Path(__file__).parents[1] / "faults" / "planted.yaml"
SETTLING = ("ring", "wgan_gp", "pix2pix", "vocoder", "tabular")
"""The recipes on which the doctor's rules were settled."""
MEASURING = ("dcgan", "conditional", "cyclegan", "tokenizer", "super_resolution", "distillation")
"""Those on which they are measured."""


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


class Enough(Exception):  # noqa: N818 - nothing is wrong with it
    """The doctor has seen enough."""


class DoctorOnly:
    """Monitor's place in a recipe for the doctor alone, without probes: a loop ends where its visit does."""

    last = None

    def __init__(self, generator, discriminator, real=None, latent=None, given=None, **_):
        DoctorOnly.last = self
        drawn = latent_samples(latent, 64) if isinstance(latent, int) or (callable(latent) and given is None) else None
        self.visit = Visit(as_given(generator), as_given(discriminator), real, drawn)

    def step(self, **_):
        if self.visit.step():
            raise Enough

    def close(self):
        self.visit.close()


@dataclass(frozen=True)
class Told:
    """What the doctor said of a loop, and the error that ended it, if one did."""

    faults: tuple
    error: Exception | None = None

    def names(self, planted):
        """Tell whether the right fault is among the first two."""
        return any(word in fault.name for fault in self.faults[:2] for word in planted.right)


def source_of(recipe, changes=(), seed=0):
    """Return a recipe's text with some lines changed and a seed."""
    text = (EXAMPLES / f"{recipe}.py").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"{recipe}: {old}"
        text = text.replace(old, new)
    text = re.sub(r"(?m)^(steps, .*critic_start = .*), \d+$", r"\g<1>, 5", text)
    return text.replace("torch.manual_seed(0)", f"torch.manual_seed({seed})")


def play(planted, seed=0):
    """Run a recipe with a fault in it, as long as the doctor stays."""
    text = source_of(planted.recipe, planted.changes, seed).replace("ganbench.Monitor(", "DoctorOnly(")
    error = None
    with redirect_stdout(io.StringIO()):
        try:
            exec(compile(text, planted.id, "exec"), {"__name__": "__main__", "DoctorOnly": DoctorOnly})
        except Enough:
            pass
        except Exception as raised:  # a fault may end a loop
            error = raised
    if DoctorOnly.last.visit.open:
        DoctorOnly.last.close()
    return Told(DoctorOnly.last.visit.faults(), error)


def healthy(recipe):
    return Planted(recipe, "healthy", (), ())


FAULTS = [
    Planted(recipe, fault["name"], tuple(fault["right"]), tuple((one["old"], one["new"]) for one in fault["changes"]))
    for recipe, planted in yaml.safe_load(PLANTED.read_text(encoding="utf-8")).items()
    for fault in planted
]
