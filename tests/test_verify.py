"""`ganbench verify`: a user's file is held to the laws, one line each; what is broken is told with its number."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ganbench import cli, contracts, registry
from ganbench.errors import UserError

pytestmark = pytest.mark.usefixtures("own_registry")

ROOT = Path(__file__).parents[1]
LINE = re.compile(r"  (kept|broken|not declared) +(\S.*\.)")

FLIPPED = '''
from ganbench import register


@register("loss")
def flipped(real, fake):
    """Wasserstein with the sign of its critic flipped."""
    return real.mean() - fake.mean(), -fake.mean()
'''

WITH_EPSILON = '''
import torch
from ganbench import register


@register("loss")
def with_epsilon(real, fake):
    """The logistic loss as it is often written [sic]."""
    d_loss = -(torch.sigmoid(real) + 1e-8).log().mean() - (1 - torch.sigmoid(fake) + 1e-8).log().mean()
    return d_loss, -(torch.sigmoid(fake) + 1e-8).log().mean()
'''

RAISING = '''
from ganbench import register


@register("loss")
def raising(real, fake):
    """A loss with a typing error."""
    return real.meen(), -fake.mean()
'''

SEVERAL = '''
from torch import nn
from ganbench import register


@register("regularizer")
def drift(critic, real, fake, uniform, *, weight: float = 1e-3):
    """Keeps the critic's logits near zero (Karras 2018)."""
    return weight * critic(real).square().mean(-1)


@register("normalization", acts_on="activations", keeps=("batch", "pixels"), provides={"independent_samples"})
def layerwise(layer):
    """Layer normalization that is taken for batch normalization."""
    features = getattr(layer, "out_features", None) or layer.out_channels
    return nn.Sequential(layer, nn.GroupNorm(1, features))


@register("optimizer")
def ascent(parameters, gradient, state, step, lr, *, g_lr=1e-2, d_lr=1e-2, decay="none"):
    """Climbs."""
    parameters.add_(lr * gradient)
'''


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        return file

    return write


@pytest.fixture
def verify(monkeypatch, capsys):
    """Run `ganbench verify`; return exit code, {sentence: line} by status, stdout, stderr."""

    def verify(*arguments):
        monkeypatch.setattr(sys, "argv", ["ganbench", "verify", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        lines = {"kept": [], "broken": [], "not declared": []}
        for line in printed.out.splitlines():
            if found := LINE.fullmatch(line):
                lines[found[1]].append(found[2])
        return ended.value.code or 0, lines, printed.out, printed.err

    return verify


def example(document):
    """Return the plug-in file that a document shows."""
    return re.search(r"```python\n(# my_loss\.py\n.*?)```", (ROOT / document).read_text(), re.DOTALL)[1]


@pytest.mark.parametrize("document", ["README.md", "docs/extending.md"])
def test_the_documented_loss_keeps_every_law(write, verify, document):
    code, lines, out, err = verify(write("my_loss", example(document)))
    assert (code, err) == (0, "")
    assert out.startswith("loss my_loss  My loss")
    assert not lines["broken"]
    assert len(lines["kept"]) == 11
    undeclared = " ".join(lines["not declared"])
    assert all(f"`{name}`" in undeclared for name in ("saturates", "boundary", "divergence"))
    assert out.endswith("  11 kept, 3 not declared\n")


def test_a_flipped_sign_is_caught(write, verify):
    code, lines, _, err = verify(write("flipped", FLIPPED))
    assert (code, err) == (1, "")
    assert lines["broken"] == [
        "The critic's loss falls when real logits rise above fake ones: "
        "the slope of d_loss by a real logit is 1 at logits of 0, and should be below 0."
    ]


def test_an_epsilon_in_a_logarithm_is_caught(write, verify):
    code, lines, out, _ = verify(write("with_epsilon", WITH_EPSILON))
    assert code == 1
    assert "The logistic loss as it is often written [sic]." in out
    single, flat = lines["broken"]
    # log(1 - sigmoid(18) + 1e-8): sigmoid(18) is 1 in float32, and 1 - 1.52e-8 in float64
    assert "d_loss is 18.42 in float32 and 17.5 in float64" in single
    assert flat.endswith("the slope of d_loss by a real logit is 0.171 at -20 and 0 at -10000.")


def test_a_plugin_that_raises_breaks_laws_and_is_told_in_a_sentence(write, verify):
    code, lines, out, err = verify(write("raising", RAISING))
    assert (code, err) == (1, "")
    assert not lines["kept"]
    assert all(
        line.endswith("raised AttributeError: 'Tensor' object has no attribute 'meen' (raising.py, line 8).")
        for line in lines["broken"]
    )
    assert "Traceback" not in out


def test_every_plugin_of_a_file_is_held_to_the_laws_of_its_kind(write, verify):
    code, lines, out, _ = verify(write("several", SEVERAL))
    assert code == 1
    headings = [line.split("  ")[0] for line in out.splitlines() if not line.startswith(" ")]
    assert headings == ["normalization layerwise", "regularizer drift", "optimizer ascent"]
    assert len(lines["broken"]) == 3
    assert "a mean over batch and pixels is" in lines["broken"][0]
    assert "should be below 0" in lines["broken"][1]
    assert "it ends at a distance of" in lines["broken"][2]


def test_a_file_that_was_loaded_before_is_verified_again(write, verify):
    file = write("flipped", FLIPPED)
    registry.load_file(file)
    assert verify(file)[0] == 1


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("empty", "", "The file '{file}' registers no plug-in: put @register(kind) above a function."),
        ("bad", "1 / 0", "The plug-in file '{file}' raised ZeroDivisionError at import: division by zero"),
        ("missing", None, "There is no plug-in file '{file}'."),
        ("kind", "from ganbench import register\nregister('los')",
         "Unknown kind of plug-in 'los'. Did you mean 'loss'? Available: "),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_verified_is_a_mistake(tmp_path, write, verify, name, text, told):
    file = tmp_path / f"{name}.py" if text is None else write(name, text)
    code, _, out, err = verify(file)
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {told.format(file=file)}")
    assert err.count("\n") == 1


# ------------------------------------------------------------------------------------------ from Python


def test_contracts_are_there_without_torch():
    code = "import sys, ganbench; ganbench.contracts.laws; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_function_is_verified_where_it_is_registered():
    @registry.register("loss", boundary=0.0)
    def of_the_session(real, fake):
        """A loss of a notebook."""
        return fake.mean() - real.mean(), fake.mean()

    results = contracts.verify(of_the_session)
    assert [result.law.name for result in results if result.status == "broken"] == ["generator_falls"]
    assert results == contracts.verify(registry.get("loss", "of_the_session"))


def test_a_function_that_nobody_registered_is_a_mistake():
    def stray(real, fake):
        return fake.mean() - real.mean(), -fake.mean()

    with pytest.raises(UserError, match=r"The function 'stray' is not registered: put @register\(kind\) above it"):
        contracts.verify(stray)
