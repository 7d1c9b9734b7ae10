"""What a plug-in changed of its process is found and put back: every function of torch that can be replaced."""

import io
import os
import random
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganbench.training.process_state import NAMESPACES, NUMERIC, REST, ProcessState, preserved, torch_names

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


def environment_changed():
    os.environ["GANBENCH_OF_A_TEST"] = "1"
    os.environ["HOME"] = "/elsewhere"
    del os.environ["PATH"]


CHANGES = {
    "the working directory": lambda: os.chdir("/"),
    "the environment": environment_changed,
    "the file mode mask": lambda: os.umask(0o077 if os.umask(0o022) != 0o077 else 0o027),
    "torch's random state": lambda: torch.randn(1),
    "NumPy's random state": lambda: np.random.rand(),  # noqa: NPY002 - what a plug-in may use
    "Python's random state": random.random,
    "the standard streams": lambda: setattr(sys, "stdout", io.StringIO()),
    "the import path": lambda: sys.path.append("/elsewhere"),
    "the recursion limit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1),
}


@pytest.mark.parametrize("name", REST)
@pytest.mark.parametrize("fails", [False, True])
def test_what_else_is_left_behind_is_told_and_put_back(name, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (read, _), told = REST[name], []
    before = read()
    with pytest.raises(ZeroDivisionError) if fails else warnings.catch_warnings(), preserved(told.append):
        CHANGES[name]()
        assert read() != before
        if fails:
            raise ZeroDivisionError
    assert read() == before
    assert told == [[name]]


def test_who_changes_nothing_is_not_told_of():
    told = []
    with preserved(told.append):
        pass
    assert told == []


def test_numbers_alone_are_looked_at_where_these_alone_count():
    state = ProcessState(NUMERIC)
    random.seed(0)
    first = random.random()
    assert state.changes() == []
    state.restore()
    assert random.random() != first, "what does not change numbers is not put back"


def test_an_earlier_look_at_torchs_functions_can_be_handed_on(monkeypatch):
    names = torch_names()
    monkeypatch.setattr(torch.nn.functional, "softplus", lambda x: x)
    assert ProcessState(NUMERIC).changes() == []
    assert ProcessState(NUMERIC, names).changes() == ["torch.nn.functional.softplus"]
    state = ProcessState(NUMERIC, names)
    state.restore()
    assert state.changes() == []
    assert torch.nn.functional.softplus(torch.zeros(())).item() > 0.6


def test_a_class_that_hides_what_it_inherits_is_found(monkeypatch):
    state = ProcessState(NUMERIC)
    assert "exp" not in vars(torch.Tensor)
    torch.Tensor.exp = lambda tensor: tensor
    assert state.changes() == ["Tensor.exp"]
    state.restore()
    assert "exp" not in vars(torch.Tensor)


def test_a_function_that_is_gone_is_found():
    state, own = ProcessState(NUMERIC), torch.nn.functional.softplus
    del torch.nn.functional.softplus
    assert state.changes() == ["torch.nn.functional.softplus"]
    state.restore()
    assert torch.nn.functional.softplus is own


def test_a_folder_that_is_gone_is_no_folder(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    read, write = REST["the working directory"]
    assert read() == ""
    write(str(gone))  # nowhere to go back to: it stays where it is
    os.chdir(tmp_path)
    assert read() == str(tmp_path)
