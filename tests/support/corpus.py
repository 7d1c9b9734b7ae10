"""Real loops with faults planted in them: recipes, and the lines that a mistake would change."""

import io
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import yaml

from ganbench.monitor.doctor import Visit
from ganbench.monitor.forwards import as_given
from ganbench.monitor.inputs import latent_samples, real_batch

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = Path(__file__).parents[1] / "faults" / "recipes"
LISTS = [RECIPES.parent / f"{name}.yaml" for name in ("planted", "recipes", "unseen", "fresh", "blind")]
SETTLING = ("ring", "wgan_gp", "pix2pix", "vocoder", "tabular")
"""The recipes on which the doctor's rules were settled."""
MEASURING = ("dcgan", "conditional", "cyclegan", "tokenizer", "super_resolution", "distillation")
"""Those on which they are measured."""
SETTLING_LATER = ("averaged", "closures", "critic_loop", "energy", "recurrent", "transformer")
"""Recipes in other styles, written after the rules: rules are extended for what is missed on these."""
MEASURING_LATER = ("image_pool", "latent_codes", "scaled", "together", "trainer", "vae_gan")
"""Those on which the rules so extended are measured."""
SETTLING_UNSEEN = ("imputation", "mutual_information", "point_clouds", "restoration", "scales", "styles")
"""Recipes written without sight of the rules; the halves were drawn before any run, by numpy's default_rng(0)."""
MEASURING_UNSEEN = ("auxiliary_classes", "equilibrium", "joint_pairs", "relativistic", "reversal", "spectral_hinge")
"""The half that settles nothing."""
SETTLING_FRESH = ("enhancement", "imitation", "kernel", "masked_series", "sentences", "unseen_classes")
"""Recipes of other families, again without sight of the rules; the halves drawn before any run, in the same way."""
MEASURING_FRESH = ("anomalies", "domains", "growing", "many_generators", "rotations", "texture")
"""The half of these that settles nothing."""
SETTLING_BLIND = ("big", "completion", "conditions", "federated", "one_step", "unrolled")
"""Recipes of further families and styles, once more without sight of the rules; the halves drawn in the same way."""
MEASURING_BLIND = ("adaptation", "augmented", "clips", "evolution", "finetuned", "phases")
"""The half of these that settles nothing."""


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

    def __init__(
        self, generator, discriminator, real=None, latent=None, given=None, g_forward=None, d_forward=None, **_
    ):
        DoctorOnly.last = self
        latent = None if g_forward else latent
        drawn = latent_samples(latent, 64) if isinstance(latent, int) or (callable(latent) and given is None) else None
        shown = None if d_forward or real is None else real_batch(real, 64, given).x[:64]
        self.visit = Visit(as_given(generator), as_given(discriminator), real, drawn, shown)

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
        """Tell whether the right fault is among the first two, or the loop has ended with the right exception."""
        said = [fault.name for fault in self.faults[:2]] + [type(self.error).__name__]
        return any(word in name for name in said for word in planted.right)


def source_of(recipe, changes=(), seed=0):
    """Return a recipe's text with some lines changed and a seed."""
    text = next(path for home in (EXAMPLES, RECIPES) if (path := home / f"{recipe}.py").exists()).read_text("utf-8")
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


FAULTS, LATER, UNSEEN, FRESH, BLIND = (
    [
        Planted(recipe, one["name"], tuple(one["right"]), tuple((edit["old"], edit["new"]) for edit in one["changes"]))
        for recipe, planted in yaml.safe_load(path.read_text("utf-8")).items()
        for one in planted
    ]
    for path in LISTS
)
