"""What the tests of single metrics share."""

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch


@pytest.fixture
def own_generators() -> Iterator[None]:
    """Fail where a test leaves the global generators of torch or numpy in another state: measuring draws from none."""
    before, legacy = torch.random.get_rng_state(), np.random.get_state()  # noqa: NPY002
    yield
    assert torch.equal(before, torch.random.get_rng_state())
    after = np.random.get_state()  # noqa: NPY002
    assert after[2:] == legacy[2:]
    assert (after[1] == legacy[1]).all()


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let peers be imported that import torchvision without need for what is tested."""
    if find_spec("torchvision") is None:
        for name in ("", ".models", ".transforms", ".datasets", ".models.utils", ".transforms.functional"):
            monkeypatch.setitem(sys.modules, "torchvision" + name, MagicMock(__spec__=None))
