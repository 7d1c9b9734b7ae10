"""What many tests share: a registry that forgets a test's plug-ins, the smallest plan that trains, fake studies."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ganbench import registry

# Before torch is imported: small tensors gain nothing from a second thread, and two processes of tests that each wait
# for threads of their own took ten times as long. What a test starts inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# on a machine with other work a command takes longer than it is quiet for, and tests compare what it prints
os.environ["GANBENCH_PROGRESS_SECONDS"] = "1e9"

TINY = (
    "problem=ring8", "steps=20", "seeds=2", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
    "network.mlp.width=8",
)  # fmt: skip


@pytest.fixture
def tiny() -> list[str]:
    """Overrides of the smallest plan."""
    return list(TINY)


def _kept() -> Iterator[registry._Registry]:
    for kind in registry.KINDS:
        registry.load(kind)
    state = registry._registry
    plugins, files, loaded = dict(state.plugins), list(state.files), set(state.loaded)
    yield state
    state.files, state.loaded = files, loaded
    state.plugins.clear()
    state.plugins.update(plugins)


@pytest.fixture
def own_registry() -> Iterator[registry._Registry]:
    """The registry with all that is shipped; what a test adds is forgotten at its end."""
    yield from _kept()


@pytest.fixture(scope="module")
def own_registry_of_module() -> Iterator[registry._Registry]:
    """The registry with all that is shipped; what a module's tests add is forgotten at their end."""
    yield from _kept()


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module of fake studies; loaded by path because tests are not a package."""
    name = "ganbench_tests_fake_study"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "report" / "fake_study.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
