"""What a plug-in changed of its process is found and put back: every function of torch that can be replaced."""

import random
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganbench.training.process_state import NAMESPACES, NUMERIC, ProcessState, preserved

FUNCTIONS = {
    space: sorted(
        name for name in dir(space)
        if callable(getattr(space, name)) and not name.startswith("__") and not isinstance(getattr(space, name), type)
    )
    for space in NAMESPACES
}  # fmt: skip


@given(st.sampled_from(NAMESPACES), st.data())
def test_a_function_replaced_is_told_and_put_back(space, data):
    """A tensor inherits most of its functions: there a replacement hides the original instead."""
    name = data.draw(st.sampled_from(FUNCTIONS[space]))
    own, before = name in vars(space), getattr(space, name)
    state = ProcessState(NUMERIC)
    assert state.changes() == []
    setattr(space, name, lambda *_, **__: 0)
    assert state.changes() == [f"{space.__name__}.{name}"]
    state.restore()
    assert state.changes() == []
    assert (name in vars(space)) == own
    assert getattr(space, name) == before


def test_what_torch_loads_later_is_nobodys_replacement():
    state = ProcessState(NUMERIC)
    torch.Tensor.of_another_library = lambda tensor: tensor
    try:
        assert state.changes() == []
    finally:
        del torch.Tensor.of_another_library


@pytest.mark.parametrize("name", NUMERIC)
def test_settings_are_put_back(name):
    others = {
        "the default dtype": lambda: torch.set_default_dtype(torch.float64),
        "the grad mode": lambda: torch.set_grad_enabled(False),
        "the number of threads": lambda: torch.set_num_threads(3),
        "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
        "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
        "the warnings' filters": lambda: warnings.simplefilter("ignore", ResourceWarning),
    }
    read = NUMERIC[name][0]
    before, told = read(), []
    with preserved(told.extend):
        others[name]()
        random.seed(0)
        assert read() != before
    assert read() == before
    assert name in told
    assert "Python's random state" in told
