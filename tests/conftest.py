"""What many tests share: a registry that forgets a test's plug-ins, and the smallest plan that trains."""

from collections.abc import Iterator

import pytest

from ganbench import registry

TINY = (
    "problem=ring8", "steps=20", "seeds=2", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
    "network.mlp.width=8",
)  # fmt: skip


@pytest.fixture
def tiny() -> list[str]:
    """Overrides of the smallest plan."""
    return list(TINY)


@pytest.fixture
def own_registry() -> Iterator[registry._Registry]:
    """The registry with all that is shipped; what a test adds is forgotten at its end."""
    for kind in registry.KINDS:
        registry.load(kind)
    state = registry._registry
    plugins, files, loaded = dict(state.plugins), list(state.files), set(state.loaded)
    yield state
    state.plugins, state.files, state.loaded = plugins, files, loaded
